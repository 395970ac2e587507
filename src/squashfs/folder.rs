//! Folders, as the rest of the library walks through them.
//!
//! The entries come in runs. Each begins with u32 how many there are less one, u32 where the block with
//! their inodes is, u32 a number; an entry is u16 its inode's place in there, i16 what its inode's number
//! has more, u16 its sort, u16 the name's length less one, the name.

use std::io::{self, Read};
use std::sync::Arc;

use super::content::Content;
use super::inode::{self, Body, Inode};
use super::reader::{Reader, State};
use super::{Image, damaged, xattrs};
use crate::tree::{Folder, Meta, Room, Xattrs};

/// The kernel's limits: of entries in a run, and of a name.
const RUN_MAX: u32 = 256;
const NAME_MAX: u16 = 256;
/// A folder's size says so much more than its entries have.
const BEYOND: u32 = 3;
/// Folders one in the other: as many as a process may have files open, of old.
const DEPTH_MAX: u32 = 1000;
/// So much is kept of the names of a folder and of those that it is in, with [so much](EACH) beside each.
const LISTINGS_MAX: usize = 24 << 20;
const EACH: usize = 64;

/// A folder of an image.
pub struct SquashFolder {
    reader: Arc<Reader>,
    inode: Inode,
    /// Names and where their inodes are, sorted.
    entries: Vec<(Vec<u8>, u64)>,
    depth: u32,
    /// What is left for the names of folders in it.
    room: Room,
}

impl SquashFolder {
    pub(super) fn root(reader: Arc<Reader>) -> io::Result<Self> {
        let reference = reader.image.sb.root_inode;
        Self::enter(&reader, reference, 0, Room::of(LISTINGS_MAX, "names in folders"))
    }

    fn enter(reader: &Arc<Reader>, reference: u64, depth: u32, mut room: Room) -> io::Result<Self> {
        let (image, mut state) = (&reader.image, reader.state());
        let inode = inode::read(&mut state, image, reference)?;
        let Body::Folder(..) = inode.body else { return Err(io::ErrorKind::NotADirectory.into()) };
        if depth > DEPTH_MAX {
            let why = format!("more than {DEPTH_MAX} folders, one in the other");
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        if !state.entered.insert(reference) {
            return Err(damaged("a folder is there twice"));
        }
        let entries = entries(&mut state, image, &inode, &mut room)?;
        drop(state);
        Ok(Self { reader: Arc::clone(reader), inode, entries, depth, room })
    }

    fn reference(&self, name: &[u8]) -> io::Result<u64> {
        let found = self.entries.binary_search_by(|(own, _)| own.as_slice().cmp(name));
        let found = found.ok().and_then(|index| self.entries.get(index));
        found.map(|(_, reference)| *reference).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn inode(&self, name: &[u8]) -> io::Result<Inode> {
        let reference = self.reference(name)?;
        inode::read(&mut self.reader.state(), &self.reader.image, reference)
    }

    fn xattrs_of(&self, inode: &Inode) -> io::Result<Xattrs> {
        inode.xattrs.map_or(Ok(Xattrs::new()), |number| {
            xattrs::read(&mut self.reader.state(), &self.reader.image, number)
        })
    }
}

fn entries(
    state: &mut State,
    image: &Image,
    folder: &Inode,
    room: &mut Room,
) -> io::Result<Vec<(Vec<u8>, u64)>> {
    let Body::Folder(place, size) = folder.body else { return Ok(Vec::new()) };
    let long = || damaged("a folder's entries go on behind its end");
    let mut left = size.saturating_sub(BEYOND);
    let mut fields = state.fields(image, place);
    let mut entries = Vec::new();
    while left > 0 {
        let count = fields.u32()?.saturating_add(1);
        let (block, _number) = (u64::from(fields.u32()?), fields.u32()?);
        left = left.checked_sub(12).ok_or_else(long)?;
        if count > RUN_MAX {
            return Err(damaged("a folder has an impossible run of entries"));
        }
        for _ in 0..count {
            let offset = u64::from(fields.u16()?);
            let (_more, _sort) = (fields.u16()?, fields.u16()?);
            let len = fields.u16()?.saturating_add(1);
            if len > NAME_MAX {
                return Err(damaged("a folder has an entry whose name is too long"));
            }
            left = left.checked_sub(u32::from(len).saturating_add(8)).ok_or_else(long)?;
            let name = fields.bytes(len.into())?;
            if name == b"." || name == b".." || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
                return Err(damaged("a folder has an entry of an impossible name"));
            }
            room.take_bytes(name.len().saturating_add(EACH))?;
            entries.push((name, block << 16 | offset));
        }
    }
    entries.sort_unstable();
    if entries.is_sorted_by(|(a, _), (b, _)| a < b) {
        Ok(entries)
    } else {
        Err(damaged("a folder has two entries of one name"))
    }
}

impl Folder for SquashFolder {
    fn own_meta(&self) -> io::Result<Meta> {
        Ok(self.inode.meta.clone())
    }

    fn own_xattrs(&self) -> io::Result<Xattrs> {
        self.xattrs_of(&self.inode)
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        Ok(self.entries.iter().map(|(name, _)| name.clone()).collect())
    }

    fn meta(&self, name: &[u8]) -> io::Result<Meta> {
        self.inode(name).map(|inode| inode.meta)
    }

    fn folder(&self, name: &[u8]) -> io::Result<Self> {
        let depth = self.depth.saturating_add(1);
        Self::enter(&self.reader, self.reference(name)?, depth, self.room.clone())
    }

    fn file(&self, name: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        self.file_and_xattrs(name).map(|(file, _)| file)
    }

    fn file_and_xattrs(&self, name: &[u8]) -> io::Result<(Box<dyn Read + '_>, Xattrs)> {
        let inode = self.inode(name)?;
        let Body::File(blocks) = inode.body else { return Err(io::ErrorKind::InvalidInput.into()) };
        let content = Content::of(&self.reader, &inode, blocks);
        Ok((Box::new(content), self.xattrs_of(&inode)?))
    }

    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        match self.inode(name)?.body {
            Body::Link(target) => Ok(target),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn xattrs(&self, name: &[u8]) -> io::Result<Xattrs> {
        self.xattrs_of(&self.inode(name)?)
    }
}
