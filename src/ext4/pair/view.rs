//! One side of a pair as a tree to walk through.

use std::io::{self, Read};

use super::super::plain::{Plain, other as io_error};
use super::{Pair, Side, content};
use crate::error::Result;
use crate::tree::{Folder, Meta, Xattrs};

/// A folder of one of two file systems that are compared.
pub struct View<'p> {
    pair: &'p Pair<'p>,
    plain: Plain<'p>,
}

impl<'p> View<'p> {
    pub(super) fn root(pair: &'p Pair<'_>, side: Side) -> Result<Self> {
        let plain = Plain::root(side.copied(pair.sides), side.of(&pair.entered))?;
        Ok(Self { pair, plain })
    }
}

impl Folder for View<'_> {
    fn own_meta(&self) -> io::Result<Meta> {
        self.plain.own_meta()
    }

    fn own_xattrs(&self) -> io::Result<Xattrs> {
        self.plain.own_xattrs()
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        self.plain.names()
    }

    fn meta(&self, name: &[u8]) -> io::Result<Meta> {
        self.plain.meta(name)
    }

    fn folder(&self, name: &[u8]) -> io::Result<Self> {
        Ok(Self { pair: self.pair, plain: self.plain.folder(name)? })
    }

    fn file(&self, name: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        self.plain.file(name)
    }

    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        self.plain.target(name)
    }

    fn xattrs(&self, name: &[u8]) -> io::Result<Xattrs> {
        self.plain.xattrs(name)
    }

    fn is_same(&self, other: &Self, name: &[u8]) -> bool {
        match (self.plain.names.get(name), other.plain.names.get(name)) {
            (Some(a), Some(b)) => a == b && !self.pair.differing.contains(a),
            _ => false,
        }
    }

    fn is_same_content(&self, other: &Self, name: &[u8]) -> io::Result<Option<bool>> {
        let content = |view: &Self| {
            let inode = view.plain.get(name)?;
            view.plain.tree.content(&inode).map_err(io_error)
        };
        content::is_same(&self.pair.changed, &content(self)?, &content(other)?)
    }
}
