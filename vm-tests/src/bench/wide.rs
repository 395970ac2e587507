//! The same calls with more disks, with more disks of others, and with more bases.

use std::fs::File;

use imgbase::host::Host;
use imgbase::ops::Imgbase;

use super::contest::{LVCREATE, LVREMOVE, add, handle, host, remove};
use super::volumes::add_base;
use super::{process, sample};
use crate::error::{Doing, Result};

/// Disks that are none of the group's; one is there in any case.
const FOREIGN: usize = 50;
/// Bytes of each.
const FOREIGN_SIZE: u64 = 16 << 20;
const BASES: [usize; 2] = [10, 200];
const TINY: &str = "/tmp/tiny.ext4";

/// So many rounds with the disks as they are.
pub(super) fn disks(rounds: u32) -> Result<()> {
    let host = host()?;
    let disks = handle(&host)?.disks().doing("the group's disks")?.len();
    measure(&host, &format!("disks.{disks}"), rounds)
}

/// The same beside one foreign disk and beside many, and then with more and more bases.
pub(super) fn more(rounds: u32) -> Result<()> {
    let host = host()?;
    measure(&host, "foreign.1", rounds)?;
    for index in 1..FOREIGN {
        let path = format!("/tmp/foreign-{index}");
        File::create(&path).and_then(|file| file.set_len(FOREIGN_SIZE)).doing(&path)?;
        process(&["losetup", "-f", &path])?;
    }
    measure(&host, &format!("foreign.{FOREIGN}"), rounds)?;
    process(&["losetup", "-D"])?;
    process(&["mke2fs", "-q", "-t", "ext4", TINY, "8M"])?;
    let imgbase = handle(&host)?;
    // One is there.
    let mut there = 1;
    for size in BASES {
        (there..size).try_for_each(|index| add_base(&imgbase, &format!("Tiny-1-{index}"), TINY))?;
        there = size;
        measure(&host, &format!("bases.{size}"), rounds)?;
    }
    Ok(())
}

fn measure(host: &Host, what: &str, rounds: u32) -> Result<()> {
    let imgbase = handle(host)?;
    (0..rounds).try_for_each(|_| once(host, &imgbase, what))
}

fn once(host: &Host, imgbase: &Imgbase<'_>, what: &str) -> Result<()> {
    let name = |verb: &str| format!("{what}.{verb}");
    sample(&name("layout-new"), || handle(host)?.layout().doing("layout"))?;
    imgbase.layout().doing("layout")?;
    sample(&name("layout"), || imgbase.layout().doing("layout"))?;
    sample(&name("lvs"), || process(&["lvs"]))?;
    imgbase.layout().doing("layout")?;
    let added = sample(&name("add"), || add(imgbase))?;
    remove(imgbase, &added)?;
    sample(&name("lvcreate"), || process(LVCREATE))?;
    process(LVREMOVE)
}
