//! What the targets share: a disk larger than the input, checksums that hold, and a bound on memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use imgbase::dev::Dev;
use imgbase::units::Bytes;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What may be held at once beside a multiple of the input: buffers of a fixed size.
const FIXED: usize = 6 << 20;

/// The multiple.
const FACTOR: usize = 64;

/// Runs something that must not take more memory than a small multiple of its input.
pub fn bounded<T>(input: &[u8], run: impl FnOnce() -> T) -> T {
    bounded_beside(0, input, run)
}

/// The same for what may take so much more, whatever its input: the window of something packed.
pub fn bounded_beside<T>(more: usize, input: &[u8], run: impl FnOnce() -> T) -> T {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let result = run();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let most = input.len() * FACTOR + FIXED + more;
    assert!(taken <= most, "{taken} bytes of memory for {} of input", input.len());
    result
}

/// A disk of that size which begins with the bytes given; the rest is zeros, and writes are lost.
pub struct Disk {
    head: Vec<u8>,
    size: u64,
}

impl Disk {
    /// `size` is at least what there is.
    pub fn new(head: Vec<u8>, size: u64) -> Arc<Self> {
        let size = size.max(head.len() as u64);
        Arc::new(Self { head, size })
    }
}

impl Dev for Disk {
    fn name(&self) -> &str {
        "/dev/hostile"
    }

    fn size(&self) -> Bytes {
        Bytes::new(self.size)
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        check_inside(buf, at, self.size)?;
        buf.fill(0);
        let from = usize::try_from(at.get()).unwrap_or(usize::MAX);
        let held = self.head.get(from..).unwrap_or_default();
        let len = held.len().min(buf.len());
        buf[..len].copy_from_slice(&held[..len]);
        Ok(())
    }

    fn write_at(&self, _data: &[u8], _at: Bytes) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, _at: Bytes, _len: Bytes) -> io::Result<()> {
        Ok(())
    }
}

fn check_inside(buf: &[u8], at: Bytes, size: u64) -> io::Result<()> {
    let end = at.get().checked_add(buf.len() as u64);
    if end.is_none_or(|end| end > size) { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// Bytes in a piece of a [`Scattered`].
pub const PIECE: usize = 1024;

/// A disk of which a few pieces are given, each by its number; the rest is zeros, and writes are
/// lost.
#[derive(Clone, Default)]
pub struct Scattered {
    pub pieces: BTreeMap<u64, [u8; PIECE]>,
    pub size: u64,
}

impl Scattered {
    /// The disk that an input stands for: its size in KiB, then each piece behind its number, all
    /// of 16 bits.
    pub fn of(input: &[u8]) -> Option<Self> {
        let (size, mut rest) = input.split_first_chunk()?;
        let mut disk = Self { size: u64::from(u16::from_le_bytes(*size)) << 10, ..Self::default() };
        while let Some((number, behind)) = rest.split_first_chunk() {
            let Some((piece, behind)) = behind.split_first_chunk() else { break };
            disk.pieces.insert(u64::from(u16::from_le_bytes(*number)), *piece);
            rest = behind;
        }
        Some(disk)
    }

    /// The pieces from one on, in one; zeros where there are none.
    pub fn copy(&self, first: u64, count: u64) -> Vec<u8> {
        let number = |index| first.wrapping_add(index);
        let piece = |index| self.pieces.get(&number(index)).unwrap_or(&[0; PIECE]);
        (0..count).flat_map(|index| *piece(index)).collect()
    }

    /// Puts pieces back that were [copied](Self::copy).
    pub fn put(&mut self, first: u64, bytes: &[u8]) {
        for (number, piece) in (first..).zip(bytes.chunks_exact(PIECE)) {
            if let (Some(place), Ok(piece)) = (self.pieces.get_mut(&number), piece.try_into()) {
                *place = piece;
            }
        }
    }
}

impl Dev for Scattered {
    fn name(&self) -> &str {
        "/dev/hostile"
    }

    fn size(&self) -> Bytes {
        Bytes::new(self.size)
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        check_inside(buf, at, self.size)?;
        let (first, end) = (at.get() / PIECE as u64, at.get() + buf.len() as u64);
        buf.fill(0);
        for (number, piece) in self.pieces.range(first..end.div_ceil(PIECE as u64)) {
            let start = number * PIECE as u64;
            for (byte, place) in piece.iter().zip(start..) {
                if let Some(index) = place.checked_sub(at.get())
                    && let Some(place) = buf.get_mut(index as usize)
                {
                    *place = *byte;
                }
            }
        }
        Ok(())
    }

    fn write_at(&self, _data: &[u8], _at: Bytes) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, _at: Bytes, _len: Bytes) -> io::Result<()> {
        Ok(())
    }
}

/// The bytes from `at` on, where there are as many.
pub fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Writes a little-endian number where there is room for it.
pub fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = value.to_le_bytes();
    }
}

/// A crc32c, without the final inversion.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_on(!0, bytes)
}

/// A crc32c carried on, without the final inversion.
pub fn crc32c_on(seed: u32, bytes: &[u8]) -> u32 {
    const RAW: crc::Algorithm<u32> = crc::Algorithm { xorout: 0, ..crc::CRC_32_ISCSI };
    static CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&RAW);
    let mut digest = CRC.digest_with_initial(seed.reverse_bits());
    digest.update(bytes);
    digest.finalize()
}
