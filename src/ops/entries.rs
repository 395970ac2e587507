//! A layer's boot entries: what its own tree says of its start, in the loader's folder.
//!
//! Kernels are stored before the layer exists, the entries are made after: what the loader shows
//! can be started.

use std::io::{self, Read};
use std::path::Path;

use super::session::Session;
use super::{Watch, filesystem};
use crate::boot::BootState;
use crate::boot::args::Args;
use crate::boot::name::KernelVersion;
use crate::boot::store::{Artefacts, Reopen, Source, Stored};
use crate::boot::{Boot, Files, NewEntry};
use crate::dm::ActivePool;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{ImageName, LayerName};
use crate::machine::{Held, LockMode};
use crate::name::LvName;
use crate::root::{
    Extra, KernelFiles, OsRelease, RootFiles, WithBoot, default_arguments, find_kernels, wants_boot,
};
use crate::units::Bytes;

/// Which kernels get an initramfs in which this program alone starts the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnInitrd {
    /// Those that the layer's tree has none for.
    WhereNone,
    /// All of them.
    Always,
}

/// Where a file system of its own for kernels is mounted in a running system.
pub(super) const BOOT: &str = "/boot";

/// Initramfs that were made, by the kernel's version.
type OwnInitrds = std::collections::BTreeMap<String, Vec<u8>>;

/// What a layer is started with, its files stored.
pub(super) struct Start {
    pub(super) kernels: Vec<(KernelVersion, Stored)>,
    pub(super) args: Args,
    pub(super) machine_id: Option<String>,
}

/// The loader's folder, and the lock that keeps others from storing into it, where it is to be had.
pub(super) type BootAlone<'m> = (Boot<'m>, Option<Box<dyn Held>>);

impl<'m> Session<'m> {
    /// The loader's folder, where there is one. What no entry names there is kept.
    pub(super) fn boot(&self) -> Result<Option<Boot<'m>>> {
        let Some(at) = self.machine().boot else { return Ok(None) };
        let boot = Boot::open(at.place, &self.vg().name, at.loader)?;
        Ok(boot.map(Boot::keeping_unused))
    }

    /// What it shows, where there is one.
    pub(super) fn boot_state(&self) -> Result<Option<BootState>> {
        self.boot()?.map(|boot| boot.state()).transpose()
    }

    /// The same as [`boot`](Self::boot) with what no entry names seen, and removed, unless somebody is storing kernels:
    /// nobody can, as long as the lock that comes with it is held.
    pub(super) fn boot_alone(&self) -> Result<Option<BootAlone<'m>>> {
        let Some(at) = self.machine().boot else { return Ok(None) };
        let Some(boot) = Boot::open(at.place, &self.vg().name, at.loader)? else { return Ok(None) };
        Ok(Some(match self.machine().lvm2.lock_boot(LockMode::Exclusive)? {
            Some(held) => (boot, Some(held)),
            None => (boot.keeping_unused(), None),
        }))
    }

    /// Shows the tree on a volume that is active.
    pub(super) fn with_files(
        &self,
        lv: &LvName,
        with: &mut dyn FnMut(&dyn RootFiles) -> Result<()>,
    ) -> Result<()> {
        let (device, node) = (self.open_volume(lv)?, self.node(lv)?);
        filesystem::with_files(self.machine(), &node, device.as_ref(), with)
    }

    /// The same, and as its `/boot` what is mounted at that folder, if the tree wants something to be
    /// there.
    fn with_boot_files(
        &self,
        (lv, boot): (&LvName, &Path),
        with: &mut dyn FnMut(&dyn RootFiles) -> Result<()>,
    ) -> Result<()> {
        let mounts = self.machine().mounts;
        let is_mounted = mounts.list()?.iter().any(|mount| mount.dir == boot);
        self.with_files(lv, &mut |root| {
            if !is_mounted || !wants_boot(root)? {
                return with(root);
            }
            mounts.with_folder(boot, &mut |boot| with(&WithBoot::new(root, boot)))
        })
    }

    /// Fails where the boot folder has no room for the kernels on a volume that a layer is to be made
    /// of, before it is made. A volume that is not active is looked into where that takes no mount.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace).
    pub(super) fn check_boot_room(
        &self,
        boot: &Boot<'_>,
        (lv, at): (&LvName, &Path),
        pool: &ActivePool,
    ) -> Result<()> {
        let mut look = |root: &dyn RootFiles| check_boot_room(boot, root);
        only_room(if self.devices_of([lv])?.is_active(self.vg(), lv) {
            self.with_boot_files((lv, at), &mut look)
        } else if self.is_on_paper(lv)? {
            Ok(())
        } else {
            self.with_files_asleep((lv, pool), &mut look)
        })
    }

    /// Shows the tree on a volume that is not active, where it is an ext4 that needs no mount. The
    /// volume is not active afterwards, the pool is.
    fn with_files_asleep(
        &self,
        (lv, pool): (&LvName, &ActivePool),
        with: &mut dyn FnMut(&dyn RootFiles) -> Result<()>,
    ) -> Result<()> {
        // While it is open it does not go with its last volume.
        let _held = self.machine().kernel.open(&pool.name)?;
        self.activate(&[lv])?;
        let looked = self.open_volume(lv).and_then(|device| {
            let file_system = filesystem::read(device.as_ref())?;
            let tree = filesystem::open_tree(device.as_ref(), &file_system)?;
            tree.map_or(Ok(()), |tree| with(&tree))
        });
        if let Err(error) = self.deactivate(&[lv]) {
            log::warn!("{lv} stays active: {error}");
        }
        looked
    }

    /// Stores a layer's kernels, all of them or none that is named; `None` where its tree has none.
    /// Where they are on a file system of their own, `at` says where that is mounted now.
    ///
    /// # Errors
    /// [`NoSpace`](crate::ErrorKind::NoSpace) before anything is written, and as [`Boot::store`].
    pub(super) fn store_kernels(
        &self,
        boot: &Boot<'_>,
        (lv, at): (&LvName, &Path),
        args: Option<Args>,
        own: OwnInitrd,
    ) -> Result<Option<Start>> {
        let mut kernels = Vec::new();
        let looked = self.with_boot_files((lv, at), &mut |root| {
            kernels = find_kernels(root)?;
            Ok(())
        });
        match looked {
            // Only the front of what was copied is there.
            Err(why) if self.is_on_paper(lv)? => {
                log::info!("kernels are not looked for in a dry run: {why}");
                return Ok(None);
            }
            looked => looked?,
        }
        if kernels.is_empty() {
            return Ok(None);
        }
        let made = self.own_initrds(lv, &kernels, own)?;
        let mut start = None;
        self.with_boot_files((lv, at), &mut |root| {
            start = Some(store(boot, root, (&kernels, &made), args.clone())?);
            Ok(())
        })?;
        Ok(start)
    }

    /// Makes initramfs for those kernels of a layer that are to have our own.
    fn own_initrds(
        &self,
        lv: &LvName,
        kernels: &[KernelFiles],
        own: OwnInitrd,
    ) -> Result<OwnInitrds> {
        let wants = |kernel: &&KernelFiles| own == OwnInitrd::Always || kernel.initrd.is_none();
        let kernels: Vec<&KernelFiles> = kernels.iter().filter(wants).collect();
        let mut made = OwnInitrds::new();
        let maker = self.machine().boot.and_then(|at| at.initrd);
        let maker = match (maker, own) {
            _ if kernels.is_empty() => return Ok(made),
            (Some(maker), _) => maker,
            (None, OwnInitrd::WhereNone) => return Ok(made),
            (None, OwnInitrd::Always) => {
                let why = "there is no program to make an initramfs of";
                return Err(Error::new(ErrorKind::Unsupported, why).kept("nothing was changed"));
            }
        };
        let (device, node, disks) = (self.open_volume(lv)?, self.node(lv)?, self.member_disks());
        let file_system = filesystem::read(device.as_ref())?;
        self.machine().mounts.look_into(&node, file_system.fs_type(), &mut |root| {
            for kernel in &kernels {
                match maker.make(root, &kernel.version, &disks) {
                    Ok(bytes) => drop(made.insert(kernel.version.clone(), bytes)),
                    Err(error) if own == OwnInitrd::WhereNone => {
                        log::warn!(
                            "{lv}: its kernel {} starts without any initramfs: {error}",
                            kernel.version
                        );
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })?;
        Ok(made)
    }

    /// The arguments that a new layer inherits: those of the layer that it is a snapshot of, else
    /// of the one that boots next. `None` where none of them has an entry.
    pub(super) fn inherited_args(
        &self,
        boot: &Boot<'_>,
        origin: &ImageName,
    ) -> Result<Option<Args>> {
        let state = boot.state()?;
        let models = [origin.layer(), state.default_layer()].into_iter().flatten();
        let first = models.map(|layer| state.of_layer(layer)).find_map(|all| all.first().copied());
        Ok(first.map(|found| found.entry.lasting_args()))
    }

    /// Makes the entries of a layer that exists, where it can be started at all; true then. What
    /// fails is told: the layer stays.
    pub(super) fn publish(
        &self,
        layer: &LayerName,
        boot: Option<&Boot<'_>>,
        start: Option<&Start>,
        watch: &mut dyn Watch,
    ) -> bool {
        let (Some(boot), Some(start)) = (boot, start) else {
            if self.machine().needs_no_entries {
                return false;
            }
            let why =
                if boot.is_some() { "its tree holds no kernel" } else { "there is no boot loader" };
            watch.warn(&format!("{layer} has no boot entry: {why}"));
            return false;
        };
        match self.put_entries(boot, layer, start) {
            Ok(_) => true,
            Err(error) => {
                let way = format!("try again with 'imgbase boot --setup {layer}'");
                watch.warn(&format!("{layer} exists, but has no boot entry: {error}; {way}"));
                false
            }
        }
    }

    /// Makes the entries of a layer that exists; the first layer of the group that can be started
    /// becomes the default.
    ///
    /// # Errors
    /// As [`Boot::put`] and [`Boot::set_default`].
    pub(super) fn put_entries(
        &self,
        boot: &Boot<'_>,
        layer: &LayerName,
        start: &Start,
    ) -> Result<bool> {
        let first = boot.state()?.layers().is_empty();
        let mut changed = false;
        for (kernel, stored) in &start.kernels {
            let files = Files::Stored(stored);
            let facts = self.machine().boot.map(|at| at.place.boot.facts());
            changed |= boot.put(&NewEntry {
                layer,
                kernel,
                files,
                args: &start.args,
                boot_uuid: facts.as_ref().and_then(|facts| facts.uuid.as_deref()),
                machine_id: start.machine_id.as_deref(),
            })?;
        }
        // Said outright, so that no entry of others takes its place by its name.
        if first {
            boot.set_default(layer, None, None)?;
            changed = true;
        }
        Ok(changed)
    }
}

fn store(
    boot: &Boot<'_>,
    root: &dyn RootFiles,
    (found, made): (&[KernelFiles], &OwnInitrds),
    args: Option<Args>,
) -> Result<Start> {
    let args = match args {
        Some(args) => args,
        None => Args::parse(&default_arguments(root)?),
    };
    check_room(boot, root, (found, made))?;
    let mut kernels = Vec::new();
    for kernel in found {
        let stored = with_artefacts(root, kernel, made, |all| boot.store(all))?;
        kernels.push((kernel.version.parse()?, stored));
    }
    Ok(Start { kernels, args, machine_id: OsRelease::read(root)?.machine_id })
}

fn check_room(
    boot: &Boot<'_>,
    root: &dyn RootFiles,
    (found, made): (&[KernelFiles], &OwnInitrds),
) -> Result<()> {
    let mut need = Bytes::ZERO;
    for kernel in found {
        let more = with_artefacts(root, kernel, made, |all| boot.check_room_beside(all, need))?;
        need = need.saturating_add(more);
    }
    Ok(())
}

/// Fails where the boot folder has no room for a tree's kernels; an initramfs of ours, which is made
/// later, is not reckoned.
pub(super) fn check_boot_room(boot: &Boot<'_>, root: &dyn RootFiles) -> Result<()> {
    let kernels = find_kernels(root)?;
    let sizes: Result<Vec<_>> = kernels.iter().map(|kernel| sizes(root, kernel)).collect();
    if boot.has_room_for(&sizes?)? {
        return Ok(());
    }
    // What is there already takes none; to know it, all has to be read.
    check_room(boot, root, (&kernels, &OwnInitrds::new()))
}

/// Of a look beforehand what is wrong with the room; all else is told when kernels are stored.
pub(super) fn only_room(looked: Result<()>) -> Result<()> {
    match looked {
        Err(error) if !matches!(error.kind(), ErrorKind::NoSpace { .. }) => {
            log::info!("room in the boot folder is reckoned later: {error}");
            Ok(())
        }
        looked => looked,
    }
}

/// The sizes of a kernel and what belongs to it.
fn sizes(root: &dyn RootFiles, kernel: &KernelFiles) -> Result<Vec<Bytes>> {
    let beside = kernel.initrd.iter().chain(kernel.extras.iter().map(|(_, path)| path));
    let size = |path: &String| Ok(root.open(path)?.map_or(Bytes::ZERO, |(_, size)| size));
    [&kernel.kernel].into_iter().chain(beside).map(size).collect()
}

/// A file of a tree.
struct FileOf<'r> {
    root: &'r dyn RootFiles,
    path: &'r str,
}

impl Reopen for FileOf<'_> {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let opened = self.root.open(self.path).map_err(io::Error::other)?;
        let (file, _) = opened.ok_or(io::ErrorKind::NotFound)?;
        Ok(file)
    }
}

/// Bytes in memory.
struct BytesOf<'b>(&'b [u8]);

impl Reopen for BytesOf<'_> {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.0))
    }
}

/// Calls `with` with all files of a kernel.
fn with_artefacts<T>(
    root: &dyn RootFiles,
    kernel: &KernelFiles,
    made: &OwnInitrds,
    with: impl FnOnce(&Artefacts<'_>) -> Result<T>,
) -> Result<T> {
    let own = made.get(&kernel.version).map(|bytes| BytesOf(bytes));
    let own_name = format!("imgbase-{}.img", kernel.version);
    let mut paths: Vec<(Role, &str)> = vec![(Role::Linux, &kernel.kernel)];
    paths.extend(kernel.extras.iter().map(|(extra, path)| (Role::of(*extra), path.as_str())));
    if own.is_none() {
        paths.extend(kernel.initrd.iter().map(|path| (Role::Initrd, path.as_str())));
    }
    let files: Vec<(Role, FileOf<'_>)> =
        paths.into_iter().map(|(role, path)| (role, FileOf { root, path })).collect();
    let of = |role: Role| files.iter().filter(move |(other, _)| *other == role);
    let own = own.iter().map(|from| Source { name: &own_name, from });
    with(&Artefacts {
        linux: of(Role::Linux).map(source).next(),
        beside: of(Role::Beside).map(source).collect(),
        initrds: of(Role::Initrd).map(source).chain(own).collect(),
        devicetree: of(Role::DeviceTree).map(source).next(),
    })
}

fn source<'a>((_, file): &'a (Role, FileOf<'a>)) -> Source<'a> {
    Source { name: name_of(file.path), from: file }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Linux,
    Beside,
    Initrd,
    DeviceTree,
}

impl Role {
    const fn of(extra: Extra) -> Self {
        match extra {
            Extra::Microcode => Self::Initrd,
            Extra::DeviceTree => Self::DeviceTree,
            Extra::Checksum => Self::Beside,
        }
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
