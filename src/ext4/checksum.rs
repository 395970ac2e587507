//! The two checksums of ext4: crc32c (`metadata_csum`) and crc16 (`uninit_bg`, `gdt_csum`).

use crc::{Algorithm, CRC_16_MODBUS, CRC_32_ISCSI, Crc, Table};

/// The kernel's `crc32c`: the register goes in and comes out without any final inversion.
const RAW_CRC32C: Algorithm<u32> = Algorithm { init: 0, xorout: 0, ..CRC_32_ISCSI };
/// By sixteen bytes at once: the blocks of large folders are most of what is read of a file system.
static CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&RAW_CRC32C);
static CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_MODBUS);

/// What every crc32c of ext4 starts from, directly or through the seed.
pub(crate) const START: u32 = !0;

/// Carries a crc32c on over `data`.
pub(crate) fn crc32c(seed: u32, data: &[u8]) -> u32 {
    // The crate takes the start value unreflected, the kernel gives it as it stands in the register.
    let mut digest = CRC32C.digest_with_initial(seed.reverse_bits());
    digest.update(data);
    digest.finalize()
}

/// The crc16 of several pieces, one after the other.
pub(super) fn crc16(pieces: &[&[u8]]) -> u16 {
    let mut digest = CRC16.digest();
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crcs_match_their_published_check_values_and_carry_on() {
        assert_eq!(!crc32c(START, b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(crc32c(START, b"1234"), b"56789"), crc32c(START, b"123456789"));
        assert_eq!(crc16(&[b"1234", b"56789"]), 0x4b37);
    }
}
