//! Short grace periods while a call waits for one.
//!
//! The kernel waits for a grace period of RCU where it loads a thin volume's table, and where it
//! suspends, resumes or removes a device: some 20 ms in which nobody works. Expedited, it takes one:
//! the processors that are busy are asked by an interrupt instead of being waited for. That is a
//! setting of the whole machine (`/sys/kernel/rcu_expedited`; the kernel's
//! `Documentation/RCU/Design/Requirements/Requirements.rst`, "Expedited Grace Periods"), so it is
//! made for such a call alone and taken back behind it. An administrator's own is left alone: where
//! it is set already, and where `rcu_normal` is, which the kernel obeys first, nothing is done.
//!
//! A file that is locked meanwhile says that the setting is ours. Where a process was killed in the
//! call, it says so still, and the next one takes the setting back. It has to be gone after a power
//! cut, as the setting is, and must not lie on what is suspended: it is in a file system in memory, or
//! nothing is done. Nor is anything while something is suspended but what began before: that could
//! wait for it. Nothing here fails: without it things take longer, no more.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::{FlockOperation, StatFs, flock, fstatfs};

use crate::host::is_in_memory;

/// The setting, and that it is ours.
pub(super) struct Hurry {
    kernel: PathBuf,
    mark: PathBuf,
    /// Which file systems the mark may be in.
    may_be_in: fn(&StatFs) -> bool,
    files: OnceLock<Option<Files>>,
    callers: Mutex<Callers>,
}

struct Files {
    setting: File,
    mark: File,
}

#[derive(Default)]
struct Callers {
    count: usize,
    /// True while the setting is this process's.
    is_ours: bool,
}

/// A call that hurries, until it is dropped.
#[must_use]
pub(super) struct Hurrying(Option<Arc<Hurry>>);

impl Hurrying {
    /// None.
    pub(super) const NONE: Self = Self(None);
}

impl Drop for Hurrying {
    fn drop(&mut self) {
        if let Some(hurry) = &self.0 {
            hurry.end();
        }
    }
}

impl Hurry {
    /// This machine's.
    pub(super) fn new() -> Self {
        Self::at("/sys/kernel", "/run/imgbase.expedited", is_in_memory)
    }

    fn at(
        kernel: impl Into<PathBuf>,
        mark: impl Into<PathBuf>,
        may_be_in: fn(&StatFs) -> bool,
    ) -> Self {
        let (callers, files) = (Mutex::new(Callers::default()), OnceLock::new());
        Self { kernel: kernel.into(), mark: mark.into(), may_be_in, files, callers }
    }

    /// Takes back what a killed process has left.
    pub(super) fn mend(self: &Arc<Self>) {
        if self.mark.metadata().is_ok_and(|mark| mark.len() > 0) {
            drop(self.begin());
        }
    }

    /// Hurries, until what is returned is dropped. Not to be called while something is suspended.
    pub(super) fn begin(self: &Arc<Self>) -> Hurrying {
        let Some(files) = self.files.get_or_init(|| self.open()) else { return Hurrying::NONE };
        let mut callers = self.callers();
        if callers.count == 0 {
            callers.is_ours = files.set().unwrap_or(false);
        }
        callers.count = callers.count.saturating_add(1);
        Hurrying(Some(Arc::clone(self)))
    }

    fn end(&self) {
        let mut callers = self.callers();
        callers.count = callers.count.saturating_sub(1);
        if callers.count == 0
            && std::mem::take(&mut callers.is_ours)
            && let Some(Some(files)) = self.files.get()
            && let Err(error) = files.take_back()
        {
            log::debug!("{}: {error}", self.kernel.display());
        }
    }

    fn callers(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing where the kernel has no such setting, where another one counts, and where the mark
    /// would outlive it.
    fn open(&self) -> Option<Files> {
        let mut file = OpenOptions::new();
        file.read(true).write(true);
        let normal = File::open(self.kernel.join("rcu_normal")).and_then(|file| is_set(&file));
        let setting = file.open(self.kernel.join("rcu_expedited")).ok()?;
        let mark = file.create(true).mode(0o600).open(&self.mark).ok()?;
        let is_right = (self.may_be_in)(&fstatfs(&mark).ok()?) && !normal.unwrap_or(false);
        is_right.then_some(Files { setting, mark })
    }
}

impl Files {
    /// Makes the setting; false where somebody else has made it, or is about to.
    fn set(&self) -> io::Result<bool> {
        if flock(&self.mark, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(false);
        }
        let ours = self.set_locked();
        if !matches!(ours, Ok(true)) {
            self.mark.set_len(0)?;
            self.unlock()?;
        }
        ours
    }

    fn set_locked(&self) -> io::Result<bool> {
        let is_marked = self.mark.metadata()?.len() > 0;
        if is_set(&self.setting)? {
            // Marked, it is what a killed process has left.
            return Ok(is_marked);
        }
        self.mark.write_all_at(b"1", 0)?;
        self.setting.write_all_at(b"1", 0)?;
        Ok(true)
    }

    fn take_back(&self) -> io::Result<()> {
        self.setting.write_all_at(b"0", 0)?;
        self.mark.set_len(0)?;
        self.unlock()
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(flock(&self.mark, FlockOperation::Unlock)?)
    }
}

/// True for a number that is not zero.
fn is_set(setting: &File) -> io::Result<bool> {
    let mut digit = [0];
    setting.read_exact_at(&mut digit, 0)?;
    Ok(digit != *b"0")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A kernel's settings in a folder.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let machine = Self(tempfile::tempdir().expect("a folder"));
            machine.set("rcu_expedited", "0");
            machine.set("rcu_normal", "0");
            machine
        }

        fn set(&self, name: &str, value: &str) {
            fs::write(self.0.path().join(name), value).expect("ours");
        }

        fn is(&self, name: &str) -> String {
            fs::read_to_string(self.0.path().join(name)).expect("ours")
        }

        fn hurry(&self) -> Arc<Hurry> {
            self.marked_in(|_| true)
        }

        fn marked_in(&self, may_be_in: fn(&StatFs) -> bool) -> Arc<Hurry> {
            Arc::new(Hurry::at(self.0.path(), self.0.path().join("mark"), may_be_in))
        }
    }

    #[test]
    fn the_setting_is_made_for_the_calls_alone() {
        let machine = Machine::new();
        let hurry = machine.hurry();
        let first = hurry.begin();
        let second = hurry.begin();
        assert_eq!((machine.is("rcu_expedited"), machine.is("mark")), ("1".into(), "1".into()));
        // Another process hurries along, and takes nothing back.
        drop(machine.hurry().begin());
        drop(first);
        assert_eq!(machine.is("rcu_expedited"), "1");
        drop(second);
        assert_eq!((machine.is("rcu_expedited"), machine.is("mark")), ("0".into(), "".into()));
        drop(hurry.begin());
        assert_eq!(machine.is("rcu_expedited"), "0");
    }

    #[test]
    fn an_administrators_setting_stays() {
        let machine = Machine::new();
        machine.set("rcu_expedited", "1");
        drop(machine.hurry().begin());
        assert_eq!(machine.is("rcu_expedited"), "1");
        machine.set("rcu_expedited", "0");
        machine.set("rcu_normal", "1");
        let _hurrying = machine.hurry().begin();
        assert_eq!(machine.is("rcu_expedited"), "0");
    }

    #[test]
    fn what_a_killed_process_has_left_is_taken_back() {
        let machine = Machine::new();
        drop(machine.hurry().begin());
        machine.set("mark", "1");
        machine.set("rcu_expedited", "1");
        machine.hurry().mend();
        assert_eq!((machine.is("rcu_expedited"), machine.is("mark")), ("0".into(), "".into()));
        // An administrator's does not pass for ours then.
        machine.set("rcu_expedited", "1");
        machine.hurry().mend();
        assert_eq!(machine.is("rcu_expedited"), "1");
    }

    #[test]
    fn a_mark_that_outlives_a_power_cut_proves_nothing() {
        let machine = Machine::new();
        drop(machine.hurry().begin());
        machine.set("mark", "1");
        machine.set("rcu_expedited", "1");
        machine.marked_in(|_| false).mend();
        assert_eq!(machine.is("rcu_expedited"), "1");
    }

    #[test]
    fn a_kernel_without_the_setting_is_let_alone() {
        let machine = Machine::new();
        let none = Arc::new(Hurry::at("/nowhere", machine.0.path().join("mark"), |_| true));
        drop(none.begin());
        assert!(!machine.0.path().join("mark").exists());
    }
}
