//! Device-mapper in a dry run: a simulated one, filled from the real one.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::Notes;
use crate::dev::Dev;
use crate::dm::sim::SimKernel;
use crate::dm::table::{Line, Table, Target};
use crate::dm::{Create, DevNo, DmInfo, Kernel, Suspend, TargetStatus, Visibility, pool_state};
use crate::error::Result;
use crate::machine::Machine;
use crate::name::DmName;
use crate::units::Bytes;

/// So much at the front of a volume is kept in memory, where its file system describes itself;
/// what is written behind it is counted and dropped.
const KEPT: Bytes = Bytes::mib(1);

/// A major number that no device has: the kernel gives 1 to 511.
const NOBODYS: u32 = 4095;

/// lvm2's devices: others are none of our business.
const OURS: &str = "LVM-";

pub(super) struct DryKernel {
    sim: SimKernel,
    /// The devices that there are.
    real: Vec<DmName>,
    notes: Notes,
}

impl DryKernel {
    /// Fills the simulated kernel from the real one.
    pub(super) fn over(machine: &Machine<'_>, notes: Notes) -> Result<Self> {
        let (real, sim) = (machine.kernel, SimKernel::new());
        // Where no device says which is device-mapper's.
        sim.number_from(NOBODYS);
        let mut live: Vec<(DmInfo, Table)> = Vec::new();
        for device in real.list(OURS)?.into_iter().filter(|device| device.live) {
            let Ok(table) = real.table(&device.name) else { continue };
            live.push((device, table));
        }
        sim.adopt(live.iter().cloned());
        for (pool, table) in &live {
            if table.thin_pool().is_some() {
                sim.adopt_pool(&pool.name, &pool_state(real, &pool.name)?)?;
                adopt_thins(machine, &sim, pool, &live)?;
            }
        }
        sim.forget_calls();
        let real = live.into_iter().map(|(device, _)| device.name).collect();
        Ok(Self { sim, real, notes })
    }

    pub(super) fn sim(&self) -> SimKernel {
        self.sim.clone()
    }

    /// Notes what the simulated kernel was just asked to change.
    fn noting<T>(&self, result: Result<T>) -> Result<T> {
        for call in self.sim.calls().iter().filter(|call| call.changes()) {
            self.notes.add(call.to_string());
        }
        self.sim.forget_calls();
        result
    }
}

/// Gives the simulated pool what its active thin volumes hold.
fn adopt_thins(
    machine: &Machine<'_>,
    sim: &SimKernel,
    pool: &DmInfo,
    live: &[(DmInfo, Table)],
) -> Result<()> {
    for (device, table) in live.iter().filter(|(device, _)| !device.suspended) {
        let Some(id) = thin_on(table, pool.number) else { continue };
        let node = Path::new("/dev/mapper").join(device.name.as_str());
        sim.adopt_thin(&pool.name, id, machine.disks.open_image(&node)?.dev)?;
    }
    Ok(())
}

/// The thin device id of a table, where it is of that pool.
fn thin_on(table: &Table, pool: DevNo) -> Option<u32> {
    match table.lines.as_slice() {
        [Line { target: Target::Thin(thin), .. }] if thin.pool == pool => Some(thin.id),
        _ => None,
    }
}

impl Kernel for DryKernel {
    fn list(&self, uuid_prefix: &str) -> Result<Vec<DmInfo>> {
        self.sim.list(uuid_prefix)
    }

    fn info(&self, name: &DmName) -> Result<Option<DmInfo>> {
        self.sim.info(name)
    }

    fn find(&self, uuid: &str) -> Result<Option<DmInfo>> {
        self.sim.find(uuid)
    }

    fn numbered(&self, number: DevNo) -> Result<Option<DmInfo>> {
        self.sim.numbered(number)
    }

    fn create(&self, device: &Create) -> Result<DevNo> {
        self.noting(self.sim.create(device))
    }

    fn load(&self, name: &DmName, table: &Table, read_only: bool) -> Result<()> {
        self.noting(self.sim.load(name, table, read_only))
    }

    fn clear(&self, name: &DmName) -> Result<()> {
        self.noting(self.sim.clear(name))
    }

    fn resume(&self, name: &DmName, seen: &Visibility) -> Result<()> {
        self.noting(self.sim.resume(name, seen))
    }

    fn suspend(&self, name: &DmName, how: Suspend) -> Result<()> {
        self.noting(self.sim.suspend(name, how))
    }

    fn remove(&self, name: &DmName, seen: &Visibility) -> Result<()> {
        self.noting(self.sim.remove(name, seen))
    }

    fn rename(&self, name: &DmName, new: &DmName, seen: &Visibility) -> Result<()> {
        self.noting(self.sim.rename(name, new, seen))
    }

    fn message(&self, name: &DmName, message: &str) -> Result<()> {
        self.noting(self.sim.message(name, message))
    }

    fn status(&self, name: &DmName) -> Result<Vec<TargetStatus>> {
        self.sim.status(name)
    }

    fn table(&self, name: &DmName) -> Result<Table> {
        self.sim.table(name)
    }

    fn wait(&self, _at_most: Duration, _cancelled: &dyn Fn() -> bool) -> Result<()> {
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn open(&self, name: &DmName) -> Result<Box<dyn Dev>> {
        let inner = self.sim.open(name)?;
        Ok(Box::new(Volume { inner, notes: self.notes.clone() }))
    }

    fn is_on_paper(&self, name: &DmName) -> bool {
        !self.real.contains(name)
    }
}

/// A volume of which only the front is kept.
struct Volume {
    inner: Box<dyn Dev>,
    notes: Notes,
}

impl Dev for Volume {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn size(&self) -> Bytes {
        self.inner.size()
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        self.inner.read_at(buf, at)
    }

    fn write_at(&self, data: &[u8], at: Bytes) -> io::Result<()> {
        let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
        if at.saturating_add(Bytes::new(len)) > self.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let kept = usize::try_from(KEPT.saturating_sub(at).get()).unwrap_or(usize::MAX);
        let front = data.get(..kept.min(data.len())).unwrap_or_default();
        if front.is_empty() { Ok(()) } else { self.inner.write_at(front, at) }
    }

    fn sync(&self) -> io::Result<()> {
        self.notes.add(format!("sync {}", self.name()));
        Ok(())
    }

    fn discard(&self, _at: Bytes, _len: Bytes) -> io::Result<()> {
        Ok(())
    }
}
