//! Which volume group a call is about.

use std::sync::Arc;

use crate::dev::Dev;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{is_ours, tag};
use crate::lvm2::scan::{self, Group, Scan};
use crate::machine::Disks;
use crate::name::VgName;

/// Looks at every disk that may carry a physical volume.
pub(super) fn scan_all(disks: &dyn Disks) -> Result<Scan> {
    let mut devices: Vec<(std::path::PathBuf, Arc<dyn Dev>)> = Vec::new();
    let candidates = disks.candidates()?;
    log::trace!("{} candidates", candidates.len());
    for path in candidates {
        match disks.open(&path) {
            Ok(device) => devices.push((path, device)),
            Err(error) => log::info!("{} is left out: {error}", path.display()),
        }
    }
    log::trace!("{} devices to look at", devices.len());
    let found = scan::scan(&devices);
    log::trace!("{} volume groups found", found.groups.len());
    Ok(found)
}

/// The group of that name, or the one with our tag.
pub(super) fn group(disks: &dyn Disks, wanted: Option<&VgName>) -> Result<Group> {
    let scan = scan_all(disks)?;
    match wanted {
        Some(name) => scan.into_group(name),
        None => by_tag(scan),
    }
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
