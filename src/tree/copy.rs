//! A tree copied to a new one.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::new::{Room, Stopped, Whole, data_of};
use super::{Folder, Kind, Making, Measure, Meta, NewTree, Tell, TreePath};
use crate::error::{Error, ErrorKind, Result};
use crate::units::Bytes;

/// The folder of a system that has its kernels, often on a file system of its own.
const BOOT: &[u8] = b"/boot";

/// More names of files with several than any system has that is no store of files: what is kept of them.
const NAMES_MOST: usize = 24 << 20;

/// What sort of tree it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// An image's, at rest. What takes away what is below it is refused: one of several layers is no
    /// whole system.
    Image,
    /// One that is in use, or a part of one: what looks as if it took something away is some
    /// container's that is kept there.
    Part,
    /// That of an installed system in use: as [`Part`](Self::Part), and what is in `/boot` belongs to
    /// it also where that is a file system of its own.
    System,
}

/// What a tree holds, without a look at any content.
///
/// # Errors
/// Those of the file system, naming the path; [`Interrupted`](ErrorKind::Interrupted);
/// [`Unsupported`](ErrorKind::Unsupported) for an [image's](Of::Image) that is none of a whole system.
pub fn weigh<F: Folder>(from: &F, of: Of, tell: Tell<'_>) -> Result<Measure> {
    let mut walk = Walk::new(tell, of);
    let root = from.own_meta().map_err(|error| failed(error, &TreePath::root()))?;
    walk.folder(from, &TreePath::root(), root.fs, None)?;
    Ok(walk.measure)
}

/// Copies a tree with all metadata, but for other file systems that are mounted in it; names of one
/// file are names of one file again.
///
/// # Errors
/// As [`weigh`], and those of the new tree. What that then holds is of no use.
pub fn copy<F: Folder>(from: &F, of: Of, to: &mut dyn NewTree, tell: Tell<'_>) -> Result<Measure> {
    let mut walk = Walk::new(tell, of);
    let at = TreePath::root();
    let root = from.own_meta().and_then(|meta| {
        to.put(&at, &meta, &from.own_xattrs()?, Making::Other)?;
        Ok(meta)
    });
    walk.folder(from, &at, root.map_err(|error| failed(error, &at))?.fs, Some(&mut *to))?;
    finish(to)?;
    Ok(walk.measure)
}

pub(super) fn finish(to: &mut dyn NewTree) -> Result<()> {
    to.finish().map_err(|error| Error::io(error).op("finish the tree"))
}

pub(super) fn failed(error: io::Error, at: &TreePath) -> Error {
    if Stopped::is(&error) {
        return Stopped::told();
    }
    unreadable(error).op("copy").at(at)
}

/// What an error of a tree's says, be it one of the kernel's or of a reader of ours.
pub(crate) fn unreadable(error: io::Error) -> Error {
    let kind = match error.kind() {
        // The kernel's own: it says nothing of what an image holds.
        _ if error.get_ref().is_none() => None,
        io::ErrorKind::InvalidData => Some(ErrorKind::Corrupt),
        io::ErrorKind::Unsupported => Some(ErrorKind::Unsupported),
        _ => None,
    };
    let told = Room::told(&error).unwrap_or_else(|| Error::io(error));
    match kind {
        Some(kind) => told.with_kind(kind),
        None => told,
    }
}

struct Walk<'w> {
    measure: Measure,
    of: Of,
    /// Files with several names, by file system and inode, and the first of these.
    names: BTreeMap<(u64, u64), TreePath>,
    room: Room,
    tell: Tell<'w>,
}

impl<'w> Walk<'w> {
    fn new(tell: Tell<'w>, of: Of) -> Self {
        let room = Room::of(NAMES_MOST, "files that have several names");
        Self { measure: Measure::default(), of, names: BTreeMap::new(), room, tell }
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
            let is_boot = self.of == Of::System && path.bytes() == BOOT;
            let mounted = meta.fs != fs && !is_boot;
            self.count(&meta, &path)?;
            if let Some(first) = self.first_name(&meta, &path).map_err(told)? {
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
                    Some(to) => self.folder(&inside, &path, meta.fs, Some(to))?,
                    None => self.folder(&inside, &path, meta.fs, None)?,
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
        match meta.kind {
            Kind::File => {
                let (from, xattrs) = from.file_and_xattrs(name)?;
                let from = Watched { from, measure: self.measure, tell: self.tell };
                to.put(path, meta, &xattrs, Making::File(&mut Whole(from)))
            }
            Kind::Link => {
                to.put(path, meta, &from.xattrs(name)?, Making::Link(&from.target(name)?))
            }
            _ => to.put(path, meta, &from.xattrs(name)?, Making::Other),
        }
    }

    fn count(&mut self, meta: &Meta, path: &TreePath) -> Result<()> {
        let known = meta.links > 1 && self.names.contains_key(&(meta.fs, meta.ino));
        if meta.is_whiteout() && self.of == Of::Image {
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
    fn first_name(&mut self, meta: &Meta, path: &TreePath) -> io::Result<Option<TreePath>> {
        if meta.kind == Kind::Folder || meta.links < 2 {
            return Ok(None);
        }
        let inode = (meta.fs, meta.ino);
        let first = self.names.get(&inode).cloned();
        if first.is_none() {
            self.room.take(path, 0)?;
            self.names.insert(inode, path.clone());
        }
        Ok(first)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_names_is_bounded() {
        let mut tell = |_: Measure| false;
        let mut walk = Walk::new(&mut tell, Of::Image);
        walk.room = Room::of(1000, "files that have several names");
        let at = |n: u64| TreePath::root().join(n.to_string().as_bytes());
        let mut name = |ino: u64, n: u64| {
            let meta = Meta { ino, fs: 1, links: 9, ..Meta::blank(Kind::File) };
            walk.first_name(&meta, &at(n))
        };
        // Others of one file take nothing.
        for n in 0..100 {
            let first = name(1, n).expect("it is kept once");
            assert_eq!(first, (n > 0).then(|| at(0)));
        }
        let error = (2..100).find_map(|ino| name(ino, ino).err()).expect("not all are kept");
        let error = failed(error, &at(5));
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("several names"), "{error}");
    }
}
