//! One side of a pair as a tree to walk through.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::super::inode::{Ino, Inode};
use super::super::tree::Tree;
use super::{Pair, Side, content};
use crate::error::{Error, Result};
use crate::order::Gather;
use crate::tree::{Folder, Meta, Xattrs};

/// A folder of one of two file systems that are compared.
pub struct View<'p> {
    pair: &'p Pair<'p>,
    side: Side,
    inode: Inode,
    names: BTreeMap<Vec<u8>, Ino>,
}

impl<'p> View<'p> {
    pub(super) fn open(pair: &'p Pair<'_>, side: Side, ino: Ino) -> Result<Self> {
        let tree = side.copied(pair.sides);
        let inode = tree.inode(ino)?;
        if !side.of(&pair.entered).borrow_mut().insert(ino) {
            return Err(inode.wrong("is a folder with two names").into());
        }
        let names = tree.names(&inode)?.into_iter().map(|name| (name.name, name.ino)).gather();
        Ok(Self { pair, side, inode, names })
    }

    fn tree(&self) -> &'p Tree<'p> {
        self.side.copied(self.pair.sides)
    }

    fn ino(&self, name: &[u8]) -> io::Result<Ino> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn inode(&self, name: &[u8]) -> io::Result<Inode> {
        self.tree().inode(self.ino(name)?).map_err(io_error)
    }
}

/// The walk takes it out again.
fn io_error(error: Error) -> io::Error {
    io::Error::other(error)
}

impl Folder for View<'_> {
    fn own_meta(&self) -> io::Result<Meta> {
        Ok(self.inode.meta())
    }

    fn own_xattrs(&self) -> io::Result<Xattrs> {
        self.tree().xattrs(&self.inode).map_err(io_error)
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        Ok(self.names.keys().cloned().collect())
    }

    fn meta(&self, name: &[u8]) -> io::Result<Meta> {
        Ok(self.inode(name)?.meta())
    }

    fn folder(&self, name: &[u8]) -> io::Result<Self> {
        Self::open(self.pair, self.side, self.ino(name)?).map_err(io_error)
    }

    fn file(&self, name: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.tree().content(&self.inode(name)?).map_err(io_error)?))
    }

    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        self.tree().target(&self.inode(name)?).map_err(io_error)
    }

    fn xattrs(&self, name: &[u8]) -> io::Result<Xattrs> {
        self.tree().xattrs(&self.inode(name)?).map_err(io_error)
    }

    fn is_same(&self, other: &Self, name: &[u8]) -> bool {
        match (self.names.get(name), other.names.get(name)) {
            (Some(a), Some(b)) => a == b && !self.pair.differing.contains(a),
            _ => false,
        }
    }

    fn is_same_content(&self, other: &Self, name: &[u8]) -> io::Result<Option<bool>> {
        let content = |view: &Self| view.tree().content(&view.inode(name)?).map_err(io_error);
        content::is_same(&self.pair.changed, &content(self)?, &content(other)?)
    }
}
