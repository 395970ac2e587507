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
