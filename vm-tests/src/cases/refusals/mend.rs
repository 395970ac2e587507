//! Changes LVM2's text on a disk as no tool would: for groups that lvm2 itself does not make here.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::case::{Outcome, must};
use crate::error::Doing;
use crate::vm::Vm;

/// Where the metadata area starts on these disks, and where in its header the text is described.
const AREA: u64 = 4096;
const HEADER: usize = 512;
const LOCATION: usize = 40;

/// Replaces `from` by `to` in the text on each of `disks`, with the checksums that then hold. The
/// devices of the group must not be active.
pub(super) fn mend(vm: &mut Vm, disks: &[&str], from: &str, to: &str) -> Outcome {
    let flush = disks.map_lines("blockdev --flushbufs /dev/");
    vm.ok(&format!("sync\n{flush}"))?;
    for disk in disks {
        let path = vm.folder().join(format!("{disk}.img"));
        let file = File::options().read(true).write(true).open(&path).doing(path.display())?;
        let found = replace(&file, from, to).doing(path.display())?;
        must(found, format!("{disk} has no text with `{from}`"))?;
    }
    vm.ok(&flush)?;
    Ok(())
}

trait MapLines {
    fn map_lines(&self, start: &str) -> String;
}

impl MapLines for [&str] {
    fn map_lines(&self, start: &str) -> String {
        self.iter().map(|word| format!("{start}{word}\n")).collect()
    }
}

/// False where the text does not hold it. It must not wrap around the end of its area.
fn replace(file: &File, from: &str, to: &str) -> io::Result<bool> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, AREA)?;
    let place = AREA + number(&header, LOCATION);
    let size = usize::try_from(number(&header, LOCATION + 8)).map_err(io::Error::other)?;
    let mut text = vec![0; size];
    file.read_exact_at(&mut text, place)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    let changed = text.replacen(from, to, 1);
    file.write_all_at(changed.as_bytes(), place)?;
    header[LOCATION + 8..LOCATION + 16].copy_from_slice(&(changed.len() as u64).to_le_bytes());
    header[LOCATION + 16..LOCATION + 20].copy_from_slice(&crc(changed.as_bytes()).to_le_bytes());
    let sum = crc(&header[4..]);
    header[..4].copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(&header, AREA)?;
    Ok(changed != text)
}

fn number(header: &[u8; HEADER], at: usize) -> u64 {
    header[at..at + 8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// CRC-32 as lvm2 starts and ends it.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |sum, byte| {
        let start = sum ^ u32::from(*byte);
        (0..8).fold(start, |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}
