//! A side of a merge: a mounted tree, or a part of one that is in memory.

use std::io::{self, Read};

use crate::diff::Mounted;
use crate::tree::{Folder, Meta, PartFolder, Xattrs};

pub(super) enum Side<'s> {
    Mounted(Mounted),
    Part(PartFolder<'s>),
}

/// The same call on whichever it is.
macro_rules! on {
    ($side:expr, $folder:ident => $call:expr) => {
        match $side {
            Side::Mounted($folder) => $call,
            Side::Part($folder) => $call,
        }
    };
}

impl Folder for Side<'_> {
    fn own_meta(&self) -> io::Result<Meta> {
        on!(self, folder => folder.own_meta())
    }

    fn own_xattrs(&self) -> io::Result<Xattrs> {
        on!(self, folder => folder.own_xattrs())
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        on!(self, folder => folder.names())
    }

    fn meta(&self, name: &[u8]) -> io::Result<Meta> {
        on!(self, folder => folder.meta(name))
    }

    fn folder(&self, name: &[u8]) -> io::Result<Self> {
        match self {
            Self::Mounted(folder) => folder.folder(name).map(Self::Mounted),
            Self::Part(folder) => folder.folder(name).map(Self::Part),
        }
    }

    fn file(&self, name: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        on!(self, folder => folder.file(name))
    }

    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        on!(self, folder => folder.target(name))
    }

    fn xattrs(&self, name: &[u8]) -> io::Result<Xattrs> {
        on!(self, folder => folder.xattrs(name))
    }
}
