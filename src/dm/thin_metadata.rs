//! A thin pool's own metadata, read from its device: which thin devices there are, and which chunks
//! two of them have different.
//!
//! Format: `drivers/md/dm-thin-metadata.c` and `drivers/md/persistent-data/dm-btree-internal.h`.
//! Blocks of 4096 bytes, little-endian; each begins with a CRC-32C (without the final inversion)
//! of the rest, to which a number of its kind is added by exclusive or.
//!
//! | superblock, byte | size | field |
//! |---|---|---|
//! | 4 | 4 | flags: bit 0 `needs_check` |
//! | 8 | 8 | its own block number |
//! | 32 | 8 | magic 27022010 |
//! | 40 | 4 | version: 1 or 2 |
//! | 48 | 8 | transaction id |
//! | 56 | 8 | the metadata snapshot's superblock; 0: none |
//! | 320 | 8 | root of the mappings |
//! | 328 | 8 | root of the devices |
//! | 336 | 4 | a chunk in sectors |
//! | 344 | 8 | blocks of metadata |
//!
//! A node of a tree: u32 checksum, u32 flags (1 internal, 2 leaf), u64 block number, u32 entries,
//! u32 most entries, u32 bytes of a value, 4 unused; then room for the most keys (u64) and after
//! them as many values. An internal node's values are block numbers. The devices' tree has the
//! device id as key and 24 bytes as value: u64 mapped chunks, u64 transaction id and u32 time of
//! its creation, u32 time of its last snapshot. The mappings' tree leads, with the device id as key,
//! to the root of a tree for each device: the chunk's number in the device is the key, and 8 bytes
//! are the value, the chunk's number in the pool times 2^24 and the time at which it was mapped.
//!
//! A pool in use changes its metadata by copies: what the last commit's superblock leads to is
//! not written over before the next commit. So what was read is of one moment where the
//! superblock is the same afterwards; else it is read again.

mod mappings;
mod node;

pub use mappings::{ChangedChunks, changed_chunks};

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use node::Node;

use super::pool::DEVICE_ID_MAX;
use super::status::METADATA_BLOCK;
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, Result};
use crate::ext4::checksum::{START, crc32c};
use crate::units::{Bytes, Sectors};

const MAGIC: u64 = 27_022_010;
const SUPERBLOCK_XOR: u32 = 160_774;
/// Of a device's value.
const DETAILS: usize = 24;
const BLOCK: usize = 4096;

/// How often a pool in use is read again, and after what pause.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// A pool's superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Its transaction id.
    pub transaction_id: u64,
    /// True where it must be checked before it is used for writing.
    pub needs_check: bool,
    /// The block of the metadata snapshot's superblock; zero where none is held.
    pub held_root: u64,
    /// A chunk.
    pub chunk: Sectors,
    /// The root of the mappings' tree.
    mapping_root: u64,
    /// The root of the devices' tree.
    details_root: u64,
    checksum: u32,
}

/// What a pool knows of a thin device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThinDetails {
    /// Chunks that are mapped, shared ones included.
    pub mapped_chunks: u64,
    /// The pool's transaction id when it was made.
    pub transaction_id: u64,
}

impl ThinDetails {
    /// True where no message of the transaction that leads to this id has made it: it was there.
    pub fn is_from_before(&self, id: u64) -> bool {
        self.transaction_id.saturating_add(1) < id
    }
}

fn corrupt(dev: &dyn Dev, block: u64, why: impl Into<String>) -> Error {
    let why = format!("block {block}: {}", why.into());
    Error::new(ErrorKind::Corrupt, why).op("read the pool's metadata").at(dev.name())
}

/// A block whose checksum and number are right.
struct Block {
    bytes: Vec<u8>,
}

impl Block {
    fn read(dev: &dyn Dev, number: u64, xor: u32) -> Result<Self> {
        let at = number.checked_mul(METADATA_BLOCK.get()).map(Bytes::new);
        let end = at.and_then(|at| at.checked_add(METADATA_BLOCK));
        let at = at.filter(|_| end.is_some_and(|end| end <= dev.size()));
        let at = at.ok_or_else(|| corrupt(dev, number, "it lies behind the device's end"))?;
        let mut bytes = vec![0; BLOCK];
        dev.read_at(&mut bytes, at).map_err(|error| {
            Error::io(error).op("read the pool's metadata").at_byte(dev.name(), at)
        })?;
        let block = Self { bytes };
        let sum = crc32c(START, block.bytes.get(4..).unwrap_or_default()) ^ xor;
        if block.u32(0) != sum {
            return Err(corrupt(dev, number, "its checksum does not hold"));
        }
        if block.u64(8) != number {
            return Err(corrupt(dev, number, format!("it says to be block {}", block.u64(8))));
        }
        Ok(block)
    }

    fn u32(&self, at: usize) -> u32 {
        let field = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        u32::from_le_bytes(*field.unwrap_or(&[0; 4]))
    }

    fn u64(&self, at: usize) -> u64 {
        let field = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        u64::from_le_bytes(*field.unwrap_or(&[0; 8]))
    }
}

impl Superblock {
    /// Reads the one at this block: 0 is the pool's own.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt), [`Io`](ErrorKind::Io);
    /// [`Unsupported`](ErrorKind::Unsupported) for a version that is not known.
    pub fn read(dev: &dyn Dev, block: u64) -> Result<Self> {
        let found = Block::read(dev, block, SUPERBLOCK_XOR)?;
        if found.u64(32) != MAGIC {
            return Err(corrupt(dev, block, "it is no thin pool's superblock"));
        }
        let version = found.u32(40);
        if !(1..=2).contains(&version) {
            let why = format!("version {version} of a thin pool's metadata");
            return Err(Error::new(ErrorKind::Unsupported, why).at(dev.name()));
        }
        Ok(Self {
            transaction_id: found.u64(48),
            needs_check: found.u32(4) & 1 == 1,
            held_root: found.u64(56),
            chunk: Sectors::new(found.u32(336).into()),
            mapping_root: found.u64(320),
            details_root: found.u64(328),
            checksum: found.u32(0),
        })
    }

    /// All thin devices, by id, of a pool that does not change meanwhile.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt), [`Io`](ErrorKind::Io).
    pub fn devices(&self, dev: &dyn Dev) -> Result<BTreeMap<u32, ThinDetails>> {
        let (mut left, mut seen) = (vec![self.details_root], HashSet::new());
        let mut devices = BTreeMap::new();
        while let Some(number) = left.pop() {
            if !seen.insert(number) {
                return Err(corrupt(dev, number, "it is in the tree twice"));
            }
            let node = Node::read(dev, number, DETAILS)?;
            if node.is_leaf {
                for (key, at) in node.entries() {
                    let id = u32::try_from(key).ok().filter(|id| *id <= DEVICE_ID_MAX);
                    let id = id.ok_or_else(|| corrupt(dev, number, "a key is no device id"))?;
                    let (mapped_chunks, transaction_id) =
                        (node.u64(at), node.u64(at.saturating_add(8)));
                    devices.insert(id, ThinDetails { mapped_chunks, transaction_id });
                }
            } else {
                left.extend(node.entries().map(|(_, at)| node.u64(at)));
            }
        }
        Ok(devices)
    }
}

/// All thin devices of a pool, by id, as of its last commit; the pool may be in use.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt), also where the pool has committed during each of some tries
/// within a second; [`Io`](ErrorKind::Io), [`Unsupported`](ErrorKind::Unsupported).
pub fn thin_devices(dev: &dyn Dev) -> Result<BTreeMap<u32, ThinDetails>> {
    at_one_moment(dev, |superblock| superblock.devices(dev))
}

/// Reads something that a superblock leads to, again and again until no commit has come between.
fn at_one_moment<T>(dev: &dyn Dev, read: impl Fn(&Superblock) -> Result<T>) -> Result<T> {
    let mut last = corrupt(dev, 0, "it changes all the time");
    for _ in 0..TRIES {
        let before = Superblock::read(dev, 0)?;
        let found = read(&before);
        let unchanged = Superblock::read(dev, 0)? == before;
        match found {
            Ok(found) if unchanged => return Ok(found),
            Err(error) if unchanged || error.kind() != ErrorKind::Corrupt => return Err(error),
            Err(error) => last = error,
            Ok(_) => {}
        }
        std::thread::sleep(PAUSE);
    }
    Err(last)
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
