//! Which modules go into an archive.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::drivers::Hardware;
use super::{Initrd, kernel};
use crate::error::{Error, ErrorKind, Result};
use crate::first::modules::Tables;

/// What a thin volume needs.
const THIN: &str = "dm_thin_pool";

/// Drivers of the disks that PCs and virtual machines usually have, in case the disks are moved to
/// another one: those that the kernel has as modules are loaded where the disks do not come without.
const USUAL: [&str; 8] = [
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_scsi",
    "nvme",
    "ahci",
    "sd_mod",
    "xen_blkfront",
];

/// The files of modules, below a folder, in the order in which they are loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The kernel's version.
    pub(super) kernel: String,
    /// The folder of its modules.
    pub(super) folder: PathBuf,
    /// Loaded at once, in rows of which none needs another.
    pub(super) needed: Vec<Vec<String>>,
    /// Loaded where the disks do not come.
    pub(super) spare: Vec<String>,
}

/// depmod's files.
struct Texts {
    dep: String,
    built_in: String,
    aliases: String,
    softdeps: String,
}

impl Plan {
    /// Of what the system has and the machine needs.
    pub(super) fn make(initrd: &Initrd) -> Result<Self> {
        let (version, folder) = kernel::find(&initrd.root, initrd.kernel.as_deref())?;
        let texts = Texts::read(&folder)?;
        let tables = texts.tables();
        let chosen = choose(initrd, &tables).and_then(|names| {
            let names = names.iter().map(String::as_str);
            let usual = USUAL.into_iter().filter(|name| tables.find(name).is_some());
            if initrd.disks.is_empty() {
                // Nobody knows which disks there will be.
                return Ok((tables.in_order(names.chain(usual), &[])?, Vec::new()));
            }
            let needed = tables.in_order(names, &[])?;
            let spare = tables.in_order(usual, &needed)?;
            Ok((needed, spare))
        });
        let (needed, spare) =
            chosen.map_err(|error| error.kept(format!("looked for it in {}", folder.display())))?;
        let owned = |files: Vec<&str>| files.into_iter().map(str::to_owned).collect();
        let needed = tables.rows(&needed).into_iter().map(owned).collect();
        let spare = owned(spare);
        Ok(Self { kernel: version, folder, needed, spare })
    }

    /// All files, in an order in which they can be loaded.
    pub(super) fn files(&self) -> impl Iterator<Item = &String> {
        self.needed.iter().flatten().chain(&self.spare)
    }
}

/// The names of the modules that are needed.
fn choose(initrd: &Initrd, tables: &Tables<'_>) -> Result<Vec<String>> {
    let mut hardware = Hardware::default();
    for disk in &initrd.disks {
        hardware.add(disk)?;
    }
    let mut names: Vec<String> = Vec::new();
    for alias in &hardware.aliases {
        names.extend(tables.of_alias(alias).into_iter().map(str::to_owned));
    }
    // Another kernel may have a driver under another name: by what it serves it was found.
    names.extend(hardware.modules.into_iter().filter(|name| tables.find(name).is_some()));
    names.push(THIN.to_owned());
    for file_system in &initrd.file_systems {
        names.extend(of_file_system(file_system, tables)?);
    }
    names.extend(initrd.modules.iter().cloned());
    Ok(names)
}

/// What a file system needs: the kernel asks for it by an alias. One that is built in is not among
/// the aliases.
fn of_file_system(name: &str, tables: &Tables<'_>) -> Result<Vec<String>> {
    let by_alias = tables.of_alias(&format!("fs-{name}"));
    if !by_alias.is_empty() {
        return Ok(by_alias.into_iter().map(str::to_owned).collect());
    }
    // ext4 serves its forerunners too.
    let module = if name == "ext2" || name == "ext3" { "ext4" } else { name };
    if tables.find(module).is_some() {
        return Ok(vec![module.to_owned()]);
    }
    let why = format!("this kernel has no {name}, neither as a module nor built in");
    Err(Error::new(ErrorKind::NotFound, why).op("find the file system's module"))
}

impl Texts {
    fn read(folder: &Path) -> Result<Self> {
        let whole = |name: &str| read(&folder.join(name));
        // Without the others a kernel may do: it has no alias, or nothing built in.
        let part = |name: &str| match read(&folder.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            read => read,
        };
        Ok(Self {
            dep: whole("modules.dep")?,
            built_in: part("modules.builtin")?,
            aliases: part("modules.alias")?,
            softdeps: part("modules.softdep")?,
        })
    }

    fn tables(&self) -> Tables<'_> {
        Tables::new(&self.dep)
            .with_built_in(&self.built_in)
            .with_aliases(&self.aliases)
            .with_softdeps(&self.softdeps)
    }
}

fn read(path: &Path) -> Result<String> {
    let failed = |error: io::Error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let error = Error::io(error).op("read depmod's table").at(path.display());
        if missing { error.kept("depmod(8) makes it") } else { error }
    };
    let bytes = fs::read(path).map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
