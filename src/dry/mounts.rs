//! Mounts in a dry run: listed for real, made on paper.

use std::path::Path;

use super::Notes;
use crate::dev::Dev;
use crate::dm::Kernel;
use crate::dm::sim::SimKernel;
use crate::error::Result;
use crate::etc::{Carried, LateEdit};
use crate::ext4;
#[cfg(feature = "host")]
use crate::machine::Preview;
use crate::machine::{
    CarryOver, Disks, FolderOf, HeldTree, LateLook, MountEntry, MountHow, Mounts,
};
use crate::name::DmName;
use crate::root::{RootChange, RootFiles};
use crate::tree::{Measure, NewTree, Tell};
use crate::units::Bytes;

pub(super) struct DryMounts<'m> {
    real: &'m dyn Mounts,
    disks: &'m dyn Disks,
    sim: SimKernel,
    notes: Notes,
}

impl<'m> DryMounts<'m> {
    pub(super) fn new(
        real: &'m dyn Mounts,
        (disks, sim): (&'m dyn Disks, SimKernel),
        notes: Notes,
    ) -> Self {
        Self { real, disks, sim, notes }
    }

    /// True for a device that is there, and mounted somewhere.
    fn is_mounted(&self, device: &Path) -> Result<bool> {
        let number = self.disks.number(device).ok().flatten();
        let mounts = self.real.list()?;
        Ok(mounts.iter().any(|mount| Some(mount.number) == number))
    }

    /// What a mount would leave of an ext4, where its caller reads it back.
    fn replay(&self, device: &Path) -> Option<()> {
        let name: DmName = device.to_str()?.strip_prefix("/dev/mapper/")?.parse().ok()?;
        ext4::mark_replayed(self.sim.open(&name).ok()?.as_ref()).ok()
    }
}

impl Mounts for DryMounts<'_> {
    fn list(&self) -> Result<Vec<MountEntry>> {
        self.real.list()
    }

    fn mount(&self, device: &Path, dir: &Path, how: &MountHow) -> Result<()> {
        let access = if how.read_only { "read-only" } else { "read-write" };
        let (device, dir) = (device.display(), dir.display());
        self.notes.add(format!("mount {device} ({}, {access}) at {dir}", how.fs_type));
        Ok(())
    }

    fn unmount(&self, dir: &Path) -> Result<()> {
        self.notes.add(format!("unmount {}", dir.display()));
        Ok(())
    }

    fn mount_once(&self, device: &Path, fs_type: &str, grow_to: Option<Bytes>) -> Result<()> {
        let grow = grow_to.map(|size| format!(" and grow it to {size}")).unwrap_or_default();
        let shown = device.display();
        self.notes.add(format!("mount {shown} ({fs_type}) privately to replay it{grow}"));
        if fs_type.starts_with("ext") {
            self.replay(device);
        }
        Ok(())
    }

    fn look_into(
        &self,
        device: &Path,
        fs_type: &str,
        _look: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        let device = device.display();
        self.notes
            .add(format!("mount {device} ({fs_type}) privately and read-only to look into it"));
        Ok(())
    }

    fn with_root(
        &self,
        device: &Path,
        fs_type: &str,
        writable: bool,
        with: &mut dyn FnMut(&dyn RootChange) -> Result<()>,
    ) -> Result<()> {
        if !writable && self.is_mounted(device)? {
            // Another look at what is mounted changes nothing.
            return self.real.with_root(device, fs_type, writable, with);
        }
        let (device, aim) = (device.display(), if writable { "change" } else { "look into" });
        self.notes.add(format!("mount {device} ({fs_type}) privately to {aim} it"));
        Ok(())
    }

    fn with_folder(
        &self,
        folder: &Path,
        with: &mut dyn FnMut(&dyn RootFiles) -> Result<()>,
    ) -> Result<()> {
        self.real.with_folder(folder, with)
    }

    fn make_tree(
        &self,
        device: &Path,
        fs_type: &str,
        _make: &mut dyn FnMut(&mut dyn NewTree) -> Result<()>,
    ) -> Result<()> {
        let device = device.display();
        self.notes.add(format!("mount {device} ({fs_type}) privately to make the tree in it"));
        Ok(())
    }

    fn hold_image(&self, image: &dyn Dev, fs_type: &str) -> Result<Box<dyn HeldTree>> {
        self.real.hold_image(image, fs_type)
    }

    fn hold_folder(&self, folder: &Path) -> Result<Option<Box<dyn HeldTree>>> {
        self.real.hold_folder(folder)
    }

    fn weigh_folder(&self, from: FolderOf<'_>, _tell: Tell<'_>) -> Result<Option<Measure>> {
        let (device, fs_type, path) = (from.0.display(), from.1, from.2);
        self.notes.add(format!(
            "mount {device} ({fs_type}) privately and read-only to look at {path} in it"
        ));
        Ok(Some(Measure::default()))
    }

    fn copy_folder(
        &self,
        from: FolderOf<'_>,
        to: (&Path, &str),
        _tell: Tell<'_>,
    ) -> Result<Measure> {
        let (device, path, to) = (from.0.display(), from.2, to.0.display());
        self.notes.add(format!("copy what is in {path} on {device} to {to}"));
        Ok(Measure::default())
    }

    fn carry_over(&self, volumes: CarryOver<'_>) -> Result<Carried> {
        let [base, ours, new] =
            [volumes.base, volumes.ours, volumes.new].map(|(node, _)| node.display());
        self.notes.add(format!("carry over to {new} what was changed from {base} to {ours}"));
        Ok(Carried::default())
    }

    #[cfg(feature = "host")]
    fn preview(&self, of: Preview<'_>) -> Result<Carried> {
        self.real.preview(of)
    }

    fn late_edits(&self, _look: LateLook<'_>) -> Result<Vec<LateEdit>> {
        // Its volumes may be there on paper alone.
        Ok(Vec::new())
    }
}
