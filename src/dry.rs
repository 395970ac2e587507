//! Stand-in: a run that changes nothing.

use std::marker::PhantomData;

use crate::machine::Machine;

/// Runs over a machine and changes nothing.
pub struct DryRun<'m>(Machine<'m>, PhantomData<&'m ()>);

impl<'m> DryRun<'m> {
    /// Over this machine.
    pub fn over(machine: Machine<'m>) -> Self {
        Self(machine, PhantomData)
    }

    /// The machine that verbs work on.
    pub fn machine(&self) -> Machine<'_> {
        self.0
    }

    /// What would have been done so far, in order.
    pub fn lines(&self) -> Vec<String> {
        Vec::new()
    }
}
