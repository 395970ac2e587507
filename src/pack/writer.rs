//! Packs what goes out.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::Packing;
use crate::dev::Outlet;
use crate::dev::outlet::OutletWriter;

/// So much goes into one frame of zstd. Whoever unpacks it takes frame after frame.
const FRAME: usize = 4 << 20;

/// Packs what is put into it. [`finish`](Self::finish) it: without its end nobody takes it.
pub struct Packer<'o>(How<'o>);

enum How<'o> {
    Gzip(GzEncoder<OutletWriter<'o>>),
    Zstd(Vec<u8>, &'o mut dyn Outlet),
}

impl<'o> Packer<'o> {
    /// One in front of that outlet; `None` for a packing that is only read.
    pub fn new(packing: Packing, out: &'o mut dyn Outlet) -> Option<Self> {
        Some(Self(match packing {
            Packing::Gzip => How::Gzip(GzEncoder::new(OutletWriter(out), Compression::default())),
            Packing::Zstd => How::Zstd(Vec::with_capacity(FRAME), out),
            Packing::Xz => return None,
        }))
    }

    /// Puts out what is left, and the end.
    ///
    /// # Errors
    /// Those of the outlet.
    pub fn finish(self) -> io::Result<()> {
        match self.0 {
            How::Gzip(encoder) => encoder.finish().map(drop),
            // An empty one has a frame too.
            How::Zstd(left, out) => frame(&left, out),
        }
    }
}

impl Outlet for Packer<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (frame_so_far, out) = match &mut self.0 {
            How::Gzip(encoder) => return encoder.write_all(bytes),
            How::Zstd(frame_so_far, out) => (frame_so_far, out),
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = FRAME.saturating_sub(frame_so_far.len());
            rest.by_ref().take(u64::try_from(room).unwrap_or(0)).read_to_end(frame_so_far)?;
            if frame_so_far.len() >= FRAME {
                frame(frame_so_far, *out)?;
                frame_so_far.clear();
            }
        }
        Ok(())
    }
}

fn frame(bytes: &[u8], out: &mut dyn Outlet) -> io::Result<()> {
    out.put(&compress_to_vec(bytes, CompressionLevel::Fastest))
}
