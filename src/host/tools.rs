//! The programs that may be run. This file and `hooks` are the only ones that start any.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use super::hooks;
use crate::error::{Error, ErrorKind, Result};
use crate::etc::Labelling;
use crate::machine::{HookRun, Tool, ToolOutput, Tools};

/// Searched after PATH, which is short on minimal systems.
const FOLDERS: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// So much of what a program says is kept.
const KEPT: u64 = 64 << 10;

/// Programs of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RealTools;

/// PATH and [`FOLDERS`].
pub(super) fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(FOLDERS);
    path
}

/// The program of that name in the search path.
fn find(name: &str) -> Result<PathBuf> {
    let path = search_path();
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(name));
    files.find(|file| is_program(file)).ok_or_else(|| {
        let why = format!("it is not in {}: install it", path.to_string_lossy());
        Error::new(ErrorKind::Tool, why).op("find the program").at(name)
    })
}

pub(super) fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// How a program is run: with a clean environment, and nothing but these.
pub(super) struct Run<'a> {
    pub(super) program: &'a Path,
    pub(super) args: &'a [&'a OsStr],
    pub(super) env: &'a [(&'a str, OsString)],
    /// What it reads on its standard input.
    pub(super) stdin: &'a [u8],
    /// So many bytes of what it prints are kept.
    pub(super) kept: u64,
    /// True for one that is not to be stopped by what the terminal sends to stop this one.
    pub(super) aside: bool,
}

/// How it ended, and what it printed.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

impl Run<'_> {
    /// Runs it to its end.
    pub(super) fn to_end(&self) -> Result<Ended> {
        log::debug!("run {} {:?}", self.program.display(), self.args);
        let at = || self.program.display();
        self.try_to_end()
            .map_err(|error| Error::new(ErrorKind::Tool, error).op("run the program").at(at()))
    }

    fn try_to_end(&self) -> io::Result<Ended> {
        let mut command = Command::new(self.program);
        command.args(self.args).env_clear().env("PATH", search_path()).env("LC_ALL", "C");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
        if self.aside {
            command.process_group(0);
        }
        let mut child = command.spawn()?;
        let (input, output, errors) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // All pipes at once: a program that waits at one while we wait at another would hang.
        let read = thread::scope(|scope| {
            let aside = |name: &str| thread::Builder::new().name(name.to_owned());
            let errors = errors
                .map(|pipe| aside("stderr").spawn_scoped(scope, || drain(pipe, self.kept)))
                .transpose()?;
            if let Some(mut pipe) = input {
                // One that does not read it all says why by itself.
                aside("stdin").spawn_scoped(scope, move || pipe.write_all(self.stdin))?;
            }
            let stdout = output.map(|pipe| drain(pipe, self.kept)).unwrap_or_default();
            let stderr = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
            io::Result::Ok((stdout, stderr))
        });
        let code = child.wait()?.code();
        let (stdout, stderr) = read?;
        Ok(Ended { code, stdout, stderr })
    }
}

impl Tools for RealTools {
    fn require(&self, tool: Tool) -> Result<()> {
        find(tool.name()).map(drop)
    }

    fn run(&self, tool: Tool, args: &[&OsStr]) -> Result<ToolOutput> {
        let program = find(tool.name())?;
        let run = Run { program: &program, args, env: &[], stdin: &[], kept: KEPT, aside: false };
        let Ended { code, stdout, stderr } = run.to_end()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(ToolOutput { code, stdout: text(stdout), stderr: text(stderr) })
    }

    fn run_hooks(&self, run: &HookRun<'_>, cancelled: &dyn Fn() -> bool) -> Result<()> {
        hooks::run(run, cancelled)
    }

    fn label(
        &self,
        labelling: &Labelling,
        tree: (&Path, &str),
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<String>> {
        hooks::label(labelling, tree, cancelled)
    }
}

/// Reads to the end and keeps the beginning.
fn drain(mut pipe: impl Read, kept: u64) -> Vec<u8> {
    let mut start = Vec::new();
    let read = pipe.by_ref().take(kept).read_to_end(&mut start);
    if read.is_ok() {
        let _ = io::copy(&mut pipe, &mut io::sink());
    }
    start
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
