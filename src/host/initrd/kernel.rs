//! Which kernel of a system is meant, and what it has to mount.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::host::mounts::RealMounts;
use crate::machine::Mounts;

/// What a layer may hold.
const OF_LAYERS: [&str; 4] = ["ext2", "ext3", "ext4", "xfs"];

/// The folder with the modules of that kernel of the system, and its version.
pub(super) fn find(root: &Path, version: Option<&str>) -> Result<(String, PathBuf)> {
    let folder = root.join("lib/modules");
    let version = match version {
        Some(version) if version.is_empty() || version.contains('/') => {
            let error = Error::new(ErrorKind::Invalid, "a kernel's version has no slash");
            return Err(error.at(version).op("find the kernel's modules"));
        }
        Some(version) => version.to_owned(),
        None if is_running(root) => running(),
        None => only_one(&folder)?,
    };
    let modules = folder.join(&version);
    fs::metadata(&modules).context("find the kernel's modules", modules.display())?;
    Ok((version, modules))
}

/// True for the system that this program runs in.
fn is_running(root: &Path) -> bool {
    fs::canonicalize(root).is_ok_and(|root| root == Path::new("/"))
}

fn running() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The one entry of a folder.
fn only_one(folder: &Path) -> Result<String> {
    let entries = fs::read_dir(folder).context("list the kernels", folder.display())?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    match names.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Error::new(ErrorKind::NotFound, "there is no kernel's folder")),
        _ => {
            let why = format!("there are several: {}; choose with --kernel", names.join(", "));
            Err(Error::new(ErrorKind::Invalid, why))
        }
    }
    .map_err(|error| error.op("choose a kernel").at(folder.display()))
}

/// The file system that the system is on, where a layer can have it; else all that a layer can have.
pub(super) fn file_systems(root: &Path) -> Result<Vec<String>> {
    let root = fs::canonicalize(root).context("find the system", root.display())?;
    let mounts = RealMounts.list()?;
    // What is mounted last at a folder hides what was there before.
    let around = mounts.iter().filter(|mount| root.starts_with(&mount.dir));
    let on = around.max_by_key(|mount| mount.dir.components().count());
    let known = on.filter(|mount| OF_LAYERS.contains(&mount.fs_type.as_str()));
    Ok(match known {
        Some(mount) => vec![mount.fs_type.clone()],
        None => vec!["ext4".to_owned(), "xfs".to_owned()],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_named_or_the_only_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let find = |version| find(dir.path(), version).map(|found| found.0);
        assert!(find(None).is_err());
        fs::create_dir_all(dir.path().join("lib/modules/6.1.0")).expect("made");
        assert_eq!(find(None).expect("the only one"), "6.1.0");
        fs::create_dir(dir.path().join("lib/modules/6.2.0")).expect("made");
        let error = find(None).expect_err("two");
        assert!(error.to_string().contains("6.1.0, 6.2.0"), "{error}");
        assert_eq!(find(Some("6.2.0")).expect("there"), "6.2.0");
        assert_eq!(find(Some("6.3.0")).expect_err("not there").kind(), ErrorKind::NotFound);
        assert_eq!(find(Some("../modules")).expect_err("no name").kind(), ErrorKind::Invalid);
    }

    #[test]
    fn some_file_system_is_known() {
        assert!(!file_systems(Path::new("/")).expect("there").is_empty());
        assert_eq!(file_systems(Path::new("/proc")).expect("there"), ["ext4", "xfs"]);
    }
}
