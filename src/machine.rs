//! The seams to the real machine. Whatever changes anything passes one of
//! these traits or [`Dev`] or [`Kernel`];
//! each has a real implementation in [`crate::host`] and a simulated one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::boot::{LoaderKind, Place, Tries};
use crate::dev::{Dev, Outlet};
use crate::dm::{DevNo, Kernel};
use crate::error::Result;
#[cfg(feature = "pack")]
use crate::error::{Error, ErrorKind};
use crate::etc::{Carried, Hook, Labelling, LateEdit, Wishes};
use crate::image::ImageFile;
#[cfg(feature = "pack")]
use crate::image::oci::{Reference, Store};
#[cfg(feature = "liblvm")]
use crate::lvm2::store::Lvm2Library;
use crate::name::{LvmId, VgName};
use crate::root::{RootChange, RootFiles};
#[cfg(feature = "host")]
use crate::tree::Part;
use crate::tree::{Measure, NewTree, Tell};
use crate::units::Bytes;

/// The machine that an operation works on. No global state: two may live in one process.
#[derive(Clone, Copy)]
pub struct Machine<'m> {
    /// Its disks.
    pub disks: &'m dyn Disks,
    /// Its device-mapper.
    pub kernel: &'m dyn Kernel,
    /// Its mounts.
    pub mounts: &'m dyn Mounts,
    /// The few programs that may be run.
    pub tools: &'m dyn Tools,
    /// What lvm2 on the same host must find done: locks, hints, archives.
    pub lvm2: &'m dyn Lvm2Host,
    /// What its loader reads; `None` where it has none, or is to be taken as having none.
    pub boot: Option<BootAt<'m>>,
    /// Its layers are started in some other way: that one has no entry is no news.
    pub needs_no_entries: bool,
    /// One step after the other, always in the same order, where else those that wait would wait
    /// together: for a dry run, which lists them, and for tests.
    pub in_order: bool,
}

/// What the machine's loader reads, and what is known of the loader.
#[derive(Clone, Copy)]
pub struct BootAt<'m> {
    /// Its folders and variables.
    pub place: Place<'m>,
    /// Which loader it is, where that was said.
    pub loader: Option<LoaderKind>,
    /// How often a layer on trial is started.
    pub tries: Tries,
    /// What makes an initramfs for a layer that has none; `None` where that cannot be done.
    pub initrd: Option<&'m dyn InitrdMaker>,
    /// The kernel that runs (`uname -r`), where this is the machine that was booted.
    pub release: Option<&'m str>,
}

/// Makes initramfs in which this program alone starts a layer.
pub trait InitrdMaker: Send + Sync {
    /// One for a kernel of the tree at `root`, with what these disks need. The same input gives the
    /// same bytes.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a module that is not there,
    /// [`Unsupported`](crate::ErrorKind::Unsupported), [`Corrupt`](crate::ErrorKind::Corrupt),
    /// [`Io`](crate::ErrorKind::Io).
    fn make(&self, root: &Path, kernel: &str, disks: &[PathBuf]) -> Result<Vec<u8>>;
}

/// Why a device is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InUse {
    /// Mounted at this place.
    Mounted(PathBuf),
    /// A swap device.
    Swap,
    /// It carries partitions, or is held by other block devices; the first one's name.
    Held(String),
    /// Something has it open exclusively.
    Open,
}

/// The machine's disks.
pub trait Disks: Send + Sync {
    /// Block devices that may carry a physical volume: not empty, not a volume of an LVM group,
    /// not a component of multipath or md, accepted by lvm2's filter where it has one. Sorted by name.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) where they cannot be listed. A device that cannot be
    /// looked at is left out with a warning.
    fn candidates(&self) -> Result<Vec<PathBuf>>;

    /// Those of the [candidates](Disks::candidates) that the active thin pools of that group lie
    /// on, found without looking at any other: a hint, where to look first. None where nothing is
    /// active, or nobody knows.
    fn under(&self, vg: &VgName) -> Vec<PathBuf> {
        let _ = vg;
        Vec::new()
    }

    /// Opens a device or a file (links followed). Writing to it fails if the caller may not.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), [`Denied`](crate::ErrorKind::Denied),
    /// [`Busy`](crate::ErrorKind::Busy), [`Io`](crate::ErrorKind::Io).
    fn open(&self, path: &Path) -> Result<Arc<dyn Dev>>;

    /// Opens an image to read: a device or a file that is never written to.
    ///
    /// # Errors
    /// As [`open`](Disks::open).
    fn open_image(&self, path: &Path) -> Result<ImageFile>;

    /// Begins a file that is to be made, in order and whole or not at all.
    ///
    /// # Errors
    /// [`Exists`](crate::ErrorKind::Exists) where there is one and it is not to be replaced,
    /// [`Invalid`](crate::ErrorKind::Invalid) for what is no file and would not become one, and as
    /// [`open`](Disks::open).
    fn make_file(&self, target: &FileTarget, replace: bool) -> Result<Box<dyn NewFile>>;

    /// Opens an image in a registry.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) in a build without the feature `oci`,
    /// [`Io`](crate::ErrorKind::Io).
    #[cfg(feature = "pack")]
    fn open_remote(&self, image: &Reference) -> Result<Box<dyn Store>> {
        let why = "this build reads no registries: build it with the feature 'oci', or copy the \
                   image to a folder first (skopeo copy docker://... oci:FOLDER)";
        Err(Error::new(ErrorKind::Unsupported, why).at(image))
    }

    /// True where `/dev` has an entry of that name, which a volume group's folder would collide
    /// with.
    fn is_in_dev(&self, name: &str) -> bool;

    /// The device's number, or `None` for a plain file.
    ///
    /// # Errors
    /// As [`open`](Disks::open).
    fn number(&self, path: &Path) -> Result<Option<DevNo>>;

    /// True for a device or a file that may not be written.
    ///
    /// # Errors
    /// As [`open`](Disks::open).
    fn is_read_only(&self, path: &Path) -> Result<bool>;

    /// Why it is in use, or `None`.
    ///
    /// # Errors
    /// As [`open`](Disks::open).
    fn in_use(&self, path: &Path) -> Result<Option<InUse>>;

    /// Makes a loop device of a file and returns the device's path. It stays until it is
    /// detached by other means (`losetup -d`); a file that is attached already is not attached twice.
    ///
    /// # Errors
    /// As [`open`](Disks::open).
    fn attach(&self, file: &Path) -> Result<PathBuf>;
}

/// Where a file is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileTarget {
    /// Under this name.
    Path(PathBuf),
    /// Nowhere: it goes to standard output.
    Stdout,
}

impl std::fmt::Display for FileTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Stdout => f.write_str("standard output"),
        }
    }
}

/// A file that has no name yet. Dropped before it is finished, it leaves nothing.
pub trait NewFile: Outlet {
    /// False where nothing is kept of what is put into it, so that it need not be read either.
    fn is_kept(&self) -> bool {
        true
    }

    /// Makes it durable and gives it its name; durable too when this returns.
    ///
    /// # Errors
    /// [`Exists`](crate::ErrorKind::Exists) where somebody has made one of that name meanwhile,
    /// [`NoSpace`](crate::ErrorKind::NoSpace), [`Io`](crate::ErrorKind::Io).
    fn finish(self: Box<Self>) -> Result<()>;
}

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// The device behind it.
    pub number: DevNo,
    /// Where.
    pub dir: PathBuf,
    /// `ext4`.
    pub fs_type: String,
    /// Options as the kernel gives them, those of the mount and of the file system.
    pub options: Vec<String>,
}

/// How to mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountHow {
    /// The file system's type.
    pub fs_type: String,
    /// True for a read-only mount.
    pub read_only: bool,
    /// Options of the mount and of the file system, comma-separated: `noatime,discard`.
    pub data: String,
}

/// The machine's mounts.
pub trait Mounts: Send + Sync {
    /// All there are, in this process's view, in order.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io).
    fn list(&self) -> Result<Vec<MountEntry>>;

    /// Mounts a device at a folder that exists.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied), [`NotFound`](crate::ErrorKind::NotFound),
    /// [`Busy`](crate::ErrorKind::Busy), [`Unsupported`](crate::ErrorKind::Unsupported) for a
    /// file system that the kernel does not know, [`Io`](crate::ErrorKind::Io).
    fn mount(&self, device: &Path, dir: &Path, how: &MountHow) -> Result<()>;

    /// Unmounts, waiting for it to be done (never lazily).
    ///
    /// # Errors
    /// [`Busy`](crate::ErrorKind::Busy) where it is in use, and as [`mount`](Mounts::mount).
    fn unmount(&self, dir: &Path) -> Result<()>;

    /// Mounts a file system where no other process sees it, which replays its journal, grows it
    /// to `grow_to` if that is given (ext4 and XFS, by the kernel itself), and ends the mount.
    ///
    /// # Errors
    /// As [`mount`](Mounts::mount); a file system that the kernel refuses is
    /// [`Corrupt`](crate::ErrorKind::Corrupt).
    fn mount_once(&self, device: &Path, fs_type: &str, grow_to: Option<Bytes>) -> Result<()>;

    /// Mounts read-only where no other process sees it, calls `look` with a path to its root
    /// that this process alone can use, and ends the mount. Where the device is mounted already,
    /// `look` sees that mount without what is mounted inside it.
    ///
    /// # Errors
    /// As [`mount`](Mounts::mount), and what `look` gives.
    fn look_into(
        &self,
        device: &Path,
        fs_type: &str,
        look: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()>;

    /// Mounts where no other process sees it, shows the tree to `with`, which may change it if
    /// it is `writable`, and ends the mount; what was changed is durable then. One that is mounted
    /// already is only looked at.
    ///
    /// # Errors
    /// As [`mount`](Mounts::mount), [`Busy`](crate::ErrorKind::Busy) for a writable one that is
    /// mounted already, and what `with` gives.
    fn with_root(
        &self,
        device: &Path,
        fs_type: &str,
        writable: bool,
        with: &mut dyn FnMut(&dyn RootChange) -> Result<()>,
    ) -> Result<()>;

    /// Shows the tree at a folder as it is now, with all that is mounted in it.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), [`Io`](crate::ErrorKind::Io), and what `with` gives.
    fn with_folder(
        &self,
        folder: &Path,
        with: &mut dyn FnMut(&dyn RootFiles) -> Result<()>,
    ) -> Result<()>;

    /// Mounts a fresh file system where no other process sees it, lets `make` fill it, and ends the
    /// mount; what was made is durable then.
    ///
    /// # Errors
    /// As [`mount`](Mounts::mount), and what `make` gives.
    fn make_tree(
        &self,
        device: &Path,
        fs_type: &str,
        make: &mut dyn FnMut(&mut dyn NewTree) -> Result<()>,
    ) -> Result<()>;

    /// Mounts a file system in an image that was opened, read-only and where no other process sees
    /// it, as long as what it gives is held. A file is attached to a loop device for as long.
    ///
    /// # Errors
    /// As [`mount`](Mounts::mount); [`Unsupported`](crate::ErrorKind::Unsupported) for what has no
    /// [`path`](Dev::path).
    fn hold_image(&self, image: &dyn Dev, fs_type: &str) -> Result<Box<dyn HeldTree>>;

    /// The tree in a folder of this machine, as it is seen there and with what is written to it
    /// meanwhile: other file systems that are mounted in it are no part of it, but what `/boot` has.
    /// `None` where there is no folder.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for one that has no `etc` or no `usr`, and so is no
    /// system's; [`Io`](crate::ErrorKind::Io).
    fn hold_folder(&self, folder: &Path) -> Result<Option<Box<dyn HeldTree>>>;

    /// What is in a folder of a volume, which is looked at as by [`look_into`](Mounts::look_into);
    /// `None` where there is no such folder. No link is followed on the way to it.
    ///
    /// # Errors
    /// As there, and as [`tree::weigh`](crate::tree::weigh).
    fn weigh_folder(&self, from: FolderOf<'_>, tell: Tell<'_>) -> Result<Option<Measure>>;

    /// Copies what is in a folder of a volume, which is there, to the root of a fresh file system,
    /// with what the folder itself is like; it is durable then.
    ///
    /// # Errors
    /// As [`make_tree`](Mounts::make_tree) and [`tree::copy`](crate::tree::copy()).
    fn copy_folder(&self, from: FolderOf<'_>, to: (&Path, &str), tell: Tell<'_>)
    -> Result<Measure>;

    /// Mounts three volumes where no other process sees them, the first two read-only, carries over
    /// to the third what was changed from the first to the second (see [`crate::etc`]), names the
    /// root in its fstab, and ends the mounts; what was changed is durable then.
    ///
    /// # Errors
    /// As [`mount`](Mounts::mount), [`Busy`](crate::ErrorKind::Busy) where the third is mounted
    /// already, [`Io`](crate::ErrorKind::Io) and [`NoSpace`](crate::ErrorKind::NoSpace). What the
    /// third then holds is of no use.
    fn carry_over(&self, volumes: CarryOver<'_>) -> Result<Carried>;

    /// What [`carry_over`](Mounts::carry_over) would do with a new layer of an image of which a part is
    /// known: two volumes are mounted where no other process sees them, none to be changed.
    ///
    /// # Errors
    /// As [`mount`](Mounts::mount), [`Io`](crate::ErrorKind::Io).
    #[cfg(feature = "host")]
    fn preview(&self, of: Preview<'_>) -> Result<Carried>;

    /// Mounts three volumes where no other process sees them, none to be changed, and tells what
    /// was changed late in the second: see [`etc::late_edits`](crate::etc::late_edits).
    ///
    /// # Errors
    /// As [`mount`](Mounts::mount), [`Io`](crate::ErrorKind::Io).
    fn late_edits(&self, look: LateLook<'_>) -> Result<Vec<LateEdit>>;
}

/// A folder of a volume: its node, the sort of its file system, the path from its root.
pub type FolderOf<'f> = (&'f Path, &'f str, &'f str);

/// The tree in an image, mounted where no other process sees it. No path leads out of it.
pub trait HeldTree: Send + Sync {
    /// A file of it as an image; `None` where there is none at that path.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io).
    fn image(&self, path: &str) -> Result<Option<ImageFile>>;

    /// The tree in a file of it: see [`Mounts::hold_image`]. `None` where there is no such file. It
    /// may be held longer than this one.
    ///
    /// # Errors
    /// As there.
    fn hold_inside(&self, path: &str, fs_type: &str) -> Result<Option<Box<dyn HeldTree>>>;

    /// What is in it.
    ///
    /// # Errors
    /// As [`tree::weigh`](crate::tree::weigh).
    fn weigh(&self, tell: Tell<'_>) -> Result<Measure>;

    /// Copies it.
    ///
    /// # Errors
    /// As [`tree::copy`](crate::tree::copy()).
    fn copy_to(&self, to: &mut dyn NewTree, tell: Tell<'_>) -> Result<Measure>;

    /// The same where little of it is wanted: no content is read that `to` does not ask for.
    ///
    /// # Errors
    /// As there.
    fn pick_from(&self, to: &mut dyn NewTree, tell: Tell<'_>) -> Result<Measure> {
        self.copy_to(to, tell)
    }
}

/// The volumes of [`Mounts::carry_over`]: nodes, and the sorts of their file systems.
#[derive(Clone, Copy, Debug)]
pub struct CarryOver<'c> {
    /// What the old layer was made of.
    pub base: (&'c Path, &'c str),
    /// The old layer.
    pub ours: (&'c Path, &'c str),
    /// The new one, as its image is.
    pub new: (&'c Path, &'c str),
    /// What the new one's fstab is to name as the root.
    pub root: &'c str,
    /// What is carried over beside what is by default.
    pub wishes: &'c Wishes,
}

/// What [`Mounts::preview`] looks at: nodes, and the sorts of their file systems.
#[cfg(feature = "host")]
#[derive(Clone, Copy)]
pub struct Preview<'p> {
    /// What the old layer was made of.
    pub base: (&'p Path, &'p str),
    /// The old layer.
    pub ours: (&'p Path, &'p str),
    /// What of the image may matter.
    pub image: &'p Part<'p>,
    /// As for [`CarryOver`].
    pub root: &'p str,
    /// As for [`CarryOver`].
    pub wishes: &'p Wishes,
}

/// What [`Mounts::late_edits`] looks at.
#[derive(Clone, Copy, Debug)]
pub struct LateLook<'l> {
    /// What both began as, the old layer, and the one that took over its state.
    pub of: CarryOver<'l>,
    /// When that was, in seconds since 1970.
    pub since: i64,
}

/// The programs that may be run, and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Makes an ext4.
    Mke2fs,
    /// Gives an ext4 another UUID where we cannot.
    Tune2fs,
    /// Gives an XFS another UUID.
    XfsAdmin,
}

impl Tool {
    /// The program's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mke2fs => "mke2fs",
            Self::Tune2fs => "tune2fs",
            Self::XfsAdmin => "xfs_admin",
        }
    }
}

/// What a program said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolOutput {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// The first 64 KiB of its standard output.
    pub stdout: String,
    /// The first 64 KiB of its standard error.
    pub stderr: String,
}

/// Runs programs.
pub trait Tools: Send + Sync {
    /// Fails where the program is not there, before anything is changed that would need it.
    ///
    /// # Errors
    /// [`Tool`](crate::ErrorKind::Tool), naming the program and where it was looked for.
    fn require(&self, tool: Tool) -> Result<()>;

    /// Runs it to its end with a clean environment (`LC_ALL=C`).
    ///
    /// # Errors
    /// [`Tool`](crate::ErrorKind::Tool) where it cannot be run. What its exit code means is the
    /// caller's business.
    fn run(&self, tool: Tool, args: &[&std::ffi::OsStr]) -> Result<ToolOutput>;

    /// Runs hooks in their order, each as `NAME EVENT OLD_ROOT NEW_ROOT`, with a clean environment:
    /// the trees are at folders for them, and for nobody else; the old one cannot be written to.
    /// What they say is logged.
    ///
    /// # Errors
    /// [`Tool`](crate::ErrorKind::Tool) for the first one that fails or takes too long, which is
    /// killed with all that it has started; [`Interrupted`](crate::ErrorKind::Interrupted) where it was
    /// `cancelled`, likewise; [`Denied`](crate::ErrorKind::Denied) for one that is not root's alone; as
    /// [`Mounts::mount`].
    fn run_hooks(&self, run: &HookRun<'_>, cancelled: &dyn Fn() -> bool) -> Result<()>;

    /// Runs the program of a new layer's own tree that labels its files, with that tree as its root:
    /// nobody else sees it. `tree` is the node, and the sort of its file system. Gives why nothing is
    /// labelled where the program fails, or is `cancelled`; the tree stays marked then.
    ///
    /// # Errors
    /// As [`Mounts::mount`].
    fn label(
        &self,
        labelling: &Labelling,
        tree: (&Path, &str),
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<String>>;
}

/// Hooks, and what they are run over: nodes, and the sorts of their file systems.
#[derive(Clone, Copy, Debug)]
pub struct HookRun<'h> {
    /// What has happened.
    pub event: &'h str,
    /// In this order.
    pub hooks: &'h [Hook],
    /// How long each may take.
    pub limit: Duration,
    /// The Config volume, where one of them is on it.
    pub config: Option<(&'h Path, &'h str)>,
    /// The old layer.
    pub old: (&'h Path, &'h str),
    /// The new one.
    pub new: (&'h Path, &'h str),
}

/// Reading beside others, or alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Beside other readers.
    Shared,
    /// Alone.
    Exclusive,
}

/// A lock that is held; dropping it lets go.
pub trait Held {}

/// A physical volume that was made, for lvm2's devices file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPv {
    /// The device.
    pub path: PathBuf,
    /// The volume's identifier.
    pub id: LvmId,
}

/// Who writes metadata, as its trailer tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Creator {
    /// The host's name.
    pub host: String,
    /// What `uname -a` says of the system, for the comment beside it.
    pub system: String,
    /// Seconds since 1970.
    pub time: i64,
}

/// A backup that waits for its change to be in force; dropping it takes it back.
pub trait StagedBackup: Send {
    /// Puts it in place of the older one. A failure is a warning.
    fn put_in_place(self: Box<Self>);
}

/// What lvm2 on the same host must find done by whoever changes its volume groups.
pub trait Lvm2Host: Send + Sync {
    /// This host and the time, for what is written.
    fn creator(&self) -> Creator;

    /// lvm2's lock of a volume group (`V_NAME`), waited for a bounded time.
    ///
    /// # Errors
    /// [`Busy`](crate::ErrorKind::Busy), naming the lock and who holds it;
    /// [`Denied`](crate::ErrorKind::Denied).
    fn lock_vg(&self, vg: &VgName, mode: LockMode) -> Result<Box<dyn Held>>;

    /// lvm2's lock of the set of physical volumes and groups (`P_global`). Take it before any
    /// group's.
    ///
    /// # Errors
    /// As [`lock_vg`](Lvm2Host::lock_vg).
    fn lock_global(&self, mode: LockMode) -> Result<Box<dyn Held>>;

    /// Says that this process watches the group's pool, as long as the result lives.
    ///
    /// # Errors
    /// [`Busy`](crate::ErrorKind::Busy) where another does, naming it.
    fn lock_watch(&self, vg: &VgName) -> Result<Box<dyn Held>>;

    /// Who watches the group's pool, as far as that can be known.
    fn watcher(&self, vg: &VgName) -> Option<String>;

    /// The process of lvm2's dmeventd, where it runs. Which pools it was told to watch it alone knows.
    fn dmeventd(&self) -> Option<u32>;

    /// Takes the boot folder for its stored kernels: beside others that store some, waiting for
    /// it, or alone, to remove what no entry names; `None` where it would have to be waited for.
    ///
    /// # Errors
    /// [`Busy`](crate::ErrorKind::Busy) where it was waited for too long, naming who holds it;
    /// [`Denied`](crate::ErrorKind::Denied), [`Io`](crate::ErrorKind::Io).
    fn lock_boot(&self, mode: LockMode) -> Result<Option<Box<dyn Held>>>;

    /// This host's system id, where lvm2's configuration gives it one, and the further ones it
    /// may use.
    fn system_ids(&self) -> Vec<String>;

    /// From which share of its data in use, in percent, lvm2 is set to grow a thin pool; 100 is
    /// never (`activation/thin_pool_autoextend_threshold`).
    fn autoextend_threshold(&self) -> u8;

    /// What alone lvm2 lets be activated on this host (`activation/volume_list`): `VG`, `VG/LV`, `@TAG`;
    /// `None` where all of it.
    fn volume_list(&self) -> Option<&[String]> {
        None
    }

    /// Fails where lvm2's configuration forbids all writes (`global/metadata_read_only`).
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied), naming the setting.
    fn check_writable(&self) -> Result<()>;

    /// Where lvm2 is set up here and asks for it: keeps the text as it was before a change
    /// (lvm2's archive), and prunes old ones. As lvm2's, it is not durable at once.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io): the change is not begun then, as with lvm2.
    fn archive(&self, vg: &VgName, seqno: u64, text: &dyn Fn() -> String) -> Result<()>;

    /// The same for the text after a change (lvm2's backup): made durable under another name,
    /// so that it can be done while the change is still being made. Failures are warnings.
    fn stage_backup(&self, vg: &VgName, text: &dyn Fn() -> String)
    -> Option<Box<dyn StagedBackup>>;

    /// lvm2's backup of the group's text, where there is one: the newest text that was in force
    /// when somebody last changed the group on this host.
    fn backup(&self, vg: &VgName) -> Option<String> {
        let _ = vg;
        None
    }

    /// lvm2's library, where the texts of groups are to go through that.
    #[cfg(feature = "liblvm")]
    fn library(&self) -> Option<&dyn Lvm2Library> {
        None
    }

    /// Physical volumes or groups have come or gone: lvm2's hints are out of date and its
    /// devices file may need a line. Failures are warnings.
    fn devices_changed(&self, new: &[NewPv]);
}
