//! An archive made a tree.

use std::io::{self, Read};

use super::{Archive, Entry, corrupt, unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::tree::{Kind, Making, Measure, NewTree, Tell};
use crate::units::Bytes;

fn count(measure: &mut Measure, entry: &Entry) -> Result<()> {
    *measure = measure.with(entry.data).ok_or_else(|| corrupt("more data than there can be"))?;
    Ok(())
}

/// Reads an archive to its end to know what it holds.
///
/// # Errors
/// As [`Archive::for_each`]; [`Interrupted`](ErrorKind::Interrupted).
pub fn measure(from: impl Read, tell: Tell<'_>) -> Result<Measure> {
    let mut measure = Measure::default();
    Archive::new(from).for_each(&mut |entry, content| {
        count(&mut measure, entry)?;
        let mut told = Told { from: content, done: measure, tell: &mut *tell };
        io::copy(&mut told, &mut io::sink()).map(drop).map_err(stopped)
    })?;
    Ok(measure)
}

/// Makes the tree that an archive holds, of `most` bytes of files.
///
/// # Errors
/// As [`Archive::for_each`]; [`NoSpace`](ErrorKind::NoSpace) where it has more data than is wanted
/// or the file system is full; [`Interrupted`](ErrorKind::Interrupted). What the tree then holds is
/// of no use.
pub fn unpack(
    from: impl Read,
    tree: &mut dyn NewTree,
    most: Bytes,
    tell: Tell<'_>,
) -> Result<Measure> {
    let mut measure = Measure::default();
    Archive::new(from).for_each(&mut |entry, content| {
        count(&mut measure, entry)?;
        if measure.data > most {
            let why = format!("the archive has more than {most} of files");
            let (need, have) = (measure.data, most);
            return Err(Error::new(ErrorKind::NoSpace { need, have }, why));
        }
        if let Some(first) = &entry.same_as {
            let linked = tree.link(&entry.path, first);
            return linked.map_err(|error| Error::io(error).op("make a second name"));
        }
        let mut told = Told { from: content, done: measure, tell: &mut *tell };
        let making = match entry.meta.kind {
            Kind::File => Making::File(&mut told),
            Kind::Link => Making::Link(&entry.target),
            _ => Making::Other,
        };
        tree.put(&entry.path, &entry.meta, &entry.xattrs, making).map_err(stopped)
    })?;
    tree.finish().map_err(|error| Error::io(error).op("finish the tree"))?;
    Ok(measure)
}

/// What an error of reading or writing was.
fn stopped(error: io::Error) -> Error {
    if error.get_ref().is_some_and(|inner| inner.is::<Stopped>()) {
        return Error::new(ErrorKind::Interrupted, "the copy was stopped");
    }
    match error.kind() {
        io::ErrorKind::StorageFull => Error::io(error).op("write the tree"),
        _ => unreadable(error),
    }
}

/// Set where the caller wants no more.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
struct Stopped;

/// Content that tells how much of it was read.
struct Told<'t> {
    from: &'t mut dyn Read,
    done: Measure,
    tell: Tell<'t>,
}

impl Read for Told<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if (self.tell)(self.done) {
            return Err(io::Error::other(Stopped));
        }
        self.from.read(buf)
    }
}
