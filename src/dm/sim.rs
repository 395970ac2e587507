//! A device-mapper in memory, for tests and dry runs.
//!
//! It refuses what the kernel refuses, with the same errors: opens are counted, tables wait for
//! a resume, thin ids exist or not. Thin volumes keep their data on the pool's data volume and
//! the pool its metadata on the metadata volume, in a format of its own behind a superblock as
//! the kernel's; what was not committed is lost when a new `SimKernel` is put over the same disks.
//! A message commits, so does a sync of a thin volume, a suspend, and the pool's removal
//! (drivers/md/dm-thin.c; its commit once a second is left out).

mod call;
mod io;
mod look;
mod pool;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use call::Call;
use state::{Errno, State};

use super::kernel::{Create, DevNo, DmInfo, Kernel, Suspend, TargetStatus, Visibility};
use super::status::PoolState;
use super::table::{Table, Target};
use super::thin_metadata::{ChangedChunks, ThinDetails};
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, Result};
use crate::name::{DmName, LvName, VgName};

/// The device-mapper in memory. A clone is the same one.
#[derive(Clone, Default)]
pub struct SimKernel {
    state: Arc<Mutex<State>>,
}

/// How a pool is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// Its metadata cannot be used.
    Fail,
    /// It is read-only.
    ReadOnly,
    /// It is read-only until its metadata was checked.
    NeedsCheck,
    /// Its metadata is full: it takes one change each time that a table is put in force, until it
    /// has more.
    OutOfMetadata {
        /// So much that it has, in blocks.
        blocks: u64,
    },
}

impl SimKernel {
    /// One without any device.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives it a disk under that number. It replaces one of the same number.
    pub fn add_disk(&self, number: DevNo, disk: Arc<dyn Dev>) {
        self.lock().disks.insert(number, disk);
    }

    /// Gives its devices this major number. The one that it begins with may be a real disk's.
    pub fn number_from(&self, major: u32) {
        self.lock().major = major;
    }

    /// The disk of that number.
    pub fn disk(&self, number: DevNo) -> Option<Arc<dyn Dev>> {
        self.lock().disks.get(&number).cloned()
    }

    /// All calls so far, failed ones included, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().log.calls.clone()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.lock().log.calls.clear();
    }

    /// Lets the `nth` call from now on (the next is 0) fail without effect; with `forever` all
    /// after it too, as after the death of the process.
    pub fn fail_at(&self, nth: usize, kind: ErrorKind, forever: bool) {
        self.lock().log.fail_at(nth, kind, forever);
    }

    /// Lets the `nth` read, write, sync or discard of a volume from now on (the next is 0) fail once,
    /// without effect.
    pub fn fail_io_at(&self, nth: usize, kind: std::io::ErrorKind) {
        self.lock().log.io_fault = Some((nth, kind));
    }

    /// Lets calls and accesses succeed again; true where no access is still to fail.
    pub fn heal(&self) -> bool {
        let mut state = self.lock();
        state.log.fault = None;
        state.log.io_fault.take().is_none()
    }

    /// Where `/dev/VG/LV` leads, for each volume that has such a link.
    pub fn links(&self) -> BTreeMap<(VgName, LvName), DmName> {
        self.lock().links()
    }

    /// Puts in the devices of another kernel with their live tables: what a dry run starts from.
    /// They stay open as often as they were. A thin pool among them gets its state by
    /// [`adopt_pool`](Self::adopt_pool).
    pub fn adopt(&self, devices: impl IntoIterator<Item = (DmInfo, Table)>) {
        self.lock().adopt(devices.into_iter().collect());
    }

    /// Says where an adopted pool stands. Thin ids that it was not told of count as there when
    /// they are asked for, and as free when they are to be made; nothing is written to its
    /// metadata.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no such live pool.
    pub fn adopt_pool(&self, name: &DmName, state: &PoolState) -> Result<()> {
        self.lock().adopt_pool(name, state).map_err(|errno| failure(errno, name))
    }

    /// Gives an adopted pool the content of a thin device.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no such live pool.
    pub fn adopt_thin(&self, pool: &DmName, id: u32, content: Arc<dyn Dev>) -> Result<()> {
        self.lock().adopt_thin(pool, id, content).map_err(|errno| failure(errno, pool))
    }

    /// Breaks a live pool.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no such live pool.
    pub fn break_pool(&self, name: &DmName, how: Breakage) -> Result<()> {
        self.lock().break_pool(name, how).map_err(|errno| failure(errno, name))
    }

    /// The thin ids of a live pool.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no such live pool.
    pub fn thin_ids(&self, pool: &DmName) -> Result<Vec<u32>> {
        self.lock().thin_ids(pool).map_err(|errno| failure(errno, pool))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the call down, fails where it is to fail, else does it.
    fn call<T>(
        &self,
        call: Call,
        name: &DmName,
        run: impl FnOnce(&mut State) -> Result<T, Errno>,
    ) -> Result<T> {
        let mut state = self.lock();
        state.log.note(call)?;
        run(&mut state).map_err(|errno| failure(errno, name))
    }
}

/// What the real kernel's adapter makes of an errno.
fn failure(errno: Errno, name: &DmName) -> Error {
    let kind = match errno {
        Errno::EBUSY => ErrorKind::Busy,
        Errno::EEXIST => ErrorKind::Exists,
        Errno::ENXIO | Errno::ENODATA => ErrorKind::NotFound,
        Errno::EOPNOTSUPP => ErrorKind::Unsupported,
        Errno::ENOSPC => return Error::io(errno.into()).at(name),
        Errno::EINVAL | Errno::EIO => ErrorKind::Io,
    };
    Error::new(kind, std::io::Error::from(errno)).at(name)
}

impl Kernel for SimKernel {
    fn list(&self, uuid_prefix: &str) -> Result<Vec<DmInfo>> {
        let mut state = self.lock();
        state.log.note(Call::List(uuid_prefix.to_owned()))?;
        let mut all = state.infos();
        all.retain(|info| info.uuid.starts_with(uuid_prefix));
        Ok(all)
    }

    fn info(&self, name: &DmName) -> Result<Option<DmInfo>> {
        let found = |state: &mut State| Ok(state.infos().into_iter().find(|i| i.name == *name));
        self.call(Call::Info(name.clone()), name, found)
    }

    fn find(&self, uuid: &str) -> Result<Option<DmInfo>> {
        let mut state = self.lock();
        state.log.note(Call::Find(uuid.to_owned()))?;
        Ok(state.infos().into_iter().find(|info| *info.uuid == *uuid))
    }

    fn numbered(&self, number: DevNo) -> Result<Option<DmInfo>> {
        let mut state = self.lock();
        state.log.note(Call::Numbered(number))?;
        Ok(state.infos().into_iter().find(|info| info.number == number))
    }

    fn create(&self, device: &Create) -> Result<DevNo> {
        self.call(Call::Create(device.clone()), &device.name, |state| state.create(device))
    }

    fn load(&self, name: &DmName, table: &Table, read_only: bool) -> Result<()> {
        let call = Call::Load(name.clone(), table.clone(), read_only);
        self.call(call, name, |state| state.load(name, table, read_only))
    }

    fn clear(&self, name: &DmName) -> Result<()> {
        self.call(Call::Clear(name.clone()), name, |state| state.clear(name))
    }

    fn resume(&self, name: &DmName, seen: &Visibility) -> Result<()> {
        let call = Call::Resume(name.clone(), seen.clone());
        self.call(call, name, |state| state.resume(name, seen))
    }

    fn suspend(&self, name: &DmName, how: Suspend) -> Result<()> {
        self.call(Call::Suspend(name.clone(), how), name, |state| state.suspend(name, how))
    }

    fn remove(&self, name: &DmName, seen: &Visibility) -> Result<()> {
        let call = Call::Remove(name.clone(), seen.clone());
        self.call(call, name, |state| state.remove(name))
    }

    fn rename(&self, name: &DmName, new: &DmName, seen: &Visibility) -> Result<()> {
        let call = Call::Rename(name.clone(), new.clone());
        self.call(call, name, |state| state.rename(name, new, seen))
    }

    fn message(&self, name: &DmName, message: &str) -> Result<()> {
        let call = Call::Message(name.clone(), message.to_owned());
        self.call(call, name, |state| state.message(name, message))
    }

    fn status(&self, name: &DmName) -> Result<Vec<TargetStatus>> {
        self.call(Call::Status(name.clone()), name, |state| state.status(name))
    }

    fn table(&self, name: &DmName) -> Result<Table> {
        let call = Call::Table(name.clone());
        let table = self.call(call, name, |state| state.table(name))?;
        let foreign = table.lines.iter().find_map(|line| match &line.target {
            Target::Other { kind, .. } => Some(kind),
            _ => None,
        });
        match foreign {
            None => Ok(table),
            Some(kind) => {
                let why = format!("a target of type {kind} is not driven");
                Err(Error::new(ErrorKind::Unsupported, why).at(name))
            }
        }
    }

    fn thin_devices(
        &self,
        pool: &DmName,
        _metadata: &DmName,
    ) -> Result<BTreeMap<u32, ThinDetails>> {
        self.call(Call::Status(pool.clone()), pool, |state| state.thin_details(pool))
    }

    fn changed_chunks(
        &self,
        pool: &DmName,
        _metadata: &DmName,
        devices: (u32, u32),
    ) -> Result<ChangedChunks> {
        self.call(Call::Status(pool.clone()), pool, |state| state.changed_chunks(pool, devices))
    }

    fn wait(&self, _at_most: Duration, _cancelled: &dyn Fn() -> bool) -> Result<()> {
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        let mut state = self.lock();
        state.log.note(Call::Settle)?;
        match state.infos().into_iter().find(|info| info.suspended) {
            None => Ok(()),
            Some(info) => {
                let why = "udev would wait for ever: the device is suspended";
                Err(Error::new(ErrorKind::Busy, why).at(info.name))
            }
        }
    }

    fn open_alone(&self, name: &DmName) -> Result<Option<Box<dyn Dev>>> {
        if self.info(name)?.is_some_and(|info| info.open_count > 0) {
            return Ok(None);
        }
        let dev = self.open(name)?;
        dev.sync().map_err(|error| Error::io(error).op("open").at(name))?;
        Ok(Some(dev))
    }

    fn open(&self, name: &DmName) -> Result<Box<dyn Dev>> {
        let call = Call::Open(name.clone());
        let (number, size) = self.call(call, name, |state| state.open(name))?;
        Ok(Box::new(io::SimDev::new(Arc::clone(&self.state), name.clone(), (number, size))))
    }
}

#[cfg(test)]
mod tests;
