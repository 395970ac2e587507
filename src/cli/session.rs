//! One run: the machine, for real or for show, and whoever watches.

use std::sync::Arc;

use imgbase::dry::DryRun;
use imgbase::host::Host;
use imgbase::machine::Machine;
use imgbase::ops::{Imgbase, Progress, Watch};
use imgbase::{Error, ErrorKind, Result};

use super::answer::{Answer, Commit, Plan};
use super::interrupt::Interrupts;
use super::process;
use super::progress::Reporter;
use super::render::Console;
use super::settings::Settings;

/// A run of the command.
pub(crate) struct Session<'s> {
    settings: &'s Settings,
    console: &'s Arc<Console>,
    interrupts: Arc<Interrupts>,
}

impl<'s> Session<'s> {
    /// With these settings.
    pub(crate) fn new(
        settings: &'s Settings,
        console: &'s Arc<Console>,
        interrupts: Arc<Interrupts>,
    ) -> Self {
        Self { settings, console, interrupts }
    }

    /// The settings.
    pub(crate) fn settings(&self) -> &Settings {
        self.settings
    }

    /// Standard error.
    pub(crate) fn console(&self) -> &Console {
        self.console
    }

    /// Fails once the user wants it to stop.
    pub(crate) fn check_interrupted(&self) -> Result<()> {
        if self.interrupts.came() {
            return Err(Error::new(ErrorKind::Interrupted, "you stopped it"));
        }
        Ok(())
    }

    /// Runs a verb that changes nothing.
    pub(crate) fn read<T>(
        &self,
        verb: impl FnOnce(&Imgbase<'_>, &mut dyn Watch) -> Result<T>,
    ) -> Result<T> {
        let host = self.host()?;
        verb(&self.imgbase(host.machine()), &mut self.reporter())
    }

    /// Runs a verb that changes something; with `--dry-run` only tells what it would do.
    pub(crate) fn change(
        &self,
        verb: impl FnOnce(&Imgbase<'_>, &mut dyn Watch) -> Result<Answer>,
    ) -> Result<Answer> {
        let host = self.host()?;
        if self.settings.dry_run {
            return self.plan(host.machine(), verb);
        }
        verb(&self.imgbase(host.machine()), &mut self.reporter())
    }

    /// The dry run: the same verb over a machine that changes nothing.
    fn plan(
        &self,
        machine: Machine<'_>,
        verb: impl FnOnce(&Imgbase<'_>, &mut dyn Watch) -> Result<Answer>,
    ) -> Result<Answer> {
        let dry = DryRun::over(machine)?;
        let mut planner = Planner::new(&dry, self.reporter());
        let result = verb(&self.imgbase(dry.machine()), &mut planner)?;
        Ok(Answer::Plan(Plan {
            steps: dry.lines(),
            commits: planner.commits,
            needed_bytes: planner.written,
            result: Box::new(result),
        }))
    }

    fn host(&self) -> Result<Host> {
        process::require_privilege()?;
        Host::new(self.settings.host()?)
    }

    fn imgbase<'m>(&self, machine: Machine<'m>) -> Imgbase<'m> {
        let imgbase = Imgbase::new(machine);
        match &self.settings.vg {
            Some(vg) => imgbase.in_vg(vg.clone()),
            None => imgbase,
        }
    }

    fn reporter(&self) -> Reporter {
        Reporter::new(self.console, &self.interrupts)
    }
}

/// Notes where in a dry run the commit points lie.
struct Planner<'d, 'm> {
    dry: &'d DryRun<'m>,
    reporter: Reporter,
    commits: Vec<Commit>,
    written: u64,
}

impl<'d, 'm> Planner<'d, 'm> {
    fn new(dry: &'d DryRun<'m>, reporter: Reporter) -> Self {
        Self { dry, reporter, commits: Vec::new(), written: 0 }
    }
}

impl Watch for Planner<'_, '_> {
    fn step(&mut self, step: &str) {
        self.reporter.step(step);
    }

    fn committed(&mut self, what: &str) {
        let after_steps = self.dry.lines().len();
        self.commits.push(Commit { what: what.to_owned(), after_steps });
    }

    fn progress(&mut self, progress: Progress) {
        self.written = self.written.max(progress.written.get());
        self.reporter.progress(progress);
    }

    fn warn(&mut self, warning: &str) {
        self.reporter.warn(warning);
    }

    fn cancelled(&self) -> bool {
        self.reporter.cancelled()
    }
}
