//! A plan put into a tree of the real machine.
//!
//! Every path is walked from the tree's root, name by name, and no link is followed: whatever stands
//! in the trees, nothing outside is touched. What replaces something is made beside it and renamed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    self as sys, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::accounts::IdMap;
use super::{Action, BESIDE, MetaChange, Plan, Step};
use crate::diff::Mounted;
use crate::error::{Error, Result};
use crate::tree::{Folder, Kind, Meta, TreePath, Xattrs};

/// The name that something has until it takes its place.
const TEMPORARY: &[u8] = b".imgbase-new";

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What `lchown` takes away, since it is worth more than a file.
const CAPABILITIES: &[u8] = b"security.capability";

/// The tree that is changed, and the one that copies come from.
pub(super) struct Target<'t> {
    pub(super) root: &'t Path,
    pub(super) ours: &'t Path,
}

impl Target<'_> {
    /// Does what a plan says, and makes it durable with the file system's next sync.
    ///
    /// # Errors
    /// Those of the file systems, naming the path. What was done by then stays.
    pub(super) fn apply(&self, plan: &Plan) -> Result<()> {
        for step in &plan.steps {
            self.step(step).map_err(|error| Error::io(error).op("carry over").at(&step.path))?;
        }
        Ok(())
    }

    fn step(&self, Step { path, entry, action }: &Step) -> io::Result<()> {
        let (parent, name) = split(path)?;
        let place = Place { folder: open_folder(self.root, parent)?, name };
        match action {
            Action::Copy => self.copy(&place, parent, *entry),
            Action::HardLink(first) => self.link(&place, first),
            Action::Content(bytes) => place.rewrite(bytes),
            Action::Meta(change) => place.change(change),
            Action::Remove if *entry == Kind::Folder => place.remove(AtFlags::REMOVEDIR),
            Action::Remove => place.remove(AtFlags::empty()),
            Action::SetAside => {
                let aside = [name, BESIDE.as_bytes()].concat();
                let (from, to) = (OsStr::from_bytes(name), OsStr::from_bytes(&aside));
                Ok(sys::renameat(&place.folder, from, &place.folder, to)?)
            }
        }
    }

    fn copy(&self, place: &Place<'_>, parent: &[u8], kind: Kind) -> io::Result<()> {
        let ours = Mounted::from(open_folder(self.ours, parent)?);
        let meta = ours.meta(place.name)?;
        if meta.kind != kind {
            return Err(io::Error::other("it has become something else meanwhile"));
        }
        let xattrs = ours.xattrs(place.name)?;
        if kind == Kind::Folder {
            match place.kind()? {
                Some(FileType::Directory) => {}
                Some(_) => {
                    place.remove(AtFlags::empty())?;
                    place.make_folder()?;
                }
                None => place.make_folder()?,
            }
            return place.dress(&meta, &xattrs);
        }
        let new = Place { folder: place.folder.try_clone()?, name: TEMPORARY };
        new.clear()?;
        match kind {
            Kind::File => new.fill(&mut ours.file(place.name)?)?,
            Kind::Link => {
                let target = ours.target(place.name)?;
                sys::symlinkat(OsStr::from_bytes(&target), &new.folder, new.os_name())?;
            }
            _ => {
                let (major, minor) = meta.rdev;
                let device = sys::makedev(major, minor);
                sys::mknodat(&new.folder, new.os_name(), file_type(kind), Mode::empty(), device)?;
            }
        }
        new.dress(&meta, &xattrs)?;
        new.take(place)
    }

    fn link(&self, place: &Place<'_>, first: &TreePath) -> io::Result<()> {
        let (parent, name) = split(first)?;
        let from = open_folder(self.root, parent)?;
        let new = Place { folder: place.folder.try_clone()?, name: TEMPORARY };
        new.clear()?;
        let name = OsStr::from_bytes(name);
        sys::linkat(&from, name, &new.folder, new.os_name(), AtFlags::empty())?;
        new.take(place)?;
        // Of two names of one file the rename is no change.
        new.clear()
    }
}

/// A path's folder, and its last name.
fn split(path: &TreePath) -> io::Result<(&[u8], &[u8])> {
    let bytes = path.bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/');
    let (parent, name) =
        slash.map(|slash| bytes.split_at(slash)).ok_or(io::ErrorKind::InvalidInput)?;
    let name = name.get(1..).filter(|name| !name.is_empty());
    Ok((parent, name.ok_or(io::ErrorKind::InvalidInput)?))
}

/// The folder at that path of a tree; no link on the way is followed.
fn open_folder(root: &Path, path: &[u8]) -> io::Result<OwnedFd> {
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

/// A name in a folder that is held open.
struct Place<'n> {
    folder: OwnedFd,
    name: &'n [u8],
}

impl Place<'_> {
    fn os_name(&self) -> &OsStr {
        OsStr::from_bytes(self.name)
    }

    /// What stands there, if anything.
    fn kind(&self) -> io::Result<Option<FileType>> {
        match sys::statat(&self.folder, self.os_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn make_folder(&self) -> io::Result<()> {
        Ok(sys::mkdirat(&self.folder, self.os_name(), Mode::RWXU)?)
    }

    fn remove(&self, how: AtFlags) -> io::Result<()> {
        Ok(sys::unlinkat(&self.folder, self.os_name(), how)?)
    }

    /// Takes away what an earlier try has left there.
    fn clear(&self) -> io::Result<()> {
        match self.remove(AtFlags::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn fill(&self, from: &mut dyn Read) -> io::Result<()> {
        let how = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = sys::openat(&self.folder, self.os_name(), how, Mode::RUSR | Mode::WUSR)?;
        io::copy(from, &mut File::from(file)).map(drop)
    }

    fn rewrite(&self, bytes: &[u8]) -> io::Result<()> {
        let how = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = sys::openat(&self.folder, self.os_name(), how, Mode::empty())?;
        File::from(file).write_all(bytes)
    }

    /// Goes to another name of its folder, in the place of what stands there.
    fn take(&self, place: &Place<'_>) -> io::Result<()> {
        let (from, to) = (self.os_name(), place.os_name());
        Ok(sys::renameat(&self.folder, from, &place.folder, to)?)
    }

    /// Gives it all metadata. Owner first: that takes set-id bits and capabilities away.
    fn dress(&self, meta: &Meta, xattrs: &Xattrs) -> io::Result<()> {
        self.own(Some(meta.uid), Some(meta.gid))?;
        self.attributes(
            xattrs.iter().map(|(name, value)| (name.as_slice(), Some(value.as_slice()))),
        )?;
        self.permit(meta.mode)?;
        let (seconds, nanoseconds) = meta.mtime;
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
        let times = Timestamps { last_access: time, last_modification: time };
        let how = AtFlags::SYMLINK_NOFOLLOW;
        Ok(sys::utimensat(&self.folder, self.os_name(), &times, how)?)
    }

    fn change(&self, change: &MetaChange) -> io::Result<()> {
        if change.uid.is_some() || change.gid.is_some() {
            self.chown(change.uid, change.gid)?;
        }
        let xattrs = change.xattrs.iter();
        self.attributes(xattrs.map(|(name, value)| (name.as_slice(), value.as_deref())))?;
        change.mode.map_or(Ok(()), |mode| self.permit(mode))
    }

    fn own(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        let how = AtFlags::SYMLINK_NOFOLLOW;
        Ok(sys::chownat(&self.folder, self.os_name(), uid, gid, how)?)
    }

    /// Another owner, and nothing else: set-id bits and capabilities are put back.
    fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
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
    fn permit(&self, mode: u32) -> io::Result<()> {
        if self.kind()? == Some(FileType::Symlink) {
            return Ok(());
        }
        Ok(sys::chmodat(&self.folder, self.os_name(), Mode::from_raw_mode(mode), AtFlags::empty())?)
    }

    fn attributes<'x>(
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

/// Gives all files of a tree the ids that they are to have; other file systems that are mounted in
/// it are left alone. Returns how many were changed.
///
/// # Errors
/// Those of the file system, naming the path.
pub(super) fn map_ids(root: &Path, ids: &IdMap) -> Result<u64> {
    let opened = open_folder(root, b"").map(Mounted::from);
    let at = TreePath::root();
    let failed = |error, at: &TreePath| Error::io(error).op("change the owner").at(at);
    let folder = opened.map_err(|error| failed(error, &at))?;
    let fs = folder.own_meta().map_err(|error| failed(error, &at))?.fs;
    let mut changed = 0;
    map_in(&folder, &at, fs, ids, &mut changed).map_err(|(error, at)| failed(error, &at))?;
    Ok(changed)
}

fn map_in(
    folder: &Mounted,
    at: &TreePath,
    fs: u64,
    ids: &IdMap,
    changed: &mut u64,
) -> std::result::Result<(), (io::Error, TreePath)> {
    let names = folder.names().map_err(|error| (error, at.clone()))?;
    for name in names {
        let path = at.join(&name);
        let told = |error| (error, path.clone());
        let meta = folder.meta(&name).map_err(told)?;
        if meta.fs != fs {
            continue;
        }
        let (uid, gid) = (ids.uid(meta.uid), ids.gid(meta.gid));
        if (uid, gid) != (meta.uid, meta.gid) {
            let place =
                Place { folder: folder.as_fd().try_clone_to_owned().map_err(told)?, name: &name };
            place.chown(Some(uid), Some(gid)).map_err(told)?;
            *changed = changed.saturating_add(1);
        }
        if meta.kind == Kind::Folder {
            let inside = folder.folder(&name).map_err(told)?;
            map_in(&inside, &path, fs, ids, changed)?;
        }
    }
    Ok(())
}
