//! A file system's folders as a tree to walk through.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::inode::{Ino, Inode};
use super::tree::Tree;
use crate::error::{Error, Result};
use crate::order::Gather;
use crate::tree::{Folder, Meta, Xattrs};

/// The folders that were entered in one walk: none has two names, so that each walk ends.
#[derive(Debug, Default)]
pub struct Entered(RefCell<BTreeSet<Ino>>);

/// A folder of a file system, in a walk that enters each once.
pub struct Plain<'t> {
    pub(super) tree: &'t Tree<'t>,
    entered: &'t Entered,
    inode: Inode,
    pub(super) names: BTreeMap<Vec<u8>, Ino>,
}

impl<'t> Plain<'t> {
    /// The root.
    ///
    /// # Errors
    /// As [`Tree::names`].
    pub fn root(tree: &'t Tree<'t>, entered: &'t Entered) -> Result<Self> {
        Self::open(tree, entered, Ino::ROOT)
    }

    fn open(tree: &'t Tree<'t>, entered: &'t Entered, ino: Ino) -> Result<Self> {
        let inode = tree.inode(ino)?;
        if !entered.0.borrow_mut().insert(ino) {
            return Err(inode.wrong("is a folder with two names").into());
        }
        let names = tree.names(&inode)?.into_iter().map(|name| (name.name, name.ino)).gather();
        Ok(Self { tree, entered, inode, names })
    }

    pub(super) fn get(&self, name: &[u8]) -> io::Result<Inode> {
        let ino = self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        self.tree.inode(*ino).map_err(other)
    }
}

pub(super) fn other(error: Error) -> io::Error {
    io::Error::other(error)
}

impl Folder for Plain<'_> {
    fn own_meta(&self) -> io::Result<Meta> {
        Ok(self.inode.meta())
    }

    fn own_xattrs(&self) -> io::Result<Xattrs> {
        self.tree.xattrs(&self.inode).map_err(other)
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        Ok(self.names.keys().cloned().collect())
    }

    fn meta(&self, name: &[u8]) -> io::Result<Meta> {
        Ok(self.get(name)?.meta())
    }

    fn folder(&self, name: &[u8]) -> io::Result<Self> {
        Self::open(self.tree, self.entered, self.get(name)?.ino()).map_err(other)
    }

    fn file(&self, name: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.tree.content(&self.get(name)?).map_err(other)?))
    }

    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        self.tree.target(&self.get(name)?).map_err(other)
    }

    fn xattrs(&self, name: &[u8]) -> io::Result<Xattrs> {
        self.tree.xattrs(&self.get(name)?).map_err(other)
    }
}
