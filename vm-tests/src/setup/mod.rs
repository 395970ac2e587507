//! Everything that a run needs, made once and kept under `target/vm`.
//!
//! Each asset is built under a temporary name and renamed, so what has its name is whole; a lock
//! keeps two runs from building at once. The name holds a hash of the recipe.

mod apt;
mod binaries;
mod emulator;
mod firmware;
mod guest_root;
mod kernel;
mod registry;
mod samples;
pub mod shell;
mod systems;

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Doing, Result};

pub use apt::{install, packages};
pub use binaries::{Binaries, FOR_TESTS, TARGET, tools_disk};
pub use emulator::OWN as INSTALLED_EMULATOR;
pub use registry::registry;

/// The Debian release of guest and samples.
pub const SUITE: &str = "bookworm";

/// What a virtual machine starts from; all of it is shared and never written.
#[derive(Debug, Clone)]
pub struct Assets {
    /// QEMU.
    pub emulator: PathBuf,
    /// The kernel image.
    pub kernel: PathBuf,
    /// The guest's root file system, with the judges.
    pub guest_root: PathBuf,
    /// A Debian root file system as an ext4 image.
    pub sample: PathBuf,
    /// A file system that holds the sample as files, `debian.ext4`, `debian.xfs` and `debian.tar.gz`,
    /// its list of files as the guest prints it, `debian.tree`, and what is packed, in `windows`.
    pub images: PathBuf,
    /// A file system that holds systems to boot, as images of theirs.
    pub systems: PathBuf,
    /// The folder of OVMF's code and variables.
    pub ovmf: PathBuf,
}

/// Makes what is missing.
///
/// # Errors
/// A sentence that names the step.
pub fn assets() -> Result<Assets> {
    packages()?;
    let emulator = emulator::emulator();
    // Most of the time one waits for packages or for a single processor.
    let (guest, systems, ovmf) = thread::scope(|scope| {
        let guest = scope.spawn(|| guest(&emulator));
        let ovmf = scope.spawn(firmware::ovmf);
        let systems = systems::systems();
        (finished(guest), systems, finished(ovmf))
    });
    let Guest { kernel, root: guest_root, samples } = guest?;
    let [sample, images] = ["debian.ext4", "images.img"].map(|name| samples.join(name));
    Ok(Assets { emulator, kernel, guest_root, sample, images, systems: systems?, ovmf: ovmf? })
}

/// What stands on one another.
struct Guest {
    kernel: PathBuf,
    root: PathBuf,
    samples: PathBuf,
}

fn guest(emulator: &Path) -> Result<Guest> {
    let kernel = kernel::kernel()?;
    let root = guest_root::guest_root(&kernel)?;
    let samples = samples::samples(emulator, &kernel.image, &root)?;
    Ok(Guest { kernel: kernel.image, root, samples })
}

/// What a thread has to say.
pub(crate) fn finished<T>(work: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The workspace's folder.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where assets, runs and failures are kept: `target/vm`, or what `IMGBASE_VM_CACHE` names.
#[must_use]
pub fn cache() -> PathBuf {
    let named = std::env::var_os("IMGBASE_VM_CACHE").map(PathBuf::from);
    named.unwrap_or_else(|| workspace().join("target/vm"))
}

/// The folder `name` of the cache, made by `build` unless it is there; `recipe` is what it is
/// made from.
fn once(name: &str, recipe: &[&str], build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let done = cache().join(format!("{name}-{:012x}", digest(recipe)));
    if done.exists() {
        return Ok(done);
    }
    let _lock = lock(name)?;
    if done.exists() {
        return Ok(done);
    }
    eprintln!("set-up: making {name}");
    let fresh = cache().join(format!(".{name}.new"));
    empty(&fresh)?;
    build(&fresh).doing(format!("making {name}"))?;
    fs::rename(&fresh, &done).doing(done.display())?;
    Ok(done)
}

fn digest(recipe: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    recipe.hash(&mut hasher);
    hasher.finish() >> 16
}

fn lock(name: &str) -> Result<File> {
    fs::create_dir_all(cache())?;
    let path = cache().join(format!(".{name}.lock"));
    let file = File::create(&path).doing(path.display())?;
    flock(&file, FlockOperation::LockExclusive).doing(path.display())?;
    Ok(file)
}

fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).doing(folder.display())?;
    }
    fs::create_dir_all(folder).doing(folder.display())
}
