//! The simulated kernel's devices and what may be done with them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::call::Log;
use super::pool::{BLOCK, Pool};
use crate::dev::Dev;
use crate::dm::kernel::{Create, DevNo, Suspend, Visibility};
use crate::dm::status::PoolMode;
use crate::dm::table::{PoolTarget, Table, Target, ThinTarget};
use crate::name::DmName;
use crate::order::Gather;
use crate::units::Sectors;

/// The kernel's errors that occur here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::upper_case_acronyms)]
pub(super) enum Errno {
    EIO,
    ENXIO,
    EBUSY,
    EEXIST,
    EINVAL,
    ENOSPC,
    ENODATA,
    EOPNOTSUPP,
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(match errno {
            Errno::EIO => 5,
            Errno::ENXIO => 6,
            Errno::EBUSY => 16,
            Errno::EEXIST => 17,
            Errno::EINVAL => 22,
            Errno::ENOSPC => 28,
            Errno::ENODATA => 61,
            Errno::EOPNOTSUPP => 95,
        })
    }
}

/// A device.
pub(super) struct Device {
    pub(super) name: DmName,
    pub(super) uuid: Box<str>,
    pub(super) read_only: bool,
    pub(super) suspended: bool,
    pub(super) live: Option<Table>,
    pub(super) inactive: Option<(Table, bool)>,
    /// How many have it open from outside.
    pub(super) handles: u32,
    pub(super) seen: Option<Visibility>,
}

/// All there is.
pub(super) struct State {
    pub(super) disks: BTreeMap<DevNo, Arc<dyn Dev>>,
    /// By minor number.
    pub(super) devices: BTreeMap<u32, Device>,
    /// By the number of the device that holds the metadata.
    pub(super) pools: BTreeMap<DevNo, Pool>,
    pub(super) log: Log,
    pub(super) major: u32,
}

impl Default for State {
    fn default() -> Self {
        Self {
            disks: BTreeMap::new(),
            devices: BTreeMap::new(),
            pools: BTreeMap::new(),
            log: Log::default(),
            major: 254,
        }
    }
}

impl State {
    fn minor(&self, name: &DmName) -> Result<u32, Errno> {
        let found = self.devices.iter().find(|(_, device)| device.name == *name);
        found.map(|(minor, _)| *minor).ok_or(Errno::ENXIO)
    }

    fn device(&mut self, name: &DmName) -> Result<&mut Device, Errno> {
        let minor = self.minor(name)?;
        self.devices.get_mut(&minor).ok_or(Errno::ENXIO)
    }

    /// The number of the device with that minor.
    pub(super) fn number(&self, minor: u32) -> DevNo {
        DevNo { major: self.major, minor }
    }

    /// The device-mapper device of that number.
    pub(super) fn by_number(&self, number: DevNo) -> Option<&Device> {
        self.devices.get(&number.minor).filter(|_| number.major == self.major)
    }

    /// How many other devices lie on this one, and how many have it open.
    pub(super) fn open_count(&self, minor: u32) -> u32 {
        let number = self.number(minor);
        let on_it = |device: &&Device| device.tables().any(|t| t.devices().any(|d| *d == number));
        let holders = u32::try_from(self.devices.values().filter(on_it).count());
        let handles = self.devices.get(&minor).map_or(0, |device| device.handles);
        holders.unwrap_or(u32::MAX).saturating_add(handles)
    }

    pub(super) fn create(&mut self, new: &Create) -> Result<DevNo, Errno> {
        let taken = |d: &Device| d.name == new.name || (!d.uuid.is_empty() && *d.uuid == *new.uuid);
        if self.devices.values().any(taken) {
            return Err(Errno::EEXIST);
        }
        let free = (0..u32::MAX).find(|minor| !self.devices.contains_key(minor));
        let minor = new.minor.or(free).ok_or(Errno::EBUSY)?;
        if self.devices.contains_key(&minor) {
            return Err(Errno::EBUSY);
        }
        self.devices.insert(minor, Device::new(&new.name, &new.uuid, new.read_only));
        Ok(self.number(minor))
    }

    pub(super) fn load(
        &mut self,
        name: &DmName,
        table: &Table,
        read_only: bool,
    ) -> Result<(), Errno> {
        let minor = self.minor(name)?;
        self.check_table(minor, table)?;
        let opened = self.open_targets(minor, table);
        if opened.is_ok() {
            self.device(name)?.inactive = Some((table.clone(), read_only));
        }
        self.close_unused_pools();
        opened
    }

    /// What holds for any table: no gaps, and everything it lies on is there and large enough.
    fn check_table(&self, minor: u32, table: &Table) -> Result<(), Errno> {
        let mut end = Sectors::ZERO;
        for line in &table.lines {
            if line.start != end || line.len.is_zero() {
                return Err(Errno::EINVAL);
            }
            end = end.checked_add(line.len).ok_or(Errno::EINVAL)?;
            self.check_places(line.len, &line.target)?;
        }
        if table.is_empty() || table.devices().any(|number| *number == self.number(minor)) {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    fn check_places(&self, len: Sectors, target: &Target) -> Result<(), Errno> {
        let fits = |on: DevNo, end: Option<Sectors>| {
            let size = self.size(on).ok_or(Errno::ENXIO)?;
            if end.is_some_and(|end| end <= size) { Ok(()) } else { Err(Errno::EINVAL) }
        };
        match target {
            Target::Linear(place) => fits(place.on, place.start.checked_add(len)),
            Target::Striped { chunk, stripes } => {
                let count = u64::try_from(stripes.len()).map_err(|_| Errno::EINVAL)?;
                let each = len.get().checked_div(count).ok_or(Errno::EINVAL)?;
                if chunk.is_zero() || each.checked_rem(chunk.get()) != Some(0) {
                    return Err(Errno::EINVAL);
                }
                stripes.iter().try_for_each(|place| {
                    fits(place.on, place.start.checked_add(Sectors::new(each)))
                })
            }
            Target::ThinPool(pool) => {
                fits(pool.metadata, Some(Sectors::ZERO))?;
                fits(pool.data, Some(len))
            }
            Target::Thin(thin) => fits(thin.pool, Some(Sectors::ZERO)),
            Target::Error | Target::Zero => Ok(()),
            Target::Other { .. } => Err(Errno::EINVAL),
        }
    }

    /// What a thin pool or a thin volume does when its table is loaded.
    fn open_targets(&mut self, minor: u32, table: &Table) -> Result<(), Errno> {
        for line in &table.lines {
            match &line.target {
                Target::ThinPool(_) | Target::Thin(_) if table.lines.len() > 1 => {
                    return Err(Errno::EINVAL);
                }
                Target::ThinPool(pool) => self.open_pool(minor, pool)?,
                Target::Thin(thin) => self.open_thin(thin)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn open_pool(&mut self, minor: u32, target: &PoolTarget) -> Result<(), Errno> {
        let chunk = target.chunk.get();
        if !(128..=2_097_152).contains(&chunk) || chunk % 128 != 0 {
            return Err(Errno::EINVAL);
        }
        let same = |d: &Device| d.tables().any(|t| pool_on(t, target.metadata).is_some());
        if self.devices.iter().any(|(other, device)| *other != minor && same(device)) {
            return Err(Errno::EBUSY);
        }
        if !self.pools.contains_key(&target.metadata) {
            let pool = self.read_pool(target)?;
            self.pools.insert(target.metadata, pool);
            self.commit(target.metadata)?;
        }
        let pool = self.pools.get(&target.metadata).ok_or(Errno::EINVAL)?;
        if pool.chunk == chunk { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn open_thin(&mut self, target: &ThinTarget) -> Result<(), Errno> {
        let pool = self.live_pool(target.pool).ok_or(Errno::EINVAL)?;
        let pool = self.pools.get_mut(&pool.metadata).ok_or(Errno::EINVAL)?;
        if pool.failed { Err(Errno::EINVAL) } else { pool.find(target.id) }
    }

    /// The pool that the device of that number is.
    pub(super) fn live_pool(&self, number: DevNo) -> Option<PoolTarget> {
        self.by_number(number)?.live.as_ref()?.thin_pool().cloned()
    }

    pub(super) fn pool_of(&mut self, name: &DmName) -> Result<&mut Pool, Errno> {
        let target = self.device(name)?.live.as_ref().and_then(Table::thin_pool).cloned();
        self.pools.get_mut(&target.ok_or(Errno::EINVAL)?.metadata).ok_or(Errno::EINVAL)
    }

    pub(super) fn clear(&mut self, name: &DmName) -> Result<(), Errno> {
        self.device(name)?.inactive = None;
        self.close_unused_pools();
        Ok(())
    }

    pub(super) fn resume(&mut self, name: &DmName, seen: &Visibility) -> Result<(), Errno> {
        let anew = self.device(name)?.inactive.is_some();
        if let Some((table, read_only)) = self.device(name)?.inactive.clone() {
            self.size_pool(&table)?;
            let device = self.device(name)?;
            (device.live, device.read_only, device.inactive) = (Some(table), read_only, None);
        }
        let device = self.device(name)?;
        if device.live.is_none() {
            return Err(Errno::EINVAL);
        }
        device.suspended = false;
        device.seen = Some(seen.clone());
        let pool = device.live.as_ref().and_then(Table::thin_pool).map(|pool| pool.metadata);
        if let Some(metadata) = pool {
            let blocks = self.size(metadata).unwrap_or_default().bytes().get() / BLOCK;
            if let Some(pool) = self.pools.get_mut(&metadata) {
                pool.look_at_metadata(blocks, anew);
            }
        }
        self.close_unused_pools();
        Ok(())
    }

    /// A pool takes its size at the resume, and never gets smaller.
    fn size_pool(&mut self, table: &Table) -> Result<(), Errno> {
        let Some(target) = table.thin_pool() else { return Ok(()) };
        let chunks = table.len().get().checked_div(target.chunk.get()).unwrap_or_default();
        let pool = self.pools.get_mut(&target.metadata).ok_or(Errno::EINVAL)?;
        if chunks < pool.chunks {
            return Err(Errno::EINVAL);
        }
        if chunks > pool.chunks {
            (pool.chunks, pool.dirty) = (chunks, true);
            if pool.mode == PoolMode::OutOfDataSpace {
                pool.mode = PoolMode::ReadWrite;
            }
        }
        pool.data = target.data;
        if target.features.read_only {
            pool.mode = PoolMode::ReadOnly;
        }
        Ok(())
    }

    pub(super) fn suspend(&mut self, name: &DmName, how: Suspend) -> Result<(), Errno> {
        let device = self.device(name)?;
        let below = device.live.as_ref().and_then(|table| match how {
            Suspend::Freeze => table.thin().map(|thin| thin.pool),
            Suspend::Quick => None,
        });
        let pool = device.live.as_ref().and_then(Table::thin_pool).map(|pool| pool.metadata);
        device.suspended = true;
        let below = below.and_then(|pool| self.live_pool(pool)).map(|pool| pool.metadata);
        pool.or(below).map_or(Ok(()), |metadata| self.commit(metadata))
    }

    pub(super) fn remove(&mut self, name: &DmName) -> Result<(), Errno> {
        let minor = self.minor(name)?;
        if self.open_count(minor) > 0 {
            return Err(Errno::EBUSY);
        }
        // The pool's metadata device is still in the table below it, so the last commit works.
        let pools: Vec<_> = self.pools.keys().copied().collect();
        let own =
            |t: &Table| pools.iter().find(|metadata| pool_on(t, **metadata).is_some()).copied();
        let metadata = self.devices.get(&minor).and_then(|device| device.tables().find_map(own));
        if let Some(metadata) = metadata {
            self.commit(metadata)?;
        }
        self.devices.remove(&minor);
        self.close_unused_pools();
        Ok(())
    }

    /// Forgets pools that no table names any more; what they had not committed is gone, but
    /// a removal commits first.
    fn close_unused_pools(&mut self) {
        let devices = &self.devices;
        self.pools.retain(|metadata, _| {
            devices.values().any(|d| d.tables().any(|t| pool_on(t, *metadata).is_some()))
        });
    }

    pub(super) fn rename(
        &mut self,
        name: &DmName,
        new: &DmName,
        seen: &Visibility,
    ) -> Result<(), Errno> {
        if self.minor(new).is_ok() {
            return Err(Errno::EEXIST);
        }
        let device = self.device(name)?;
        device.name = new.clone();
        device.seen = Some(seen.clone());
        Ok(())
    }

    pub(super) fn message(&mut self, name: &DmName, text: &str) -> Result<(), Errno> {
        let number = self.number(self.minor(name)?);
        let metadata = self.live_pool(number).ok_or(Errno::EINVAL)?.metadata;
        let thins = self.devices.values().flat_map(Device::tables).filter_map(Table::thin);
        let active: BTreeSet<_> = thins.filter(|thin| thin.pool == number).map(|t| t.id).gather();
        self.pool_of(name)?.message(text, &active)?;
        // The kernel ignores it too; the pool has become read-only then.
        let _ = self.commit(metadata);
        Ok(())
    }

    pub(super) fn table(&mut self, name: &DmName) -> Result<Table, Errno> {
        Ok(self.device(name)?.live.clone().unwrap_or_default())
    }

    pub(super) fn open(&mut self, name: &DmName) -> Result<(DevNo, Sectors), Errno> {
        let number = self.number(self.minor(name)?);
        let device = self.device(name)?;
        let size = device.live.as_ref().ok_or(Errno::ENXIO)?.len();
        device.handles = device.handles.saturating_add(1);
        Ok((number, size))
    }

    pub(super) fn close(&mut self, number: DevNo) {
        if let Some(device) = self.devices.get_mut(&number.minor) {
            device.handles = device.handles.saturating_sub(1);
        }
    }
}

impl Device {
    pub(super) fn new(name: &DmName, uuid: &str, read_only: bool) -> Self {
        Self {
            name: name.clone(),
            uuid: uuid.into(),
            read_only,
            suspended: false,
            live: None,
            inactive: None,
            handles: 0,
            seen: None,
        }
    }

    fn tables(&self) -> impl Iterator<Item = &Table> {
        self.live.iter().chain(self.inactive.iter().map(|(table, _)| table))
    }
}

/// The pool of that metadata device, where the table is one.
fn pool_on(table: &Table, metadata: DevNo) -> Option<&PoolTarget> {
    table.thin_pool().filter(|pool| pool.metadata == metadata)
}
