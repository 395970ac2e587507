//! The superblock: 1024 bytes at byte 1024 of the file system.

use super::checksum::{START, crc32c};
use super::features::{Features, incompat, ro_compat};
use super::fields::Fields;
use super::geometry::Geometry;
use super::uuid::FsUuid;
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::units::Bytes;

/// Where the superblock lies, and how long it is.
pub(super) const PLACE: Bytes = Bytes::new(1024);
pub(super) const LEN: usize = 1024;

// Offsets in the superblock that are written as well as read.
pub(super) const S_FEATURE_INCOMPAT: usize = 0x60;
pub(super) const S_UUID: usize = 0x68;
pub(super) const S_CHECKSUM_SEED: usize = 0x270;
pub(super) const S_CHECKSUM: usize = 0x3FC;

const MAGIC: u16 = 0xEF53;
/// `s_state`: unmounted cleanly, errors were seen, orphans are being recovered.
const VALID_FS: u16 = 1;
const ERROR_FS: u16 = 2;
const ORPHAN_FS: u16 = 4;

#[derive(Debug, thiserror::Error)]
enum Detail {
    #[error("no ext2, ext3 or ext4 file system (no magic number)")]
    Magic,
    #[error("an external journal, and no file system by itself")]
    JournalDevice,
    #[error("the ext4 superblock's checksum is {found:#010x}, its bytes give {want:#010x}")]
    Checksum { found: u32, want: u32 },
    #[error("the ext4 superblock cannot be right: {0} is {1}")]
    Field(&'static str, u64),
}

impl From<Detail> for Error {
    fn from(detail: Detail) -> Self {
        let kind = match detail {
            Detail::Magic => ErrorKind::Invalid,
            Detail::JournalDevice => ErrorKind::Unsupported,
            Detail::Checksum { .. } | Detail::Field(..) => ErrorKind::Corrupt,
        };
        Self::new(kind, detail)
    }
}

/// Whether a file system's bitmaps can be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Unmounted cleanly, nothing in the journal, no orphans.
    Clean,
    /// A mount completes it: the journal is replayed, orphans are removed.
    NeedsReplay,
    /// It has seen errors, or it has no journal and was not unmounted: only e2fsck helps.
    NeedsCheck,
}

/// A superblock that was checked: its checksum holds and its numbers fit each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    raw: Box<[u8; LEN]>,
    geometry: Geometry,
}

impl Superblock {
    /// True where an image that begins with these bytes (at least 1082) has ext4's magic number.
    pub fn recognises(head: &[u8]) -> bool {
        head.get(1080..1082).is_some_and(|magic| magic == MAGIC.to_le_bytes())
    }

    /// Reads and checks the superblock of a device.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) where there is none, [`Corrupt`](ErrorKind::Corrupt) for a
    /// bad checksum or numbers that cannot be, [`Unsupported`](ErrorKind::Unsupported) for an
    /// external journal, [`Io`](ErrorKind::Io).
    pub fn read(dev: &dyn Dev) -> Result<Self> {
        let mut raw = Box::new([0; LEN]);
        if dev.size() < Bytes::new(2048) {
            return Err(Error::from(Detail::Magic).at(dev.name()));
        }
        dev.read_at(raw.as_mut_slice(), PLACE).context("read the ext4 superblock", dev.name())?;
        Self::parse(raw).map_err(|error| error.at_byte(dev.name(), PLACE))
    }

    /// Checks the 1024 bytes of a superblock.
    ///
    /// # Errors
    /// As [`read`](Self::read), but for `Io`.
    pub fn parse(raw: Box<[u8; LEN]>) -> Result<Self> {
        let fields = Fields(raw.as_slice());
        if fields.le16(0x38) != MAGIC {
            return Err(Detail::Magic.into());
        }
        let features = features(fields);
        if features.incompat(incompat::JOURNAL_DEV) {
            return Err(Detail::JournalDevice.into());
        }
        if features.ro_compat(ro_compat::METADATA_CSUM) {
            check_checksum(fields)?;
        }
        let geometry = geometry(fields, features)?;
        Ok(Self { raw, geometry })
    }

    fn fields(&self) -> Fields<'_> {
        Fields(self.raw.as_slice())
    }

    /// Blocks, groups and where they lie.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Which features it has.
    pub fn features(&self) -> Features {
        self.geometry.features
    }

    /// Bytes of the whole file system.
    pub fn size(&self) -> Bytes {
        self.geometry.size()
    }

    /// `s_uuid`.
    pub fn uuid(&self) -> FsUuid {
        FsUuid::new(self.fields().array(S_UUID))
    }

    /// `s_volume_name` up to its first zero byte; bytes that are no UTF-8 are replaced.
    pub fn label(&self) -> String {
        let name: [u8; 16] = self.fields().array(0x78);
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }

    /// ext2, ext3 or ext4, as blkid tells them apart: by what only ext4 has, then by the journal.
    pub fn fs_type(&self) -> &'static str {
        const EXT3_INCOMPAT: u32 = 0x2 | incompat::RECOVER | incompat::META_BG;
        const EXT3_RO_COMPAT: u32 = ro_compat::SPARSE_SUPER | 0x2 | 0x4;
        let features = self.features();
        if features.incompat & !EXT3_INCOMPAT != 0 || features.ro_compat & !EXT3_RO_COMPAT != 0 {
            "ext4"
        } else if features.compat(super::features::compat::HAS_JOURNAL) {
            "ext3"
        } else {
            "ext2"
        }
    }

    /// `s_free_blocks_count` in bytes: what the file system believes to be free, at most its size.
    /// The kernel brings it up to date only when it unmounts.
    pub fn free(&self) -> Bytes {
        let (low, high) = (self.fields().le32(0x0C), self.fields().le32(0x158));
        let wide = self.features().incompat(incompat::BIT64);
        let clusters = join(low, if wide { high } else { 0 });
        let blocks = clusters.saturating_mul(1 << self.geometry.cluster_log);
        self.geometry.byte_of(blocks)
    }

    /// Whether the journal holds changes that are not in place (`RECOVER`).
    pub fn needs_recovery(&self) -> bool {
        self.features().incompat(incompat::RECOVER)
    }

    /// Whether it was left in order: see [`State`].
    pub fn state(&self) -> State {
        let (s_state, s_last_orphan) = (self.fields().le16(0x3A), self.fields().le32(0xE8));
        let orphans = s_last_orphan != 0
            || s_state & ORPHAN_FS != 0
            || self.features().ro_compat(ro_compat::ORPHAN_PRESENT);
        if self.needs_recovery() {
            State::NeedsReplay
        } else if s_state & ERROR_FS != 0 || s_state & VALID_FS == 0 {
            State::NeedsCheck
        } else if orphans {
            State::NeedsReplay
        } else {
            State::Clean
        }
    }

    /// True where it was left in order.
    pub fn is_clean(&self) -> bool {
        self.state() == State::Clean
    }

    /// `s_journal_dev` or `s_journal_uuid` names a journal on another device.
    pub fn has_external_journal(&self) -> bool {
        let journal = self.features().compat(super::features::compat::HAS_JOURNAL);
        let (s_journal_inum, s_journal_dev) = (self.fields().le32(0xE0), self.fields().le32(0xE4));
        journal && (s_journal_dev != 0 || s_journal_inum == 0)
    }

    /// `s_mkfs_time`.
    pub(super) fn mkfs_time(&self) -> u32 {
        self.fields().le32(0x108)
    }

    /// `s_lastcheck`: when e2fsck went over all of it last.
    pub(super) fn last_check(&self) -> u32 {
        self.fields().le32(0x40)
    }

    /// True for an inode that the file system has for itself and no folder names: reserved ones
    /// but the root, the journal, quotas, the file of orphans.
    pub(super) fn is_own(&self, ino: u32) -> bool {
        const ROOT: u32 = 2;
        const OLD_FIRST: u32 = 11;
        let old = self.fields().le32(0x4C) == 0;
        let s_first_ino = if old { OLD_FIRST } else { self.fields().le32(0x54) };
        let own = [0xE0, 0x240, 0x244, 0x26C, 0x280].map(|at| self.fields().le32(at));
        ino != ROOT && (ino < s_first_ino || own.contains(&ino))
    }

    /// What the checksums of this file system's metadata start from.
    pub(super) fn seed(&self) -> u32 {
        if self.features().incompat(incompat::CSUM_SEED) {
            self.fields().le32(S_CHECKSUM_SEED)
        } else {
            crc32c(START, self.uuid().bytes())
        }
    }

    /// The same superblock with some bytes changed and its checksum made right again.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), should the change make it wrong.
    pub(super) fn edited(&self, edit: impl FnOnce(&mut [u8; LEN])) -> Result<Self> {
        let mut raw = self.raw.clone();
        edit(&mut raw);
        if self.features().ro_compat(ro_compat::METADATA_CSUM) {
            let checksum = crc32c(START, raw.get(..S_CHECKSUM).unwrap_or_default());
            put(&mut raw, S_CHECKSUM, &checksum.to_le_bytes());
        }
        Self::parse(raw)
    }

    /// The copy of a superblock at that block; `None` where there is none that can be read.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) and what it stands for.
    pub(super) fn copy_at(&self, dev: &dyn Dev, block: u64) -> Result<Option<Self>> {
        let mut raw = Box::new([0; LEN]);
        let place = self.geometry.byte_of(block);
        dev.read_at(raw.as_mut_slice(), place)
            .context("read a copy of the ext4 superblock", dev.name())?;
        Ok(Self::parse(raw).ok())
    }

    /// Writes it as the copy at that block. Nothing is synced.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(super) fn write_copy(&self, dev: &dyn Dev, block: u64) -> Result<()> {
        let place = self.geometry.byte_of(block);
        dev.write_at(self.raw.as_slice(), place)
            .context("write a copy of the ext4 superblock", dev.name())
    }

    /// Writes it to its place. Nothing else is written, and nothing is synced.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) and what it stands for.
    pub(super) fn write(&self, dev: &dyn Dev) -> Result<()> {
        dev.write_at(self.raw.as_slice(), PLACE).context("write the ext4 superblock", dev.name())
    }
}

/// Puts `data` at a constant place of a superblock.
pub(super) fn put(raw: &mut [u8; LEN], at: usize, data: &[u8]) {
    let end = at.saturating_add(data.len());
    let place = raw.get_mut(at..end).expect("a field lies inside the superblock");
    place.copy_from_slice(data);
}

fn features(fields: Fields<'_>) -> Features {
    // Revision 0 has no feature words; what stands there means nothing.
    if fields.le32(0x4C) == 0 {
        return Features { compat: 0, incompat: 0, ro_compat: 0 };
    }
    let incompat = fields.le32(S_FEATURE_INCOMPAT);
    Features { compat: fields.le32(0x5C), incompat, ro_compat: fields.le32(0x64) }
}

fn check_checksum(fields: Fields<'_>) -> Result<(), Detail> {
    let covered = fields.0.get(..S_CHECKSUM).unwrap_or_default();
    let (found, want) = (fields.le32(S_CHECKSUM), crc32c(START, covered));
    if found == want { Ok(()) } else { Err(Detail::Checksum { found, want }) }
}

fn join(low: u32, high: u32) -> u64 {
    (u64::from(high) << 32) | u64::from(low)
}

fn check(holds: bool, name: &'static str, value: u64) -> Result<(), Detail> {
    if holds { Ok(()) } else { Err(Detail::Field(name, value)) }
}

fn geometry(fields: Fields<'_>, features: Features) -> Result<Geometry, Detail> {
    let (block_log, cluster_log) = logs(fields, features)?;
    let bits = 8u64 << block_log;
    let (blocks_per_group, clusters_per_group) = per_group(fields, features, cluster_log)?;
    check(
        u64::from(clusters_per_group) <= bits,
        "s_clusters_per_group",
        clusters_per_group.into(),
    )?;
    let wide = features.incompat(incompat::BIT64);
    let high = if wide { fields.le32(0x150) } else { 0 };
    let geometry = Geometry {
        block_log,
        cluster_log,
        blocks_count: join(fields.le32(0x04), high),
        first_data_block: fields.le32(0x14).into(),
        blocks_per_group,
        clusters_per_group,
        inodes_count: fields.le32(0x00),
        inodes_per_group: fields.le32(0x28),
        inode_size: inode_size(fields),
        inode_table_blocks: inode_table_blocks(fields, block_log)?,
        desc_size: desc_size(fields, wide, block_log)?,
        reserved_gdt_blocks: fields.le16(0xCE).into(),
        first_meta_bg: fields.le32(0x104).into(),
        backup_bgs: [fields.le32(0x24C), fields.le32(0x250)],
        features,
    };
    check_size(&geometry)?;
    Ok(geometry)
}

/// log2 of the block size, and log2 of the blocks in a cluster.
fn logs(fields: Fields<'_>, features: Features) -> Result<(u32, u32), Detail> {
    let (s_log_block_size, s_log_cluster_size) = (fields.le32(0x18), fields.le32(0x1C));
    check(s_log_block_size <= 6, "s_log_block_size", s_log_block_size.into())?;
    let mut cluster_log = 0;
    if features.ro_compat(ro_compat::BIGALLOC) {
        let above = s_log_cluster_size.checked_sub(s_log_block_size);
        let bad = Detail::Field("s_log_cluster_size", s_log_cluster_size.into());
        // Clusters of up to 512 MiB, as mke2fs allows.
        cluster_log = above.filter(|_| s_log_cluster_size <= 19).ok_or(bad)?;
    }
    Ok((s_log_block_size.saturating_add(10), cluster_log))
}

/// `s_blocks_per_group` and `s_clusters_per_group`, which must agree.
fn per_group(fields: Fields<'_>, features: Features, log: u32) -> Result<(u64, u32), Detail> {
    let (blocks, clusters) = (fields.le32(0x20), fields.le32(0x24));
    let clusters = if features.ro_compat(ro_compat::BIGALLOC) { clusters } else { blocks };
    check(clusters != 0 && clusters % 8 == 0, "s_clusters_per_group", clusters.into())?;
    let agree = u64::from(clusters) << log == u64::from(blocks);
    // mke2fs makes no group smaller than 256 blocks; groups of a few would take days to go through.
    check(agree && blocks >= 256, "s_blocks_per_group", blocks.into())?;
    Ok((blocks.into(), clusters))
}

/// `s_inode_size`; revision 0 has none.
fn inode_size(fields: Fields<'_>) -> u32 {
    if fields.le32(0x4C) == 0 { 128 } else { fields.le16(0x58).into() }
}

fn inode_table_blocks(fields: Fields<'_>, block_log: u32) -> Result<u64, Detail> {
    let s_inode_size = u64::from(inode_size(fields));
    let fits = s_inode_size >= 128 && s_inode_size <= 1 << block_log;
    check(fits && s_inode_size.is_power_of_two(), "s_inode_size", s_inode_size)?;
    let s_inodes_per_group = u64::from(fields.le32(0x28));
    let fits = s_inodes_per_group != 0 && s_inodes_per_group <= 8 << block_log;
    check(fits, "s_inodes_per_group", s_inodes_per_group)?;
    Ok(s_inodes_per_group.saturating_mul(s_inode_size).div_ceil(1 << block_log))
}

fn desc_size(fields: Fields<'_>, wide: bool, block_log: u32) -> Result<u32, Detail> {
    if !wide {
        return Ok(32);
    }
    let s_desc_size = u32::from(fields.le16(0xFE));
    let fits = (64..=1024).contains(&s_desc_size) && s_desc_size <= 1 << block_log;
    check(fits && s_desc_size.is_power_of_two(), "s_desc_size", s_desc_size.into())?;
    Ok(s_desc_size)
}

/// All of it must fit 63 bits, groups must be countable in 32, and there must be data at all.
fn check_size(geometry: &Geometry) -> Result<(), Detail> {
    let (blocks, first) = (geometry.blocks_count, geometry.first_data_block);
    check(blocks <= (u64::MAX >> 1) >> geometry.block_log, "s_blocks_count", blocks)?;
    let first_fits = first <= u64::from(geometry.block_log == 10);
    check(first_fits && first < blocks, "s_first_data_block", first)?;
    let enough = geometry.byte_of(blocks) >= Bytes::new(2048);
    check(enough && u32::try_from(geometry.group_count()).is_ok(), "s_blocks_count", blocks)
}
