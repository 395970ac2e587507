//! Folders: blocks full of entries, which a tree of hashes may lead to.
//!
//! An entry is a u32 inode (0: none), u16 its length, u8 the name's length, u8 what it is (with the
//! feature FILETYPE), the name. The tree's own nodes look like one entry without an inode that
//! fills the block, so that a folder can be read from front to back whether it has a tree or not.
//! With `metadata_csum` a block of entries ends with an entry that has no inode, twelve bytes, and
//! a crc32c in place of a name; a node of the tree has its crc32c behind the room for its entries.

use super::blocks::{Block, Blocks};
use super::checksum::crc32c;
use super::detail::Detail;
use super::features::{compat, incompat, ro_compat};
use super::fields::Fields;
use super::inode::{Ino, Inode, flag};
use super::map::runs;
use super::xattr;
use crate::error::Result;
use crate::tree::Kind;

/// Of an entry without its name, and of the last one with the checksum.
const ENTRY: usize = 8;
const TAIL: usize = 12;
/// How an entry with the checksum begins: no inode, twelve bytes, no name, type 0xDE.
const TAIL_HEAD: [u8; 8] = [0, 0, 0, 0, 12, 0, 0, 0xDE];

/// An entry of a folder; never `.` or `..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'b> {
    pub(super) ino: Ino,
    pub(super) name: &'b [u8],
    /// What the folder says that it is; `None` where folders do not say it.
    pub(super) kind: Option<Kind>,
}

/// Calls `each` with every entry until it says to stop (`false`); true where it never did.
pub(super) fn each_entry(
    blocks: &Blocks<'_>,
    folder: &Inode,
    each: &mut dyn FnMut(Entry<'_>) -> bool,
) -> Result<bool> {
    let reader = Reader { blocks, folder };
    reader.check()?;
    if folder.has(flag::INLINE_DATA) {
        let content = xattr::inline_content(folder)?;
        // The first four bytes are the folder above; they stand for `.` and `..`.
        return Ok(reader.entries(content.get(4..).unwrap_or_default(), each)?);
    }
    for run in runs(blocks, folder)? {
        for index in 0..run.len {
            let block = blocks.read(run.start.saturating_add(index))?;
            reader.check_block(&block, run.logical.saturating_add(index))?;
            if !reader.entries(&block, each)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The folder above; the root is above itself.
pub(super) fn parent(blocks: &Blocks<'_>, folder: &Inode) -> Result<Ino> {
    let reader = Reader { blocks, folder };
    reader.check()?;
    if folder.has(flag::INLINE_DATA) {
        return Ok(Ino::new(Fields(&folder.i_block()).le32(0)));
    }
    let runs = runs(blocks, folder)?;
    let first = runs.first().filter(|run| run.logical == 0);
    let first = first.ok_or(folder.wrong("is a folder without a first block"))?;
    let block = blocks.read(first.start)?;
    reader.check_block(&block, 0)?;
    let (dot, rest) = reader.take(&block)?;
    let (above, _) = reader.take(rest)?;
    if dot.name == b"." && above.name == b".." {
        Ok(above.ino)
    } else {
        Err(folder.wrong("is a folder that does not begin with . and ..").into())
    }
}

struct Reader<'r, 'd> {
    blocks: &'r Blocks<'d>,
    folder: &'r Inode,
}

impl Reader<'_, '_> {
    fn check(&self) -> Result<(), Detail> {
        if self.folder.kind() != Kind::Folder {
            Err(self.folder.wrong("is no folder"))
        } else if self.folder.has(flag::ENCRYPT) {
            Err(Detail::Feature(self.folder.ino().get(), "encrypt"))
        } else {
            Ok(())
        }
    }

    /// Fails where the block has a checksum that does not hold.
    fn check_block(&self, block: &Block, index: u64) -> Result<(), Detail> {
        if !self.blocks.geometry.features.ro_compat(ro_compat::METADATA_CSUM) {
            return Ok(());
        }
        let holds = if self.is_node(block, index) {
            self.node_holds(block)
        } else {
            self.entries_hold(block)
        };
        let why = "is a folder with a wrong checksum in a block";
        if holds { Ok(()) } else { Err(self.folder.wrong(why)) }
    }

    /// Whether a block is one of the tree's nodes: the first one, and those with a single entry.
    fn is_node(&self, block: &Block, index: u64) -> bool {
        let hashed = self.blocks.geometry.features.compat(compat::DIR_INDEX);
        let whole = self.length(Fields(block).le16(4)) == self.blocks.size();
        hashed && self.folder.has(flag::INDEX) && (index == 0 || whole)
    }

    fn entries_hold(&self, block: &Block) -> bool {
        let (covered, tail) = block.split_at(block.len().saturating_sub(TAIL));
        let sum = crc32c(self.folder.seed(), covered).to_le_bytes();
        tail.starts_with(&TAIL_HEAD) && tail.ends_with(&sum)
    }

    /// A node has a header, in the root behind `.` and `..` and eight bytes about the tree, else
    /// behind the entry that fills the block: u16 room for entries, u16 entries. The header counts
    /// as one of them. The checksum has four bytes before it that it covers, and covers itself as
    /// zeros.
    fn node_holds(&self, block: &Block) -> bool {
        let is_root = self.length(Fields(block).le16(4)) == 12;
        let header = if is_root { 32usize } else { 8 };
        let (room, entries) =
            (Fields(block).le16(header), Fields(block).le16(header.saturating_add(2)));
        let behind = |count: u16| header.saturating_add(usize::from(count).saturating_mul(8));
        let covered = block.get(..behind(entries));
        let tail = block.get(behind(room)..).and_then(<[u8]>::first_chunk::<8>);
        let (Some(covered), Some([a, b, c, d, sum @ ..])) = (covered, tail) else { return false };
        let seed = crc32c(self.folder.seed(), covered);
        crc32c(crc32c(seed, &[*a, *b, *c, *d]), &[0; 4]) == u32::from_le_bytes(*sum)
    }

    /// Gives the entries of a block; false where `each` has said to stop.
    fn entries(
        &self,
        mut bytes: &[u8],
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<bool, Detail> {
        while !bytes.is_empty() {
            let (entry, rest) = self.take(bytes)?;
            bytes = rest;
            if entry.ino.get() == 0 || entry.name == b"." || entry.name == b".." {
                continue;
            }
            if entry.name.is_empty() || entry.name.iter().any(|&byte| byte == b'/' || byte == 0) {
                return Err(self.folder.wrong("is a folder with an entry of an impossible name"));
            }
            if !each(entry) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The entry that these bytes begin with, whatever it is, and what is behind it.
    fn take<'b>(&self, bytes: &'b [u8]) -> Result<(Entry<'b>, &'b [u8]), Detail> {
        let wrong = || self.folder.wrong("is a folder with an entry that does not fit");
        let head = bytes.first_chunk::<ENTRY>().ok_or_else(wrong)?;
        let fields = Fields(head);
        let (len, name_len) = (self.length(fields.le16(4)), usize::from(fields.u8(6)));
        let name_end = ENTRY.saturating_add(name_len);
        if len < name_end.max(12) || len % 4 != 0 {
            return Err(wrong());
        }
        let (entry, rest) = bytes.split_at_checked(len).ok_or_else(wrong)?;
        let name = entry.get(ENTRY..name_end).unwrap_or_default();
        let typed = self.blocks.geometry.features.incompat(incompat::FILETYPE);
        let kind = if typed { kind_of(fields.u8(7)) } else { None };
        Ok((Entry { ino: Ino::new(fields.le32(0)), name, kind }, rest))
    }

    /// The length of an entry. In blocks of 64 KiB one of a whole block does not fit 16 bits.
    fn length(&self, rec_len: u16) -> usize {
        match rec_len {
            0 | u16::MAX if self.blocks.size() > usize::from(u16::MAX) => self.blocks.size(),
            len => len.into(),
        }
    }
}

/// `file_type`; 0 is unknown.
fn kind_of(file_type: u8) -> Option<Kind> {
    Some(match file_type {
        1 => Kind::File,
        2 => Kind::Folder,
        3 => Kind::CharDevice,
        4 => Kind::BlockDevice,
        5 => Kind::Pipe,
        6 => Kind::Socket,
        7 => Kind::Link,
        _ => return None,
    })
}
