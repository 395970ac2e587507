//! A file tree as values: what an entry is, whatever it lies in, and how to look at one.

#[cfg(feature = "host")]
mod aside;
mod copy;
#[cfg(feature = "host")]
mod early;
mod new;
mod part;
mod path;
#[cfg(feature = "host")]
pub(crate) mod place;
#[cfg(feature = "host")]
mod told;

#[cfg(feature = "host")]
pub(crate) use aside::aside;
#[cfg(feature = "host")]
pub(crate) use copy::unreadable;
pub use copy::{Of, copy, weigh};
#[cfg(feature = "host")]
pub(crate) use early::Early;
#[cfg(feature = "host")]
pub(crate) use new::Whole;
pub use new::{Content, Making, Measure, NewTree, Tell};
#[cfg(feature = "pack")]
pub(crate) use new::{Room, Stopped, data_of};
pub use part::{Part, PartFolder};
pub use path::TreePath;

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::Serialize;

use crate::units::Bytes;

/// What sort of thing an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
}

impl Kind {
    /// A word for it: `file`, `folder`, `block-device`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Link => "link",
            Self::BlockDevice => "block-device",
            Self::CharDevice => "char-device",
            Self::Pipe => "pipe",
            Self::Socket => "socket",
        }
    }

    /// True for a device node.
    pub const fn is_device(self) -> bool {
        matches!(self, Self::BlockDevice | Self::CharDevice)
    }
}

/// Seconds since 1970 and nanoseconds.
pub type Time = (i64, u32);

/// All of an entry that one `lstat` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Permissions, set-id and sticky bits: the low twelve bits of `st_mode`.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its length; a link's is its target's.
    pub size: Bytes,
    /// What its content takes on disk.
    pub held: Bytes,
    /// Major and minor number of a device node; zeros else.
    pub rdev: (u32, u32),
    /// Its inode's number.
    pub ino: u64,
    /// The file system that it is on, by a number that means nothing else.
    pub fs: u64,
    /// Names that its inode has.
    pub links: u64,
    /// When its content was changed last.
    pub mtime: Time,
    /// When anything about it was changed last; cannot be set.
    pub ctime: Time,
}

impl Meta {
    /// What nothing is known of but its sort: of root's, for all to read, with nothing in it.
    pub(crate) const fn blank(kind: Kind) -> Self {
        Self {
            kind,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: Bytes::ZERO,
            held: Bytes::ZERO,
            rdev: (0, 0),
            ino: 0,
            fs: 0,
            links: 1,
            mtime: (0, 0),
            ctime: (0, 0),
        }
    }

    /// How the kernel's overlay file system takes a file away.
    pub(crate) fn is_whiteout(&self) -> bool {
        self.kind == Kind::CharDevice && self.rdev == (0, 0)
    }
}

/// The attribute with the list of a file's access rights.
pub(crate) const ACL_ACCESS: &[u8] = b"system.posix_acl_access";

/// The one with those that what is made in a folder inherits.
pub(crate) const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// Extended attributes by name.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// A folder that can be looked at. Names are single components, never `.` or `..`; no link is followed.
pub trait Folder: Sized {
    /// The folder's own metadata.
    ///
    /// # Errors
    /// As the file system gives them.
    fn own_meta(&self) -> io::Result<Meta>;

    /// The folder's own attributes.
    ///
    /// # Errors
    /// As the file system gives them.
    fn own_xattrs(&self) -> io::Result<Xattrs>;

    /// The names in it, in any order.
    ///
    /// # Errors
    /// As the file system gives them.
    fn names(&self) -> io::Result<Vec<Vec<u8>>>;

    /// An entry's metadata.
    ///
    /// # Errors
    /// As the file system gives them; `NotFound` where it has gone.
    fn meta(&self, name: &[u8]) -> io::Result<Meta>;

    /// A folder in it.
    ///
    /// # Errors
    /// As the file system gives them.
    fn folder(&self, name: &[u8]) -> io::Result<Self>;

    /// A regular file in it.
    ///
    /// # Errors
    /// As the file system gives them.
    fn file(&self, name: &[u8]) -> io::Result<Box<dyn Read + '_>>;

    /// A regular file in it, and its attributes.
    ///
    /// # Errors
    /// As the file system gives them.
    fn file_and_xattrs(&self, name: &[u8]) -> io::Result<(Box<dyn Read + '_>, Xattrs)> {
        Ok((self.file(name)?, self.xattrs(name)?))
    }

    /// A link's target.
    ///
    /// # Errors
    /// As the file system gives them.
    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>>;

    /// An entry's attributes; none where the file system has none.
    ///
    /// # Errors
    /// As the file system gives them.
    fn xattrs(&self, name: &[u8]) -> io::Result<Xattrs>;

    /// True where this folder and another one are known to have the same under a name, with all
    /// that is below it, without a look at it.
    fn is_same(&self, other: &Self, name: &[u8]) -> bool {
        let _ = (other, name);
        false
    }

    /// Whether this folder and another one have files of the same content under a name, of which
    /// the size is the same; `None` where they have to be read for that.
    ///
    /// # Errors
    /// As the file system gives them.
    fn is_same_content(&self, other: &Self, name: &[u8]) -> io::Result<Option<bool>> {
        let _ = (other, name);
        Ok(None)
    }
}

/// An entry's metadata, where there are folder and entry.
pub(crate) fn find<F: Folder>(folder: Option<&F>, name: &[u8]) -> io::Result<Option<Meta>> {
    match folder.map(|folder| folder.meta(name)).transpose() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other,
    }
}
