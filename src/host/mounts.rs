//! Mounts of this machine.

mod held;
mod options;
pub(super) mod private;
mod squash;
pub(super) mod table;

use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::new_tree::RealTree;
use super::root::RealRoot;
use crate::dev::Dev;
use crate::diff::Mounted;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::etc::{self, Carried, LateEdit, mark_unlabelled};
use crate::machine::{
    CarryOver, FolderOf, HeldTree, LateLook, MountEntry, MountHow, Mounts, Preview,
};
use crate::root::{self, RootChange, RootFiles};
use crate::tree::{self, Folder, Measure, NewTree, Of, Tell};
use crate::units::Bytes;

/// The kernel's list of this process's mounts.
const TABLE: &str = "/proc/self/mountinfo";

/// Mounts by system calls; no program is run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RealMounts;

impl Mounts for RealMounts {
    fn list(&self) -> Result<Vec<MountEntry>> {
        let text = super::read_whole(TABLE).context("list the mounts", TABLE)?;
        Ok(table::parse(&text))
    }

    fn mount(&self, device: &Path, dir: &Path, how: &MountHow) -> Result<()> {
        log::debug!("mount {} at {} as {how:?}", device.display(), dir.display());
        let (mut flags, data) = options::split(&how.data);
        flags.set(MsFlags::MS_RDONLY, how.read_only);
        let data = (!data.is_empty()).then_some(data.as_str());
        let what = || format!("{} at {}", device.display(), dir.display());
        mount(Some(device), dir, Some(how.fs_type.as_str()), flags, data)
            .map_err(|errno| failure(errno.into(), &how.fs_type).op("mount").at(what()))
    }

    fn unmount(&self, dir: &Path) -> Result<()> {
        log::debug!("unmount {}", dir.display());
        umount2(dir, MntFlags::UMOUNT_NOFOLLOW)
            .map_err(|errno| Error::io(errno.into()).op("unmount").at(dir.display()))
    }

    fn mount_once(&self, device: &Path, fs_type: &str, grow_to: Option<Bytes>) -> Result<()> {
        private::mount_once(device, fs_type, grow_to)
    }

    fn look_into(
        &self,
        device: &Path,
        fs_type: &str,
        look: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        let number = super::number_of(device)?;
        let mounted = self.list()?.iter().any(|mount| {
            Some(mount.number) == number && !mount.options.iter().any(|option| option == "ro")
        });
        private::look_into(device, fs_type, mounted, look)
    }

    fn with_root(
        &self,
        device: &Path,
        fs_type: &str,
        writable: bool,
        with: &mut dyn FnMut(&dyn RootChange) -> Result<()>,
    ) -> Result<()> {
        if !writable {
            let mut look = |root: &Path| with(&RealRoot::open(root)?);
            return self.look_into(device, fs_type, &mut look);
        }
        let number = super::number_of(device)?;
        if let Some(mount) = self.list()?.iter().find(|mount| Some(mount.number) == number) {
            let why = format!("it is mounted at {}", mount.dir.display());
            return Err(Error::new(ErrorKind::Busy, why).at(device.display()).op("change"));
        }
        private::change_in(device, fs_type, &mut |root| with(&RealRoot::open(root)?))
    }

    fn with_folder(
        &self,
        folder: &Path,
        with: &mut dyn FnMut(&dyn RootFiles) -> Result<()>,
    ) -> Result<()> {
        with(&RealRoot::open(folder)?)
    }

    fn make_tree(
        &self,
        device: &Path,
        fs_type: &str,
        make: &mut dyn FnMut(&mut dyn NewTree) -> Result<()>,
    ) -> Result<()> {
        private::change_in(device, fs_type, &mut |root| {
            tree::aside(RealTree::new(root), &mut *make)?;
            if mark_unlabelled(root)? {
                log::warn!(
                    "its files have no SELinux labels: the first start of a layer sets them"
                );
            }
            Ok(())
        })
    }

    fn hold_image(&self, image: &dyn Dev, fs_type: &str) -> Result<Box<dyn HeldTree>> {
        held::hold(image, fs_type)
    }

    fn hold_folder(&self, folder: &Path) -> Result<Option<Box<dyn HeldTree>>> {
        held::hold_folder(folder)
    }

    fn weigh_folder(
        &self,
        (device, fs_type, path): FolderOf<'_>,
        tell: Tell<'_>,
    ) -> Result<Option<Measure>> {
        let mut measure = None;
        self.look_into(device, fs_type, &mut |root| {
            let folder = folder(root, path)?;
            measure = folder.map(|folder| tree::weigh(&folder, Of::Part, tell)).transpose()?;
            Ok(())
        })?;
        Ok(measure)
    }

    fn copy_folder(
        &self,
        (device, fs_type, path): FolderOf<'_>,
        to: (&Path, &str),
        tell: Tell<'_>,
    ) -> Result<Measure> {
        let mut copied = Measure::default();
        self.look_into(device, fs_type, &mut |root| {
            let gone = || Error::new(ErrorKind::NotFound, "the folder is gone").at(path);
            let folder = folder(root, path)?.ok_or_else(gone)?;
            private::change_in(to.0, to.1, &mut |root| {
                tree::aside(RealTree::new(root), |to| {
                    copied = tree::copy(&folder, Of::Part, to, &mut *tell)?;
                    Ok(())
                })
            })
        })?;
        Ok(copied)
    }

    fn carry_over(&self, volumes: CarryOver<'_>) -> Result<Carried> {
        let CarryOver { base, ours, new, root, wishes } = volumes;
        let mut carried = Carried::default();
        self.look_into(base.0, base.1, &mut |base| {
            self.look_into(ours.0, ours.1, &mut |ours| {
                private::change_in(new.0, new.1, &mut |new| {
                    carried = etc::carry([base, ours, new], root, wishes)?;
                    root::name_root(&RealRoot::open(new)?, root)
                })
            })
        })?;
        Ok(carried)
    }

    fn preview(&self, of: Preview<'_>) -> Result<Carried> {
        let mut carried = Carried::default();
        self.look_into(of.base.0, of.base.1, &mut |base| {
            self.look_into(of.ours.0, of.ours.1, &mut |ours| {
                carried = etc::preview([base, ours], of.image, of.root, of.wishes)?;
                Ok(())
            })
        })?;
        Ok(carried)
    }

    fn late_edits(&self, look: LateLook<'_>) -> Result<Vec<LateEdit>> {
        let CarryOver { base, ours, new, root, wishes } = look.of;
        let mut edits = Vec::new();
        self.look_into(base.0, base.1, &mut |base| {
            self.look_into(ours.0, ours.1, &mut |ours| {
                self.look_into(new.0, new.1, &mut |new| {
                    edits = etc::changed_late([base, ours, new], look.since, root, wishes)?;
                    Ok(())
                })
            })
        })?;
        Ok(edits)
    }
}

/// A folder of a tree; `None` where there is none.
fn folder(root: &Path, path: &str) -> Result<Option<Mounted>> {
    let mut at = Mounted::open(root).context("open the tree", root.display())?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        at = match at.folder(name.as_bytes()) {
            Ok(inside) => inside,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let why = format!("'{name}' on the way is a link or no folder ({error})");
                return Err(Error::new(ErrorKind::Invalid, why).at(path));
            }
        };
    }
    Ok(Some(at))
}

/// What a refused mount means.
fn failure(source: std::io::Error, fs_type: &str) -> Error {
    match source.raw_os_error() {
        Some(libc::ENODEV) => {
            let why = format!("the kernel does not know the file system {fs_type}");
            Error::new(ErrorKind::Unsupported, why)
        }
        Some(libc::EINVAL | libc::EUCLEAN) => Error::io(source).with_kind(ErrorKind::Corrupt),
        _ => Error::io(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_table_lies_on_is_in_it() {
        // Not so "/": in a chroot it may be no mount.
        let mounts = RealMounts.list().expect("there is a table");
        assert!(mounts.iter().any(|mount| mount.dir == Path::new("/proc")));
    }

    #[test]
    fn refusals_name_the_device_and_the_folder() {
        let how = MountHow { fs_type: "ext4".into(), ..MountHow::default() };
        let (device, dir) = (Path::new("/dev/does-not-exist"), Path::new("/does-not-exist"));
        let error = RealMounts.mount(device, dir, &how).expect_err("there is nothing");
        assert!(error.to_string().contains("/dev/does-not-exist at /does-not-exist"), "{error}");
        assert!(RealMounts.unmount(dir).is_err());
    }
}
