//! Trees in images, mounted for a while.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use imgbase_sys::mount::{DetachedMount, Source};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::private::mount_called;
use super::squash;
use crate::dev::Dev;
use crate::diff::Mounted;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::host::disks::{FileDev, attach, number_of};
use crate::image::{ImageFile, SQUASHFS};
use crate::machine::HeldTree;
use crate::queue::lock;
use crate::tree::{self, Early, Folder, Measure, NewTree, Of, Tell};

struct Held {
    // Ends before the mount does.
    begun: Begun,
    mount: DetachedMount,
    name: String,
}

/// A tree that is read ahead from when it is weighed: what is weighed will be copied, and its volume has to
/// be made first, a tenth of the time.
#[derive(Default)]
pub(super) struct Begun(Mutex<Option<Early>>);

impl Begun {
    pub(super) fn weigh<F: Folder + Send + 'static>(
        &self,
        open: impl Fn() -> Result<F>,
        tell: Tell<'_>,
    ) -> Result<Measure> {
        *lock(&self.0) = Some(Early::of(open()?, Of::Image)?);
        tree::weigh(&open()?, Of::Image, tell)
    }

    pub(super) fn copy<F: Folder + Send + 'static>(
        &self,
        open: impl Fn() -> Result<F>,
        to: &mut dyn NewTree,
        tell: Tell<'_>,
    ) -> Result<Measure> {
        let begun = lock(&self.0).take();
        begun.map_or_else(|| Early::of(open()?, Of::Image), Ok)?.copy_to(to, tell)
    }
}

/// What a tree is held from.
pub(super) enum Place {
    Device(PathBuf),
    File(File),
}

impl Place {
    /// What is there, to be read.
    pub(super) fn dev(&self, name: String) -> Result<FileDev> {
        let dev = match self {
            Self::Device(path) => FileDev::open(path),
            Self::File(file) => FileDev::open(&path_of(file)),
        };
        Ok(dev?.called(name))
    }
}

/// A path to what is open, whatever its name stands for by now.
fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Mounts what is open.
pub(super) fn hold(image: &dyn Dev, fs_type: &str) -> Result<Box<dyn HeldTree>> {
    let name = image.name().to_owned();
    let Some(path) = image.path() else {
        let why = "only a whole file or device can be mounted";
        return Err(Error::new(ErrorKind::Unsupported, why).at(name));
    };
    let place = match number_of(&path)? {
        Some(_) => Place::Device(path),
        None => Place::File(File::open(&path).context("open the image", &name)?),
    };
    hold_place(place, name, fs_type)
}

/// Reads it ourselves if we can.
fn hold_place(place: Place, name: String, fs_type: &str) -> Result<Box<dyn HeldTree>> {
    if fs_type == SQUASHFS {
        return squash::hold(place, name);
    }
    mounted(&place, name, fs_type)
}

/// Mounts it: what is in a file by a loop device that goes with the mount.
pub(super) fn mounted(place: &Place, name: String, fs_type: &str) -> Result<Box<dyn HeldTree>> {
    let file = match place {
        Place::Device(path) => return mount_device(path, name, fs_type),
        Place::File(file) => file,
    };
    // Held until it is mounted: with nobody at it, it goes.
    let (device, path) = attach(&name, |device| {
        device.with().read_only(true).autoclear(true).attach_fd(file.as_raw_fd())
    })?;
    let held = mount_device(&path, name, fs_type);
    drop(device);
    held
}

fn mount_device(device: &Path, name: String, fs_type: &str) -> Result<Box<dyn HeldTree>> {
    // Another one of the same image may be mounted.
    let options = if fs_type == "xfs" { "nouuid" } else { "" };
    let source = Source { fs_type, device, read_only: true, view_only: true, options };
    let mount = mount_called(source).map_err(|error| error.at(&name))?;
    Ok(Box::new(Held { begun: Begun::default(), mount, name }))
}

/// A tree that is there for all to see.
struct Seen {
    folder: Mounted,
}

/// Opens a folder, if it is one.
pub(super) fn hold_folder(folder: &Path) -> Result<Option<Box<dyn HeldTree>>> {
    if !fs::metadata(folder).is_ok_and(|meta| meta.is_dir()) {
        return Ok(None);
    }
    let path = folder.display().to_string();
    let folder = Mounted::open(folder).context("open the tree", &path)?;
    // Any other folder is a mistake.
    for name in ["etc", "usr"] {
        if folder.folder(name.as_bytes()).is_err() {
            let why = format!("it is no image and no system: a folder that has no {name}");
            return Err(Error::new(ErrorKind::Invalid, why).at(path));
        }
    }
    Ok(Some(Box::new(Seen { folder })))
}

impl HeldTree for Seen {
    fn image(&self, _path: &str) -> Result<Option<ImageFile>> {
        Ok(None)
    }

    fn hold_inside(&self, _path: &str, _fs_type: &str) -> Result<Option<Box<dyn HeldTree>>> {
        Ok(None)
    }

    fn weigh(&self, tell: Tell<'_>) -> Result<Measure> {
        tree::weigh(&self.folder, Of::System, tell)
    }

    fn copy_to(&self, to: &mut dyn NewTree, tell: Tell<'_>) -> Result<Measure> {
        tree::copy(&self.folder, Of::System, to, tell)
    }
}

impl Held {
    /// Opens a file. No link is followed, so that nothing outside is taken for a part of it.
    fn open(&self, path: &str) -> Result<Option<(File, String)>> {
        let name = format!("{}: {path}", self.name);
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, self.mount.path(), folder, Mode::empty());
        let root = root.map_err(std::io::Error::from).context("open", &name)?;
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let path = path.trim_start_matches('/');
        let file: OwnedFd = match openat2(&root, path, how, Mode::empty(), inside) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            file => file.map_err(std::io::Error::from).context("open", &name)?,
        };
        let file = File::from(file);
        let is_file = file.metadata().context("look at", &name)?.is_file();
        Ok(is_file.then_some((file, name)))
    }

    fn tree(&self) -> Result<Mounted> {
        Mounted::open(&self.mount.path()).context("open the tree", &self.name)
    }
}

impl HeldTree for Held {
    fn image(&self, path: &str) -> Result<Option<ImageFile>> {
        let Some((file, name)) = self.open(path)? else { return Ok(None) };
        // By its descriptor, which outlives the mount.
        let path = path_of(&file);
        Ok(Some(FileDev::open(&path)?.called(name).into_image()))
    }

    fn hold_inside(&self, path: &str, fs_type: &str) -> Result<Option<Box<dyn HeldTree>>> {
        let Some((file, name)) = self.open(path)? else { return Ok(None) };
        hold_place(Place::File(file), name, fs_type).map(Some)
    }

    fn weigh(&self, tell: Tell<'_>) -> Result<Measure> {
        self.begun.weigh(|| self.tree(), tell)
    }

    fn copy_to(&self, to: &mut dyn NewTree, tell: Tell<'_>) -> Result<Measure> {
        self.begun.copy(|| self.tree(), to, tell)
    }

    fn pick_from(&self, to: &mut dyn NewTree, tell: Tell<'_>) -> Result<Measure> {
        tree::copy(&self.tree()?, Of::Image, to, tell)
    }
}
