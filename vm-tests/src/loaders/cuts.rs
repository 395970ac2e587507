//! Cuts the power at each flush between two moments, and lets what is left on a disk be judged.

use std::fmt;

use crate::case::{Stop, is_whole, must, next};
use crate::vm::{Vm, WriteLog};

/// What was written to the first disk of a logged machine between two moments.
#[derive(Debug)]
pub struct Cuts {
    log: WriteLog,
    disk: String,
    from: usize,
    to: usize,
}

/// What one cut left.
#[derive(Debug, Clone)]
pub struct Left {
    /// The disk that it was brought to.
    pub disk: String,
    /// Which flush, from 0, of how many.
    pub flush: usize,
    /// How many there are.
    pub of: usize,
    /// Whether some of the writes that were under way are there, too.
    pub torn: bool,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cut at flush {} of {}, torn: {}", self.flush, self.of, self.torn)
    }
}

/// How often each cut is tried with some of the writes that were under way, where all is to be
/// tried; else one of twelve is tried once, with or without those, the first and the last always.
const TEARS: usize = 30;

impl Cuts {
    /// From here on, which must be durable.
    ///
    /// # Errors
    /// Where the machine keeps no log.
    pub fn begin(vm: &mut Vm, disk: &str) -> Result<Self, Stop> {
        let log = vm.write_log()?;
        let mut cuts = Self { log, disk: disk.to_owned(), from: 0, to: 0 };
        cuts.from = cuts.written(vm)?;
        Ok(cuts)
    }

    /// Until here.
    ///
    /// # Errors
    /// Where it is no such log.
    pub fn end(&mut self, vm: &mut Vm) -> Result<(), Stop> {
        self.to = self.written(vm)?;
        Ok(())
    }

    /// The log is up to date only after a flush, which a file system that is synced as a whole need
    /// not cause: FAT does not.
    fn written(&mut self, vm: &mut Vm) -> Result<usize, Stop> {
        vm.ok(&format!("sync && sync -d /dev/{}", self.disk))?;
        Ok(self.log.catch_up()?)
    }

    /// How many flushes there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.log.flushes(self.from, self.to).count()
    }

    /// Brings what each cut leaves to `disk`, with or without some of the writes that were under way,
    /// and asks `judge`; returns how many states there were. The last is whole and stays there.
    ///
    /// # Errors
    /// What the judge says.
    pub fn each(
        &self,
        vm: &mut Vm,
        disk: &str,
        mut judge: impl FnMut(&mut Vm, &Left) -> Result<(), Stop>,
    ) -> Result<usize, Stop> {
        let flushes: Vec<usize> = self.log.flushes(self.from, self.to).collect();
        let of = flushes.len();
        must(of >= 2, format!("{of} flushes"))?;
        let mut replay = vm.replay_to(disk)?;
        let mut random = 0x94d0_49bb_1331_11eb_u64;
        let mut states = 0;
        for (flush, entries) in flushes.into_iter().enumerate() {
            let drawn = next(&mut random).is_multiple_of(12);
            if !(is_whole() || drawn || flush == 0 || flush + 1 == of) {
                continue;
            }
            let kinds = match (flush + 1 == of, is_whole()) {
                (true, _) => vec![false],
                (false, false) => vec![next(&mut random).is_multiple_of(2)],
                (false, true) => (0..=TEARS).map(|tear| tear > 0).collect(),
            };
            for torn in kinds {
                let survives = || torn && next(&mut random).is_multiple_of(2);
                replay.cut(&self.log, entries, survives)?;
                vm.forget_pages(disk)?;
                judge(vm, &Left { disk: disk.to_owned(), flush, of, torn })?;
                states += 1;
            }
        }
        Ok(states)
    }
}
