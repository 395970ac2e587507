//! The inodes that differ.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::super::inode::{Ino, Inode, flag, is_in_use};
use super::super::tree::{InodeTable, Tree};
use super::{Changed, Side, read};
use crate::error::Result;
use crate::tree::Kind;

/// So many bytes of a table are read at once.
const PIECE: u64 = 64 << 10;

/// What is known of the inodes that differ.
#[derive(Default)]
pub(super) struct Differing {
    /// All of them.
    pub(super) inodes: BTreeSet<Ino>,
    /// The folders among them, on each side.
    pub(super) folders: [Vec<Ino>; 2],
    /// The others that have names, on each side, with how many were not found yet.
    pub(super) names: [BTreeMap<Ino, u16>; 2],
}

impl Differing {
    /// Looks into the inode tables within what is changed; `None` where the two have their tables
    /// at different places.
    pub(super) fn find(sides: [&Tree<'_>; 2], changed: &Changed) -> Result<Option<Self>> {
        let [a, b] = sides;
        let geometry = &a.blocks.geometry;
        let (mut found, mut buffers) = (Self::default(), [Vec::new(), Vec::new()]);
        for group in 0..geometry.group_count() {
            let tables = [a.table(group)?, b.table(group)?];
            let [start, other] = tables.map(|table| geometry.byte_of(table.start).get());
            if start != other {
                return Ok(None);
            }
            let len =
                u64::from(geometry.inodes_per_group).saturating_mul(u64::from(geometry.inode_size));
            for range in changed.within(start..start.saturating_add(len)) {
                let range = range.start.saturating_sub(start)..range.end.saturating_sub(start);
                let place = Place { sides, tables, group, start };
                found.look(&place, range, &mut buffers)?;
            }
        }
        Ok(Some(found))
    }

    /// Compares a range of a table, whose bytes count from its begin.
    fn look(
        &mut self,
        place: &Place<'_, '_>,
        range: Range<u64>,
        buffers: &mut [Vec<u8>; 2],
    ) -> Result<()> {
        let size = place.inode_size();
        let end = range.end.next_multiple_of(size);
        let mut at = range.start.saturating_sub(range.start % size);
        while at < end {
            let len = PIECE.min(end.saturating_sub(at));
            for (buffer, tree) in buffers.iter_mut().zip(place.sides) {
                buffer.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
                read(tree, buffer, place.start.saturating_add(at))?;
            }
            let [a, b] = &*buffers;
            let step = usize::try_from(size).unwrap_or(usize::MAX);
            let pairs = a.chunks_exact(step).zip(b.chunks_exact(step));
            for (index, (a, b)) in (at / size..).zip(pairs) {
                self.compare(place, index, [a, b])?;
            }
            at = at.saturating_add(len);
        }
        Ok(())
    }

    fn compare(&mut self, place: &Place<'_, '_>, index: u64, raw: [&[u8]; 2]) -> Result<()> {
        let used = Side::BOTH.map(|side| place.is_used(side, index, side.copied(raw)));
        let [a, b] = raw;
        if used == [false; 2] || (used == [true; 2] && a == b) {
            return Ok(());
        }
        let ino = place.ino(index);
        let inode = |side: Side| {
            let is_used = side.copied(used);
            is_used.then(|| place.parse(side, ino, side.copied(raw))).transpose()
        };
        let inodes = [inode(Side::A)?, inode(Side::B)?];
        if let [Some(a), Some(b)] = &inodes
            && are_told_alike(a, b)
        {
            return Ok(());
        }
        self.inodes.insert(ino);
        for side in Side::BOTH {
            let Some(inode) = side.of(&inodes) else { continue };
            if !place.has_names(side, inode) {
                continue;
            }
            if inode.kind() == Kind::Folder {
                side.of_mut(&mut self.folders).push(ino);
            } else {
                side.of_mut(&mut self.names).insert(ino, inode.links());
            }
        }
        Ok(())
    }
}

/// One table on both sides.
struct Place<'p, 'd> {
    sides: [&'p Tree<'d>; 2],
    tables: [InodeTable; 2],
    group: u64,
    /// The byte where it begins.
    start: u64,
}

impl Place<'_, '_> {
    fn tree(&self) -> &Tree<'_> {
        let [tree, _] = self.sides;
        tree
    }

    /// Never zero.
    fn inode_size(&self) -> u64 {
        u64::from(self.tree().blocks.geometry.inode_size).max(1)
    }

    fn ino(&self, index: u64) -> Ino {
        let per_group = u64::from(self.tree().blocks.geometry.inodes_per_group);
        let number = self.group.saturating_mul(per_group).saturating_add(index).saturating_add(1);
        Ino::new(u32::try_from(number).unwrap_or(u32::MAX))
    }

    fn is_used(&self, side: Side, index: u64, raw: &[u8]) -> bool {
        index < u64::from(side.copied(self.tables).used) && is_in_use(raw)
    }

    fn parse(&self, side: Side, ino: Ino, raw: &[u8]) -> Result<Inode> {
        Ok(Inode::parse(side.copied(self.sides).superblock(), ino, raw)?)
    }

    /// False for the file system's own inodes, and for those that hold attributes.
    fn has_names(&self, side: Side, inode: &Inode) -> bool {
        let sb = side.copied(self.sides).superblock();
        !inode.has(flag::EA_INODE) && !sb.is_own(inode.ino().get())
    }
}

/// Whether a walk would say nothing of two inodes of one number: all that it compares is the same,
/// or the times are, by which it knows the rest. A folder's names are always compared; the kernel
/// counts their changes.
fn are_told_alike(a: &Inode, b: &Inode) -> bool {
    let is_folder = a.kind() == Kind::Folder;
    a.meta() == b.meta() && (!is_folder || a.names_told() == b.names_told())
}
