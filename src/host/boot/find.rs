//! Where the boot folder is, and what is known of its file system.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{fstat, major, minor};

use super::{RealBoot, RealVars};
use crate::boot::folder::BootFolder;
use crate::boot::uuid::{HEAD, fs_uuid};
use crate::boot::vars::EfiVars;
use crate::boot::{LoaderKind, Place, detect};
use crate::error::{ErrorKind, Result};
use crate::host::mounts::table;
use crate::host::read_whole;

/// Where it is looked for.
const PLACES: [&str; 3] = ["/boot", "/efi", "/boot/efi"];

/// Where the EFI partition may be as well.
const ELSEWHERE: [&str; 2] = ["/boot/efi", "/efi"];

/// This machine's boot folder, the EFI partition beside it, and the variables.
#[derive(Debug)]
pub struct HostBoot {
    boot: RealBoot,
    esp: Option<RealBoot>,
    vars: Option<RealVars>,
}

impl HostBoot {
    /// Opens the folder that is named, or finds one: the first of `/boot`, `/efi` and `/boot/efi`
    /// that the loader is in, or any where none is named. `None` where there is none. Where there
    /// are two loaders in it, whoever uses it is told.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a named folder that is not there;
    /// [`Io`](crate::ErrorKind::Io).
    pub fn open(dir: Option<&Path>, loader: Option<LoaderKind>) -> Result<Option<Self>> {
        if let Some(dir) = dir {
            return Self::at(dir, loader).map(Some);
        }
        for place in PLACES.map(Path::new).into_iter().filter(|place| place.is_dir()) {
            let found = Self::at(place, loader)?;
            let is_it = match detect(found.place()) {
                Ok(there) => there.is_some() && (loader.is_none() || there == loader),
                Err(error) => error.kind() == ErrorKind::Unsupported,
            };
            if is_it {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn at(dir: &Path, loader: Option<LoaderKind>) -> Result<Self> {
        let (boot, esp) = (RealBoot::open(dir)?, partition_beside(dir)?);
        Self { boot, esp, vars: RealVars::open() }.narrowed(loader)
    }

    /// For [`Boot::open`](crate::boot::Boot::open).
    pub fn place(&self) -> Place<'_> {
        Place {
            boot: &self.boot,
            esp: self.esp.as_ref().map(|esp| esp as &dyn BootFolder),
            vars: self.vars.as_ref().map(|vars| vars as &dyn EfiVars),
        }
    }

    /// systemd-boot reads the EFI partition, and beside it only a partition of its own.
    fn narrowed(self, loader: Option<LoaderKind>) -> Result<Self> {
        if self.esp.is_none() {
            return Ok(self);
        }
        let there = || detect(self.place()).ok().flatten();
        let systemd = loader.or_else(there) == Some(LoaderKind::SystemdBoot);
        let own = self.boot.facts().prefix.is_empty()
            && self.boot.look(&"loader/entries".parse()?)?.is_some();
        Ok(match self.esp {
            Some(esp) if systemd && !own => Self { boot: esp, esp: None, ..self },
            esp => Self { esp, ..self },
        })
    }
}

/// The EFI partition with systemd-boot in it, where it is another folder.
fn partition_beside(boot: &Path) -> Result<Option<RealBoot>> {
    let number = |path: &Path| path.canonicalize().ok();
    let below = Some(boot.join("efi"))
        .filter(|place| !ELSEWHERE.iter().any(|other| *place == Path::new(other)));
    for place in below.into_iter().chain(ELSEWHERE.map(PathBuf::from)) {
        if !place.is_dir() || number(&place) == number(boot) {
            continue;
        }
        let esp = RealBoot::open(&place)?;
        let alone = Place { boot: &esp, esp: None, vars: None };
        if detect(alone).ok().flatten() == Some(LoaderKind::SystemdBoot) {
            return Ok(Some(esp));
        }
    }
    Ok(None)
}

/// Where a folder is in its file system: a loader sees no mounts. Empty for the root.
pub(super) fn prefix(path: &Path) -> String {
    let text = read_whole("/proc/self/mountinfo").unwrap_or_default();
    let mounts = table::roots(&text);
    let on = mounts.iter().filter(|(_, dir)| path.starts_with(dir));
    // Of several on one folder the last one is seen.
    let depth = |(_, dir): &&(PathBuf, PathBuf)| dir.as_os_str().len();
    let Some((root, dir)) = on.max_by_key(depth) else { return String::new() };
    let inside = path.strip_prefix(dir).unwrap_or(Path::new(""));
    let whole = root.join(inside);
    let text = String::from_utf8_lossy(whole.as_os_str().as_bytes()).into_owned();
    text.trim_end_matches('/').to_owned()
}

/// The UUID of the file system that a folder is on, where it can be read.
pub(super) fn uuid(folder: &OwnedFd) -> Option<String> {
    let device = fstat(folder).ok()?.st_dev;
    let about = format!("/sys/dev/block/{}:{}/uevent", major(device), minor(device));
    let about = std::fs::read_to_string(about).ok()?;
    let name = about.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    let mut head = Vec::with_capacity(HEAD);
    let len = u64::try_from(HEAD).unwrap_or(u64::MAX);
    File::open(Path::new("/dev").join(name)).ok()?.take(len).read_to_end(&mut head).ok()?;
    fs_uuid(&head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_s_place_in_its_file_system_is_known() {
        assert_eq!(prefix(Path::new("/proc/sys")), "/sys");
        assert_eq!(prefix(Path::new("/proc")), "");
    }

    #[test]
    fn a_named_folder_is_taken() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("grub")).expect("made");
        std::fs::write(dir.path().join("grub/grub.cfg"), "menuentry 'x' {\n}\n").expect("written");
        let found = HostBoot::open(Some(dir.path()), None).expect("opened").expect("there");
        assert_eq!(detect(found.place()).expect("detected"), Some(LoaderKind::Grub));
        assert_eq!(found.place().boot.name(), dir.path().display().to_string());
        assert!(HostBoot::open(Some(Path::new("/does/not/exist")), None).is_err());
    }

    #[test]
    fn systemd_boot_s_own_partition_is_the_boot_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let esp = dir.path().join("efi");
        std::fs::create_dir_all(esp.join("EFI/systemd")).expect("made");
        std::fs::write(esp.join("EFI/systemd/systemd-bootx64.efi"), "x").expect("written");
        let found = HostBoot::open(Some(dir.path()), None).expect("opened").expect("there");
        assert_eq!(detect(found.place()).expect("detected"), Some(LoaderKind::SystemdBoot));
        assert_eq!(found.place().boot.name(), esp.display().to_string());
        assert!(found.place().esp.is_none());
    }
}
