//! Packed bytes: what gzip, xz and zstd make, told by its content, and gzip and zstd written.
//!
//! Images and the kernel's modules come so, the kernel takes its first file system so, and what is
//! exported may go out so.

mod block;
mod writer;
mod zstd;

pub(crate) use block::{BlockPacking, Unpacker};
pub use writer::Packer;

use std::io::{self, BufRead, Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use lzma_rust2::XzReader;

use crate::error::{Error, ErrorKind, Result};

/// The binary logarithm of the largest window that is taken, in bytes: what `zstd --long` asks for.
const WINDOW_LOG_MAX: u32 = 27;
/// The same for xz in KiB, with what its decoder needs beside.
const XZ_MEMORY_MAX: u32 = (128 << 10) + 256;

/// How something is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// gzip (RFC 1952), of any number of members.
    Gzip,
    /// xz (the .xz file format 1.1), of any number of streams.
    Xz,
    /// zstd (RFC 8878), of any number of frames.
    Zstd,
}

impl Packing {
    /// What begins with these bytes; six are enough.
    pub fn of(head: &[u8]) -> Option<Self> {
        const MAGIC: [(&[u8], Packing); 3] = [
            (&[0x1f, 0x8b, 8], Packing::Gzip),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Packing::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Packing::Zstd),
        ];
        MAGIC.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, packing)| *packing)
    }

    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// Unpacks what is read from it, as it is read, with memory for one window.
    ///
    /// Reading fails with [`InvalidData`](io::ErrorKind::InvalidData) or
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where a checksum or the form does not hold,
    /// and with [`Unsupported`](io::ErrorKind::Unsupported) or
    /// [`OutOfMemory`](io::ErrorKind::OutOfMemory) for a window of more than 128 MiB or a filter
    /// of xz that is not known.
    pub fn reader<'r>(self, packed: impl BufRead + Send + 'r) -> Box<dyn Read + Send + 'r> {
        // Whatever is read from: the decoders are there once.
        let packed: Box<dyn BufRead + Send + 'r> = Box::new(packed);
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Xz => Box::new(XzReader::new_mem_limit(packed, true, XZ_MEMORY_MAX)),
            Self::Zstd => Box::new(zstd::ZstdReader::new(packed)),
        }
    }
}

/// The bytes that these were packed from; bytes that are not packed as they are.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) where a checksum or the form does not hold;
/// [`Unsupported`](ErrorKind::Unsupported) for more than `most` bytes, and for what
/// [`Packing::reader`] does not take.
pub fn unpack(bytes: Vec<u8>, most: usize) -> Result<Vec<u8>> {
    let Some(packing) = Packing::of(&bytes) else { return Ok(bytes) };
    let mut unpacked = Vec::new();
    let room = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = packing.reader(bytes.as_slice()).take(room).read_to_end(&mut unpacked);
    let failed = match read {
        Ok(_) if unpacked.len() > most => {
            Error::new(ErrorKind::Unsupported, format!("it has more than {most} bytes"))
        }
        Ok(_) => return Ok(unpacked),
        Err(error) => unreadable(&error),
    };
    Err(failed.op(format!("unpack {}", packing.word())))
}

/// Raw deflate (RFC 1951), which is nobody's file by itself, as it is read.
pub fn deflated<'r>(packed: impl BufRead + Send + 'r) -> impl Read + Send + 'r {
    flate2::bufread::DeflateDecoder::new(packed)
}

/// What a reader's error says of the packed bytes.
pub fn unreadable(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::Unsupported | io::ErrorKind::OutOfMemory => {
            Error::new(ErrorKind::Unsupported, format!("it cannot be unpacked here: {error}"))
        }
        io::ErrorKind::UnexpectedEof => Error::new(ErrorKind::Corrupt, "it is cut off"),
        _ => Error::new(ErrorKind::Corrupt, format!("it cannot be read: {error}")),
    }
}

fn corrupt(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// Packs what is written to it. [`finish`](Self::finish) it: without the trailer nobody takes it.
/// The same bytes are packed the same way each time.
pub struct GzipWriter<W: Write>(GzEncoder<W>);

impl<W: Write> GzipWriter<W> {
    /// Without a name or a time, at level 3: an initramfs is made for each layer without one, and at
    /// gzip's usual level 6 it takes 2.4 times as long, for 2.6 % of its size (at 9 it is 9 times,
    /// for 3.1 %).
    pub fn new(out: W) -> Self {
        Self(GzBuilder::new().write(out, Compression::new(3)))
    }

    /// Writes what is left and the trailer, and gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests;
