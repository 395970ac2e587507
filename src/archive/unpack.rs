//! An archive made a tree.

use std::cell::Cell;
use std::io::{self, Read};

use super::{Archive, Entry, Pass, corrupt, unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::tree::{self, Kind, Making, Measure, NewTree, Room, Stopped, Tell};
use crate::units::Bytes;

/// Reads an archive to its end to know what it holds. Holes are not read, however long they are.
///
/// # Errors
/// As [`Archive::for_each`]; [`Interrupted`](ErrorKind::Interrupted).
pub fn measure(mut from: impl Read, tell: Tell<'_>) -> Result<Measure> {
    let by_now = Cell::new(Measure::default());
    let mut from = Watched { from: &mut from, by_now: &by_now, tell, reads: 0 };
    Archive::new(&mut from).for_each(&mut |entry, _| {
        refuse_layout(entry)?;
        count(&by_now, entry)
    })?;
    Ok(by_now.get())
}

/// Makes the tree that an archive holds, of `most` bytes of files.
///
/// # Errors
/// As [`Archive::for_each`]; [`NoSpace`](ErrorKind::NoSpace) where it has more data than is wanted
/// or the file system is full; [`Interrupted`](ErrorKind::Interrupted). What the tree then holds is
/// of no use.
pub fn unpack(
    mut from: impl Read,
    tree: &mut dyn NewTree,
    most: Bytes,
    tell: Tell<'_>,
) -> Result<Measure> {
    let by_now = Cell::new(Measure::default());
    let mut from = Watched { from: &mut from, by_now: &by_now, tell, reads: 0 };
    Archive::new(&mut from).for_each(&mut |entry, content| {
        refuse_layout(entry)?;
        count_up_to(&by_now, entry, most)?;
        make(tree, entry, content)
    })?;
    finish(tree)?;
    Ok(by_now.get())
}

/// No system has this at its root.
fn refuse_layout(entry: &Entry) -> Result<()> {
    if entry.path.bytes() != b"/oci-layout" {
        return Ok(());
    }
    let why = "it holds a container's image as an OCI layout, which is read in any order: give it \
               as a file, not on a stream, or unpack it to a folder and give that";
    Err(Error::new(ErrorKind::Unsupported, why))
}

pub(super) fn count(by_now: &Cell<Measure>, entry: &Entry) -> Result<()> {
    let more = by_now.get().with(entry.taken());
    by_now.set(more.ok_or_else(|| corrupt("more data than there can be"))?);
    Ok(())
}

pub(super) fn count_up_to(by_now: &Cell<Measure>, entry: &Entry, most: Bytes) -> Result<()> {
    count(by_now, entry)?;
    let need = by_now.get().data;
    if need <= most {
        return Ok(());
    }
    let why = format!("the archive has more than {most} of files");
    Err(Error::new(ErrorKind::NoSpace { need, have: most }, why))
}

/// Makes what an entry is.
pub(super) fn make(
    tree: &mut dyn NewTree,
    entry: &Entry,
    content: &mut dyn tree::Content,
) -> Result<()> {
    let made = match (&entry.same_as, entry.meta.kind) {
        (Some(first), _) => match tree.link(&entry.path, first) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(corrupt(&format!("it is another name of {first}, which is not there")));
            }
            linked => linked,
        },
        (None, kind) => {
            let making = match kind {
                Kind::File => Making::File(content),
                Kind::Link => Making::Link(&entry.target),
                _ => Making::Other,
            };
            tree.put(&entry.path, &entry.meta, &entry.xattrs, making)
        }
    };
    made.map_err(failed)
}

pub(super) fn finish(tree: &mut dyn NewTree) -> Result<()> {
    tree.finish().map_err(|error| Error::io(error).op("finish the tree"))
}

/// What an error was that came of making an entry: one of the archive's, or the file system's.
pub(super) fn failed(error: io::Error) -> Error {
    if let Some(told) = Room::told(&error) {
        return told.op("make the tree");
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => unreadable(error),
        _ if Stopped::is(&error)
            || error.get_ref().is_some_and(|inner| inner.is::<OfArchive>()) =>
        {
            unreadable(error)
        }
        _ => Error::io(error).op("make the tree"),
    }
}

/// An archive that tells how much of it came.
pub(super) struct Watched<'w> {
    pub(super) from: &'w mut dyn Read,
    pub(super) by_now: &'w Cell<Measure>,
    pub(super) tell: Tell<'w>,
    pub(super) reads: u32,
}

/// An error of the archive's own reader, where one of the new tree's could be meant too.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct OfArchive(io::Error);

impl Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Blocks are small; some more before it stops are no matter.
        self.reads = self.reads.wrapping_add(1);
        let asks = buf.len() > super::BLOCK || self.reads.is_multiple_of(64);
        if asks && (self.tell)(self.by_now.get()) {
            return Err(io::Error::other(Stopped));
        }
        self.from.read(buf).map_err(|error| io::Error::new(error.kind(), OfArchive(error)))
    }
}

impl Pass for Watched<'_> {}
