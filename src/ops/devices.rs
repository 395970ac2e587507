//! A session's devices: activation, deactivation, the pool under them.

use super::session::Session;
use crate::dm::{self, PvNumbers, Stack};
use crate::error::{ErrorKind, Result};
use crate::name::LvName;

impl Session<'_> {
    /// Activates the pool, where it is not.
    pub(super) fn pool_on(&mut self) -> Result<()> {
        let pool = self.pool()?;
        let numbers = self.numbers()?;
        let (_, activated) = self.stack(&numbers).open_pool(self.machine.kernel, &pool)?;
        self.made_pool |= !activated.made.is_empty();
        Ok(())
    }

    /// Deactivates the pool where this session activated it and nothing uses it now.
    pub(super) fn pool_as_before(&mut self) -> Result<()> {
        if !self.made_pool {
            return Ok(());
        }
        match dm::deactivate(self.machine.kernel, &self.vg, &[self.pool()?]) {
            Err(error) if error.kind() != ErrorKind::Busy => Err(error),
            _ => Ok(()),
        }
    }

    fn stack<'a>(&'a self, numbers: &'a PvNumbers) -> Stack<'a> {
        let autoextend_threshold = self.machine.lvm2.autoextend_threshold();
        Stack { vg: &self.vg, numbers, autoextend_threshold }
    }

    /// Activates volumes; those that are active stay as they are.
    pub(super) fn activate(&mut self, names: &[&LvName]) -> Result<()> {
        let names: Vec<LvName> = names.iter().map(|name| (*name).clone()).collect();
        let numbers = self.numbers()?;
        self.stack(&numbers).activate(self.machine.kernel, &names).map(drop)
    }

    /// Deactivates volumes, and the pool with the last of them; those that are not active stay
    /// as they are.
    pub(super) fn deactivate(&mut self, names: &[&LvName]) -> Result<()> {
        let names: Vec<LvName> = names.iter().map(|name| (*name).clone()).collect();
        dm::deactivate(self.machine.kernel, &self.vg, &names).map(drop)
    }
}
