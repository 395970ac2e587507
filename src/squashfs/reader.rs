//! What one walk reads, and what it keeps of it.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::metadata::{Metadata, Place, entry};
use super::{Image, damaged};
use crate::pack::Unpacker;
use crate::queue::lock;
use crate::tree::Xattrs;

/// Of the length of a block of data: it is not packed.
const AS_IT_IS: u32 = 1 << 24;

/// So many blocks of the ends of files are kept. Those of one folder's files lie side by side.
const FRAGMENTS_KEPT: usize = 3;

/// A reader for all folders and files of one walk.
pub(super) struct Reader {
    pub(super) image: Arc<Image>,
    state: Mutex<State>,
}

/// What it keeps.
pub(super) struct State {
    metadata: Metadata,
    unpacker: Unpacker,
    packed: Vec<u8>,
    fragments: Vec<(u32, Vec<u8>)>,
    /// The attributes read last: many files have the same.
    pub(super) xattrs: Option<(u32, Xattrs)>,
    /// Folders that were entered: in a damaged image one may be in itself.
    pub(super) entered: HashSet<u64>,
}

impl Reader {
    pub(super) fn new(image: Arc<Image>) -> Arc<Self> {
        let state = State {
            metadata: Metadata::default(),
            unpacker: Unpacker::new(image.sb.packing),
            packed: Vec::new(),
            fragments: Vec::new(),
            xattrs: None,
            entered: HashSet::new(),
        };
        Arc::new(Self { image, state: Mutex::new(state) })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Numbers from there on.
    pub(super) fn fields<'s>(&'s mut self, image: &'s Image, at: Place) -> Fields<'s> {
        Fields { state: self, image, at }
    }

    /// Unpacks a block of data to the front of `into`; says how much that is. `size` is as the image
    /// has it: the length on disk, and whether it is packed.
    pub(super) fn block(
        &mut self,
        image: &Image,
        at: u64,
        size: u32,
        into: &mut [u8],
    ) -> io::Result<usize> {
        let len = stored_len(size);
        if len == 0 || len > image.sb.block_size {
            return Err(damaged("a block of data has an impossible length"));
        }
        if size & AS_IT_IS != 0 {
            let long = || damaged("a block of data holds more than it can");
            image.read(into.get_mut(..len).ok_or_else(long)?, at)?;
            return Ok(len);
        }
        self.packed.resize(len, 0);
        image.read(&mut self.packed, at)?;
        self.unpacker.unpack(&self.packed, into)
    }

    /// The block of ends of files with that number.
    pub(super) fn fragment(&mut self, image: &Image, number: u32) -> io::Result<&[u8]> {
        if let Some(index) = self.fragments.iter().position(|(of, _)| *of == number) {
            return Ok(self.fragments.get(index).map_or(&[], |(_, bytes)| bytes));
        }
        if number >= image.sb.fragments {
            return Err(damaged("the end of a file is in a block that is not there"));
        }
        let place = entry(image, image.sb.fragment_table, number, 16)?;
        let mut fields = self.fields(image, place);
        let (at, size) = (fields.u64()?, fields.u32()?);
        let mut bytes = if self.fragments.len() < FRAGMENTS_KEPT {
            Vec::new()
        } else {
            self.fragments.remove(0).1
        };
        bytes.resize(image.sb.block_size, 0);
        let len = self.block(image, at, size, &mut bytes)?;
        bytes.truncate(len);
        self.fragments.push((number, bytes));
        Ok(self.fragments.last().map_or(&[], |(_, bytes)| bytes))
    }
}

/// How long a block of data is in the image.
pub(super) fn stored_len(size: u32) -> usize {
    usize::try_from(size & (AS_IT_IS - 1)).unwrap_or(usize::MAX)
}

/// Numbers in metadata, one behind the other.
pub(super) struct Fields<'s> {
    state: &'s mut State,
    image: &'s Image,
    pub(super) at: Place,
}

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, buf: &mut [u8]) -> io::Result<()> {
        let State { metadata, unpacker, .. } = &mut *self.state;
        metadata.read(self.image, unpacker, &mut self.at, buf)
    }

    pub(super) fn u16(&mut self) -> io::Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// So many bytes. Who asks knows that they are few.
    pub(super) fn bytes(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}
