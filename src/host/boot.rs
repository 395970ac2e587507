//! The boot folder of this machine.
//!
//! Every path is walked from the folder's own descriptor by the kernel, and no symbolic link is
//! followed: whatever stands there, nothing outside is touched.

mod find;
mod variables;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use imgbase_sys::journal;
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags};

use crate::boot::Tries;
use crate::boot::folder::{BootFolder, BootPath, Facts, Kind, Room};
use crate::error::{Error, ErrorKind, Result};
use crate::order;
use crate::units::Bytes;

pub use find::HostBoot;
pub use variables::RealVars;

/// Of linux/magic.h; the first is that of any FAT.
const FAT: u64 = 0x4d44;
const EXT: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;

/// How often a layer on trial is started here, where `/etc/kernel/tries` says so: a number, which
/// systemd's kernel-install reads as well.
pub(super) fn tries() -> Option<Tries> {
    let text = std::fs::read_to_string("/etc/kernel/tries").ok()?;
    let tries = text.trim().parse().ok().and_then(|tries| Tries::new(tries).ok());
    if tries.is_none() {
        log::warn!("/etc/kernel/tries: no number from 1 to 9; taken as 3");
    }
    tries
}

/// The kernel that runs.
pub(super) fn release() -> Option<String> {
    rustix::system::uname().release().to_str().ok().map(str::to_owned)
}

/// A folder of this machine.
#[derive(Debug)]
pub struct RealBoot {
    root: OwnedFd,
    name: String,
    path: PathBuf,
    /// Looked for when they are first asked for.
    facts: OnceLock<Facts>,
    /// What the kernel calls its file system's sort.
    magic: u64,
    /// True where something was made since the last sync: on FAT that takes more than a removal.
    made: AtomicBool,
}

impl RealBoot {
    /// Opens the folder at that path, links followed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`Denied`](ErrorKind::Denied),
    /// [`Io`](ErrorKind::Io).
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |error: io::Error| Error::io(error).op("open the boot folder").at(&name);
        let path = path.canonicalize().map_err(failed)?;
        let root = fs::open(&path, FOLDER, Mode::empty()).map_err(|error| failed(error.into()))?;
        let kind = fs::fstatfs(&root).map_err(|error| failed(error.into()))?.f_type;
        let magic = u64::try_from(kind).unwrap_or(0);
        let made = AtomicBool::new(false);
        Ok(Self { root, name, path, facts: OnceLock::new(), magic, made })
    }

    fn is_fat(&self) -> bool {
        self.magic == FAT
    }

    /// The folder at that path. `NotFound` where there is none.
    fn folder(&self, path: &BootPath) -> io::Result<OwnedFd> {
        self.at(path, FOLDER, Mode::empty())
    }

    /// Opens what is at that path; no link is followed, and nothing outside the folder is reached
    /// (openat2(2), Linux 5.6).
    fn at(&self, path: &BootPath, how: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let path = match path.as_str().trim_start_matches('/') {
            "" => ".",
            path => path,
        };
        let inside =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(fs::openat2(&self.root, path, how, mode, inside)?)
    }

    fn file(&self, path: &BootPath, how: OFlags) -> io::Result<File> {
        self.sized_file(path, how).map(|(file, _)| file)
    }

    /// A file, and how long it is.
    fn sized_file(&self, path: &BootPath, how: OFlags) -> io::Result<(File, u64)> {
        // The kernel takes permissions where a file is made, and nowhere else.
        let makes = how.contains(OFlags::CREATE);
        let mode = if makes { Mode::from(mode(path)) } else { Mode::empty() };
        let how = how | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(self.at(path, how, mode)?);
        let meta = file.metadata()?;
        if meta.is_file() {
            Ok((file, meta.len()))
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }

    fn run<T>(&self, op: &'static str, path: &BootPath, result: io::Result<T>) -> Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            let error = Error::io(error).op(op).at(format_args!("{}/{path}", self.name));
            match kind {
                io::ErrorKind::ReadOnlyFilesystem => error.with_kind(ErrorKind::Denied),
                io::ErrorKind::AlreadyExists => error.with_kind(ErrorKind::Exists),
                _ => error,
            }
        })
    }

    fn kind_at(parent: &OwnedFd, name: &str) -> io::Result<Kind> {
        let stat = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                Kind::File(Bytes::new(u64::try_from(stat.st_size).unwrap_or(0)))
            }
            FileType::Directory => Kind::Folder,
            FileType::Symlink => {
                let target = fs::readlinkat(parent, name, Vec::new())?.into_bytes();
                Kind::Link(OsString::from_vec(target).to_string_lossy().into_owned())
            }
            _ => Kind::Other,
        })
    }

    fn names(&self, folder: &BootPath) -> io::Result<Vec<(String, Kind)>> {
        let at = match self.folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            at => at?,
        };
        let mut tries = PATIENCE;
        loop {
            match Self::names_in(&at) {
                // What was renamed meanwhile has another name now.
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries > 0 => tries -= 1,
                found => return found,
            }
        }
    }

    fn names_in(at: &OwnedFd) -> io::Result<Vec<(String, Kind)>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(at)? {
            let Ok(name) = String::from_utf8(entry?.file_name().to_bytes().to_vec()) else {
                continue;
            };
            if name != "." && name != ".." {
                let kind = Self::kind_at(at, &name)?;
                found.push((name, kind));
            }
        }
        order::sort_by(&mut found, |(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }

    fn write(&self, path: &BootPath, from: &mut dyn Read) -> io::Result<()> {
        let mut file = self.file(path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        io::copy(from, &mut file)?;
        file.sync_all()
    }

    fn write_over(&self, path: &BootPath, at: Bytes, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.file(path, OFlags::WRONLY)?;
        let len = u64::try_from(bytes.len()).map_err(io::Error::other)?;
        let end = at.get().checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
        if end > file.metadata()?.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        file.seek(SeekFrom::Start(at.get()))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Empties the journal. Without a request for just that, the file system is frozen for a moment,
    /// but never one that this program may lie on.
    fn empty_journal(&self) -> io::Result<()> {
        let emptied = if self.magic == EXT {
            journal::empty_ext4(&self.root)
        } else {
            Err(io::Error::from_raw_os_error(libc::ENOTTY))
        };
        match emptied {
            Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => {}
            // ENODEV: there is none.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
                return Ok(fs::syncfs(&self.root)?);
            }
            emptied => return emptied,
        }
        fs::syncfs(&self.root)?;
        if self.magic != EXT && self.magic != XFS {
            return Ok(());
        }
        if fs::fstat(&self.root)?.st_dev == fs::stat("/")?.st_dev {
            log::warn!("{}: GRUB may see what was changed only after a restart", self.name);
            return Ok(());
        }
        journal::freeze_and_thaw(&self.root)
    }
}

/// No name is taken from another file.
fn rename_to_new(at: &OwnedFd, from: &str, to: &str) -> io::Result<()> {
    match fs::renameat_with(at, from, at, to, RenameFlags::NOREPLACE) {
        // Not every file system can say so in one step.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
        renamed => return Ok(renamed?),
    }
    match fs::statat(at, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(rustix::io::Errno::NOENT) => Ok(fs::renameat(at, from, at, to)?),
        Err(error) => Err(error.into()),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// So often a folder is listed that others change meanwhile.
const PATIENCE: u32 = 100;

/// How a folder is opened.
const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An initial file system may hold secrets; what is to be read by people may be.
fn mode(path: &BootPath) -> u32 {
    let stored = path.as_str().starts_with("imgbase/") && !path.as_str().ends_with(".conf");
    if stored { 0o600 } else { 0o644 }
}

impl BootFolder for RealBoot {
    fn name(&self) -> &str {
        &self.name
    }

    fn facts(&self) -> Facts {
        let facts = || Facts {
            fat: self.is_fat(),
            prefix: find::prefix(&self.path),
            uuid: find::uuid(&self.root),
        };
        self.facts.get_or_init(facts).clone()
    }

    fn room(&self) -> Result<Room> {
        let stat = fs::fstatvfs(&self.root).map_err(io::Error::from);
        let stat = self.run("look for room", &BootPath::root(), stat)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        Ok(Room { free: Bytes::new(free), unit: Bytes::new(stat.f_frsize.max(512)) })
    }

    fn look(&self, path: &BootPath) -> Result<Option<Kind>> {
        if path.is_root() {
            return Ok(Some(Kind::Folder));
        }
        let kind = self.folder(&path.parent()).and_then(|at| Self::kind_at(&at, path.name()));
        let kind = match kind {
            Err(error) if is_absent(&error) => return Ok(None),
            kind => kind,
        };
        self.run("look", path, kind).map(Some)
    }

    fn list(&self, folder: &BootPath) -> Result<Vec<(String, Kind)>> {
        self.run("list", folder, self.names(folder))
    }

    fn read(&self, file: &BootPath, most: Bytes) -> Result<Option<Vec<u8>>> {
        let (opened, len) = match self.sized_file(file, OFlags::RDONLY) {
            Err(error) if is_absent(&error) => return Ok(None),
            opened => self.run("read", file, opened)?,
        };
        // With room for all of it one call reads it, and one finds its end.
        let room = len.min(most.get()).saturating_add(64);
        let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
        let read = opened.take(most.get().saturating_add(1)).read_to_end(&mut bytes);
        let read = self.run("read", file, read)?;
        if u64::try_from(read).is_ok_and(|read| read <= most.get()) {
            return Ok(Some(bytes));
        }
        let error = Error::new(ErrorKind::Unsupported, format!("it has more than {most}"));
        Err(error.op("read").at(format_args!("{}/{file}", self.name)))
    }

    fn open(&self, file: &BootPath) -> Result<Box<dyn Read + '_>> {
        let opened = self.file(file, OFlags::RDONLY);
        Ok(Box::new(self.run("read", file, opened)?))
    }

    fn make_folder(&self, folder: &BootPath) -> Result<()> {
        log::debug!("{}: make the folder {folder}", self.name);
        self.made.store(true, Ordering::Relaxed);
        let made = self
            .folder(&folder.parent())
            .and_then(|at| Ok(fs::mkdirat(&at, folder.name(), Mode::from_raw_mode(0o755))?));
        self.run("make a folder", folder, made)
    }

    fn write_new(&self, file: &BootPath, from: &mut dyn Read) -> Result<()> {
        log::debug!("{}: write {file}", self.name);
        self.run("write", file, self.write(file, from))
    }

    fn overwrite(&self, file: &BootPath, at: Bytes, bytes: &[u8]) -> Result<()> {
        log::debug!("{}: write over {} bytes at {} of {file}", self.name, bytes.len(), at.get());
        self.run("write over", file, self.write_over(file, at, bytes))
    }

    fn append(&self, file: &BootPath, bytes: &[u8]) -> Result<()> {
        log::debug!("{}: add {} bytes to {file}", self.name, bytes.len());
        let added = self.file(file, OFlags::WRONLY | OFlags::APPEND).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        self.run("add to", file, added)
    }

    fn rename(&self, from: &BootPath, to: &BootPath) -> Result<()> {
        log::debug!("{}: rename {from} to {to}", self.name);
        self.made.store(true, Ordering::Relaxed);
        let renamed =
            self.folder(&from.parent()).and_then(|at| rename_to_new(&at, from.name(), to.name()));
        self.run("rename", from, renamed)
    }

    fn remove(&self, path: &BootPath) -> Result<()> {
        log::debug!("{}: remove {path}", self.name);
        let removed = self.folder(&path.parent()).and_then(|at| {
            let folder = Self::kind_at(&at, path.name())? == Kind::Folder;
            let how = if folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            Ok(fs::unlinkat(&at, path.name(), how)?)
        });
        self.run("remove", path, removed)
    }

    /// FAT writes where a renamed file's bytes are with the file, not with the folder; so all is
    /// written first. That alone would not flush the disk's own cache there. Where files only went,
    /// the folder and the table of clusters are all there is, and these go with the folder
    /// (`fat_file_fsync`).
    fn sync(&self, folder: &BootPath) -> Result<()> {
        let synced = self.folder(folder).and_then(|at| {
            if self.made.load(Ordering::Relaxed) && self.is_fat() {
                fs::syncfs(&at)?;
            }
            Ok(fs::fsync(&at)?)
        });
        self.made.store(synced.is_err(), Ordering::Relaxed);
        self.run("sync", folder, synced)
    }

    fn settle(&self) -> Result<()> {
        if self.is_fat() {
            return Ok(());
        }
        log::debug!("{}: empty the journal", self.name);
        self.run("empty the journal", &BootPath::root(), self.empty_journal())
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn path(text: &str) -> BootPath {
        text.parse().expect("a path")
    }

    fn folder() -> (tempfile::TempDir, RealBoot) {
        let dir = tempfile::tempdir().expect("a folder");
        let boot = RealBoot::open(dir.path()).expect("it is there");
        (dir, boot)
    }

    #[test]
    fn files_are_made_read_changed_and_removed() {
        let (_dir, boot) = folder();
        boot.make_folder(&path("a")).expect("made");
        boot.write_new(&path("a/x"), &mut b"0123456789".as_slice()).expect("written");
        let again = boot.write_new(&path("a/x"), &mut b"".as_slice()).expect_err("it is there");
        assert_eq!(again.kind(), ErrorKind::Exists);
        boot.overwrite(&path("a/x"), Bytes::new(3), b"abc").expect("written over");
        assert!(boot.overwrite(&path("a/x"), Bytes::new(8), b"abc").is_err(), "it never grows");
        let read = |name: &str| boot.read(&path(name), Bytes::kib(1)).expect("readable");
        assert_eq!(read("a/x").as_deref(), Some(b"012abc6789".as_slice()));
        assert_eq!(read("a/none"), None);
        assert_eq!(read("none/x"), None);
        let long = boot.read(&path("a/x"), Bytes::new(9)).expect_err("it is longer");
        assert_eq!(long.kind(), ErrorKind::Unsupported);
        boot.rename(&path("a/x"), &path("a/y")).expect("renamed");
        boot.sync(&path("a")).expect("synced");
        let names = boot.list(&path("a")).expect("listed");
        assert_eq!(names, [("y".to_owned(), Kind::File(Bytes::new(10)))]);
        assert!(boot.remove(&path("a")).is_err(), "it is not empty");
        boot.remove(&path("a/y")).expect("removed");
        boot.remove(&path("a")).expect("removed");
        assert_eq!(boot.look(&path("a")).expect("looked"), None);
        assert_eq!(boot.list(&path("a")).expect("listed"), []);
        assert!(boot.room().expect("known").free > Bytes::ZERO);
        let gone = boot.remove(&path("a")).expect_err("gone");
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        assert!(gone.to_string().contains(&format!("{}/a", boot.name())), "{gone}");
    }

    #[test]
    fn no_link_is_followed() {
        let (dir, boot) = folder();
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::write(outside.path().join("secret"), "secret").expect("written");
        symlink(outside.path(), dir.path().join("out")).expect("a link");
        symlink(outside.path().join("secret"), dir.path().join("file")).expect("a link");
        assert!(boot.read(&path("file"), Bytes::kib(1)).is_err());
        assert!(boot.open(&path("out/secret")).is_err());
        assert!(boot.write_new(&path("out/new"), &mut b"x".as_slice()).is_err());
        assert!(boot.overwrite(&path("file"), Bytes::ZERO, b"x").is_err());
        assert!(boot.list(&path("out")).is_err());
        assert!(matches!(boot.look(&path("out")).expect("looked"), Some(Kind::Link(_))));
        // The link itself can go.
        boot.remove(&path("file")).expect("removed");
        assert!(outside.path().join("secret").exists() && !outside.path().join("new").exists());
    }

    #[test]
    fn a_file_is_added_to_and_none_takes_another_s_name() {
        let (dir, boot) = folder();
        std::fs::write(dir.path().join("custom.cfg"), "old\n").expect("written");
        boot.append(&path("custom.cfg"), b"new\n").expect("added");
        assert!(boot.append(&path("none"), b"new").is_err());
        boot.write_new(&path("other"), &mut b"x".as_slice()).expect("written");
        let error = boot.rename(&path("other"), &path("custom.cfg")).expect_err("it is taken");
        assert_eq!(error.kind(), ErrorKind::Exists);
        let text = std::fs::read(dir.path().join("custom.cfg")).expect("there");
        assert_eq!(text, b"old\nnew\n");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = RealBoot::open(Path::new("/does/not/exist")).expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("/does/not/exist"), "{error}");
    }
}
