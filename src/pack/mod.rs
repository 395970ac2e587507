//! Packed bytes: what gzip, xz and zstd make, told by its content, and gzip written.
//!
//! The kernel's modules come so, and it takes its first file system so.

mod gzip;
mod xz;
mod zstd;

use crate::error::{Error, ErrorKind, Result};

pub use gzip::GzipWriter;

/// The bytes that these were packed from; bytes that are not packed as they are.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) where a checksum or the form does not hold;
/// [`Unsupported`](ErrorKind::Unsupported) for more than `most` bytes, or a filter of xz that is not
/// known here.
pub fn unpack(bytes: Vec<u8>, most: usize) -> Result<Vec<u8>> {
    if gzip::recognises(&bytes) {
        return gzip::unpack(&bytes, most).map_err(|error| error.op("unpack gzip"));
    }
    if xz::recognises(&bytes) {
        return xz::unpack(&bytes, most).map_err(|error| error.op("unpack xz"));
    }
    if zstd::recognises(&bytes) {
        return zstd::unpack(&bytes, most).map_err(|error| error.op("unpack zstd"));
    }
    Ok(bytes)
}

fn corrupt(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, why.into())
}

fn too_large(most: usize) -> Error {
    Error::new(ErrorKind::Unsupported, format!("it has more than {most} bytes"))
}

/// A number of four bytes, little-endian.
fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|field| u32::from_le_bytes(*field))
}

/// CRC-32 as gzip and xz use it.
fn crc32() -> crc::Crc<u32, crc::Table<1>> {
    const CRC: crc::Crc<u32, crc::Table<1>> =
        crc::Crc::<u32, crc::Table<1>>::new(&crc::CRC_32_ISO_HDLC);
    CRC
}

#[cfg(test)]
mod tests;
