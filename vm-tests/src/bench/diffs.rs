//! `diff` of two layers that have two gigabytes in common and differ in a hundredth, against `diff -rq`.
//!
//! All meet cold caches. The library's calls open the layers by themselves, its walk mounts them within
//! its time; for `diff -rq` they are mounted before. Both of the library's ways must give the same list.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use imgbase::layout::ImageName;
use imgbase::ops::{DiffWay, Imgbase, Unwatched};

use super::cold::forget_files;
use super::contest::{handle, host};
use super::disks::spare;
use super::volumes::add_base;
use super::{process, sample};
use crate::error::{Doing, Fail, Result};

const BASE: &str = "Trees-1-1";
const FOLDERS: usize = 200;
const FILES: usize = 100;
/// One file of so many is changed.
const CHANGED: usize = 100;
/// KiB of the files, in turn: 2 GiB for all of them.
const SIZES: [usize; 10] = [1, 2, 4, 4, 8, 16, 32, 64, 256, 640];
const ONE: &str = "/mnt/one";
const OTHER: &str = "/mnt/other";

/// Both trees, mounted: their difference is told by its status.
const RIVAL: &str = "diff -rq /mnt/one /mnt/other; [ $? = 1 ]";

/// The chunks alone, of which it tells no file.
const THIN_DELTA: &str = "id() { dmsetup table HostVG-Trees--1--1+$1 | cut -d' ' -f5; }
    pool() { dmsetup message HostVG-ImagePool-tpool 0 $1; }
    pool reserve_metadata_snap || exit
    thin_delta -m --thin1 $(id 1) --thin2 $(id 2) /dev/mapper/HostVG-ImagePool_tmeta >/tmp/delta
    pool release_metadata_snap && grep -q '<different' /tmp/delta";

/// So many rounds.
pub(super) fn run(rounds: u32) -> Result<()> {
    let host = host()?;
    let imgbase = handle(&host)?;
    let layers = make(&imgbase)?;
    for _ in 0..rounds {
        let by_blocks = list(&imgbase, &layers, "diff.library", DiffWay::Blocks)?;
        let by_walk = list(&imgbase, &layers, "diff.walk", DiffWay::Walk)?;
        check(&by_blocks, &by_walk)?;
        forget_files()?;
        sample("diff.thin_delta", || process(&["sh", "-c", THIN_DELTA]))?;
        compete(&layers)?;
    }
    for layer in &layers {
        let ImageName::Layer(layer) = layer else { continue };
        imgbase.remove_layer(layer, &mut Unwatched).doing("remove_layer")?;
    }
    let base = BASE.parse().doing(BASE)?;
    imgbase.remove_base(&base, &mut Unwatched).doing("remove_base").map(drop)
}

fn list(
    imgbase: &Imgbase<'_>,
    [one, other]: &[ImageName; 2],
    contestant: &str,
    way: DiffWay,
) -> Result<Vec<String>> {
    forget_files()?;
    let mut list = Vec::new();
    sample(contestant, || {
        let each = &mut |change: &imgbase::diff::Change| {
            list.push(change.to_string());
            Ok(())
        };
        imgbase.diff(Some(one), Some(other), way, each).doing("diff")
    })?;
    list.sort_unstable();
    Ok(list)
}

fn check(by_blocks: &[String], by_walk: &[String]) -> Result<()> {
    if by_blocks == by_walk && by_blocks.len() == FOLDERS * FILES / CHANGED {
        return Ok(());
    }
    let (ours, walked) = (by_blocks.len(), by_walk.len());
    Err(Fail::new(format!("{ours} differences by blocks, {walked} by a walk, or not the same")))
}

fn compete(layers: &[ImageName; 2]) -> Result<()> {
    for (layer, folder) in layers.iter().zip([ONE, OTHER]) {
        mount(&device(layer), folder, "ro")?;
    }
    forget_files()?;
    sample("diff.diff-rq", || process(&["sh", "-c", RIVAL]))?;
    process(&["umount", ONE, OTHER])
}

/// A base, and two layers of which one was changed.
fn make(imgbase: &Imgbase<'_>) -> Result<[ImageName; 2]> {
    let spare = spare()?;
    process(&["mkfs.ext4", "-q", "-F", &spare])?;
    mount(&spare, ONE, "rw")?;
    fill(Path::new(ONE)).doing("the files")?;
    process(&["umount", ONE])?;
    add_base(imgbase, BASE, &spare)?;
    let base = ImageName::Base(BASE.parse().doing(BASE)?);
    let layer = || {
        let added = imgbase.add_layer(Some(&base), &mut Unwatched).doing("add_layer")?;
        Ok::<_, Fail>(ImageName::Layer(added.nvr))
    };
    let layers = [layer()?, layer()?];
    mount(&device(&layers[1]), OTHER, "rw")?;
    change(Path::new(OTHER)).doing("a change")?;
    process(&["umount", OTHER])?;
    Ok(layers)
}

fn device(layer: &ImageName) -> String {
    format!("/dev/HostVG/{layer}")
}

fn mount(device: &str, folder: &str, how: &str) -> Result<()> {
    fs::create_dir_all(folder).doing(folder)?;
    process(&["mount", "-o", how, device, folder])
}

fn file(root: &Path, index: usize) -> PathBuf {
    root.join(format!("{:03}/{:03}", index / FILES, index % FILES))
}

fn fill(root: &Path) -> std::io::Result<()> {
    let noise = noise(2 << 20);
    for index in 0..FOLDERS * FILES {
        let path = file(root, index);
        if index.is_multiple_of(FILES) {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
        }
        let len = SIZES.get(index % SIZES.len()).copied().unwrap_or_default() << 10;
        let from = index * 61 % (1 << 20);
        fs::write(path, noise.get(from..from + len).unwrap_or_default())?;
    }
    Ok(())
}

/// The size stays, the first words are others.
fn change(root: &Path) -> std::io::Result<()> {
    (0..FOLDERS * FILES).skip(CHANGED / 2).step_by(CHANGED).try_for_each(|index| {
        let mut file = File::options().write(true).open(file(root, index))?;
        file.write_all(b"changed")
    })
}

fn noise(len: usize) -> Vec<u8> {
    let mut random = 0x9E37_79B9_7F4A_7C15;
    let words = std::iter::repeat_with(|| crate::case::next(&mut random).to_le_bytes());
    words.flatten().take(len).collect()
}
