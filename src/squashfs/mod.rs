//! squashfs 4.0, read from its image alone: no mount, no loop device, no kernel that knows it.
//!
//! Numbers on disk are little-endian. Facts about the layout are from the kernel's `squashfs_fs.h`, and from
//! what mksquashfs 4.5 writes.

mod content;
mod folder;
mod inode;
mod metadata;
mod reader;
mod superblock;
mod xattrs;

pub use folder::SquashFolder;

use std::io;
use std::sync::Arc;

use crate::dev::Dev;
use crate::units::Bytes;
use reader::Reader;
use superblock::Superblock;

/// An image that can be read.
#[derive(Clone)]
pub struct Squashfs(Arc<Image>);

/// What all who read it share.
struct Image {
    dev: Arc<dyn Dev>,
    sb: Superblock,
    /// Users and groups: inodes have their places in here.
    ids: Vec<u32>,
}

impl Image {
    /// Reads what is somewhere in it.
    fn read(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let end = u64::try_from(buf.len()).ok().and_then(|len| at.checked_add(len));
        if end.is_none_or(|end| end > self.sb.end) {
            return Err(damaged("something is said to be behind its end"));
        }
        self.dev.read_at(buf, Bytes::new(at))
    }
}

impl Squashfs {
    /// Looks at the superblock. `None` for what only the kernel reads: packed by lzo, lz4 or lzma, or
    /// of another version.
    ///
    /// # Errors
    /// As the device gives them; `InvalidData` for what cannot be so.
    pub fn open(dev: Arc<dyn Dev>) -> io::Result<Option<Self>> {
        let Some(sb) = Superblock::read(dev.as_ref())? else { return Ok(None) };
        let mut image = Image { dev, sb, ids: Vec::new() };
        image.ids = metadata::ids(&image)?;
        Ok(Some(Self(Arc::new(image))))
    }

    /// Its root, for one walk: each folder can be entered once from there. What is read is kept for
    /// that walk, within some MiB.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn root(&self) -> io::Result<SquashFolder> {
        SquashFolder::root(Reader::new(Arc::clone(&self.0)))
    }
}

/// The image says what cannot be so.
fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
