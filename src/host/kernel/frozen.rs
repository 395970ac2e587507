//! Devices that are frozen right now, any of which may hold this program, its
//! log or its libraries: until the last is resumed nothing is logged and no
//! path is looked up.

use std::time::Duration;

use imgbase_sys::dm::Control;
use imgbase_sys::hold::{Quiet, Verdict, Watchdog};

use super::hurry::Hurrying;
use super::nodes::Task;
use crate::error::{Error, ErrorKind, Result};
use crate::name::DmName;

/// After this time a device is resumed whatever its owner does.
const LIMIT: Duration = Duration::from_secs(10);

/// What is frozen, and what waits for it.
#[derive(Default)]
pub(super) struct Frozen {
    devices: Vec<(DmName, Watchdog)>,
    quiet: Option<Quiet>,
    /// From before the first was frozen until the last goes on.
    hurrying: Option<Hurrying>,
    lines: Vec<String>,
    tasks: Vec<Task>,
}

impl Frozen {
    /// Logs a line, at the latest when nothing is frozen any more.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if !log::log_enabled!(log::Level::Debug) {
            return;
        }
        if self.devices.is_empty() {
            log::debug!("{}", line());
        } else {
            self.lines.push(line());
        }
    }

    /// True while something is frozen.
    pub(super) fn is_any(&self) -> bool {
        !self.devices.is_empty()
    }

    /// Keeps a task for later while something is frozen, else gives it back.
    pub(super) fn later(&mut self, task: Task) -> Option<Task> {
        if self.devices.is_empty() {
            return Some(task);
        }
        self.tasks.push(task);
        None
    }

    /// What has waited, once nothing is frozen.
    pub(super) fn due(&mut self) -> Vec<Task> {
        if self.devices.is_empty() { std::mem::take(&mut self.tasks) } else { Vec::new() }
    }

    /// Makes this process fit to have the device frozen: memory locked, signals held back, a
    /// child that resumes it if this process cannot.
    pub(super) fn prepare(
        &mut self,
        control: &Control,
        name: &DmName,
        hurrying: Hurrying,
    ) -> Result<()> {
        let failed = |error| Error::io(error).op("get ready to suspend").at(name);
        let dog = Watchdog::begin(control, name.as_str(), LIMIT).map_err(failed)?;
        if self.quiet.is_none() {
            self.quiet = Some(Quiet::begin().map_err(failed)?);
        }
        self.devices.push((name.clone(), dog));
        self.hurrying.get_or_insert(hurrying);
        Ok(())
    }

    /// The device is resumed, or was never suspended.
    ///
    /// # Errors
    /// [`Diverged`](ErrorKind::Diverged) where the child had to resume it: what was done
    /// meanwhile was done to a live file system.
    pub(super) fn thaw(&mut self, name: &DmName) -> Result<()> {
        let Some(place) = self.devices.iter().position(|(frozen, _)| frozen == name) else {
            return Ok(());
        };
        let verdict = self.devices.swap_remove(place).1.end();
        if self.devices.is_empty() {
            self.quiet = None;
            self.hurrying = None;
            for line in self.lines.drain(..) {
                log::debug!("{line}");
            }
        }
        match verdict {
            Verdict::Held => Ok(()),
            Verdict::LetGo => {
                let why =
                    format!("it was suspended for {} s and resumed to be safe", LIMIT.as_secs());
                Err(Error::new(ErrorKind::Diverged, why).at(name))
            }
            Verdict::Lost => {
                log::warn!("{name}: the process that watched over its suspension is gone");
                Ok(())
            }
        }
    }
}
