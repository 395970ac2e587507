//! From an image to a volume, and back: what sort of image it is (told by its content, never by its name),
//! what it will need, and the copy itself.
//!
//! [`Source`] is an image that was looked at: on a device or in a file, where it can be read in any
//! order, or on a stream, where it cannot. [`Source::copy_to`] writes it to a fresh thin volume so
//! that as little of the volume as possible is mapped: holes are not read, blocks that a trusted
//! bitmap calls free are not read either, and chunks of zeros are not written.
//! [`Export`] is a volume that goes into a file, with as little.

mod copy;
mod export;
mod extents;
mod feed;
mod filesystem;
mod holes;
mod magic;
#[cfg(feature = "pack")]
pub mod oci;
mod open;
mod partitions;
mod qcow2;
mod qcow2_new;
mod signed;
mod sink;
mod source;
mod tails;

#[cfg(test)]
mod tests;

pub use copy::{Control, Copied, Progress};
pub use export::{Export, TellRead};
pub use filesystem::{FileSystem, Needs};
#[cfg(feature = "host")]
pub use holes::FileHoles;
pub use holes::{Holes, NoHoles};
pub use magic::seems_to_be;
pub use minisign_verify::PublicKey;
pub use open::{ISO, Image, ImageFile, ImageStream, SQUASHFS};
pub use partitions::Partition;
pub use signed::{Signed, public_key};
pub use sink::Target;
pub use source::{CopyPlan, Plan, Source, SpaceNeed};
pub use tails::Tails;
