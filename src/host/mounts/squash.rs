//! A squashfs, read by ourselves: neither a loop device nor a mount, and each file is unpacked once, in
//! memory that is there already. What we do not read is mounted.

use std::io;
use std::sync::Arc;

use super::held::{Begun, Place, mounted};
use crate::error::{Error, Result};
use crate::image::{ImageFile, SQUASHFS};
use crate::machine::HeldTree;
use crate::squashfs::{SquashFolder, Squashfs};
use crate::tree::{self, Folder, Kind, Measure, NewTree, Of, Tell};

struct Squash {
    squashfs: Squashfs,
    begun: Begun,
    place: Place,
    name: String,
}

/// Holds what is in there.
pub(super) fn hold(place: Place, name: String) -> Result<Box<dyn HeldTree>> {
    let dev = Arc::new(place.dev(name.clone())?);
    match Squashfs::open(dev).map_err(|error| failed(error, &name))? {
        Some(squashfs) => Ok(Box::new(Squash { squashfs, begun: Begun::default(), place, name })),
        None => mounted(&place, name, SQUASHFS),
    }
}

fn failed(error: io::Error, name: &str) -> Error {
    tree::unreadable(error).op("read the squashfs").at(name)
}

impl Squash {
    fn root(&self) -> Result<SquashFolder> {
        self.squashfs.root().map_err(|error| failed(error, &self.name))
    }

    /// The tree as a mount, where there is a file at a path.
    fn with_file(&self, path: &str) -> Result<Option<Box<dyn HeldTree>>> {
        let is_file = is_file(self.root()?, path);
        if is_file.map_err(|error| failed(error, &self.name).at(path))? {
            mounted(&self.place, self.name.clone(), SQUASHFS).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// No link is followed.
fn is_file(root: SquashFolder, path: &str) -> io::Result<bool> {
    let mut folder = root;
    let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
    while let Some(name) = names.next() {
        let name = name.as_bytes();
        let Some(meta) = tree::find(Some(&folder), name)? else { return Ok(false) };
        match (meta.kind, names.peek()) {
            (kind, None) => return Ok(kind == Kind::File),
            (Kind::Folder, Some(_)) => folder = folder.folder(name)?,
            _ => return Ok(false),
        }
    }
    Ok(false)
}

impl HeldTree for Squash {
    fn image(&self, path: &str) -> Result<Option<ImageFile>> {
        self.with_file(path)?.map_or(Ok(None), |tree| tree.image(path))
    }

    fn hold_inside(&self, path: &str, fs_type: &str) -> Result<Option<Box<dyn HeldTree>>> {
        self.with_file(path)?.map_or(Ok(None), |tree| tree.hold_inside(path, fs_type))
    }

    fn weigh(&self, tell: Tell<'_>) -> Result<Measure> {
        self.begun.weigh(|| self.root(), tell)
    }

    fn copy_to(&self, to: &mut dyn NewTree, tell: Tell<'_>) -> Result<Measure> {
        self.begun.copy(|| self.root(), to, tell)
    }

    fn pick_from(&self, to: &mut dyn NewTree, tell: Tell<'_>) -> Result<Measure> {
        tree::copy(&self.root()?, Of::Image, to, tell)
    }
}

#[cfg(test)]
mod tests;
