//! The folder that the loader reads: as little of a file system as the rest of this module needs.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use crate::error::Result;
use crate::name::BadName;
use crate::units::Bytes;

/// The unit in which a disk takes a write whole or not at all.
pub const SECTOR: u64 = crate::units::SECTOR;

/// A path inside the folder: names with `/` between, none of them `.` or `..`, so that it cannot
/// lead out. Empty for the folder itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootPath(Box<str>);

impl BootPath {
    /// The folder itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The text, without a slash in front.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last name; empty for the folder itself.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The folder that it is in; for the folder itself that one.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self(self.0.rsplit_once('/').map_or("", |(parent, _)| parent).into())
    }

    /// True for the folder itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// What is called `name` in this folder.
    ///
    /// # Errors
    /// As [`from_str`](Self::from_str).
    pub fn join(&self, name: &str) -> Result<Self, BadName> {
        if self.is_root() { name.parse() } else { format!("{}/{name}", self.0).parse() }
    }

    /// Follows a relative link that lies in this folder: `..` goes up, but never out.
    pub fn follow(&self, target: &str) -> Option<Self> {
        if target.starts_with('/') {
            return None;
        }
        let mut at = self.clone();
        for name in target.split('/').filter(|name| !name.is_empty() && *name != ".") {
            at = match name {
                ".." if at.is_root() => return None,
                ".." => at.parent(),
                name => at.join(name).ok()?,
            };
        }
        Some(at)
    }
}

impl FromStr for BootPath {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |why| Err(BadName::new(text, "path in the boot folder", why));
        for name in text.split('/') {
            match name {
                "" => return bad("it has an empty name in it"),
                "." | ".." => return bad("it could lead out of the folder"),
                name if name.contains(['\0', '\\']) => return bad("it holds a NUL or a backslash"),
                name if name.len() > 255 => return bad("a name in it is longer than 255 bytes"),
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for BootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain file of that size.
    File(Bytes),
    /// A folder.
    Folder,
    /// A symbolic link, and where it points to.
    Link(String),
    /// A device, a socket or the like.
    Other,
}

/// What is known of the file system that the folder is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where the folder is in its file system: empty for its root, else `/boot`.
    pub prefix: String,
    /// True for FAT: no links, and names that ignore case.
    pub fat: bool,
    /// The file system's UUID as GRUB's `search --fs-uuid` takes it.
    pub uuid: Option<String>,
}

/// Free space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// So much is free.
    pub free: Bytes,
    /// A file takes whole units of this size.
    pub unit: Bytes,
}

/// The folder that the loader reads.
///
/// These are steps that a file system takes one by one. There is none that puts a file in another's
/// place: on FAT a power cut may leave neither of the two, and GRUB, which reads no journal, may find
/// neither on ext4. Whatever changes is a new file, or bytes inside one. No implementation follows a
/// symbolic link.
///
/// Whatever fails names the file, and is [`NotFound`](crate::ErrorKind::NotFound),
/// [`Exists`](crate::ErrorKind::Exists), [`Denied`](crate::ErrorKind::Denied) (a read-only file
/// system), [`NoSpace`](crate::ErrorKind::NoSpace) or [`Io`](crate::ErrorKind::Io).
pub trait BootFolder: Send + Sync {
    /// What to call it in messages: `/boot`.
    fn name(&self) -> &str;

    /// What is known of its file system.
    fn facts(&self) -> Facts;

    /// How much room there is.
    ///
    /// # Errors
    /// See the trait.
    fn room(&self) -> Result<Room>;

    /// What stands at that path; `None` for nothing.
    ///
    /// # Errors
    /// See the trait.
    fn look(&self, path: &BootPath) -> Result<Option<Kind>>;

    /// What is in a folder, sorted by name; nothing where there is no such folder. Names that are
    /// no UTF-8 are left out.
    ///
    /// # Errors
    /// See the trait.
    fn list(&self, folder: &BootPath) -> Result<Vec<(String, Kind)>>;

    /// A file's bytes; `None` where there is no such file.
    ///
    /// # Errors
    /// See the trait; [`Unsupported`](crate::ErrorKind::Unsupported) for a file of more than `most`
    /// bytes.
    fn read(&self, file: &BootPath, most: Bytes) -> Result<Option<Vec<u8>>>;

    /// A file, to be read from its beginning.
    ///
    /// # Errors
    /// See the trait.
    fn open(&self, file: &BootPath) -> Result<Box<dyn Read + '_>>;

    /// True for a file that was written on paper only, in a dry run: there is nothing to read back.
    fn is_on_paper(&self, file: &BootPath) -> bool {
        let _ = file;
        false
    }

    /// Makes a folder in one that is there.
    ///
    /// # Errors
    /// See the trait.
    fn make_folder(&self, folder: &BootPath) -> Result<()>;

    /// Makes a file and writes all of `from` into it. Its bytes are durable then, its name is only
    /// after a [`sync`](Self::sync) of the folder.
    ///
    /// # Errors
    /// See the trait; the file may be there with less in it.
    fn write_new(&self, file: &BootPath, from: &mut dyn Read) -> Result<()>;

    /// Writes over some bytes inside a file, durably. The file keeps its size and its blocks. What
    /// lies within one sector of 512 bytes is written whole or not at all.
    ///
    /// # Errors
    /// See the trait; nothing is known of these bytes then.
    fn overwrite(&self, file: &BootPath, at: Bytes, bytes: &[u8]) -> Result<()>;

    /// Adds bytes at a file's end, durably. What stood there before stays whatever happens; after a
    /// power cut any of the new bytes may be missing, or be others.
    ///
    /// # Errors
    /// See the trait.
    fn append(&self, file: &BootPath, bytes: &[u8]) -> Result<()>;

    /// Gives a file a name in its folder that no other has.
    ///
    /// # Errors
    /// See the trait; [`Exists`](crate::ErrorKind::Exists).
    fn rename(&self, from: &BootPath, to: &BootPath) -> Result<()>;

    /// Removes a file, a link, or an empty folder.
    ///
    /// # Errors
    /// See the trait.
    fn remove(&self, path: &BootPath) -> Result<()>;

    /// Makes all that happened to the names in this folder durable.
    ///
    /// # Errors
    /// See the trait. Do not try again: nothing may be assumed of what was done since the last sync
    /// that succeeded.
    fn sync(&self, folder: &BootPath) -> Result<()>;

    /// Lets a loader that reads no journal see all that was made durable: GRUB on ext4 or XFS sees
    /// the file system as it was when the journal was last emptied, but what was
    /// [written over](Self::overwrite) at once.
    ///
    /// # Errors
    /// See the trait.
    fn settle(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        let path: BootPath = "loader/entries/a.conf".parse().expect("a path");
        assert_eq!((path.name(), path.parent().as_str()), ("a.conf", "loader/entries"));
        assert!(BootPath::root().parent().is_root());
        for bad in ["", "/", "/a", "a/", "a//b", "..", "a/../b", ".", "a\\b", "a\0"] {
            assert!(bad.parse::<BootPath>().is_err(), "{bad:?}");
        }
        assert!(format!("a/{}", "x".repeat(256)).parse::<BootPath>().is_err());
    }

    #[test]
    fn links_are_followed_by_name_and_never_out() {
        let grub: BootPath = "grub2".parse().expect("a path");
        let target = grub.follow("../efi/EFI/redhat/grubenv").expect("inside");
        assert_eq!(target.as_str(), "efi/EFI/redhat/grubenv");
        assert_eq!(grub.follow("./x").expect("inside").as_str(), "grub2/x");
        for out in ["../../x", "/etc/passwd", "../a/../../x"] {
            assert_eq!(grub.follow(out), None, "{out}");
        }
    }
}
