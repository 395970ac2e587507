//! Reads or replaces a volume group's text through lvm2's own library, for `imgbase --metadata
//! liblvm`. One command a process: the library leaves its umask and its options behind.
//!
//! The caller holds the group's lock, so the library takes its own in a folder that nobody else
//! looks in. What the library says goes to standard error, a line each, `LEVEL: MESSAGE`.

use std::fmt::Display;
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use imgbase_sys::liblvm::{Level, Lvm, devmapper_version};

const USAGE: &str = "\
usage: imgbase-liblvm read VG DEVICE...     print the text of the volume group on these devices
       imgbase-liblvm commit VG DEVICE...   put the text from standard input in force, at the next seqno
       imgbase-liblvm version               print the versions of the libraries";

/// Where folders for a single run are made.
const RUN: &str = "/run/imgbase";

/// Largest text that is taken: no metadata area that we make holds a longer one.
const MOST: u64 = 64 << 20;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["read", vg, ref on @ ..] if is_name(vg) && !on.is_empty() => read(vg, on),
        ["commit", vg, ref on @ ..] if is_name(vg) && !on.is_empty() => commit(vg, on),
        ["version"] => version(),
        _ => {
            tell(USAGE);
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("{}: {error}", Level::Error));
            ExitCode::FAILURE
        }
    }
}

/// To standard error, which nobody may read any more: whoever started this may have been killed.
fn tell(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The letters that lvm2 allows in a name, and not taken for an option.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(allowed)
}

fn read(vg: &str, on: &[&str]) -> io::Result<()> {
    let folder = Folder::make()?;
    let file = folder.path.join("text");
    let (config, file) = (folder.config(), shown(&file));
    run("vgcfgbackup", on, &["--config", &config, "-f", &file, vg])?;
    io::stdout().write_all(&fs::read(file)?)
}

/// lvm2 raises the sequence number that it finds in the text by one.
fn commit(vg: &str, on: &[&str]) -> io::Result<()> {
    let mut text = Vec::new();
    io::stdin().take(MOST).read_to_end(&mut text)?;
    let folder = Folder::make()?;
    let file = folder.path.join("text");
    fs::write(&file, text)?;
    let (config, file) = (folder.config(), shown(&file));
    // Force: it refuses groups with thin volumes else. Yes: that volumes are active is as it
    // should be.
    run("vgcfgrestore", on, &["--config", &config, "--force", "-y", "-f", &file, vg])
}

fn version() -> io::Result<()> {
    let mut lvm = Lvm::start().map_err(io::Error::other)?;
    let mut out = io::stdout();
    for message in lvm.run(&["version"]).map_err(|(failure, _)| io::Error::other(failure))? {
        writeln!(out, "{}", message.text.trim())?;
    }
    let devmapper = devmapper_version().unwrap_or_else(|| "unknown".to_owned());
    writeln!(out, "libdevmapper: {devmapper}")
}

/// Runs one command of the library's, which sees these devices alone, and passes on what it says.
fn run(command: &str, on: &[&str], rest: &[&str]) -> io::Result<()> {
    let mut lvm = Lvm::start().map_err(io::Error::other)?;
    let devices = on.iter().flat_map(|device| ["--devices", device]);
    let words: Vec<&str> =
        std::iter::once(command).chain(devices).chain(rest.iter().copied()).collect();
    let done = lvm.run(&words);
    let (Ok(said) | Err((_, said))) = &done;
    for message in said {
        tell(format_args!("{}: {}", message.level, message.text.trim()));
    }
    done.map(drop).map_err(|(failure, _)| io::Error::other(format!("{command}: {failure}")))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A folder that only root can look into, removed in the end.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn make() -> io::Result<Self> {
        let path = Path::new(RUN).join(format!("liblvm.{}", std::process::id()));
        DirBuilder::new().recursive(true).mode(0o700).create(RUN)?;
        match fs::remove_dir_all(&path) {
            // Of a process of that number that was killed.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    /// The caller has the real locks, and keeps lvm2's archive and backup.
    fn config(&self) -> String {
        let locks = shown(&self.path.join("locks"));
        format!("global{{locking_dir=\"{locks}\"}} backup{{backup=0 archive=0}}")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tell(format_args!("{}: {}: {error}", Level::Print, self.path.display()));
        }
    }
}
