//! Programs of the host: run quietly, shown whole when they fail.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Doing, Fail, Result};
use crate::wire::text;

/// Runs a program and returns its standard output.
///
/// # Errors
/// What it wrote, when it fails.
pub fn output(program: &str, args: &[&str]) -> Result<String> {
    finish(Command::new(program).args(args), program)
}

/// Runs a shell script in `folder`, with `args` as its `$1` and on.
///
/// # Errors
/// What it wrote, when it fails.
pub fn script(folder: &Path, script: &str, args: &[&str]) -> Result<String> {
    let mut command = Command::new("sh");
    command.args(["-euc", script, "sh"]).args(args).current_dir(folder);
    finish(&mut command, "sh")
}

fn finish(command: &mut Command, name: &str) -> Result<String> {
    let done = command.stdin(Stdio::null()).output().doing(name)?;
    if done.status.success() {
        return Ok(text(&done.stdout));
    }
    let (out, err) = (text(&done.stdout), text(&done.stderr));
    Err(Fail::new(format!("{name}: {}\n{out}{err}", done.status)))
}

/// A path as an argument.
#[must_use]
pub fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
