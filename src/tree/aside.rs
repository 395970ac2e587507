//! A tree that a thread of its own makes, beside whoever says what is to be in it: what is read and
//! unpacked for it, and what the file system does with it, go on at once.

use std::io::{self, Read};
use std::mem;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Content, Making, Meta, NewTree, Room, TreePath, Xattrs};
use crate::dev::bytes::{PIECE, read_full};
use crate::error::{Error, IoContext, Result};
use crate::queue::{Receiver, Sender, queue};

/// So many bytes go at once, if there are as many.
const BATCH: usize = 256 << 10;

/// So many batches may wait.
const BATCHES: usize = 6;

/// What a message takes beside its bytes.
const MESSAGE: usize = 256;

/// Lets `say` tell what is to be in the tree, which another thread makes.
///
/// # Errors
/// Those of the tree, naming the path; what `say` gives.
pub(crate) fn aside<T: NewTree + Send>(
    tree: T,
    say: impl FnOnce(&mut dyn NewTree) -> Result<()>,
) -> Result<()> {
    let (tree, spare) = (Mutex::new(tree), Spare::default());
    thread::scope(|scope| {
        let (send, batches) = queue(BATCHES);
        let messages = Messages { batches, batch: Vec::new().into_iter(), spare: &spare };
        let writer = thread::Builder::new().name("make the tree".into());
        let writer = writer.spawn_scoped(scope, || make(&tree, messages));
        let writer = writer.context("start a thread", "make the tree")?;
        let mut teller = Teller { send, batch: Vec::new(), len: 0, tree: &tree, spare: &spare };
        let said = say(&mut teller);
        let sent = teller.flush();
        drop(teller);
        let made = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let Err((path, error)) = made else { return said.and(sent.context("make", "the tree")) };
        let is_cut = error.get_ref().is_some_and(|inner| inner.is::<Cut>());
        let told = Room::told(&error).unwrap_or_else(|| Error::io(error));
        let failed = Err(told.op("make the tree").at(path));
        // Where content was cut, whoever told of it knows why; else what the tree did not take is
        // why no more could be told.
        if is_cut { said.and(failed) } else { failed }
    })
}

/// What is told of a tree, in order. Of a file's content there are pieces, up to its end.
enum Message {
    Put {
        path: TreePath,
        meta: Meta,
        xattrs: Xattrs,
        sort: Sort,
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
type Spare = Mutex<Vec<Vec<u8>>>;

/// The thread that makes the tree is gone: it says why.
#[derive(Debug, thiserror::Error)]
#[error("the tree is not made any more")]
struct Gone;

fn gone() -> io::Error {
    io::Error::other(Gone)
}

/// Tells the other thread.
struct Teller<'t, T> {
    send: Sender<Vec<Message>>,
    batch: Vec<Message>,
    len: usize,
    tree: &'t Mutex<T>,
    spare: &'t Spare,
}

impl<T: NewTree> Teller<'_, T> {
    fn tell(&mut self, message: Message, len: usize) -> io::Result<()> {
        self.batch.push(message);
        self.len = self.len.saturating_add(len).saturating_add(MESSAGE);
        if self.len < BATCH { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.len = 0;
        let sent = self.send.send(mem::take(&mut self.batch));
        if sent { Ok(()) } else { Err(gone()) }
    }

    /// The tree, with all that was told of it.
    fn settled(&mut self) -> io::Result<MutexGuard<'_, T>> {
        let (done, is_done) = queue(1);
        self.tell(Message::Settle(done), 0)?;
        self.flush()?;
        is_done.receive().ok_or_else(gone)?;
        Ok(lock(self.tree))
    }

    fn content(&mut self, size: u64, content: &mut dyn Content) -> io::Result<()> {
        let mut said = usize::try_from(size).ok().filter(|said| *said < PIECE);
        loop {
            let hole = content.skip_hole();
            // One more byte shows whether there are more, as of what has grown meanwhile.
            let mut bytes = match said.take() {
                Some(said) => vec![0; said.saturating_add(1)],
                None => lock(self.spare).pop().unwrap_or_else(|| vec![0; PIECE]),
            };
            let len = read_full(content, &mut bytes).map_err(|(error, _)| error)?;
            if len == 0 {
                return self.tell(Message::End { hole }, 0);
            }
            let taken = bytes.len();
            self.tell(Message::Piece { hole, bytes, len }, taken)?;
        }
    }
}

impl<T: NewTree> NewTree for Teller<'_, T> {
    fn put(
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

    fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()> {
        self.settled()?.link(path, first)
    }

    fn remove(&mut self, path: &TreePath, keep: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
        self.settled()?.remove(path, keep)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.settled()?.finish()
    }
}

fn lock<T: ?Sized>(tree: &Mutex<T>) -> MutexGuard<'_, T> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes what is told, until there is no more.
fn make<T: NewTree>(
    tree: &Mutex<T>,
    mut messages: Messages<'_>,
) -> std::result::Result<(), (TreePath, io::Error)> {
    while let Some(message) = messages.next() {
        let (path, meta, xattrs, sort) = match message {
            Message::Put { path, meta, xattrs, sort } => (path, meta, xattrs, sort),
            Message::Settle(done) => {
                done.send(());
                continue;
            }
            // What the tree did not want of a file.
            Message::Piece { .. } | Message::End { .. } => continue,
        };
        let mut content = Told {
            messages: &mut messages,
            hole: 0,
            bytes: Vec::new(),
            left: 0..0,
            more: true,
            cut: false,
        };
        let making = match &sort {
            Sort::File => Making::File(&mut content),
            Sort::Link(target) => Making::Link(target),
            Sort::Other => Making::Other,
        };
        let made = lock(tree).put(&path, &meta, &xattrs, making);
        made.map_err(|error| (path, error))?;
    }
    Ok(())
}

struct Messages<'m> {
    batches: Receiver<Vec<Message>>,
    batch: std::vec::IntoIter<Message>,
    spare: &'m Spare,
}

impl Iterator for Messages<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.batch.next() {
                return Some(message);
            }
            self.batch = self.batches.receive()?.into_iter();
        }
    }
}

/// A file's content has no end.
#[derive(Debug, thiserror::Error)]
#[error("the rest of the file does not come")]
struct Cut;

/// A file's content, as it is told.
struct Told<'m, 's> {
    messages: &'m mut Messages<'s>,
    /// What is left of the hole before the bytes.
    hole: u64,
    bytes: Vec<u8>,
    /// Those that were not read yet.
    left: Range<usize>,
    more: bool,
    cut: bool,
}

impl Told<'_, '_> {
    /// Sees to it that something is left, where more comes.
    fn next(&mut self) -> io::Result<()> {
        if self.cut {
            return Err(io::Error::other(Cut));
        }
        while self.more && self.hole == 0 && self.left.is_empty() {
            match self.messages.next() {
                Some(Message::Piece { hole, bytes, len }) => {
                    let done = mem::replace(&mut self.bytes, bytes);
                    if done.len() == PIECE {
                        lock(self.messages.spare).push(done);
                    }
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

impl Read for Told<'_, '_> {
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

impl Content for Told<'_, '_> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::tree::Kind;
    use crate::units::Bytes;

    /// A tree that writes down what is done to it.
    #[derive(Default)]
    struct Notes<'n> {
        done: Vec<String>,
        to: Option<&'n Mutex<Vec<String>>>,
    }

    impl NewTree for Notes<'_> {
        fn put(
            &mut self,
            path: &TreePath,
            meta: &Meta,
            _: &Xattrs,
            making: Making<'_>,
        ) -> io::Result<()> {
            if path.bytes() == b"/full" {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let what = match making {
                Making::File(content) => {
                    let hole = content.skip_hole();
                    let mut bytes = Vec::new();
                    content.read_to_end(&mut bytes)?;
                    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
                    format!("a file: {hole}, then {} of {sum}", bytes.len())
                }
                Making::Link(target) => String::from_utf8_lossy(target).into_owned(),
                Making::Other => meta.kind.word().to_owned(),
            };
            self.done.push(format!("{path} {what}"));
            Ok(())
        }

        fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()> {
            let is_there = self.done.iter().any(|done| done.starts_with(&format!("{first} ")));
            if !is_there {
                return Err(io::ErrorKind::NotFound.into());
            }
            self.done.push(format!("{path} is {first}"));
            Ok(())
        }

        fn remove(&mut self, path: &TreePath, keep: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
            self.done.retain(|done| !done.starts_with(&format!("{path} ")) || keep(path));
            Ok(())
        }

        fn finish(&mut self) -> io::Result<()> {
            if let Some(to) = self.to {
                *lock(to) = mem::take(&mut self.done);
            }
            Ok(())
        }
    }

    /// A hole, so many bytes, a hole; and an error in the place of the end.
    struct Sample {
        holes: Vec<u64>,
        left: usize,
        error: Option<io::ErrorKind>,
    }

    impl Read for Sample {
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

    impl Content for Sample {
        fn skip_hole(&mut self) -> u64 {
            let is_first = self.holes.len() == 2;
            if is_first || self.left == 0 { self.holes.pop().unwrap_or(0) } else { 0 }
        }
    }

    fn meta(kind: Kind, size: u64) -> Meta {
        Meta { size: Bytes::new(size), ..Meta::blank(kind) }
    }

    fn path(text: &str) -> TreePath {
        TreePath::from_text(text).expect("a path")
    }

    /// What it says of its length need not be so.
    fn file(tree: &mut dyn NewTree, at: &str, size: u64, mut content: Sample) -> io::Result<()> {
        let meta = meta(Kind::File, size);
        tree.put(&path(at), &meta, &Xattrs::new(), Making::File(&mut content))
    }

    fn told(say: impl FnOnce(&mut dyn NewTree) -> Result<()>) -> (Result<()>, Vec<String>) {
        let to = Mutex::default();
        let ended = aside(Notes { to: Some(&to), ..Notes::default() }, say);
        let done = mem::take(&mut *lock(&to));
        (ended, done)
    }

    const LENGTHS: [usize; 4] = [0, 5, PIECE, 3 * PIECE + 7];

    #[test]
    fn all_that_is_told_is_made_in_its_order() {
        let (ended, done) = told(|tree| {
            let failed = |error| Error::io(error);
            for left in LENGTHS {
                for size in [0, 1 << 40, left as u64] {
                    let sample = Sample { holes: vec![70, 9], left, error: None };
                    file(tree, "/file", size, sample).map_err(failed)?;
                }
            }
            let (none, other) = (Xattrs::new(), meta(Kind::Pipe, 0));
            tree.put(&path("/link"), &other, &none, Making::Link(b"there")).map_err(failed)?;
            tree.put(&path("/pipe"), &other, &none, Making::Other).map_err(failed)?;
            tree.put(&path("/gone"), &other, &none, Making::Other).map_err(failed)?;
            tree.remove(&path("/gone"), &|_| false).map_err(failed)?;
            tree.remove(&path("/pipe"), &|_| true).map_err(failed)?;
            tree.link(&path("/other"), &path("/pipe")).map_err(failed)?;
            // It is there to be told at once.
            let missing = tree.link(&path("/x"), &path("/none")).expect_err("there is none");
            assert_eq!(missing.kind(), io::ErrorKind::NotFound);
            tree.finish().map_err(failed)
        });
        ended.expect("good");
        // The second hole is bytes for whoever does not ask again.
        let files = LENGTHS.into_iter().flat_map(|len| {
            let all = if len == 0 { 0 } else { len + 70 };
            std::iter::repeat_n(format!("/file a file: 9, then {all} of {len}"), 3)
        });
        let rest = ["/link there", "/pipe pipe", "/other is /pipe"].map(str::to_owned);
        assert_eq!(done, files.chain(rest).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_is_the_one_of_whoever_met_it() {
        // The tree's, with the path that it was at, however much was told meanwhile.
        let (ended, done) = told(|tree| {
            for at in ["/a", "/full"].into_iter().chain(std::iter::repeat_n("/b", 100_000)) {
                let put = tree.put(&path(at), &meta(Kind::Pipe, 0), &Xattrs::new(), Making::Other);
                put.map_err(|error| Error::io(error).at("elsewhere"))?;
            }
            Ok(())
        });
        let error = ended.expect_err("it is full").to_string();
        assert!(error.contains("/full") && !error.contains("elsewhere"), "{error}");
        assert_eq!(done, [""; 0]);
        // Also where all was told before it came to that.
        let (ended, _) = told(|tree| {
            let put = tree.put(&path("/full"), &meta(Kind::Pipe, 0), &Xattrs::new(), Making::Other);
            put.map_err(Error::io)
        });
        assert!(ended.expect_err("it is full").to_string().contains("/full"));
        // The content's.
        for left in [0, 10 * PIECE] {
            let (ended, _) = told(|tree| {
                let error = Some(io::ErrorKind::InvalidData);
                let sample = Sample { holes: Vec::new(), left, error };
                file(tree, "/cut", 1 << 20, sample)
                    .map_err(|_| Error::new(ErrorKind::Corrupt, "the content's own"))
            });
            assert_eq!(ended.expect_err("it is cut").kind(), ErrorKind::Corrupt);
        }
        // Nor does it pass for whole where that is not told, or another file comes next.
        for more in [false, true] {
            let (ended, _) = told(|tree| {
                let error = Some(io::ErrorKind::InvalidData);
                let sample = || Sample { holes: Vec::new(), left: 5, error };
                file(tree, "/cut", 1 << 20, sample()).expect_err("it is cut");
                if more {
                    let _ = file(tree, "/next", 5, Sample { error: None, ..sample() });
                }
                Ok(())
            });
            assert!(ended.expect_err("it is cut").to_string().contains("/cut"));
        }
    }
}
