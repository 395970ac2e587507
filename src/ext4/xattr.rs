//! Extended attributes: behind an inode's fields, in a block of their own, in inodes of their own.
//!
//! A list of attributes begins behind the magic number 0xEA020000 (in the inode), or behind a
//! header of 32 bytes (in a block), and ends with four zero bytes. An attribute is u8 the name's
//! length, u8 a number for how the name begins, u16 where the value begins (counted from the list
//! in the inode, from the block's begin else), u32 the inode that holds it instead, u32 its length,
//! u32 a hash, the rest of the name; filled up to a multiple of four.

use super::blocks::Blocks;
use super::checksum::crc32c;
use super::features::ro_compat;
use super::fields::Fields;
use super::inode::{Ino, Inode, flag};
use super::tree::Tree;
use crate::error::Result;
use crate::tree::Xattrs;

const MAGIC: u32 = 0xEA02_0000;
/// Of an attribute without its name, and of a block's header.
const ENTRY: usize = 16;
const HEADER: usize = 32;
/// Where a block's checksum lies.
const H_CHECKSUM: usize = 16;
/// The kernel's limit for a value: 64 KiB.
const VALUE_MAX: u32 = 64 << 10;
/// Of `system.data`, what an inode holds of a file beyond `i_block`.
const INDEX_SYSTEM: u8 = 7;

struct Attribute<'b> {
    index: u8,
    name: &'b [u8],
    value: Value<'b>,
}

enum Value<'b> {
    Here(&'b [u8]),
    In(Ino, u32),
}

/// All attributes that the kernel would tell of. Access control lists are given as they are
/// stored, which is not how the kernel shows them.
pub(super) fn all(tree: &Tree<'_>, inode: &Inode) -> Result<Xattrs> {
    let mut found = Xattrs::new();
    if let Some(list) = list_in(inode) {
        take(tree, inode, (list, list), &mut found)?;
    }
    let number = inode.attribute_block(tree.superblock());
    if number != 0 {
        let block = tree.blocks.read(number)?;
        check_block(tree, inode, number, &block)?;
        take(tree, inode, (block.get(HEADER..).unwrap_or_default(), &block), &mut found)?;
    }
    Ok(found)
}

/// The content of a file or folder whose inode holds all of it: `i_block`, then `system.data`.
pub(super) fn inline_content(inode: &Inode) -> Result<Vec<u8>> {
    let mut content = inode.i_block().to_vec();
    let list = list_in(inode).unwrap_or_default();
    for attribute in attributes(inode, list, list) {
        let Attribute { index, name, value } = attribute?;
        match value {
            Value::Here(value) if index == INDEX_SYSTEM && name == b"data" => {
                content.extend_from_slice(value);
            }
            _ => {}
        }
    }
    Ok(content)
}

/// The list of attributes in an inode.
fn list_in(inode: &Inode) -> Option<&[u8]> {
    let (magic, list) = inode.attribute_room().split_first_chunk()?;
    (*magic == MAGIC.to_le_bytes()).then_some(list)
}

fn take(
    tree: &Tree<'_>,
    inode: &Inode,
    (list, values): (&[u8], &[u8]),
    found: &mut Xattrs,
) -> Result<()> {
    for attribute in attributes(inode, list, values) {
        let Attribute { index, name, value } = attribute?;
        let Some(prefix) = prefix(index) else { continue };
        let value = match value {
            Value::Here(value) => value.to_vec(),
            Value::In(ino, len) => held(tree, inode, ino, len)?,
        };
        // The kernel looks into the inode first.
        found.entry([prefix, name].concat()).or_insert(value);
    }
    Ok(())
}

/// Each attribute of a list whose values lie in `values`. It ends after an error.
fn attributes<'b>(
    inode: &Inode,
    list: &'b [u8],
    values: &'b [u8],
) -> impl Iterator<Item = Result<Attribute<'b>>> {
    let wrong = inode.wrong("has attributes that do not fit");
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest.take()?;
        if list.first_chunk().is_none_or(|end: &[u8; 4]| *end == [0; 4]) {
            return None;
        }
        let parsed = attribute(list, values);
        rest = parsed.as_ref().map(|(_, behind)| *behind);
        Some(parsed.map(|(attribute, _)| attribute).ok_or_else(|| wrong.into()))
    })
}

/// The attribute that a list begins with, and what is behind it.
fn attribute<'b>(list: &'b [u8], values: &'b [u8]) -> Option<(Attribute<'b>, &'b [u8])> {
    let fields = Fields(list.get(..ENTRY)?);
    let name_end = ENTRY.saturating_add(fields.u8(0).into());
    let name = list.get(ENTRY..name_end)?;
    let (inode, len) = (fields.le32(4), fields.le32(8));
    let value = if inode != 0 {
        Value::In(Ino::new(inode), len)
    } else {
        let start = usize::from(fields.le16(2));
        Value::Here(values.get(start..start.checked_add(usize::try_from(len).ok()?)?)?)
    };
    let behind = list.get(name_end.checked_next_multiple_of(4)?..).unwrap_or_default();
    Some((Attribute { index: fields.u8(1), name, value }, behind))
}

/// A value that has an inode of its own.
fn held(tree: &Tree<'_>, inode: &Inode, ino: Ino, len: u32) -> Result<Vec<u8>> {
    let holder = tree.inode(ino)?;
    let fits = holder.size().get() == u64::from(len) && len <= VALUE_MAX;
    if !holder.has(flag::EA_INODE) || !fits {
        return Err(inode.wrong("has an attribute in an inode that is not for it").into());
    }
    tree.content(&holder)?.all()
}

fn check_block(tree: &Tree<'_>, inode: &Inode, number: u64, block: &[u8]) -> Result<()> {
    let blocks: &Blocks<'_> = &tree.blocks;
    let fields = Fields(block);
    // `h_blocks`: more than one was never used.
    if fields.le32(0) != MAGIC || fields.le32(8) != 1 {
        return Err(inode.wrong("has a block of attributes that is none").into());
    }
    if blocks.geometry.features.ro_compat(ro_compat::METADATA_CSUM) {
        let (before, rest) = block.split_at(H_CHECKSUM);
        let after = rest.get(4..).unwrap_or_default();
        let seed = crc32c(tree.superblock().seed(), &number.to_le_bytes());
        let sum = crc32c(crc32c(crc32c(seed, before), &[0; 4]), after);
        if fields.le32(H_CHECKSUM) != sum {
            return Err(inode.wrong("has a block of attributes with a wrong checksum").into());
        }
    }
    Ok(())
}

/// How names of that number begin, of those that the kernel shows.
fn prefix(index: u8) -> Option<&'static [u8]> {
    Some(match index {
        1 => b"user.",
        2 => b"system.posix_acl_access",
        3 => b"system.posix_acl_default",
        4 => b"trusted.",
        6 => b"security.",
        _ => return None,
    })
}
