//! The state of a machine: each byte of its disks, its devices and mounts, lvm2's own files.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::case::{Outcome, Stop, must};
use crate::error::Doing;
use crate::vm::Vm;

const PAGE: usize = 4096;

/// What the guest can tell. Locks may be taken, so their files are left out. Open counts and the
/// order of mounts are in, and so are files that stand for disks.
const TELL: &str = "guest state
set -- /sys/block/dm-*
[ -e $1 ] || exit 0
dmsetup table --showkeys; dmsetup info -c --noheadings -o name,uuid,open,suspended,readonly
dmsetup status --target thin-pool";

/// Does `attempts`, which must leave all as it was.
pub(super) fn unchanged(vm: &mut Vm, attempts: impl FnOnce(&mut Vm) -> Outcome) -> Outcome {
    let before = State::of(vm)?;
    attempts(vm)?;
    let after = State::of(vm)?;
    before.compare(&after)
}

struct State {
    told: String,
    /// Each disk's name and the hash of its content.
    disks: Vec<(String, u64)>,
}

impl State {
    fn of(vm: &mut Vm) -> Result<Self, Stop> {
        let told = vm.sh(TELL)?.stdout;
        let mut disks = Vec::new();
        for name in vm.spec.disk_names() {
            let path = vm.folder().join(format!("{name}.img"));
            let sum = digest(&path).doing(path.display())?;
            disks.push((name, sum));
        }
        Ok(Self { told, disks })
    }

    fn compare(&self, after: &Self) -> Outcome {
        let pairs = self.disks.iter().zip(&after.disks);
        let written: Vec<&str> =
            pairs.filter(|(old, new)| old != new).map(|(old, _)| old.0.as_str()).collect();
        must(written.is_empty(), format!("{} changed", written.join(", ")))?;
        let old: Vec<&str> = self.told.lines().collect();
        let new: Vec<&str> = after.told.lines().collect();
        let gone: Vec<&&str> = old.iter().filter(|line| !new.contains(line)).collect();
        let come: Vec<&&str> = new.iter().filter(|line| !old.contains(line)).collect();
        must(self.told == after.told, format!("changed from {gone:#?}\nto {come:#?}"))
    }
}

/// The hash of a disk's pages that are not zero, with their places: a hole and zeros are the same.
///
/// It reads the file that stands for the disk, which is much faster than the guest is.
fn digest(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let end = fs::metadata(path)?.len();
    let (mut hasher, mut at) = (DefaultHasher::new(), 0);
    while let Some(page) = next_page(&file, at, end)? {
        let mut bytes = [0; PAGE];
        file.read_exact_at(&mut bytes, page)?;
        if bytes != [0; PAGE] {
            hasher.write_u64(page);
            hasher.write(&bytes);
        }
        at = page + PAGE as u64;
    }
    Ok(hasher.finish())
}

/// The first page at or after `at` that is no hole.
fn next_page(file: &File, at: u64, end: u64) -> io::Result<Option<u64>> {
    if at >= end {
        return Ok(None);
    }
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(data - data % PAGE as u64)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
