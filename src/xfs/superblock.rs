//! The superblock: the first sector of the file system.

use super::log;
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::ext4::FsUuid;
use crate::ext4::fields::Fields;
use crate::units::Bytes;

const MAGIC: &[u8] = b"XFSB";
/// `sb_crc`: little-endian, over the whole sector with this field taken as zero.
const SB_CRC: usize = 224;
/// Bytes that the fields read here lie in.
const LEN: usize = 264;

#[derive(Debug, thiserror::Error)]
enum Detail {
    #[error("no XFS file system (no magic number)")]
    Magic,
    #[error("the XFS superblock's checksum is {found:#010x}, its bytes give {want:#010x}")]
    Checksum { found: u32, want: u32 },
    #[error("the XFS superblock cannot be right: {0} is {1}")]
    Field(&'static str, u64),
    #[error("mkfs.xfs never finished making this file system")]
    InProgress,
    #[error("an XFS of version {0}; versions 4 and 5 are known")]
    Version(u16),
    #[error("its log is on another device")]
    ExternalLog,
    #[error("it has a realtime section on another device")]
    Realtime,
}

impl From<Detail> for Error {
    fn from(detail: Detail) -> Self {
        let kind = match detail {
            Detail::Magic => ErrorKind::Invalid,
            Detail::Version(_) | Detail::ExternalLog | Detail::Realtime => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        };
        Self::new(kind, detail)
    }
}

/// Whether the log holds changes that are not in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogState {
    /// It ends with the record of an unmount.
    Clean,
    /// It does not, or that cannot be told: a mount replays it.
    Dirty,
}

/// A superblock that was checked: its checksum holds (version 5) and its numbers fit each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    size: Bytes,
    block_size: Bytes,
    uuid: FsUuid,
    label: String,
    log: std::ops::Range<Bytes>,
    fdblocks: u64,
}

impl Superblock {
    /// True where an image that begins with these bytes has XFS's magic number.
    pub fn recognises(head: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    /// Reads and checks the superblock of a device.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) where there is none, [`Corrupt`](ErrorKind::Corrupt) for a
    /// bad checksum or numbers that cannot be, [`Unsupported`](ErrorKind::Unsupported) for a log or
    /// a realtime section elsewhere, [`Io`](ErrorKind::Io).
    pub fn read(dev: &dyn Dev) -> Result<Self> {
        let len = dev.size().min(Bytes::kib(32));
        let mut head = vec![0; usize::try_from(len.get()).unwrap_or(0)];
        dev.read_at(&mut head, Bytes::ZERO).context("read the XFS superblock", dev.name())?;
        Self::parse(&head).map_err(|error| error.at(dev.name()))
    }

    /// Checks a superblock at the front of these bytes, which hold at least its sector: 32 KiB are
    /// enough for any.
    ///
    /// # Errors
    /// As [`read`](Self::read), but for `Io`.
    pub fn parse(head: &[u8]) -> Result<Self> {
        if !Self::recognises(head) || head.len() < LEN {
            return Err(Detail::Magic.into());
        }
        let fields = Fields(head);
        match fields.be16(100) & 0xF {
            4 => {}
            5 => check_checksum(fields)?,
            version => return Err(Detail::Version(version).into()),
        }
        check_here(fields)?;
        Ok(Self::of(fields)?)
    }

    fn of(fields: Fields<'_>) -> Result<Self, Detail> {
        let (sb_blocksize, sb_dblocks) = (fields.be32(4), fields.be64(8));
        let good = (512..=65536).contains(&sb_blocksize) && sb_blocksize.is_power_of_two();
        check(good, "sb_blocksize", sb_blocksize.into())?;
        let block_size = Bytes::new(sb_blocksize.into());
        let size = block_size.checked_mul(sb_dblocks).filter(|size| size.get() <= u64::MAX >> 1);
        let size = size.ok_or(Detail::Field("sb_dblocks", sb_dblocks))?;
        check(sb_dblocks > 0, "sb_dblocks", sb_dblocks)?;
        let label: [u8; 12] = fields.array(108);
        let label = label.split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(Self {
            size,
            block_size,
            uuid: FsUuid::new(fields.array(32)),
            label: String::from_utf8_lossy(label).into_owned(),
            log: log_place(fields, block_size, size)?,
            fdblocks: fields.be64(144),
        })
    }

    /// Bytes of the whole file system.
    pub fn size(&self) -> Bytes {
        self.size
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> Bytes {
        self.block_size
    }

    /// `sb_uuid`.
    pub fn uuid(&self) -> FsUuid {
        self.uuid
    }

    /// `sb_fname` up to its first zero byte; bytes that are no UTF-8 are replaced.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What the file system believed to be free when it was last unmounted, at most its size.
    pub fn free(&self) -> Bytes {
        self.block_size.checked_mul(self.fdblocks).unwrap_or(self.size).min(self.size)
    }

    /// Whether the log must be replayed. Where that cannot be told it must be.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io).
    pub fn log_state(&self, dev: &dyn Dev) -> Result<LogState> {
        let clean = log::is_clean(dev, self.log.clone()).context("read the XFS log", dev.name())?;
        Ok(if clean { LogState::Clean } else { LogState::Dirty })
    }
}

fn check(holds: bool, name: &'static str, value: u64) -> Result<(), Detail> {
    if holds { Ok(()) } else { Err(Detail::Field(name, value)) }
}

fn check_checksum(fields: Fields<'_>) -> Result<(), Detail> {
    let sb_sectsize = fields.be16(102);
    let bad = Detail::Field("sb_sectsize", sb_sectsize.into());
    let good = (512..=32768).contains(&sb_sectsize) && sb_sectsize.is_power_of_two();
    let sector = fields.0.get(..usize::from(sb_sectsize)).filter(|_| good).ok_or(bad)?;
    let (before, rest) = sector.split_at(SB_CRC);
    let (_, after) = rest.split_at(4);
    let mut digest = CRC32C.digest();
    digest.update(before);
    digest.update(&[0; 4]);
    digest.update(after);
    let (found, want) = (fields.le32(SB_CRC), digest.finalize());
    if found == want { Ok(()) } else { Err(Detail::Checksum { found, want }) }
}

static CRC32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// All of it is made, and all of it is on this device.
fn check_here(fields: Fields<'_>) -> Result<(), Detail> {
    if fields.u8(126) != 0 {
        Err(Detail::InProgress)
    } else if fields.be64(48) == 0 {
        Err(Detail::ExternalLog)
    } else if fields.be64(16) != 0 {
        Err(Detail::Realtime)
    } else {
        Ok(())
    }
}

/// The bytes of the log: `sb_logstart` is a group's number above `sb_agblklog` bits and a block in it.
fn log_place(
    fields: Fields<'_>,
    block: Bytes,
    size: Bytes,
) -> Result<std::ops::Range<Bytes>, Detail> {
    let (sb_logstart, sb_logblocks) = (fields.be64(48), fields.be32(96));
    let (sb_agblocks, sb_agblklog) = (fields.be32(84), fields.u8(124));
    check(sb_agblklog < 32, "sb_agblklog", sb_agblklog.into())?;
    let in_group = sb_logstart & ((1 << sb_agblklog) - 1);
    let start = (sb_logstart >> sb_agblklog)
        .checked_mul(sb_agblocks.into())
        .and_then(|start| block.checked_mul(start.checked_add(in_group)?));
    let len = block.checked_mul(sb_logblocks.into());
    let end = start.zip(len).and_then(|(start, len)| start.checked_add(len));
    match (start, end) {
        (Some(start), Some(end)) if start < end && end <= size => Ok(start..end),
        _ => Err(Detail::Field("sb_logstart", sb_logstart)),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
