//! ext2, ext3 and ext4 as far as a base image needs them: is it one, is it
//! whole and clean, which blocks does it use, and how does it get another UUID.
//!
//! Nothing here reads directories or files. Fields keep the names that the
//! kernel's `fs/ext4/ext4.h` gives them; facts about the layout are from the
//! kernel's documentation (`Documentation/filesystems/ext4`).

mod checksum;
pub(crate) mod fields;
mod geometry;
mod group;
mod superblock;
mod used;
mod uuid;

/// Feature bits, named as in the kernel's header without their prefixes.
pub mod features;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use geometry::Geometry;
pub use superblock::{State, Superblock};
pub use used::{Distrust, Extent, UsedExtents, free_extents, used_extents};
pub use uuid::{FsUuid, check_for_layers, seal_for_layers, set_uuid, set_uuid_of};
