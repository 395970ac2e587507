//! What is to be in a tree, told by one thread to another one: messages in batches, of which so many
//! may wait.

use std::io::{self, Read};
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::{Content, Making, Meta, NewTree, TreePath, Xattrs};
use crate::dev::bytes::PIECE;
use crate::queue::{Receiver, Sender, lock, queue};

/// So many bytes go at once, if there are as many.
pub(super) const BATCH: usize = 256 << 10;

/// What a message takes beside its bytes.
const MESSAGE: usize = 256;

/// What is told of a tree, in order. Of a file's content there are pieces, up to its end.
enum Message {
    Put {
        path: TreePath,
        meta: Meta,
        xattrs: Xattrs,
        sort: Sort,
    },
    Link {
        path: TreePath,
        first: TreePath,
    },
    /// A hole of that length, and what comes behind it: the first so many of the bytes.
    Piece {
        hole: u64,
        bytes: Vec<u8>,
        len: usize,
    },
    /// A hole, and no more.
    End {
        hole: u64,
    },
    /// All that came before is to be done.
    Settle(Sender<()>),
}

/// [`Making`], without the content of a file.
enum Sort {
    File,
    Link(Vec<u8>),
    Other,
}

/// Memory of whole pieces, to be used again: new memory costs more than what is done with it.
type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

fn keep(spare: &Spare, bytes: Vec<u8>) {
    if bytes.len() == PIECE {
        lock(spare).push(bytes);
    }
}

/// Both ends of what is told, of which so many [batches](BATCH) may wait.
pub(super) fn telling(batches: usize) -> (Teller, Told) {
    let (send, batches) = queue(batches);
    let spare = Spare::default();
    let told = Told { batches, batch: Vec::new().into_iter(), spare: Arc::clone(&spare) };
    (Teller { send, batch: Vec::new(), len: 0, spare }, told)
}

/// Nobody listens any more.
#[derive(Debug, thiserror::Error)]
#[error("the tree is not made any more")]
struct Gone;

fn gone() -> io::Error {
    io::Error::other(Gone)
}

/// The end that tells. What it fails with says no more than that the other one is gone.
pub(super) struct Teller {
    send: Sender<Vec<Message>>,
    batch: Vec<Message>,
    len: usize,
    spare: Spare,
}

impl Teller {
    fn tell(&mut self, message: Message, len: usize) -> io::Result<()> {
        self.batch.push(message);
        self.len = self.len.saturating_add(len).saturating_add(MESSAGE);
        if self.len < BATCH { Ok(()) } else { self.flush() }
    }

    /// Sees to it that the other end gets all that was told.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.len = 0;
        let sent = self.send.send(mem::take(&mut self.batch));
        if sent { Ok(()) } else { Err(gone()) }
    }

    /// Waits until all that was told is done.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let (done, is_done) = queue(1);
        self.tell(Message::Settle(done), 0)?;
        self.flush()?;
        is_done.receive().ok_or_else(gone)
    }

    /// Tells of an entry, as [`NewTree::put`] makes it.
    pub(super) fn put(
        &mut self,
        path: &TreePath,
        meta: &Meta,
        xattrs: &Xattrs,
        making: Making<'_>,
    ) -> io::Result<()> {
        let (sort, target, content) = match making {
            Making::File(content) => (Sort::File, 0, Some(content)),
            Making::Link(target) => (Sort::Link(target.to_vec()), target.len(), None),
            Making::Other => (Sort::Other, 0, None),
        };
        let attributes = xattrs.iter().map(|(name, value)| name.len() + value.len());
        let len = path.bytes().len() + target + attributes.sum::<usize>();
        let (path, meta, xattrs) = (path.clone(), meta.clone(), xattrs.clone());
        let size = meta.size.get();
        self.tell(Message::Put { path, meta, xattrs, sort }, len)?;
        content.map_or(Ok(()), |content| self.content(size, content))
    }

    /// Tells of another name, as [`NewTree::link`] gives it.
    pub(super) fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()> {
        let len = path.bytes().len() + first.bytes().len();
        self.tell(Message::Link { path: path.clone(), first: first.clone() }, len)
    }

    fn content(&mut self, size: u64, content: &mut dyn Content) -> io::Result<()> {
        let mut said = usize::try_from(size).ok().filter(|said| *said < PIECE);
        let mut hole = content.skip_hole();
        loop {
            // One more byte shows whether there are more, as of what has grown meanwhile.
            let (mut bytes, most) = match said.take() {
                Some(said) => (Vec::new(), said.saturating_add(1)),
                None => (lock(&self.spare).pop().unwrap_or_default(), PIECE),
            };
            let len = content.piece(&mut bytes, most)?;
            if len == 0 {
                keep(&self.spare, bytes);
                return self.tell(Message::End { hole }, 0);
            }
            let taken = bytes.len();
            self.tell(Message::Piece { hole, bytes, len }, taken)?;
            hole = content.skip_hole();
        }
    }
}

/// The end that is told.
pub(super) struct Told {
    batches: Receiver<Vec<Message>>,
    batch: std::vec::IntoIter<Message>,
    spare: Spare,
}

impl Told {
    /// Does all that is told with a tree. Before each message it is asked whether to stop: then no
    /// more comes.
    ///
    /// # Errors
    /// Those of the tree, with the path that it was at.
    pub(super) fn make(
        &mut self,
        tree: &mut dyn NewTree,
        stop: &mut dyn FnMut() -> bool,
    ) -> std::result::Result<(), (TreePath, io::Error)> {
        let mut messages = Messages { told: self, stop };
        while let Some(message) = messages.next() {
            let (made, path) = match message {
                Message::Put { path, meta, xattrs, sort } => {
                    (messages.put(tree, (&path, &meta, &xattrs), &sort), path)
                }
                Message::Link { path, first } => (tree.link(&path, &first), path),
                Message::Settle(done) => {
                    done.send(());
                    continue;
                }
                // What the tree did not want of a file.
                Message::Piece { .. } | Message::End { .. } => continue,
            };
            made.map_err(|error| (path, error))?;
        }
        Ok(())
    }
}

struct Messages<'m> {
    told: &'m mut Told,
    stop: &'m mut dyn FnMut() -> bool,
}

impl Messages<'_> {
    fn put(
        &mut self,
        tree: &mut dyn NewTree,
        (path, meta, xattrs): (&TreePath, &Meta, &Xattrs),
        sort: &Sort,
    ) -> io::Result<()> {
        let mut content = Streamed {
            messages: self,
            hole: 0,
            bytes: Vec::new(),
            left: 0..0,
            more: true,
            cut: false,
        };
        let making = match sort {
            Sort::File => Making::File(&mut content),
            Sort::Link(target) => Making::Link(target),
            Sort::Other => Making::Other,
        };
        tree.put(path, meta, xattrs, making)
    }
}

impl Iterator for Messages<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        if (self.stop)() {
            return None;
        }
        loop {
            if let Some(message) = self.told.batch.next() {
                return Some(message);
            }
            self.told.batch = self.told.batches.receive()?.into_iter();
        }
    }
}

/// A file's content has no end.
#[derive(Debug, thiserror::Error)]
#[error("the rest of the file does not come")]
struct Cut;

/// True where a tree got content that had no end: whoever told of it knows why.
pub(super) fn is_cut(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Cut>())
}

/// A file's content, as it is told.
struct Streamed<'p, 'm> {
    messages: &'p mut Messages<'m>,
    /// What is left of the hole before the bytes.
    hole: u64,
    bytes: Vec<u8>,
    /// Those that were not read yet.
    left: Range<usize>,
    more: bool,
    cut: bool,
}

impl Streamed<'_, '_> {
    /// Sees to it that something is left, where more comes.
    fn next(&mut self) -> io::Result<()> {
        if self.cut {
            return Err(io::Error::other(Cut));
        }
        while self.more && self.hole == 0 && self.left.is_empty() {
            match self.messages.next() {
                Some(Message::Piece { hole, bytes, len }) => {
                    let done = mem::replace(&mut self.bytes, bytes);
                    keep(&self.messages.told.spare, done);
                    (self.hole, self.left) = (hole, 0..len);
                }
                Some(Message::End { hole }) => (self.hole, self.more) = (hole, false),
                _ => {
                    self.cut = true;
                    return Err(io::Error::other(Cut));
                }
            }
        }
        Ok(())
    }
}

impl Read for Streamed<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.next()?;
        if self.hole > 0 {
            let len = buf.len().min(usize::try_from(self.hole).unwrap_or(usize::MAX));
            buf.iter_mut().take(len).for_each(|byte| *byte = 0);
            self.hole -= u64::try_from(len).map_err(io::Error::other)?;
            return Ok(len);
        }
        let mut rest = self.bytes.get(self.left.clone()).unwrap_or_default();
        let read = rest.read(buf)?;
        self.left.start += read;
        Ok(read)
    }
}

impl Content for Streamed<'_, '_> {
    fn skip_hole(&mut self) -> u64 {
        // Where nothing comes any more it shows when that is read.
        let _ = self.next();
        mem::take(&mut self.hole)
    }

    fn piece(&mut self, buffer: &mut Vec<u8>, len: usize) -> io::Result<usize> {
        self.next()?;
        if self.hole > 0 || self.left.start > 0 {
            buffer.resize(len, 0);
            return self.read(buffer);
        }
        mem::swap(buffer, &mut self.bytes);
        Ok(mem::take(&mut self.left).end)
    }
}

/// For tests: so many bytes of 1, then an error or the end.
#[cfg(test)]
pub(super) struct Ones {
    pub(super) left: usize,
    pub(super) error: Option<io::ErrorKind>,
}

#[cfg(test)]
impl Read for Ones {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(self.left).min(100_000);
        buf.iter_mut().take(len).for_each(|byte| *byte = 1);
        self.left -= len;
        match self.error {
            Some(error) if len == 0 => Err(error.into()),
            _ => Ok(len),
        }
    }
}
