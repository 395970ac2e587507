//! A machine that changes nothing: `--dry-run`.
//!
//! The same operations run over it. Writes stay in memory above the real
//! disks, device-mapper is a simulated one filled from what the kernel has,
//! mounts and programs are only noted. [`DryRun::lines`] tells, in order, what
//! would have been done.

mod boot;
mod disks;
mod kernel;
mod lvm2;
mod mounts;
mod shadow;
mod tools;

use std::sync::{Arc, Mutex, PoisonError};

use self::boot::DryBoot;
use self::disks::DryDisks;
use self::kernel::DryKernel;
use self::lvm2::DryLvm2;
use self::mounts::DryMounts;
use self::tools::DryTools;
use crate::error::Result;
use crate::machine::Machine;

/// What would have been done, in order.
#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    /// One more step: it begins with a verb.
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A machine over a real one, none of whose changes reach it.
pub struct DryRun<'m> {
    disks: DryDisks<'m>,
    kernel: DryKernel,
    mounts: DryMounts<'m>,
    tools: DryTools<'m>,
    lvm2: DryLvm2<'m>,
    boot: Option<DryBoot<'m>>,
    needs_no_entries: bool,
    notes: Notes,
}

impl<'m> DryRun<'m> {
    /// Looks at the real machine's devices and begins with an empty list.
    ///
    /// # Errors
    /// As the real device-mapper gives them.
    pub fn over(machine: Machine<'m>) -> Result<Self> {
        let notes = Notes::default();
        let kernel = DryKernel::over(&machine, notes.clone())?;
        Ok(Self {
            disks: DryDisks::new(machine.disks, kernel.sim(), notes.clone()),
            tools: DryTools::new(machine.tools, kernel.sim(), notes.clone()),
            mounts: DryMounts::new(machine.mounts, (machine.disks, kernel.sim()), notes.clone()),
            lvm2: DryLvm2::new(machine.lvm2, notes.clone()),
            boot: machine.boot.map(|boot| DryBoot::new(boot, &notes)),
            needs_no_entries: machine.needs_no_entries,
            kernel,
            notes,
        })
    }

    /// The machine to run an operation on.
    pub fn machine(&self) -> Machine<'_> {
        Machine {
            disks: &self.disks,
            kernel: &self.kernel,
            mounts: &self.mounts,
            tools: &self.tools,
            lvm2: &self.lvm2,
            boot: self.boot.as_ref().map(DryBoot::at),
            needs_no_entries: self.needs_no_entries,
            in_order: true,
        }
    }

    /// What would have been done, a step a line, each beginning with a verb.
    pub fn lines(&self) -> Vec<String> {
        self.notes.lines()
    }
}
