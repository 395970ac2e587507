//! LVM2's checksum: a CRC-32 with a start value of its own and no final inversion.
//!
//! Labels, metadata area headers, texts, the hints and the devices file all use it.

use crc::{Algorithm, Crc, Table};

/// The register before the first byte, as lvm2 names it (`INITIAL_CRC`).
const INITIAL_CRC: u32 = 0xf597_a6cf;

/// The polynomial of CRC-32 (IEEE 802.3), reflected, started at [`INITIAL_CRC`].
const ALGORITHM: Algorithm<u32> = Algorithm {
    width: 32,
    poly: 0x04c1_1db7,
    // The crate wants the start value the other way round than a reflected register holds it.
    init: INITIAL_CRC.reverse_bits(),
    refin: true,
    refout: true,
    xorout: 0,
    check: 0x4991_cf02,
    residue: 0,
};

static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&ALGORITHM);

/// The checksum of `bytes`.
pub fn crc(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
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
