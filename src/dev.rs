//! A block device, as little of one as the rest needs, and some in memory:
//! a plain one, one above shared bytes, and some that record what a power cut
//! could leave.

use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::units::Bytes;

#[cfg(feature = "pack")]
pub(crate) mod ahead;
pub mod aligned;
pub(crate) mod bytes;
pub mod gather;
pub mod outlet;
pub mod overlay;
pub mod record;

pub use aligned::AlignedBuf;
pub use outlet::Outlet;
pub use overlay::Overlay;

/// A block device or a file that stands for one.
///
/// Reads and writes are whole: a short one is an error. A write is durable
/// only after a [`sync`](Dev::sync) that was called after it and returned
/// without an error. After a failed sync nothing may be assumed of any write
/// since the last good one: do not retry the sync, fail the operation.
///
/// Offsets and lengths of any alignment are taken; an implementation over
/// O_DIRECT does its own widening.
pub trait Dev: Send + Sync {
    /// The name to call it by in messages: a path, or a device-mapper name.
    fn name(&self) -> &str;

    /// Its size.
    fn size(&self) -> Bytes;

    /// Fills `buf` from byte `at` on.
    ///
    /// # Errors
    /// As the device gives them; `UnexpectedEof` past the end.
    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()>;

    /// The `len` bytes from byte `at` on in memory of their own, which suits O_DIRECT.
    ///
    /// # Errors
    /// As [`read_at`](Dev::read_at).
    fn read_new(&self, len: usize, at: Bytes) -> io::Result<AlignedBuf> {
        read_zeroed(self, len, at)
    }

    /// True where it keeps what was read together with what lies beside it: who expects to read that
    /// next gains nothing by asking for more now.
    fn reads_ahead(&self) -> bool {
        false
    }

    /// Writes all of `data` from byte `at` on.
    ///
    /// # Errors
    /// As the device gives them; nothing is known of the range then.
    fn write_at(&self, data: &[u8], at: Bytes) -> io::Result<()>;

    /// Makes all writes so far durable (`fdatasync` on Linux).
    ///
    /// # Errors
    /// As the device gives them; see the trait for what that means.
    fn sync(&self) -> io::Result<()>;

    /// Tells the device that a range is no longer needed; what it reads as then is undefined
    /// on a disk and zeros on a thin volume. Ranges that the device cannot discard stay as they are.
    ///
    /// # Errors
    /// `Unsupported` where the device has no discard.
    fn discard(&self, at: Bytes, len: Bytes) -> io::Result<()>;

    /// A path to the whole of what is open here, whatever its name stands for by now; it leads there
    /// as long as this is open. `None` where it is no file of this machine's, or a part of one.
    fn path(&self) -> Option<PathBuf> {
        None
    }
}

/// Reads into memory that was made zero.
pub(crate) fn read_zeroed(
    dev: &(impl Dev + ?Sized),
    len: usize,
    at: Bytes,
) -> io::Result<AlignedBuf> {
    let mut bytes = AlignedBuf::zeroed(len);
    dev.read_at(&mut bytes, at)?;
    Ok(bytes)
}

/// What can be read at any place, and is never written.
pub trait ReadAt: Send + Sync {
    /// As [`Dev::name`].
    fn name(&self) -> &str;

    /// As [`Dev::size`].
    fn size(&self) -> Bytes;

    /// As [`Dev::read_at`].
    ///
    /// # Errors
    /// As there.
    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()>;
}

impl<R: ReadAt> ReadAt for std::sync::Arc<R> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn size(&self) -> Bytes {
        (**self).size()
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        (**self).read_at(buf, at)
    }
}

/// The same as a device that refuses to be written.
#[derive(Debug)]
pub struct ReadOnly<R>(pub R);

impl<R: ReadAt> Dev for ReadOnly<R> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn size(&self) -> Bytes {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        self.0.read_at(buf, at)
    }

    fn write_at(&self, _: &[u8], _: Bytes) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, _: Bytes, _: Bytes) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A device in memory, for tests and dry runs.
#[derive(Debug)]
pub struct MemDev {
    name: String,
    data: Mutex<Vec<u8>>,
}

impl MemDev {
    /// A device with these bytes.
    pub fn new(name: impl Into<String>, data: Vec<u8>) -> Self {
        Self { name: name.into(), data: Mutex::new(data) }
    }

    /// A device of zeros. `size` must fit the address space.
    pub fn zeroed(name: impl Into<String>, size: Bytes) -> Self {
        Self::new(name, vec![0; usize::try_from(size.get()).expect("a test device fits memory")])
    }

    /// A copy of all its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.data.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The range as indexes into `have` bytes, or `UnexpectedEof`.
fn range(have: usize, at: Bytes, len: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(at.get()).ok();
    let range = start.and_then(|start| Some(start..start.checked_add(len)?));
    match range {
        Some(range) if range.end <= have => Ok(range),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl Dev for MemDev {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> Bytes {
        Bytes::new(self.lock().len().try_into().unwrap_or(u64::MAX))
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        let data = self.lock();
        let range = range(data.len(), at, buf.len())?;
        buf.copy_from_slice(data.get(range).unwrap_or_default());
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], at: Bytes) -> io::Result<()> {
        let mut data = self.lock();
        let range = range(data.len(), at, bytes.len())?;
        if let Some(place) = data.get_mut(range) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, at: Bytes, len: Bytes) -> io::Result<()> {
        let mut data = self.lock();
        let len = usize::try_from(len.get()).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let range = range(data.len(), at, len)?;
        if let Some(place) = data.get_mut(range) {
            place.fill(0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_reads_what_was_written_and_ends_where_it_ends() {
        let dev = MemDev::zeroed("mem", Bytes::new(16));
        dev.write_at(b"abc", Bytes::new(13)).expect("fits");
        let mut buf = [0; 4];
        dev.read_at(&mut buf, Bytes::new(12)).expect("fits");
        assert_eq!(&buf, b"\0abc");
        assert!(dev.write_at(b"abc", Bytes::new(14)).is_err());
        assert!(dev.read_at(&mut buf, Bytes::new(u64::MAX)).is_err());
        dev.discard(Bytes::new(13), Bytes::new(3)).expect("fits");
        assert_eq!(dev.bytes(), vec![0; 16]);
    }
}
