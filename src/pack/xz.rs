//! xz (the .xz file format, version 1.1): blocks, each with a header, LZMA2 data and a check, then
//! an index. Only LZMA2 without a filter before it is read here, which is what the kernel's modules
//! are packed with.

use std::io::Read;

use lzma_rust2::Lzma2Reader;

use super::{corrupt, crc32, le32, too_large};
use crate::error::{Error, ErrorKind, Result};

const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
/// The magic, two bytes of flags, their CRC-32.
const HEADER: usize = 12;
const LZMA2: u64 = 0x21;
/// The largest dictionary that is taken, in bytes: that of `xz -9`.
const DICTIONARY_MAX: u32 = 64 << 20;

/// How a block's content is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    Nothing,
    Crc32,
    Crc64,
    Sha256,
}

impl Check {
    fn of(flags: u8) -> Option<Self> {
        match flags {
            0 => Some(Self::Nothing),
            1 => Some(Self::Crc32),
            4 => Some(Self::Crc64),
            10 => Some(Self::Sha256),
            _ => None,
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Crc32 => 4,
            Self::Crc64 => 8,
            Self::Sha256 => 32,
        }
    }

    /// Whether the check is that of the content. SHA-256 is not looked at: what is unpacked here
    /// has a check of its own.
    fn holds(self, content: &[u8], check: &[u8]) -> bool {
        match self {
            Self::Nothing | Self::Sha256 => true,
            Self::Crc32 => crc32().checksum(content).to_le_bytes() == check,
            Self::Crc64 => {
                let crc = crc::Crc::<u64, crc::NoTable>::new(&crc::CRC_64_XZ);
                crc.checksum(content).to_le_bytes() == check
            }
        }
    }
}

pub(super) fn recognises(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// What the first stream was packed from.
pub(super) fn unpack(bytes: &[u8], most: usize) -> Result<Vec<u8>> {
    let (header, mut rest) = bytes.split_at_checked(HEADER).ok_or_else(cut)?;
    let flags = header.get(6..8).ok_or_else(cut)?;
    if le32(header, 8) != Some(crc32().checksum(flags)) {
        return Err(corrupt("its header's checksum does not hold"));
    }
    let check = match flags {
        [0, check] => Check::of(*check),
        _ => None,
    };
    let check = check.ok_or_else(|| unsupported("its check is not known here"))?;
    let mut unpacked = Vec::new();
    // The index begins with a zero where a block has its length.
    while *rest.first().ok_or_else(cut)? != 0 {
        rest = block(rest, check, most, &mut unpacked)?;
    }
    Ok(unpacked)
}

/// Unpacks a block and gives what follows it.
fn block<'b>(
    bytes: &'b [u8],
    check: Check,
    most: usize,
    unpacked: &mut Vec<u8>,
) -> Result<&'b [u8]> {
    let (dictionary, packed) = block_header(bytes)?;
    let start = unpacked.len();
    let mut reader = Lzma2Reader::new(packed, dictionary, None);
    let room = most.saturating_sub(start).saturating_add(1);
    let room = u64::try_from(room).unwrap_or(u64::MAX);
    let read = reader.by_ref().take(room).read_to_end(unpacked);
    read.map_err(|error| corrupt(format!("its data cannot be read: {error}")))?;
    if unpacked.len() > most {
        return Err(too_large(most));
    }
    let rest = reader.into_inner();
    let used = packed.len().saturating_sub(rest.len());
    let padding = used.next_multiple_of(4).saturating_sub(used);
    let (sum, rest) =
        rest.get(padding..).and_then(|rest| rest.split_at_checked(check.len())).ok_or_else(cut)?;
    if !check.holds(unpacked.get(start..).unwrap_or_default(), sum) {
        return Err(corrupt("a block's check does not hold"));
    }
    Ok(rest)
}

/// The size of a block's dictionary, and what follows its header.
fn block_header(bytes: &[u8]) -> Result<(u32, &[u8])> {
    let words = usize::from(*bytes.first().ok_or_else(cut)?);
    let len = words.saturating_add(1).saturating_mul(4);
    let (header, rest) = bytes.split_at_checked(len).ok_or_else(cut)?;
    let (fields, sum) = header.split_at_checked(len.saturating_sub(4)).ok_or_else(cut)?;
    if le32(sum, 0) != Some(crc32().checksum(fields)) {
        return Err(corrupt("a block header's checksum does not hold"));
    }
    let (flags, mut fields) = fields.get(1..).and_then(<[u8]>::split_first).ok_or_else(cut)?;
    // The sizes of the packed and of the unpacked data, each where its bit is set.
    for bit in [0x40, 0x80] {
        if flags & bit != 0 {
            fields = number(fields).ok_or_else(cut)?.1;
        }
    }
    let one_filter = flags & 0x3f == 0;
    match number(fields) {
        Some((LZMA2, [1, size, ..])) if one_filter => Ok((
            dictionary(*size).ok_or_else(|| corrupt("its dictionary's size is no size"))?,
            rest,
        )),
        _ => Err(unsupported("it was packed with a filter that is not known here")),
    }
}

/// A number of 7 bits a byte, lowest first; all but the last byte have the highest bit set.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (place, byte) in bytes.iter().enumerate().take(9) {
        let shift = u32::try_from(place.checked_mul(7)?).ok()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(place.checked_add(1)?..)?));
        }
    }
    None
}

/// Two or three times a power of two.
fn dictionary(bits: u8) -> Option<u32> {
    let shift = u32::from(bits / 2).checked_add(11).filter(|shift| *shift < 31)?;
    let size = u32::from(2 | bits & 1).checked_shl(shift)?;
    (size <= DICTIONARY_MAX).then_some(size)
}

fn cut() -> Error {
    corrupt("it is cut off")
}

fn unsupported(why: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, why)
}
