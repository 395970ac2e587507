//! Mounts that are attached to no folder (`fsopen`, `fsconfig`, `fsmount`;
//! Linux 5.2 and later): no other process sees them, and they end with the
//! last descriptor, so a process that dies leaves none behind.

use std::ffi::{CStr, CString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::{c_int, c_long, c_uint};

// linux/mount.h
const FSOPEN_CLOEXEC: c_uint = 1;
const FSCONFIG_SET_FLAG: c_uint = 0;
const FSCONFIG_SET_STRING: c_uint = 1;
const FSCONFIG_CMD_CREATE: c_uint = 6;
const FSMOUNT_CLOEXEC: c_uint = 1;
const MOUNT_ATTR_RDONLY: c_uint = 0x1;
const MOUNT_ATTR_NOSUID: c_uint = 0x2;
const MOUNT_ATTR_NODEV: c_uint = 0x4;
const MOUNT_ATTR_NOEXEC: c_uint = 0x8;

/// What is to be mounted.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file system's type.
    pub fs_type: &'a str,
    /// The device.
    pub device: &'a Path,
    /// True for a read-only mount.
    pub read_only: bool,
    /// True for a mount that may not be written through, even where the file system may be
    /// written: another look at one that is mounted read-write elsewhere.
    pub view_only: bool,
    /// Options for the file system, comma-separated.
    pub options: &'a str,
}

/// Why it could not be mounted.
#[derive(Debug)]
pub struct Failure {
    /// The errno. `ENOSYS`: the kernel has no such mounts; `ENODEV`: it does not know the type.
    pub source: io::Error,
    /// What the file system said of it; may be empty.
    pub said: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if self.said.is_empty() { Ok(()) } else { write!(f, " ({})", self.said) }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(source: io::Error) -> Self {
        Self { source, said: String::new() }
    }
}

/// A mount that only this process can reach.
#[derive(Debug)]
pub struct DetachedMount {
    root: OwnedFd,
}

impl DetachedMount {
    /// Mounts, with `nosuid`, `nodev` and `noexec`.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn new(source: Source<'_>) -> Result<Self, Failure> {
        let context = open_context(source.fs_type)?;
        configure(&context, source)
            .map_err(|error| Failure { source: error, said: messages(&context) })?;
        let mut attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
        if source.read_only || source.view_only {
            attributes |= MOUNT_ATTR_RDONLY;
        }
        // SAFETY: three integers; the descriptor is open.
        let root = descriptor(unsafe {
            libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, attributes)
        })?;
        Ok(Self { root })
    }

    /// A path to its root folder, for this process and its children of the same descriptors alone.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.root.as_raw_fd()).into()
    }
}

fn open_context(fs_type: &str) -> io::Result<File> {
    let fs_type = c_string(fs_type.as_bytes())?;
    // SAFETY: a live C string and an integer; the kernel keeps no pointer.
    let result = unsafe { libc::syscall(libc::SYS_fsopen, fs_type.as_ptr(), FSOPEN_CLOEXEC) };
    Ok(File::from(descriptor(result)?))
}

/// The device, the options, then the superblock itself.
fn configure(context: &File, source: Source<'_>) -> io::Result<()> {
    let device = c_string(source.device.as_os_str().as_bytes())?;
    set(context, FSCONFIG_SET_STRING, Some(c"source"), Some(&device))?;
    if source.read_only {
        set(context, FSCONFIG_SET_FLAG, Some(c"ro"), None)?;
    }
    for option in source.options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some((key, value)) => {
                let (key, value) = (c_string(key.as_bytes())?, c_string(value.as_bytes())?);
                set(context, FSCONFIG_SET_STRING, Some(&key), Some(&value))?;
            }
            None => {
                let key = c_string(option.as_bytes())?;
                set(context, FSCONFIG_SET_FLAG, Some(&key), None)?;
            }
        }
    }
    set(context, FSCONFIG_CMD_CREATE, None, None)
}

fn set(context: &File, verb: c_uint, key: Option<&CStr>, value: Option<&CStr>) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    let (key, value, aux): (_, _, c_int) = (pointer(key), pointer(value), 0);
    // SAFETY: null or live C strings and integers; the kernel keeps no pointer.
    let result =
        unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), verb, key, value, aux) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What the file system said: one message for each read, until there is none.
fn messages(mut context: &File) -> String {
    let mut said = Vec::new();
    let mut line = [0; 1024];
    while let Ok(len @ 1..) = context.read(&mut line) {
        said.push(String::from_utf8_lossy(&line[..len]).trim().to_owned());
    }
    said.join("; ")
}

fn descriptor(result: c_long) -> io::Result<OwnedFd> {
    match c_int::try_from(result) {
        // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn c_string(text: &[u8]) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tmpfs(options: &str) -> Source<'_> {
        Source {
            fs_type: "tmpfs",
            device: Path::new("none"),
            read_only: false,
            view_only: false,
            options,
        }
    }

    #[test]
    fn holds_files_that_no_mount_table_shows() {
        let mount = match DetachedMount::new(tmpfs("size=1m,mode=0700")) {
            Ok(mount) => mount,
            Err(failure) => {
                // Without privilege there is nothing to be seen here.
                assert_eq!(failure.source.raw_os_error(), Some(libc::EPERM));
                return;
            }
        };
        std::fs::write(mount.path().join("file"), "text").expect("may be written");
        let text = std::fs::read_to_string(mount.path().join("file")).expect("is there");
        assert_eq!(text, "text");
        let table = std::fs::read_to_string("/proc/self/mountinfo").expect("has mounts");
        assert!(!table.contains("mode=700"));
    }

    #[test]
    fn the_file_system_says_what_it_does_not_know() {
        let failure = DetachedMount::new(tmpfs("no-such-option=1")).expect_err("no such option");
        if failure.source.raw_os_error() != Some(libc::EPERM) {
            assert!(failure.to_string().contains("no-such-option"), "{failure}");
        }
        let other = Source { fs_type: "no-such-type", ..tmpfs("") };
        let failure = DetachedMount::new(other).expect_err("no such type");
        let errno = failure.source.raw_os_error();
        assert!(matches!(errno, Some(libc::ENODEV | libc::EPERM)), "{failure}");
    }
}
