//! A layout in a tar archive, packed or not: where its files lie is looked up first.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use super::layout::{BLOBS, Files, INDEX, Layout, MARK};
use crate::archive::{self, Archive, Entry, Pass};
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, Result};
use crate::image::open::{AT_ONCE, DevReader, unreadable};
use crate::pack::Packing;
use crate::tree::Kind;
use crate::units::Bytes;

/// More parts than any image has; what is kept of them is some 10 MiB.
const PARTS_MOST: usize = 1 << 16;

/// Where a file lies in the archive, unpacked.
type Span = (u64, u64);

/// The files of an archive.
pub(in crate::image) struct Archived {
    dev: Arc<dyn Dev>,
    packing: Option<Packing>,
    files: BTreeMap<String, Span>,
}

/// The layout in an archive that begins so; `None` where it holds none. An archive of something else
/// shows that by its first names.
pub(in crate::image) fn find(dev: &Arc<dyn Dev>, head: &[u8]) -> Result<Option<Layout<Archived>>> {
    let packing = Packing::of(head);
    if packing.is_none() && !archive::recognises(head) {
        return Ok(None);
    }
    let (at, mut files) = (Cell::new(0), BTreeMap::new());
    let dev = Arc::clone(dev);
    let mut from = match packing {
        Some(_) => From::Packed(BufReader::new(unpacked(&dev, packing))),
        None => From::Plain(DevReader { dev: Arc::clone(&dev), at: Bytes::ZERO }),
    };
    let mut is_other = false;
    let read = Archive::new(&mut Counted { from: &mut from, at: &at }).for_each(&mut |entry, _| {
        let path = String::from_utf8_lossy(entry.path.bytes().get(1..).unwrap_or_default());
        if is_part(&path) && entry.meta.kind == Kind::File && is_whole(entry) {
            files.insert(path.into_owned(), (at.get(), entry.meta.size.get()));
        } else if files.is_empty() && !may_stand_first(&path) {
            is_other = true;
        }
        if is_other || files.len() > PARTS_MOST {
            let why = format!("an OCI layout of more than {PARTS_MOST} parts");
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        Ok(())
    });
    // Damage is told by whoever reads it as an archive.
    if is_other || !files.contains_key(MARK) {
        return Ok(None);
    }
    read?;
    let name = dev.name().to_owned();
    Ok(Some(Layout::new(name, Archived { dev, packing, files })))
}

fn is_part(path: &str) -> bool {
    path == MARK || path == INDEX || path.starts_with(BLOBS)
}

/// Neither another name of something nor with holes.
fn is_whole(entry: &Entry) -> bool {
    entry.same_as.is_none() && entry.data == entry.meta.size
}

/// Folders on the way, and what programs write beside a layout.
fn may_stand_first(path: &str) -> bool {
    ["", "blobs", "blobs/sha256", "manifest.json", "repositories"].contains(&path)
}

fn unpacked(dev: &Arc<dyn Dev>, packing: Option<Packing>) -> Box<dyn Read + Send> {
    let bytes = DevReader { dev: Arc::clone(dev), at: Bytes::ZERO };
    match packing {
        Some(packing) => packing.reader(BufReader::with_capacity(AT_ONCE, bytes)),
        None => Box::new(bytes),
    }
}

impl Files for Archived {
    fn file(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>> {
        let Some(&(start, size)) = self.files.get(path) else { return Ok(None) };
        if self.packing.is_none() {
            let from = DevReader { dev: Arc::clone(&self.dev), at: Bytes::new(start) };
            return Ok(Some(Box::new(from.take(size))));
        }
        let mut from = unpacked(&self.dev, self.packing);
        let passed = io::copy(&mut Read::take(&mut from, start), &mut io::sink());
        passed.map_err(unreadable)?;
        Ok(Some(Box::new(from.take(size))))
    }
}

enum From {
    /// It can be read from anywhere.
    Plain(DevReader),
    /// Only in order.
    Packed(BufReader<Box<dyn Read + Send>>),
}

/// An archive that tells how much of it was read or passed over.
struct Counted<'c> {
    from: &'c mut From,
    at: &'c Cell<u64>,
}

impl Counted<'_> {
    fn count(&self, len: u64) {
        self.at.set(self.at.get().saturating_add(len));
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = match self.from {
            From::Plain(from) => from.read(buf),
            From::Packed(from) => from.read(buf),
        }?;
        self.count(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

impl Pass for Counted<'_> {
    fn pass(&mut self, len: u64) -> io::Result<u64> {
        let From::Plain(from) = self.from else {
            return io::copy(&mut Read::take(self, len), &mut io::sink());
        };
        let len = len.min(from.left().get());
        from.at = from.at.saturating_add(Bytes::new(len));
        self.count(len);
        Ok(len)
    }
}
