//! What an operation writes to the disks of the group, whatever its time.

use std::fs;
use std::path::PathBuf;

use imgbase::ops::Imgbase;

use super::contest::POOL_DEVICE;
use super::process;
use crate::error::{Doing, Fail, Result};

/// How many sectors were written is this word of a disk's statistics.
const WRITTEN: usize = 6;
const SECTOR: u64 = 512;

/// Reads the statistics of the group's physical volumes.
#[derive(Debug)]
pub(super) struct Meter {
    disks: Vec<PathBuf>,
}

impl Meter {
    /// Finds them.
    pub(super) fn find(imgbase: &Imgbase<'_>) -> Result<Self> {
        let disks = imgbase.disks().doing("the group's disks")?;
        let stat = |disk: &PathBuf| {
            let name = disk.file_name().unwrap_or_default();
            PathBuf::from("/sys/block").join(name).join("stat")
        };
        Ok(Self { disks: disks.iter().map(stat).collect() })
    }

    /// Prints what something wrote, until all of it is on the disks.
    pub(super) fn weigh<T>(&self, name: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        settle()?;
        let before = self.sectors()?;
        let value = act()?;
        settle()?;
        println!("wrote {name} {}", (self.sectors()? - before) * SECTOR);
        Ok(value)
    }

    fn sectors(&self) -> Result<u64> {
        self.disks.iter().try_fold(0, |sum, disk| {
            let said = fs::read_to_string(disk).doing(disk.display())?;
            let word = said.split_whitespace().nth(WRITTEN);
            let word = word.ok_or_else(|| Fail::new(format!("{}: {said}", disk.display())))?;
            Ok(sum + word.parse::<u64>().doing(disk.display())?)
        })
    }
}

/// The pool commits when its status is asked for, else up to a second later.
fn settle() -> Result<()> {
    rustix::fs::sync();
    process(&["dmsetup", "status", POOL_DEVICE])
}
