//! The file systems that an image may hold.

use super::magic::seems_to_be;
use crate::dev::{AlignedBuf, Dev};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::ext4::FsUuid;
use crate::units::Bytes;
use crate::{ext4, xfs};

/// The superblocks of the file systems known here lie within so many bytes.
const SUPERBLOCKS: usize = 4096;

/// What has to be done to a file system before it can be a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it was left in order.
    Nothing,
    /// One mount, which replays its journal or log.
    Replay,
    /// A check: it has seen errors, or has no journal and was not unmounted.
    Check,
}

/// A file system that was recognised and whose superblock was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// ext2, ext3 or ext4.
    Ext4(ext4::Superblock),
    /// XFS.
    Xfs(xfs::Superblock),
}

impl FileSystem {
    /// What the file system on a device or in a file is.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid), naming what it seems to be, where it is no file system known
    /// here; and as the superblocks' `read`.
    pub fn read(dev: &dyn Dev) -> Result<Self> {
        let superblocks = front(dev, SUPERBLOCKS)?;
        let known = xfs::Superblock::recognises(&superblocks);
        let head = if known || ext4::Superblock::recognises(&superblocks) {
            superblocks
        } else {
            front(dev, super::magic::HEAD)?
        };
        Self::of_head(&head).map_err(|error| error.at(dev.name()))
    }

    /// What begins with these bytes: the first 72 KiB, or all where it is shorter.
    ///
    /// # Errors
    /// As [`read`](Self::read), but for `Io`.
    pub fn of_head(head: &[u8]) -> Result<Self> {
        if xfs::Superblock::recognises(head) {
            return Ok(Self::Xfs(xfs::Superblock::parse(head)?));
        }
        let raw = head.get(1024..).and_then(|rest| rest.first_chunk());
        if let Some(raw) = raw.filter(|_| ext4::Superblock::recognises(head)) {
            let sb = ext4::Superblock::parse(Box::new(*raw))?;
            return if sb.has_external_journal() {
                Err(Error::new(ErrorKind::Unsupported, "its journal is on another device"))
            } else {
                Ok(Self::Ext4(sb))
            };
        }
        let what = seems_to_be(head).unwrap_or("something unknown");
        let why = format!("no ext4 or XFS file system; it is {what}");
        Err(Error::new(ErrorKind::Invalid, why))
    }

    /// As `mount -t` calls it: `ext2`, `ext3`, `ext4`, `xfs`.
    pub fn fs_type(&self) -> &'static str {
        match self {
            Self::Ext4(sb) => sb.fs_type(),
            Self::Xfs(_) => "xfs",
        }
    }

    /// Its size; the image may be larger.
    pub fn size(&self) -> Bytes {
        match self {
            Self::Ext4(sb) => sb.size(),
            Self::Xfs(sb) => sb.size(),
        }
    }

    /// Its UUID.
    pub fn uuid(&self) -> FsUuid {
        match self {
            Self::Ext4(sb) => sb.uuid(),
            Self::Xfs(sb) => sb.uuid(),
        }
    }

    /// Its label; empty for none.
    pub fn label(&self) -> String {
        match self {
            Self::Ext4(sb) => sb.label(),
            Self::Xfs(sb) => sb.label().to_owned(),
        }
    }

    /// What its superblock says to be free, which may be out of date.
    pub fn free(&self) -> Bytes {
        match self {
            Self::Ext4(sb) => sb.free(),
            Self::Xfs(sb) => sb.free(),
        }
    }

    /// Fails where no base can be made of it, though the kernel may well mount it.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where its UUID can never be changed.
    pub fn check_for_layers(&self) -> Result<()> {
        match self {
            Self::Ext4(sb) => ext4::check_for_layers(sb),
            Self::Xfs(_) => Ok(()),
        }
    }

    /// What has to be done to it, on the device that it was read from.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io).
    pub fn needs(&self, dev: &dyn Dev) -> Result<Needs> {
        match self {
            Self::Ext4(sb) => Ok(ext4_needs(sb)),
            Self::Xfs(sb) => Ok(match sb.log_state(dev)? {
                xfs::LogState::Clean => Needs::Nothing,
                xfs::LogState::Dirty => Needs::Replay,
            }),
        }
    }
}

/// The first `len` bytes, or all there are.
fn front(dev: &dyn Dev, len: usize) -> Result<AlignedBuf> {
    let size = usize::try_from(dev.size().get()).unwrap_or(usize::MAX);
    dev.read_new(len.min(size), Bytes::ZERO).context("read the image", dev.name())
}

pub(super) fn ext4_needs(sb: &ext4::Superblock) -> Needs {
    match sb.state() {
        ext4::State::Clean => Needs::Nothing,
        ext4::State::NeedsReplay => Needs::Replay,
        ext4::State::NeedsCheck => Needs::Check,
    }
}
