//! What the targets share: a disk larger than the input, checksums that hold, and a bound on memory.

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
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let result = run();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let most = input.len() * FACTOR + FIXED;
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
        let end = at.get().checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
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
    const RAW: crc::Algorithm<u32> = crc::Algorithm { xorout: 0, ..crc::CRC_32_ISCSI };
    crc::Crc::<u32>::new(&RAW).checksum(bytes)
}
