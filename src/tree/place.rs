//! A name in a folder of a mounted tree, and what can be done there. The folder is held open, and no
//! link is followed on the way to it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    self as sys, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::{ACL_ACCESS, ACL_DEFAULT, Content, Kind, Making, Meta, Time, TreePath, Xattrs};
use crate::dev::bytes::{is_zero, read_full};

pub(crate) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What `lchown` takes away, since it is worth more than a file.
const CAPABILITIES: &[u8] = b"security.capability";

/// A path's folder, and its last name.
pub(crate) fn split(path: &TreePath) -> io::Result<(&[u8], &[u8])> {
    let bytes = path.bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/');
    let (parent, name) =
        slash.map(|slash| bytes.split_at(slash)).ok_or(io::ErrorKind::InvalidInput)?;
    let name = name.get(1..).filter(|name| !name.is_empty());
    Ok((parent, name.ok_or(io::ErrorKind::InvalidInput)?))
}

/// The folder at that path of a tree; no link on the way is followed.
pub(crate) fn open_folder(root: &Path, path: &[u8]) -> io::Result<OwnedFd> {
    let mut at = sys::open(root, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty())?;
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        at = sys::openat(&at, OsStr::from_bytes(name), FOLDER, Mode::empty())?;
    }
    Ok(at)
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Folder => FileType::Directory,
        Kind::Link => FileType::Symlink,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::CharDevice => FileType::CharacterDevice,
        Kind::Pipe => FileType::Fifo,
        Kind::Socket => FileType::Socket,
    }
}

/// The same time for both that can be set.
pub(crate) fn times_of((seconds, nanoseconds): Time) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// A name in a folder that is held open.
pub(crate) struct Place<'n> {
    pub(crate) folder: OwnedFd,
    pub(crate) name: &'n [u8],
}

impl Place<'_> {
    pub(crate) fn os_name(&self) -> &OsStr {
        OsStr::from_bytes(self.name)
    }

    /// What stands there, if anything.
    pub(crate) fn kind(&self) -> io::Result<Option<FileType>> {
        match sys::statat(&self.folder, self.os_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn make_folder(&self) -> io::Result<()> {
        Ok(sys::mkdirat(&self.folder, self.os_name(), Mode::RWXU)?)
    }

    pub(crate) fn remove(&self, how: AtFlags) -> io::Result<()> {
        Ok(sys::unlinkat(&self.folder, self.os_name(), how)?)
    }

    /// Takes away what an earlier try has left there.
    pub(crate) fn clear(&self) -> io::Result<()> {
        match self.remove(AtFlags::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Makes an entry where nothing stands, without its metadata.
    pub(crate) fn make(&self, meta: &Meta, making: Making<'_>) -> io::Result<()> {
        match making {
            Making::File(content) => self.fill(content),
            Making::Link(target) => {
                Ok(sys::symlinkat(OsStr::from_bytes(target), &self.folder, self.os_name())?)
            }
            Making::Other if meta.kind == Kind::Folder => self.make_folder(),
            Making::Other => {
                let (major, minor) = meta.rdev;
                let (kind, device) = (file_type(meta.kind), sys::makedev(major, minor));
                Ok(sys::mknodat(&self.folder, self.os_name(), kind, Mode::empty(), device)?)
            }
        }
    }

    /// Makes a file with this content. Blocks of zeros become holes.
    fn fill(&self, from: &mut dyn Content) -> io::Result<()> {
        let how = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = sys::openat(&self.folder, self.os_name(), how, Mode::RUSR | Mode::WUSR)?;
        let (mut file, mut buffer, mut len) = (File::from(file), vec![0; AT_ONCE], 0_u64);
        loop {
            len = len.checked_add(from.skip_hole()).ok_or(io::ErrorKind::FileTooLarge)?;
            let read = read_full(from, &mut buffer).map_err(|(error, _)| error)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            let alike = |a: &[u8], b: &[u8]| is_zero(a) == is_zero(b);
            let mut at = len;
            // Blocks of one sort together.
            let mut blocks = bytes.chunks(BLOCK).peekable();
            let mut run = 0;
            while let Some(block) = blocks.next() {
                run += block.len();
                if blocks.peek().is_some_and(|next| alike(block, next)) {
                    continue;
                }
                let from = usize::try_from(at - len).map_err(io::Error::other)?;
                if !is_zero(block) {
                    file.seek(SeekFrom::Start(at))?;
                    file.write_all(bytes.get(from..from + run).unwrap_or_default())?;
                }
                at += u64::try_from(run).map_err(io::Error::other)?;
                run = 0;
            }
            len = at;
        }
        file.set_len(len)
    }

    pub(crate) fn rewrite(&self, bytes: &[u8]) -> io::Result<()> {
        let how = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = sys::openat(&self.folder, self.os_name(), how, Mode::empty())?;
        File::from(file).write_all(bytes)
    }

    /// Goes to another name of its folder, in the place of what stands there.
    pub(crate) fn take(&self, place: &Place<'_>) -> io::Result<()> {
        let (from, to) = (self.os_name(), place.os_name());
        Ok(sys::renameat(&self.folder, from, &place.folder, to)?)
    }

    /// Gives it all metadata. Owner first: that takes set-id bits and capabilities away.
    pub(crate) fn dress(&self, meta: &Meta, xattrs: &Xattrs) -> io::Result<()> {
        self.own(Some(meta.uid), Some(meta.gid))?;
        self.attributes(
            xattrs.iter().map(|(name, value)| (name.as_slice(), Some(value.as_slice()))),
        )?;
        self.permit(meta.mode)?;
        let (times, how) = (times_of(meta.mtime), AtFlags::SYMLINK_NOFOLLOW);
        Ok(sys::utimensat(&self.folder, self.os_name(), &times, how)?)
    }

    /// Takes away the lists of access rights that a new entry has from its folder, where it is to have
    /// none of its own.
    pub(crate) fn disinherit(&self, xattrs: &Xattrs) -> io::Result<()> {
        let path = self.proc_path();
        for name in [ACL_ACCESS, ACL_DEFAULT].into_iter().filter(|name| !xattrs.contains_key(*name))
        {
            match sys::lremovexattr(path.as_slice(), name) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn own(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        let how = AtFlags::SYMLINK_NOFOLLOW;
        Ok(sys::chownat(&self.folder, self.os_name(), uid, gid, how)?)
    }

    /// Another owner, and nothing else: set-id bits and capabilities are put back.
    pub(crate) fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        let stat = sys::statat(&self.folder, self.os_name(), AtFlags::SYMLINK_NOFOLLOW)?;
        let path = self.proc_path();
        let mut value = [0; 64];
        let capabilities = match sys::lgetxattr(path.as_slice(), CAPABILITIES, &mut value) {
            Ok(len) => value.get(..len),
            Err(_) => None,
        };
        self.own(uid, gid)?;
        if let Some(capabilities) = capabilities {
            sys::lsetxattr(path.as_slice(), CAPABILITIES, capabilities, XattrFlags::empty())?;
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => Ok(()),
            _ => self.permit(stat.st_mode & 0o7777),
        }
    }

    /// A link has no permissions of its own.
    pub(crate) fn permit(&self, mode: u32) -> io::Result<()> {
        if self.kind()? == Some(FileType::Symlink) {
            return Ok(());
        }
        Ok(sys::chmodat(&self.folder, self.os_name(), Mode::from_raw_mode(mode), AtFlags::empty())?)
    }

    pub(crate) fn attributes<'x>(
        &self,
        xattrs: impl Iterator<Item = (&'x [u8], Option<&'x [u8]>)>,
    ) -> io::Result<()> {
        let path = self.proc_path();
        for (name, value) in xattrs {
            match value {
                Some(value) => sys::lsetxattr(path.as_slice(), name, value, XattrFlags::empty())?,
                None => sys::lremovexattr(path.as_slice(), name)?,
            }
        }
        Ok(())
    }

    /// There is no call for the attributes of a link, relative to a folder.
    fn proc_path(&self) -> Vec<u8> {
        let folder = format!("/proc/self/fd/{}/", self.folder.as_fd().as_raw_fd());
        [folder.as_bytes(), self.name].concat()
    }
}

/// So much is read of a new file's content before it is written.
const AT_ONCE: usize = 256 << 10;
/// What a hole is made of.
const BLOCK: usize = 4096;
