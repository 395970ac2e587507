//! The real machine, behind the traits of [`crate::machine`] and
//! [`crate::dm::Kernel`].

mod archive;
mod boot;
mod config;
mod disks;
mod filter;
pub mod first;
mod hints;
mod hooks;
pub mod initrd;
mod kernel;
mod keys;
#[cfg(feature = "liblvm")]
mod library;
mod locks;
mod lvm2_host;
mod lvmconf;
mod mounts;
mod new_file;
mod new_tree;
#[cfg(feature = "oci")]
mod registry;
mod root;
mod tools;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use self::disks::{RealDisks, number_of};
use self::filter::Filter;
use self::kernel::RealKernel;
use self::lvm2_host::RealLvm2;
use self::lvmconf::LvmConf;
use self::mounts::RealMounts;
use self::tools::RealTools;
use crate::boot::{LoaderKind, Tries};
use crate::error::Result;
use crate::machine::{BootAt, InitrdMaker, Machine};

pub use self::boot::{HostBoot, RealBoot, RealVars};
pub use self::config::CONFIG;
pub use self::disks::FileDev;
pub use self::keys::{KEYS, signature_of};

/// Reads one of the kernel's texts, which have no length before they are read: with room for most of
/// them it comes in one piece.
fn read_whole(path: &str) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(16 << 10);
    File::open(path)?.read_to_end(&mut text)?;
    Ok(text)
}

/// True for a tmpfs and a ramfs, by their magic numbers (linux/magic.h): in memory, and gone with it.
fn is_in_memory(file_system: &rustix::fs::StatFs) -> bool {
    const TMPFS_AND_RAMFS: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    u64::try_from(file_system.f_type).is_ok_and(|magic| TMPFS_AND_RAMFS.contains(&magic))
}

/// How the machine is to be used.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// How long one of lvm2's locks is waited for.
    pub lock_timeout: Duration,
    /// Who reads and writes the groups' texts.
    pub metadata: Metadata,
    /// What starts this host.
    pub loader: BootLoader,
    /// The folder that the loader reads, as it is mounted now; else it is looked for at `/boot`,
    /// `/efi` and `/boot/efi`.
    pub boot_dir: Option<PathBuf>,
    /// How often a layer on trial is started; else as often as `/etc/kernel/tries` says, else three
    /// times.
    pub tries: Option<Tries>,
    /// This program as a file, linked statically, to make an initramfs of for a layer that has none;
    /// `None`: such a layer's entries have none.
    pub program: Option<PathBuf>,
    /// True before any udev has started on this machine, for one that will: the devices that are
    /// activated are left to it as if it had seen them come.
    pub before_udev: bool,
}

impl Default for HostConfig {
    /// 20 seconds for a lock; no library of lvm2's; the loader that is there; udev where one runs.
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(20),
            metadata: Metadata::Native,
            loader: BootLoader::Any,
            boot_dir: None,
            tries: None,
            program: None,
            before_udev: false,
        }
    }
}

/// What starts a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BootLoader {
    /// The one that is there, if any.
    #[default]
    Any,
    /// This one.
    Known(LoaderKind),
    /// None, or none that is to be touched.
    None,
}

/// Who reads and writes the texts of volume groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Metadata {
    /// This library itself.
    #[default]
    Native,
    /// lvm2's command library, which the program `imgbase-liblvm` has: it stands beside the
    /// running one or in `/usr/libexec/imgbase`. Labels, volumes and devices stay ours. Whatever
    /// this process starts while it holds one of lvm2's locks holds that too.
    #[cfg(feature = "liblvm")]
    Liblvm,
}

/// This machine.
pub struct Host {
    disks: RealDisks,
    kernel: RealKernel,
    mounts: RealMounts,
    tools: RealTools,
    lvm2: RealLvm2,
    boot: Option<HostBoot>,
    needs_no_entries: bool,
    loader: Option<LoaderKind>,
    tries: Tries,
    release: Option<String>,
    initrd: Option<initrd::Maker>,
}

impl Host {
    /// Reads lvm2's configuration, where there is one. Device-mapper is opened when it is first
    /// needed.
    ///
    /// # Errors
    /// [`Tool`](crate::ErrorKind::Tool) where lvm2's library is asked for and its program is not
    /// there; [`NotFound`](crate::ErrorKind::NotFound) where a boot folder is named that is not;
    /// [`Io`](crate::ErrorKind::Io). What else is missing shows where it is needed.
    pub fn new(config: HostConfig) -> Result<Self> {
        let conf = LvmConf::read();
        // lvm2 lets a device pass only if both lists accept it; the global one is asked first.
        let filters = [&conf.global_filter, &conf.filter];
        let filters = filters.map(|list| Filter::new(list.iter().map(String::as_str)));
        let lvm2 = RealLvm2::new(conf, config.lock_timeout);
        #[cfg(feature = "liblvm")]
        let lvm2 = match config.metadata {
            Metadata::Native => lvm2,
            Metadata::Liblvm => lvm2.with_library(library::Helper::find()?),
        };
        let needs_no_entries = config.loader == BootLoader::None;
        let loader = match config.loader {
            BootLoader::Known(kind) => Some(kind),
            BootLoader::Any | BootLoader::None => None,
        };
        let boot = match config.loader {
            BootLoader::None => None,
            _ => HostBoot::open(config.boot_dir.as_deref(), loader)?,
        };
        let tries = config.tries.or_else(|| boot.as_ref().and_then(|_| boot::tries()));
        Ok(Self {
            disks: RealDisks::new(filters),
            kernel: if config.before_udev { RealKernel::before_udev() } else { RealKernel::new() },
            mounts: RealMounts,
            tools: RealTools,
            lvm2,
            tries: tries.unwrap_or_default(),
            release: boot.as_ref().and_then(|_| boot::release()),
            boot,
            needs_no_entries,
            loader,
            initrd: config.program.map(initrd::Maker::new),
        })
    }

    /// The machine, for [`Imgbase::new`](crate::ops::Imgbase::new).
    pub fn machine(&self) -> Machine<'_> {
        Machine {
            disks: &self.disks,
            kernel: &self.kernel,
            mounts: &self.mounts,
            tools: &self.tools,
            lvm2: &self.lvm2,
            boot: self.boot.as_ref().map(|boot| BootAt {
                place: boot.place(),
                loader: self.loader,
                tries: self.tries,
                initrd: self.initrd.as_ref().map(|maker| -> &dyn InitrdMaker { maker }),
                release: self.release.as_deref(),
            }),
            needs_no_entries: self.needs_no_entries,
            in_order: false,
        }
    }
}
