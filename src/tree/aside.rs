//! A tree that a thread of its own makes, beside whoever says what is to be in it: what is read and
//! unpacked for it, and what the file system does with it, go on at once.

use std::io;
use std::sync::{Mutex, MutexGuard};
use std::thread;

use super::told::{Teller, is_cut, telling};
use super::{Making, Meta, NewTree, Room, TreePath, Xattrs};
use crate::error::{Error, IoContext, Result};
use crate::queue::lock;

/// So many batches may wait.
const BATCHES: usize = 6;

/// Lets `say` tell what is to be in the tree, which another thread makes.
///
/// # Errors
/// Those of the tree, naming the path; what `say` gives.
pub(crate) fn aside<T: NewTree + Send>(
    tree: T,
    say: impl FnOnce(&mut dyn NewTree) -> Result<()>,
) -> Result<()> {
    let tree = Mutex::new(tree);
    thread::scope(|scope| {
        let (teller, mut told) = telling(BATCHES);
        let mut shared = Shared(&tree);
        let writer = thread::Builder::new().name("make the tree".into());
        let writer = writer.spawn_scoped(scope, move || told.make(&mut shared, &mut || false));
        let writer = writer.context("start a thread", "make the tree")?;
        let mut aside = Aside { teller, tree: &tree };
        let said = say(&mut aside);
        let sent = aside.teller.flush();
        drop(aside);
        let made = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let Err((path, error)) = made else { return said.and(sent.context("make", "the tree")) };
        let is_cut = is_cut(&error);
        let told = Room::told(&error).unwrap_or_else(|| Error::io(error));
        let failed = Err(told.op("make the tree").at(path));
        // Where content was cut, whoever told of it knows why; else what the tree did not take is
        // why no more could be told.
        if is_cut { said.and(failed) } else { failed }
    })
}

/// A tree that is locked for each of its calls.
struct Shared<'t, T>(&'t Mutex<T>);

impl<T: NewTree> NewTree for Shared<'_, T> {
    fn put(
        &mut self,
        path: &TreePath,
        meta: &Meta,
        xattrs: &Xattrs,
        making: Making<'_>,
    ) -> io::Result<()> {
        lock(self.0).put(path, meta, xattrs, making)
    }

    fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()> {
        lock(self.0).link(path, first)
    }

    fn remove(&mut self, path: &TreePath, keep: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
        lock(self.0).remove(path, keep)
    }

    fn finish(&mut self) -> io::Result<()> {
        lock(self.0).finish()
    }
}

/// Tells the other thread.
struct Aside<'t, T> {
    teller: Teller,
    tree: &'t Mutex<T>,
}

impl<T: NewTree> Aside<'_, T> {
    /// The tree, with all that was told of it.
    fn settled(&mut self) -> io::Result<MutexGuard<'_, T>> {
        self.teller.settle()?;
        Ok(lock(self.tree))
    }
}

impl<T: NewTree> NewTree for Aside<'_, T> {
    fn put(
        &mut self,
        path: &TreePath,
        meta: &Meta,
        xattrs: &Xattrs,
        making: Making<'_>,
    ) -> io::Result<()> {
        self.teller.put(path, meta, xattrs, making)
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

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::mem;

    use super::*;
    use crate::dev::bytes::PIECE;
    use crate::error::ErrorKind;
    use crate::tree::told::Ones;
    use crate::tree::{Content, Kind};
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

    /// A hole, what is given, a hole.
    struct Sample {
        holes: Vec<u64>,
        given: Ones,
    }

    fn sample(holes: Vec<u64>, left: usize, error: Option<io::ErrorKind>) -> Sample {
        Sample { holes, given: Ones { left, error } }
    }

    impl Read for Sample {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.given.read(buf)
        }
    }

    impl Content for Sample {
        fn skip_hole(&mut self) -> u64 {
            let is_first = self.holes.len() == 2;
            if is_first || self.given.left == 0 { self.holes.pop().unwrap_or(0) } else { 0 }
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
                    let sample = sample(vec![70, 9], left, None);
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
                file(tree, "/cut", 1 << 20, sample(Vec::new(), left, error))
                    .map_err(|_| Error::new(ErrorKind::Corrupt, "the content's own"))
            });
            assert_eq!(ended.expect_err("it is cut").kind(), ErrorKind::Corrupt);
        }
        // Nor does it pass for whole where that is not told, or another file comes next.
        for more in [false, true] {
            let (ended, _) = told(|tree| {
                let error = Some(io::ErrorKind::InvalidData);
                file(tree, "/cut", 1 << 20, sample(Vec::new(), 5, error)).expect_err("it is cut");
                if more {
                    let _ = file(tree, "/next", 5, sample(Vec::new(), 5, None));
                }
                Ok(())
            });
            assert!(ended.expect_err("it is cut").to_string().contains("/cut"));
        }
    }
}
