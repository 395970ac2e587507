//! Giving a file system another UUID with as few writes as its checksums allow.
//!
//! With `metadata_csum` every checksum starts from a seed, and unless the feature `CSUM_SEED` says
//! that the seed is stored, that is the UUID's own checksum. A base is sealed once: the seed is
//! stored, and from then on a new UUID costs a write of the superblock and one of its first copy:
//! e2fsck compares the two before it leaves a clean file system alone (e2fsck/super.c,
//! `check_backup_super_block`), and where they differ it checks all of it and has the machine start
//! again if that is its root. The other copies stay as they were: they keep the old UUID, from which
//! the same seed follows, so that each is right by itself.

use std::fmt;

use serde::{Serialize, Serializer};

use super::features::{compat, incompat, ro_compat};
use super::group::{Descriptor, checksum_at};
use super::superblock::{S_CHECKSUM_SEED, S_FEATURE_INCOMPAT, S_UUID, Superblock, put};
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, IoContext, Result};

/// A file system's UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FsUuid([u8; 16]);

impl FsUuid {
    /// The UUID with these bytes, in the order in which it is written.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A random one (version 4).
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) where the kernel has no randomness to give.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::new(ErrorKind::Io, error).op("make a random UUID"))?;
        let mut value = u128::from_be_bytes(bytes);
        value = (value & !(0xF << 76)) | (0x4 << 76);
        value = (value & !(0x3 << 62)) | (0x2 << 62);
        Ok(Self(value.to_be_bytes()))
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for FsUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for FsUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for FsUuid {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[derive(Debug, thiserror::Error)]
enum Detail {
    #[error("its checksums start from the UUID: the seed must be stored first")]
    NotSealed,
    #[error("its journal must be replayed first: it may hold an older superblock")]
    NotReplayed,
    #[error("its encryption depends on the UUID (stable_inodes)")]
    StableInodes,
    #[error("its journal is on another device")]
    ExternalJournal,
    #[error("its attribute inodes depend on the UUID (ea_inode without metadata_csum)")]
    EaInode,
    #[error("it has features unknown to this program (incompat {0:#x}, ro_compat {1:#x})")]
    Unknown(u32, u32),
    #[error("group {0}'s descriptor has a wrong checksum")]
    Group(u64),
    #[error("group {0}'s descriptor lies outside of the file system")]
    Outside(u64),
}

impl From<Detail> for Error {
    fn from(detail: Detail) -> Self {
        let kind = match detail {
            Detail::Group(_) | Detail::Outside(_) => ErrorKind::Corrupt,
            _ => ErrorKind::Unsupported,
        };
        Self::new(kind, detail)
    }
}

/// Makes later changes of the UUID cost one write: with `metadata_csum` and no stored seed, stores
/// the seed that follows from the UUID it has now and sets `CSUM_SEED`. Returns whether anything
/// was written (the superblock and its first copy, not synced). Other file systems are left as they are.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where the UUID could never be changed (unknown features,
/// a journal elsewhere, encryption that depends on it) or the journal must be replayed first, and
/// as [`Superblock::read`].
pub fn seal_for_layers(dev: &dyn Dev) -> Result<bool> {
    let sb = Superblock::read(dev)?;
    check_changeable(&sb).map_err(|why| at(why, "seal the file system", dev))?;
    if !depends_on_uuid(&sb) {
        return Ok(false);
    }
    let (seed, words) = (sb.seed(), sb.features().incompat | incompat::CSUM_SEED);
    let sealed = sb.edited(|raw| {
        put(raw, S_CHECKSUM_SEED, &seed.to_le_bytes());
        put(raw, S_FEATURE_INCOMPAT, &words.to_le_bytes());
    })?;
    sealed.write(dev)?;
    write_first_copy(dev, &sealed)?;
    Ok(true)
}

/// Says that the journal of a file system was replayed, for a dry run: what the kernel would leave of
/// the superblock.
///
/// # Errors
/// As [`Superblock::read`].
pub fn mark_replayed(dev: &dyn Dev) -> Result<()> {
    let sb = Superblock::read(dev)?;
    let words = sb.features().incompat & !incompat::RECOVER;
    sb.edited(|raw| put(raw, S_FEATURE_INCOMPAT, &words.to_le_bytes()))?.write(dev)
}

/// Brings the first copy of the superblock up to date, where there is one that can be read. Where
/// the copies of the group descriptors have checksums that depend on the UUID, that would make the
/// copy wrong in itself: it stays.
fn write_first_copy(dev: &dyn Dev, new: &Superblock) -> Result<()> {
    let features = new.features();
    let crc16 = features.ro_compat(ro_compat::GDT_CSUM);
    let Some(block) = new.geometry().first_copy() else { return Ok(()) };
    if crc16 && !features.ro_compat(ro_compat::METADATA_CSUM) {
        return Ok(());
    }
    let Some(old) = new.copy_at(dev, block)? else { return Ok(()) };
    let (uuid, seed) = (new.uuid(), new.seed());
    let copy = old.edited(|raw| {
        put(raw, S_UUID, uuid.bytes());
        if features.incompat(incompat::CSUM_SEED) {
            let words = old.features().incompat | incompat::CSUM_SEED;
            put(raw, S_CHECKSUM_SEED, &seed.to_le_bytes());
            put(raw, S_FEATURE_INCOMPAT, &words.to_le_bytes());
        }
    })?;
    copy.write_copy(dev, block)
}

/// Gives the file system another UUID: the superblock and its first copy are written and, where the
/// group descriptors' crc16 covers the UUID (`uninit_bg`), those instead of the copy. Nothing is
/// synced.
///
/// It must not be mounted. A crash between the writes leaves descriptors that e2fsck mends, so
/// nobody may rely on the volume before this has returned and was synced.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where it was not [sealed](seal_for_layers) but must be,
/// or cannot be; [`Corrupt`](ErrorKind::Corrupt) for a descriptor whose checksum is wrong already
/// (before the first write); and as [`Superblock::read`].
pub fn set_uuid(dev: &dyn Dev, uuid: FsUuid) -> Result<()> {
    set_uuid_of(dev, &Superblock::read(dev)?, uuid)
}

/// The same where the superblock, `old`, was read a moment ago.
///
/// # Errors
/// As [`set_uuid`], but for those of reading the superblock.
pub fn set_uuid_of(dev: &dyn Dev, old: &Superblock, uuid: FsUuid) -> Result<()> {
    const OP: &str = "change the file system's UUID";
    check_changeable(old).map_err(|why| at(why, OP, dev))?;
    if depends_on_uuid(old) {
        return Err(at(Detail::NotSealed, OP, dev));
    }
    let new = old.edited(|raw| put(raw, S_UUID, uuid.bytes()))?;
    let features = old.features();
    let crc16 = features.ro_compat(ro_compat::GDT_CSUM);
    if crc16 && !features.ro_compat(ro_compat::METADATA_CSUM) {
        each_table_block(dev, old, |table, groups| {
            groups.clone().try_for_each(|group| check_descriptor(old, table, group))?;
            Ok(false)
        })?;
        each_table_block(dev, old, |table, groups| {
            groups.clone().try_for_each(|group| restamp(&new, table, group))?;
            Ok(true)
        })?;
    }
    new.write(dev)?;
    write_first_copy(dev, &new)
}

fn at(why: Detail, op: &'static str, dev: &dyn Dev) -> Error {
    Error::from(why).op(op).at(dev.name())
}

fn depends_on_uuid(sb: &Superblock) -> bool {
    let features = sb.features();
    features.ro_compat(ro_compat::METADATA_CSUM) && !features.incompat(incompat::CSUM_SEED)
}

/// Fails where the UUID could never be changed, whatever is done first: no layer could have one of
/// its own.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported), as for [`seal_for_layers`].
pub fn check_for_layers(sb: &Superblock) -> Result<()> {
    Ok(check_ever_changeable(sb)?)
}

fn check_changeable(sb: &Superblock) -> Result<(), Detail> {
    check_ever_changeable(sb)?;
    if sb.needs_recovery() { Err(Detail::NotReplayed) } else { Ok(()) }
}

fn check_ever_changeable(sb: &Superblock) -> Result<(), Detail> {
    let features = sb.features();
    let seeded =
        features.ro_compat(ro_compat::METADATA_CSUM) || features.incompat(incompat::CSUM_SEED);
    if !features.known() {
        Err(Detail::Unknown(features.incompat, features.ro_compat))
    } else if features.compat(compat::STABLE_INODES) {
        Err(Detail::StableInodes)
    } else if sb.has_external_journal() {
        Err(Detail::ExternalJournal)
    } else if features.incompat(incompat::EA_INODE) && !seeded {
        Err(Detail::EaInode)
    } else {
        Ok(())
    }
}

/// Gives each block of descriptors in turn, with the groups in it, and writes it back where
/// `each` says so.
fn each_table_block(
    dev: &dyn Dev,
    sb: &Superblock,
    mut each: impl FnMut(&mut [u8], &std::ops::Range<u64>) -> Result<bool, Detail>,
) -> Result<()> {
    const OP: &str = "change the group descriptors";
    let geometry = sb.geometry();
    let mut table = vec![0; 1 << geometry.block_log];
    for index in 0..geometry.desc_blocks() {
        let groups = geometry.groups_of_desc_block(index);
        let block = geometry.desc_block(index);
        if block >= geometry.blocks_count {
            return Err(at(Detail::Outside(groups.start), OP, dev));
        }
        let place = geometry.byte_of(block);
        dev.read_at(&mut table, place).context(OP, dev.name())?;
        if each(&mut table, &groups).map_err(|why| at(why, OP, dev))? {
            dev.write_at(&table, place).context(OP, dev.name())?;
        }
    }
    Ok(())
}

fn descriptor<'a>(sb: &Superblock, table: &'a [u8], group: u64) -> Result<Descriptor<'a>, Detail> {
    let (_, byte) = sb.geometry().desc_place(group);
    Descriptor::of(sb, table, byte, group).ok_or(Detail::Outside(group))
}

fn check_descriptor(sb: &Superblock, table: &[u8], group: u64) -> Result<(), Detail> {
    let descriptor = descriptor(sb, table, group)?;
    let holds = descriptor.checksum(sb).is_none_or(|want| want == descriptor.stored());
    if holds { Ok(()) } else { Err(Detail::Group(group)) }
}

fn restamp(sb: &Superblock, table: &mut [u8], group: u64) -> Result<(), Detail> {
    let (_, byte) = sb.geometry().desc_place(group);
    let Some(checksum) = descriptor(sb, table, group)?.checksum(sb) else { return Ok(()) };
    let place = checksum_at(byte).and_then(|range| table.get_mut(range));
    place.ok_or(Detail::Outside(group))?.copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}
