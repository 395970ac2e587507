//! From the first file system to the root: which program starts there, and the way to it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::chroot;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::places::{self, Home, Kind, ROOT};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::first::program::{HEAD, Needs, to_try};

/// The program to start in the root that is mounted, the first there is.
pub(super) fn find_program(asked: Option<&str>) -> Result<String> {
    let root = File::open(ROOT).context("open the root", ROOT)?;
    let mut reasons = Vec::new();
    for path in to_try(asked) {
        match why_not(&root, path) {
            None => return Ok(path.to_owned()),
            Some(why) => reasons.push(format!("{path}: {why}")),
        }
    }
    let why = format!("the root has no program to start: {}", reasons.join("; "));
    Err(Error::new(ErrorKind::NotFound, why).op("start"))
}

/// Why a program of the root would not start, as far as can be seen from outside.
fn why_not(root: &File, path: &str) -> Option<String> {
    let head = match head_of(root, path) {
        Ok(head) => head,
        Err(error) => return Some(error.to_string()),
    };
    match Needs::of(&head) {
        Needs::Nothing => None,
        Needs::Unknown => Some("it is neither an ELF program nor a script".to_owned()),
        Needs::Interpreter(other) => match head_of(root, &other) {
            Ok(_) => None,
            Err(error) => Some(format!("it needs {other}: {error}")),
        },
    }
}

/// The first bytes of a program of the root, whose links lead nowhere else.
fn head_of(root: &File, path: &str) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT;
    let file = File::from(openat2(root, path, flags, Mode::empty(), within)?);
    let meta = file.metadata()?;
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Err(io::Error::other("it is no program"));
    }
    let mut head = Vec::new();
    let most = u64::try_from(HEAD).map_err(io::Error::other)?;
    file.take(most).read_to_end(&mut head)?;
    Ok(head)
}

/// Makes the mounted root the root of this process and of those to come, and frees what was before.
pub(super) fn into_root(home: &mut Home) -> Result<()> {
    home.leave();
    places::mounted().for_each(hand_on);
    std::env::set_current_dir(ROOT).context("go to the root", ROOT)?;
    match home.kind {
        Kind::Archive => over_archive(),
        Kind::Partition => File::open("/").and_then(|old| places::leave_root(&old)),
    }
    .context("make it the root", ROOT)
}

/// The kernel's first file system cannot be unmounted: it is emptied, and the root is put upon it.
fn over_archive() -> io::Result<()> {
    places::empty_archive();
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
    chroot(".")?;
    std::env::set_current_dir("/")
}

/// Moves a mount to its place in the root; where that has none it ends.
fn hand_on(place: &str) {
    let target = format!("{ROOT}{place}");
    let moved = mount(Some(place), target.as_str(), None::<&str>, MsFlags::MS_MOVE, None::<&str>);
    if let Err(errno) = moved {
        log::info!("{target}: {errno}");
        let _ = umount2(place, MntFlags::MNT_DETACH);
    }
}

/// Becomes that program, with the arguments and the environment that the kernel gave us.
pub(super) fn exec(program: &str) -> Result<Infallible> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let error = Command::new(Path::new(program)).args(args).exec();
    Err(Error::io(error).op("start").at(program))
}
