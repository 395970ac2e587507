//! zstd (RFC 8878), by the ruzstd crate.

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{corrupt, too_large};
use crate::error::Result;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The largest window that is taken, in bytes: beyond that of `zstd -19`.
const WINDOW_MAX: u64 = 16 << 20;
/// So much is unpacked between two looks at how much there is.
const STEP: usize = 1 << 20;

pub(super) fn recognises(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// What the first frame was packed from.
pub(super) fn unpack(mut bytes: &[u8], most: usize) -> Result<Vec<u8>> {
    let broken = |error: &dyn std::fmt::Display| corrupt(format!("it cannot be read: {error}"));
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW_MAX);
    decoder.init(&mut bytes).map_err(|error| broken(&error))?;
    let mut unpacked = Vec::new();
    while !decoder.is_finished() {
        let step = BlockDecodingStrategy::UptoBytes(STEP);
        decoder.decode_blocks(&mut bytes, step).map_err(|error| broken(&error))?;
        decoder.collect_to_writer(&mut unpacked).map_err(|error| broken(&error))?;
        if unpacked.len() > most {
            return Err(too_large(most));
        }
    }
    decoder.collect_to_writer(&mut unpacked).map_err(|error| broken(&error))?;
    let (says, has) = (decoder.get_checksum_from_data(), decoder.get_calculated_checksum());
    if says.is_some() && has.is_some() && says != has {
        return Err(corrupt("its checksum does not hold"));
    }
    Ok(unpacked)
}
