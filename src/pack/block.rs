//! Blocks that were packed one by one, as file systems have them.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};
use zstd_safe::DCtx;

use super::{Packing, corrupt, zstd};
use crate::dev::bytes::read_full;

/// How such blocks are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockPacking {
    /// A zlib stream (RFC 1950) each.
    Zlib,
    /// An .xz stream each.
    Xz,
    /// A frame of zstd each.
    Zstd,
}

/// Unpacks one block after the other.
pub(crate) struct Unpacker(How);

enum How {
    Zlib(Decompress),
    Xz,
    Zstd(DCtx<'static>),
}

impl Unpacker {
    pub(crate) fn new(packing: BlockPacking) -> Self {
        Self(match packing {
            BlockPacking::Zlib => How::Zlib(Decompress::new(true)),
            BlockPacking::Xz => How::Xz,
            BlockPacking::Zstd => How::Zstd(zstd::decoder()),
        })
    }

    /// Unpacks all of a block to the front of `into`, and says how much that is.
    ///
    /// # Errors
    /// `InvalidData` where its form or a checksum does not hold, more is in it, or it is cut off; `Unsupported`
    /// for a filter of xz that is not known.
    pub(crate) fn unpack(&mut self, packed: &[u8], into: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            How::Zlib(decoder) => {
                decoder.reset(true);
                let status = decoder.decompress(packed, into, FlushDecompress::Finish);
                let status = status.map_err(|_| corrupt("a packed block is damaged"))?;
                if status != Status::StreamEnd {
                    return Err(corrupt("a packed block is cut off, or more is in it than can be"));
                }
                Ok(usize::try_from(decoder.total_out()).unwrap_or(usize::MAX))
            }
            How::Xz => {
                let mut reader = Packing::Xz.reader(packed);
                let got = read_full(&mut reader, into).map_err(|(error, _)| wrong(error))?;
                // What stands behind the block, its checksum among it, is looked at by the read that
                // meets its end.
                if got == into.len() && reader.read(&mut [0]).map_err(wrong)? > 0 {
                    return Err(corrupt("a packed block holds more than it can"));
                }
                Ok(got)
            }
            How::Zstd(decoder) => decoder.decompress(into, packed).map_err(zstd::failure),
        }
    }
}

/// What a reader of bytes in memory fails with says nothing but what they are.
fn wrong(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Unsupported | io::ErrorKind::OutOfMemory => error,
        io::ErrorKind::UnexpectedEof => corrupt("a packed block is cut off"),
        _ => corrupt(error.to_string()),
    }
}
