//! The folders that name the inodes that differ.

use std::collections::{BTreeMap, BTreeSet};

use super::super::inode::{Ino, Inode, is_folder, is_in_use};
use super::super::tree::Tree;
use super::inodes::Differing;
use super::{Side, read};
use crate::error::Result;
use crate::order::Gather;

/// So many inodes are looked through at once for folders.
const SEGMENT: u32 = 128;

/// The folders, the same on both sides, in which an inode that differs has a name. What has a name
/// in a folder that differs itself needs no other.
pub(super) fn folders(sides: [&Tree<'_>; 2], found: &mut Differing) -> Result<Vec<Ino>> {
    for side in Side::BOTH {
        let (tree, names) = (side.copied(sides), side.of_mut(&mut found.names));
        for folder in side.of(&found.folders) {
            let inode = tree.inode(*folder)?;
            tree.each_entry(&inode, &mut |entry| {
                count(names, entry.ino);
                true
            })?;
        }
    }
    let [_, tree] = sides;
    let mut search = Search { tree, found, folders: Vec::new(), seen: BTreeSet::new() };
    search.run()?;
    Ok(search.folders)
}

/// Notes that a name was found; true for an inode whose names are looked for.
fn count(names: &mut BTreeMap<Ino, u16>, ino: Ino) -> bool {
    let Some(left) = names.get_mut(&ino) else { return false };
    *left = left.saturating_sub(1);
    if *left == 0 {
        names.remove(&ino);
    }
    true
}

/// Goes through the folders that are the same on both sides.
struct Search<'s, 'd> {
    tree: &'s Tree<'d>,
    found: &'s mut Differing,
    folders: Vec<Ino>,
    /// Segments of inodes that were looked through.
    seen: BTreeSet<u64>,
}

impl Search<'_, '_> {
    /// Looks around each inode that has a name left, ever further away: the kernel puts a file's
    /// inode near that of its folder. It comes to an end with the last name, or behind the last
    /// inode: a damaged file system may have fewer names than links.
    fn run(&mut self) -> Result<()> {
        let (mut reach, all) = (0u64, self.segments());
        loop {
            let (mut next, starts) = (0, self.left());
            if starts.is_empty() {
                return Ok(());
            }
            for start in starts {
                let end = start.saturating_add(reach).saturating_add(1).min(all);
                for segment in start.saturating_sub(reach).max(next)..end {
                    self.look(segment)?;
                }
                next = next.max(end);
            }
            if reach >= all {
                return Ok(());
            }
            reach = reach.saturating_mul(2).max(1);
        }
    }

    /// The segments of the inodes that have names left, in order.
    fn left(&self) -> BTreeSet<u64> {
        let inodes = self.found.names.iter().flat_map(BTreeMap::keys);
        inodes.map(|ino| self.segment_of(*ino)).gather()
    }

    fn segments_in_group(&self) -> u64 {
        self.tree.blocks.geometry.inodes_per_group.div_ceil(SEGMENT).into()
    }

    fn segments(&self) -> u64 {
        self.segments_in_group().saturating_mul(self.tree.blocks.geometry.group_count())
    }

    fn segment_of(&self, ino: Ino) -> u64 {
        let per_group = self.tree.blocks.geometry.inodes_per_group.max(1);
        let index = ino.get().saturating_sub(1);
        let group = u64::from(index / per_group);
        let inside = u64::from(index % per_group / SEGMENT);
        group.saturating_mul(self.segments_in_group()).saturating_add(inside)
    }

    /// Looks through a segment's folders, once.
    fn look(&mut self, segment: u64) -> Result<()> {
        if self.found.names.iter().all(BTreeMap::is_empty) || !self.seen.insert(segment) {
            return Ok(());
        }
        let geometry = &self.tree.blocks.geometry;
        let per_group = self.segments_in_group().max(1);
        let (group, inside) = (segment / per_group, segment % per_group);
        let table = self.tree.table(group)?;
        let first = u32::try_from(inside).unwrap_or(u32::MAX).saturating_mul(SEGMENT);
        let count = table.used.saturating_sub(first).min(SEGMENT);
        let size = usize::try_from(geometry.inode_size).unwrap_or(usize::MAX).max(1);
        let mut raw = vec![0; size.saturating_mul(usize::try_from(count).unwrap_or(usize::MAX))];
        let skip = u64::from(first).saturating_mul(geometry.inode_size.into());
        read(self.tree, &mut raw, geometry.byte_of(table.start).get().saturating_add(skip))?;
        let before = u64::from(geometry.inodes_per_group).saturating_mul(group);
        let number = before.saturating_add(first.into()).saturating_add(1);
        for (number, raw) in (number..).zip(raw.chunks_exact(size)) {
            let ino = Ino::new(u32::try_from(number).unwrap_or(u32::MAX));
            if is_in_use(raw) && is_folder(raw) && !self.found.inodes.contains(&ino) {
                self.read_folder(&Inode::parse(self.tree.superblock(), ino, raw)?)?;
            }
        }
        Ok(())
    }

    fn read_folder(&mut self, folder: &Inode) -> Result<()> {
        let names = &mut self.found.names;
        let mut is_one = false;
        self.tree.each_entry(folder, &mut |entry| {
            for names in names.iter_mut() {
                is_one |= count(names, entry.ino);
            }
            true
        })?;
        self.folders.extend(is_one.then_some(folder.ino()));
        Ok(())
    }
}

/// Adds to the inodes that differ the folders given, which are on both sides, and all folders above
/// any of them.
pub(super) fn with_all_above(
    sides: [&Tree<'_>; 2],
    found: Differing,
    folders: Vec<Ino>,
) -> Result<BTreeSet<Ino>> {
    let mut all = found.inodes;
    for (tree, differing) in sides.into_iter().zip(found.folders) {
        let mut seen = BTreeSet::new();
        for folder in differing.into_iter().chain(folders.iter().copied()) {
            let mut here = folder;
            while seen.insert(here) && here != Ino::ROOT {
                here = tree.parent(&tree.inode(here)?)?;
            }
        }
        all.append(&mut seen);
    }
    Ok(all)
}
