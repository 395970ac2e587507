//! ext2, ext3 and ext4: is it one, is it whole and clean, which blocks does it use, how does it get
//! another UUID; and its folders and files ([`Tree`]).
//!
//! Nothing is ever written but a UUID, and another text in a file's own blocks. Fields keep the names that the
//! kernel's `fs/ext4/ext4.h` gives them; facts about the layout are from the
//! kernel's documentation (`Documentation/filesystems/ext4`).

mod blocks;
pub(crate) mod checksum;
mod content;
mod detail;
mod extents;
pub(crate) mod fields;
mod folder;
mod geometry;
mod group;
mod indirect;
mod inode;
mod map;
mod pair;
mod plain;
mod rewrite;
mod superblock;
mod tree;
mod used;
mod uuid;
mod xattr;

/// Feature bits, named as in the kernel's header without their prefixes.
pub mod features;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use content::Content;
pub use geometry::Geometry;
pub use inode::{Ino, Inode};
pub use pair::{Apart, Pair, View};
pub use plain::{Entered, Plain};
pub use rewrite::rewrite;
pub use superblock::{State, Superblock};
pub use tree::{Name, Tree};
pub use used::{Distrust, Extent, UsedExtents, free_extents, used_extents};
pub use uuid::{FsUuid, check_for_layers, mark_replayed, seal_for_layers, set_uuid, set_uuid_of};
