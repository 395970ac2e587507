//! A name in a folder of a mounted tree, and what can be done there. The folder is held open, and no
//! link is followed on the way to it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    self as sys, AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::{ACL_ACCESS, ACL_DEFAULT, Content, Kind, Making, Meta, Time, TreePath, Xattrs};
use crate::dev::bytes::is_zero;
use crate::units::Bytes;

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
    pub(crate) folder: Arc<OwnedFd>,
    pub(crate) name: &'n [u8],
}

impl<'n> Place<'n> {
    /// That path of a tree; no link on the way is followed.
    pub(crate) fn of(root: &Path, path: &'n TreePath) -> io::Result<Self> {
        let (parent, name) = split(path)?;
        Ok(Self { folder: Arc::new(open_folder(root, parent)?), name })
    }
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

    /// Makes an entry where nothing stands, with nothing in it yet: it fails with
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) where something does.
    pub(crate) fn make(&self, meta: &Meta, making: &Making<'_>) -> io::Result<Made> {
        // Nobody else is at it, and most need no other one then. Not so set-id bits: they are for the
        // owner that it gets.
        let mode = Mode::from_raw_mode(meta.mode & 0o777);
        match making {
            Making::File(_) => {
                let how = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let file = sys::openat(&self.folder, self.os_name(), how, mode)?;
                return Ok(Made::File(File::from(file)));
            }
            Making::Link(target) => {
                sys::symlinkat(OsStr::from_bytes(target), &self.folder, self.os_name())?;
            }
            Making::Other if meta.kind == Kind::Folder => {
                sys::mkdirat(&self.folder, self.os_name(), mode)?;
            }
            Making::Other => {
                let (major, minor) = meta.rdev;
                let (kind, device) = (file_type(meta.kind), sys::makedev(major, minor));
                sys::mknodat(&self.folder, self.os_name(), kind, mode, device)?;
            }
        }
        Ok(Made::Other)
    }

    /// Fills what was [made](Self::make), and gives it all metadata.
    pub(crate) fn complete(
        &self,
        made: Made,
        (meta, xattrs): (&Meta, &Xattrs),
        making: Making<'_>,
    ) -> io::Result<()> {
        match (made, making) {
            (Made::File(file), Making::File(content)) => {
                fill(&file, content, meta.size)?;
                dress(&file, meta, xattrs)
            }
            _ => self.dress(meta, xattrs),
        }
    }

    pub(crate) fn rewrite(&self, bytes: &[u8]) -> io::Result<()> {
        let how = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = sys::openat(&self.folder, self.os_name(), how, Mode::empty())?;
        File::from(file).write_all(bytes)
    }

    /// Gives what stands at `first` this name too, in the place of what stands here.
    pub(crate) fn link(&self, first: &Place<'_>) -> io::Result<()> {
        self.clear()?;
        let (from, to) = (first.os_name(), self.os_name());
        Ok(sys::linkat(&first.folder, from, &self.folder, to, AtFlags::empty())?)
    }

    /// Gives it all metadata.
    pub(crate) fn dress(&self, meta: &Meta, xattrs: &Xattrs) -> io::Result<()> {
        dress(self, meta, xattrs)
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

    /// Another owner, and nothing else: set-id bits and capabilities are put back.
    pub(crate) fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        let stat = self.stat()?;
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
        self.set_mode(mode)
    }

    pub(crate) fn change_attributes<'x>(
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

/// What was made at a place.
pub(crate) enum Made {
    /// A file that is open for writing.
    File(File),
    /// Something else.
    Other,
}

/// Writes a new file's content. Blocks of zeros become holes. `size` is how long it is said to be.
fn fill(file: &File, from: &mut dyn Content, size: Bytes) -> io::Result<()> {
    let said = usize::try_from(size.get()).unwrap_or(AT_ONCE).clamp(1, AT_ONCE);
    let (mut buffer, at_once) = (Vec::new(), said.next_multiple_of(BLOCK));
    // How far the content goes, and how far the file does.
    let (mut len, mut end) = (0, 0);
    loop {
        len = further(len, from.skip_hole())?;
        let read = from.piece(&mut buffer, at_once)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        for data in data_in(bytes) {
            let at = further(len, to_u64(data.start)?)?;
            let data = bytes.get(data).unwrap_or_default();
            file.write_all_at(data, at)?;
            end = further(at, to_u64(data.len())?)?;
        }
        len = further(len, to_u64(read)?)?;
    }
    if len == end { Ok(()) } else { file.set_len(len) }
}

/// Where there are blocks that are not zero, those side by side in one.
fn data_in(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut blocks = bytes.chunks(BLOCK);
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut data = at..at;
        for block in blocks.by_ref() {
            at += block.len();
            if !is_zero(block) {
                data.end = at;
            } else if data.is_empty() {
                data = at..at;
            } else {
                break;
            }
        }
        (!data.is_empty()).then_some(data)
    })
}

fn further(at: u64, by: u64) -> io::Result<u64> {
    at.checked_add(by).ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

fn to_u64(len: usize) -> io::Result<u64> {
    u64::try_from(len).map_err(io::Error::other)
}

/// What metadata is given to: by its name, or by a descriptor.
trait Entry {
    fn stat(&self) -> io::Result<Stat>;
    fn own(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()>;
    fn attributes(&self, xattrs: &Xattrs) -> io::Result<()>;
    fn set_mode(&self, mode: u32) -> io::Result<()>;
    fn set_times(&self, times: &Timestamps) -> io::Result<()>;
}

/// Gives an entry all metadata, that is what it has not got: each change is one of its inode. Owner
/// first: that takes set-id bits and capabilities away.
fn dress(entry: &dyn Entry, meta: &Meta, xattrs: &Xattrs) -> io::Result<()> {
    let stat = entry.stat()?;
    let is_owned = (stat.st_uid, stat.st_gid) == (meta.uid, meta.gid);
    if !is_owned {
        entry.own(Some(meta.uid), Some(meta.gid))?;
    }
    entry.attributes(xattrs)?;
    // A list of access rights has something to say of them too. It is what was made just now, so that
    // it cannot have become a link.
    let is_permitted = is_owned && xattrs.is_empty() && stat.st_mode & 0o7777 == meta.mode;
    if !is_permitted && meta.kind != Kind::Link {
        entry.set_mode(meta.mode)?;
    }
    entry.set_times(&times_of(meta.mtime))
}

impl Entry for File {
    fn stat(&self) -> io::Result<Stat> {
        Ok(sys::fstat(self)?)
    }

    fn own(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        Ok(sys::fchown(self, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?)
    }

    fn attributes(&self, xattrs: &Xattrs) -> io::Result<()> {
        xattrs.iter().try_for_each(|(name, value)| {
            Ok(sys::fsetxattr(self, name.as_slice(), value, XattrFlags::empty())?)
        })
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(sys::fchmod(self, Mode::from_raw_mode(mode))?)
    }

    fn set_times(&self, times: &Timestamps) -> io::Result<()> {
        Ok(sys::futimens(self, times)?)
    }
}

impl Entry for Place<'_> {
    fn stat(&self) -> io::Result<Stat> {
        Ok(sys::statat(&self.folder, self.os_name(), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn own(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        let how = AtFlags::SYMLINK_NOFOLLOW;
        Ok(sys::chownat(&self.folder, self.os_name(), uid, gid, how)?)
    }

    fn attributes(&self, xattrs: &Xattrs) -> io::Result<()> {
        self.change_attributes(
            xattrs.iter().map(|(name, value)| (name.as_slice(), Some(value.as_slice()))),
        )
    }

    /// Of what is no link.
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(sys::chmodat(&self.folder, self.os_name(), Mode::from_raw_mode(mode), AtFlags::empty())?)
    }

    fn set_times(&self, times: &Timestamps) -> io::Result<()> {
        Ok(sys::utimensat(&self.folder, self.os_name(), times, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// So much is read of a new file's content before it is written.
const AT_ONCE: usize = 256 << 10;
/// What a hole is made of.
const BLOCK: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_what_lies_between_blocks_of_zeros() {
        let (zeros, data) = ([0; BLOCK], [7; BLOCK]);
        let of = |blocks: &[&[u8]]| data_in(&blocks.concat()).collect::<Vec<_>>();
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[&zeros, &zeros, &[0; 5]]), []);
        let all = of(&[&data, &data[..3], &[0; BLOCK - 3], &zeros, &data]);
        assert_eq!(all, [0..2 * BLOCK, 3 * BLOCK..4 * BLOCK]);
        let all = of(&[&zeros, &data, &data, &zeros, &zeros, &data, &zeros, &data[..1]]);
        assert_eq!(all, [BLOCK..3 * BLOCK, 5 * BLOCK..6 * BLOCK, 7 * BLOCK..7 * BLOCK + 1]);
    }
}
