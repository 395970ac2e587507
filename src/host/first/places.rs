//! Where the first process lives, and what it mounts there.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{fchdir, pivot_root};
use rustix::fs::{CWD, Mode, OFlags, openat, statfs};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

use crate::error::{Error, ErrorKind, IoContext, Result};

/// Where the root is mounted before it becomes that.
pub(super) const ROOT: &str = "/root";

/// What is mounted at once and handed on to the system: type, place, options. Devices and programs
/// belong in no more of them than have them.
const MOUNTS: [(&str, &str, &str, MsFlags); 4] = [
    ("proc", "/proc", "", MsFlags::MS_NODEV.union(MsFlags::MS_NOEXEC)),
    ("sysfs", "/sys", "", MsFlags::MS_NODEV.union(MsFlags::MS_NOEXEC)),
    ("devtmpfs", "/dev", "mode=0755", MsFlags::empty()),
    ("tmpfs", "/run", "mode=0755,size=20%", MsFlags::MS_NODEV),
];

/// lvm2's settings beside the program, and the folder in which they are looked for.
const SETTINGS: &str = "lvm.conf";
const SETTINGS_FOLDER: &str = "/etc/lvm";

/// The folders of [`MOUNTS`].
pub(super) fn mounted() -> impl Iterator<Item = &'static str> {
    MOUNTS.iter().map(|(_, place, ..)| *place)
}

/// Which file system the kernel started this process from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The kernel's own first one, in memory, which nobody can unmount.
    Archive,
    /// A partition, which was left: this one is in memory and ours.
    Partition,
}

/// Where this process is at home.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) kind: Kind,
    /// The folder that the program lies in, open as long as it is needed; what is beside it can be
    /// read through this even where it cannot be reached by a path any more.
    beside: Option<File>,
    left: bool,
}

impl Home {
    /// Makes itself at home: leaves the partition that the program was started from, where it is
    /// one, and mounts what is needed.
    pub(super) fn settle(program: &Path) -> Result<Self> {
        let kind = kind_of_root().context("look at the first file system", "/")?;
        let folder = super::folder_of(program);
        let beside = File::open(&folder).ok();
        if kind == Kind::Partition {
            move_to_memory().context("leave the partition that this program is on", "/")?;
        }
        for (fs_type, place, options, flags) in MOUNTS {
            mount_at(fs_type, place, options, flags | MsFlags::MS_NOSUID)?;
        }
        make_folder(ROOT)?;
        let home = Self { kind, beside, left: false };
        home.take_settings().context("take lvm2's settings", SETTINGS)?;
        Ok(home)
    }

    /// lvm2's settings lie beside the program where they say more than its defaults.
    fn take_settings(&self) -> io::Result<()> {
        let Ok(mut file) = self.open_beside(SETTINGS) else { return Ok(()) };
        let mut settings = Vec::new();
        file.read_to_end(&mut settings)?;
        fs::create_dir_all(SETTINGS_FOLDER)?;
        fs::write(Path::new(SETTINGS_FOLDER).join(SETTINGS), settings)
    }

    /// Opens a file that lies beside the program.
    pub(super) fn open_beside(&self, path: &str) -> io::Result<File> {
        let folder = self.beside.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let file = openat(folder.as_fd(), path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(File::from(file))
    }

    /// What lies beside the program is needed no more.
    pub(super) fn leave(&mut self) {
        self.beside = None;
        self.left = true;
    }

    /// True once nothing can be undone any more.
    pub(super) fn is_left(&self) -> bool {
        self.left
    }
}

fn kind_of_root() -> io::Result<Kind> {
    let in_memory = crate::host::is_in_memory(&statfs("/")?);
    Ok(if in_memory { Kind::Archive } else { Kind::Partition })
}

/// Makes a file system in memory the root of this process, and lets go of the one it is on: the
/// program keeps that busy until it becomes another.
fn move_to_memory() -> io::Result<()> {
    let old = File::open("/")?;
    let new = memory()?;
    move_mount(&new, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    fchdir(&new)?;
    leave_root(&old)
}

/// Makes the working folder, which something is mounted at, the root, and lets go of `old`, what
/// was the root.
pub(super) fn leave_root(old: &File) -> io::Result<()> {
    // The old root comes to lie upon the new one, at the same place (pivot_root(2)).
    pivot_root(".", ".")?;
    fchdir(old)?;
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/")
}

/// A file system in memory that is mounted nowhere.
fn memory() -> io::Result<std::os::fd::OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "mode", "0755")?;
    fsconfig_create(&context)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

fn mount_at(fs_type: &str, place: &str, options: &str, flags: MsFlags) -> Result<()> {
    make_folder(place)?;
    match mount(Some(fs_type), place, Some(fs_type), flags, Some(options)) {
        // Whoever started this program has done it.
        Ok(()) | Err(nix::errno::Errno::EBUSY) => Ok(()),
        Err(nix::errno::Errno::ENODEV) => {
            let why = format!("this kernel has no {fs_type}");
            Err(Error::new(ErrorKind::Unsupported, why).op("mount").at(place))
        }
        Err(errno) => Err(Error::io(errno.into()).op("mount").at(place)),
    }
}

fn make_folder(path: &str) -> Result<()> {
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.context("make a folder", path),
    }
}

/// Removes everything in the kernel's first file system, whose memory nobody else would free. What
/// is mounted in it is left alone.
pub(super) fn empty_archive() {
    let Ok(root) = fs::symlink_metadata("/") else { return };
    empty(Path::new("/"), std::os::unix::fs::MetadataExt::dev(&root));
}

fn empty(folder: &Path, device: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for path in paths {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if std::os::unix::fs::MetadataExt::dev(&meta) != device {
            continue;
        }
        // What stays takes a little memory and does no harm.
        let _ = if meta.is_dir() {
            empty(&path, device);
            fs::remove_dir(&path)
        } else {
            fs::remove_file(&path)
        };
    }
}
