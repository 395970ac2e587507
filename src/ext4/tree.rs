//! A file system's folders and files, read from its device alone.

use super::blocks::{Blocks, OP};
use super::content::Content;
use super::detail::{Detail, check_readable};
use super::group::Descriptor;
use super::inode::{Ino, Inode, flag};
use super::superblock::Superblock;
use super::{folder, xattr};
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, Result};
use crate::order;
use crate::tree::{Kind, Xattrs};
use crate::units::Bytes;

/// As many links may be on the way to a file: the kernel's limit.
const LINKS_MAX: u32 = 40;
/// The kernel's limit for a link's target: 4 KiB.
const TARGET_MAX: u64 = 4096;

/// A file system to read from. Nothing is written, no mount is made; it must not be mounted for
/// writing meanwhile.
///
/// Paths begin at its root, with or without a slash. Links are followed as if that was all there
/// is: one to `/etc` is to this file system's, and nothing is above its root. Every checksum that
/// the file system has is looked at. Memory and time are bounded by what is read, whatever a
/// damaged file system says.
pub struct Tree<'d> {
    pub(super) blocks: Blocks<'d>,
    sb: Superblock,
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Any bytes but zeros and slashes; never `.` or `..`.
    pub name: Vec<u8>,
    /// Its inode.
    pub ino: Ino,
    /// What the folder says that it is; `None` in a file system whose folders do not say it.
    pub kind: Option<Kind>,
}

impl<'d> Tree<'d> {
    /// Looks at the superblock.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where the journal must be replayed first (mount it
    /// then) or a feature is not known; [`Corrupt`](ErrorKind::Corrupt) where the device is
    /// shorter than the file system; and as [`Superblock::read`].
    pub fn open(dev: &'d dyn Dev) -> Result<Self> {
        let sb = Superblock::read(dev)?;
        let checked = check_readable(sb.features());
        let whole = if dev.size() < sb.size() { Err(Detail::Short) } else { Ok(()) };
        checked.and(whole).map_err(|why| Error::from(why).op(OP).at(dev.name()))?;
        Ok(Self { blocks: Blocks::new(dev, sb.geometry().clone()), sb })
    }

    /// Its superblock.
    pub fn superblock(&self) -> &Superblock {
        &self.sb
    }

    /// The bytes of the file at a path, or `None` where nothing is there. Links are followed.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for what is no file, and for too many links;
    /// [`Unsupported`](ErrorKind::Unsupported) for a file above the limit or an encrypted one;
    /// [`Corrupt`](ErrorKind::Corrupt), [`Io`](ErrorKind::Io).
    pub fn read_file(&self, path: impl AsRef<[u8]>, limit: Bytes) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(&path)? else { return Ok(None) };
        if file.size() > limit {
            let why = format!("it has {} bytes, which is too much", file.size().get());
            return Err(self.refused(ErrorKind::Unsupported, why, path.as_ref()));
        }
        file.all().map(Some)
    }

    /// The file at a path, to be read from front to back, or `None` where nothing is there.
    ///
    /// # Errors
    /// As [`read_file`](Self::read_file).
    pub fn open_file(&self, path: impl AsRef<[u8]>) -> Result<Option<Content<'_>>> {
        let path = path.as_ref();
        let Some(inode) = self.find(path)? else { return Ok(None) };
        if inode.kind() != Kind::File {
            let why = format!("it is no file but a {}", inode.kind().word());
            return Err(self.refused(ErrorKind::Invalid, why, path));
        }
        self.content(&inode).map(Some)
    }

    /// The names in the folder at a path, by their bytes, or `None` where there is no such folder.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for too many links;
    /// [`Unsupported`](ErrorKind::Unsupported) for an encrypted folder;
    /// [`Corrupt`](ErrorKind::Corrupt), [`Io`](ErrorKind::Io).
    pub fn list(&self, path: impl AsRef<[u8]>) -> Result<Option<Vec<Name>>> {
        match self.find(path)? {
            Some(inode) if inode.kind() == Kind::Folder => self.names(&inode).map(Some),
            _ => Ok(None),
        }
    }

    /// What is at a path, behind all links, or `None`.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn find(&self, path: impl AsRef<[u8]>) -> Result<Option<Inode>> {
        let path = path.as_ref();
        let (mut above, mut links) = (vec![self.inode(Ino::ROOT)?], 0u32);
        let mut todo: Vec<Vec<u8>> = backwards(path);
        while let Some(name) = todo.pop() {
            let Some(here) = above.last().filter(|here| here.kind() == Kind::Folder) else {
                return Ok(None);
            };
            match name.as_slice() {
                b"." => continue,
                b".." if above.len() > 1 => drop(above.pop()),
                b".." => {}
                name => {
                    let Some(ino) = self.lookup(here, name)? else { return Ok(None) };
                    let found = self.inode(ino)?;
                    if found.kind() != Kind::Link {
                        above.push(found);
                        continue;
                    }
                    links = links.saturating_add(1);
                    if links > LINKS_MAX {
                        return Err(self.refused(
                            ErrorKind::Invalid,
                            "too many links".into(),
                            path,
                        ));
                    }
                    let target = self.target(&found)?;
                    if target.starts_with(b"/") {
                        above.truncate(1);
                    }
                    todo.append(&mut backwards(&target));
                }
            }
        }
        Ok(above.pop())
    }

    /// An inode that is in use.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) where it is not in use or its checksum does not hold;
    /// [`Io`](ErrorKind::Io).
    pub fn inode(&self, ino: Ino) -> Result<Inode> {
        self.named(self.read_inode(ino))
    }

    fn read_inode(&self, ino: Ino) -> Result<Inode> {
        let geometry = &self.blocks.geometry;
        let (group, byte) = geometry.inode_place(ino.get());
        if ino.get() == 0 || ino.get() > geometry.inodes_count || group >= geometry.group_count() {
            return Err(Detail::NoInode(ino.get()).into());
        }
        let table = self.table(group)?.start;
        let block = self.blocks.read(table.saturating_add(byte >> geometry.block_log))?;
        let len = usize::try_from(geometry.inode_size).unwrap_or(usize::MAX);
        let at = usize::try_from(byte).unwrap_or(usize::MAX) & self.blocks.size().saturating_sub(1);
        let raw = block.get(at..).and_then(|rest| rest.get(..len));
        let raw = raw.ok_or(Detail::NoInode(ino.get()))?;
        Ok(Inode::parse(&self.sb, ino, raw)?)
    }

    /// A group's inode table.
    pub(super) fn table(&self, group: u64) -> Result<InodeTable> {
        let geometry = &self.blocks.geometry;
        let (block, byte) = geometry.desc_place(group);
        let block = self.blocks.read(block)?;
        let descriptor = Descriptor::of(&self.sb, &block, byte, group);
        let descriptor = descriptor.ok_or(Detail::Outside(geometry.blocks_count))?;
        let sum = descriptor.checksum(&self.sb);
        if sum.is_some_and(|sum| sum != descriptor.stored()) {
            return Err(Detail::Group(group).into());
        }
        let start = descriptor.inode_table();
        self.blocks.check(start, geometry.inode_table_blocks)?;
        let unused = if sum.is_some() { descriptor.itable_unused() } else { 0 };
        Ok(InodeTable { start, used: geometry.inodes_per_group.saturating_sub(unused) })
    }

    /// The content of a file.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for an encrypted one,
    /// [`Corrupt`](ErrorKind::Corrupt), [`Io`](ErrorKind::Io).
    pub fn content(&self, inode: &Inode) -> Result<Content<'_>> {
        self.named(Content::of(&self.blocks, inode))
    }

    /// The names in a folder, by their bytes.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn names(&self, folder: &Inode) -> Result<Vec<Name>> {
        let mut names = Vec::new();
        self.each_entry(folder, &mut |entry| {
            names.push(Name { name: entry.name.to_vec(), ino: entry.ino, kind: entry.kind });
            true
        })?;
        order::sort_by(&mut names, |a, b| a.name.cmp(&b.name));
        Ok(names)
    }

    pub(super) fn each_entry(
        &self,
        folder: &Inode,
        each: &mut dyn FnMut(folder::Entry<'_>) -> bool,
    ) -> Result<bool> {
        self.named(folder::each_entry(&self.blocks, folder, each))
    }

    /// The folder above one; the root is above itself.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn parent(&self, folder: &Inode) -> Result<Ino> {
        self.named(folder::parent(&self.blocks, folder))
    }

    /// The inode that a folder has under a name.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where the folder is encrypted, or has no such name
    /// but takes names for the same that differ in their bytes (`casefold`);
    /// [`Corrupt`](ErrorKind::Corrupt), [`Io`](ErrorKind::Io).
    pub fn lookup(&self, folder: &Inode, name: &[u8]) -> Result<Option<Ino>> {
        let mut found = None;
        self.each_entry(folder, &mut |entry| {
            found = (entry.name == name).then_some(entry.ino);
            found.is_none()
        })?;
        if found.is_none() && folder.has(flag::CASEFOLD) {
            return self.named(Err(Detail::Feature(folder.ino().get(), "casefold").into()));
        }
        Ok(found)
    }

    /// A link's target.
    ///
    /// # Errors
    /// As [`content`](Self::content).
    pub fn target(&self, link: &Inode) -> Result<Vec<u8>> {
        let size = link.size().get();
        let wrong = size == 0 || size > TARGET_MAX;
        if link.kind() != Kind::Link || wrong {
            return self.named(Err(link.wrong("is no link that can be read").into()));
        }
        // What fits the inode is in it and neither mapped nor marked.
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        let marked = [flag::EXTENTS, flag::INLINE_DATA, flag::ENCRYPT].map(|flag| link.has(flag));
        match link.i_block().get(..len) {
            Some(target) if len < link.i_block().len() && marked == [false; 3] => {
                Ok(target.to_vec())
            }
            _ => self.content(link)?.all(),
        }
    }

    /// The attributes of what has that inode. Access control lists are given as they are stored.
    ///
    /// # Errors
    /// As [`content`](Self::content).
    pub fn xattrs(&self, inode: &Inode) -> Result<Xattrs> {
        self.named(xattr::all(self, inode))
    }

    fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.op(OP).at(self.blocks.dev.name()))
    }

    fn refused(&self, kind: ErrorKind, why: String, path: &[u8]) -> Error {
        let path = String::from_utf8_lossy(path);
        Error::new(kind, why).op(OP).at(format_args!("{}, {path}", self.blocks.dev.name()))
    }
}

/// Where a group's inodes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InodeTable {
    /// Its first block.
    pub(super) start: u64,
    /// So many inodes at its begin may be in use; those behind have never been.
    pub(super) used: u32,
}

/// A path's names, the first one last.
fn backwards(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
    names.rev().map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests;
