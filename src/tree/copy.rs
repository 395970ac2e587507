//! A tree copied to a new one.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::new::{Stopped, Whole, data_of};
use super::{Folder, Kind, Making, Measure, Meta, NewTree, Tell, TreePath};
use crate::error::{Error, ErrorKind, Result};
use crate::units::Bytes;

/// What a tree holds, without a look at any content.
///
/// # Errors
/// Those of the file system, naming the path; [`Interrupted`](ErrorKind::Interrupted).
pub fn weigh<F: Folder>(from: &F, tell: Tell<'_>) -> Result<Measure> {
    weigh_with(from, Whiteouts::Refused, tell)
}

/// The same for what [`copy_in_use`] copies.
///
/// # Errors
/// As [`weigh`].
pub fn weigh_in_use<F: Folder>(from: &F, tell: Tell<'_>) -> Result<Measure> {
    weigh_with(from, Whiteouts::Taken, tell)
}

fn weigh_with<F: Folder>(from: &F, whiteouts: Whiteouts, tell: Tell<'_>) -> Result<Measure> {
    let mut walk = Walk::new(tell, whiteouts);
    let root = from.own_meta().map_err(|error| failed(error, &TreePath::root()))?;
    walk.folder(from, &TreePath::root(), root.fs, None)?;
    Ok(walk.measure)
}

/// Copies a tree with all metadata, but for other file systems that are mounted in it; names of one
/// file are names of one file again.
///
/// # Errors
/// Those of both file systems, naming the path; [`Interrupted`](ErrorKind::Interrupted). What the
/// new tree then holds is of no use.
pub fn copy<F: Folder>(from: &F, to: &mut dyn NewTree, tell: Tell<'_>) -> Result<Measure> {
    copy_with(from, to, Whiteouts::Refused, tell)
}

/// The same of a tree that is in use, or of a part of one: what looks as if it took something away
/// is some container's that is kept there.
///
/// # Errors
/// As [`copy`].
pub fn copy_in_use<F: Folder>(from: &F, to: &mut dyn NewTree, tell: Tell<'_>) -> Result<Measure> {
    copy_with(from, to, Whiteouts::Taken, tell)
}

fn copy_with<F: Folder>(
    from: &F,
    to: &mut dyn NewTree,
    whiteouts: Whiteouts,
    tell: Tell<'_>,
) -> Result<Measure> {
    let mut walk = Walk::new(tell, whiteouts);
    let at = TreePath::root();
    let root = from.own_meta().and_then(|meta| {
        to.put(&at, &meta, &from.own_xattrs()?, Making::Other)?;
        Ok(meta)
    });
    walk.folder(from, &at, root.map_err(|error| failed(error, &at))?.fs, Some(&mut *to))?;
    to.finish().map_err(|error| Error::io(error).op("finish the tree"))?;
    Ok(walk.measure)
}

fn failed(error: io::Error, at: &TreePath) -> Error {
    if Stopped::is(&error) { Stopped::told() } else { Error::io(error).op("copy").at(at) }
}

/// What becomes of files that take others away in a stack of layers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whiteouts {
    /// One of such layers is no whole system.
    Refused,
    Taken,
}

struct Walk<'w> {
    measure: Measure,
    whiteouts: Whiteouts,
    /// Files with several names, by inode, and the first of these.
    names: BTreeMap<u64, TreePath>,
    tell: Tell<'w>,
}

impl<'w> Walk<'w> {
    fn new(tell: Tell<'w>, whiteouts: Whiteouts) -> Self {
        Self { measure: Measure::default(), whiteouts, names: BTreeMap::new(), tell }
    }

    fn folder<F: Folder>(
        &mut self,
        from: &F,
        at: &TreePath,
        fs: u64,
        mut to: Option<&mut dyn NewTree>,
    ) -> Result<()> {
        let mut names = from.names().map_err(|error| failed(error, at))?;
        names.sort_unstable();
        for name in names {
            let path = at.join(&name);
            let told = |error| failed(error, &path);
            let meta = from.meta(&name).map_err(told)?;
            // A folder that something is mounted at belongs to the tree, what is in it does not.
            let mounted = meta.fs != fs;
            self.count(&meta, &path)?;
            if let Some(first) = self.first_name(&meta, &path) {
                if let Some(to) = to.as_deref_mut() {
                    to.link(&path, &first).map_err(told)?;
                }
                continue;
            }
            if let Some(to) = to.as_deref_mut() {
                self.put(from, &name, (&path, &meta), to).map_err(told)?;
            }
            if meta.kind == Kind::Folder && !mounted {
                let inside = from.folder(&name).map_err(told)?;
                match to.as_deref_mut() {
                    Some(to) => self.folder(&inside, &path, fs, Some(to))?,
                    None => self.folder(&inside, &path, fs, None)?,
                }
            }
        }
        Ok(())
    }

    fn put<F: Folder>(
        &mut self,
        from: &F,
        name: &[u8],
        (path, meta): (&TreePath, &Meta),
        to: &mut dyn NewTree,
    ) -> io::Result<()> {
        let xattrs = from.xattrs(name)?;
        match meta.kind {
            Kind::File => {
                let from =
                    Watched { from: from.file(name)?, measure: self.measure, tell: self.tell };
                to.put(path, meta, &xattrs, Making::File(&mut Whole(from)))
            }
            Kind::Link => to.put(path, meta, &xattrs, Making::Link(&from.target(name)?)),
            _ => to.put(path, meta, &xattrs, Making::Other),
        }
    }

    fn count(&mut self, meta: &Meta, path: &TreePath) -> Result<()> {
        let known = meta.links > 1 && self.names.contains_key(&meta.ino);
        if meta.is_whiteout() && self.whiteouts == Whiteouts::Refused {
            let why = "it takes away what is below it: this is one layer of several, and no whole \
                       system";
            return Err(Error::new(ErrorKind::Unsupported, why).at(path));
        }
        let data = if known { Bytes::ZERO } else { data_of(meta, meta.size.min(meta.held)) };
        let too_much = || Error::new(ErrorKind::Corrupt, "more data than there can be").at(path);
        self.measure = self.measure.with(data).ok_or_else(too_much)?;
        if (self.tell)(self.measure) {
            return Err(Stopped::told());
        }
        Ok(())
    }

    /// The name by which a file was met before.
    fn first_name(&mut self, meta: &Meta, path: &TreePath) -> Option<TreePath> {
        if meta.kind == Kind::Folder || meta.links < 2 {
            return None;
        }
        let first = self.names.get(&meta.ino).cloned();
        if first.is_none() {
            self.names.insert(meta.ino, path.clone());
        }
        first
    }
}

/// Content that may be stopped in the middle.
struct Watched<'w, R> {
    from: R,
    measure: Measure,
    tell: Tell<'w>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if (self.tell)(self.measure) {
            return Err(io::Error::other(Stopped));
        }
        self.from.read(buf)
    }
}
