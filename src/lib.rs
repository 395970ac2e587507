//! Base images and writable layers in an LVM thin pool, without lvm2.
//!
//! Programs start at [`ops::Imgbase`]: one method a verb, over a
//! [`machine::Machine`], which [`host`] (feature `host`) makes of the real one.
//!
//! The layers of this library, each using only what stands above it in this
//! list:
//!
//! 1. [`units`], [`name`], [`error`], [`dev`]: values, and a block device.
//! 2. [`lvm2`] reads and writes LVM2's metadata; [`ext4`], [`xfs`],
//!    [`signature`] know what stands on a disk; [`tree`] is a file tree, `archive` (feature `pack`)
//!    makes one of a tar.
//! 3. [`dm`] knows device-mapper's tables and the thin pool's protocol,
//!    [`image`] copies an image to a volume, [`layout`] knows what our names
//!    and tags mean, [`root`] what a layer's tree says of its start.
//! 4. [`machine`]: the seams to the real machine; [`diff`] compares trees,
//!    [`report`] holds results as values.
//! 5. [`ops`]: the verbs.
//! 6. [`host`]: the real machine, [`dry`]: one that changes nothing.
//!
//! Without default features everything but [`host`] builds, on any host and
//! without C headers.
#![forbid(unsafe_code)]

#[cfg(feature = "pack")]
pub mod archive;
pub mod boot;
pub mod dev;
pub mod diff;
pub mod digest;
pub mod dm;
pub mod dry;
pub mod error;
pub mod etc;
pub mod ext4;
pub mod first;
#[cfg(feature = "host")]
pub mod host;
pub mod image;
pub mod layout;
pub mod lvm2;
pub mod machine;
pub mod name;
pub mod ops;
mod order;
#[cfg(feature = "pack")]
pub mod pack;
mod queue;
pub mod report;
pub mod root;
pub mod signature;
#[cfg(feature = "pack")]
pub mod squashfs;
pub mod tree;
pub mod units;
pub mod xfs;

pub use error::{Error, ErrorKind, Result};

/// The README's example is compiled with the documentation's.
#[cfg(all(doctest, feature = "host"))]
#[doc = include_str!("../README.md")]
struct Readme;
