//! Cuts the power after each flush between two moments, and lets what is left on a disk be judged.

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

const SECTOR: u64 = 512;
/// A sector that nobody else writes to: between the partition table and the first partition.
const MARK: u64 = 100;

/// What one cut left.
#[derive(Debug, Clone)]
pub struct Left {
    /// The disk that it was brought to.
    pub disk: String,
    /// After which flush, from 0, of how many.
    pub flush: usize,
    /// How many there are.
    pub of: usize,
    /// Whether some of the writes that were under way are there, too.
    pub torn: bool,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cut after flush {} of {}, torn: {}", self.flush, self.of, self.torn)
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
        vm.ok("sync")?;
        cuts.from = cuts.written(vm)?;
        Ok(cuts)
    }

    /// Until here: what was done by now is to be durable, without a sync of ours.
    ///
    /// # Errors
    /// Where it is no such log.
    pub fn end(&mut self, vm: &mut Vm) -> Result<(), Stop> {
        let all = self.written(vm)?;
        self.to = self.log.first_write_to(MARK * SECTOR, self.from).unwrap_or(all);
        Ok(())
    }

    /// The log is up to date only after a flush. A mark goes before that, which would else make
    /// durable what is not.
    fn written(&mut self, vm: &mut Vm) -> Result<usize, Stop> {
        vm.ok(&format!(
            "disk=/dev/{}
            dd if=/dev/zero of=$disk bs={SECTOR} seek={MARK} count=1 oflag=direct conv=notrunc \
                status=none && sync -d $disk",
            self.disk
        ))?;
        Ok(self.log.catch_up()?)
    }

    /// After how many flushes it can be cut, with that before the first write.
    #[must_use]
    pub fn count(&self) -> usize {
        self.log.moments(self.from, self.to).count()
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
        let moments: Vec<usize> = self.log.moments(self.from, self.to).collect();
        let of = moments.len();
        must(of >= 2, "nothing was flushed")?;
        let mut replay = vm.replay_to(disk)?;
        let mut random = 0x94d0_49bb_1331_11eb_u64;
        let mut states = 0;
        for (flush, entries) in moments.into_iter().enumerate() {
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
