//! Group descriptors: 32 bytes, or 64 and more with wide block numbers.

use super::checksum::{crc16, crc32c};
use super::features::ro_compat;
use super::fields::Fields;
use super::superblock::Superblock;

/// Bytes before and after `bg_checksum`.
const BG_CHECKSUM: usize = 0x1E;
const AFTER_CHECKSUM: usize = 0x20;
/// `bg_flags`: the inode bitmap and the inode table were never written.
const INODE_UNINIT: u16 = 0x1;
/// `bg_flags`: the block bitmap was never written, the group holds only what it begins with.
const BLOCK_UNINIT: u16 = 0x2;

/// The bytes of one group's descriptor, as many as the file system's descriptors have.
#[derive(Clone, Copy)]
pub(super) struct Descriptor<'a> {
    fields: Fields<'a>,
    group: u32,
}

impl<'a> Descriptor<'a> {
    /// Takes the descriptor that begins at `at`; `None` where the bytes end before it does.
    pub(super) fn of(sb: &Superblock, table: &'a [u8], at: usize, group: u64) -> Option<Self> {
        let size = usize::try_from(sb.geometry().desc_size).ok()?;
        let bytes = table.get(at..at.checked_add(size)?)?;
        Some(Self { fields: Fields(bytes), group: u32::try_from(group).ok()? })
    }

    fn wide(&self) -> bool {
        self.fields.0.len() >= 64
    }

    fn block(&self, low: usize, high: usize) -> u64 {
        let high = if self.wide() { self.fields.le32(high) } else { 0 };
        (u64::from(high) << 32) | u64::from(self.fields.le32(low))
    }

    /// Where the block bitmap is.
    pub(super) fn block_bitmap(&self) -> u64 {
        self.block(0x00, 0x20)
    }

    /// Where the inode bitmap is.
    pub(super) fn inode_bitmap(&self) -> u64 {
        self.block(0x04, 0x24)
    }

    /// Where the inode table begins.
    pub(super) fn inode_table(&self) -> u64 {
        self.block(0x08, 0x28)
    }

    /// True where the bitmap on disk means nothing, and all but the group's own blocks are free.
    pub(super) fn block_uninit(&self) -> bool {
        self.fields.le16(0x12) & BLOCK_UNINIT != 0
    }

    /// How many inodes at the end of its table were never used, what stands there may be anything
    /// (`bg_itable_unused`); all of them where the table as a whole was not (`INODE_UNINIT`). Means
    /// something only where descriptors have checksums.
    pub(super) fn itable_unused(&self) -> u32 {
        if self.fields.le16(0x12) & INODE_UNINIT != 0 {
            return u32::MAX;
        }
        let high = if self.wide() { self.fields.le16(0x32) } else { 0 };
        (u32::from(high) << 16) | u32::from(self.fields.le16(0x1C))
    }

    /// `bg_checksum`.
    pub(super) fn stored(&self) -> u16 {
        self.fields.le16(BG_CHECKSUM)
    }

    /// What `bg_checksum` must be, or `None` where descriptors have no checksum.
    pub(super) fn checksum(&self, sb: &Superblock) -> Option<u16> {
        if sb.features().ro_compat(ro_compat::METADATA_CSUM) {
            let seed = crc32c(sb.seed(), &self.group.to_le_bytes());
            let crc = crc32c(crc32c(crc32c(seed, self.before()), &[0, 0]), self.after());
            Some(low_half(crc))
        } else if sb.features().ro_compat(ro_compat::GDT_CSUM) {
            let (uuid, group) = (sb.uuid(), self.group.to_le_bytes());
            Some(crc16(&[uuid.bytes().as_slice(), &group, self.before(), self.after()]))
        } else {
            None
        }
    }

    fn before(&self) -> &'a [u8] {
        self.fields.0.get(..BG_CHECKSUM).unwrap_or_default()
    }

    fn after(&self) -> &'a [u8] {
        self.fields.0.get(AFTER_CHECKSUM..).unwrap_or_default()
    }

    /// True where the block bitmap's crc32c is what the descriptor says; 16 bits of it in a short
    /// one. Without `metadata_csum` there is none to compare.
    pub(super) fn bitmap_holds(&self, sb: &Superblock, bitmap: &[u8]) -> bool {
        let covered = usize::try_from(sb.geometry().clusters_per_group / 8).unwrap_or(usize::MAX);
        let Some(covered) = bitmap.get(..covered) else { return false };
        let crc = crc32c(sb.seed(), covered);
        let high_holds = !self.wide() || u32::from(self.fields.le16(0x38)) == crc >> 16;
        high_holds && self.fields.le16(0x18) == low_half(crc)
    }
}

/// Where `bg_checksum` of the descriptor at `at` lies.
pub(super) fn checksum_at(at: usize) -> Option<std::ops::Range<usize>> {
    Some(at.checked_add(BG_CHECKSUM)?..at.checked_add(AFTER_CHECKSUM)?)
}

fn low_half(crc: u32) -> u16 {
    let [a, b, ..] = crc.to_le_bytes();
    u16::from_le_bytes([a, b])
}
