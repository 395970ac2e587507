//! lvm2's own library, in a program of its own: it changes the process that it is in.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::tools::{Ended, Run, is_program};
use crate::error::{Error, ErrorKind, Result};
use crate::lvm2::store::Lvm2Library;
use crate::name::VgName;

/// The program's name, as package `imgbase-sys` builds it.
const NAME: &str = "imgbase-liblvm";

/// Where it is looked for, after the folder of the running program.
const FOLDERS: &[&str] = &["/usr/libexec/imgbase", "/usr/lib/imgbase"];

/// Where lvm2's configuration is, if not in `/etc/lvm`.
const SYSTEM_DIR: &str = "LVM_SYSTEM_DIR";

/// Most bytes of its output that are kept: more than the longest text.
const KEPT: u64 = 64 << 20;

/// The program that has the library.
#[derive(Clone, Debug)]
pub(super) struct Helper {
    program: PathBuf,
}

impl Helper {
    /// Looks for it.
    pub(super) fn find() -> Result<Self> {
        let here = std::env::current_exe().ok();
        let beside = here.as_deref().and_then(Path::parent).map(Path::to_owned);
        let folders = beside.into_iter().chain(FOLDERS.iter().map(PathBuf::from));
        let mut programs = folders.map(|folder| folder.join(NAME));
        let program = programs.find(|program| is_program(program)).ok_or_else(|| {
            let why = format!(
                "the program with lvm2's library is neither beside this one nor in {}",
                FOLDERS.join(", ")
            );
            Error::new(ErrorKind::Tool, why).at(NAME).kept("nothing was changed")
        })?;
        Ok(Self { program })
    }

    fn run(
        &self,
        op: &'static str,
        (vg, on): (&VgName, &[PathBuf]),
        text: &str,
    ) -> Result<Vec<u8>> {
        let mut args = vec![OsStr::new(op), OsStr::new(vg.as_str())];
        args.extend(on.iter().map(|device| device.as_os_str()));
        // The locks are inherited, which it would remark on; its configuration is ours.
        let mut env = vec![("LVM_SUPPRESS_FD_WARNINGS", OsString::from("1"))];
        env.extend(std::env::var_os(SYSTEM_DIR).map(|dir| (SYSTEM_DIR, dir)));
        let run = Run {
            program: &self.program,
            args: &args,
            env: &env,
            stdin: text.as_bytes(),
            kept: KEPT,
            aside: true,
        };
        let Ended { code, stdout, stderr } = run.to_end()?;
        let said = String::from_utf8_lossy(&stderr);
        for line in said.lines() {
            log::debug!("lvm2's library: {line}");
        }
        if code == Some(0) {
            return Ok(stdout);
        }
        let why = format!("lvm2's library could not {op} the text: {}", errors_of(&said));
        Err(Error::new(ErrorKind::Tool, why).at(format!("volume group {vg}")))
    }
}

/// What it says that is an error, on one line; all of it where nothing is.
fn errors_of(said: &str) -> String {
    let grave = |line: &&str| line.starts_with("error: ") || line.starts_with("fatal: ");
    let mut lines: Vec<&str> = said.lines().filter(grave).collect();
    if lines.is_empty() {
        lines = said.lines().collect();
    }
    let plain = lines.iter().map(|line| line.split_once(": ").map_or(*line, |(_, text)| text));
    plain.collect::<Vec<_>>().join("; ")
}

impl Lvm2Library for Helper {
    fn read(&self, vg: &VgName, on: &[PathBuf]) -> Result<String> {
        let text = self.run("read", (vg, on), "")?;
        String::from_utf8(text).map_err(|error| {
            Error::new(ErrorKind::Corrupt, error).op("read the text of lvm2's library").at(vg)
        })
    }

    fn commit(&self, vg: &VgName, on: &[PathBuf], text: &str) -> Result<()> {
        self.run("commit", (vg, on), text).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_from_the_rest() {
        let said = "print: WARNING: Forced restore\nerror: no room\nerror: Restore failed.\n";
        assert_eq!(errors_of(said), "no room; Restore failed.");
        assert_eq!(errors_of("print: odd\n"), "odd");
    }

    #[test]
    fn a_program_that_fails_is_quoted() {
        let dir = tempfile::tempdir().expect("a folder");
        let program = dir.path().join(NAME);
        std::fs::write(&program, "#!/bin/sh\necho \"error: $*\" >&2\nexit 1\n").expect("made");
        let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("made");
        let (vg, on) = ("vg".parse().expect("a name"), ["/dev/a b".into()]);
        let error = Helper { program }.read(&vg, &on).expect_err("it fails");
        assert_eq!(error.kind(), ErrorKind::Tool);
        assert!(error.to_string().contains("read vg /dev/a b"), "{error}");
    }
}
