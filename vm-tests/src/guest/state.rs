//! Tells the state of the machine beside device-mapper's own, so that two of them can be compared.

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prints mounts and swap, loop devices, nodes and links of volumes, lvm2's own files, and files
/// that stand for disks.
pub(super) fn print() -> ExitCode {
    rustix::fs::sync();
    for table in ["/proc/mounts", "/proc/swaps"] {
        print!("{}", fs::read_to_string(table).unwrap_or_default());
    }
    loops();
    ["/dev/mapper", "/dev/HostVG"].iter().for_each(|folder| nodes(Path::new(folder)));
    let is_image = |path: &PathBuf| path.extension() == Some(OsStr::new("img"));
    files("/etc/lvm".as_ref()).iter().for_each(|path| content(path));
    files("/tmp".as_ref()).iter().filter(|path| is_image(path)).for_each(|path| content(path));
    ExitCode::SUCCESS
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}

fn loops() {
    for device in entries("/sys/block".as_ref()) {
        if let Ok(file) = fs::read_to_string(device.join("loop/backing_file")) {
            let read_only = fs::read_to_string(device.join("ro")).unwrap_or_default();
            println!("{} on {}, read-only {}", device.display(), file.trim(), read_only.trim());
        }
    }
}

/// A folder that is not there and one that is empty are two states.
fn nodes(folder: &Path) {
    println!("{} {}", folder.display(), if folder.exists() { "is there" } else { "is not there" });
    for path in entries(folder) {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let target = fs::read_link(&path).unwrap_or_default();
        let (mode, uid, gid) = (meta.mode(), meta.uid(), meta.gid());
        let (path, target) = (path.display(), target.display());
        println!("{path} {mode:o} {uid}:{gid} {:x} {target}", meta.rdev());
    }
}

/// All files in a folder and below.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (folders, mut found): (Vec<_>, Vec<_>) = entries(folder)
        .into_iter()
        .filter(|path| !path.is_symlink())
        .partition(|path| path.is_dir());
    found.extend(folders.iter().flat_map(|folder| files(folder)));
    found.retain(|path| path.is_file());
    found
}

fn content(path: &Path) {
    let mut hasher = DefaultHasher::new();
    fs::read(path).unwrap_or_default().hash(&mut hasher);
    println!("{} {:016x}", path.display(), hasher.finish());
}
