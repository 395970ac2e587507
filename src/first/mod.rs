//! What the first process of a machine decides: what the kernel's command line asks of it, which
//! kernel events tell of a disk, which modules to load in which order, and what it starts in the
//! end. And the archive that it comes in.
//!
//! Pure: files, sockets and mounts are the business of [`host`](crate::host).

pub mod cmdline;
pub mod cpio;
pub mod modules;
pub mod program;
pub mod request;
pub mod uevent;
