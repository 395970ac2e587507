//! Carries out a plan: makes what is missing, leaves what is right, undoes
//! its own work where a step fails.

use std::collections::BTreeMap;

use super::active::{ActivePool, pool_state, wake_one};
use super::kernel::{DevNo, DmInfo, Kernel, Suspend};
use super::names::DeviceKey;
use super::pool::apart;
use super::table::Table;
use super::together;
use super::tree::{Below, Node, Plan, Stack};
use crate::error::{Error, ErrorKind, Result};
use crate::name::{DmName, LvName};

/// What an activation found and made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activated {
    /// Devices that were not there before, lowest first. Their nodes are there after
    /// [`Kernel::settle`].
    pub made: Vec<DmName>,
    /// Devices that were there and were renamed, resumed or given a longer table.
    pub mended: Vec<DmName>,
    /// The pools below the volumes. A pool that is read-only or needs a check is active all
    /// the same, so that its volumes can be read.
    pub pools: Vec<ActivePool>,
    /// All of them, made or found: as they should be now.
    pub devices: Sure,
}

/// Devices that are as they should be, by UUID; each is so under its name alone: a new pool's
/// device is renamed before its first volume.
pub type Sure = BTreeMap<String, (DmName, DevNo)>;

/// The number of a device that is known to be right.
fn known(sure: &Sure, key: &DeviceKey) -> Option<DevNo> {
    sure.get(&key.uuid).filter(|(name, _)| *name == key.name).map(|(_, number)| *number)
}

impl Activated {
    /// True where everything was as it should be.
    pub fn is_unchanged(&self) -> bool {
        self.made.is_empty() && self.mended.is_empty()
    }
}

impl Stack<'_> {
    /// Activates `wanted` with all that it needs, see [`Stack::plan`]. What is active is left
    /// alone; all or nothing: devices that were made are removed again where a later step
    /// fails.
    ///
    /// The kernel's pool must be at the text's transaction id, or one behind it with messages
    /// pending.
    ///
    /// # Errors
    /// As [`Stack::plan`] and [`Kernel`]; [`Diverged`](ErrorKind::Diverged), with both ids,
    /// where kernel and text are apart, or where a live device is something else than the text
    /// says; [`Unhealthy`](ErrorKind::Unhealthy) where a pool has failed.
    pub fn activate(&self, kernel: &dyn Kernel, wanted: &[LvName]) -> Result<Activated> {
        self.activate_over(kernel, wanted, &Sure::new())
    }

    /// The same over devices that are known to be right, since they were looked at under a lock
    /// that is still held: the kernel is not asked about them again.
    ///
    /// # Errors
    /// As [`Stack::activate`].
    pub fn activate_over(
        &self,
        kernel: &dyn Kernel,
        wanted: &[LvName],
        sure: &Sure,
    ) -> Result<Activated> {
        let plan = self.plan(wanted)?;
        Run::over(kernel, &plan, true, sure)?.carry_out(&plan)
    }

    /// Activates a pool without its wrapper and whatever its transaction id: for messages, and
    /// to find out where the kernel stands.
    ///
    /// # Errors
    /// As [`Stack::activate`], but for the transaction id.
    pub fn open_pool(&self, kernel: &dyn Kernel, pool: &LvName) -> Result<(ActivePool, Activated)> {
        let plan = self.plan_pool(pool)?;
        let done = Run::over(kernel, &plan, false, &Sure::new())?.carry_out(&plan)?;
        let missing = || Error::new(ErrorKind::NotFound, format!("{pool} is no thin pool"));
        Ok((done.pools.first().cloned().ok_or_else(missing)?, done))
    }
}

/// What can be undone.
enum Step {
    Made(DeviceKey),
    Renamed { from: DmName, key: DeviceKey },
}

struct Run<'a> {
    kernel: &'a dyn Kernel,
    /// What there is of the plan, by UUID.
    found: BTreeMap<Box<str>, (DmInfo, Table)>,
    check_ids: bool,
    sure: &'a Sure,
    numbers: Vec<DevNo>,
    steps: Vec<Step>,
    done: Activated,
}

impl<'a> Run<'a> {
    fn over(kernel: &'a dyn Kernel, plan: &Plan, check_ids: bool, sure: &'a Sure) -> Result<Self> {
        let mut found = BTreeMap::new();
        for node in plan.nodes.iter().filter(|node| known(sure, &node.key).is_none()) {
            let there = kernel.find_with_table(&node.key.uuid)?;
            found.extend(there.map(|there| (there.0.uuid.clone(), there)));
        }
        let (numbers, steps, done) = (Vec::new(), Vec::new(), Activated::default());
        Ok(Self { kernel, found, check_ids, sure, numbers, steps, done })
    }

    fn carry_out(mut self, plan: &Plan) -> Result<Activated> {
        match self.nodes(&plan.nodes) {
            Ok(()) => Ok(self.done),
            Err(error) => Err(error.kept(self.undo())),
        }
    }

    fn nodes(&mut self, mut nodes: &[Node]) -> Result<()> {
        while let Some((node, rest)) = nodes.split_first() {
            let new = self.new_ones(nodes);
            if new.is_empty() {
                self.old(node).map_err(|error| failed(node, error))?;
                nodes = rest;
            } else {
                self.make(&new)?;
                nodes = nodes.get(new.len()..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Those that come first, are not there yet and lie on nothing that is still to be made, with
    /// their tables.
    fn new_ones<'n>(&self, nodes: &'n [Node]) -> Vec<(&'n Node, Table)> {
        let is_new = |node: &&Node| {
            known(self.sure, &node.key).is_none()
                && !self.found.contains_key(node.key.uuid.as_str())
        };
        let new = nodes.iter().take_while(is_new);
        new.map_while(|node| Some((node, self.table(node).ok()?))).collect()
    }

    /// One that is there.
    fn old(&mut self, node: &Node) -> Result<()> {
        if let Some(number) = known(self.sure, &node.key) {
            self.numbers.push(number);
            return Ok(());
        }
        let table = self.table(node)?;
        let Some((info, live)) = self.found.get(node.key.uuid.as_str()).cloned() else {
            return Err(Error::new(ErrorKind::NotFound, "the device is not there"));
        };
        let number = self.mend(node, &info, &live, &table)?;
        self.numbers.push(number);
        self.is_right(node, number)
    }

    /// A device is as it should be.
    fn is_right(&mut self, node: &Node, number: DevNo) -> Result<()> {
        self.done.devices.insert(node.key.uuid.clone(), (node.key.name.clone(), number));
        match &node.pool {
            Some((lv, id)) => self.pool(&node.key.name, lv, *id),
            None => Ok(()),
        }
    }

    /// The plan's table with the numbers that the devices below turned out to have.
    fn table(&self, node: &Node) -> Result<Table> {
        node.table.over(|below| match *below {
            Below::Disk(number) => Ok(number),
            Below::Node(index) => self.numbers.get(index).copied().ok_or_else(|| {
                Error::new(ErrorKind::Corrupt, "a plan must name lower devices first")
            }),
        })
    }

    /// Makes devices that do not lie on each other.
    fn make(&mut self, new: &[(&Node, Table)]) -> Result<()> {
        let kernel = self.kernel;
        for (node, _) in new {
            let number = kernel.create(&node.key.create(node.read_only, node.minor));
            self.numbers.push(number.map_err(|error| failed(node, error))?);
            self.steps.push(Step::Made(node.key.clone()));
        }
        let put_in_force = |(node, table): &(&Node, Table)| {
            let loaded = kernel.load(&node.key.name, table, node.read_only);
            let resumed = loaded.and_then(|()| kernel.resume(&node.key.name, &node.key.seen));
            resumed.map_err(|error| failed(node, error))
        };
        together::each(kernel.calls_at_once(), new, &put_in_force).1?;
        let numbers = self.numbers.len().saturating_sub(new.len());
        let numbers = self.numbers.get(numbers..).unwrap_or_default().to_vec();
        for ((node, _), number) in new.iter().zip(numbers) {
            self.done.made.push(node.key.name.clone());
            self.is_right(node, number).map_err(|error| failed(node, error))?;
        }
        Ok(())
    }

    /// Brings a device that is there to what it should be.
    fn mend(&mut self, node: &Node, info: &DmInfo, live: &Table, table: &Table) -> Result<DevNo> {
        let key = &node.key;
        let mut mended = false;
        if info.name != key.name {
            self.kernel.rename(&info.name, &key.name, &key.seen)?;
            self.steps.push(Step::Renamed { from: info.name.clone(), key: key.clone() });
            mended = true;
        }
        let info = DmInfo { name: key.name.clone(), ..info.clone() };
        if live.same_stack(table) {
            if info.suspended {
                wake_one(self.kernel, &info, &key.seen)?;
                mended = true;
            } else if info.inactive {
                self.kernel.clear(&key.name)?;
            }
        } else if live.grows_into(table) {
            self.reload(node, &info, table)?;
            mended = true;
        } else {
            let why = format!("its table is '{live}' where the metadata says '{table}'");
            return Err(Error::new(ErrorKind::Diverged, why));
        }
        if mended {
            self.done.mended.push(key.name.clone());
        }
        Ok(info.number)
    }

    /// A longer table, or the first one of a device that was made and left without.
    fn reload(&self, node: &Node, info: &DmInfo, table: &Table) -> Result<()> {
        let name = &node.key.name;
        self.kernel.load(name, table, node.read_only)?;
        if info.live && !info.suspended {
            self.kernel.suspend(name, Suspend::Quick)?;
        }
        let resumed = self.kernel.resume(name, &node.key.seen);
        if resumed.is_err() && info.live {
            // With the old table rather than not at all. The first failure is the one to tell.
            let _ = self.kernel.clear(name);
            let _ = self.kernel.resume(name, &node.key.seen);
        }
        resumed
    }

    fn pool(&mut self, name: &DmName, lv: &LvName, text_id: u64) -> Result<()> {
        let state = pool_state(self.kernel, name)?;
        let kernel_id = state.transaction_id;
        let pending = kernel_id.checked_add(1) == Some(text_id);
        if self.check_ids && kernel_id != text_id && !pending {
            return Err(diverged(kernel_id, text_id));
        }
        self.done.pools.push(ActivePool { lv: lv.clone(), name: name.clone(), state });
        Ok(())
    }

    /// Takes back what was done, last first, and says how that went.
    fn undo(&mut self) -> String {
        let mut left = Vec::new();
        while let Some(step) = self.steps.pop() {
            let undone = match &step {
                Step::Made(key) => self.kernel.remove(&key.name, &key.seen),
                Step::Renamed { from, key } => self.kernel.rename(&key.name, from, &key.seen),
            };
            if let (Err(error), Step::Made(key) | Step::Renamed { key, .. }) = (undone, &step) {
                log::warn!("cannot undo the activation of {}: {error}", key.name);
                left.push(key.name.as_str().to_owned());
            }
        }
        if left.is_empty() {
            return "the devices are as they were".to_owned();
        }
        format!("left behind: {}", left.join(", "))
    }
}

fn failed(node: &Node, error: Error) -> Error {
    error.op("activate").at(&node.key.name)
}

/// The error for a pool whose transaction id is neither the text's nor the one before.
pub(super) fn diverged(kernel_id: u64, text_id: u64) -> Error {
    Error::new(ErrorKind::Diverged, apart(kernel_id, text_id))
}

#[cfg(test)]
mod tests;
