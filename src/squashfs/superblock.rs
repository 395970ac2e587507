//! The superblock: 96 bytes at the start.

use std::io;

use super::damaged;
use crate::dev::Dev;
use crate::ext4::fields::Fields;
use crate::pack::BlockPacking;
use crate::units::Bytes;

const MAGIC: &[u8; 4] = b"hsqs";
const LEN: usize = 96;
/// A block of data has 4 KiB to 1 MiB.
const BLOCK_LOGS: std::ops::RangeInclusive<u16> = 12..=20;
/// Where a table would begin that is not there.
const NONE: u64 = u64::MAX;

/// What is needed of it; places are bytes from the start of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Where it ends.
    pub(super) end: u64,
    pub(super) block_size: usize,
    pub(super) fragments: u32,
    pub(super) packing: BlockPacking,
    pub(super) id_count: u16,
    /// The root's inode: see [`Place`](super::metadata::Place).
    pub(super) root_inode: u64,
    pub(super) id_table: u64,
    pub(super) xattr_table: Option<u64>,
    pub(super) inode_table: u64,
    pub(super) directory_table: u64,
    pub(super) fragment_table: u64,
}

impl Superblock {
    /// `None` for one that only the kernel reads.
    pub(super) fn read(dev: &dyn Dev) -> io::Result<Option<Self>> {
        let mut bytes = [0; LEN];
        dev.read_at(&mut bytes, Bytes::ZERO)?;
        let fields = Fields(&bytes);
        let (u16_at, u32_at) = (|at| fields.le16(at), |at| fields.le32(at));
        let u64_at = |at| u64::from_le_bytes(fields.array(at));
        let packing = match u16_at(20) {
            1 => BlockPacking::Zlib,
            4 => BlockPacking::Xz,
            6 => BlockPacking::Zstd,
            _ => return Ok(None),
        };
        if !bytes.starts_with(MAGIC) || (u16_at(28), u16_at(30)) != (4, 0) {
            return Ok(None);
        }
        let (block_size, block_log) = (u32_at(12), u16_at(22));
        if !BLOCK_LOGS.contains(&block_log) || block_size != 1 << block_log {
            return Err(damaged("its superblock says no size of a block"));
        }
        let end = u64_at(40);
        if end > dev.size().get() {
            return Err(damaged("it is cut off: it goes on behind the image's end"));
        }
        Ok(Some(Self {
            end,
            block_size: usize::try_from(block_size).unwrap_or(usize::MAX),
            fragments: u32_at(16),
            packing,
            id_count: u16_at(26),
            root_inode: u64_at(32),
            id_table: u64_at(48),
            xattr_table: Some(u64_at(56)).filter(|at| *at != NONE),
            inode_table: u64_at(64),
            directory_table: u64_at(72),
            fragment_table: u64_at(80),
        }))
    }
}
