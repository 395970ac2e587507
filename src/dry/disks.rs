//! Disks in a dry run: read for real, written in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::Notes;
use super::shadow::Shadow;
use crate::dev::{Dev, Outlet};
use crate::dm::DevNo;
use crate::dm::sim::SimKernel;
use crate::error::Result;
use crate::image::ImageFile;
#[cfg(feature = "pack")]
use crate::image::oci::{Reference, Store};
use crate::machine::{Disks, FileTarget, InUse, NewFile};
use crate::name::VgName;

/// The major number of loop devices.
const LOOP_MAJOR: u32 = 7;

/// Minor numbers of loop devices that are not there: above any real one.
const FIRST_MINOR: u32 = 1 << 19;

pub(super) struct DryDisks<'m> {
    real: &'m dyn Disks,
    sim: SimKernel,
    notes: Notes,
    shadows: Mutex<BTreeMap<PathBuf, Arc<dyn Dev>>>,
    loops: Mutex<Vec<PathBuf>>,
}

impl<'m> DryDisks<'m> {
    pub(super) fn new(real: &'m dyn Disks, sim: SimKernel, notes: Notes) -> Self {
        Self { real, sim, notes, shadows: Mutex::default(), loops: Mutex::default() }
    }

    /// The file behind a loop device of this dry run, and its minor number.
    fn attached(&self, path: &Path) -> Option<(PathBuf, u32)> {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let index = path.to_str()?.strip_prefix("/dev/loop-of-dry-run-")?.parse::<usize>().ok()?;
        let minor = u32::try_from(index).ok()?.checked_add(FIRST_MINOR)?;
        Some((loops.get(index)?.clone(), minor))
    }

    fn shadow(&self, path: &Path) -> Result<Arc<dyn Dev>> {
        let mut shadows = self.shadows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shadow) = shadows.get(path) {
            return Ok(shadow.clone());
        }
        let below = self.real.open(path)?;
        let shadow: Arc<dyn Dev> = Arc::new(Shadow::over(below, self.notes.clone()));
        shadows.insert(path.to_owned(), shadow.clone());
        Ok(shadow)
    }
}

impl Disks for DryDisks<'_> {
    fn under(&self, vg: &VgName) -> Vec<PathBuf> {
        self.real.under(vg)
    }

    fn candidates(&self) -> Result<Vec<PathBuf>> {
        self.real.candidates()
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn Dev>> {
        let file = self.attached(path).map(|(file, _)| file);
        let shadow = self.shadow(file.as_deref().unwrap_or(path))?;
        if let Some(number) = self.number(path)? {
            self.sim.add_disk(number, shadow.clone());
        }
        Ok(shadow)
    }

    fn open_image(&self, path: &Path) -> Result<ImageFile> {
        self.real.open_image(path)
    }

    fn make_file(&self, target: &FileTarget, replace: bool) -> Result<Box<dyn NewFile>> {
        // It tells what is wrong with the place; there is nothing yet to be left.
        drop(self.real.make_file(target, replace)?);
        Ok(Box::new(Planned { target: target.clone(), notes: self.notes.clone() }))
    }

    #[cfg(feature = "pack")]
    fn open_remote(&self, image: &Reference) -> Result<Box<dyn Store>> {
        self.real.open_remote(image)
    }

    fn is_in_dev(&self, name: &str) -> bool {
        self.real.is_in_dev(name)
    }

    fn number(&self, path: &Path) -> Result<Option<DevNo>> {
        match self.attached(path) {
            Some((_, minor)) => Ok(Some(DevNo { major: LOOP_MAJOR, minor })),
            None => self.real.number(path),
        }
    }

    fn is_read_only(&self, path: &Path) -> Result<bool> {
        self.real.is_read_only(path)
    }

    fn in_use(&self, path: &Path) -> Result<Option<InUse>> {
        self.real.in_use(path)
    }

    fn attach(&self, file: &Path) -> Result<PathBuf> {
        self.notes.add(format!("attach a loop device to {}", file.display()));
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        loops.push(file.to_owned());
        Ok(PathBuf::from(format!("/dev/loop-of-dry-run-{}", loops.len() - 1)))
    }
}

/// A file that is not made.
struct Planned {
    target: FileTarget,
    notes: Notes,
}

impl Outlet for Planned {
    fn put(&mut self, _bytes: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn skip(&mut self, _zeros: u64) -> std::io::Result<()> {
        Ok(())
    }
}

impl NewFile for Planned {
    fn is_kept(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.notes.add(match &self.target {
            FileTarget::Path(path) => {
                format!("write and sync a file beside {0}, and rename it to {0}", path.display())
            }
            FileTarget::Stdout => "write to standard output".to_owned(),
        });
        Ok(())
    }
}
