//! A tree that a thread of its own reads, before and beside whoever makes it elsewhere: to unpack files
//! keeps one processor busy, to make them another one.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::copy::{Of, copy, failed, finish};
use super::told::{BATCH, Teller, Told, is_cut, telling};
use super::{Folder, Making, Measure, Meta, NewTree, Stopped, Tell, TreePath, Xattrs};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::queue::lock;

/// So much of a tree is kept in memory before it is made, or half as much again: batches may be longer.
const AHEAD: usize = 16 << 20;

/// What the main thread of a process has: folders are walked one in the other.
const STACK: usize = 8 << 20;

/// A tree that is being read. The thread ends when this is dropped.
pub(crate) struct Early {
    // In this order: with nobody to tell it ends.
    told: Told,
    _thread: Joined,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    by_now: Measure,
    ended: Option<Result<Measure>>,
}

/// Is waited for when it is dropped: what it has open is closed then.
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

impl Early {
    /// Begins to read.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub(crate) fn of<F: Folder + Send + 'static>(tree: F, of: Of) -> Result<Self> {
        let shared = Arc::<Mutex<Shared>>::default();
        let own = Arc::clone(&shared);
        let (teller, told) = telling(AHEAD / BATCH);
        let thread = thread::Builder::new().name("read ahead".into()).stack_size(STACK);
        let thread = thread.spawn(move || {
            let mut tell = |by_now| {
                lock(&own).by_now = by_now;
                false
            };
            let ended = copy(&tree, of, &mut Ahead(teller), &mut tell);
            lock(&own).ended = Some(ended);
        });
        let thread = Joined(Some(thread.context("start a thread", "read ahead")?));
        Ok(Self { told, _thread: thread, shared })
    }

    /// Makes what is read, as [`copy`] does.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn copy_to(mut self, to: &mut dyn NewTree, tell: Tell<'_>) -> Result<Measure> {
        let mut is_stopped = false;
        let made = self.told.make(to, &mut || {
            // Whoever reads must not wait for the caller.
            let by_now = lock(&self.shared).by_now;
            is_stopped = tell(by_now);
            is_stopped
        });
        let shared = Arc::clone(&self.shared);
        drop(self);
        if is_stopped {
            return Err(Stopped::told());
        }
        let gone = || Err(Error::new(ErrorKind::Io, "the thread that reads the tree is gone"));
        let read = lock(&shared).ended.take().unwrap_or_else(gone);
        match made {
            // Whoever read it knows why.
            Err((path, error)) if is_cut(&error) => read.and(Err(failed(error, &path))),
            Err((path, error)) => Err(failed(error, &path)),
            Ok(()) => {
                let measure = read?;
                finish(to)?;
                Ok(measure)
            }
        }
    }
}

/// Tells of a tree all that a copy does.
struct Ahead(Teller);

impl NewTree for Ahead {
    fn put(
        &mut self,
        path: &TreePath,
        meta: &Meta,
        xattrs: &Xattrs,
        making: Making<'_>,
    ) -> io::Result<()> {
        self.0.put(path, meta, xattrs, making)
    }

    fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()> {
        self.0.link(path, first)
    }

    fn remove(&mut self, _: &TreePath, _: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Weak;

    use super::*;
    use crate::tree::Kind;
    use crate::tree::told::Ones;
    use crate::units::Bytes;

    /// So many files of so many bytes each, in a folder of folders.
    #[derive(Clone)]
    struct Sample {
        depth: usize,
        len: usize,
        /// The file that cannot be read to its end.
        broken: &'static [u8],
        /// For as long as the tree is held.
        _held: Arc<()>,
    }

    fn sample(len: usize) -> (Sample, Weak<()>) {
        let held = Arc::new(());
        let is_held = Arc::downgrade(&held);
        (Sample { depth: 0, len, broken: b"", _held: held }, is_held)
    }

    impl Folder for Sample {
        fn own_meta(&self) -> io::Result<Meta> {
            Ok(Meta::blank(Kind::Folder))
        }

        fn own_xattrs(&self) -> io::Result<Xattrs> {
            Ok(Xattrs::new())
        }

        fn names(&self) -> io::Result<Vec<Vec<u8>>> {
            let more = if self.depth < 20 { &["z"][..] } else { &[] };
            Ok(["a", "b", "c"].iter().chain(more).map(|name| name.as_bytes().to_vec()).collect())
        }

        fn meta(&self, name: &[u8]) -> io::Result<Meta> {
            let meta = Meta::blank(if name == b"z" { Kind::Folder } else { Kind::File });
            let size = Bytes::new(self.len as u64);
            // Two of them are one.
            let (ino, links) = if name == b"a" { (9, 1) } else { (self.depth as u64, 2) };
            Ok(Meta { size, held: size, ino, links, ..meta })
        }

        fn folder(&self, _: &[u8]) -> io::Result<Self> {
            Ok(Self { depth: self.depth + 1, ..self.clone() })
        }

        fn file(&self, name: &[u8]) -> io::Result<Box<dyn Read + '_>> {
            let is_broken = self.depth == 3 && name == self.broken;
            let error = is_broken.then_some(io::ErrorKind::InvalidData);
            Ok(Box::new(Ones { left: self.len, error }))
        }

        fn target(&self, _: &[u8]) -> io::Result<Vec<u8>> {
            Ok(Vec::new())
        }

        fn xattrs(&self, _: &[u8]) -> io::Result<Xattrs> {
            Ok(Xattrs::from([(b"user.depth".to_vec(), vec![1; self.depth])]))
        }
    }

    /// A tree that writes down what is done to it, and takes no file deeper than that.
    #[derive(Debug, PartialEq)]
    struct Notes(Vec<String>, usize);

    impl NewTree for Notes {
        fn put(
            &mut self,
            path: &TreePath,
            meta: &Meta,
            xattrs: &Xattrs,
            making: Making<'_>,
        ) -> io::Result<()> {
            if path.names().count() > self.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let mut bytes = Vec::new();
            if let Making::File(content) = making {
                content.read_to_end(&mut bytes)?;
            }
            self.0.push(format!("{path} {meta:?} {xattrs:?} {}", bytes.len()));
            Ok(())
        }

        fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()> {
            self.0.push(format!("{path} is {first}"));
            Ok(())
        }

        fn remove(&mut self, _: &TreePath, _: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn finish(&mut self) -> io::Result<()> {
            self.0.push("finished".to_owned());
            Ok(())
        }
    }

    #[test]
    fn what_is_read_early_is_made_as_by_a_copy() {
        for len in [0, 3, 100_000, 900_000] {
            let ((tree, is_held), mut direct, mut to) =
                (sample(len), Notes(Vec::new(), 99), Notes(Vec::new(), 99));
            let copied = copy(&tree, Of::Image, &mut direct, &mut |_| false).expect("copied");
            let mut told = Vec::new();
            let mut tell = |by_now: Measure| {
                told.push(by_now.entries);
                false
            };
            let early = Early::of(tree, Of::Image).expect("begun");
            assert_eq!(early.copy_to(&mut to, &mut tell).expect("copied"), copied);
            assert_eq!(to, direct);
            assert!(told.is_sorted() && told.last() == Some(&copied.entries), "{told:?}");
            assert!(is_held.upgrade().is_none());
        }
    }

    #[test]
    fn errors_are_those_of_whoever_met_them() {
        // Of who reads: also where no more than that was missing, and more would come.
        for (broken, len) in [(&b"a"[..], 5), (b"b", 0), (b"b", 800_000)] {
            let mut to = Notes(Vec::new(), 99);
            let tree = Sample { broken, ..sample(len).0 };
            let early = Early::of(tree, Of::Image).expect("begun");
            let error = early.copy_to(&mut to, &mut |_| false).expect_err("it cannot be read");
            let name = String::from_utf8_lossy(broken);
            assert!(error.to_string().contains(&format!("/z/z/z/{name}")), "{error}");
            assert!(!to.0.iter().any(|note| note.starts_with(&format!("/z/z/z/{name} "))));
            assert!(!to.0.contains(&"finished".to_owned()));
        }
        // Of the tree.
        let (tree, is_held) = sample(900_000);
        let early = Early::of(tree, Of::Image).expect("begun");
        let error = early.copy_to(&mut Notes(Vec::new(), 4), &mut |_| false).expect_err("full");
        assert!(error.to_string().contains("/z/z/z/z/a"), "{error}");
        assert!(is_held.upgrade().is_none());
    }

    #[test]
    fn who_wants_no_more_gets_no_more() {
        let (tree, is_held) = sample(900_000);
        let mut to = Notes(Vec::new(), 99);
        let early = Early::of(tree, Of::Image).expect("begun");
        let mut calls = 0;
        let mut tell = |_| {
            calls += 1;
            calls > 40
        };
        let error = early.copy_to(&mut to, &mut tell).expect_err("stopped");
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(to.0.len() < 40 && is_held.upgrade().is_none());
        // Nobody has wanted any of it.
        let (tree, is_held) = sample(900_000);
        drop(Early::of(tree, Of::Image).expect("begun"));
        assert!(is_held.upgrade().is_none());
    }
}
