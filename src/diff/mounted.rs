//! Trees of the real machine.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::same::Trust;
use super::walk::Diff;
use crate::error::{IoContext, Result};
use crate::tree::{Folder, Kind, Meta, Xattrs};
use crate::units::Bytes;

/// What has to change for the tree at `a` to become that at `b`. Paths of the roots may be links;
/// in the trees none is followed.
///
/// # Errors
/// [`NotFound`](crate::ErrorKind::NotFound), [`Denied`](crate::ErrorKind::Denied) and
/// [`Io`](crate::ErrorKind::Io) where a root cannot be opened.
pub fn diff(a: &Path, b: &Path, trust: Trust) -> Result<Diff<Mounted>> {
    let open = |path: &Path| Mounted::open(path).context("open the tree", path.display());
    Ok(Diff::new(open(a)?, open(b)?, trust))
}

/// A folder that is held open: what is in it is reached from there, whatever becomes of its path.
#[derive(Debug)]
pub struct Mounted(OwnedFd);

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A pipe put where a file was must not make us wait.
const FILE: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
/// The kernel's limits for a list of names and for a value: 64 KiB each.
const XATTR_MAX: usize = 64 * 1024;

impl Mounted {
    /// Opens a tree's root.
    ///
    /// # Errors
    /// As the file system gives them.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(sys::open(path, FOLDER, Mode::empty())?))
    }

    /// Opens without a trace in the access time where the kernel lets us, since that would be a
    /// write to the volume.
    fn open_in(&self, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        let open = |flags| sys::openat(&self.0, OsStr::from_bytes(name), flags, Mode::empty());
        match open(flags | OFlags::NOATIME) {
            Err(Errno::PERM) => Ok(open(flags)?),
            other => Ok(other?),
        }
    }

    fn open_file(&self, name: &[u8]) -> io::Result<File> {
        let file = self.open_in(name, FILE)?;
        // Read from front to back: a hint, and no harm where it is not taken.
        let _ = sys::fadvise(file.as_fd(), 0, None, sys::Advice::Sequential);
        Ok(File::from(file))
    }

    /// There is no call for the attributes of a link, relative to a folder; this path names it
    /// without a look at any other folder.
    fn proc_path(&self, name: &[u8]) -> Vec<u8> {
        let folder = format!("/proc/self/fd/{}/", self.0.as_raw_fd());
        [folder.as_bytes(), name].concat()
    }
}

impl From<OwnedFd> for Mounted {
    /// A folder that was opened already.
    fn from(folder: OwnedFd) -> Self {
        Self(folder)
    }
}

impl AsFd for Mounted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Folder for Mounted {
    fn own_meta(&self) -> io::Result<Meta> {
        Ok(meta_of(&sys::fstat(&self.0)?))
    }

    fn own_xattrs(&self) -> io::Result<Xattrs> {
        xattrs_of(&self.0)
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in sys::Dir::read_from(&self.0)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn meta(&self, name: &[u8]) -> io::Result<Meta> {
        let name = OsStr::from_bytes(name);
        Ok(meta_of(&sys::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn folder(&self, name: &[u8]) -> io::Result<Self> {
        self.open_in(name, FOLDER | OFlags::NOFOLLOW).map(Self)
    }

    fn file(&self, name: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.open_file(name)?))
    }

    fn file_and_xattrs(&self, name: &[u8]) -> io::Result<(Box<dyn Read + '_>, Xattrs)> {
        let file = self.open_file(name)?;
        let xattrs = xattrs_of(&file)?;
        Ok((Box::new(file), xattrs))
    }

    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let target = sys::readlinkat(&self.0, OsStr::from_bytes(name), Vec::new())?;
        Ok(target.into_bytes())
    }

    fn xattrs(&self, name: &[u8]) -> io::Result<Xattrs> {
        let path = self.proc_path(name);
        let path = path.as_slice();
        let list = |buffer: &mut [u8]| sys::llistxattr(path, buffer);
        all_xattrs(list, |name, buffer| sys::lgetxattr(path, name, buffer))
    }
}

/// The attributes of what is open: no path is walked for them.
fn xattrs_of(open: impl AsFd) -> io::Result<Xattrs> {
    let list = |buffer: &mut [u8]| sys::flistxattr(&open, buffer);
    all_xattrs(list, |name, buffer| sys::fgetxattr(&open, name, buffer))
}

fn all_xattrs(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Xattrs> {
    let mut all = Xattrs::new();
    let names = full(list)?;
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        all.insert(name.to_vec(), full(|buffer| get(name, buffer))?);
    }
    Ok(all)
}

/// Calls with a small buffer first, then with the largest there can be. An attribute that has gone,
/// or a file system that knows none, gives nothing.
fn full(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    for len in [512, XATTR_MAX] {
        let mut buffer = vec![0; len];
        match call(&mut buffer) {
            Ok(got) => {
                buffer.truncate(got);
                return Ok(buffer);
            }
            Err(Errno::RANGE) => {}
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::RANGE.into())
}

fn meta_of(stat: &Stat) -> Meta {
    let time = |seconds: i64, nanos: u64| (seconds, u32::try_from(nanos).unwrap_or(0));
    Meta {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: Bytes::new(u64::try_from(stat.st_size).unwrap_or(0)),
        held: Bytes::new(u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512)),
        rdev: (sys::major(stat.st_rdev), sys::minor(stat.st_rdev)),
        ino: stat.st_ino,
        fs: stat.st_dev,
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        links: stat.st_nlink,
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
    }
}

fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::Fifo => Kind::Pipe,
        FileType::Socket => Kind::Socket,
        _ => Kind::File,
    }
}
