//! A plan put into a tree of the real machine.
//!
//! Every path is walked from the tree's root, name by name, and no link is followed: whatever stands
//! in the trees, nothing outside is touched. What is replaced goes first: nobody uses the tree yet.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{self as sys, AtFlags, FileType, Mode};

use super::accounts::IdMap;
use super::{Action, BESIDE, MetaChange, OURS_BESIDE, Plan, Step};
use crate::diff::Mounted;
use crate::error::{Error, Result};
use crate::tree::place::{FOLDER, Place, open_folder, split};
use crate::tree::{Folder, Kind, Making, Meta, TreePath, Whole, Xattrs};

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
        let mut last = None;
        for step in &plan.steps {
            let done = self.step(step, &mut last);
            done.map_err(|error| Error::io(error).op("carry over").at(&step.path))?;
        }
        Ok(())
    }

    /// One step, in the folder of the one before where that is the same: what is done to a name in
    /// it does not change which one that is.
    fn step<'p>(
        &self,
        Step { path, entry, action }: &'p Step,
        last: &mut Option<At<'p>>,
    ) -> io::Result<()> {
        let (parent, name) = split(path)?;
        let at = match last.take() {
            Some(at) if at.parent == parent => at,
            _ => self.open(parent)?,
        };
        let at = last.insert(at);
        let place = Place { folder: Arc::clone(&at.folder), name };
        match action {
            Action::Copy => copy((self.ours_in(at)?, name), &place, *entry),
            Action::Beside => {
                let beside = [name, OURS_BESIDE.as_bytes()].concat();
                let place = Place { name: &beside, ..place };
                copy_all((self.ours_in(at)?, name), &place, *entry)
            }
            Action::HardLink(first) => place.link(&Place::of(self.root, first)?),
            Action::Content(bytes) => place.rewrite(bytes),
            Action::Meta(change) => change_meta(&place, change),
            Action::Remove if *entry == Kind::Folder => place.remove(AtFlags::REMOVEDIR),
            Action::Remove => place.remove(AtFlags::empty()),
            Action::SetAside => {
                let aside = [name, BESIDE.as_bytes()].concat();
                let (from, to) = (OsStr::from_bytes(name), OsStr::from_bytes(&aside));
                Ok(sys::renameat(&place.folder, from, &place.folder, to)?)
            }
        }
    }

    fn open<'p>(&self, parent: &'p [u8]) -> io::Result<At<'p>> {
        Ok(At { parent, folder: Arc::new(open_folder(self.root, parent)?), ours: None })
    }

    /// The same folder of ours, opened once it is needed.
    fn ours_in<'a>(&self, at: &'a mut At<'_>) -> io::Result<&'a Mounted> {
        let ours = match at.ours.take() {
            Some(ours) => ours,
            None => Mounted::from(open_folder(self.ours, at.parent)?),
        };
        Ok(at.ours.insert(ours))
    }
}

/// A folder in which something is done.
struct At<'p> {
    parent: &'p [u8],
    folder: Arc<OwnedFd>,
    ours: Option<Mounted>,
}

/// Copies what is at a name of a folder of ours; of a folder nothing that is in it.
fn copy((ours, name): (&Mounted, &[u8]), place: &Place<'_>, kind: Kind) -> io::Result<()> {
    let meta = ours.meta(name)?;
    if meta.kind != kind {
        return Err(io::Error::other("it has become something else meanwhile"));
    }
    if kind == Kind::Folder {
        let xattrs = ours.xattrs(name)?;
        let there = place.kind()?;
        if there != Some(FileType::Directory) {
            if there.is_some() {
                place.remove(AtFlags::empty())?;
            }
            place.make(&meta, &Making::Other)?;
            place.disinherit(&xattrs)?;
        }
        return place.dress(&meta, &xattrs);
    }
    let make = |xattrs: &Xattrs, making: Making<'_>| {
        let made = match place.make(&meta, &making) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                place.clear()?;
                place.make(&meta, &making)
            }
            made => made,
        }?;
        place.disinherit(xattrs)?;
        place.complete(made, (&meta, xattrs), making)
    };
    match kind {
        Kind::File => {
            let (content, xattrs) = ours.file_and_xattrs(name)?;
            make(&xattrs, Making::File(&mut Whole(content)))
        }
        Kind::Link => make(&ours.xattrs(name)?, Making::Link(&ours.target(name)?)),
        _ => make(&ours.xattrs(name)?, Making::Other),
    }
}

/// The same with all that is in it.
fn copy_all((ours, name): (&Mounted, &[u8]), place: &Place<'_>, kind: Kind) -> io::Result<()> {
    copy((ours, name), place, kind)?;
    if kind != Kind::Folder {
        return Ok(());
    }
    let inside = ours.folder(name)?;
    for name in inside.names()? {
        let folder = sys::openat(&place.folder, place.os_name(), FOLDER, Mode::empty())?;
        let place = Place { folder: Arc::new(folder), name: &name };
        copy_all((&inside, &name), &place, inside.meta(&name)?.kind)?;
    }
    // The time of its last change once more.
    copy((ours, name), place, kind)
}

fn change_meta(place: &Place<'_>, change: &MetaChange) -> io::Result<()> {
    if change.uid.is_some() || change.gid.is_some() {
        place.chown(change.uid, change.gid)?;
    }
    let xattrs = change.xattrs.iter();
    place.change_attributes(xattrs.map(|(name, value)| (name.as_slice(), value.as_deref())))?;
    change.mode.map_or(Ok(()), |mode| place.permit(mode))
}

/// Gives all files of a tree the ids that they are to have, in their lists of access rights too; other
/// file systems that are mounted in it are left alone. Returns how many were changed.
///
/// # Errors
/// Those of the file system, naming the path.
pub(super) fn map_ids(root: &Path, ids: &IdMap) -> Result<u64> {
    let opened = open_folder(root, b"").map(Mounted::from);
    let at = TreePath::root();
    let failed = |error, at: &TreePath| Error::io(error).op("change the owner").at(at);
    let folder = opened.map_err(|error| failed(error, &at))?;
    let fs = folder.own_meta().map_err(|error| failed(error, &at))?.fs;
    let mut mapping = Mapping { fs, ids, changed: 0, seen: BTreeSet::new() };
    mapping.inside(&folder, &at).map_err(|(error, at)| failed(error, &at))?;
    Ok(mapping.changed)
}

struct Mapping<'i> {
    fs: u64,
    ids: &'i IdMap,
    changed: u64,
    /// Files of several names that have their ids: one may stand for another, and is not mapped twice.
    seen: BTreeSet<u64>,
}

impl Mapping<'_> {
    fn inside(
        &mut self,
        folder: &Mounted,
        at: &TreePath,
    ) -> std::result::Result<(), (io::Error, TreePath)> {
        let names = folder.names().map_err(|error| (error, at.clone()))?;
        for name in names {
            let path = at.join(&name);
            let told = |error| (error, path.clone());
            let meta = folder.meta(&name).map_err(told)?;
            if meta.fs != self.fs {
                continue;
            }
            let is_folder = meta.kind == Kind::Folder;
            if is_folder || meta.links == 1 || self.seen.insert(meta.ino) {
                self.entry(folder, &name, &meta).map_err(told)?;
            }
            if is_folder {
                let inside = folder.folder(&name).map_err(told)?;
                self.inside(&inside, &path)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, folder: &Mounted, name: &[u8], meta: &Meta) -> io::Result<()> {
        let (uid, gid) = (self.ids.uid(meta.uid), self.ids.gid(meta.gid));
        let is_others = (uid, gid) != (meta.uid, meta.gid);
        // A link has no rights of its own.
        let mut xattrs = match meta.kind {
            Kind::Link => Xattrs::new(),
            _ => folder.xattrs(name)?,
        };
        let lists = self.ids.map_acls(&mut xattrs);
        if !is_others && lists.is_empty() {
            return Ok(());
        }
        let place = Place { folder: Arc::new(folder.as_fd().try_clone_to_owned()?), name };
        if is_others {
            place.chown(Some(uid), Some(gid))?;
        }
        place.change_attributes(
            lists.into_iter().map(|list| (list, xattrs.get(list).map(Vec::as_slice))),
        )?;
        self.changed = self.changed.saturating_add(1);
        Ok(())
    }
}
