//! Nodes and links where no udev makes them: `/dev/mapper/NAME`, a block node
//! `0660 root:disk`, and `/dev/VG/LV`, a link to it with an absolute target, as
//! lvm2 writes it. Where a udev is still to come both are links to the node that
//! the kernel makes, as udev itself writes them: it would not replace a node.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::dm::DevNo;
use crate::name::{DmName, LvName, VgName};

/// Something to be done in /dev.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A device is live.
    Add { name: DmName, number: DevNo, link: Option<(VgName, LvName)> },
    /// A device is gone.
    Remove { name: DmName, link: Option<(VgName, LvName)> },
    /// A device has another name.
    Rename { old: DmName, new: DmName, link: Option<(VgName, LvName)> },
}

impl Task {
    /// The device's name.
    pub(super) fn name(&self) -> &DmName {
        match self {
            Self::Add { name, .. } | Self::Remove { name, .. } | Self::Rename { new: name, .. } => {
                name
            }
        }
    }
}

/// A folder of device nodes.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    dev: PathBuf,
    links_only: bool,
}

impl Nodes {
    /// Below `dev`: `/dev`, but in tests.
    pub(super) fn new(dev: impl Into<PathBuf>) -> Self {
        Self { dev: dev.into(), links_only: false }
    }

    /// The same with links alone, as udev makes them.
    pub(super) fn like_udev(self) -> Self {
        Self { links_only: true, ..self }
    }

    /// `/dev/mapper/NAME`.
    pub(super) fn path(&self, name: &DmName) -> PathBuf {
        self.dev.join("mapper").join(name.as_str())
    }

    /// Does it. Doing it twice does no harm.
    pub(super) fn perform(&self, task: &Task) -> io::Result<()> {
        match task {
            Task::Add { name, number, link } if self.links_only => {
                // devtmpfs has it, by this name.
                let target = Path::new("..").join(format!("dm-{}", number.minor));
                self.set_link(&self.path(name), &target)?;
                link.as_ref().map_or(Ok(()), |link| self.set_link(&self.link(link), &target))
            }
            Task::Add { name, number, link } => {
                self.add_node(name, *number)?;
                link.as_ref().map_or(Ok(()), |link| self.add_link(link, name))
            }
            Task::Remove { name, link } => {
                if let Some(link) = link {
                    self.remove_link(&self.link(link))?;
                }
                absent_is_fine(fs::remove_file(self.path(name)))
            }
            Task::Rename { old, new, link } => {
                absent_is_fine(fs::rename(self.path(old), self.path(new)))?;
                // A pool loses its link when it is first used: then it is an internal device.
                let vg = link.as_ref().map(|link| link.0.as_str().to_owned());
                if let Some(vg) = vg.or_else(|| vg_of(old)) {
                    self.remove_links_to(&vg, &self.path(old))?;
                }
                link.as_ref().map_or(Ok(()), |link| self.add_link(link, new))
            }
        }
    }

    fn link(&self, (vg, lv): &(VgName, LvName)) -> PathBuf {
        self.dev.join(vg.as_str()).join(lv.as_str())
    }

    fn add_node(&self, name: &DmName, number: DevNo) -> io::Result<()> {
        let path = self.path(name);
        let made = in_folder(&path, || make_block_node(&path, number));
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if is_node(&path, number) {
                    return Ok(());
                }
                // A node of a device that is gone, or a link that udev left.
                absent_is_fine(fs::remove_file(&path))?;
                make_block_node(&path, number)
            }
            made => made,
        }
    }

    fn add_link(&self, link: &(VgName, LvName), name: &DmName) -> io::Result<()> {
        self.set_link(&self.link(link), &self.path(name))
    }

    fn set_link(&self, path: &Path, target: &Path) -> io::Result<()> {
        let make = || in_folder(path, || symlink(target, path));
        match make() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read_link(path).is_ok_and(|found| found == target) {
                    return Ok(());
                }
                self.remove_link(path)?;
                make()
            }
            made => made,
        }
    }

    /// Removes a link, and the group's folder with the last. What is no link is not ours.
    fn remove_link(&self, path: &Path) -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_symlink() => fs::remove_file(path)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) => absent_is_fine(Err(error))?,
        }
        if let Some(folder) = path.parent() {
            // Not empty, or gone: both are fine.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }

    fn remove_links_to(&self, vg: &str, target: &Path) -> io::Result<()> {
        let Ok(entries) = fs::read_dir(self.dev.join(vg)) else { return Ok(()) };
        for path in entries.flatten().map(|entry| entry.path()) {
            if fs::read_link(&path).is_ok_and(|found| found == target) {
                self.remove_link(&path)?;
            }
        }
        Ok(())
    }
}

/// The group's name in lvm2's name of a device: up to the first dash that is not doubled.
fn vg_of(name: &DmName) -> Option<String> {
    let undoubled = name.as_str().replace("--", "\0");
    let (vg, _) = undoubled.split_once('-')?;
    Some(vg.replace('\0', "-"))
}

/// Makes something, and first its folder where that is not there.
fn in_folder(path: &Path, make: impl Fn() -> io::Result<()>) -> io::Result<()> {
    match (make(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            make()
        }
        (made, _) => made,
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// True where the path itself is the block device of that number.
pub(super) fn is_node(path: &Path, number: DevNo) -> bool {
    let found = fs::metadata(path);
    found.is_ok_and(|found| {
        found.file_type().is_block_device()
            && found.rdev() == makedev(number.major.into(), number.minor.into())
    })
}

/// A block node `0660 root:disk`, whatever the umask.
pub(in crate::host) fn make_block_node(path: &Path, number: DevNo) -> io::Result<()> {
    let dev = makedev(number.major.into(), number.minor.into());
    mknod(path, SFlag::S_IFBLK, Mode::S_IRUSR | Mode::S_IWUSR, dev)?;
    chown(path, Some(0), Some(disk_group()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))
}

/// The group `disk`: 6 where nobody says otherwise, as on Debian and Fedora. Looked up once.
fn disk_group() -> u32 {
    static GROUP: OnceLock<u32> = OnceLock::new();
    *GROUP.get_or_init(|| {
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        let disk = groups.lines().find_map(|line| line.strip_prefix("disk:"));
        disk.and_then(|rest| rest.split(':').nth(1)?.parse().ok()).unwrap_or(6)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOP: DevNo = DevNo { major: 7, minor: 250 };

    fn name(text: &str) -> DmName {
        text.parse().expect("a name")
    }

    fn link() -> Option<(VgName, LvName)> {
        Some(("vg".parse().expect("a name"), "lv".parse().expect("a name")))
    }

    /// Making nodes needs privilege; the rest of the test does not.
    fn privileged() -> bool {
        nix::unistd::geteuid().is_root()
    }

    #[test]
    fn node_and_link_come_and_go_with_the_folder() {
        if !privileged() {
            return;
        }
        let dev = tempfile::tempdir().expect("a folder");
        let nodes = Nodes::new(dev.path());
        let add = Task::Add { name: name("vg-lv"), number: LOOP, link: link() };
        nodes.perform(&add).expect("makes both");
        nodes.perform(&add).expect("twice is fine");
        let node = dev.path().join("mapper/vg-lv");
        assert!(is_node(&node, LOOP));
        assert!(!is_node(&node, DevNo { major: 7, minor: 249 }));
        assert_eq!(node.metadata().expect("is there").mode() & 0o777, 0o660);
        assert_eq!(fs::read_link(dev.path().join("vg/lv")).expect("a link"), node);

        let remove = Task::Remove { name: name("vg-lv"), link: link() };
        nodes.perform(&remove).expect("removes both");
        nodes.perform(&remove).expect("twice is fine");
        assert!(!node.exists());
        assert!(!dev.path().join("vg").exists());
    }

    #[test]
    fn links_alone_are_made_as_udev_makes_them() {
        let dev = tempfile::tempdir().expect("a folder");
        let nodes = Nodes::new(dev.path()).like_udev();
        for minor in [4, 5, 5] {
            let number = DevNo { major: 254, minor };
            let add = Task::Add { name: name("vg-lv"), number, link: link() };
            nodes.perform(&add).expect("makes both");
        }
        for path in ["mapper/vg-lv", "vg/lv"] {
            let target = fs::read_link(dev.path().join(path)).expect("a link");
            assert_eq!(target, Path::new("../dm-5"), "{path}");
        }
        let remove = Task::Remove { name: name("vg-lv"), link: link() };
        nodes.perform(&remove).expect("removes both");
        assert!(fs::symlink_metadata(dev.path().join("mapper/vg-lv")).is_err());
        assert!(!dev.path().join("vg").exists());
    }

    #[test]
    fn a_stale_node_is_replaced_and_a_rename_moves_both() {
        if !privileged() {
            return;
        }
        let dev = tempfile::tempdir().expect("a folder");
        let nodes = Nodes::new(dev.path());
        let other = DevNo { minor: 251, ..LOOP };
        for number in [other, LOOP] {
            let add = Task::Add { name: name("vg-lv"), number, link: link() };
            nodes.perform(&add).expect("makes both");
        }
        assert!(is_node(&dev.path().join("mapper/vg-lv"), LOOP));
        let new = Some((link().expect("one").0, "new".parse().expect("a name")));
        let rename = Task::Rename { old: name("vg-lv"), new: name("vg-new"), link: new };
        nodes.perform(&rename).expect("moves both");
        assert!(is_node(&dev.path().join("mapper/vg-new"), LOOP));
        assert!(is_node(&dev.path().join("vg/new"), LOOP));
        assert!(fs::symlink_metadata(dev.path().join("vg/lv")).is_err());
    }

    #[test]
    fn a_rename_to_an_internal_device_drops_the_link() {
        if !privileged() {
            return;
        }
        let dev = tempfile::tempdir().expect("a folder");
        let nodes = Nodes::new(dev.path());
        let link = Some(("a-b".parse().expect("a name"), "pool".parse().expect("a name")));
        let add = Task::Add { name: name("a--b-pool"), number: LOOP, link };
        nodes.perform(&add).expect("makes both");
        let rename =
            Task::Rename { old: name("a--b-pool"), new: name("a--b-pool-tpool"), link: None };
        nodes.perform(&rename).expect("moves the node");
        assert!(is_node(&dev.path().join("mapper/a--b-pool-tpool"), LOOP));
        assert!(!dev.path().join("a-b").exists());
    }

    #[test]
    fn what_is_no_link_stays() {
        let dev = tempfile::tempdir().expect("a folder");
        fs::create_dir(dev.path().join("vg")).expect("makes");
        fs::write(dev.path().join("vg/lv"), "mine").expect("writes");
        let nodes = Nodes::new(dev.path());
        let remove = Task::Remove { name: name("vg-lv"), link: link() };
        assert!(nodes.perform(&remove).is_err());
        assert!(dev.path().join("vg/lv").exists());
    }
}
