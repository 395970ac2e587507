//! The merge of an `/etc` with ten thousand files, against programs that copy the same folder.
//!
//! Twice: all of the files were added here, so that each is copied; and all are in base, layer and new
//! image, and a hundredth was changed here. The layer is a snapshot of the base, as layers are. The merge
//! compares three trees file by file, and reads what is not as it was in the base; rsync compares two by
//! size and time, `cp -a` compares nothing and copies all. All begin with cold caches and end with a sync.

use std::fs;
use std::path::Path;

use imgbase::etc::{Wishes, carry};
use imgbase::layout::BaseName;
use imgbase::ops::{Imgbase, Unwatched};

use super::cold::forget_files;
use super::contest::{handle, host};
use super::disks::spare;
use super::volumes::{RIVAL, Rival, add_base};
use super::{process, sample};
use crate::error::{Doing, Result};

const BASE: &str = "Etc-1-1";
const BASE_AT: &str = "/mnt/base";
const OURS_AT: &str = "/mnt/ours";
/// Where the new trees are.
const ROOT: &str = "/mnt/rival";
const NEW: &str = "/mnt/rival/new";
const SIZE: u64 = 2 << 30;
const FOLDERS: usize = 100;
const FILES: usize = 100;
/// One file of so many is changed.
const CHANGED: usize = 100;
/// What the line of the root in fstab names; there is none here.
const DEVICE: &str = "/dev/HostVG/rival";

/// So many rounds.
pub(super) fn run(rounds: u32) -> Result<()> {
    let (host, rival) = (host()?, Rival::of(SIZE)?);
    let imgbase = handle(&host)?;
    for folder in [ROOT, BASE_AT, OURS_AT] {
        fs::create_dir_all(folder).doing(folder)?;
    }
    process(&["mkfs.ext4", "-q", "-N", "200000", RIVAL])?;
    process(&["mount", RIVAL, ROOT])?;
    for _ in 0..rounds {
        scene(&imgbase, "added", false)?;
        scene(&imgbase, "changed", true)?;
    }
    process(&["umount", ROOT])?;
    rival.remove("etc")
}

/// With a base that has all of the files, or none; what was changed is changed in the layer.
fn scene(imgbase: &Imgbase<'_>, what: &str, is_full: bool) -> Result<()> {
    let spare = spare()?;
    process(&["mkfs.ext4", "-q", "-F", &spare])?;
    process(&["mount", &spare, BASE_AT])?;
    let etc = Path::new(BASE_AT).join("etc");
    fs::create_dir(&etc).doing("the base")?;
    if is_full {
        fill(&etc).doing("the base")?;
    }
    process(&["umount", BASE_AT])?;
    add_base(imgbase, BASE, &spare)?;
    let base: BaseName = BASE.parse().doing(BASE)?;
    let layer = imgbase.add_layer(Some(&base.clone().into()), &mut Unwatched).doing("add_layer")?;
    process(&["mount", &format!("/dev/HostVG/{}", layer.nvr), OURS_AT])?;
    let etc = Path::new(OURS_AT).join("etc");
    if is_full { change(&etc) } else { fill(&etc) }.doing("the layer")?;
    process(&["imgbase", "mount", BASE, BASE_AT, "--read-only"])?;
    compete(what)?;
    process(&["imgbase", "umount", BASE_AT])?;
    process(&["umount", OURS_AT])?;
    imgbase.remove_layer(&layer.nvr, &mut Unwatched).doing("remove_layer")?;
    imgbase.remove_base(&base, &mut Unwatched).doing("remove_base").map(drop)
}

fn compete(what: &str) -> Result<()> {
    let name = |who: &str| format!("etc.{what}.{who}");
    in_new_tree(&name("library"), || {
        let trees = [BASE_AT, OURS_AT, NEW].map(Path::new);
        carry(trees, DEVICE, &Wishes::default()).doing("carry").map(drop)
    })?;
    let (from, to) = (format!("{OURS_AT}/etc/"), format!("{NEW}/etc/"));
    in_new_tree(&name("rsync"), || process(&["rsync", "-aHAX", &from, &to]))?;
    in_new_tree(&name("cp"), || process(&["cp", "-aT", &from, &to]))
}

/// The new tree has what the base has.
fn in_new_tree(name: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    process(&["cp", "-a", BASE_AT, NEW])?;
    forget_files()?;
    sample(name, || {
        act()?;
        rustix::fs::sync();
        Ok(())
    })?;
    process(&["rm", "-r", NEW])
}

/// The same files each time, and of the same age: that is what rsync goes by.
fn fill(etc: &Path) -> std::io::Result<()> {
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
    for folder in 0..FOLDERS {
        fs::create_dir_all(folder_of(etc, folder))?;
        for index in 0..FILES {
            let line = format!("setting {folder} {index}\n");
            let file = file_of(etc, folder, index);
            fs::write(&file, line.repeat(1 + index % 50))?;
            fs::File::options().write(true).open(&file)?.set_modified(then)?;
        }
    }
    Ok(())
}

fn change(etc: &Path) -> std::io::Result<()> {
    let changed = (0..FOLDERS * FILES).skip(CHANGED / 2).step_by(CHANGED);
    changed.into_iter().try_for_each(|index| {
        fs::write(file_of(etc, index / FILES, index % FILES), "changed here\n")
    })
}

fn folder_of(etc: &Path, folder: usize) -> std::path::PathBuf {
    etc.join(format!("{folder:03}.d"))
}

fn file_of(etc: &Path, folder: usize, index: usize) -> std::path::PathBuf {
    folder_of(etc, folder).join(format!("{index:03}.conf"))
}
