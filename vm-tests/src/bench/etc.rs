//! The merge of an `/etc` with ten thousand files, against programs that copy the same folder.
//!
//! Twice: all of the files were added here, so that each is copied; and all are in base, layer and new
//! image, and a hundredth was changed here. The merge compares three trees file by file, by their content;
//! rsync compares two by size and time, `cp -a` compares nothing and copies all. All begin with cold caches
//! and end with a sync.

use std::fs;
use std::path::Path;

use imgbase::etc::{Wishes, carry};

use super::cold::forget_files;
use super::volumes::{RIVAL, Rival};
use super::{process, sample};
use crate::error::{Doing, Result};

const ROOT: &str = "/mnt/rival";
const SIZE: u64 = 2 << 30;
const FOLDERS: usize = 100;
const FILES: usize = 100;
/// One file of so many is changed.
const CHANGED: usize = 100;
/// What the line of the root in fstab names; there is none here.
const DEVICE: &str = "/dev/HostVG/rival";

/// So many rounds.
pub(super) fn run(rounds: u32) -> Result<()> {
    let rival = Rival::of(SIZE)?;
    fs::create_dir_all(ROOT).doing(ROOT)?;
    process(&["mkfs.ext4", "-q", "-N", "200000", RIVAL])?;
    process(&["mount", RIVAL, ROOT])?;
    for _ in 0..rounds {
        scene("added", &["base/etc"], &["ours/etc"])?;
        scene("changed", &[], &["base/etc", "ours/etc"])?;
    }
    process(&["umount", ROOT])?;
    rival.remove("etc")
}

/// Folders with no file and with all of them; what was changed is changed in `ours`.
fn scene(what: &str, empty: &[&str], full: &[&str]) -> Result<()> {
    for folder in empty {
        let folder = Path::new(ROOT).join(folder);
        fs::create_dir_all(&folder).doing(folder.display())?;
    }
    for folder in full {
        fill(&Path::new(ROOT).join(folder)).doing(folder)?;
    }
    if empty.is_empty() {
        change(&Path::new(ROOT).join("ours/etc")).doing("ours")?;
    }
    let name = |who: &str| format!("etc.{what}.{who}");
    let [base, ours, new] = ["base", "ours", "new"].map(|tree| Path::new(ROOT).join(tree));
    in_new_tree(&name("library"), || {
        carry([&base, &ours, &new], DEVICE, &Wishes::default()).doing("carry").map(drop)
    })?;
    let (from, to) = (format!("{ROOT}/ours/etc/"), format!("{ROOT}/new/etc/"));
    in_new_tree(&name("rsync"), || process(&["rsync", "-aHAX", &from, &to]))?;
    in_new_tree(&name("cp"), || process(&["cp", "-aT", &from, &to]))?;
    process(&["rm", "-r", &format!("{ROOT}/base"), &format!("{ROOT}/ours")])
}

/// The new tree has what the base has.
fn in_new_tree(name: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let [base, new] = ["base", "new"].map(|tree| format!("{ROOT}/{tree}"));
    process(&["cp", "-a", &base, &new])?;
    forget_files()?;
    sample(name, || {
        act()?;
        rustix::fs::sync();
        Ok(())
    })?;
    process(&["rm", "-r", &new])
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
