//! zstd (RFC 8878), by the ruzstd crate: frame after frame.

use std::io::{self, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{WINDOW_MAX, corrupt};

/// So much is unpacked at once.
const STEP: usize = 256 << 10;

/// Unpacks what it reads.
pub(super) struct ZstdReader<R> {
    packed: R,
    decoder: FrameDecoder,
    /// A frame has begun, and its checksum was not looked at yet.
    in_frame: bool,
}

impl<R: Read> ZstdReader<R> {
    pub(super) fn new(packed: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_MAX);
        Self { packed, decoder, in_frame: false }
    }

    /// Begins the next frame; false at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            // Where no byte follows there is no frame any more.
            let mut first = [0];
            match self.packed.read(&mut first) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            match self.decoder.init(first.as_slice().chain(&mut self.packed)) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped =
                        io::copy(&mut self.packed.by_ref().take(length.into()), &mut io::sink())?;
                    if skipped < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error @ FrameDecoderError::WindowSizeTooBig { .. }) => {
                    return Err(io::Error::new(io::ErrorKind::Unsupported, error.to_string()));
                }
                Err(error) => return Err(corrupt(error.to_string())),
            }
        }
    }
}

impl<R: Read> Read for ZstdReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !buf.is_empty() {
            if !self.in_frame {
                if !self.next_frame()? {
                    return Ok(0);
                }
                self.in_frame = true;
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buf);
            }
            if !self.decoder.is_finished() {
                let step = BlockDecodingStrategy::UptoBytes(STEP);
                let done = self.decoder.decode_blocks(&mut self.packed, step);
                done.map_err(|error| corrupt(error.to_string()))?;
                continue;
            }
            self.in_frame = false;
            let says = self.decoder.get_checksum_from_data();
            let has = self.decoder.get_calculated_checksum();
            if says.is_some() && has.is_some() && says != has {
                return Err(corrupt("its checksum does not hold"));
            }
        }
        Ok(0)
    }
}
