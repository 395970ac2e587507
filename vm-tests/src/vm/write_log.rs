//! What a machine wrote to a disk, in order, and what a power cut would have left of it.
//!
//! QEMU's `blklogwrites` keeps the log, in the format of the kernel's dm-log-writes: a superblock
//! (magic, version, number of entries, sector size), then entries of four little-endian 64-bit
//! numbers (sector, sectors, flags, and one that QEMU leaves 0), each padded to a sector; the data
//! of a write follows. The number of entries is brought up to date with each flush.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};

use crate::error::{Doing, Fail, Result};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;

/// A log that grows while its machine runs.
#[derive(Debug)]
pub struct WriteLog {
    log: File,
    entries: Vec<Entry>,
    /// Where the next entry begins.
    end: u64,
}

#[derive(Debug, Clone, Copy)]
enum Entry {
    Write { to: u64, from: u64, len: u64 },
    Discard { at: u64, len: u64 },
    Flush,
}

impl WriteLog {
    /// The log beside a disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path) -> Result<Self> {
        let log = File::open(path).doing(path.display())?;
        Ok(Self { log, entries: Vec::new(), end: 0 })
    }

    /// Reads what is new and returns how many entries there are: as of the last flush.
    ///
    /// # Errors
    /// Where it is no such log.
    pub fn catch_up(&mut self) -> Result<usize> {
        let [magic, version, count, sector] = self.numbers(0)?;
        // The last is a 32-bit number.
        let sector = sector & u64::from(u32::MAX);
        if (magic, version) != (MAGIC, 1) || !sector.is_power_of_two() {
            return Err(Fail::new(format!("no log of writes: {magic:#x}, {version}, {sector}")));
        }
        self.end = self.end.max(sector);
        while (self.entries.len() as u64) < count {
            let [at, sectors, flags, _] = self.numbers(self.end)?;
            let (at, len) = (at * sector, sectors * sector);
            self.end += sector;
            let entry = match flags {
                FLUSH if len == 0 => Entry::Flush,
                DISCARD => Entry::Discard { at, len },
                0 => Entry::Write { to: at, from: self.end, len },
                _ => return Err(Fail::new(format!("an entry of {len} bytes, flags {flags:#x}"))),
            };
            if flags == 0 {
                self.end += len;
            }
            self.entries.push(entry);
        }
        Ok(self.entries.len())
    }

    fn numbers(&self, at: u64) -> Result<[u64; 4]> {
        let mut raw = [0; 32];
        self.log.read_exact_at(&mut raw, at).doing("the log of writes")?;
        let mut numbers = [0; 4];
        for (number, bytes) in numbers.iter_mut().zip(raw.as_chunks::<8>().0) {
            *number = u64::from_le_bytes(*bytes);
        }
        Ok(numbers)
    }

    /// The moment `from`, which is to be one at which a flush had ended, and those after it and
    /// before `to`: how many entries were durable.
    pub fn moments(&self, from: usize, to: usize) -> impl Iterator<Item = usize> {
        let some = self.entries.iter().enumerate().take(to).skip(from);
        let flushes = some.filter(|(_, entry)| matches!(entry, Entry::Flush)).map(|(n, _)| n + 1);
        std::iter::once(from).chain(flushes)
    }

    /// The first entry from `from` on that writes to this byte of the disk, and begins there.
    #[must_use]
    pub fn first_write_to(&self, byte: u64, from: usize) -> Option<usize> {
        let is_it = |entry: &Entry| matches!(entry, Entry::Write { to, .. } if *to == byte);
        let found = self.entries.iter().skip(from).position(is_it);
        found.map(|n| from + n)
    }

    /// The writes that were under way after the flush that ends at `from`: until the next.
    fn under_way(&self, from: usize) -> impl Iterator<Item = &Entry> {
        self.entries.iter().skip(from).take_while(|entry| !matches!(entry, Entry::Flush))
    }
}

/// A disk that gets what was written to another, as far as a power cut left it.
#[derive(Debug)]
pub struct Replay {
    /// The disk as of some entry.
    so_far: File,
    done: usize,
    target: PathBuf,
}

impl Replay {
    /// Onto `target`; `scratch` is overwritten.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn new(target: &Path, scratch: &Path) -> Result<Self> {
        let mut options = File::options();
        let so_far = options.read(true).write(true).create(true).truncate(true).open(scratch);
        let so_far = so_far.doing(scratch.display())?;
        Ok(Self { so_far, done: 0, target: target.to_path_buf() })
    }

    /// Makes the target what a cut leaves: the first `entries`, which must not become fewer from
    /// call to call, and of the writes under way then those for which `survives` says so.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn cut(
        &mut self,
        log: &WriteLog,
        entries: usize,
        mut survives: impl FnMut() -> bool,
    ) -> Result<()> {
        for entry in log.entries.iter().take(entries).skip(self.done) {
            apply(log, entry, &self.so_far).doing("the replay")?;
        }
        self.done = self.done.max(entries);
        let target = File::options().write(true).open(&self.target);
        let target = target.doing(self.target.display())?;
        copy(&self.so_far, &target).doing("the replay")?;
        for entry in log.under_way(entries) {
            if survives() {
                apply(log, entry, &target).doing("the replay")?;
            }
        }
        Ok(())
    }
}

fn apply(log: &WriteLog, entry: &Entry, disk: &File) -> io::Result<()> {
    match *entry {
        Entry::Flush => Ok(()),
        Entry::Discard { at, len } => clear(disk, at, len),
        Entry::Write { to, from, len } => {
            let mut data = vec![0; usize::try_from(len).map_err(io::Error::other)?];
            log.log.read_exact_at(&mut data, from)?;
            disk.write_all_at(&data, to)
        }
    }
}

/// Zeros, as a discard leaves them.
fn clear(disk: &File, at: u64, len: u64) -> io::Result<()> {
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(disk, how, at, len)?)
}

/// Makes `to` what `from` is, which is no longer; the holes stay holes.
fn copy(from: &File, to: &File) -> io::Result<()> {
    clear(to, 0, to.metadata()?.len())?;
    let mut at = 0;
    while let Ok(data) = seek(from, SeekFrom::Data(at)) {
        at = seek(from, SeekFrom::Hole(data))?;
        let mut bytes = vec![0; usize::try_from(at - data).map_err(io::Error::other)?];
        from.read_exact_at(&mut bytes, data)?;
        to.write_all_at(&bytes, data)?;
    }
    Ok(())
}
