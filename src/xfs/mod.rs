//! XFS as far as a base image needs it: is it one, how large, whose UUID, and does its log hold
//! changes that are not in place.
//!
//! Numbers on disk are big-endian but for checksums. Fields keep the kernel's names; facts about
//! the layout are from the "XFS Algorithms & Data Structures" document of the XFS project.

mod log;
mod superblock;

pub use superblock::{LogState, Superblock};
