//! Mounts that nobody else sees: attached to no folder, gone with this process.

use std::path::Path;

use imgbase_sys::grow;
use imgbase_sys::mount::{DetachedMount, Source};

use crate::error::{IoContext, Result};
use crate::ext4;
use crate::host::disks::FileDev;
use crate::units::Bytes;
use crate::xfs;

pub(in crate::host) fn mount(source: Source<'_>) -> Result<DetachedMount> {
    let device = source.device;
    mount_called(source).map_err(|error| error.at(device.display()))
}

/// The same; what to call it in an error is for the caller to say.
pub(super) fn mount_called(source: Source<'_>) -> Result<DetachedMount> {
    log::debug!("mount {} privately, {source:?}", source.device.display());
    DetachedMount::new(source).map_err(|failure| {
        let said = failure.said.clone();
        let error = super::failure(failure.source, source.fs_type);
        let error = if said.is_empty() { error } else { error.kept(format!("it said: {said}")) };
        error.op("mount privately")
    })
}

/// Replays the journal by mounting, and grows.
pub(in crate::host) fn mount_once(
    device: &Path,
    fs_type: &str,
    grow_to: Option<Bytes>,
) -> Result<()> {
    // An XFS whose UUID another mounted one has must be mounted without that check.
    let options = if fs_type == "xfs" { "nouuid" } else { "" };
    let source = Source { fs_type, device, read_only: false, view_only: false, options };
    let mounted = mount(source)?;
    let Some(size) = grow_to else { return Ok(()) };
    let dev = FileDev::open(device)?;
    let root = mounted.path();
    let grown = if fs_type == "xfs" {
        let block = xfs::Superblock::read(&dev)?.block_size();
        grow::xfs(&root, blocks(size, block))
    } else {
        let block = ext4::Superblock::read(&dev)?.geometry().block_size();
        grow::ext4(&root, blocks(size, block))
    };
    grown.context("grow the file system", device.display())
}

/// Whole blocks in a size.
fn blocks(size: Bytes, block: Bytes) -> u64 {
    size.get().checked_div(block.get()).unwrap_or(0)
}

/// Shows a file system to `look`, read-only.
pub(in crate::host) fn look_into(
    device: &Path,
    fs_type: &str,
    mounted: bool,
    look: &mut dyn FnMut(&Path) -> Result<()>,
) -> Result<()> {
    let options = if fs_type == "xfs" && !mounted { "nouuid" } else { "" };
    let source = Source { fs_type, device, read_only: !mounted, view_only: true, options };
    let mount = mount(source)?;
    look(&mount.path())
}

/// Shows a file system that nobody has mounted to `change`, to be written to. What was written is on
/// the device when this returns, or it fails: the end of a mount would not tell (`syncfs` tells of
/// data that was lost since Linux 5.8).
pub(in crate::host) fn change_in(
    device: &Path,
    fs_type: &str,
    change: &mut dyn FnMut(&Path) -> Result<()>,
) -> Result<()> {
    // Inode tables that are not mapped read as zeros, and need not be written by the kernel.
    let options = match fs_type {
        "xfs" => "nouuid",
        "ext4" => "noinit_itable",
        _ => "",
    };
    let source = Source { fs_type, device, read_only: false, view_only: false, options };
    let mount = mount(source)?;
    change(&mount.path())?;
    let root = std::fs::File::open(mount.path()).context("open the tree", device.display())?;
    let synced = rustix::fs::syncfs(&root).map_err(std::io::Error::from);
    synced.context("write what was changed", device.display())
}
