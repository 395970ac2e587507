//! A tree that is being made.

use std::io::{self, Read};

use super::{Kind, Meta, TreePath, Xattrs};
use crate::dev::bytes::read_full;
use crate::error::{Error, ErrorKind};
use crate::units::Bytes;

/// What a file system takes for each file at least.
const UNIT: Bytes = Bytes::kib(4);

/// What a tree holds, or what is to become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Entries of any sort.
    pub entries: u64,
    /// Data of files, in whole blocks of 4 KiB; holes take nothing.
    pub data: Bytes,
}

impl Measure {
    /// Counts an entry with so much data; `None` for more than there can be.
    #[must_use]
    pub fn with(self, data: Bytes) -> Option<Self> {
        let data = self.data.checked_add(data.round_up(UNIT)?)?;
        Some(Self { entries: self.entries.saturating_add(1), data })
    }
}

/// What an entry takes on disk beside its inode, when its content holds so much data.
pub(crate) fn data_of(meta: &Meta, data: Bytes) -> Bytes {
    match meta.kind {
        Kind::Folder => UNIT,
        // A short target is in the inode.
        Kind::Link if meta.size > Bytes::new(59) => UNIT,
        Kind::File => data,
        _ => Bytes::ZERO,
    }
}

/// Told now and then how much there was by now; true stops the work.
pub type Tell<'t> = &'t mut dyn FnMut(Measure) -> bool;

/// What reading fails with where the caller wants no more.
#[derive(Debug, thiserror::Error)]
#[error("the copy was stopped")]
pub(crate) struct Stopped;

impl Stopped {
    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }

    /// What the caller is told.
    pub(crate) fn told() -> Error {
        Error::new(ErrorKind::Interrupted, Self)
    }
}

/// How much may still be kept in memory of a tree: what is made of it is bounded by nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    most: usize,
    left: usize,
    /// Of what.
    of: &'static str,
}

/// What is kept for each path beside its bytes, at the most: its place in a map and on the heap.
const EACH: usize = 112;

#[derive(Debug, thiserror::Error)]
#[error("a tree with so many {of} is not copied: no more than {most} bytes are kept of them")]
struct NoRoom {
    most: usize,
    of: &'static str,
}

impl Room {
    pub(crate) const fn of(most: usize, of: &'static str) -> Self {
        Self { most, left: most, of }
    }

    /// Takes what a path and so many bytes beside it need; it fails where that is not left.
    pub(crate) fn take(&mut self, path: &TreePath, beside: usize) -> io::Result<()> {
        self.take_bytes(Self::need(path, beside))
    }

    /// Takes so many bytes; it fails where they are not left.
    pub(crate) fn take_bytes(&mut self, bytes: usize) -> io::Result<()> {
        let Self { most, left, of } = *self;
        let no_room = || io::Error::other(NoRoom { most, of });
        self.left = left.checked_sub(bytes).ok_or_else(no_room)?;
        Ok(())
    }

    /// Gives back what was taken so.
    #[cfg(feature = "host")]
    pub(crate) fn give(&mut self, path: &TreePath, beside: usize) {
        self.left = self.left.saturating_add(Self::need(path, beside));
    }

    fn need(path: &TreePath, beside: usize) -> usize {
        path.bytes().len().saturating_add(beside).saturating_add(EACH)
    }

    /// What the caller is told, where that is what an error says.
    pub(crate) fn told(error: &io::Error) -> Option<Error> {
        let no_room = error.get_ref()?.downcast_ref::<NoRoom>()?;
        Some(Error::new(ErrorKind::Unsupported, no_room.to_string()))
    }
}

/// A new file's content.
pub trait Content: Read {
    /// How many zeros come next that are a hole; they are passed over.
    fn skip_hole(&mut self) -> u64 {
        0
    }

    /// Some more of it, as the first bytes of the buffer; gives how many those are, none at the end.
    /// What is read is read into `len` bytes; what is in memory already may take the buffer's place.
    ///
    /// # Errors
    /// Those of reading.
    fn piece(&mut self, buffer: &mut Vec<u8>, len: usize) -> io::Result<usize> {
        buffer.resize(len, 0);
        read_full(self, buffer).map_err(|(error, _)| error)
    }
}

/// Content without known holes.
pub(crate) struct Whole<R>(pub(crate) R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<R: Read> Content for Whole<R> {}

impl Content for &[u8] {}

/// What makes an entry, beside its metadata.
pub enum Making<'m> {
    /// A file with this content.
    File(&'m mut dyn Content),
    /// A link to there.
    Link(&'m [u8]),
    /// What has nothing more: a folder, a device, a pipe.
    Other,
}

/// A tree that nobody else uses yet. Paths are walked name by name from its root, and no link is
/// followed: nothing outside is touched.
pub trait NewTree {
    /// Makes an entry, with all of its metadata but what cannot be set. What stands there already
    /// goes, but a folder takes over what is in the one before it. Folders on the way that are not
    /// there are made.
    ///
    /// # Errors
    /// As the file system gives them; what the content gives when it is read.
    fn put(
        &mut self,
        path: &TreePath,
        meta: &Meta,
        xattrs: &Xattrs,
        making: Making<'_>,
    ) -> io::Result<()>;

    /// Gives what stands at `first` another name.
    ///
    /// # Errors
    /// As the file system gives them: [`NotFound`](io::ErrorKind::NotFound) where nothing does.
    fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()>;

    /// Takes away what stands there, with all that is in it, but for what is to be kept; what is not
    /// there is gone already. What is kept is in folders that are kept.
    ///
    /// # Errors
    /// As the file system gives them; also where a link is on the way.
    fn remove(&mut self, path: &TreePath, keep: &dyn Fn(&TreePath) -> bool) -> io::Result<()>;

    /// To be called in the end: folders get the times that they are to have, which what was made in
    /// them has changed.
    ///
    /// # Errors
    /// As the file system gives them.
    fn finish(&mut self) -> io::Result<()>;
}
