//! Figures of a test run: what `cargo verify` collects and prints again at its end.

use std::io::Write;

/// Prints a line that libtest does not swallow.
pub(crate) fn figure(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "figure: {line}").expect("standard output is open");
}

/// True where every point is to be run, not a sample (`cargo verify --all`).
pub(crate) fn all() -> bool {
    std::env::var_os("IMGBASE_TEST_ALL").is_some()
}
