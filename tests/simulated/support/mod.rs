//! A machine in memory: disks, device-mapper, mounts, programs, lvm2's surroundings.

pub(crate) mod figures;
pub(crate) mod world;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use imgbase::boot::folder::Facts;
use imgbase::boot::sim::{SimBoot, SimFolder, SimVars};
use imgbase::boot::{Place, Tries};
use imgbase::dev::{Dev, MemDev, Outlet};
use imgbase::dm::DevNo;
use imgbase::dm::sim::SimKernel;
use imgbase::etc::{Carried, Conflict, ConflictKind, Labelling, LateEdit, OnConflict};
use imgbase::image::ImageFile;
use imgbase::machine::{
    BootAt, CarryOver, Creator, Disks, FileTarget, FolderOf, Held, HeldTree, HookRun, InUse,
    InitrdMaker, LateLook, LockMode, Lvm2Host, Machine, MountEntry, MountHow, Mounts, NewFile,
    NewPv, Preview, StagedBackup, Tool, ToolOutput, Tools,
};
use imgbase::name::VgName;
use imgbase::ops::{AddBase, ImageSource, Imgbase, Init, Unwatched};
use imgbase::root::{Access, RootChange, RootFiles};
use imgbase::tree::{Folder, Kind, Making, Measure, Meta, NewTree, Tell, TreePath, Xattrs};
use imgbase::units::Bytes;
use imgbase::{Error, ErrorKind, Result};

/// The machine.
pub(crate) struct SimMachine {
    pub(crate) disks: SimDisks,
    pub(crate) kernel: SimKernel,
    pub(crate) mounts: SimMounts,
    pub(crate) tools: SimTools,
    pub(crate) lvm2: SimLvm2,
    /// The boot folder, where there is one.
    pub(crate) boot: Option<SimBootAt>,
    pub(crate) needs_no_entries: bool,
    /// As in [`Machine`].
    pub(crate) in_order: bool,
    /// The size that bases are asked for with.
    pub(crate) base_size: Option<Bytes>,
}

impl SimMachine {
    /// With blank disks of 400 MiB under `/dev/sim0` and so on.
    pub(crate) fn with_disks(count: u32) -> Self {
        Self::with_disks_of(count, Bytes::mib(400))
    }

    /// The same with disks of 24 MiB, for thousands of machines.
    pub(crate) fn with_small_disks(count: u32) -> Self {
        Self::with_disks_of(count, Bytes::mib(24))
    }

    fn with_disks_of(count: u32, size: Bytes) -> Self {
        Self::over((0..count).map(|number| -> Arc<dyn Dev> {
            Arc::new(MemDev::zeroed(format!("/dev/sim{number}"), size))
        }))
    }

    /// With these disks, under their names, and a kernel that has just booted.
    pub(crate) fn over(devices: impl IntoIterator<Item = Arc<dyn Dev>>) -> Self {
        let kernel = SimKernel::new();
        let mut disks = BTreeMap::new();
        for (minor, dev) in (0..).zip(devices) {
            let number = DevNo { major: 8, minor };
            kernel.add_disk(number, dev.clone());
            disks.insert(PathBuf::from(dev.name()), (dev, number));
        }
        Self {
            disks: SimDisks {
                disks,
                images: Arc::default(),
                room: usize::MAX,
                under: Mutex::default(),
                opened: Mutex::default(),
                fuse: Arc::default(),
            },
            kernel,
            mounts: SimMounts::default(),
            tools: SimTools::default(),
            lvm2: SimLvm2::default(),
            boot: None,
            needs_no_entries: false,
            in_order: false,
            base_size: None,
        }
    }

    /// Adds a disk with the same bytes as the first.
    pub(crate) fn copy_first_disk(&mut self) {
        let first = self.all_bytes().next().expect("there is one");
        let (path, number) = (PathBuf::from("/dev/simcopy"), DevNo { major: 8, minor: 99 });
        let dev = Arc::new(MemDev::new(path.display().to_string(), first));
        self.kernel.add_disk(number, dev.clone());
        self.disks.disks.insert(path, (dev, number));
    }

    pub(crate) fn machine(&self) -> Machine<'_> {
        Machine {
            disks: &self.disks,
            kernel: &self.kernel,
            mounts: &self.mounts,
            tools: &self.tools,
            lvm2: &self.lvm2,
            boot: self.boot.as_ref().map(SimBootAt::at),
            needs_no_entries: self.needs_no_entries,
            in_order: self.in_order,
        }
    }

    pub(crate) fn imgbase(&self) -> Imgbase<'_> {
        Imgbase::new(self.machine())
    }

    /// What all disks hold.
    pub(crate) fn bytes(&self) -> Vec<Bulk> {
        self.disks.disks.values().map(|(dev, _)| Bulk::of(dev.as_ref())).collect()
    }

    /// All their bytes.
    pub(crate) fn all_bytes(&self) -> impl Iterator<Item = Vec<u8>> {
        self.disks.disks.values().map(|(dev, _)| bytes_of(dev.as_ref()))
    }

    /// A layout on all disks, with small metadata.
    pub(crate) fn init(&self) -> imgbase::report::InitReport {
        self.imgbase().init(&self.layout(), &mut Unwatched).expect("the layout is made")
    }

    pub(crate) fn layout(&self) -> Init {
        let mut init = Init::on(self.disks.disks.keys().cloned());
        init.metadata_size = Some(Bytes::mib(8));
        init.config_size = Bytes::ZERO;
        init
    }

    /// Puts an ext4 of 16 MiB under `/images/NAME`.
    pub(crate) fn put_image(&self, name: &str) -> PathBuf {
        self.put_bytes(name, ext4("16M"))
    }

    /// Puts an image under `/images/NAME`.
    pub(crate) fn put_bytes(&self, name: &str, bytes: Vec<u8>) -> PathBuf {
        let path = PathBuf::from("/images").join(name);
        let dev = Arc::new(MemDev::new(path.display().to_string(), bytes));
        self.disks.images.lock().expect("not poisoned").insert(path.clone(), dev);
        path
    }

    /// A base of such an image.
    pub(crate) fn add_base(&self, nvr: &str) -> Result<imgbase::report::BaseAdded> {
        self.add_base_of(nvr, self.put_image(nvr))
    }

    /// A base of the image under that path.
    pub(crate) fn add_base_of(
        &self,
        nvr: &str,
        path: PathBuf,
    ) -> Result<imgbase::report::BaseAdded> {
        let image = ImageSource::Path(path);
        let request = AddBase {
            nvr: nvr.parse().expect("a name"),
            image: image.into(),
            size: self.base_size,
            share: true,
        };
        self.imgbase().add_base(&request, &mut Unwatched)
    }
}

/// A boot folder with systemd-boot in it.
pub(crate) struct SimBootAt {
    pub(crate) sim: SimBoot,
    folder: SimFolder,
    vars: SimVars,
}

impl SimBootAt {
    pub(crate) fn systemd_boot() -> Self {
        let sim = SimBoot::new(Facts { fat: true, ..Facts::default() });
        sim.put("EFI/systemd/systemd-bootx64.efi", "MZ");
        let (folder, vars) = (sim.folder(), sim.vars());
        Self { sim, folder, vars }
    }

    fn at(&self) -> BootAt<'_> {
        let place = Place { boot: &self.folder, esp: None, vars: Some(&self.vars) };
        BootAt {
            place,
            loader: None,
            tries: Tries::default(),
            initrd: Some(&SimInitrd),
            release: Some("6.1.0-9-amd64"),
        }
    }
}

/// An initramfs is a sentence; it is not made for a kernel that is called so.
struct SimInitrd;

pub(crate) const NO_MODULES: &str = "9.9-none";

impl InitrdMaker for SimInitrd {
    fn make(&self, _root: &Path, kernel: &str, disks: &[PathBuf]) -> Result<Vec<u8>> {
        if kernel == NO_MODULES {
            return Err(missing(Path::new("modules.dep")));
        }
        Ok(format!("ours for {kernel} and {} disks", disks.len()).into_bytes())
    }
}

/// What a device holds, to be compared: its size, and each piece that is not all zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bulk {
    size: u64,
    pieces: Vec<(u64, Box<[u8]>)>,
}

impl Bulk {
    const PIECE: usize = 4096;

    pub(crate) fn of(dev: &dyn Dev) -> Self {
        // Devices are looked at by the ten thousand: memory for each would have to be cleared first.
        thread_local!(static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
        let size = dev.size().get();
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(256 * Self::PIECE, 0);
            let mut pieces = Vec::new();
            for at in (0..size).step_by(buffer.len()) {
                let len = usize::try_from(size - at).expect("small").min(buffer.len());
                let read = &mut buffer[..len];
                dev.read_at(read, Bytes::new(at)).expect("memory does not fail");
                let each = (at..).step_by(Self::PIECE).zip(read.chunks(Self::PIECE));
                let each = each.filter(|(_, piece)| *piece != &[0; Self::PIECE][..piece.len()]);
                pieces.extend(each.map(|(at, piece)| (at, Box::from(piece))));
            }
            Self { size, pieces }
        })
    }
}

/// All bytes of a device.
pub(crate) fn bytes_of(dev: &dyn Dev) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(dev.size().get()).expect("small")];
    dev.read_at(&mut bytes, Bytes::ZERO).expect("memory does not fail");
    bytes
}

/// An archive of files, and of other names of some: of those it is told whose.
pub(crate) fn tar_of(files: &[(&str, &[u8])], links: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let header = |size: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size as u64);
        header
    };
    for (path, content) in files {
        archive.append_data(&mut header(content.len()), path, *content).expect("into memory");
    }
    for (path, first) in links {
        let mut header = header(0);
        header.set_entry_type(tar::EntryType::Link);
        archive.append_link(&mut header, path, first).expect("into memory");
    }
    archive.into_inner().expect("into memory")
}

/// The smallest ext4, made once.
pub(crate) fn small_ext4() -> Vec<u8> {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| ext4("512k")).clone()
}

/// An ext4 of that size with a file in it.
pub(crate) fn ext4(size: &str) -> Vec<u8> {
    ext4_of("", size, &[("hello", "hello")])
}

/// An ext4 that only a mount can show: it says that its folders hold more than names (`dirdata`).
pub(crate) fn strange_ext4(size: &str) -> Vec<u8> {
    let mut bytes = ext4_of("^metadata_csum", size, &[]);
    bytes[1024 + 0x61] |= 0x10;
    bytes
}

/// An ext4 of that size with these files in it.
pub(crate) fn ext4_of(features: &str, size: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("image");
    let content = folder.path().join("content");
    std::fs::create_dir(&content).expect("makes");
    for (path, text) in files {
        let path = content.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("makes");
        std::fs::write(path, text).expect("writes");
    }
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-O", features, "-d"])
        .arg(&content)
        .arg(&file)
        .arg(size)
        .stdout(std::process::Stdio::null())
        .status();
    assert!(made.expect("mke2fs is installed").success());
    std::fs::read(&file).expect("reads")
}

/// Disks, and images that are no disks.
pub(crate) struct SimDisks {
    disks: BTreeMap<PathBuf, (Arc<dyn Dev>, DevNo)>,
    pub(crate) images: Arc<Mutex<BTreeMap<PathBuf, Arc<MemDev>>>>,
    /// How large a new file may become.
    pub(crate) room: usize,
    /// Where the kernel knows an active pool to lie.
    pub(crate) under: Mutex<Vec<PathBuf>>,
    /// Every open of a disk.
    pub(crate) opened: Mutex<Vec<PathBuf>>,
    /// Ends all writes to the disks at once.
    pub(crate) fuse: Arc<Fuse>,
}

/// Ends writes, syncs and discards: all from one on, until it is replaced, or one alone.
pub(crate) struct Fuse {
    /// So many go through before.
    left: AtomicI64,
    /// How one alone fails.
    once: Mutex<Option<std::io::ErrorKind>>,
}

impl Default for Fuse {
    fn default() -> Self {
        Self { left: AtomicI64::new(i64::MAX), once: Mutex::default() }
    }
}

impl Fuse {
    /// From now on so many go through.
    pub(crate) fn set(&self, left: u32) {
        *self.once.lock().expect("not poisoned") = None;
        self.left.store(left.into(), Ordering::SeqCst);
    }

    /// After so many one fails so.
    pub(crate) fn fail_once(&self, left: u32, kind: std::io::ErrorKind) {
        *self.once.lock().expect("not poisoned") = Some(kind);
        self.left.store(left.into(), Ordering::SeqCst);
    }

    /// All go through again. True where it had blown.
    pub(crate) fn replace(&self) -> bool {
        self.left.swap(i64::MAX, Ordering::SeqCst) < 0
    }

    fn take(&self) -> std::io::Result<()> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        match *self.once.lock().expect("not poisoned") {
            Some(kind) if left == 0 => Err(kind.into()),
            None if left <= 0 => Err(std::io::Error::other("the power is gone")),
            _ => Ok(()),
        }
    }
}

/// A disk behind the fuse.
struct Fused {
    dev: Arc<dyn Dev>,
    fuse: Arc<Fuse>,
}

impl Dev for Fused {
    fn name(&self) -> &str {
        self.dev.name()
    }

    fn size(&self) -> Bytes {
        self.dev.size()
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> std::io::Result<()> {
        self.dev.read_at(buf, at)
    }

    fn write_at(&self, data: &[u8], at: Bytes) -> std::io::Result<()> {
        self.fuse.take()?;
        self.dev.write_at(data, at)
    }

    fn sync(&self) -> std::io::Result<()> {
        self.fuse.take()?;
        self.dev.sync()
    }

    fn discard(&self, at: Bytes, len: Bytes) -> std::io::Result<()> {
        self.fuse.take()?;
        self.dev.discard(at, len)
    }
}

/// A file that becomes an image.
struct SimFile {
    path: PathBuf,
    bytes: Vec<u8>,
    images: Arc<Mutex<BTreeMap<PathBuf, Arc<MemDev>>>>,
    room: usize,
}

impl Outlet for SimFile {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        match self.bytes.len() > self.room {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl NewFile for SimFile {
    fn finish(self: Box<Self>) -> Result<()> {
        let dev = Arc::new(MemDev::new(self.path.display().to_string(), self.bytes));
        self.images.lock().expect("not poisoned").insert(self.path, dev);
        Ok(())
    }
}

impl SimDisks {
    /// What was put below that path, by what follows it.
    pub(crate) fn images_below(&self, folder: &Path) -> Vec<(PathBuf, Arc<MemDev>)> {
        let images = self.images.lock().expect("not poisoned");
        let below = images.iter().filter_map(|(path, dev)| {
            Some((path.strip_prefix(folder).ok()?.to_owned(), Arc::clone(dev)))
        });
        below.collect()
    }
}

fn missing(path: &Path) -> Error {
    Error::new(ErrorKind::NotFound, "there is no such device").at(path.display())
}

impl Disks for SimDisks {
    fn candidates(&self) -> Result<Vec<PathBuf>> {
        Ok(self.disks.keys().cloned().collect())
    }

    fn under(&self, _vg: &VgName) -> Vec<PathBuf> {
        self.under.lock().expect("not poisoned").clone()
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn Dev>> {
        self.opened.lock().expect("not poisoned").push(path.to_owned());
        match self.disks.get(path) {
            Some((dev, _)) => Ok(Arc::new(Fused { dev: dev.clone(), fuse: self.fuse.clone() })),
            None => Err(missing(path)),
        }
    }

    fn open_image(&self, path: &Path) -> Result<ImageFile> {
        let images = self.images.lock().expect("not poisoned");
        let dev = images.get(path).ok_or_else(|| missing(path))?.clone();
        Ok(ImageFile::of(dev))
    }

    fn make_file(&self, target: &FileTarget, replace: bool) -> Result<Box<dyn NewFile>> {
        let path = PathBuf::from(target.to_string());
        if !replace && self.images.lock().expect("not poisoned").contains_key(&path) {
            return Err(Error::new(ErrorKind::Exists, "it is there").at(target));
        }
        let images = Arc::clone(&self.images);
        Ok(Box::new(SimFile { path, bytes: Vec::new(), images, room: self.room }))
    }

    fn is_in_dev(&self, _name: &str) -> bool {
        false
    }

    fn number(&self, path: &Path) -> Result<Option<DevNo>> {
        Ok(self.disks.get(path).map(|(_, number)| *number))
    }

    fn is_read_only(&self, _path: &Path) -> Result<bool> {
        Ok(false)
    }

    fn in_use(&self, _path: &Path) -> Result<Option<InUse>> {
        Ok(None)
    }

    fn attach(&self, file: &Path) -> Result<PathBuf> {
        Err(missing(file))
    }
}

/// Every mount at a folder works, and shows nowhere.
#[derive(Default)]
pub(crate) struct SimMounts {
    /// What is mounted from the start.
    pub(crate) there: Vec<MountEntry>,
    /// True where a file system cannot be mounted privately.
    pub(crate) refuse_once: bool,
    /// True where no state can be carried over.
    pub(crate) refuse_carry: bool,
    /// True where `/etc/motd` was changed here and in every image.
    pub(crate) conflict: bool,
    /// What was changed in every layer, and when.
    pub(crate) late: Vec<(i64, LateEdit)>,
    /// What each folder holds.
    pub(crate) holds: Option<Measure>,
    /// What was copied from where.
    pub(crate) copied: Mutex<Vec<String>>,
    /// The file systems in the mounted image, each in the one before: where, and what it holds.
    pub(crate) inside: Vec<(&'static str, Measure)>,
    /// The tree that a look finds.
    pub(crate) tree: Option<PathBuf>,
    /// The files that every private mount shows.
    pub(crate) files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The files in folders of this machine.
    pub(crate) folders: BTreeMap<PathBuf, Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Mounts for SimMounts {
    fn list(&self) -> Result<Vec<MountEntry>> {
        Ok(self.there.clone())
    }

    fn mount(&self, _device: &Path, _dir: &Path, _how: &MountHow) -> Result<()> {
        Ok(())
    }

    fn unmount(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }

    fn mount_once(&self, device: &Path, _fs_type: &str, _grow_to: Option<Bytes>) -> Result<()> {
        if self.refuse_once { Err(missing(device)) } else { Ok(()) }
    }

    fn look_into(
        &self,
        device: &Path,
        _fs_type: &str,
        look: &mut dyn FnMut(&Path) -> Result<()>,
    ) -> Result<()> {
        match &self.tree {
            _ if self.refuse_once => Err(missing(device)),
            Some(tree) => look(tree),
            None => look(Path::new("/nowhere")),
        }
    }

    fn with_root(
        &self,
        _device: &Path,
        _fs_type: &str,
        _writable: bool,
        with: &mut dyn FnMut(&dyn RootChange) -> Result<()>,
    ) -> Result<()> {
        with(&SimRoot(&self.files))
    }

    fn with_folder(
        &self,
        folder: &Path,
        with: &mut dyn FnMut(&dyn RootFiles) -> Result<()>,
    ) -> Result<()> {
        match self.folders.get(folder) {
            Some(files) => with(&SimRoot(files)),
            None => Err(missing(folder)),
        }
    }

    fn make_tree(
        &self,
        device: &Path,
        _fs_type: &str,
        make: &mut dyn FnMut(&mut dyn NewTree) -> Result<()>,
    ) -> Result<()> {
        if self.refuse_once { Err(missing(device)) } else { make(&mut Forgotten) }
    }

    fn hold_image(&self, image: &dyn Dev, _fs_type: &str) -> Result<Box<dyn HeldTree>> {
        SimTree::of(&self.inside).ok_or_else(|| missing(Path::new(image.name())))
    }

    fn hold_folder(&self, _folder: &Path) -> Result<Option<Box<dyn HeldTree>>> {
        Ok(None)
    }

    fn weigh_folder(&self, _from: FolderOf<'_>, _tell: Tell<'_>) -> Result<Option<Measure>> {
        Ok(self.holds)
    }

    fn copy_folder(
        &self,
        from: FolderOf<'_>,
        to: (&Path, &str),
        tell: Tell<'_>,
    ) -> Result<Measure> {
        let copied = format!("{}:{} to {}", from.0.display(), from.2, to.0.display());
        self.copied.lock().expect("not poisoned").push(copied);
        let holds = self.holds.unwrap_or_default();
        match self.refuse_once || tell(holds) {
            true => Err(missing(to.0)),
            false => Ok(holds),
        }
    }

    fn carry_over(&self, volumes: CarryOver<'_>) -> Result<Carried> {
        if self.refuse_carry {
            return Err(missing(volumes.new.0));
        }
        let listed = volumes.wishes.files.len() as u64;
        let on_conflict = volumes.wishes.on_conflict;
        if self.conflict && on_conflict == OnConflict::Fail {
            return Err(Error::new(ErrorKind::Exists, "changed in both: /etc/motd"));
        }
        let image_stands = on_conflict == OnConflict::Image;
        let path = TreePath::from_text("/etc/motd").expect("a path");
        let motd = Conflict { path, kind: ConflictKind::BothChanged, image_stands };
        let conflicts = if self.conflict { vec![motd] } else { Vec::new() };
        Ok(Carried { taken: 1 + listed, conflicts, ..Carried::default() })
    }

    fn preview(&self, of: Preview<'_>) -> Result<Carried> {
        let root = of.image.root();
        let etc = root.folder(b"etc").and_then(|etc| etc.names()).unwrap_or_default();
        Ok(Carried { taken: etc.len() as u64, ..Carried::default() })
    }

    fn late_edits(&self, look: LateLook<'_>) -> Result<Vec<LateEdit>> {
        let late = self.late.iter().filter(|(when, _)| *when >= look.since);
        Ok(late.map(|(_, edit)| edit.clone()).collect())
    }
}

/// A mounted image that holds so much, and perhaps another at that path.
struct SimTree {
    measure: Measure,
    inside: Vec<(&'static str, Measure)>,
}

impl SimTree {
    fn of(images: &[(&'static str, Measure)]) -> Option<Box<dyn HeldTree>> {
        let (first, inside) = images.split_first()?;
        Some(Box::new(Self { measure: first.1, inside: inside.to_vec() }))
    }
}

impl HeldTree for SimTree {
    fn image(&self, _path: &str) -> Result<Option<ImageFile>> {
        Ok(None)
    }

    fn hold_inside(&self, path: &str, _fs_type: &str) -> Result<Option<Box<dyn HeldTree>>> {
        let is_there = self.inside.first().is_some_and(|(place, _)| *place == path);
        Ok(Self::of(&self.inside).filter(|_| is_there))
    }

    fn weigh(&self, _tell: Tell<'_>) -> Result<Measure> {
        Ok(self.measure)
    }

    fn copy_to(&self, to: &mut dyn NewTree, _tell: Tell<'_>) -> Result<Measure> {
        let (path, name) = ("/usr/share/imgbase/build/meta/nvr", "Held-1-0");
        let path = TreePath::from_text(path).expect("a path");
        let meta = Meta {
            kind: Kind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: Bytes::new(8),
            held: Bytes::new(8),
            rdev: (0, 0),
            ino: 1,
            fs: 1,
            links: 1,
            mtime: (0, 0),
            ctime: (0, 0),
        };
        let put = to.put(&path, &meta, &Xattrs::new(), Making::File(&mut name.as_bytes()));
        put.map(|()| self.measure).map_err(Error::io)
    }
}

/// A tree of which nothing is kept but that it can be read to its end.
struct Forgotten;

impl NewTree for Forgotten {
    fn put(
        &mut self,
        _path: &TreePath,
        _meta: &Meta,
        _xattrs: &Xattrs,
        making: Making<'_>,
    ) -> std::io::Result<()> {
        if let Making::File(content) = making {
            std::io::copy(content, &mut std::io::sink())?;
        }
        Ok(())
    }

    fn link(&mut self, _path: &TreePath, _first: &TreePath) -> std::io::Result<()> {
        Ok(())
    }

    fn remove(
        &mut self,
        _path: &TreePath,
        _keep: &dyn Fn(&TreePath) -> bool,
    ) -> std::io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A tree in memory.
struct SimRoot<'f>(&'f Mutex<BTreeMap<String, Vec<u8>>>);

impl SimRoot<'_> {
    fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.0.lock().expect("not poisoned").get(path).cloned()
    }
}

impl RootFiles for SimRoot<'_> {
    fn read(&self, path: &str, _most: Bytes) -> Result<Option<Vec<u8>>> {
        Ok(self.bytes(path))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let files = self.0.lock().expect("not poisoned");
        let folder = folder.trim_end_matches('/');
        let names = files.keys().filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
        let first = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
        Ok(names.map(first).collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn open(&self, path: &str) -> Result<Option<(Box<dyn Read + '_>, Bytes)>> {
        Ok(self.bytes(path).map(|bytes| -> (Box<dyn Read>, Bytes) {
            let size = Bytes::new(bytes.len() as u64);
            (Box::new(Cursor::new(bytes)), size)
        }))
    }

    fn access(&self, path: &str) -> Result<Option<Access>> {
        Ok(self.bytes(path).map(|_| Access { uid: 0, mode: 0o755 }))
    }
}

impl RootChange for SimRoot<'_> {
    fn rewrite(&self, path: &str, bytes: &[u8]) -> Result<()> {
        match self.0.lock().expect("not poisoned").get_mut(path) {
            Some(file) => *file = bytes.to_vec(),
            None => return Err(missing(Path::new(path))),
        }
        Ok(())
    }

    fn make(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.0.lock().expect("not poisoned").insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn make_folder(&self, _path: &str) -> Result<()> {
        Ok(())
    }
}

/// Every program is there and succeeds, unless it is to fail.
#[derive(Default)]
pub(crate) struct SimTools {
    /// True where each program ends with an error.
    pub(crate) fail: bool,
    /// How many were run.
    pub(crate) runs: AtomicI64,
    /// The hooks that were run, with what they were told.
    pub(crate) hooks: Mutex<Vec<String>>,
}

impl Tools for SimTools {
    fn require(&self, _tool: Tool) -> Result<()> {
        Ok(())
    }

    fn run(&self, _tool: Tool, _args: &[&OsStr]) -> Result<ToolOutput> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        Ok(ToolOutput { code: Some(i32::from(self.fail)), ..ToolOutput::default() })
    }

    fn run_hooks(&self, run: &HookRun<'_>, _cancelled: &dyn Fn() -> bool) -> Result<()> {
        for hook in run.hooks {
            let [old, new] = [run.old.0, run.new.0].map(|node| node.display());
            let told = format!("{} {} {old} {new}", hook.name, run.event);
            self.hooks.lock().expect("not poisoned").push(told);
            if self.fail {
                return Err(Error::new(ErrorKind::Tool, "it ended with 1").at(&hook.name));
            }
        }
        Ok(())
    }

    fn label(
        &self,
        _labelling: &Labelling,
        _tree: (&Path, &str),
        _cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<String>> {
        Ok(self.fail.then(|| "it ended with 1".to_owned()))
    }
}

/// Nobody else is there.
#[derive(Default)]
pub(crate) struct SimLvm2 {
    /// The seqnos of the texts that were archived.
    pub(crate) archived: Mutex<Vec<u64>>,
    /// True where there is no room for the archive.
    pub(crate) archive_is_full: bool,
    /// True where somebody stores kernels.
    pub(crate) boot_is_taken: bool,
    /// Which of the next locks of the group is not had; 0: none.
    pub(crate) refused_lock: AtomicI64,
    /// As in [`Lvm2Host::volume_list`].
    pub(crate) volume_list: Option<Vec<String>>,
    /// The backup of the group's text.
    pub(crate) backup: Option<String>,
    /// The texts that were to be the backup, in their order, and whether each was put in its place.
    pub(crate) backups: Arc<Mutex<Vec<(String, bool)>>>,
}

/// One of the backups, by its number.
struct SimBackup(Arc<Mutex<Vec<(String, bool)>>>, usize);

impl StagedBackup for SimBackup {
    fn put_in_place(self: Box<Self>) {
        self.0.lock().expect("not poisoned")[self.1].1 = true;
    }
}

struct Free;

impl Held for Free {}

impl Lvm2Host for SimLvm2 {
    fn creator(&self) -> Creator {
        Creator { host: "sim".into(), system: "Linux sim".into(), time: 1_795_321_697 }
    }

    fn lock_vg(&self, vg: &VgName, _mode: LockMode) -> Result<Box<dyn Held>> {
        if self.refused_lock.fetch_sub(1, Ordering::Relaxed) == 1 {
            return Err(Error::new(ErrorKind::Busy, "another has it").at(vg));
        }
        Ok(Box::new(Free))
    }

    fn lock_global(&self, _mode: LockMode) -> Result<Box<dyn Held>> {
        Ok(Box::new(Free))
    }

    fn lock_watch(&self, _vg: &VgName) -> Result<Box<dyn Held>> {
        Ok(Box::new(Free))
    }

    fn lock_boot(&self, mode: LockMode) -> Result<Option<Box<dyn Held>>> {
        let taken = mode == LockMode::Exclusive && self.boot_is_taken;
        Ok((!taken).then(|| -> Box<dyn Held> { Box::new(Free) }))
    }

    fn volume_list(&self) -> Option<&[String]> {
        self.volume_list.as_deref()
    }

    fn watcher(&self, _vg: &VgName) -> Option<String> {
        None
    }

    fn dmeventd(&self) -> Option<u32> {
        None
    }

    fn system_ids(&self) -> Vec<String> {
        Vec::new()
    }

    fn autoextend_threshold(&self) -> u8 {
        100
    }

    fn check_writable(&self) -> Result<()> {
        Ok(())
    }

    fn archive(&self, _vg: &VgName, seqno: u64, _text: &dyn Fn() -> String) -> Result<()> {
        if self.archive_is_full {
            return Err(Error::new(ErrorKind::Io, "no room").at("/etc/lvm/archive"));
        }
        self.archived.lock().expect("not poisoned").push(seqno);
        Ok(())
    }

    fn stage_backup(
        &self,
        _vg: &VgName,
        text: &dyn Fn() -> String,
    ) -> Option<Box<dyn StagedBackup>> {
        let mut backups = self.backups.lock().expect("not poisoned");
        backups.push((text(), false));
        Some(Box::new(SimBackup(Arc::clone(&self.backups), backups.len() - 1)))
    }

    fn backup(&self, _vg: &VgName) -> Option<String> {
        self.backup.clone()
    }

    fn devices_changed(&self, _new: &[NewPv]) {}
}
