//! What drives a disk: sysfs names the hardware on the way to it and the modules that serve that.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::host::disks::number_of;

const DEVICES: &str = "/sys/devices";

/// The hardware below some disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hardware {
    /// What it calls itself, as `modules.alias` has it: `virtio:d00000002v00001AF4`.
    pub(super) aliases: BTreeSet<String>,
    /// The modules that serve it in the running kernel.
    pub(super) modules: BTreeSet<String>,
}

impl Hardware {
    /// Adds what is below a disk or a partition.
    pub(super) fn add(&mut self, disk: &Path) -> Result<()> {
        let Some(number) = number_of(disk)? else {
            let error = Error::new(ErrorKind::Invalid, "it is no block device");
            return Err(error.op("find the drivers of the disk").at(disk.display()));
        };
        let link = format!("/sys/dev/block/{number}");
        let place =
            fs::canonicalize(link).context("find the drivers of the disk", disk.display())?;
        self.add_place(&place).map_err(|error| error.at(disk.display()))
    }

    /// Adds what stands above that folder of sysfs.
    fn add_place(&mut self, place: &Path) -> Result<()> {
        let inside = place.strip_prefix(DEVICES).unwrap_or(place);
        if !inside.starts_with("virtual") {
            self.climb(place);
            return Ok(());
        }
        let controllers = controllers(place);
        if controllers.is_empty() {
            let why = "it is put together by what the first process does not have (RAID, \
                       encryption, a loop device): a root on it cannot be started so";
            let error = Error::new(ErrorKind::Unsupported, why);
            return Err(error.op("find the drivers of the disk"));
        }
        controllers.iter().for_each(|controller| self.climb(controller));
        Ok(())
    }

    fn climb(&mut self, place: &Path) {
        for folder in place.ancestors().take_while(|folder| *folder != Path::new(DEVICES)) {
            let alias = fs::read_to_string(folder.join("modalias")).unwrap_or_default();
            let alias = alias.trim();
            if !alias.is_empty() {
                self.aliases.insert(alias.to_owned());
            }
            if let Ok(module) = fs::read_link(folder.join("driver/module"))
                && let Some(name) = module.file_name()
            {
                self.modules.insert(name.to_string_lossy().into_owned());
            }
        }
    }
}

/// An NVMe namespace that several controllers may serve stands apart from all of them, in a folder
/// that has a link to each.
fn controllers(place: &Path) -> Vec<PathBuf> {
    let Some(subsystem) = place.ancestors().find(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("nvme-subsys") && name != "nvme-subsystem"
    }) else {
        return Vec::new();
    };
    let entries = fs::read_dir(subsystem).into_iter().flatten().flatten();
    let links = entries.filter(|entry| {
        entry.file_name().to_string_lossy().starts_with("nvme")
            && entry.file_type().is_ok_and(|kind| kind.is_symlink())
    });
    links.filter_map(|entry| fs::canonicalize(entry.path()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_virtual_has_no_driver() {
        let mut hardware = Hardware::default();
        let place = Path::new("/sys/devices/virtual/block/md0");
        let error = hardware.add_place(place).expect_err("nothing drives it");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(hardware, Hardware::default());
        assert_eq!(
            hardware.add(Path::new("/dev/null")).expect_err("no disk").kind(),
            ErrorKind::Invalid
        );
    }

    /// Whatever this machine's first disk is, something drives it.
    #[test]
    fn a_real_disk_has_hardware() {
        let mut hardware = Hardware::default();
        let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
        let places = disks.filter_map(|disk| fs::canonicalize(disk.path()).ok());
        let mut real = places.filter(|place| !place.starts_with("/sys/devices/virtual"));
        if let Some(place) = real.next() {
            hardware.add_place(&place).expect("something drives it");
            assert!(!hardware.aliases.is_empty() || !hardware.modules.is_empty(), "{place:?}");
        }
    }
}
