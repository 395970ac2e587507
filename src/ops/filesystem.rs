//! What the verbs do to file systems: make them ready for layers, give each
//! layer a UUID of its own.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Watch;
use crate::dev::Dev;
use crate::dev::gather::Gathered;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::ext4::{self, FsUuid, Tree};
use crate::image::{FileSystem, Needs};
use crate::lvm2::Vg;
use crate::machine::{Machine, Tool};
use crate::name::{DmName, LvName};
use crate::root::{self, RootFiles};
use crate::units::Bytes;

/// The file system on a volume of ours.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where it is none that is known here.
pub(super) fn read(device: &dyn Dev) -> Result<FileSystem> {
    FileSystem::read(device).map_err(unknown)
}

/// The error of a volume of ours on which there is no file system that is looked for: nobody has
/// named it.
pub(super) fn unknown(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Invalid => error.with_kind(ErrorKind::Unsupported),
        _ => error,
    }
}

/// Options that a layer is mounted with: what is deleted in it goes back to the pool. Inode tables
/// that are not mapped read as zeros already: writing zeros there, as the kernel does in the
/// background, would only take space from it.
pub(super) fn layer_options(file_system: &FileSystem) -> &'static str {
    match file_system {
        FileSystem::Ext4(_) => "discard,noinit_itable",
        FileSystem::Xfs(_) => "discard",
    }
}

/// Fails early where the programs that this file system needs are missing.
pub(super) fn require_tools(machine: &Machine<'_>, file_system: &FileSystem) -> Result<()> {
    match file_system {
        FileSystem::Ext4(_) => Ok(()),
        FileSystem::Xfs(_) => machine.tools.require(Tool::XfsAdmin),
    }
}

/// Makes an ext4 of so many files for a tree that is to be a base, so that a layer's UUID costs no more than its
/// superblock; what reads as zeros already is not written.
pub(super) fn make_ext4(machine: &Machine<'_>, node: &Path, inodes: u64) -> Result<()> {
    const FEATURES: &str = "metadata_csum,metadata_csum_seed,dir_index";
    const LAZY: &str = "lazy_itable_init=1,lazy_journal_init=1";
    let inodes = inodes.to_string();
    mke2fs(machine, &["-O", FEATURES, "-E", LAZY, "-N", &inodes], node)
        .map_err(|error| error.op("make the file system"))
}

/// Runs mke2fs.
pub(super) fn mke2fs(machine: &Machine<'_>, options: &[&str], node: &Path) -> Result<()> {
    let words = ["-q", "-F", "-t", "ext4"].iter().chain(options).map(OsStr::new);
    let args: Vec<&OsStr> = words.chain([node.as_os_str()]).collect();
    let output = machine.tools.run(Tool::Mke2fs, &args)?;
    if output.code == Some(0) {
        return Ok(());
    }
    let why = format!("mke2fs ended with {:?}: {}", output.code, output.stderr.trim());
    Err(Error::new(ErrorKind::Tool, why).at(node.display()))
}

/// What is done to a file system that was copied, so that layers can be made of it.
pub(super) struct Seal<'s> {
    /// Its device's node.
    pub(super) node: &'s Path,
    /// What the image was found to need; `None` where that shows only now.
    pub(super) needs: Option<Needs>,
    /// What to grow it to.
    pub(super) grow_to: Option<Bytes>,
}

impl Seal<'_> {
    /// Replays its journal and grows it, where need be, by one mount that nobody else sees; sets
    /// an ext4's checksum seed, so that a layer's UUID costs no more than its superblock.
    pub(super) fn apply(
        &self,
        machine: &Machine<'_>,
        device: &dyn Dev,
        watch: &mut dyn Watch,
    ) -> Result<()> {
        let file_system = read(device)?;
        let needs = match self.needs {
            Some(needs) => needs,
            None => file_system.needs(device)?,
        };
        if needs != Needs::Nothing || self.grow_to.is_some() {
            machine.mounts.mount_once(self.node, file_system.fs_type(), self.grow_to)?;
        }
        if needs == Needs::Check {
            watch.warn("the image was not unmounted cleanly or has seen errors: e2fsck it");
        }
        if let FileSystem::Ext4(_) = file_system {
            ext4::seal_for_layers(device)?;
        }
        device.sync().context("sync", device.name())
    }
}

/// What a layer's fstab names as the root: its own device.
pub(super) fn root_source(vg: &Vg, lv: &LvName) -> Result<String> {
    Ok(format!("/dev/mapper/{}", DmName::of_lv(&vg.name, lv, None)?))
}

/// Makes the file system on a fresh snapshot one of its own: a UUID, and in its fstab `root` as the
/// source of its root, where that is given. Gives the UUID; `None` where it holds none that is known
/// here.
pub(super) fn make_own(
    machine: &Machine<'_>,
    root: Option<&str>,
    (node, device): (&Path, &dyn Dev),
    chunk: Bytes,
) -> Result<Option<String>> {
    let mut together = Gathered::over(device, chunk);
    let mut file_system = match FileSystem::read(&together) {
        Ok(file_system) => file_system,
        Err(error) if error.kind() == ErrorKind::Invalid => return Ok(None),
        Err(error) => return Err(error),
    };
    if file_system.needs(&together)? == Needs::Replay {
        // A snapshot of a layer that a crash left: its journal could bring the old UUID back.
        machine.mounts.mount_once(node, file_system.fs_type(), None)?;
        together = Gathered::over(device, chunk);
        file_system = read(&together)?;
    }
    let uuid = FsUuid::random()?;
    let mut unnamed = root;
    match &file_system {
        FileSystem::Ext4(superblock) => {
            if let Some(root) = root
                && name_root_in_place(&together, root)?
            {
                unnamed = None;
            }
            ext4::set_uuid_of(&together, superblock, uuid)?;
            together.release(machine.in_order).context("write", device.name())?;
            device.sync().context("sync", device.name())?;
        }
        FileSystem::Xfs(_) => set_xfs_uuid(machine, node, device, uuid)?,
    }
    if let Some(root) = unnamed {
        name_root(machine, node, &file_system, root)?;
    }
    Ok(Some(uuid.to_string()))
}

/// Shows the tree on a volume that nobody has mounted: an ext4's as it lies on the device, else by
/// a mount that nobody else sees.
pub(super) fn with_files(
    machine: &Machine<'_>,
    node: &Path,
    device: &dyn Dev,
    with: &mut dyn FnMut(&dyn RootFiles) -> Result<()>,
) -> Result<()> {
    let file_system = read(device)?;
    if let Some(tree) = open_tree(device, &file_system)? {
        return with(&tree);
    }
    machine.mounts.with_root(node, file_system.fs_type(), false, &mut |root| with(root))
}

/// `None` where only the kernel can read it, or has it mounted for writing.
pub(super) fn open_tree<'d>(
    device: &'d dyn Dev,
    file_system: &FileSystem,
) -> Result<Option<Tree<'d>>> {
    match file_system {
        FileSystem::Ext4(superblock) if superblock.is_clean() => {}
        _ => return Ok(None),
    }
    match Tree::open(device) {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
        tree => tree.map(Some),
    }
}

/// Writes the source of `/` into an ext4's fstab, in the file's own blocks; false where that is the
/// kernel's to do, or its to tell what is wrong.
fn name_root_in_place(device: &dyn Dev, source: &str) -> Result<bool> {
    match name_root_in(device, source) {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Corrupt) => {
            log::debug!("{error}");
            Ok(false)
        }
        named => named,
    }
}

fn name_root_in(device: &dyn Dev, source: &str) -> Result<bool> {
    let tree = Tree::open(device)?;
    let table = RootFiles::read(&tree, root::FSTAB, root::CONFIG_MOST)?;
    let Some(new) = table.and_then(|table| root::with_root(&table, source)) else {
        return Ok(true);
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos());
    ext4::rewrite(&tree, root::FSTAB, &new, now)
}

/// Writes the source of `/` into the tree's fstab, where that has such a line and says otherwise.
fn name_root(
    machine: &Machine<'_>,
    node: &Path,
    file_system: &FileSystem,
    source: &str,
) -> Result<()> {
    let mut new = None;
    machine.mounts.with_root(node, file_system.fs_type(), false, &mut |root| {
        let table = root.read(root::FSTAB, root::CONFIG_MOST)?;
        new = table.and_then(|table| root::with_root(&table, source));
        Ok(())
    })?;
    let Some(new) = new else { return Ok(()) };
    machine
        .mounts
        .with_root(node, file_system.fs_type(), true, &mut |root| root.rewrite(root::FSTAB, &new))
}

/// xfs_admin's exit code cannot be trusted: the UUID is read back.
fn set_xfs_uuid(machine: &Machine<'_>, node: &Path, device: &dyn Dev, uuid: FsUuid) -> Result<()> {
    let uuid_text = uuid.to_string();
    let args = [OsStr::new("-U"), OsStr::new(&uuid_text), node.as_os_str()];
    let output = machine.tools.run(Tool::XfsAdmin, &args)?;
    if read(device)?.uuid() == uuid {
        return Ok(());
    }
    let why = format!("xfs_admin did not set the UUID: {}", output.stderr.trim());
    Err(Error::new(ErrorKind::Tool, why).at(node.display()).op("give the layer its own UUID"))
}
