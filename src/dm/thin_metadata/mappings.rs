//! What two thin devices have different, by their trees of mappings alone.
//!
//! A snapshot shares its origin's tree, and a change copies the path to it: two trees are gone
//! through side by side, and what is the same node in both is passed by. So it costs what differs.
//!
//! No metadata snapshot is taken, of which a pool can have but one: there is nothing that a crash
//! could leave behind, and nothing that another program would miss. The roots of both trees are
//! read at one moment. From then on the trees stay as they are while nobody writes to the two
//! devices, whatever else the pool does: a change elsewhere copies what it touches, and a block
//! that a tree leads to is not free. That nobody writes is for the caller to see to; where somebody
//! has, a root is another one afterwards, and nothing is reported.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;

use super::node::Node;
use super::{at_one_moment, corrupt};
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, Result};
use crate::units::Bytes;

/// Of a mapping.
const VALUE: usize = 8;
/// A mapping's lowest bits are a time.
const TIME_BITS: u32 = 24;
/// No tree is deeper: with 126 entries and more in a node, 2^64 keys take ten levels.
const DEPTH_MAX: usize = 16;

/// Where two thin devices may have different content: chunks that only one has, or that lie
/// elsewhere in the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedChunks {
    /// A chunk's size.
    pub chunk: Bytes,
    /// Numbers of chunks, in order.
    pub ranges: Vec<Range<u64>>,
}

impl ChangedChunks {
    /// The same as bytes.
    pub fn bytes(&self) -> impl Iterator<Item = Range<Bytes>> + '_ {
        let byte = |chunk: u64| Bytes::new(chunk.saturating_mul(self.chunk.get()));
        self.ranges.iter().map(move |range| byte(range.start)..byte(range.end))
    }
}

/// Compares the mappings of two thin devices to which nobody writes; the pool may be in use. What
/// was written to them before must be committed: a sync of each does that.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) where there is no such thin device;
/// [`Busy`](ErrorKind::Busy) where one of them was written to meanwhile;
/// [`Corrupt`](ErrorKind::Corrupt), [`Io`](ErrorKind::Io), [`Unsupported`](ErrorKind::Unsupported).
pub fn changed_chunks(dev: &dyn Dev, a: u32, b: u32) -> Result<ChangedChunks> {
    let roots = || {
        at_one_moment(dev, |superblock| {
            let root = |id| root_of(dev, superblock.mapping_root, id);
            Ok((superblock.chunk.bytes(), root(a)?, root(b)?))
        })
    };
    let before = roots()?;
    let (chunk, a, b) = before;
    let ranges = compare(dev, a, b);
    if roots()? != before {
        let why = "one of the thin devices was written to meanwhile";
        return Err(Error::new(ErrorKind::Busy, why).op("compare mappings").at(dev.name()));
    }
    Ok(ChangedChunks { chunk, ranges: ranges? })
}

/// The root of a device's mappings.
fn root_of(dev: &dyn Dev, mut block: u64, id: u32) -> Result<u64> {
    for _ in 0..DEPTH_MAX {
        let node = Node::read(dev, block, VALUE)?;
        let mut pairs = (0..node.len).map_while(|index| node.pair(index));
        let found = if node.is_leaf {
            pairs.find(|(key, _)| *key == u64::from(id))
        } else {
            pairs.take_while(|(key, _)| *key <= u64::from(id)).last()
        };
        let Some((_, below)) = found else {
            let why = format!("the pool has no thin device {id}");
            return Err(Error::new(ErrorKind::NotFound, why).at(dev.name()));
        };
        if node.is_leaf {
            return Ok(below);
        }
        block = below;
    }
    Err(too_deep(dev, block))
}

fn too_deep(dev: &dyn Dev, block: u64) -> Error {
    corrupt(dev, block, "its tree is too deep")
}

fn compare(dev: &dyn Dev, a: u64, b: u64) -> Result<Vec<Range<u64>>> {
    if a == b {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let (mut a, mut b) = (Cursor::new(dev, a)?, Cursor::new(dev, b)?);
    loop {
        match (a.here(), b.here()) {
            (None, None) => return Ok(found),
            (Some(Here::Node(x)), Some(Here::Node(y))) if x.block == y.block => {
                a.pass();
                b.pass();
            }
            (Some(Here::Node(x)), Some(Here::Node(y))) => {
                // The one that begins first or is taller: what it has in common with the other
                // can only be met below it.
                let order = x.key.cmp(&y.key).then(y.height.cmp(&x.height));
                if order != Ordering::Greater {
                    a.enter(x)?;
                }
                if order != Ordering::Less {
                    b.enter(y)?;
                }
            }
            (Some(Here::Node(x)), Some(Here::Entry(key, _))) if x.key > key => b.only(&mut found),
            (Some(Here::Entry(key, _)), Some(Here::Node(y))) if y.key > key => a.only(&mut found),
            (Some(Here::Node(x)), _) => a.enter(x)?,
            (_, Some(Here::Node(y))) => b.enter(y)?,
            (Some(Here::Entry(x, _)), Some(Here::Entry(y, _))) if x < y => a.only(&mut found),
            (Some(Here::Entry(x, _)), Some(Here::Entry(y, _))) if x > y => b.only(&mut found),
            (Some(Here::Entry(x, in_a)), Some(Here::Entry(_, in_b))) => {
                if in_a != in_b {
                    note(&mut found, x);
                }
                a.pass();
                b.pass();
            }
            (Some(_), None) => a.only(&mut found),
            (None, Some(_)) => b.only(&mut found),
        }
    }
}

/// Adds a chunk behind those before it.
fn note(found: &mut Vec<Range<u64>>, chunk: u64) {
    let behind = chunk.saturating_add(1);
    match found.last_mut() {
        Some(last) if last.end == chunk => last.end = behind,
        _ => found.push(chunk..behind),
    }
}

/// What a cursor stands at.
#[derive(Clone, Copy)]
enum Here {
    Node(Below),
    /// A chunk, and where it lies in the pool.
    Entry(u64, u64),
}

/// A node that was not read yet.
#[derive(Clone, Copy)]
struct Below {
    /// No key in it is lower.
    key: u64,
    block: u64,
    /// Levels below it.
    height: usize,
}

/// A place in a tree, which moves from the lowest key to the highest.
struct Cursor<'d> {
    dev: &'d dyn Dev,
    /// The nodes on the way, and the entry in each.
    path: Vec<(Node, usize)>,
    /// The root, until it is entered.
    root: Option<Below>,
    /// Levels of the whole tree.
    height: usize,
    /// The last key that was passed.
    last: Option<u64>,
    seen: HashSet<u64>,
}

impl<'d> Cursor<'d> {
    fn new(dev: &'d dyn Dev, root: u64) -> Result<Self> {
        let height = height(dev, root)?;
        let root = Some(Below { key: 0, block: root, height });
        Ok(Self { dev, path: Vec::new(), root, height, last: None, seen: HashSet::new() })
    }

    fn here(&mut self) -> Option<Here> {
        if let Some(root) = self.root {
            return Some(Here::Node(root));
        }
        loop {
            let height = self.height.saturating_sub(self.path.len());
            let (node, index) = self.path.last()?;
            match node.pair(*index) {
                Some((key, value)) if node.is_leaf => {
                    return Some(Here::Entry(key, value >> TIME_BITS));
                }
                Some((key, block)) => return Some(Here::Node(Below { key, block, height })),
                None => {
                    self.path.pop();
                    self.pass();
                }
            }
        }
    }

    /// Goes on behind what it stands at.
    fn pass(&mut self) {
        self.root = None;
        if let Some((_, index)) = self.path.last_mut() {
            *index = index.saturating_add(1);
        }
    }

    /// Goes on behind an entry that the other tree does not have.
    fn only(&mut self, found: &mut Vec<Range<u64>>) {
        if let Some(Here::Entry(key, _)) = self.here() {
            note(found, key);
        }
        self.pass();
    }

    /// Goes down into a node. A tree has each node once, and keys rise: else it could go on for
    /// ever, and what was found would be in no order.
    fn enter(&mut self, below: Below) -> Result<()> {
        let wrong = |why| Err(corrupt(self.dev, below.block, why));
        if !self.seen.insert(below.block) {
            return wrong("it is in the tree twice");
        }
        let node = Node::read(self.dev, below.block, VALUE)?;
        if node.is_leaf != (below.height == 0) || self.path.len() >= DEPTH_MAX {
            return wrong("its tree is not of one depth");
        }
        for (key, _) in node.entries() {
            if key < below.key || (node.is_leaf && self.last.is_some_and(|last| key <= last)) {
                return wrong("its keys are out of order");
            }
            if node.is_leaf {
                self.last = Some(key);
            }
        }
        self.root = None;
        self.path.push((node, 0));
        Ok(())
    }
}

/// How many levels of a tree are below its root, by the way to its lowest key.
fn height(dev: &dyn Dev, mut block: u64) -> Result<usize> {
    for height in 0..DEPTH_MAX {
        let node = Node::read(dev, block, VALUE)?;
        match node.pair(0) {
            Some((_, below)) if !node.is_leaf => block = below,
            _ => return Ok(height),
        }
    }
    Err(too_deep(dev, block))
}

#[cfg(test)]
mod tests;
