//! Takes devices down, from the volumes to what lay below them.

use std::collections::BTreeSet;

use super::active::{Active, wake_one};
use super::kernel::{DmInfo, Kernel};
use super::names::{DeviceKey, Role};
use super::together;
use crate::error::{Error, ErrorKind, Result};
use crate::lvm2::model::{Lv, Vg};
use crate::name::{DmName, LvName};
use crate::order::Gather;

/// Deactivates `wanted`, and each pool that is not used by anything else then: by another
/// volume, by whoever activated the pool itself (unless it is among `wanted`), or by anyone who
/// holds its devices. A suspended device is resumed first, so that nothing written to it is lost.
/// Returns what was removed, in order.
///
/// # Errors
/// [`Busy`](ErrorKind::Busy), naming what is open and by whom it is held as far as that is
/// known, before anything is removed; [`NotFound`](ErrorKind::NotFound) for a volume that is not
/// in the group; and as [`Kernel`].
pub fn deactivate(kernel: &dyn Kernel, vg: &Vg, wanted: &[LvName]) -> Result<Vec<DmName>> {
    let wanted: BTreeSet<_> = wanted.iter().gather();
    let mut active = Active::observe(kernel, vg)?;
    let mut run = Teardown { vg, wanted: &wanted, active: &active };
    let mut doomed = run.doomed();
    if matches!(&doomed, Err(error) if error.kind() == ErrorKind::Busy) && run.may_wait() {
        // Perhaps it is only udev that is still looking at a new device.
        kernel.settle()?;
        active = Active::observe(kernel, vg)?;
        run = Teardown { vg, wanted: &wanted, active: &active };
        doomed = run.doomed();
    }
    let doomed = doomed.map_err(|error| error.op("deactivate").kept("nothing was deactivated"))?;
    remove_all(kernel, &doomed)
}

/// Volumes go beside each other, what lies below them one after the other.
fn remove_all(kernel: &dyn Kernel, doomed: &Doomed) -> Result<Vec<DmName>> {
    let mut removed: Vec<DmName> = Vec::new();
    let singly = doomed.below.chunks(1);
    for devices in [doomed.volumes.as_slice()].into_iter().chain(singly) {
        let (done, result) =
            together::each(kernel.calls_at_once(), devices, &|device| remove(kernel, device));
        let gone = devices.iter().zip(done).filter(|(_, done)| *done);
        removed.extend(gone.map(|((_, info), _)| info.name.clone()));
        result.map_err(|error| {
            let names: Vec<_> = removed.iter().map(DmName::as_str).collect();
            let kept = match names.as_slice() {
                [] => "nothing was deactivated".to_owned(),
                _ => format!("deactivated so far: {}", names.join(", ")),
            };
            error.kept(kept)
        })?;
    }
    Ok(removed)
}

fn remove(kernel: &dyn Kernel, (key, info): &Device) -> Result<()> {
    let removed = wake_and_remove(kernel, key, info);
    removed.map_err(|error| error.op("deactivate").at(&info.name))
}

fn wake_and_remove(kernel: &dyn Kernel, key: &DeviceKey, info: &DmInfo) -> Result<()> {
    if info.suspended && info.live {
        wake_one(kernel, info, &key.seen)?;
    }
    kernel.remove(&info.name, &key.seen)
}

struct Teardown<'a> {
    vg: &'a Vg,
    wanted: &'a BTreeSet<&'a LvName>,
    active: &'a Active,
}

type Device = (DeviceKey, DmInfo);

/// What is to be removed.
struct Doomed {
    /// None of these lies on another.
    volumes: Vec<Device>,
    /// What they lie on, in order.
    below: Vec<Device>,
}

impl<'a> Teardown<'a> {
    /// True where waiting for udev cannot hang.
    fn may_wait(&self) -> bool {
        !self.active.devices().any(|info| info.suspended)
    }

    fn lv(&self, name: &LvName) -> Result<&'a Lv> {
        let missing = || Error::new(ErrorKind::NotFound, "there is no such volume").at(name);
        self.vg.lv(name).ok_or_else(missing)
    }

    fn doomed(&self) -> Result<Doomed> {
        let mut volumes = Vec::new();
        let mut pools = BTreeSet::new();
        for name in self.wanted {
            let lv = self.lv(name)?;
            if lv.thin_pool().is_some() {
                pools.insert(*name);
                continue;
            }
            pools.extend(lv.thin().map(|thin| &thin.pool));
            self.take(lv, Role::Volume, 0, &mut volumes)?;
        }
        let mut below = Vec::new();
        for pool in pools {
            below.append(&mut self.pool(self.lv(pool)?)?);
        }
        Ok(Doomed { volumes, below })
    }

    /// Adds a device where there is one; more holders than the expected ones are an error.
    fn take(&self, lv: &Lv, role: Role, holders: u32, doomed: &mut Vec<Device>) -> Result<()> {
        let Some(info) = self.active.device(self.vg, lv, role) else { return Ok(()) };
        if let Some(others) = info.open_count.checked_sub(holders).filter(|count| *count > 0) {
            let why = format!("it is in use: mounted, or opened by {others} others");
            return Err(Error::new(ErrorKind::Busy, why).at(&info.name));
        }
        doomed.push((DeviceKey::of(self.vg, lv, role)?, info.clone()));
        Ok(())
    }

    /// What goes of a pool; nothing where it is used and was not asked for.
    fn pool(&self, pool: &'a Lv) -> Result<Vec<Device>> {
        let asked = self.wanted.contains(&pool.name);
        let users = self.users(pool, asked);
        if asked && !users.is_empty() {
            let why = format!("it is in use by {}", users.join(", "));
            return Err(Error::new(ErrorKind::Busy, why).at(&pool.name));
        }
        if !users.is_empty() {
            return Ok(Vec::new());
        }
        match self.stack(pool) {
            // Somebody else holds it. It was not asked for, so that is no failure.
            Err(error) if !asked && error.kind() == ErrorKind::Busy => Ok(Vec::new()),
            result => result,
        }
    }

    fn stack(&self, pool: &'a Lv) -> Result<Vec<Device>> {
        let mut doomed = Vec::new();
        let device = |lv: &Lv, role| u32::from(self.active.device(self.vg, lv, role).is_some());
        self.take(pool, Role::PoolWrapper, 0, &mut doomed)?;
        let leaving = self.thins(pool).fold(device(pool, Role::PoolWrapper), |count, lv| {
            count.saturating_add(device(lv, Role::Volume))
        });
        self.take(pool, self.role(pool)?, leaving, &mut doomed)?;
        let own = device(pool, Role::Pool);
        let parts = pool.thin_pool().map(|pool| (&pool.data, &pool.metadata));
        if let Some((data, metadata)) = parts {
            self.take(self.lv(data)?, Role::PoolData, own, &mut doomed)?;
            self.take(self.lv(metadata)?, Role::PoolMetadata, own, &mut doomed)?;
        }
        Ok(doomed)
    }

    fn thins(&self, pool: &'a Lv) -> impl Iterator<Item = &'a Lv> {
        self.vg.thins(&pool.name).map(|(lv, _)| lv)
    }

    /// The role that the pool's device has, by its name.
    fn role(&self, pool: &Lv) -> Result<Role> {
        let plain = DeviceKey::of(self.vg, pool, Role::NewPool)?;
        let found = self.active.by_uuid(&plain.uuid);
        let is_plain = found.is_some_and(|info| info.name == plain.name);
        Ok(if is_plain { Role::NewPool } else { Role::Pool })
    }

    /// Who else uses a pool, by name.
    fn users(&self, pool: &'a Lv, asked: bool) -> Vec<String> {
        let thins = self.thins(pool).filter(|lv| !self.wanted.contains(&lv.name));
        let mut users: Vec<_> = thins
            .filter_map(|lv| self.active.device(self.vg, lv, Role::Volume))
            .map(|info| info.name.as_str().to_owned())
            .collect();
        let itself = self.active.device(self.vg, pool, Role::PoolWrapper).is_some()
            || matches!(self.role(pool), Ok(Role::NewPool));
        if itself && !asked {
            users.push(pool.name.as_str().to_owned());
        }
        users
    }
}

#[cfg(test)]
mod tests;
