//! The devices that a new group is made on: looked at before anything is
//! written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sizes::EXTENT;
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::lvm2::create::{PvOptions, PvPlan};
use crate::machine::{InUse, Machine};
use crate::ops::Init;
use crate::signature;
use crate::units::Bytes;

/// How much is wiped at each end of a device that is not blank, and looked at to call it blank.
const ENDS: Bytes = Bytes::mib(1);

/// Plans a physical volume on each device or plain file. Nothing is changed.
pub(super) fn plan(machine: &Machine<'_>, request: &Init) -> Result<Vec<PvPlan>> {
    if request.devices.is_empty() {
        let why = "name at least one device";
        return Err(Error::new(ErrorKind::Invalid, why).op("make the layout"));
    }
    let options = options(request);
    let mut plans: Vec<PvPlan> = Vec::new();
    for path in &request.devices {
        refuse_in_use(machine, path)?;
        // First of all what is no device and no file: to look whether a pipe may be written, it
        // would wait for who reads it.
        let device = machine.disks.open(path).map_err(untouched)?;
        refuse_read_only(machine, path)?;
        refuse_content(device.as_ref(), path, request.force)?;
        let planned = PvPlan::new(path.clone(), device, &options).map_err(untouched)?;
        refuse_small(&planned)?;
        plans.push(planned);
    }
    refuse_twice(&request.devices)?;
    Ok(plans)
}

/// The plans with a loop device in the place of each plain file. The files do not change.
pub(super) fn attach(
    machine: &Machine<'_>,
    request: &Init,
    plans: Vec<PvPlan>,
) -> Result<Vec<PvPlan>> {
    let options = options(request);
    plans.into_iter().map(|planned| attached(machine, planned, &options)).collect()
}

fn untouched(error: Error) -> Error {
    error.kept("nothing was written")
}

fn options(request: &Init) -> PvOptions {
    let default = PvOptions::default();
    PvOptions { mda_size: request.mda_size.unwrap_or(default.mda_size), ..default }
}

fn refuse_twice(devices: &[PathBuf]) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for path in devices {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        if !seen.insert(real) {
            let error = Error::new(ErrorKind::Invalid, "it is named twice").at(path.display());
            return Err(untouched(error));
        }
    }
    Ok(())
}

fn refuse_small(planned: &PvPlan) -> Result<()> {
    if !planned.geometry.pe_count(EXTENT).is_zero() {
        return Ok(());
    }
    let extent = EXTENT.bytes();
    let (have, need) =
        (planned.dev.size(), planned.geometry.pe_start.bytes().saturating_add(extent));
    let why = format!(
        "it is too small: {} bytes, and {} are needed for one extent of {extent}",
        have.get(),
        need.get()
    );
    let error = Error::new(ErrorKind::NoSpace { need, have }, why);
    Err(untouched(error.at(planned.path.display())))
}

fn refuse_in_use(machine: &Machine<'_>, path: &Path) -> Result<()> {
    let why = match machine.disks.in_use(path)? {
        None => return Ok(()),
        Some(InUse::Mounted(dir)) => format!("it is mounted at {}", dir.display()),
        Some(InUse::Swap) => "it is in use as swap".to_owned(),
        Some(InUse::Held(by)) => format!("it is in use: {by} is on it"),
        Some(InUse::Open) => "something has it open".to_owned(),
    };
    Err(untouched(Error::new(ErrorKind::Busy, why).at(path.display())))
}

fn refuse_read_only(machine: &Machine<'_>, path: &Path) -> Result<()> {
    if !machine.disks.is_read_only(path)? {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Denied, "it may not be written: it is read-only");
    Err(untouched(error.at(path.display())))
}

fn refuse_content(device: &dyn Dev, path: &Path, force: bool) -> Result<()> {
    let Some(found) = signature::recognise(device)? else { return Ok(()) };
    if force {
        log::info!("{}: {found} will be wiped", path.display());
        return Ok(());
    }
    let why = format!("it is not blank: it holds {found}; --force wipes it");
    Err(untouched(Error::new(ErrorKind::Exists, why).at(path.display())))
}

/// The plan, on a loop device where it was made for a plain file.
fn attached(machine: &Machine<'_>, planned: PvPlan, options: &PvOptions) -> Result<PvPlan> {
    if machine.disks.number(&planned.path)?.is_some() {
        return Ok(planned);
    }
    let path = machine.disks.attach(&planned.path)?;
    let device = machine.disks.open(&path)?;
    PvPlan::new(path, device, options)
}

/// Wipes both ends of every device, where old signatures stand.
pub(super) fn wipe_ends(plans: &[PvPlan]) -> Result<()> {
    for planned in plans {
        let device: &Arc<dyn Dev> = &planned.dev;
        let len = device.size().min(ENDS);
        let zeros = vec![0; usize::try_from(len.get()).unwrap_or_default()];
        let end = device.size().saturating_sub(len);
        let wiped =
            device.write_at(&zeros, Bytes::ZERO).and_then(|()| device.write_at(&zeros, end));
        let wiped = wiped.and_then(|()| wipe_between(device.as_ref()));
        wiped.and_then(|()| device.sync()).context("wipe", device.name())?;
    }
    Ok(())
}

/// Wipes the places between the ends where a few formats keep a mark.
fn wipe_between(device: &dyn Dev) -> std::io::Result<()> {
    let zeros = vec![0; usize::try_from(signature::SPOT).unwrap_or_default()];
    let spots = signature::BETWEEN.into_iter();
    for at in spots.filter(|at| at.saturating_add(signature::SPOT) <= device.size().get()) {
        device.write_at(&zeros, Bytes::new(at))?;
    }
    Ok(())
}
