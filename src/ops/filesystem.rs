//! What the verbs do to file systems: recognise, make ready for layers, give
//! a UUID of its own.

use std::ffi::OsStr;
use std::path::Path;

use crate::dev::Dev;
use crate::error::{Error, ErrorKind, Result};
use crate::ext4;
use crate::image::{FsKind, Plan};
use crate::machine::{Machine, Tool};
use crate::units::Bytes;
use crate::xfs;

/// The file system on a device.
pub(super) fn kind(device: &dyn Dev) -> Result<FsKind> {
    if ext4::Superblock::read(device)?.is_some() {
        return Ok(FsKind::Ext4);
    }
    if xfs::Superblock::read(device)?.is_some() {
        return Ok(FsKind::Xfs);
    }
    let why = "it holds no file system that is known here (ext4, XFS)";
    Err(Error::new(ErrorKind::Unsupported, why).at(device.name()))
}

/// Fails early where the programs that this file system needs are missing.
pub(super) fn require_tools(machine: &Machine<'_>, kind: FsKind) -> Result<()> {
    match kind {
        FsKind::Ext4 => Ok(()),
        FsKind::Xfs => machine.tools.require(Tool::XfsAdmin),
    }
}
