//! zstd (RFC 8878), by libzstd: frame after frame.

use std::io::{self, BufRead, Read};

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::{WINDOW_LOG_MAX, corrupt};

/// Unpacks what it reads.
pub(super) struct ZstdReader<R> {
    packed: R,
    decoder: DCtx<'static>,
    /// A frame has begun, and has not ended yet.
    in_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    pub(super) fn new(packed: R) -> Self {
        Self { packed, decoder: decoder(), in_frame: false }
    }
}

/// What takes no more than the largest window.
pub(super) fn decoder() -> DCtx<'static> {
    let mut decoder = DCtx::create();
    // It is a size that all versions of it take.
    let _ = decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX));
    decoder
}

/// What a code of libzstd's says; the words that it has for it are left out of the static binary.
pub(super) fn failure(code: usize) -> io::Error {
    use zstd_safe::zstd_sys::ZSTD_ErrorCode as Kind;
    let is = |kind| zstd_safe::is_error_kind(code, kind);
    if is(Kind::ZSTD_error_frameParameter_windowTooLarge) {
        let why = format!("its window has more than {} MiB", 1 << (WINDOW_LOG_MAX - 20));
        return io::Error::new(io::ErrorKind::Unsupported, why);
    }
    if is(Kind::ZSTD_error_memory_allocation) {
        return io::ErrorKind::OutOfMemory.into();
    }
    corrupt(match () {
        () if is(Kind::ZSTD_error_checksum_wrong) => "its checksum does not hold",
        () if is(Kind::ZSTD_error_prefix_unknown) => "there is no frame of zstd",
        () if is(Kind::ZSTD_error_dictionary_wrong) => "it needs a dictionary",
        () => "a frame of zstd is damaged",
    })
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let packed = self.packed.fill_buf()?;
            let is_end = packed.is_empty();
            if is_end && !self.in_frame {
                return Ok(0);
            }
            let (mut from, mut into) = (InBuffer::around(packed), OutBuffer::around(&mut *buf));
            let left = self.decoder.decompress_stream(&mut into, &mut from).map_err(failure)?;
            let (taken, made) = (from.pos(), into.pos());
            self.packed.consume(taken);
            self.in_frame = left > 0;
            if made > 0 {
                return Ok(made);
            }
            if is_end && self.in_frame {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
