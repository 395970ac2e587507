//! What sysfs says of block devices.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};

const BLOCK: &str = "/sys/class/block";

/// Names of devices that never carry a physical volume (by prefix): memory, floppies and the like.
const NEVER: [&str; 4] = ["ram", "zram", "fd", "mtdblock"];

/// A file of sysfs, without the newline; empty where there is none.
fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The nodes of all devices that may carry a physical volume, sorted by name.
pub(super) fn candidates() -> Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(BLOCK).context("list the disks", BLOCK)? {
        let name = entry.context("list the disks", BLOCK)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.iter().filter(|name| may_carry(name)).map(|name| node(name)).collect())
}

/// Its node in /dev: sysfs writes `!` for a slash.
pub(super) fn node(name: &str) -> PathBuf {
    Path::new("/dev").join(name.replace('!', "/"))
}

fn may_carry(name: &str) -> bool {
    let device = Path::new(BLOCK).join(name);
    if NEVER.iter().any(|prefix| is_numbered(name, prefix)) || is_empty(&device) {
        return false;
    }
    // A volume of a group is no place for another group's disk (lvm2: scan_lvs=0).
    if read(device.join("dm/uuid")).starts_with("LVM-") {
        return false;
    }
    !is_component(&device) && !has_partitions(name, &device)
}

/// `ram0`, but not `rampart`.
fn is_numbered(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix).unwrap_or_default();
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_empty(device: &Path) -> bool {
    matches!(read(device.join("size")).as_str(), "" | "0")
}

/// A part of a multipath or md device, whose whole is looked at instead.
fn is_component(device: &Path) -> bool {
    entries(&device.join("holders")).iter().any(|holder| {
        let holder = Path::new(BLOCK).join(holder);
        read(holder.join("dm/uuid")).starts_with("mpath-") || holder.join("md").exists()
    })
}

fn has_partitions(name: &str, device: &Path) -> bool {
    !partitions(name, device).is_empty()
}

/// Its partitions' names.
pub(super) fn partitions(name: &str, device: &Path) -> Vec<String> {
    let mut found = entries(device);
    found.retain(|entry| entry.starts_with(name) && device.join(entry).join("partition").exists());
    found
}

/// Where sysfs describes the device with this number.
pub(super) fn of_number(number: crate::dm::DevNo) -> PathBuf {
    PathBuf::from(format!("/sys/dev/block/{number}"))
}

/// Names of the devices that are on it: its holders and its partitions.
pub(super) fn on_top(number: crate::dm::DevNo) -> Vec<String> {
    let device = of_number(number);
    let Ok(real) = fs::canonicalize(&device) else { return Vec::new() };
    let name = real.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut found = partitions(&name.unwrap_or_default(), &real);
    for holder in entries(&real.join("holders")) {
        let dm = read(Path::new(BLOCK).join(&holder).join("dm/name"));
        found.push(if dm.is_empty() { holder } else { dm });
    }
    found
}

/// The loop device that is attached to this file, all of it and from its first byte on.
pub(super) fn loop_of(file: &Path) -> Result<Option<PathBuf>> {
    for name in entries(Path::new(BLOCK)) {
        let about = Path::new(BLOCK).join(&name).join("loop");
        if Path::new(&read(about.join("backing_file"))) == file
            && read(about.join("offset")) == "0"
            && read(about.join("sizelimit")) == "0"
        {
            return Ok(Some(node(&name)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_nodes_of_real_devices() {
        for path in candidates().expect("sysfs is there") {
            assert!(path.starts_with("/dev"), "{}", path.display());
        }
        assert_eq!(node("cciss!c0d0"), Path::new("/dev/cciss/c0d0"));
        assert!(is_numbered("ram0", "ram") && !is_numbered("rampart", "ram"));
    }
}
