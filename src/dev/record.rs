//! Devices that remember each write and sync, and every image that a power
//! cut could have left of them.
//!
//! The model: a sector of 512 bytes is written whole or not at all. A write may
//! reach the disk at any time after it was made; it has after a later sync of
//! its device that succeeded. Writes between syncs reach it in any order, and
//! of several writes to one sector any may be what is left. After a failed
//! sync, or a failed write, either may be on the disk for ever, as Linux
//! forgets what it could not write.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::Dev;
use super::overlay::{Overlay, Sector};
use crate::queue::lock;
use crate::units::Bytes;

mod image;

pub use image::{Bound, Image, Images};

/// One thing that happened.
#[derive(Debug)]
enum Event {
    Write { disk: usize, sectors: Vec<(u64, Sector)>, ok: bool },
    Sync { disk: usize, ok: bool },
    Mark(String),
}

/// A call that shall fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which one, counted from 0 over the writes and syncs of all devices.
    pub call: usize,
    /// True where all later ones fail too.
    pub lasting: bool,
    /// How it fails.
    pub kind: io::ErrorKind,
}

#[derive(Debug, Default)]
struct Log {
    events: Vec<Event>,
    calls: usize,
    fault: Option<Fault>,
}

impl Log {
    /// Counts a call; tells how it is to fail.
    fn call(&mut self) -> io::Result<()> {
        let this = self.calls;
        self.calls = self.calls.saturating_add(1);
        match self.fault {
            Some(fault) if fault.call == this || (fault.lasting && fault.call < this) => {
                Err(fault.kind.into())
            }
            _ => Ok(()),
        }
    }
}

/// Some devices whose writes and syncs go into one log.
#[derive(Debug)]
pub struct Recorder {
    bases: Vec<(String, Arc<[u8]>)>,
    devices: Vec<Arc<RecordDev>>,
    log: Arc<Mutex<Log>>,
}

impl Recorder {
    /// Devices with these names and bytes, whose lengths should be whole sectors.
    pub fn new(disks: Vec<(String, Arc<[u8]>)>) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let device = |(disk, (name, base)): (usize, &(String, Arc<[u8]>))| {
            let live = Overlay::new(name.clone(), Arc::clone(base));
            Arc::new(RecordDev { disk, live, log: Arc::clone(&log) })
        };
        let devices = disks.iter().enumerate().map(device).collect();
        Self { bases: disks, devices, log }
    }

    /// The devices, in the order given.
    pub fn devices(&self) -> Vec<Arc<dyn Dev>> {
        self.devices.iter().map(erased).collect()
    }

    /// Makes a call fail.
    pub fn fail(&self, fault: Fault) {
        lock(&self.log).fault = Some(fault);
    }

    /// How many writes and syncs there were.
    pub fn calls(&self) -> usize {
        lock(&self.log).calls
    }

    /// Puts a word into the log; a cut tells which words stood before it.
    pub fn mark(&self, word: impl Into<String>) {
        lock(&self.log).events.push(Event::Mark(word.into()));
    }

    /// All moments at which a power cut can leave something new: before each sync, at each mark
    /// and at the end. What a cut at another moment leaves, one of these leaves as well.
    pub fn cuts(&self) -> Vec<Cut> {
        let log = lock(&self.log);
        let mut now = Cut { marks: Vec::new(), bases: self.bases.clone(), cells: BTreeMap::new() };
        let mut cuts = Vec::new();
        for event in &log.events {
            if !matches!(event, Event::Write { .. }) {
                cuts.push(now.clone());
            }
            now.apply(event);
        }
        cuts.push(now);
        cuts
    }
}

fn erased(dev: &Arc<RecordDev>) -> Arc<dyn Dev> {
    dev.clone()
}

/// What a sector may hold; `None` is what it held at first.
#[derive(Clone, Debug)]
struct Cell {
    versions: Vec<Option<Sector>>,
    /// The last version is what a sync makes durable.
    dirty: bool,
}

/// A moment of a power cut.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The words that stood in the log before.
    pub marks: Vec<String>,
    bases: Vec<(String, Arc<[u8]>)>,
    /// By disk and sector.
    cells: BTreeMap<(usize, u64), Cell>,
}

impl Cut {
    /// True where this word stood before.
    pub fn is_after(&self, word: &str) -> bool {
        self.marks.iter().any(|mark| mark == word)
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Write { disk, sectors, ok } => {
                for (number, sector) in sectors {
                    self.write((*disk, *number), *sector, *ok);
                }
            }
            Event::Sync { disk, ok } => self.sync(*disk, *ok),
            Event::Mark(word) => self.marks.push(word.clone()),
        }
    }

    fn write(&mut self, place: (usize, u64), sector: Sector, ok: bool) {
        let fresh = || Cell { versions: vec![None], dirty: false };
        let cell = self.cells.entry(place).or_insert_with(fresh);
        cell.versions.push(Some(sector));
        cell.dirty = ok;
    }

    fn sync(&mut self, disk: usize, ok: bool) {
        for cell in self.cells.range_mut((disk, 0)..=(disk, u64::MAX)).map(|(_, cell)| cell) {
            if ok && cell.dirty {
                cell.versions.drain(..cell.versions.len().saturating_sub(1));
            }
            cell.dirty = false;
        }
    }
}

/// A device that writes into a [`Recorder`]'s log.
#[derive(Debug)]
struct RecordDev {
    disk: usize,
    live: Overlay,
    log: Arc<Mutex<Log>>,
}

impl Dev for RecordDev {
    fn name(&self) -> &str {
        self.live.name()
    }

    fn size(&self) -> Bytes {
        self.live.size()
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        self.live.read_at(buf, at)
    }

    /// A write that fails may be on the disk all the same, and is not read back here.
    fn write_at(&self, data: &[u8], at: Bytes) -> io::Result<()> {
        let sectors = self.live.changed_by(data, at)?;
        let mut log = lock(&self.log);
        let result = log.call();
        if result.is_ok() {
            self.live.put(&sectors);
        }
        log.events.push(Event::Write { disk: self.disk, sectors, ok: result.is_ok() });
        result
    }

    fn sync(&self) -> io::Result<()> {
        let mut log = lock(&self.log);
        let result = log.call();
        log.events.push(Event::Sync { disk: self.disk, ok: result.is_ok() });
        result
    }

    fn discard(&self, at: Bytes, len: Bytes) -> io::Result<()> {
        let len = usize::try_from(len.get()).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        super::range(usize::try_from(self.size().get()).unwrap_or(usize::MAX), at, len)?;
        self.write_at(&vec![0; len], at)
    }
}

#[cfg(test)]
mod tests;
