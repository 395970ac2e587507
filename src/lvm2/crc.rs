//! LVM2's checksum: a CRC-32 with a start value of its own and no final inversion.
//!
//! Labels, metadata area headers, texts, the hints and the devices file all use it.

use crc32fast::Hasher;

/// The register before the first byte, as lvm2 names it (`INITIAL_CRC`).
const INITIAL_CRC: u32 = 0xf597_a6cf;

/// The checksum of `bytes`.
pub fn crc(bytes: &[u8]) -> u32 {
    // The crate inverts the register before and after, as everybody else's CRC-32 does.
    let mut hasher = Hasher::new_with_initial(!INITIAL_CRC);
    hasher.update(bytes);
    !hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_lvm2s_values() {
        assert_eq!(crc(b""), 0xf597_a6cf);
        assert_eq!(crc(b"123456789"), 0x4991_cf02);
        assert_eq!(crc(b"\0"), 0x0b2e_4887);
    }
}
