//! The archive that the kernel starts the [first process](super::first) from: the program, the
//! modules that its disks need, and nothing else.
//!
//! The same input gives the same bytes.

mod drivers;
mod kernel;
mod plan;
mod replace;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::lvmconf::LvmConf;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::first::cpio::Archive;
use crate::first::modules::{ModuleList, name_of};
use crate::first::program;
use crate::machine::InitrdMaker;
use crate::pack::{GzipWriter, unpack};
use crate::report::InitrdReport;

use self::plan::Plan;

/// Larger than any module, packed or not, in bytes.
const MODULE_MAX: usize = 64 << 20;
/// The program's name in the archive, by which the kernel starts it.
const INIT: &str = "init";
/// Its name in a folder.
const PROGRAM: &str = "imgbase";
/// The folder of the modules, beside the program.
const MODULES: &str = "modules";
/// The console's number (Documentation/admin-guide/devices.txt of the kernel): the kernel opens it
/// before the program can mount anything.
const CONSOLE: (u32, u32) = (5, 1);

/// What an archive is for.
#[derive(Clone, Debug)]
pub struct Initrd {
    /// The system whose kernel it is for: its modules are below `lib/modules` there.
    pub root: PathBuf,
    /// The kernel's version; `None`: the running one where the root is `/`, else the only one there.
    pub kernel: Option<String>,
    /// Modules to load beyond those that are found to be needed.
    pub modules: Vec<String>,
    /// Disks of this machine that must come; where there are none, the drivers of all usual ones
    /// are loaded.
    pub disks: Vec<PathBuf>,
    /// File systems that are mounted, as mount(8) calls them.
    pub file_systems: Vec<String>,
    /// The program, linked statically.
    pub program: PathBuf,
}

impl Initrd {
    /// For the kernel of the system at `root`, with this program; no disk is known. The file system
    /// is that of `root` itself, or where that is none that a layer can have, those that it can.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) where the mounts cannot be listed.
    pub fn of(root: PathBuf) -> Result<Self> {
        let file_systems = kernel::file_systems(&root)?;
        let (kernel, program) = (None, PathBuf::from("/proc/self/exe"));
        let (modules, disks) = (Vec::new(), Vec::new());
        Ok(Self { root, kernel, modules, disks, file_systems, program })
    }

    /// Writes the archive, packed with gzip.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a kernel or a module that is not there, naming it;
    /// [`Unsupported`](ErrorKind::Unsupported) for a program that is not linked statically, or a
    /// disk that is put together of others by what is not in the archive (RAID, encryption);
    /// [`Corrupt`](ErrorKind::Corrupt) for a module that cannot be unpacked; and
    /// [`Io`](ErrorKind::Io), also of the writer. What was written is of no use then.
    pub fn write(&self, out: &mut dyn Write) -> Result<InitrdReport> {
        let plan = Plan::make(self)?;
        let program = self.program()?;
        let failed = |error: io::Error| Error::io(error).op("write the initramfs");
        let mut counted = Counted { out, bytes: 0 };
        let gzip = GzipWriter::new(&mut counted);
        let mut archive = Archive::new(gzip);
        archive.folder("dev", 0o755).map_err(failed)?;
        archive.char_device("dev/console", 0o600, CONSOLE).map_err(failed)?;
        archive.file(INIT, 0o755, &program).map_err(failed)?;
        drop(program);
        archive.folder(MODULES, 0o755).map_err(failed)?;
        each_file(self, &plan, &mut |name, mode, bytes| {
            archive.file(name, mode, bytes).map_err(failed)
        })?;
        archive.finish().and_then(GzipWriter::finish).map_err(failed)?;
        Ok(plan.report(counted.bytes, None))
    }

    /// Writes the archive to a file, which is replaced whole or not at all.
    ///
    /// # Errors
    /// As [`write`](Self::write); the file is as it was then.
    ///
    /// # Commit point
    /// The rename, once all of it is on the disk.
    pub fn write_file(&self, path: &Path) -> Result<InitrdReport> {
        let written = replace::replace(path, 0o644, |out| self.write(out));
        let output = Some(path.display().to_string());
        written.map(|report| InitrdReport { output, ..report }).map_err(|error| {
            match error.unchanged() {
                Some(_) => error,
                None => error.kept(format!("{} is as it was", path.display())),
            }
        })
    }

    /// Writes the program and the modules as plain files into a folder: of a small partition that
    /// the kernel mounts by itself and starts the program from, by `init=`, without any initramfs.
    /// Each file is replaced whole or not at all, the program last.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_folder(&self, folder: &Path) -> Result<InitrdReport> {
        let plan = Plan::make(self)?;
        let program = self.program()?;
        let modules = folder.join(MODULES);
        std::fs::create_dir_all(&modules).context("make a folder", modules.display())?;
        let mut size = 0_u64;
        let mut put = |name: &str, mode, bytes: &[u8]| {
            size = size.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
            let path = folder.join(name);
            replace::replace(&path, mode, |out| {
                out.write_all(bytes).context("write", path.display())
            })
        };
        each_file(self, &plan, &mut put)?;
        put(PROGRAM, 0o755, &program)?;
        Ok(plan.report(size, Some(folder)))
    }

    /// The program's bytes.
    fn program(&self) -> Result<Vec<u8>> {
        let at = self.program.display();
        let bytes = std::fs::read(&self.program).context("read the program", &at)?;
        if program::is_static(bytes.get(..program::HEAD).unwrap_or(&bytes)) {
            return Ok(bytes);
        }
        let why =
            "it is not linked statically, and the archive holds no other file: give one that is";
        let at = std::fs::canonicalize(&self.program).unwrap_or_else(|_| self.program.clone());
        Err(Error::new(ErrorKind::Unsupported, why).op("write the initramfs").at(at.display()))
    }
}

/// Makes archives of this program.
pub(super) struct Maker {
    program: PathBuf,
}

impl Maker {
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program }
    }
}

impl InitrdMaker for Maker {
    fn make(&self, root: &Path, kernel: &str, disks: &[PathBuf]) -> Result<Vec<u8>> {
        let mut initrd = Initrd::of(root.to_owned())?;
        initrd.kernel = Some(kernel.to_owned());
        initrd.disks = disks.to_vec();
        initrd.program.clone_from(&self.program);
        let mut bytes = Vec::new();
        initrd.write(&mut bytes)?;
        Ok(bytes)
    }
}

/// Takes a file by its name, its permissions and its content.
type Put<'p> = &'p mut dyn FnMut(&str, u32, &[u8]) -> Result<()>;

/// Gives all that lies beside the program: what lvm2's configuration says and its defaults do not,
/// the modules as the kernel takes them, their list.
fn each_file(initrd: &Initrd, plan: &Plan, put: Put<'_>) -> Result<()> {
    let settings = LvmConf::read_in(&initrd.root.join("etc/lvm")).for_start();
    if !settings.is_empty() {
        put("lvm.conf", 0o644, settings.as_bytes())?;
    }
    let unpacked = |files: &Vec<String>| files.iter().map(|file| unpacked_name(file)).collect();
    let rows = plan.needed.iter().map(unpacked).collect();
    let list = ModuleList { rows, spare: unpacked(&plan.spare) };
    for (file, name) in plan.files().zip(list.files()) {
        put(&format!("{MODULES}/{name}"), 0o644, &read_module(&plan.folder.join(file))?)?;
    }
    put(&format!("{MODULES}/list"), 0o644, list.to_string().as_bytes())
}

/// `dm-mod.ko` for `kernel/drivers/md/dm-mod.ko.xz`.
fn unpacked_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    let name = name.split_once(".ko").map_or(name, |(name, _)| name);
    format!("{name}.ko")
}

fn read_module(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MODULE_MAX).unwrap_or(u64::MAX);
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.context("read the module", path.display())?;
    unpack(bytes, MODULE_MAX).map_err(|error| error.at(path.display()))
}

impl Plan {
    fn report(&self, size_bytes: u64, output: Option<&Path>) -> InitrdReport {
        let name = |file: &String| name_of(file);
        InitrdReport {
            output: output.map(|path| path.display().to_string()),
            kernel: self.kernel.clone(),
            modules: self.needed.iter().flatten().map(name).collect(),
            spare_modules: self.spare.iter().map(name).collect(),
            size_bytes,
        }
    }
}

/// Counts what is written.
struct Counted<'w> {
    out: &'w mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.out.write(bytes)?;
        self.bytes = self.bytes.saturating_add(u64::try_from(len).unwrap_or(0));
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
