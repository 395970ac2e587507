//! Whether one entry of two trees is the same in both.

use std::io::{self, Read};

use super::change::{Difference, Differences};
use crate::dev::bytes::read_full;
use crate::tree::{Folder, Kind, Meta};

/// How much is read with one call.
const BUFFER: usize = 128 * 1024;

/// When an entry may be taken as unchanged without a look into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Never: all content and attributes are compared.
    Nothing,
    /// Where inode number, both times and the size are the same. Right for a file system and its
    /// snapshots, where the kernel sets the time of a change; wrong for two file systems made apart,
    /// since reproducible builds give them the same numbers and times.
    SameInode,
}

impl Trust {
    /// Whether what is so said of two entries is enough to take them for the same.
    pub(crate) fn takes_as_same(self, a: &Meta, b: &Meta) -> bool {
        let id = |meta: &Meta| (meta.kind, meta.ino, meta.size, meta.mtime, meta.ctime);
        self == Self::SameInode && id(a) == id(b) && metadata(a, b).is_empty()
    }
}

/// Compares entries; holds the memory for it.
pub(crate) struct Comparer {
    trust: Trust,
    buffers: [Vec<u8>; 2],
}

impl Comparer {
    pub(crate) fn new(trust: Trust) -> Self {
        Self { trust, buffers: [vec![0; BUFFER], vec![0; BUFFER]] }
    }

    /// How two folders themselves differ.
    pub(crate) fn folders<F: Folder>(&self, a: &F, b: &F) -> io::Result<Differences> {
        let metas = (a.own_meta()?, b.own_meta()?);
        let mut what = metadata(&metas.0, &metas.1);
        if !self.trust.takes_as_same(&metas.0, &metas.1) {
            what.note(Difference::Xattr, a.own_xattrs()? != b.own_xattrs()?);
        }
        Ok(what)
    }

    /// How an entry differs that both folders have, as what they say of it.
    pub(crate) fn entries<F: Folder>(
        &mut self,
        name: &[u8],
        a: (&F, &Meta),
        b: (&F, &Meta),
    ) -> io::Result<Differences> {
        let ((a, a_meta), (b, b_meta)) = (a, b);
        if a_meta.kind != b_meta.kind {
            return Ok(Differences::only(Difference::Type));
        }
        let mut what = metadata(a_meta, b_meta);
        if self.trust.takes_as_same(a_meta, b_meta) {
            return Ok(what);
        }
        match a_meta.kind {
            Kind::File => {
                let same = a_meta.size == b_meta.size && self.same_content(name, a, b)?;
                what.note(Difference::Content, !same);
            }
            Kind::Link => what.note(Difference::Target, a.target(name)? != b.target(name)?),
            _ => {}
        }
        what.note(Difference::Xattr, a.xattrs(name)? != b.xattrs(name)?);
        Ok(what)
    }

    fn same_content<F: Folder>(&mut self, name: &[u8], a: &F, b: &F) -> io::Result<bool> {
        if let Some(known) = a.is_same_content(b, name)? {
            return Ok(known);
        }
        let (mut a, mut b) = (a.file(name)?, b.file(name)?);
        let [one, two] = &mut self.buffers;
        loop {
            let (a, b) = (fill(&mut a, one)?, fill(&mut b, two)?);
            if a != b {
                return Ok(false);
            }
            if a.is_empty() {
                return Ok(true);
            }
        }
    }
}

/// What `lstat` alone tells apart.
fn metadata(a: &Meta, b: &Meta) -> Differences {
    let mut what = Differences::NONE;
    what.note(Difference::Mode, a.mode != b.mode);
    what.note(Difference::Owner, (a.uid, a.gid) != (b.uid, b.gid));
    what.note(Difference::Device, a.kind.is_device() && a.rdev != b.rdev);
    what
}

fn fill<'b>(from: &mut dyn Read, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    let got = read_full(from, buffer).map_err(|(error, _)| error)?;
    Ok(buffer.get(..got).unwrap_or_default())
}
