//! A layout: the parts of images as files, in a folder or an archive.

use std::io::Read;

use super::{Part, Store, json, limited};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// A file that every layout has.
pub(super) const MARK: &str = "oci-layout";
/// Where its index is.
pub(super) const INDEX: &str = "index.json";
/// In front of the digits of a digest.
pub(super) const BLOBS: &str = "blobs/sha256/";

/// Files by their paths.
pub trait Files: Send + Sync {
    /// One of them, from its start; `None` where there is none.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io).
    fn file(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>>;
}

/// A layout in some files.
pub struct Layout<F> {
    name: String,
    files: F,
}

impl<F: Files> Layout<F> {
    /// One of that name.
    pub fn new(name: String, files: F) -> Self {
        Self { name, files }
    }

    fn file(&self, path: &str) -> Result<Box<dyn Read + Send>> {
        self.files.file(path)?.ok_or_else(|| {
            let why = format!("it is no whole OCI layout: it has no {path}");
            Error::new(ErrorKind::NotFound, why).at(&self.name)
        })
    }
}

impl<F: Files> Store for Layout<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn index(&self) -> Result<Box<dyn Read + Send>> {
        json::check_layout(&limited(self.file(MARK)?)?.0)?;
        self.file(INDEX)
    }

    fn part(&self, digest: &Digest, _part: Part) -> Result<Box<dyn Read + Send>> {
        self.file(&format!("{BLOBS}{}", digest.hex(usize::MAX)))
    }
}
