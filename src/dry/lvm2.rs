//! lvm2's surroundings in a dry run: its locks are taken to read only.

use super::Notes;
use crate::error::Result;
use crate::machine::{Creator, Held, LockMode, Lvm2Host, NewPv, StagedBackup};
use crate::name::VgName;

pub(super) struct DryLvm2<'m> {
    real: &'m dyn Lvm2Host,
    notes: Notes,
}

impl<'m> DryLvm2<'m> {
    pub(super) fn new(real: &'m dyn Lvm2Host, notes: Notes) -> Self {
        Self { real, notes }
    }
}

impl Lvm2Host for DryLvm2<'_> {
    fn creator(&self) -> Creator {
        self.real.creator()
    }

    fn lock_vg(&self, vg: &VgName, mode: LockMode) -> Result<Box<dyn Held>> {
        if mode == LockMode::Exclusive {
            self.notes.add(format!("lock {vg}"));
        }
        self.real.lock_vg(vg, LockMode::Shared)
    }

    fn lock_global(&self, mode: LockMode) -> Result<Box<dyn Held>> {
        if mode == LockMode::Exclusive {
            self.notes.add("lock the set of volume groups");
        }
        self.real.lock_global(LockMode::Shared)
    }

    fn lock_watch(&self, vg: &VgName) -> Result<Box<dyn Held>> {
        self.real.lock_watch(vg)
    }

    fn lock_boot(&self, mode: LockMode) -> Result<Option<Box<dyn Held>>> {
        self.real.lock_boot(mode)
    }

    fn watcher(&self, vg: &VgName) -> Option<String> {
        self.real.watcher(vg)
    }

    fn dmeventd(&self) -> Option<u32> {
        self.real.dmeventd()
    }

    fn system_ids(&self) -> Vec<String> {
        self.real.system_ids()
    }

    fn autoextend_threshold(&self) -> u8 {
        self.real.autoextend_threshold()
    }

    fn check_writable(&self) -> Result<()> {
        self.real.check_writable()
    }

    fn archive(&self, vg: &VgName, seqno: u64, _text: &dyn Fn() -> String) -> Result<()> {
        self.notes.add(format!("archive the text of {vg} at seqno {seqno}, if lvm2 is set up so"));
        Ok(())
    }

    fn stage_backup(
        &self,
        vg: &VgName,
        _text: &dyn Fn() -> String,
    ) -> Option<Box<dyn StagedBackup>> {
        self.notes.add(format!("back up the text of {vg}, if lvm2 is set up so"));
        None
    }

    fn backup(&self, vg: &VgName) -> Option<String> {
        self.real.backup(vg)
    }

    fn devices_changed(&self, new: &[NewPv]) {
        for pv in new {
            self.notes.add(format!("tell lvm2 of the physical volume on {}", pv.path.display()));
        }
    }
}
