//! A disk's partition table: GPT (UEFI 2.10, chapter 5) or MBR, read to find the root in an image.

use std::fmt;
use std::io;

use crate::error::{Error, ErrorKind, Result};
use crate::units::Bytes;

/// Sizes of a sector that a GPT is looked for with.
const SECTORS: [u64; 2] = [512, 4096];
const GPT_SIGNATURE: &[u8; 8] = b"EFI PART";
/// Bytes of a GPT's header that are checked; the header may say more, up to a sector.
const GPT_HEADER: u64 = 92;
/// Partitions that are looked at, and bytes of one's entry.
const GPT_ENTRIES_MAX: u32 = 1024;
const GPT_ENTRY: std::ops::RangeInclusive<u32> = 128..=4096;

/// Where MBR's four entries begin, and the bytes of one.
const MBR_TABLE: usize = 446;
const MBR_ENTRY: usize = 16;
const MBR_SIGNATURE: [u8; 2] = [0x55, 0xaa];

/// Types of a GPT's partition, as they stand on the disk: the first three fields little-endian.
type TypeId = [u8; 16];

/// `0FC63DAF-8483-4772-8E79-3D69D8477DE4`: a file system of Linux.
const LINUX: TypeId = type_id(0x0fc6_3daf, 0x8483, 0x4772, 0x8e79_3d69_d847_7de4);

/// The root of a system for this architecture (the Discoverable Partitions Specification, UAPI.2).
const ROOT: Option<TypeId> = if cfg!(target_arch = "x86_64") {
    Some(type_id(0x4f68_bce3, 0xe8cd, 0x4db1, 0x96e7_fbca_f984_b709))
} else if cfg!(target_arch = "aarch64") {
    Some(type_id(0xb921_b045, 0x1df0, 0x41c3, 0xaf44_4c6f_280d_3fae))
} else if cfg!(target_arch = "riscv64") {
    Some(type_id(0x72ec_70a6, 0xcf74, 0x40e6, 0xbd49_4bda_08e8_f224))
} else {
    None
};

const fn type_id(a: u32, b: u16, c: u16, d: u64) -> TypeId {
    let ([a0, a1, a2, a3], [b0, b1], [c0, c1]) =
        (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
    let [d0, d1, d2, d3, d4, d5, d6, d7] = d.to_be_bytes();
    [a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, d2, d3, d4, d5, d6, d7]
}

/// What a partition may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// The root, by its type.
    Root,
    /// Any file system of Linux.
    Linux,
    Other,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// As the kernel counts them, from 1.
    pub number: u32,
    /// Its name, of a GPT.
    pub name: String,
    /// Where it begins.
    pub start: Bytes,
    /// How large it is.
    pub size: Bytes,
    is_for: Use,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, name, size, .. } = self;
        if name.is_empty() {
            return write!(f, "{number} ({size})");
        }
        write!(f, "{number} '{}' ({size})", name.escape_debug())
    }
}

/// Reads bytes of the disk.
pub(super) type ReadAt<'r> = &'r dyn Fn(Bytes, &mut [u8]) -> io::Result<()>;

/// Finds the partition that holds the root: the one of that number or name, else the only one
/// whose type says so, else the only one with a file system of Linux. `None` where there is no
/// table at all.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) for a damaged table, [`NotFound`](ErrorKind::NotFound) where no
/// partition is meant, [`Invalid`](ErrorKind::Invalid) where several are: both name those that are
/// there. [`Io`](ErrorKind::Io).
pub(super) fn root(read: ReadAt<'_>, wanted: Option<&str>) -> Result<Option<Partition>> {
    let Some(all) = table(read)? else { return Ok(None) };
    let find = |is_meant: &dyn Fn(&Partition) -> bool| {
        let mut meant = all.iter().filter(|partition| is_meant(partition));
        match (meant.next(), meant.next()) {
            (Some(one), None) => Some(Ok(one.clone())),
            (Some(_), Some(_)) => Some(Err(())),
            (None, _) => None,
        }
    };
    let found = match wanted {
        Some(word) => {
            let number = word.parse().ok();
            find(&|partition| Some(partition.number) == number)
                .or_else(|| find(&|partition| partition.name == word))
        }
        None => find(&|partition| partition.is_for == Use::Root)
            .or_else(|| find(&|partition| partition.is_for == Use::Linux)),
    };
    let there: Vec<String> = all.iter().map(ToString::to_string).collect();
    let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
    match (found, wanted) {
        (Some(Ok(one)), _) => Ok(Some(one)),
        (None, Some(word)) => {
            let why = format!("it has no partition '{word}'; there are: {there}");
            Err(Error::new(ErrorKind::NotFound, why))
        }
        (None, None) => {
            let why = format!("none of its partitions seems to hold a root: {there}");
            Err(Error::new(ErrorKind::Invalid, why))
        }
        (Some(Err(())), _) => {
            let why = format!(
                "several of its partitions may hold the root; name one (--partition): {there}"
            );
            Err(Error::new(ErrorKind::Invalid, why))
        }
    }
}

/// All partitions; `None` where there is no table.
fn table(read: ReadAt<'_>) -> Result<Option<Vec<Partition>>> {
    let mut first = [0; 512];
    match read(Bytes::ZERO, &mut first) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other.map_err(unreadable)?,
    }
    if first.last_chunk() != Some(&MBR_SIGNATURE) {
        return Ok(None);
    }
    for sector in SECTORS {
        let mut header = [0; 512];
        let found = read(Bytes::new(sector), &mut header);
        if found.is_ok() && header.starts_with(GPT_SIGNATURE) {
            return gpt(read, sector, &header).map(Some);
        }
    }
    Ok(mbr(&first))
}

fn gpt(read: ReadAt<'_>, sector: u64, header: &[u8; 512]) -> Result<Vec<Partition>> {
    let damaged = |why: &str| Error::new(ErrorKind::Corrupt, format!("its GPT is damaged: {why}"));
    let len = le32(header, 12).unwrap_or(0);
    let checked = usize::try_from(len).ok().filter(|_| u64::from(len) >= GPT_HEADER);
    let mut checked = checked
        .and_then(|len| header.get(..len))
        .ok_or_else(|| damaged("its header's size"))?
        .to_vec();
    checked.iter_mut().skip(16).take(4).for_each(|byte| *byte = 0);
    if Some(crc32fast::hash(&checked)) != le32(header, 16) {
        return Err(damaged("its header's checksum does not hold"));
    }
    let fields = (le64(header, 72), le32(header, 80), le32(header, 84), le32(header, 88));
    let (Some(place), Some(count), Some(size), Some(checksum)) = fields else {
        return Err(damaged("its header is cut off"));
    };
    if count > GPT_ENTRIES_MAX || !GPT_ENTRY.contains(&size) {
        return Err(damaged("the size of its table"));
    }
    let bytes = usize::try_from(u64::from(count).saturating_mul(size.into())).unwrap_or(0);
    let mut entries = vec![0; bytes];
    let place = place.checked_mul(sector).ok_or_else(|| damaged("the place of its table"))?;
    read(Bytes::new(place), &mut entries).map_err(unreadable)?;
    if crc32fast::hash(&entries) != checksum {
        return Err(damaged("its table's checksum does not hold"));
    }
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let all = (1..).zip(entries.chunks_exact(size));
    Ok(all.filter_map(|(number, entry)| gpt_entry(number, entry, sector)).collect())
}

fn gpt_entry(number: u32, entry: &[u8], sector: u64) -> Option<Partition> {
    let id: &TypeId = entry.first_chunk()?;
    if id == &[0; 16] {
        return None;
    }
    let (first, last) = (le64(entry, 32)?, le64(entry, 40)?);
    let count = last.checked_sub(first)?.checked_add(1)?;
    let units = entry.get(56..128)?.chunks_exact(2);
    let units: Vec<u16> =
        units.filter_map(|unit| unit.first_chunk().map(|unit| u16::from_le_bytes(*unit))).collect();
    let name = String::from_utf16_lossy(units.split(|unit| *unit == 0).next()?);
    let is_for = match id {
        id if Some(*id) == ROOT => Use::Root,
        id if *id == LINUX => Use::Linux,
        _ => Use::Other,
    };
    let (start, size) = (first.checked_mul(sector)?, count.checked_mul(sector)?);
    Some(Partition { number, name, start: Bytes::new(start), size: Bytes::new(size), is_for })
}

/// The four primary partitions; `None` where the sector is rather a file system's than a table's.
fn mbr(first: &[u8; 512]) -> Option<Vec<Partition>> {
    let entries = first.get(MBR_TABLE..)?.chunks_exact(MBR_ENTRY).take(4);
    let mut all = Vec::new();
    for (number, entry) in (1..).zip(entries) {
        let (active, sort) = (*entry.first()?, *entry.get(4)?);
        if !matches!(active, 0 | 0x80) {
            return None;
        }
        let (start, count) = (u64::from(le32(entry, 8)?), u64::from(le32(entry, 12)?));
        if sort == 0 || count == 0 {
            continue;
        }
        let is_for = if sort == 0x83 { Use::Linux } else { Use::Other };
        let (start, size) = (Bytes::new(start * 512), Bytes::new(count * 512));
        all.push(Partition { number, name: String::new(), start, size, is_for });
    }
    (!all.is_empty()).then_some(all)
}

fn unreadable(error: io::Error) -> Error {
    Error::io(error).op("read the partition table")
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|field| u32::from_le_bytes(*field))
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|field| u64::from_le_bytes(*field))
}
