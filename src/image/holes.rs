//! Where a sparse file holds data.

use std::io;

use crate::ext4::Extent;
use crate::units::Bytes;

/// Knows the holes of a file (`SEEK_DATA` and `SEEK_HOLE` on Linux).
pub trait Holes: Send + Sync {
    /// The first stretch of data that ends after `from`, cut to begin there at the earliest;
    /// `None` where only a hole follows. Saying that a hole is data is allowed, the reverse is not.
    ///
    /// # Errors
    /// As the file gives them.
    fn next_data(&self, from: Bytes) -> io::Result<Option<Extent>>;
}

/// All of it is data: for block devices.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHoles;

impl Holes for NoHoles {
    fn next_data(&self, from: Bytes) -> io::Result<Option<Extent>> {
        Ok(Some(from..Bytes::new(u64::MAX)))
    }
}

/// The holes of an open file.
#[cfg(feature = "host")]
#[derive(Debug)]
pub struct FileHoles<'f>(pub &'f std::fs::File);

#[cfg(feature = "host")]
impl Holes for FileHoles<'_> {
    fn next_data(&self, from: Bytes) -> io::Result<Option<Extent>> {
        use rustix::fs::{SeekFrom, seek};
        use rustix::io::Errno;
        // Both name their places, so that the file's own position does not matter.
        let start = match seek(self.0, SeekFrom::Data(from.get())) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            // A file system without the call: no hole is known.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return NoHoles.next_data(from),
            Err(error) => return Err(error.into()),
        };
        let end = seek(self.0, SeekFrom::Hole(start))?;
        Ok(Some(Bytes::new(start)..Bytes::new(end)))
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_sparse_file_has_the_holes_it_was_made_with() {
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(64 << 20).expect("a sparse one");
        for at in [3 << 20, 20 << 20] {
            file.write_all_at(&[1; 4096], at).expect("there is room");
        }
        let (holes, mut at, mut seen) = (FileHoles(&file), Bytes::ZERO, Vec::new());
        while let Some(extent) = holes.next_data(at).expect("readable") {
            at = extent.end;
            seen.push(extent);
        }
        let holds = |byte: u64| seen.iter().any(|extent| extent.contains(&Bytes::new(byte)));
        assert!([3 << 20, (3 << 20) + 4095, 20 << 20].into_iter().all(holds), "{seen:?}");
        assert!(seen.windows(2).all(|pair| pair[0].end < pair[1].start), "{seen:?}");
    }
}
