//! What sysfs says of block devices.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use imgbase_sys::dm::{Control, Listed, Uuid};

use crate::dm::DevNo;
use crate::error::{IoContext, Result};
use crate::host::read_whole;
use crate::name::{DmName, VgName};
use crate::order::Gather;

const BLOCK: &str = "/sys/class/block";
const PARTITIONS: &str = "/proc/partitions";
/// There once the kernel has its md driver.
const MD: &str = "/proc/mdstat";

/// Names of devices that never carry a physical volume (by prefix): memory, floppies and the like.
const NEVER: [&str; 4] = ["ram", "zram", "fd", "mtdblock"];

/// A file of sysfs, which is a page at most and comes in one piece, without the newline; empty
/// where there is none.
fn read(path: impl AsRef<Path>) -> String {
    let mut page = [0; 4096];
    let read = File::open(path).and_then(|mut file| file.read(&mut page));
    let text = page.get(..read.unwrap_or(0)).unwrap_or_default();
    String::from_utf8_lossy(text).trim_end().to_owned()
}

fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

/// The nodes of all devices that may carry a physical volume, sorted by name.
///
/// `/proc/partitions` names disks and partitions that are not empty in one read; sysfs is asked
/// only about what is left.
pub(super) fn candidates() -> Result<Vec<PathBuf>> {
    let list = read_whole(PARTITIONS)
        .and_then(|list| String::from_utf8(list).map_err(io::Error::other))
        .context("list the disks", PARTITIONS)?;
    let mut names = listed(&list);
    names.sort_unstable();
    let volumes = Volumes::find();
    let may_carry = |name: &&String| may_carry(name, &names, &volumes);
    Ok(names.iter().filter(may_carry).map(|name| node(name)).collect())
}

/// lvm2's volumes among the devices: no place for another group's disk (lvm2: scan_lvs=0).
struct Volumes {
    /// Their names, where device-mapper lists them all at once.
    listed: Option<HashSet<String>>,
    /// False where no disk can be a part of a multipath or md device, since there is none.
    components: bool,
}

impl Volumes {
    fn find() -> Self {
        let listed = control().and_then(|control| control.list("")).ok();
        let is_multipath = |device: &Listed| match &device.uuid {
            Uuid::Is(uuid) => uuid.starts_with("mpath-"),
            Uuid::None => false,
            Uuid::Unknown => true,
        };
        let multipath = listed.as_ref().is_none_or(|all| all.iter().any(is_multipath));
        let components = multipath || Path::new(MD).exists();
        let name = |device: Listed| match device.uuid {
            Uuid::Is(uuid) => {
                Some(uuid.starts_with("LVM-").then(|| format!("dm-{}", device.minor)))
            }
            Uuid::None => Some(None),
            Uuid::Unknown => None,
        };
        let names = listed.and_then(|all| all.into_iter().map(name).collect::<Option<Vec<_>>>());
        Self { listed: names.map(|names| names.into_iter().flatten().collect()), components }
    }

    fn has(&self, name: &str) -> bool {
        is_numbered(name, "dm-")
            && match &self.listed {
                Some(listed) => listed.contains(name),
                None => read(Path::new(BLOCK).join(name).join("dm/uuid")).starts_with("LVM-"),
            }
    }
}

/// The nodes of the disks below the parts of the group's active pools.
pub(super) fn under(vg: &VgName) -> Vec<PathBuf> {
    let Ok(control) = control() else { return Vec::new() };
    let parts = control.list("LVM-").unwrap_or_default().into_iter().filter(|device| {
        let is_part = matches!(&device.uuid, Uuid::Is(uuid) if is_pool_part(uuid));
        is_part && DmName::is_of(&device.name, vg)
    });
    let below = parts.filter_map(|device| control.deps(&device.name).ok()).flatten();
    let numbers: BTreeSet<(u32, u32)> = below.gather();
    let nodes = numbers.into_iter().filter_map(|(major, minor)| {
        let about = read(of_number(DevNo { major, minor }).join("uevent"));
        let name = about.lines().find_map(|line| line.strip_prefix("DEVNAME="))?.to_owned();
        (!is_numbered(&name, "dm-")).then(|| Path::new("/dev").join(name))
    });
    nodes.collect()
}

fn is_pool_part(uuid: &str) -> bool {
    uuid.starts_with("LVM-") && (uuid.ends_with("-tmeta") || uuid.ends_with("-tdata"))
}

fn control() -> std::io::Result<Control> {
    OpenOptions::new().read(true).write(true).open("/dev/mapper/control").map(Control::new)
}

/// Names as sysfs spells them: lines of `major minor #blocks name` under a header. Devices
/// without a block are left out.
fn listed(list: &str) -> Vec<String> {
    let devices = list.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let _: u32 = words.next()?.parse().ok()?;
        let blocks: u64 = words.nth(1)?.parse().ok()?;
        (blocks > 0).then(|| words.next().map(|name| name.replace('/', "!")))?
    });
    devices.collect()
}

/// Its node in /dev: sysfs writes `!` for a slash.
pub(super) fn node(name: &str) -> PathBuf {
    Path::new("/dev").join(name.replace('!', "/"))
}

fn may_carry(name: &str, all: &[String], volumes: &Volumes) -> bool {
    if NEVER.iter().any(|prefix| is_numbered(name, prefix)) || volumes.has(name) {
        return false;
    }
    let partition = |other: &String| is_partition(other, name);
    !all.iter().any(partition) && !is_component(name, volumes)
}

/// True where `name` is a partition of `disk`.
fn is_partition(name: &str, disk: &str) -> bool {
    let part = if disk.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    let numbered = name.strip_prefix(disk).is_some_and(|rest| is_numbered(rest, part));
    numbered && Path::new(BLOCK).join(name).join("partition").exists()
}

/// `ram0`, but not `rampart`.
fn is_numbered(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix).unwrap_or_default();
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
}

/// A part of a multipath or md device, whose whole is looked at instead.
fn is_component(name: &str, volumes: &Volumes) -> bool {
    volumes.components
        && entries(&Path::new(BLOCK).join(name).join("holders")).iter().any(|holder| {
            if volumes.has(holder) {
                return false;
            }
            let holder = Path::new(BLOCK).join(holder);
            read(holder.join("dm/uuid")).starts_with("mpath-") || holder.join("md").exists()
        })
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
        assert!(!is_partition("loop10", "loop1") && !is_partition("sdaa", "sda"));
    }

    #[test]
    fn disks_without_a_block_are_not_listed() {
        let list = "major minor  #blocks  name\n\n 259        0   10485760 nvme0n1\n \
                    104        0      71652 cciss/c0d0\n   7        0          0 loop0\n";
        assert_eq!(listed(list), ["nvme0n1", "cciss!c0d0"]);
        assert!(listed("").is_empty());
    }
}
