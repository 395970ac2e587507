//! The programs that may be run. This is the only file that starts any.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use crate::error::{Error, ErrorKind, Result};
use crate::machine::{Tool, ToolOutput, Tools};

/// Searched after PATH, which is short on minimal systems.
const FOLDERS: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// So much of what a program says is kept.
const KEPT: u64 = 64 << 10;

/// Programs of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RealTools;

/// PATH and [`FOLDERS`].
fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(FOLDERS);
    path
}

fn find(tool: Tool) -> Result<PathBuf> {
    let path = search_path();
    let is_program = |file: &PathBuf| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(tool.name()));
    files.find(is_program).ok_or_else(|| {
        let why = format!("it is not in {}: install it", path.to_string_lossy());
        Error::new(ErrorKind::Tool, why).op("find the program").at(tool.name())
    })
}

impl Tools for RealTools {
    fn require(&self, tool: Tool) -> Result<()> {
        find(tool).map(drop)
    }

    fn run(&self, tool: Tool, args: &[&OsStr]) -> Result<ToolOutput> {
        let program = find(tool)?;
        log::debug!("run {} {args:?}", program.display());
        let failed =
            |error| Error::new(ErrorKind::Tool, error).op("run the program").at(program.display());
        let mut child = Command::new(&program)
            .args(args)
            .env_clear()
            .env("PATH", search_path())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        // Both pipes at once: a program that fills one while we read the other would hang.
        let stderr = child.stderr.take().map(|pipe| thread::spawn(move || drain(pipe)));
        let stdout = child.stdout.take().map(drain).unwrap_or_default();
        let stderr = stderr.and_then(|thread| thread.join().ok()).unwrap_or_default();
        let status = child.wait().map_err(failed)?;
        Ok(ToolOutput { code: status.code(), stdout, stderr })
    }
}

/// Reads to the end and keeps the beginning.
fn drain(mut pipe: impl Read) -> String {
    let mut kept = Vec::new();
    let read = pipe.by_ref().take(KEPT).read_to_end(&mut kept);
    if read.is_ok() {
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_and_heard() {
        RealTools.require(Tool::Mke2fs).expect("e2fsprogs is on every Debian");
        let output = RealTools.run(Tool::Mke2fs, &[OsStr::new("-V")]).expect("it runs");
        assert_eq!(output.code, Some(0));
        assert!(output.stderr.contains("mke2fs"), "{output:?}");
        let output = RealTools.run(Tool::Mke2fs, &[OsStr::new("/does-not-exist")]);
        assert_ne!(output.expect("it runs").code, Some(0));
    }
}
