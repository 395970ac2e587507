//! Scratch disks that take what a commit writes, with the same writes and syncs.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use imgbase::dev::AlignedBuf;
use rustix::fs::OFlags;

use crate::error::{Doing, Fail, Result};

/// Where the first metadata area's header is on a physical volume of the layout.
const HEADER: u64 = 4096;
/// Within it, the length of the text in force: `raw_locns[0].size`.
const TEXT_SIZE: u64 = HEADER + 48;
const SECTOR: usize = 512;

/// The disks that the host has given, in order: so many for the group, as many as scratch, a spare one.
fn all() -> Vec<String> {
    let disks = (b'a'..=b'z').map(|letter| format!("/dev/vd{}", char::from(letter)));
    disks.take_while(|disk| Path::new(disk).exists()).collect()
}

/// The disk that nobody else uses.
pub(super) fn spare() -> Result<String> {
    all().pop().ok_or_else(|| Fail::new("no disk"))
}

/// One scratch disk for each physical volume, and a text of the group's length.
#[derive(Debug)]
pub(super) struct Scratch {
    disks: Vec<File>,
    text: AlignedBuf,
    next: u64,
}

impl Scratch {
    /// Finds the disks.
    pub(super) fn find() -> Result<Self> {
        let disks = all();
        let (pvs, disks) = disks.split_at(disks.len() / 2);
        let first = pvs.first().ok_or_else(|| Fail::new("no physical volume"))?;
        let text_size = text_size(first)?;
        let text = AlignedBuf::zeroed(text_size.next_multiple_of(SECTOR));
        let disks = disks.iter().zip(pvs).map(|(disk, _)| direct(Path::new(disk), true));
        Ok(Self { disks: disks.collect::<Result<_>>()?, text, next: 0 })
    }

    /// What one commit costs: the new text written into each ring and made known in each header,
    /// then put in force by each header.
    pub(super) fn commit(&mut self) -> Result<()> {
        let place = self.place();
        let header = self.text.get(..SECTOR).ok_or_else(|| Fail::new("no header"))?;
        self.write_all(&self.text, place)?;
        self.write_all(header, HEADER)?;
        self.sync()?;
        self.write_all(header, HEADER)?;
        self.sync()
    }

    /// Texts follow each other in the ring.
    fn place(&mut self) -> u64 {
        let slot = self.next % 8;
        self.next += 1;
        HEADER + (SECTOR + slot as usize * self.text.len()) as u64
    }

    fn write_all(&self, bytes: &[u8], at: u64) -> Result<()> {
        let mut disks = self.disks.iter();
        disks.try_for_each(|disk| disk.write_all_at(bytes, at).doing("a scratch disk"))
    }

    fn sync(&self) -> Result<()> {
        self.disks.iter().try_for_each(|disk| disk.sync_data().doing("a scratch disk"))
    }
}

/// Opens what is read, and may be written, past the page cache.
pub(super) fn direct(path: &Path, write: bool) -> Result<File> {
    let flags = i32::try_from(OFlags::DIRECT.bits()).doing("O_DIRECT")?;
    let mut options = OpenOptions::new();
    options.read(true).write(write).custom_flags(flags).open(path).doing(path.display())
}

fn text_size(pv: &str) -> Result<usize> {
    let mut size = [0; 8];
    File::open(pv).and_then(|disk| disk.read_exact_at(&mut size, TEXT_SIZE)).doing(pv)?;
    usize::try_from(u64::from_le_bytes(size)).doing(pv)
}
