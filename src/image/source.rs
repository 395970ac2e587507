//! An image that was looked at and can be copied.

use std::io::Read;

use super::extents::{Both, Data, Extents, in_chunks};
use super::filesystem::{FileSystem, Needs, ext4_needs};
use super::holes::Holes;
use super::magic::HEAD;
use super::open::{self, ImageStream};
use super::tails::Tails;
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::ext4::used_extents;
use crate::units::Bytes;

/// Which bytes of an image are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyPlan {
    /// Those that the file system's bitmaps call used.
    Used,
    /// All; zeros are still left out.
    Whole,
}

/// What will be done with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which bytes are copied.
    pub copy: CopyPlan,
    /// What the file system needs after the copy. `None` for an XFS on a stream, whose log comes
    /// too late: [`FileSystem::needs`] of the volume tells it after the copy.
    pub needs: Option<Needs>,
}

/// How much of a volume will be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceNeed {
    /// At most this: chunks that hold nothing but zeros are not known before they are read.
    AtMost(Bytes),
    /// About this, by what the file system says of itself: all that can be known of a stream.
    About(Bytes),
}

impl SpaceNeed {
    /// The figure.
    pub const fn bytes(self) -> Bytes {
        match self {
            Self::AtMost(bytes) | Self::About(bytes) => bytes,
        }
    }
}

/// Where an image comes from.
pub(super) enum Input<'s> {
    /// It can be read in any order.
    Disk { dev: &'s dyn Dev, holes: &'s dyn Holes },
    /// It comes once, in order; its first bytes were read already.
    Stream { reader: &'s mut (dyn Read + Send), head: Vec<u8>, tails: &'s mut Tails },
    /// It came, and is gone.
    Spent,
}

/// An image that holds a file system, all of it as far as can be told.
pub struct Source<'s> {
    pub(super) name: String,
    pub(super) fs: FileSystem,
    pub(super) input: Input<'s>,
    plan: Plan,
}

impl<'s> Source<'s> {
    /// Looks at an image in a file or on a device. `holes` are the file's, or
    /// [`NoHoles`](super::NoHoles).
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) where it holds no file system,
    /// [`Corrupt`](ErrorKind::Corrupt) where it is damaged or shorter than its file system,
    /// [`Unsupported`](ErrorKind::Unsupported) where the file system is, [`Io`](ErrorKind::Io).
    pub fn of_device(dev: &'s dyn Dev, holes: &'s dyn Holes) -> Result<Self> {
        let fs = FileSystem::read(dev)?;
        if dev.size() < fs.size() {
            return Err(truncated(&fs, dev.size()).at(dev.name()));
        }
        fs.check_for_layers().map_err(|error| error.at(dev.name()))?;
        let plan = Plan { copy: copy_plan(&fs), needs: Some(fs.needs(dev)?) };
        Ok(Self { name: dev.name().to_owned(), fs, input: Input::Disk { dev, holes }, plan })
    }

    /// Looks at the front of an image on a stream. Whether all of it comes shows only at its end.
    ///
    /// Bitmaps come along too late to be of use, so that free blocks are written where they are not
    /// zeros; they are discarded again after the copy.
    ///
    /// # Errors
    /// As [`of_device`](Self::of_device), but a short image is found by [`copy_to`](Self::copy_to).
    pub fn of_stream(stream: &'s mut ImageStream) -> Result<Self> {
        let ImageStream { name, reader, tails } = stream;
        let (name, reader) = (name.as_str(), reader.as_mut());
        let mut head = Vec::new();
        let limit = HEAD.try_into().unwrap_or(u64::MAX);
        let read = Read::take(&mut *reader, limit).read_to_end(&mut head);
        read.map_err(|error| open::unreadable(error).at(name))?;
        let fs = FileSystem::of_head(&head).map_err(|error| error.at(name))?;
        fs.check_for_layers().map_err(|error| error.at(name))?;
        let needs = match &fs {
            FileSystem::Ext4(sb) => Some(ext4_needs(sb)),
            FileSystem::Xfs(_) => None,
        };
        let plan = Plan { copy: CopyPlan::Whole, needs };
        Ok(Self { name: name.to_owned(), fs, input: Input::Stream { reader, head, tails }, plan })
    }

    /// What to call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True where its bytes come once, in order.
    pub fn is_stream(&self) -> bool {
        !matches!(self.input, Input::Disk { .. })
    }

    /// The file system in it.
    pub fn file_system(&self) -> &FileSystem {
        &self.fs
    }

    /// Its file system's size: what a volume must have at least.
    pub fn size(&self) -> Bytes {
        self.fs.size()
    }

    /// What will be done with it.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Fails where it is larger than a volume of this size.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid), naming both sizes.
    pub fn check_fits(&self, volume: Bytes) -> Result<()> {
        if self.size() <= volume {
            return Ok(());
        }
        let (need, have) = (self.size(), volume);
        let why = format!(
            "its file system has {need} ({} bytes), more than the {have} ({} bytes) asked for",
            need.get(),
            have.get()
        );
        Err(Error::new(ErrorKind::Invalid, why).at(&self.name))
    }

    /// How much of a volume with chunks of this size its copy will map. Reads bitmaps and the map of
    /// holes, but no data.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io).
    pub fn space_need(&self, chunk: Bytes) -> Result<SpaceNeed> {
        match self.extents()? {
            Some(extents) => Ok(SpaceNeed::AtMost(in_chunks(extents, chunk)?)),
            None => {
                let used = self.size().saturating_sub(self.fs.free());
                Ok(SpaceNeed::About(used.round_up(chunk).unwrap_or(used)))
            }
        }
    }

    /// How many bytes will be read: what [`Progress::total`](super::Progress::total) will be.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io).
    pub fn bytes_to_read(&self) -> Result<Bytes> {
        match self.extents()? {
            Some(extents) => in_chunks(extents, Bytes::new(1)),
            None => Ok(self.size()),
        }
    }

    /// The bytes that have to be read, where they can be chosen.
    pub(super) fn extents(&self) -> Result<Option<Extents<'_>>> {
        let Input::Disk { dev, holes } = &self.input else { return Ok(None) };
        let name = &self.name;
        let data = Data { holes: *holes, at: Bytes::ZERO, end: self.size() };
        let data: Extents<'_> =
            Box::new(data.map(move |found| found.context("find the holes", name)));
        let FileSystem::Ext4(sb) = &self.fs else { return Ok(Some(data)) };
        let Ok(used) = used_extents(*dev, sb) else { return Ok(Some(data)) };
        Ok(Some(Box::new(Both::new(Box::new(used), data))))
    }
}

fn copy_plan(fs: &FileSystem) -> CopyPlan {
    match fs {
        FileSystem::Ext4(sb) if sb.trust_bitmaps().is_ok() => CopyPlan::Used,
        _ => CopyPlan::Whole,
    }
}

/// The image ends before its file system does.
pub(super) fn truncated(fs: &FileSystem, have: Bytes) -> Error {
    let want = fs.size();
    let why = format!(
        "the image is cut short: its file system has {} bytes, of which {} are there",
        want.get(),
        have.get()
    );
    Error::new(ErrorKind::Invalid, why)
}
