//! `base --add` of files, a squashfs or an archive, against the programs that unpack them.
//!
//! Each meets cold caches. The file system is made within the time of both, and is unmounted and
//! synced there. The programs get their volume ready made; imgbase makes its own, and seals it.

use std::fs;

use super::contest::host;
use super::process;
use super::volumes::{Contest, RIVAL, Rival, add_base, remove_base};
use crate::error::{Doing, Result};

/// What `base --add` takes for these files without `--size`.
const SIZE: u64 = 1 << 30;
const MOUNTED: &str = "/mnt/rival";

/// What it is called, where it is, and what unpacks it.
type Source = (&'static str, &'static str, &'static [&'static str]);

const SOURCES: [Source; 3] = [
    (
        "squashfs",
        "/mnt/spare/root.sqfs",
        &["unsquashfs", "-q", "-n", "-f", "-d", MOUNTED, "/mnt/spare/root.sqfs"],
    ),
    ("tar", "/mnt/spare/root.tar", &["tar", "-xf", "/mnt/spare/root.tar"]),
    (
        "tar.zst",
        "/mnt/spare/root.tar.zst",
        &["tar", "-I", "zstd", "-xf", "/mnt/spare/root.tar.zst"],
    ),
];

/// What else tar is told, so that nothing is lost.
const TAR: &[&str] =
    &["--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "-p", "-C", MOUNTED];

/// So many rounds.
pub(super) fn run(rounds: u32) -> Result<()> {
    let host = host()?;
    let contest = Contest::on(&host)?;
    fs::create_dir_all(MOUNTED).doing(MOUNTED)?;
    ours(&contest, SOURCES[0], "uncounted")?;
    for _ in 0..rounds {
        for source in SOURCES {
            ours(&contest, source, &format!("source.{}", source.0))?;
            theirs(&contest, source, &format!("source.{}.rival", source.0))?;
        }
    }
    Ok(())
}

fn ours(contest: &Contest<'_>, (_, image, _): Source, name: &str) -> Result<()> {
    contest.measure(name, || add_base(&contest.imgbase, "Source-1-1", image))?;
    remove_base(&contest.imgbase, name, "Source-1-1")
}

fn theirs(contest: &Contest<'_>, (_, _, argv): Source, name: &str) -> Result<()> {
    let rival = Rival::of(SIZE)?;
    contest.measure(name, || unpack(argv))?;
    rival.remove(name)
}

fn unpack(argv: &[&str]) -> Result<()> {
    let more = if argv.first() == Some(&"tar") { TAR } else { &[] };
    process(&["mkfs.ext4", "-q", RIVAL])?;
    process(&["mount", RIVAL, MOUNTED])?;
    process(&[argv, more].concat())?;
    rustix::fs::sync();
    process(&["umount", MOUNTED])
}
