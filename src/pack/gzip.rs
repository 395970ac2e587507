//! gzip (RFC 1952): a header, raw deflate, the CRC-32 and the length of what was packed.

use std::io::{self, Write};

use miniz_oxide::DataFormat;
use miniz_oxide::deflate::core::{
    CompressionStrategy, CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output,
};
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit};

use super::{corrupt, crc32, le32, too_large};
use crate::error::Result;

const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// No flags, no time, packed as well as can be, by nobody known: nothing that differs between two
/// runs.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
/// The CRC-32 and the length, each of four bytes.
const TRAILER: usize = 8;

/// As zlib's best.
const LEVEL: u8 = 9;
const WINDOW_BITS: u8 = 15;

/// Packs what is written to it. [`finish`](Self::finish) it: without the trailer nobody takes it.
pub struct GzipWriter<W> {
    out: W,
    compressor: Box<CompressorOxide>,
    crc: crc::Digest<'static, u32, crc::Table<1>>,
    len: u64,
}

static CRC: crc::Crc<u32, crc::Table<1>> =
    crc::Crc::<u32, crc::Table<1>>::new(&crc::CRC_32_ISO_HDLC);

impl<W: Write> GzipWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        let strategy = CompressionStrategy::Default;
        let compressor =
            CompressorOxide::with_params(DataFormat::Raw, LEVEL, strategy, WINDOW_BITS);
        Ok(Self { out, compressor: Box::new(compressor), crc: CRC.digest(), len: 0 })
    }

    /// Writes what is left and the trailer, and gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.pack(&[], TDEFLFlush::Finish)?;
        // The length counts modulo 2^32.
        let len = self.len.to_le_bytes();
        self.out.write_all(&self.crc.finalize().to_le_bytes())?;
        self.out.write_all(len.first_chunk::<4>().expect("eight bytes begin with four"))?;
        Ok(self.out)
    }

    fn pack(&mut self, bytes: &[u8], flush: TDEFLFlush) -> io::Result<()> {
        let (out, mut written) = (&mut self.out, Ok(()));
        let (status, _) = compress_to_output(&mut self.compressor, bytes, flush, |packed| {
            written = out.write_all(packed);
            written.is_ok()
        });
        written?;
        match status {
            TDEFLStatus::Okay | TDEFLStatus::Done => Ok(()),
            TDEFLStatus::BadParam | TDEFLStatus::PutBufFailed => Err(io::ErrorKind::Other.into()),
        }
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pack(bytes, TDEFLFlush::None)?;
        self.crc.update(bytes);
        let len = u64::try_from(bytes.len()).map_err(io::Error::other)?;
        self.len = self.len.wrapping_add(len);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

pub(super) fn recognises(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// What one member was packed from.
pub(super) fn unpack(bytes: &[u8], most: usize) -> Result<Vec<u8>> {
    let cut = || corrupt("it is cut off");
    let body = bytes.get(header_len(bytes).ok_or_else(cut)?..).ok_or_else(cut)?;
    let trailer = body.len().checked_sub(TRAILER).ok_or_else(cut)?;
    let (deflated, trailer) = body.split_at_checked(trailer).ok_or_else(cut)?;
    let unpacked =
        decompress_to_vec_with_limit(deflated, most).map_err(|failure| match failure.status {
            TINFLStatus::HasMoreOutput => too_large(most),
            status => corrupt(format!("its deflated data cannot be read ({status:?})")),
        })?;
    let len = u64::try_from(unpacked.len()).unwrap_or(u64::MAX).to_le_bytes();
    let says = (le32(trailer, 0), trailer.get(4..));
    if says != (Some(crc32().checksum(&unpacked)), len.get(..4)) {
        return Err(corrupt("its checksum does not hold"));
    }
    Ok(unpacked)
}

// Flags of the header.
const HAS_CHECKSUM: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;

/// Where the deflated data begins.
fn header_len(bytes: &[u8]) -> Option<usize> {
    let flags = *bytes.get(3)?;
    let mut at = HEADER.len();
    if flags & HAS_EXTRA != 0 {
        let len: &[u8; 2] = bytes.get(at..)?.first_chunk()?;
        at = at.checked_add(2)?.checked_add(u16::from_le_bytes(*len).into())?;
    }
    for text in [HAS_NAME, HAS_COMMENT] {
        if flags & text != 0 {
            let end = bytes.get(at..)?.iter().position(|byte| *byte == 0)?;
            at = at.checked_add(end)?.checked_add(1)?;
        }
    }
    let checksum = if flags & HAS_CHECKSUM != 0 { 2 } else { 0 };
    at.checked_add(checksum)
}
