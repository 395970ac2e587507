//! Inodes, each of a basic or an extended form.
//!
//! All begin with u16 the form, u16 mode, u16 user, u16 group (places among the ids), u32 mtime, u32
//! number.

use std::io;

use super::metadata::Place;
use super::reader::{Fields, State};
use super::{Image, damaged};
use crate::tree::{Kind, Meta};
use crate::units::Bytes;

/// The kernel's limit for a link's target.
const TARGET_MAX: u32 = 4095;
/// What stands for no number of a fragment or of attributes.
const NONE: u32 = u32::MAX;
/// An extended form's number is a basic one's and this.
const EXTENDED: u16 = 7;

#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub(super) meta: Meta,
    /// The number of its attributes.
    pub(super) xattrs: Option<u32>,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    /// Where its entries are, and how many bytes they have.
    Folder(Place, u32),
    File(Blocks),
    /// Where it leads.
    Link(Vec<u8>),
    Other,
}

/// Where a file's content is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// The first block's; the others follow.
    pub(super) start: u64,
    /// Where the lengths of the blocks are.
    pub(super) lengths: Place,
    /// The block that has its end, with those of other files, and the place in there.
    pub(super) fragment: Option<(u32, u32)>,
}

/// Reads the one that is referred to so.
pub(super) fn read(state: &mut State, image: &Image, reference: u64) -> io::Result<Inode> {
    let mut fields = state.fields(image, Place::of(reference, image.sb.inode_table));
    let form = fields.u16()?;
    let extended = form > EXTENDED;
    let kind = match form.wrapping_sub(if extended { EXTENDED } else { 0 }) {
        1 => Kind::Folder,
        2 => Kind::File,
        3 => Kind::Link,
        4 => Kind::BlockDevice,
        5 => Kind::CharDevice,
        6 => Kind::Pipe,
        7 => Kind::Socket,
        _ => return Err(damaged("an inode is of no known form")),
    };
    let mode = u32::from(fields.u16()?) & 0o7777;
    let (user, group) = (fields.u16()?, fields.u16()?);
    let id = |place: u16| {
        let id = image.ids.get(usize::from(place)).copied();
        id.ok_or_else(|| damaged("an inode is of a user or a group that is not there"))
    };
    let (uid, gid) = (id(user)?, id(group)?);
    let mtime = (i64::from(fields.u32()?), 0);
    let ino = u64::from(fields.u32()?);
    let meta = Meta { mode, uid, gid, mtime, ctime: mtime, ino, ..Meta::blank(kind) };
    let mut inode = Inode { meta, xattrs: None, body: Body::Other };
    inode.rest(&mut fields, image, extended)?;
    Ok(inode)
}

impl Inode {
    fn rest(&mut self, fields: &mut Fields<'_>, image: &Image, extended: bool) -> io::Result<()> {
        match (self.meta.kind, extended) {
            (Kind::Folder, false) => {
                let block = fields.u32()?;
                self.meta.links = fields.u32()?.into();
                let (size, offset) = (fields.u16()?, fields.u16()?);
                self.folder(image, block, size.into(), offset);
            }
            (Kind::Folder, true) => {
                self.meta.links = fields.u32()?.into();
                let (size, block, _parent) = (fields.u32()?, fields.u32()?, fields.u32()?);
                let (_indexes, offset) = (fields.u16()?, fields.u16()?);
                self.xattrs(fields, true)?;
                self.folder(image, block, size, offset);
            }
            (Kind::File, false) => {
                let start = fields.u32()?.into();
                let fragment = (fields.u32()?, fields.u32()?);
                self.meta.size = Bytes::new(fields.u32()?.into());
                self.meta.held = self.meta.size;
                self.file(fields, start, fragment);
            }
            (Kind::File, true) => {
                let start = fields.u64()?;
                self.meta.size = Bytes::new(fields.u64()?);
                self.meta.held = self.meta.size.saturating_sub(Bytes::new(fields.u64()?));
                self.meta.links = fields.u32()?.into();
                let fragment = (fields.u32()?, fields.u32()?);
                self.xattrs(fields, true)?;
                self.file(fields, start, fragment);
            }
            (Kind::Link, _) => {
                self.meta.links = fields.u32()?.into();
                let len = fields.u32()?;
                if len == 0 || len > TARGET_MAX {
                    return Err(damaged("a link leads to what is no path"));
                }
                let target = fields.bytes(usize::try_from(len).unwrap_or(0))?;
                if target.contains(&0) {
                    return Err(damaged("a link leads to what is no path"));
                }
                self.meta.size = Bytes::new(len.into());
                self.body = Body::Link(target);
                self.xattrs(fields, extended)?;
            }
            (kind, _) => {
                self.meta.links = fields.u32()?.into();
                if kind.is_device() {
                    self.meta.rdev = device_number(fields.u32()?);
                }
                self.xattrs(fields, extended)?;
            }
        }
        Ok(())
    }

    fn folder(&mut self, image: &Image, block: u32, size: u32, offset: u16) {
        let block = image.sb.directory_table.saturating_add(block.into());
        self.meta.size = Bytes::new(size.into());
        self.body = Body::Folder(Place { block, offset: offset.into() }, size);
    }

    fn file(&mut self, fields: &Fields<'_>, start: u64, (fragment, offset): (u32, u32)) {
        let fragment = (fragment != NONE).then_some((fragment, offset));
        self.body = Body::File(Blocks { start, lengths: fields.at, fragment });
    }

    fn xattrs(&mut self, fields: &mut Fields<'_>, are_there: bool) -> io::Result<()> {
        if are_there {
            self.xattrs = Some(fields.u32()?).filter(|number| *number != NONE);
        }
        Ok(())
    }
}

/// As the kernel's `new_decode_dev` takes it apart.
const fn device_number(rdev: u32) -> (u32, u32) {
    ((rdev & 0xfff00) >> 8, (rdev & 0xff) | ((rdev >> 12) & 0xfff00))
}
