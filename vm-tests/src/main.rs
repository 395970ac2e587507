//! The harness's command: what the aliases in `.cargo/config.toml` start.

use std::process::ExitCode;

fn main() -> ExitCode {
    imgbase_vm_tests::commands::main()
}
