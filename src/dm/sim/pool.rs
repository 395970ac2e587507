//! A simulated pool's metadata: which thin device has which chunk where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Breakage;
use super::state::Errno;
use crate::dev::Dev;
use crate::dm::kernel::DevNo;
use crate::dm::pool::DEVICE_ID_MAX;
use crate::dm::status::PoolMode;
use crate::order::Gather;

/// Bytes in a metadata block, and in the superblock.
pub(super) const BLOCK: u64 = 4096;
const MAGIC: u64 = 27_022_010;
/// Where a real superblock has an unused UUID, ours says whose format follows.
const MARK: &[u8; 16] = b"imgbase simulate";
const CSUM_XOR: u32 = 160_774;
const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// A thin device.
#[derive(Clone, Default)]
pub(super) struct ThinDevice {
    /// The pool's transaction id when it was made.
    pub(super) created: u64,
    /// Chunks of the volume to chunks of the pool.
    pub(super) map: BTreeMap<u64, u64>,
    /// What shows where nothing is mapped: the content of an adopted device.
    pub(super) below: Option<Arc<dyn Dev>>,
}

/// A pool.
pub(super) struct Pool {
    /// The device that holds its data.
    pub(super) data: DevNo,
    /// In sectors.
    pub(super) chunk: u64,
    pub(super) transaction_id: u64,
    pub(super) thins: BTreeMap<u32, ThinDevice>,
    /// How often each chunk is mapped.
    uses: BTreeMap<u64, u32>,
    /// Chunks from here on have never been used.
    next: u64,
    free: BTreeSet<u64>,
    /// Freed since the last commit: until then the last commit needs them.
    freed: BTreeSet<u64>,
    /// Chunks there are.
    pub(super) chunks: u64,
    pub(super) held_root: bool,
    pub(super) mode: PoolMode,
    pub(super) needs_check: bool,
    /// The blocks of its metadata, where all of them are taken.
    pub(super) full_at: Option<u64>,
    pub(super) failed: bool,
    /// Adopted from another kernel: nothing is written to its metadata, and ids it was not told
    /// of are taken as given.
    pub(super) adopted: bool,
    /// Changed since the last commit.
    pub(super) dirty: bool,
    /// Commits so far: even ones go to the first half of the metadata.
    pub(super) version: u64,
    /// Chunks and metadata blocks that an adopted pool uses beside ours.
    pub(super) used_before: (u64, u64),
}

/// A commit as bytes.
pub(super) struct Image {
    pub(super) superblock: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// Where the body goes.
    pub(super) at: u64,
}

impl Pool {
    pub(super) fn new(data: DevNo, chunk: u64) -> Self {
        Self {
            data,
            chunk,
            transaction_id: 0,
            thins: BTreeMap::new(),
            uses: BTreeMap::new(),
            next: 0,
            free: BTreeSet::new(),
            freed: BTreeSet::new(),
            chunks: 0,
            held_root: false,
            mode: PoolMode::ReadWrite,
            needs_check: false,
            full_at: None,
            failed: false,
            adopted: false,
            dirty: true,
            version: 0,
            used_before: (0, 0),
        }
    }

    pub(super) fn used(&self) -> u64 {
        let ours = u64::try_from(self.uses.len()).unwrap_or(u64::MAX);
        ours.saturating_add(self.used_before.0)
    }

    /// Metadata blocks in use: the superblock, and what the mappings take.
    pub(super) fn metadata_used(&self) -> u64 {
        let mappings: usize = self.thins.values().map(|thin| thin.map.len()).sum();
        let bytes = u64::try_from(mappings).unwrap_or(u64::MAX).saturating_mul(16);
        bytes.div_ceil(BLOCK).saturating_add(self.used_before.1).saturating_add(1)
    }

    pub(super) fn shared(&self, chunk: u64) -> bool {
        self.uses.get(&chunk).is_some_and(|uses| *uses > 1)
    }

    /// A free chunk, counted as used once.
    pub(super) fn take(&mut self) -> Result<u64, Errno> {
        let chunk = match self.free.pop_first() {
            Some(chunk) => chunk,
            None if self.next.saturating_add(self.used_before.0) < self.chunks => {
                self.next = self.next.saturating_add(1);
                self.next.saturating_sub(1)
            }
            None => {
                self.mode = PoolMode::OutOfDataSpace;
                return Err(Errno::ENOSPC);
            }
        };
        self.uses.insert(chunk, 1);
        self.dirty = true;
        Ok(chunk)
    }

    /// Maps a chunk of a thin device, and lets go of what was mapped there.
    pub(super) fn map(&mut self, id: u32, at: u64, chunk: u64) {
        let thin = self.thins.entry(id).or_default();
        if let Some(old) = thin.map.insert(at, chunk) {
            self.release(old);
        }
        self.dirty = true;
    }

    /// Takes a chunk away from a thin device.
    pub(super) fn unmap(&mut self, id: u32, at: u64) {
        let old = self.thins.get_mut(&id).and_then(|thin| thin.map.remove(&at));
        if let Some(old) = old {
            self.release(old);
        }
    }

    /// Lets go of a chunk that is mapped once less.
    pub(super) fn release(&mut self, chunk: u64) {
        self.dirty = true;
        if let Some(uses) = self.uses.get_mut(&chunk) {
            *uses = uses.saturating_sub(1);
            if *uses == 0 {
                self.uses.remove(&chunk);
                self.freed.insert(chunk);
            }
        }
    }

    /// A message; `active` are the ids in use.
    pub(super) fn message(&mut self, text: &str, active: &BTreeSet<u32>) -> Result<(), Errno> {
        if self.failed || self.mode == PoolMode::ReadOnly {
            return Err(Errno::EOPNOTSUPP);
        }
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["create_thin", id] => self.create(device_id(id)?, ThinDevice::default())?,
            ["create_snap", id, origin] => self.snapshot(device_id(id)?, device_id(origin)?)?,
            ["delete", id] => self.delete(device_id(id)?, active)?,
            ["set_transaction_id", from, to] => {
                let number = |word: &str| word.parse::<u64>().map_err(|_| Errno::EINVAL);
                let (from, to) = (number(from)?, number(to)?);
                if from != self.transaction_id {
                    return Err(Errno::EINVAL);
                }
                self.transaction_id = to;
            }
            ["reserve_metadata_snap"] if self.held_root => return Err(Errno::EBUSY),
            ["reserve_metadata_snap"] => self.held_root = true,
            ["release_metadata_snap"] if self.held_root => self.held_root = false,
            _ => return Err(Errno::EINVAL),
        }
        self.dirty = true;
        Ok(())
    }

    fn create(&mut self, id: u32, device: ThinDevice) -> Result<(), Errno> {
        if self.thins.contains_key(&id) {
            return Err(Errno::EEXIST);
        }
        let created = self.transaction_id;
        self.thins.insert(id, ThinDevice { created, ..device });
        Ok(())
    }

    fn snapshot(&mut self, id: u32, origin: u32) -> Result<(), Errno> {
        // The kernel looks at the new id first.
        if self.thins.contains_key(&id) {
            return Err(Errno::EEXIST);
        }
        self.find(origin)?;
        let copy = self.thins.get(&origin).cloned().unwrap_or_default();
        for chunk in copy.map.values() {
            let uses = self.uses.entry(*chunk).or_default();
            *uses = uses.saturating_add(1);
        }
        self.create(id, copy)
    }

    fn delete(&mut self, id: u32, active: &BTreeSet<u32>) -> Result<(), Errno> {
        self.find(id)?;
        if active.contains(&id) {
            return Err(Errno::EBUSY);
        }
        let gone = self.thins.remove(&id).unwrap_or_default();
        gone.map.into_values().for_each(|chunk| self.release(chunk));
        Ok(())
    }

    /// Fails where there is no such device.
    pub(super) fn find(&mut self, id: u32) -> Result<(), Errno> {
        if self.adopted {
            self.thins.entry(id).or_default();
        }
        if self.thins.contains_key(&id) { Ok(()) } else { Err(Errno::ENODATA) }
    }

    pub(super) fn break_it(&mut self, how: Breakage) {
        match how {
            Breakage::Fail => self.failed = true,
            Breakage::ReadOnly => self.mode = PoolMode::ReadOnly,
            Breakage::NeedsCheck => (self.mode, self.needs_check) = (PoolMode::ReadOnly, true),
            Breakage::OutOfMetadata { blocks } => {
                (self.mode, self.full_at) = (PoolMode::ReadOnly, Some(blocks));
            }
        }
    }

    /// Its table is put in force, anew or with metadata of that many blocks.
    pub(super) fn look_at_metadata(&mut self, blocks: u64, anew: bool) {
        let Some(full_at) = self.full_at else { return };
        if blocks > full_at {
            self.full_at = None;
        }
        if anew || self.full_at.is_none() {
            self.mode = PoolMode::ReadWrite;
        }
    }

    /// The next commit as bytes, for metadata of `size` bytes; ENOSPC where it does not fit.
    pub(super) fn image(&self, size: u64) -> Result<Image, Errno> {
        let mut body = Vec::new();
        for (id, thin) in &self.thins {
            let count = u64::try_from(thin.map.len()).map_err(|_| Errno::ENOSPC)?;
            body.extend([u64::from(*id), thin.created, count].map(u64::to_le_bytes).concat());
            for (at, chunk) in &thin.map {
                body.extend([*at, *chunk].map(u64::to_le_bytes).concat());
            }
        }
        body.extend(CRC.checksum(&body).to_le_bytes());
        let half = (size.saturating_sub(BLOCK) / 2 / BLOCK).saturating_mul(BLOCK);
        let len = u64::try_from(body.len()).map_err(|_| Errno::ENOSPC)?;
        if len > half {
            return Err(Errno::ENOSPC);
        }
        let version = self.version.wrapping_add(1);
        let at = if version.is_multiple_of(2) { BLOCK } else { BLOCK.saturating_add(half) };
        Ok(Image { superblock: self.superblock((at, len), version), body, at })
    }

    /// As the kernel's where the kernel has such a field (drivers/md/dm-thin-metadata.c,
    /// `struct thin_disk_superblock`); the roots say where our body lies.
    fn superblock(&self, (at, len): (u64, u64), version: u64) -> Vec<u8> {
        let mut bytes = vec![0u8; 4096];
        let mut put = |offset: usize, field: &[u8]| {
            let end = offset.saturating_add(field.len());
            if let Some(place) = bytes.get_mut(offset..end) {
                place.copy_from_slice(field);
            }
        };
        put(4, &u32::from(self.needs_check).to_le_bytes());
        put(16, MARK);
        put(32, &MAGIC.to_le_bytes());
        put(40, &2u32.to_le_bytes());
        put(48, &self.transaction_id.to_le_bytes());
        put(56, &u64::from(self.held_root).to_le_bytes());
        put(64, &version.to_le_bytes());
        put(72, &self.chunks.to_le_bytes());
        put(320, &at.to_le_bytes());
        put(328, &len.to_le_bytes());
        put(336, &u32::try_from(self.chunk).unwrap_or_default().to_le_bytes());
        let csum = !CRC.checksum(bytes.get(4..).unwrap_or_default()) ^ CSUM_XOR;
        if let Some(place) = bytes.first_chunk_mut() {
            *place = csum.to_le_bytes();
        }
        bytes
    }

    /// Called after the image is durable.
    pub(super) fn committed(&mut self) {
        self.version = self.version.wrapping_add(1);
        self.free.append(&mut self.freed);
        self.dirty = false;
        if self.full_at.is_some() {
            self.mode = PoolMode::ReadOnly;
        }
    }

    /// Reads a superblock and, by `body`, what it points to. `None` for zeros: a new pool.
    pub(super) fn read(
        superblock: &[u8],
        data: DevNo,
        body: impl FnOnce(u64, u64) -> Result<Vec<u8>, Errno>,
    ) -> Result<Option<Self>, Errno> {
        if superblock.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let csum = !CRC.checksum(superblock.get(4..).unwrap_or_default()) ^ CSUM_XOR;
        let stored = superblock.first_chunk().copied().map(u32::from_le_bytes);
        if stored != Some(csum) || word(superblock, 32)? != MAGIC {
            return Err(Errno::EINVAL);
        }
        let chunk = word(superblock, 336)? & u64::from(u32::MAX);
        let mut pool = Self::new(data, chunk);
        pool.transaction_id = word(superblock, 48)?;
        pool.needs_check = word(superblock, 4)? & 1 == 1;
        pool.held_root = word(superblock, 56)? != 0;
        pool.dirty = false;
        if pool.needs_check {
            pool.mode = PoolMode::ReadOnly;
        }
        if superblock.get(16..32) != Some(MARK.as_slice()) {
            pool.adopted = true;
            return Ok(Some(pool));
        }
        pool.version = word(superblock, 64)?;
        pool.chunks = word(superblock, 72)?;
        let body = body(word(superblock, 320)?, word(superblock, 328)?)?;
        pool.read_body(&body)?;
        Ok(Some(pool))
    }

    fn read_body(&mut self, body: &[u8]) -> Result<(), Errno> {
        let (mut rest, crc) = body.split_last_chunk::<4>().ok_or(Errno::EINVAL)?;
        if CRC.checksum(rest) != u32::from_le_bytes(*crc) {
            return Err(Errno::EINVAL);
        }
        let mut next = || {
            let (head, tail) = rest.split_first_chunk::<8>()?;
            rest = tail;
            Some(u64::from_le_bytes(*head))
        };
        while let Some(id) = next() {
            let id = u32::try_from(id).map_err(|_| Errno::EINVAL)?;
            let mut thin =
                ThinDevice { created: next().ok_or(Errno::EINVAL)?, ..Default::default() };
            for _ in 0..next().ok_or(Errno::EINVAL)? {
                let (at, chunk) = (next().ok_or(Errno::EINVAL)?, next().ok_or(Errno::EINVAL)?);
                thin.map.insert(at, chunk);
            }
            self.thins.insert(id, thin);
        }
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        for chunk in self.thins.values().flat_map(|thin| thin.map.values()) {
            let uses = self.uses.entry(*chunk).or_default();
            *uses = uses.saturating_add(1);
        }
        self.next = self.uses.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
        self.free = (0..self.next).filter(|chunk| !self.uses.contains_key(chunk)).gather();
    }
}

fn device_id(word: &str) -> Result<u32, Errno> {
    word.parse().ok().filter(|id| *id <= DEVICE_ID_MAX).ok_or(Errno::EINVAL)
}

fn word(bytes: &[u8], at: usize) -> Result<u64, Errno> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
    field.map(|field| u64::from_le_bytes(*field)).ok_or(Errno::EINVAL)
}
