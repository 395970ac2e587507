//! The machine's disks, as sysfs and /dev know them.

mod file;
mod sysfs;
mod uncached;
mod usage;

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loopdev::{LoopControl, LoopDevice};

pub use self::file::FileDev;
use super::filter::Filter;
use crate::dev::Dev;
use crate::dm::DevNo;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::image::ImageFile;
#[cfg(feature = "oci")]
use crate::image::oci::{Reference, Store};
use crate::machine::{Disks, FileTarget, InUse, NewFile};
use crate::name::VgName;

/// Another process may take a loop device between our asking for a free one and taking it.
const LOOP_TRIES: u32 = 16;

/// Disks by sysfs, ioctls and loop-control.
#[derive(Debug, Default)]
pub(super) struct RealDisks {
    filters: [Filter; 2],
}

impl RealDisks {
    /// Those that lvm2's filters accept, all of them.
    pub(super) fn new(filters: [Filter; 2]) -> Self {
        Self { filters }
    }
}

/// The number of a block device; `None` for anything else.
pub(super) fn number_of(path: &Path) -> Result<Option<DevNo>> {
    let meta = fs::metadata(path).context("look at", path.display())?;
    if !meta.file_type().is_block_device() {
        return Ok(None);
    }
    let (major, minor) = (nix::sys::stat::major(meta.rdev()), nix::sys::stat::minor(meta.rdev()));
    let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
    Ok(Some(DevNo { major: number(major), minor: number(minor) }))
}

impl Disks for RealDisks {
    fn candidates(&self) -> Result<Vec<PathBuf>> {
        let mut found = sysfs::candidates()?;
        found.retain(|path| self.filters.iter().all(|filter| filter.accepts(path)));
        Ok(found)
    }

    fn under(&self, vg: &VgName) -> Vec<PathBuf> {
        let mut found = sysfs::under(vg);
        found.retain(|path| self.filters.iter().all(|filter| filter.accepts(path)));
        found
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn Dev>> {
        Ok(Arc::new(FileDev::open(path)?))
    }

    fn open_image(&self, path: &Path) -> Result<ImageFile> {
        FileDev::open(path).map(FileDev::into_image)
    }

    fn make_file(&self, target: &FileTarget, replace: bool) -> Result<Box<dyn NewFile>> {
        super::new_file::make(target, replace)
    }

    #[cfg(feature = "oci")]
    fn open_remote(&self, image: &Reference) -> Result<Box<dyn Store>> {
        Ok(Box::new(super::registry::Remote::new(image)?))
    }

    fn is_in_dev(&self, name: &str) -> bool {
        let path = Path::new("/dev").join(name);
        // An empty folder is what a group of that name may have left.
        let is_empty = |mut entries: fs::ReadDir| entries.next().is_none();
        match fs::read_dir(&path) {
            Ok(entries) => !is_empty(entries),
            Err(_) => fs::symlink_metadata(&path).is_ok(),
        }
    }

    fn number(&self, path: &Path) -> Result<Option<DevNo>> {
        number_of(path)
    }

    fn is_read_only(&self, path: &Path) -> Result<bool> {
        let op = "look whether it may be written";
        if number_of(path)?.is_none() {
            return match OpenOptions::new().write(true).open(path) {
                Err(error) if error.raw_os_error() == Some(libc::EROFS) => Ok(true),
                opened => opened.map(|_| false).context(op, path.display()),
            };
        }
        let device = fs::File::open(path).context(op, path.display())?;
        imgbase_sys::block::is_read_only(&device).context(op, path.display())
    }

    fn in_use(&self, path: &Path) -> Result<Option<InUse>> {
        usage::of(path)
    }

    fn attach(&self, file: &Path) -> Result<PathBuf> {
        let file = fs::canonicalize(file).context("attach a loop device to", file.display())?;
        if let Some(there) = sysfs::loop_of(&file)? {
            return Ok(there);
        }
        let (device, path) = attach(file.display(), |device| device.with().attach(&file))?;
        // Without it the file's data would be in memory twice; a file system may not have it.
        let _ = device.set_direct_io(true);
        Ok(path)
    }
}

/// Attaches a free loop device, which is held open, and gives its path too. `name` says to what.
pub(super) fn attach(
    name: impl fmt::Display,
    with: impl Fn(&LoopDevice) -> io::Result<()>,
) -> Result<(LoopDevice, PathBuf)> {
    let failed = |error| {
        let error = Error::io(error).op("attach a loop device");
        match error.kind() {
            ErrorKind::NotFound => error.with_kind(ErrorKind::Unsupported),
            _ => error,
        }
        .at(&name)
    };
    let control = LoopControl::open().map_err(failed)?;
    let mut last = io::Error::from_raw_os_error(libc::EBUSY);
    for _ in 0..LOOP_TRIES {
        let device = control.next_free().map_err(failed)?;
        match with(&device) {
            Ok(()) => {
                let path = device.path().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
                log::debug!("attached {} to {name}", path.display());
                return Ok((device, path));
            }
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => last = error,
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(last))
}
