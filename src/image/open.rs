//! What stands around a file system in an image, taken off: a packing, a qcow2, a partition table,
//! one in the other. All is told by content.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use super::holes::{Holes, NoHoles};
use super::magic::HEAD;
#[cfg(feature = "pack")]
use super::oci;
use super::partitions::{self, Partition};
use super::qcow2::Qcow2;
use super::signed::Signed;
use super::tails::{self, Tails};
#[cfg(feature = "pack")]
use crate::dev::ahead::ahead;
use crate::dev::{Dev, ReadAt, ReadOnly};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::ext4::{self, Extent};
#[cfg(feature = "pack")]
use crate::pack::Packing;
use crate::units::Bytes;
use crate::xfs;

/// So many are taken off one after the other; an image with more is somebody's joke.
const MOST: usize = 6;

/// A squashfs, as `mount -t` calls it.
pub const SQUASHFS: &str = "squashfs";

/// An ISO 9660, as `mount -t` calls it.
pub const ISO: &str = "iso9660";

/// What is read at once of what is packed, or digested.
pub(super) const AT_ONCE: usize = 1 << 20;

/// An image that can be read in any order.
#[derive(Clone)]
pub struct ImageFile {
    /// Its bytes.
    pub dev: Arc<dyn Dev>,
    /// Where it has none.
    pub holes: Arc<dyn Holes>,
}

/// An image that comes once, in order.
pub struct ImageStream {
    /// What to call it.
    pub name: String,
    /// Its bytes.
    pub reader: Box<dyn Read + Send>,
    /// What is to be read to its end beside.
    pub(super) tails: Tails,
}

impl ImageStream {
    /// A stream of that name.
    pub fn new(name: impl Into<String>, reader: impl Read + Send + 'static) -> Self {
        Self { name: name.into(), reader: Box::new(reader), tails: Tails::default() }
    }

    pub(super) fn digested(self, digest: Digest) -> Self {
        let Self { name, reader, mut tails } = self;
        let reader = tails.digested(reader, digest);
        Self { name, reader, tails }
    }

    fn signed(self, signed: &Signed) -> Self {
        let Self { name, reader, mut tails } = self;
        let reader = tails.signed(reader, signed);
        Self { name, reader, tails }
    }

    /// What was packed so, unpacked by a thread of its own.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) where there can be none.
    #[cfg(feature = "pack")]
    pub(super) fn unpacked(self, packing: Packing) -> Result<Self> {
        let Self { name, reader, mut tails } = self;
        let reader = packing.reader(BufReader::with_capacity(AT_ONCE, reader));
        let reader = ahead(reader).context("start a thread to unpack", &name)?;
        let reader = tails.kept(Box::new(reader));
        Ok(Self { name, reader, tails })
    }

    /// What is left of it, and of what stands around it, is read: only there it shows whether all
    /// was right.
    ///
    /// # Errors
    /// As `Tails::end`.
    pub fn end(&mut self) -> Result<()> {
        self.tails.end().map_err(|error| error.at(&self.name))
    }
}

/// An image, as it was opened.
pub enum Image {
    /// A file or a device.
    File(ImageFile),
    /// Standard input, or what is unpacked on the way.
    Stream(ImageStream),
    /// An archive of files (tar), from its start.
    Archive(ImageStream),
    /// Images of containers (OCI) in an archive, of which one is meant.
    #[cfg(feature = "pack")]
    Layout(Box<dyn oci::Store>),
}

impl Image {
    /// Sees to it that its bytes have this digest: those of a file are read now, those of a stream
    /// as they come, and what the copy leaves of them after it.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) for a file with another digest, [`Io`](ErrorKind::Io).
    pub fn digested(self, digest: Digest) -> Result<Self> {
        match self {
            Self::File(file) => {
                let bytes = DevReader { dev: Arc::clone(&file.dev), at: Bytes::ZERO };
                let bytes = BufReader::with_capacity(AT_ONCE, bytes);
                tails::check(digest, bytes).map_err(|error| error.at(file.dev.name()))?;
                Ok(Self::File(file))
            }
            Self::Stream(stream) => Ok(Self::Stream(stream.digested(digest))),
            Self::Archive(stream) => Ok(Self::Archive(stream.digested(digest))),
            #[cfg(feature = "pack")]
            Self::Layout(_) => {
                let why = "the digest of what was opened already is not known";
                Err(Error::new(ErrorKind::Unsupported, why).at(self.name()))
            }
        }
    }

    /// The same for a signature.
    ///
    /// # Errors
    /// As [`digested`](Self::digested).
    pub fn signed(self, signed: &Signed) -> Result<Self> {
        match self {
            Self::File(file) => {
                let bytes = DevReader { dev: Arc::clone(&file.dev), at: Bytes::ZERO };
                signed.check(bytes).map_err(|error| error.at(file.dev.name()))?;
                Ok(Self::File(file))
            }
            Self::Stream(stream) => Ok(Self::Stream(stream.signed(signed))),
            Self::Archive(stream) => Ok(Self::Archive(stream.signed(signed))),
            #[cfg(feature = "pack")]
            Self::Layout(_) => {
                let why = "the signature of what was opened already is not known";
                Err(Error::new(ErrorKind::Unsupported, why).at(self.name()))
            }
        }
    }

    /// Takes off what stands around the file system. `partition` names the one that is meant, by
    /// its number or, in a GPT, its name: without it the only one that may hold a root.
    ///
    /// What stands in no known form is left as it is. A stream is read up to its file system.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) and [`Unsupported`](ErrorKind::Unsupported) for what cannot
    /// be taken off, [`NotFound`](ErrorKind::NotFound) or [`Invalid`](ErrorKind::Invalid) where no
    /// partition, or several, are meant; [`Io`](ErrorKind::Io).
    pub fn opened(self, partition: Option<&str>) -> Result<Self> {
        let (mut image, mut wanted) = (self, partition);
        for _ in 0..MOST {
            let name = image.name().to_owned();
            let head = image.head()?;
            if ext4::Superblock::recognises(&head) || xfs::Superblock::recognises(&head) {
                return whole(image, wanted, "a file system");
            }
            if let Self::Archive(_) = image {
                return whole(image, wanted, "an archive");
            }
            #[cfg(feature = "pack")]
            if let Self::Layout(_) = image {
                return whole(image, wanted, "an OCI layout");
            }
            image = match image.step(&head, &mut wanted).map_err(|error| error.at(name))? {
                (inner, true) => inner,
                (same, false) => return Ok(same),
            };
        }
        let why = format!("more than {MOST} images, one in the other");
        Err(Error::new(ErrorKind::Unsupported, why).at(image.name()))
    }

    /// How the kernel calls what is in it, where that is a file system whose files are copied:
    /// [`SQUASHFS`] or [`ISO`].
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io).
    pub fn mountable(&mut self) -> Result<Option<&'static str>> {
        let head = self.head()?;
        let has =
            |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
        // An ISO may have a partition table in front, and is one all the same.
        Ok(match () {
            () if ext4::Superblock::recognises(&head) || xfs::Superblock::recognises(&head) => None,
            () if has(0, b"hsqs") => Some(SQUASHFS),
            () if has(32769, b"CD001") => Some(ISO),
            () => None,
        })
    }

    /// True for images of containers.
    pub fn is_layout(&self) -> bool {
        #[cfg(feature = "pack")]
        return matches!(self, Self::Layout(_));
        #[cfg(not(feature = "pack"))]
        false
    }

    /// What to call it.
    pub fn name(&self) -> &str {
        match self {
            Self::File(file) => file.dev.name(),
            Self::Stream(stream) | Self::Archive(stream) => &stream.name,
            #[cfg(feature = "pack")]
            Self::Layout(store) => store.name(),
        }
    }

    /// Its first bytes; a stream gives them again.
    fn head(&mut self) -> Result<Vec<u8>> {
        match self {
            Self::File(file) => {
                let len = HEAD.min(usize::try_from(file.dev.size().get()).unwrap_or(HEAD));
                let mut head = vec![0; len];
                file.dev
                    .read_at(&mut head, Bytes::ZERO)
                    .context("read the image", file.dev.name())?;
                Ok(head)
            }
            Self::Stream(ImageStream { name, reader, .. })
            | Self::Archive(ImageStream { name, reader, .. }) => {
                let mut head = Vec::new();
                let limit = HEAD.try_into().unwrap_or(u64::MAX);
                let read = Read::take(&mut *reader, limit).read_to_end(&mut head);
                read.map_err(|error| unreadable(error).at(&name))?;
                let rest = std::mem::replace(reader, Box::new(io::empty()));
                *reader = Box::new(io::Cursor::new(head.clone()).chain(rest));
                Ok(head)
            }
            #[cfg(feature = "pack")]
            Self::Layout(_) => Ok(Vec::new()),
        }
    }

    /// Takes one thing off, where there is one; true then.
    fn step(self, head: &[u8], wanted: &mut Option<&str>) -> Result<(Self, bool)> {
        #[cfg(feature = "pack")]
        if let Self::File(file) = &self
            && let Some(layout) = oci::find(&file.dev, head)?
        {
            return Ok((Self::Layout(Box::new(layout)), true));
        }
        #[cfg(feature = "pack")]
        if let Some(packing) = Packing::of(head) {
            let name = format!("{} ({})", self.name(), packing.word());
            let unpacked = self.into_stream().unpacked(packing)?;
            return Ok((Self::Stream(ImageStream { name, ..unpacked }), true));
        }
        #[cfg(feature = "pack")]
        if crate::archive::recognises(head) {
            return Ok((Self::Archive(self.into_stream()), true));
        }
        if Qcow2::recognises(head) {
            let Self::File(file) = self else {
                let why = "a qcow2 cannot be read from a stream or unpacked on the way: unpack it \
                           to a file first, or pipe 'qemu-img convert -O raw' of it";
                return Err(Error::new(ErrorKind::Unsupported, why));
            };
            let disk = Arc::new(Qcow2::open(file.dev)?);
            let dev = Arc::new(ReadOnly(Arc::clone(&disk)));
            return Ok((Self::File(ImageFile { dev, holes: disk }), true));
        }
        match self.partition(head, *wanted)? {
            Some(found) => {
                *wanted = None;
                Ok((self.slice(&found)?, true))
            }
            None => Ok((self, false)),
        }
    }

    fn partition(&self, head: &[u8], wanted: Option<&str>) -> Result<Option<Partition>> {
        match self {
            Self::File(file) => partitions::root(&|at, buf| file.dev.read_at(buf, at), wanted),
            Self::Stream(_) | Self::Archive(_) => {
                let read = |at: Bytes, buf: &mut [u8]| {
                    let from = usize::try_from(at.get()).unwrap_or(usize::MAX);
                    let bytes = head.get(from..).and_then(|rest| rest.get(..buf.len()));
                    buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
                    Ok(())
                };
                partitions::root(&read, wanted)
            }
            #[cfg(feature = "pack")]
            Self::Layout(_) => Ok(None),
        }
    }

    fn slice(self, part: &Partition) -> Result<Self> {
        log::info!("{}: its partition {part}", self.name());
        let name = format!("{} partition {}", self.name(), part.number);
        Ok(match self {
            Self::File(ImageFile { dev, holes }) => {
                let end = part.start.checked_add(part.size);
                if end.is_none_or(|end| end > dev.size()) {
                    let why = format!("its partition {part} goes on behind its end");
                    return Err(Error::new(ErrorKind::Corrupt, why));
                }
                let (start, size) = (part.start, part.size);
                let holes = Arc::new(Slice { of: holes, name: name.clone(), start, size });
                let dev = Arc::new(ReadOnly(Slice { of: dev, name, start, size }));
                Self::File(ImageFile { dev, holes })
            }
            Self::Stream(ImageStream { mut reader, tails, .. })
            | Self::Archive(ImageStream { mut reader, tails, .. }) => {
                let start = part.start.get();
                let skipped = io::copy(&mut Read::take(&mut *reader, start), &mut io::sink());
                if skipped.map_err(unreadable)? < start {
                    let why = format!("it ends before its partition {part}");
                    return Err(Error::new(ErrorKind::Invalid, why));
                }
                let reader = Box::new(reader.take(part.size.get()));
                Self::Stream(ImageStream { name, reader, tails })
            }
            #[cfg(feature = "pack")]
            Self::Layout(store) => Self::Layout(store),
        })
    }

    /// All of it from the start.
    #[cfg(feature = "pack")]
    fn into_stream(self) -> ImageStream {
        match self {
            Self::File(file) => ImageStream::new(file.dev.name().to_owned(), file.into_reader()),
            Self::Stream(stream) | Self::Archive(stream) => stream,
            Self::Layout(store) => ImageStream::new(store.name(), io::empty()),
        }
    }
}

/// An image with nothing around it, where no partition of it is wanted.
fn whole(image: Image, wanted: Option<&str>, what: &str) -> Result<Image> {
    let Some(word) = wanted else { return Ok(image) };
    let why = format!("it has no partition '{word}': it is {what}");
    Err(Error::new(ErrorKind::NotFound, why).at(image.name()))
}

pub(super) fn unreadable(error: io::Error) -> Error {
    match error.kind() {
        #[cfg(feature = "pack")]
        io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::Unsupported
        | io::ErrorKind::OutOfMemory => crate::pack::unreadable(&error),
        _ => Error::io(error),
    }
    .op("read the image")
}

/// A stretch of an image.
struct Slice<T> {
    of: T,
    name: String,
    start: Bytes,
    size: Bytes,
}

impl ReadAt for Slice<Arc<dyn Dev>> {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> Bytes {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        let len = Bytes::new(u64::try_from(buf.len()).map_err(io::Error::other)?);
        if at.checked_add(len).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.of.read_at(buf, self.start.saturating_add(at))
    }
}

impl Holes for Slice<Arc<dyn Holes>> {
    fn next_data(&self, from: Bytes) -> io::Result<Option<Extent>> {
        let found = self.of.next_data(self.start.saturating_add(from))?;
        let found = found.map(|data| {
            let within = |at: Bytes| at.saturating_sub(self.start).min(self.size);
            within(data.start)..within(data.end)
        });
        Ok(found.filter(|data| data.start < data.end))
    }
}

/// A device from there to its end.
pub(super) struct DevReader {
    pub(super) dev: Arc<dyn Dev>,
    pub(super) at: Bytes,
}

impl DevReader {
    pub(super) fn left(&self) -> Bytes {
        self.dev.size().saturating_sub(self.at)
    }
}

impl Read for DevReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(usize::try_from(self.left().get()).unwrap_or(usize::MAX));
        let part = buf.get_mut(..len).unwrap_or_default();
        self.dev.read_at(part, self.at)?;
        self.at = self.at.saturating_add(Bytes::new(u64::try_from(len).unwrap_or(0)));
        Ok(len)
    }
}

impl ImageFile {
    /// All of it is data, as far as is known.
    pub fn of(dev: Arc<dyn Dev>) -> Self {
        Self { dev, holes: Arc::new(NoHoles) }
    }

    /// All of it, in order.
    pub fn into_reader(self) -> impl Read + Send + 'static {
        DevReader { dev: self.dev, at: Bytes::ZERO }
    }
}

#[cfg(all(test, feature = "pack"))]
mod tests;
