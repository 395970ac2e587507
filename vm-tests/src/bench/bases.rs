//! `base --add` of the sample, against programs that copy it onto a thin volume, and of an image with
//! its files several times, as large as a system is.
//!
//! Each meets cold caches and a volume of its own. The programs and the bare loop get theirs ready
//! made; imgbase makes its own within the time measured, and leaves it sealed. Closing a block device
//! writes out what the page cache holds of it, so nobody is done before the pool has the data.

use std::fs;

use super::bare_copy::{BareCopy, Reads};
use super::contest::{IMAGE, host};
use super::process;
use super::volumes::{Contest, RIVAL, Rival, add_base, remove_base};
use crate::error::{Doing, Result};

/// Four times the files of the sample.
const LARGE: &str = "/mnt/spare/large.ext4";
const FROM: &str = "if=/images/debian.ext4";
const TO: &str = "of=/dev/HostVG/rival";

/// An image's publisher makes it.
const MAP: &str = "/tmp/debian.bmap";

const RIVALS: &[(&str, &[&str])] = &[
    ("base.dd", &["dd", "status=none", "bs=1M", "conv=sparse,fsync", FROM, TO]),
    ("base.cp", &["cp", "--sparse=always", IMAGE, RIVAL]),
    ("base.bmaptool", &["bmaptool", "-q", "copy", "--bmap", MAP, IMAGE, RIVAL]),
];

/// So many rounds.
pub(super) fn run(rounds: u32) -> Result<()> {
    let host = host()?;
    let contest = Contest::on(&host)?;
    let bare = BareCopy::of(IMAGE)?;
    process(&["bmaptool", "-q", "create", "-o", MAP, IMAGE])?;
    // The first to read and write these disks would pay for the host's caches, and the first after
    // many processes for the emulator's: see `cold`.
    add_and_remove(&contest, "Bench-1-0", IMAGE, "uncounted")?;
    for round in 1..=rounds {
        let name = format!("Bench-1-{round}");
        add_and_remove(&contest, &name, IMAGE, "base.library")?;
        compete(&contest, "base.bare", IMAGE, || bare.copy_to(RIVAL, Reads::Cached))?;
        compete(&contest, "base.bare-direct", IMAGE, || bare.copy_to(RIVAL, Reads::Direct))?;
        whole_process(&contest, &name)?;
        compete(&contest, "base.qemu-img", IMAGE, || convert(IMAGE))?;
        for (rival, argv) in RIVALS {
            compete(&contest, rival, IMAGE, || process(argv))?;
        }
    }
    large(&contest, rounds)
}

/// The same where what is done once for an image is little beside the copy.
fn large(contest: &Contest<'_>, rounds: u32) -> Result<()> {
    let bare = BareCopy::of(LARGE)?;
    for round in 1..=rounds {
        let name = format!("Large-1-{round}");
        add_and_remove(contest, &name, LARGE, "base.large.library")?;
        for (name, reads) in
            [("base.large.bare", Reads::Cached), ("base.large.bare-direct", Reads::Direct)]
        {
            compete(contest, name, LARGE, || bare.copy_to(RIVAL, reads))?;
        }
        compete(contest, "base.large.qemu-img", LARGE, || convert(LARGE))?;
    }
    Ok(())
}

fn convert(image: &str) -> Result<()> {
    process(&["qemu-img", "convert", "-n", "--target-is-zero", "-O", "raw", image, RIVAL])
}

fn add_and_remove(contest: &Contest<'_>, name: &str, image: &str, contestant: &str) -> Result<()> {
    contest.measure(contestant, || add_base(&contest.imgbase, name, image))?;
    remove_base(&contest.imgbase, contestant, name)
}

fn whole_process(contest: &Contest<'_>, name: &str) -> Result<()> {
    contest.measure("base.process", || process(&["imgbase", "base", "--add", name, IMAGE]))?;
    remove_base(&contest.imgbase, "base.process", name)
}

fn compete(
    contest: &Contest<'_>,
    name: &str,
    image: &str,
    act: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let rival = Rival::of(fs::metadata(image).doing(image)?.len())?;
    contest.measure(name, act)?;
    rival.remove(name)
}
