//! Which volume group a call is about.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dev::Dev;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{is_ours, tag};
use crate::lvm2::scan::{self, Group, Scan};
use crate::machine::Disks;
use crate::name::VgName;

/// Looks at every disk that may carry a physical volume.
pub(super) fn scan_all(disks: &dyn Disks) -> Result<Scan> {
    let candidates = disks.candidates()?;
    log::trace!("{} candidates", candidates.len());
    let devices = open_all(disks, candidates);
    log::trace!("{} devices to look at", devices.len());
    let found = scan::scan(&devices);
    log::trace!("{} volume groups found", found.groups.len());
    Ok(found)
}

/// How much is looked at to find a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Every disk: what is odd about any of them shows.
    Everywhere,
    /// The disks below the group's active pools and those that its text names; every disk where
    /// that is not all of the group.
    WhereItIs,
}

/// The group of that name, or the one with our tag, which only a look everywhere can tell.
pub(super) fn group(disks: &dyn Disks, wanted: Option<&VgName>, look: Look) -> Result<Group> {
    let known = wanted.filter(|_| look == Look::WhereItIs);
    if let Some(group) = known.and_then(|name| where_it_is(disks, name)) {
        return Ok(group);
    }
    let scan = scan_all(disks)?;
    match wanted {
        Some(name) => scan.into_group(name),
        None => by_tag(scan),
    }
}

/// The whole group, where the kernel knows its disks.
fn where_it_is(disks: &dyn Disks, name: &VgName) -> Option<Group> {
    let mut devices = open_all(disks, disks.under(name));
    if devices.is_empty() {
        return None;
    }
    let mut group = scan::scan(&devices).into_group(name).ok()?;
    let missing = |group: &Group| group.vg.pvs.iter().any(|pv| group.member(&pv.id).is_none());
    if missing(&group) {
        let mut named = disks.candidates().ok()?;
        let is_named = |path: &PathBuf| {
            let mut pvs = group.vg.pvs.iter();
            let known = devices.iter().any(|(open, _)| open == path);
            !known && pvs.any(|pv| pv.device.as_deref().map(Path::new) == Some(path.as_path()))
        };
        named.retain(is_named);
        devices.extend(open_all(disks, named));
        group = scan::scan(&devices).into_group(name).ok()?;
    }
    (!missing(&group)).then_some(group)
}

fn open_all(disks: &dyn Disks, paths: Vec<PathBuf>) -> Vec<(PathBuf, Arc<dyn Dev>)> {
    let mut devices: Vec<(PathBuf, Arc<dyn Dev>)> = Vec::new();
    for path in paths {
        match disks.open(&path) {
            Ok(device) => devices.push((path, device)),
            Err(error) => log::info!("{} is left out: {error}", path.display()),
        }
    }
    devices
}

fn by_tag(scan: Scan) -> Result<Group> {
    let mut ours: Vec<Group> = scan.groups.into_iter().filter(|group| is_ours(&group.vg)).collect();
    if ours.len() > 1 {
        let names: Vec<String> = ours.iter().map(|group| group.vg.name.to_string()).collect();
        let why =
            format!("several have the tag {}: {}; choose with --vg", tag::VG, names.join(", "));
        return Err(Error::new(ErrorKind::Invalid, why).op("choose a volume group"));
    }
    ours.pop().ok_or_else(|| {
        let why = format!(
            "no disk here carries one with the tag {}; make one with 'imgbase layout --init'",
            tag::VG
        );
        Error::new(ErrorKind::NotFound, why).op("find the volume group")
    })
}
