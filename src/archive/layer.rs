//! Archives that are layers of one tree: each adds to those below it, and takes away from them.
//!
//! Source: the OCI image specification 1.1, "Image Layer Filesystem Changeset".

use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;

use super::unpack::{Watched, count, count_up_to, failed, finish, make};
use super::{Archive, Entry};
use crate::error::{Error, ErrorKind, Result};
use crate::tree::{Content, Kind, Measure, NewTree, Tell, TreePath};
use crate::units::Bytes;

/// A file whose name begins so takes away what has the rest of it as its name.
pub(super) const WHITEOUT: &[u8] = b".wh.";

/// The rest of one that takes away all that its folder has from below.
const OPAQUE: &[u8] = b".wh..opq";

/// More paths than any real layer has: what is kept of them is some 20 MiB.
const PATHS_MOST: usize = 1 << 20;

/// What an entry takes away from the layers below its own.
enum Whiteout {
    /// What stands there, with all that is in it.
    Of(TreePath),
    /// What is in that folder.
    Inside(TreePath),
    /// An old file system's own notes.
    Nothing,
}

impl Whiteout {
    fn of(entry: &Entry) -> Result<Option<Self>> {
        let refused = |why: &str| Err(Error::new(ErrorKind::Unsupported, why));
        if entry.meta.is_whiteout() {
            return refused("a device that takes away what is below it, as no image has it");
        }
        let bytes = entry.path.bytes();
        let slash = bytes.iter().rposition(|byte| *byte == b'/');
        let (folder, name) = bytes.split_at(slash.map_or(0, |slash| slash.saturating_add(1)));
        let Some(name) = name.strip_prefix(WHITEOUT) else { return Ok(None) };
        let parts = folder.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        let folder = TreePath::of(parts);
        Ok(Some(match name {
            OPAQUE => Self::Inside(folder),
            b"" | b"." | b".." => return refused("it takes away nothing that has a name"),
            _ if name.starts_with(WHITEOUT) => Self::Nothing,
            name => Self::Of(folder.join(name)),
        }))
    }
}

/// Reads a layer to its end; gives what it and those before it, `below`, have at most.
///
/// # Errors
/// As [`measure`](super::measure()).
pub fn measure_layer(mut from: impl Read, below: Measure, tell: Tell<'_>) -> Result<Measure> {
    let by_now = Cell::new(below);
    let mut from = Watched { from: &mut from, by_now: &by_now, tell, reads: 0 };
    let layer = Archive { is_layer: true, ..Archive::new(&mut from) };
    layer.for_each(&mut |entry, _| match Whiteout::of(entry)? {
        Some(_) => Ok(()),
        None => count(&by_now, entry),
    })?;
    Ok(by_now.get())
}

/// A tree that is made of layers, the lowest first.
pub struct Stack<'s> {
    tree: &'s mut dyn NewTree,
    most: Bytes,
    by_now: Cell<Measure>,
    /// What the layer has made by now; `None` in the lowest, which has nothing to take away.
    own: Option<Own>,
}

impl<'s> Stack<'s> {
    /// One of `most` bytes of files, those that are taken away again among them.
    pub fn new(tree: &'s mut dyn NewTree, most: Bytes) -> Self {
        Self { tree, most, by_now: Cell::default(), own: None }
    }

    /// Puts one more layer on top.
    ///
    /// # Errors
    /// As [`unpack`](super::unpack()).
    pub fn add(&mut self, mut from: impl Read, tell: Tell<'_>) -> Result<()> {
        let Self { tree, most, by_now, own } = self;
        let mut from = Watched { from: &mut from, by_now, tell, reads: 0 };
        let layer = Archive { is_layer: true, ..Archive::new(&mut from) };
        layer.for_each(&mut |entry, content| {
            let mut on = On { tree: &mut **tree, own: own.as_mut() };
            match Whiteout::of(entry)? {
                Some(whiteout) => on.take_away(whiteout),
                None => {
                    count_up_to(by_now, entry, *most)?;
                    on.put(entry, content)
                }
            }
        })?;
        self.own = Some(Own::default());
        Ok(())
    }

    /// Ends it; gives what all layers had.
    ///
    /// # Errors
    /// Those of the tree.
    pub fn finish(self) -> Result<Measure> {
        finish(self.tree)?;
        Ok(self.by_now.get())
    }
}

/// A tree, and what of it the layer that is read has made.
struct On<'o> {
    tree: &'o mut dyn NewTree,
    own: Option<&'o mut Own>,
}

impl On<'_> {
    /// Whatever order the layer has, nothing of its own goes.
    fn take_away(&mut self, whiteout: Whiteout) -> Result<()> {
        let Some(own) = &mut self.own else { return Ok(()) };
        let path = match whiteout {
            Whiteout::Of(path) => path,
            Whiteout::Inside(folder) => {
                own.add(&folder)?;
                folder
            }
            Whiteout::Nothing => return Ok(()),
        };
        self.tree.remove(&path, &|path| own.has(path)).map_err(failed)
    }

    fn put(&mut self, entry: &Entry, content: &mut dyn Content) -> Result<()> {
        if let Some(own) = &mut self.own {
            // A folder from below goes with all that is in it, where something else comes.
            let goes_on = entry.same_as.is_none() && entry.meta.kind == Kind::Folder;
            if !goes_on && entry.same_as.as_ref() != Some(&entry.path) {
                self.tree.remove(&entry.path, &|path| own.has(path)).map_err(failed)?;
            }
            own.add(&entry.path)?;
        }
        make(self.tree, entry, content)
    }
}

/// Paths, and those of the folders on the way: of each a number that nobody can foresee.
#[derive(Default)]
struct Own {
    hashes: BTreeSet<u64>,
    keys: RandomState,
}

impl Own {
    fn has(&self, path: &TreePath) -> bool {
        self.hashes.contains(&self.keys.hash_one(path.bytes()))
    }

    fn add(&mut self, path: &TreePath) -> Result<()> {
        let mut bytes = path.bytes();
        // Where one is known those above it are.
        while self.hashes.insert(self.keys.hash_one(bytes)) && bytes != b"/" {
            let slash = bytes.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
            bytes = bytes.get(..slash).filter(|above| !above.is_empty()).unwrap_or(b"/");
        }
        if self.hashes.len() <= PATHS_MOST {
            return Ok(());
        }
        let why = format!("a layer on top of another has more than {PATHS_MOST} paths");
        Err(Error::new(ErrorKind::Unsupported, why))
    }
}

#[cfg(test)]
mod tests;
