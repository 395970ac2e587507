//! The file tree of a layer, as far as starting it needs: which kernels it has, how they want to be
//! started, and what it calls its own root.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

mod beside;
mod cmdline;
mod ext4;
mod fstab;
mod kernels;
mod os;
mod shell;

use std::io::Read;

pub use beside::{WithBoot, wants_boot};
pub use cmdline::default_arguments;
#[cfg(feature = "host")]
pub(crate) use fstab::unescaped;
pub use fstab::{
    FstabLine, fstab_lines, mount_points, name_root, with_root, with_volume, without_volume,
};
pub use kernels::{Extra, KernelFiles, find_kernels};
pub use os::OsRelease;

use crate::error::Result;
use crate::units::Bytes;

/// Where the table of file systems is.
pub const FSTAB: &str = "/etc/fstab";

/// Most bytes of a file of configuration that is read.
pub const CONFIG_MOST: Bytes = Bytes::mib(1);

/// Who may do what with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Its owner.
    pub uid: u32,
    /// Permissions, set-id and sticky bits.
    pub mode: u32,
}

impl Access {
    /// True where nobody but root may change it.
    pub const fn is_roots_alone(self) -> bool {
        self.uid == 0 && self.mode & 0o022 == 0
    }
}

/// Files of a tree that is not the running one. Paths begin at its root, and so do the targets of
/// the links in it: none leads out.
///
/// Whatever fails names the file; what is not there is no failure.
pub trait RootFiles {
    /// A file's bytes; `None` where there is no such file.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io); [`Unsupported`](crate::ErrorKind::Unsupported) for one of more
    /// than `most` bytes.
    fn read(&self, path: &str, most: Bytes) -> Result<Option<Vec<u8>>>;

    /// The names in a folder, sorted; none where there is no such folder. Those that are no UTF-8
    /// are left out.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io).
    fn list(&self, folder: &str) -> Result<Vec<String>>;

    /// A file to be read from its beginning, and its size; `None` where there is no such file.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io).
    fn open(&self, path: &str) -> Result<Option<(Box<dyn Read + '_>, Bytes)>>;

    /// Who may do what with a file; `None` where there is no such file.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io).
    fn access(&self, path: &str) -> Result<Option<Access>>;

    /// True for a file that is there, through links.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn has(&self, path: &str) -> Result<bool> {
        Ok(self.open(path)?.is_some())
    }
}

/// A tree that may be written to.
pub trait RootChange: RootFiles {
    /// Puts a file into the place of one that is there; owner, mode and attributes stay. Whoever looks
    /// finds the one or the other, also after a power cut.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io), [`NoSpace`](crate::ErrorKind::NoSpace),
    /// [`NotFound`](crate::ErrorKind::NotFound); the old one is there then.
    fn rewrite(&self, path: &str, bytes: &[u8]) -> Result<()>;

    /// Makes a file where there is none, for all to read.
    ///
    /// # Errors
    /// As [`rewrite`](Self::rewrite); also where something is there. The file may be torn then.
    fn make(&self, path: &str, bytes: &[u8]) -> Result<()>;

    /// Makes a folder where there is none, and those on the way.
    ///
    /// # Errors
    /// As [`rewrite`](Self::rewrite); also where something else is there.
    fn make_folder(&self, path: &str) -> Result<()>;
}

/// A file as text; `None` where there is none, or it is no text.
fn text(root: &dyn RootFiles, path: &str) -> Result<Option<String>> {
    let bytes = root.read(path, CONFIG_MOST)?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
}

#[cfg(test)]
pub(crate) mod testing;
