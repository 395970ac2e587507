//! Which devices of a volume group the kernel has, seen with one question.

use std::collections::{BTreeMap, BTreeSet};

use super::kernel::{DmInfo, Kernel, TargetStatus, Visibility};
use super::names::{self, DeviceKey, Role, UdevFlags};
use super::status::{PoolState, PoolStatus};
use crate::error::{Error, ErrorKind, Result};
use crate::lvm2::model::{Lv, Vg};
use crate::name::{DmName, LvName};
use crate::order::{self, Gather};

/// The devices of a group at one moment, by UUID.
#[derive(Clone, Debug, Default)]
pub struct Active {
    devices: BTreeMap<Box<str>, DmInfo>,
}

/// A pool that is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivePool {
    /// The pool.
    pub lv: LvName,
    /// Its device: the one that takes messages.
    pub name: DmName,
    /// What it says of itself.
    pub state: PoolState,
}

impl Active {
    /// Asks the kernel.
    ///
    /// # Errors
    /// As [`Kernel::list`].
    pub fn observe(kernel: &dyn Kernel, vg: &Vg) -> Result<Self> {
        let listed = kernel.list(&names::uuid_prefix(&vg.id))?;
        Ok(Self { devices: listed.into_iter().map(|info| (info.uuid.clone(), info)).gather() })
    }

    /// Asks the kernel after the devices of these UUIDs alone: no other shows.
    ///
    /// # Errors
    /// As [`Kernel::find`].
    pub fn observe_some<'u>(
        kernel: &dyn Kernel,
        uuids: impl IntoIterator<Item = &'u str>,
    ) -> Result<Self> {
        let mut devices = BTreeMap::new();
        for uuid in uuids {
            if let Some(info) = kernel.find(uuid)? {
                devices.insert(info.uuid.clone(), info);
            }
        }
        Ok(Self { devices })
    }

    /// Asks the kernel after the devices that stand for these volumes: see
    /// [`volume`](Self::volume). No other shows.
    ///
    /// # Errors
    /// As [`Kernel::find`].
    pub fn observe_volumes<'n>(
        kernel: &dyn Kernel,
        vg: &Vg,
        names: impl IntoIterator<Item = &'n LvName>,
    ) -> Result<Self> {
        let lvs = names.into_iter().filter_map(|name| vg.lv(name));
        let uuids: Vec<String> = lvs.map(|lv| names::uuid_of(vg, lv, role_of(lv))).collect();
        Self::observe_some(kernel, uuids.iter().map(String::as_str))
    }

    /// The device that `lv` has in that role, live or not.
    pub fn device(&self, vg: &Vg, lv: &Lv, role: Role) -> Option<&DmInfo> {
        self.devices.get(names::uuid_of(vg, lv, role).as_str())
    }

    /// The device of that UUID.
    pub fn by_uuid(&self, uuid: &str) -> Option<&DmInfo> {
        self.devices.get(uuid)
    }

    /// The live device of a volume: for a pool the one that takes messages, else the volume's own.
    pub fn volume(&self, vg: &Vg, name: &LvName) -> Option<&DmInfo> {
        let lv = vg.lv(name)?;
        self.device(vg, lv, role_of(lv)).filter(|info| info.live)
    }

    /// The volumes that have a live device, in the group's order, each with that device: see
    /// [`volume`](Self::volume).
    pub fn volumes<'s>(&'s self, vg: &'s Vg) -> impl Iterator<Item = (&'s Lv, &'s DmInfo)> {
        let ids = self.devices.keys().filter_map(|uuid| names::lv_id(uuid));
        let ids: BTreeSet<&str> = ids.gather();
        let there = vg.lvs.iter().filter(move |lv| ids.contains(lv.id.undashed()));
        there.filter_map(|lv| {
            let info = self.device(vg, lv, role_of(lv)).filter(|info| info.live)?;
            Some((lv.as_ref(), info))
        })
    }

    /// True where the volume has a live device.
    pub fn is_active(&self, vg: &Vg, name: &LvName) -> bool {
        self.volume(vg, name).is_some()
    }

    /// All devices, in the order of their UUIDs.
    pub fn devices(&self) -> impl Iterator<Item = &DmInfo> {
        self.devices.values()
    }

    /// What an active pool says of itself; `None` where it is not active.
    ///
    /// # Errors
    /// As [`Kernel::status`]; [`Unhealthy`](ErrorKind::Unhealthy) where the pool has failed.
    pub fn pool(&self, kernel: &dyn Kernel, vg: &Vg, name: &LvName) -> Result<Option<ActivePool>> {
        let Some(info) = self.volume(vg, name) else { return Ok(None) };
        let state = pool_state(kernel, &info.name)?;
        Ok(Some(ActivePool { lv: name.clone(), name: info.name.clone(), state }))
    }
}

/// The volume that a live device stands for: see [`Active::volume`].
pub fn volume_of<'v>(vg: &'v Vg, info: &DmInfo) -> Option<&'v LvName> {
    let lv = lv_of(vg, info).filter(|_| info.live)?;
    let stands_for = *names::uuid_of(vg, lv, role_of(lv)) == *info.uuid;
    stands_for.then_some(&lv.name)
}

/// The volume that a device belongs to.
fn lv_of<'v>(vg: &'v Vg, info: &DmInfo) -> Option<&'v Lv> {
    let id = names::lv_id(&info.uuid)?;
    vg.lvs.iter().find(|lv| lv.id.undashed() == id).map(AsRef::as_ref)
}

/// As what a volume's device serves: a pool's is the one that takes messages.
fn role_of(lv: &Lv) -> Role {
    if lv.thin_pool().is_some() { Role::Pool } else { Role::Volume }
}

/// What the pool of that name says of itself.
///
/// # Errors
/// As [`Kernel::status`]; [`Unhealthy`](ErrorKind::Unhealthy) where the pool has failed.
pub fn pool_state(kernel: &dyn Kernel, name: &DmName) -> Result<PoolState> {
    let targets = kernel.status(name)?;
    let state = match targets.as_slice() {
        [TargetStatus { target, params }] if &**target == "thin-pool" => PoolStatus::parse(params),
        _ => Err(Error::new(ErrorKind::Diverged, "the device is no thin pool")),
    };
    let state = state.and_then(PoolStatus::running);
    state.map_err(|error| error.op("read the pool's status").at(name))
}

/// Lets every suspended device of the group go on, lowest first, with the table that it has; a
/// table that was loaded and never resumed is dropped. For devices that a killed process left.
/// Returns the names of those that were suspended.
///
/// # Errors
/// As [`Kernel::clear`] and [`Kernel::resume`].
pub fn wake(kernel: &dyn Kernel, vg: &Vg) -> Result<Vec<DmName>> {
    let active = Active::observe(kernel, vg)?;
    let mut asleep: Vec<_> = active.devices().filter(|info| info.suspended && info.live).collect();
    order::sort_by_key(&mut asleep, |info| height(&info.uuid));
    for info in &asleep {
        wake_one(kernel, info, &visibility(vg, info))?;
    }
    Ok(asleep.into_iter().map(|info| info.name.clone()).collect())
}

pub(super) fn wake_one(kernel: &dyn Kernel, info: &DmInfo, seen: &Visibility) -> Result<()> {
    if info.inactive {
        kernel.clear(&info.name)?;
    }
    kernel.resume(&info.name, seen)
}

/// Removes the devices of the group that never had a table in force and that nobody has open,
/// highest first: a process died while it activated them. A table that was loaded into such a
/// device keeps the device below it in use, and lvm2 sees neither. Returns their names.
///
/// # Errors
/// As [`Kernel::remove`].
pub fn remove_unborn(kernel: &dyn Kernel, vg: &Vg) -> Result<Vec<DmName>> {
    let mut removed = Vec::new();
    loop {
        let active = Active::observe(kernel, vg)?;
        let unborn = active.devices().filter(|info| !info.live && info.open_count == 0);
        // One at a time: each lets go of those below it.
        let Some(info) = unborn.max_by_key(|info| height(&info.uuid)) else { return Ok(removed) };
        kernel.remove(&info.name, &visibility(vg, info))?;
        removed.push(info.name.clone());
    }
}

/// Where a device stands in its stack: below those with a higher number.
fn height(uuid: &str) -> u8 {
    match uuid {
        _ if uuid.ends_with("-tmeta") || uuid.ends_with("-tdata") => 0,
        _ if uuid.ends_with("-tpool") => 1,
        _ => 2,
    }
}

/// What the world sees of a device of the group; of one that is not ours, nothing.
fn visibility(vg: &Vg, info: &DmInfo) -> Visibility {
    let key = lv_of(vg, info).and_then(|lv| DeviceKey::of(vg, lv, Role::Volume).ok());
    let known = key.filter(|key| *key.uuid == *info.uuid);
    let hidden = Visibility { udev_flags: UdevFlags::INTERNAL.bits(), link: None };
    known.map_or(hidden, |key| key.seen)
}
