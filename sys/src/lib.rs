//! Everything unsafe that imgbase does, behind safe functions.
//!
//! The root crate forbids `unsafe`; whoever audits it needs to read this
//! crate alone. It knows nothing of volumes or layers: each module is one
//! kernel interface, its numbers and its quirks.
//!
//! - [`dm`]: the device-mapper ioctls that carry a udev cookie or that the
//!   devicemapper crate cannot express.
//! - [`cookie`]: the System V semaphore by which udev says that it is done.
//! - [`hold`]: what must hold between a suspend and a resume of the disk that
//!   this program itself runs from.
//! - [`block`]: ioctls of block devices, and reading them. [`cache`]: what the page cache has of a file.
//! - [`signals`]: those that ask the program to end.
//! - [`mount`]: mounts that are attached nowhere. [`grow`]: growing what is mounted.
//! - [`journal`]: emptying a file system's journal.
//! - `small` (the feature `small`): for the static binary alone, in the place of parts of libc.
//! - `liblvm` (a feature): lvm2's command library, for the program `imgbase-liblvm`.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod block;
pub mod cache;
pub mod cookie;
pub mod dm;
pub mod grow;
pub mod hold;
pub mod journal;
#[cfg(feature = "liblvm")]
pub mod liblvm;
pub mod mount;
pub mod signals;
#[cfg(feature = "small")]
mod small;

#[cfg(all(feature = "small", feature = "liblvm"))]
compile_error!(
    "the feature `small` is for the static binary, into which lvm2's library is not linked"
);

use std::io;

/// A system call's result: -1 becomes `errno`.
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
