//! `base --add` of the sample, against programs that copy it onto a thin volume.
//!
//! Each meets cold caches and a volume of its own. The programs get theirs ready made; imgbase
//! makes its own within the time measured, and leaves it sealed. Closing a block device writes
//! out what the page cache holds of it, so nobody is done before the pool has the data.

use std::fs;

use imgbase::ops::{AddBase, ImageSource, Imgbase, Unwatched};

use super::contest::{IMAGE, POOL_LV, VG, handle, host};
use super::{output, process, sample};
use crate::error::{Doing, Result};

const RIVAL: &str = "/dev/HostVG/rival";

/// Bytes of memory that stay free for the kernel.
const KEPT_FREE: usize = 64 << 20;

const FROM: &str = "if=/images/debian.ext4";
const TO: &str = "of=/dev/HostVG/rival";

const RIVALS: &[(&str, &[&str])] = &[
    (
        "base.qemu-img",
        &["qemu-img", "convert", "-n", "--target-is-zero", "-O", "raw", IMAGE, RIVAL],
    ),
    ("base.dd", &["dd", "status=none", "bs=1M", "conv=sparse,fsync", FROM, TO]),
    ("base.cp", &["cp", "--sparse=always", IMAGE, RIVAL]),
];

/// So many rounds.
pub(super) fn run(rounds: u32) -> Result<()> {
    let host = host()?;
    let imgbase = handle(&host)?;
    // The first to read and write these disks would pay for the host's caches, and the first after
    // many processes for the emulator's: see `overwrite_free_memory`.
    add_and_remove(&imgbase, "Bench-1-0", "uncounted")?;
    for round in 1..=rounds {
        let name = format!("Bench-1-{round}");
        add_and_remove(&imgbase, &name, "base.library")?;
        whole_process(&imgbase, &name)?;
        for (rival, argv) in RIVALS {
            compete(rival, argv)?;
        }
    }
    Ok(())
}

fn add_and_remove(imgbase: &Imgbase<'_>, name: &str, contestant: &str) -> Result<()> {
    let nvr = name.parse().doing(name)?;
    let request =
        AddBase { nvr, image: ImageSource::Path(IMAGE.into()).into(), size: None, share: false };
    forget_files()?;
    sample(contestant, || imgbase.add_base(&request, &mut Unwatched).doing("add_base"))?;
    weigh_and_remove(imgbase, contestant, name)
}

fn whole_process(imgbase: &Imgbase<'_>, name: &str) -> Result<()> {
    forget_files()?;
    sample("base.process", || process(&["imgbase", "base", "--add", name, IMAGE]))?;
    weigh_and_remove(imgbase, "base.process", name)
}

fn weigh_and_remove(imgbase: &Imgbase<'_>, contestant: &str, name: &str) -> Result<()> {
    // A sealed base is not active, and only the kernel knows what is mapped.
    process(&["lvchange", "-q", "-ay", "-K", &format!("{VG}/{name}")])?;
    weigh(contestant, name)?;
    let base = name.parse().doing(name)?;
    imgbase.remove_base(&base, &mut Unwatched).doing("remove_base").map(drop)
}

fn compete(rival: &str, argv: &[&str]) -> Result<()> {
    let size = format!("{}b", fs::metadata(IMAGE).doing(IMAGE)?.len());
    process(&["lvcreate", "-q", "-y", "-V", &size, "--thinpool", POOL_LV, "-n", "rival"])?;
    forget_files()?;
    sample(rival, || process(argv))?;
    weigh(rival, "rival")?;
    process(&["lvremove", "-q", "-q", "-f", "HostVG/rival"])
}

/// Drops what the page cache holds, so that everyone reads the image from the disk.
fn forget_files() -> Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").doing("drop_caches")?;
    overwrite_free_memory()
}

/// Writes to all memory that is free.
///
/// An emulator drops its translation of a program when the memory that held the program is
/// written to. Whoever came first after many processes would pay for that: 15 to 20 s here, spent
/// in QEMU's `page_collection_lock` and `tcg_flush_jmp_cache`.
fn overwrite_free_memory() -> Result<()> {
    let said = fs::read_to_string("/proc/meminfo").doing("/proc/meminfo")?;
    let free = said.lines().find_map(|line| line.strip_prefix("MemFree:")?.strip_suffix(" kB"));
    let kib: usize = free.unwrap_or_default().trim().parse().doing("MemFree")?;
    let bytes = (kib * 1024).saturating_sub(KEPT_FREE);
    std::hint::black_box(vec![1_u8; bytes]);
    Ok(())
}

fn weigh(contestant: &str, lv: &str) -> Result<()> {
    let lv = format!("{VG}/{lv}");
    let percent = output(&["lvs", "--noheadings", "-o", "data_percent", &lv])?;
    println!("mapped {contestant} {percent}");
    Ok(())
}
