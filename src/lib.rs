//! Base images and writable layers in an LVM thin pool, without lvm2.
//!
//! The layers of this library, each using only what stands above it in this
//! list:
//!
//! 1. [`units`], [`name`], [`error`], [`dev`]: values, and a block device.
//! 2. [`lvm2`] reads and writes LVM2's metadata, [`dm`] knows device-mapper's
//!    tables and the thin pool's protocol.
//! 3. [`machine`]: the seams to the real machine.
//! 4. [`layout`]: what our names and tags mean.
//! 5. [`ops`]: the verbs, [`report`]: their results as values.
#![forbid(unsafe_code)]

pub mod dev;
pub mod diff;
pub mod dm;
pub mod dry;
pub mod error;
pub mod ext4;
#[cfg(feature = "host")]
pub mod host;
pub mod image;
pub mod layout;
pub mod lvm2;
pub mod machine;
pub mod name;
pub mod ops;
pub mod report;
pub mod signature;
pub mod tree;
pub mod units;
pub mod xfs;

pub use error::{Error, ErrorKind, Result};
