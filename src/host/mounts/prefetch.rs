//! The files of a tree that is packed, brought to the kernel's cache before they are copied: to unpack
//! them keeps one processor busy, to make them elsewhere another one.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::dev::bytes::PIECE;
use crate::diff::Mounted;
use crate::tree::{self, Making, Measure, Meta, NewTree, Of, TreePath, Xattrs};
use crate::units::Bytes;

/// So far ahead of the copy at most: what the kernel's cache holds of it is the first to go where
/// memory is wanted, and would be unpacked once more.
const AHEAD: Bytes = Bytes::mib(32);

/// What lies deeper is left, with all that comes after it: a folder is open on each level.
const DEEPEST: usize = 64;

/// A thread that reads a tree as [`copy`](tree::copy()) does, a little ahead of it. It ends when this
/// is dropped.
pub(super) struct Prefetch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    copied: Mutex<Copied>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Copied {
    data: Bytes,
    is_over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Copied> {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut Copied)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until the copy is near; says how far it is.
    fn wait(&self, at: Bytes) -> Copied {
        let is_far =
            |copied: &mut Copied| !copied.is_over && at > copied.data.saturating_add(AHEAD);
        let near = self.changed.wait_while(self.lock(), is_far);
        *near.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prefetch {
    /// Begins to read.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub(super) fn of(tree: Mounted) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let copy = Arc::clone(&shared);
        let thread = thread::Builder::new().name("prefetch".into());
        let thread = thread.spawn(move || {
            let is_behind = Cell::new(false);
            let mut tell = |by_now: Measure| {
                let copied = copy.wait(by_now.data);
                is_behind.set(by_now.data < copied.data);
                copied.is_over
            };
            let mut reading = Reading { is_behind: &is_behind, buffer: vec![0; PIECE] };
            // Whoever copies will meet the same error, if it is one, and tells it.
            let _ = tree::copy(&tree, Of::Image, &mut reading, &mut tell);
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The copy has come so far.
    pub(super) fn follow(&self, data: Bytes) {
        if self.shared.lock().data < data {
            self.shared.set(|copied| copied.data = data);
        }
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.shared.set(|copied| copied.is_over = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A tree of which nothing is made.
struct Reading<'r> {
    /// The copy has passed this place.
    is_behind: &'r Cell<bool>,
    buffer: Vec<u8>,
}

impl NewTree for Reading<'_> {
    fn put(&mut self, path: &TreePath, _: &Meta, _: &Xattrs, making: Making<'_>) -> io::Result<()> {
        if path.names().count() > DEEPEST {
            return Err(io::Error::other("it is too deep"));
        }
        match making {
            Making::File(content) if !self.is_behind.get() => {
                while content.read(&mut self.buffer)? > 0 {}
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn link(&mut self, _: &TreePath, _: &TreePath) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: &TreePath, _: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
