//! A layer's tree through a mount: the kernel keeps every path inside (openat2(2), Linux 5.6).

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, XattrFlags, chmodat, fgetxattr, flistxattr,
    fsetxattr, mkdirat, openat, openat2, readlinkat, renameat, unlinkat,
};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::root::{Access, RootChange, RootFiles};
use crate::units::Bytes;

/// The root folder of a tree.
pub(super) struct RealRoot(OwnedFd);

impl RealRoot {
    /// The tree at that folder.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, folder, flags, Mode::empty());
        Ok(Self(root.map_err(std::io::Error::from).context("open the tree", folder.display())?))
    }

    /// Opens what is at that path, through links; `None` where there is nothing, or no file.
    fn at(&self, path: &str, flags: OFlags) -> Result<Option<File>> {
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // A pipe must not hold us up, a device is not opened at all.
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        match openat2(&self.0, path, flags, Mode::empty(), inside) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ISDIR | Errno::NXIO) => {
                Ok(None)
            }
            Err(error) => Err(std::io::Error::from(error)).context("open", path),
        }
    }

    /// Makes one folder, unless there is one.
    fn folder(&self, path: &str) -> std::io::Result<()> {
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if openat2(&self.0, path, folder, Mode::empty(), inside).is_ok() {
            return Ok(());
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = if above.is_empty() { "/" } else { above };
        let above = openat2(&self.0, above, folder, Mode::empty(), inside)?;
        mkdirat(&above, name, Mode::RWXU)?;
        // Whatever this process's mask is.
        let how = AtFlags::empty();
        Ok(chmodat(&above, name, Mode::from_raw_mode(0o755), how)?)
    }

    /// The folder of a file, and its name there, where links lead to.
    fn place_of(&self, path: &str) -> std::io::Result<(File, Vec<u8>)> {
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut path = path.as_bytes().to_vec();
        for _ in 0..LINKS {
            let at =
                path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at.saturating_add(1));
            let name = path.split_off(at);
            let above = if path.is_empty() { b"/" } else { path.as_slice() };
            let folder = openat2(&self.0, above, how, Mode::empty(), inside)?;
            match readlinkat(&folder, name.as_slice(), Vec::new()) {
                Ok(target) if target.as_bytes().starts_with(b"/") => path = target.into_bytes(),
                Ok(target) => path.extend_from_slice(target.as_bytes()),
                Err(Errno::INVAL) => return Ok((File::from(folder), name)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::LOOP.into())
    }

    fn file(&self, path: &str, flags: OFlags) -> Result<Option<(File, Bytes)>> {
        // A layer's mount has no devices (`nodev`), so that to open one fails.
        let Some(file) = self.at(path, flags)? else { return Ok(None) };
        let meta = file.metadata().context("look at", path)?;
        Ok(meta.is_file().then(|| (file, Bytes::new(meta.len()))))
    }
}

/// So many links lead to a file.
const LINKS: usize = 8;

/// Puts a file into the place of the one there, whose owner, mode and attributes it has: whoever
/// looks finds the one or the other, also after a power cut.
fn replace((folder, name): (&File, &[u8]), old: &File, bytes: &[u8]) -> std::io::Result<()> {
    let beside = [b".", name, b".imgbase"].concat();
    // What a crash has left.
    let _ = unlinkat(folder, beside.as_slice(), AtFlags::empty());
    let how = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(folder, beside.as_slice(), how, Mode::RUSR | Mode::WUSR)?;
    let mut file = File::from(file);
    let put = file.write_all(bytes).and_then(|()| dress_as(&file, old)).and_then(|()| {
        file.sync_all()?;
        renameat(folder, beside.as_slice(), folder, name)?;
        folder.sync_all()
    });
    if put.is_err() {
        let _ = unlinkat(folder, beside.as_slice(), AtFlags::empty());
    }
    put
}

/// Gives a file the owner, mode and attributes of another one.
fn dress_as(file: &File, other: &File) -> std::io::Result<()> {
    let meta = other.metadata()?;
    fchown(file, Some(meta.uid()), Some(meta.gid()))?;
    let mut names = vec![0; XATTRS];
    let len = flistxattr(other, &mut names)?;
    for name in names.get(..len).unwrap_or_default().split(|byte| *byte == 0) {
        if !name.is_empty() {
            let mut value = vec![0; XATTRS];
            let len = fgetxattr(other, name, &mut value)?;
            let value = value.get(..len).unwrap_or_default();
            fsetxattr(file, name, value, XattrFlags::empty())?;
        }
    }
    file.set_permissions(meta.permissions())
}

/// As long as a list of attributes, or the value of one, can be (linux/limits.h).
const XATTRS: usize = 64 << 10;

impl RootFiles for RealRoot {
    fn read(&self, path: &str, most: Bytes) -> Result<Option<Vec<u8>>> {
        let Some((file, size)) = self.file(path, OFlags::RDONLY)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(most.get().saturating_add(1)).read_to_end(&mut bytes).context("read", path)?;
        if size > most || u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most.get() {
            let why = format!("it is larger than {most}");
            return Err(Error::new(ErrorKind::Unsupported, why).at(path).op("read"));
        }
        Ok(Some(bytes))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let Some(dir) = self.at(folder, OFlags::RDONLY | OFlags::DIRECTORY)? else {
            return Ok(Vec::new());
        };
        let entries = rustix::fs::Dir::read_from(&dir).map_err(std::io::Error::from);
        let mut names = Vec::new();
        for entry in entries.context("list", folder)? {
            let entry = entry.map_err(std::io::Error::from).context("list", folder)?;
            let name = entry.file_name().to_str().unwrap_or(".");
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn access(&self, path: &str) -> Result<Option<Access>> {
        let Some((file, _)) = self.file(path, OFlags::RDONLY)? else { return Ok(None) };
        let meta = file.metadata().context("look at", path)?;
        Ok(Some(Access { uid: meta.uid(), mode: meta.mode() & 0o7777 }))
    }

    fn open(&self, path: &str) -> Result<Option<(Box<dyn Read + '_>, Bytes)>> {
        let found = self.file(path, OFlags::RDONLY)?;
        Ok(found.map(|(file, size)| -> (Box<dyn Read + '_>, Bytes) { (Box::new(file), size) }))
    }
}

impl RootChange for RealRoot {
    fn rewrite(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let missing = || Error::new(ErrorKind::NotFound, "there is no such file").at(path);
        let (old, _) = self.file(path, OFlags::RDONLY)?.ok_or_else(missing)?;
        self.place_of(path)
            .and_then(|(folder, name)| replace((&folder, &name), &old, bytes))
            .context("write", path)
    }

    fn make(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let made = openat2(&self.0, path, flags, mode, inside).map_err(std::io::Error::from);
        let mut file = File::from(made.context("make", path)?);
        let mode = rustix::fs::fchmod(&file, mode).map_err(std::io::Error::from);
        let written = mode.and_then(|()| file.write_all(bytes));
        written.and_then(|()| file.sync_all()).context("write", path)
    }

    fn make_folder(&self, path: &str) -> Result<()> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for folder in ends.filter_map(|end| path.get(..end)).filter(|folder| !folder.is_empty()) {
            self.folder(folder).context("make the folder", folder)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn tree() -> (tempfile::TempDir, RealRoot) {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join("root").join(name);
        std::fs::create_dir_all(at("etc/deep")).expect("made");
        std::fs::write(at("etc/file"), "inside").expect("made");
        std::fs::write(dir.path().join("file"), "outside").expect("made");
        symlink("/etc/file", at("absolute")).expect("made");
        symlink("../../../../../file", at("etc/up")).expect("made");
        symlink("loop", at("loop")).expect("made");
        let root = RealRoot::open(&dir.path().join("root")).expect("a folder");
        (dir, root)
    }

    #[test]
    fn links_stay_inside() {
        let (_dir, root) = tree();
        let read = |path: &str| root.read(path, Bytes::kib(1)).expect("readable");
        assert_eq!(read("/etc/file").as_deref(), Some(&b"inside"[..]));
        assert_eq!(read("/absolute").as_deref(), Some(&b"inside"[..]));
        for path in ["/etc/up", "/loop", "/../file", "/nothing", "/etc", "/etc/file/x"] {
            assert_eq!(read(path), None, "{path}");
        }
        assert_eq!(root.list("/").expect("readable"), ["absolute", "etc", "loop"]);
        assert_eq!(root.list("/nothing").expect("nothing"), Vec::<String>::new());
        assert!(root.has("/absolute").expect("readable"));
        let error = root.read("/etc/file", Bytes::new(5)).expect_err("it is longer");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn what_is_made_is_made_inside() {
        let (dir, root) = tree();
        root.make_folder("/var/log/audit").expect("made");
        root.make_folder("/var/log").expect("it is there");
        let mode = |path: &str| {
            std::fs::metadata(dir.path().join("root").join(path)).expect("there").mode() & 0o7777
        };
        assert_eq!((mode("var"), mode("var/log/audit")), (0o755, 0o755));
        root.make("/var/log/file", b"x").expect("made");
        assert_eq!(mode("var/log/file"), 0o644);
        assert!(root.make("/var/log/file", b"y").is_err(), "it is there");
        symlink("../../..", dir.path().join("root/var/up")).expect("made");
        root.make_folder("/var/up/var/up/new").expect("made");
        assert_eq!(mode("new"), 0o755, "above the root is the root");
        assert!(root.make_folder("/etc/file/x").is_err());
    }

    #[test]
    fn a_file_that_is_written_anew_is_there_whole_and_has_the_same_attributes() {
        let (dir, root) = tree();
        let at = |name: &str| dir.path().join("root").join(name);
        let path = at("etc/file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
        let file = File::open(&path).expect("there");
        fsetxattr(&file, "user.imgbase", b"kept", XattrFlags::empty()).expect("set");
        std::fs::hard_link(&path, at("etc/old")).expect("made");
        std::fs::write(at("etc/.file.imgbase"), "left by a crash").expect("made");
        let before = file.metadata().expect("there");
        root.rewrite("/absolute", b"new").expect("writable");
        // Nobody has seen it half written.
        assert_eq!(std::fs::read(at("etc/old")).expect("there"), b"inside");
        assert_eq!(std::fs::read(&path).expect("there"), b"new");
        let after = std::fs::metadata(&path).expect("there");
        assert_eq!((before.uid(), after.mode() & 0o7777), (after.uid(), 0o640));
        let mut value = [0; 8];
        let len = fgetxattr(File::open(&path).expect("there"), "user.imgbase", &mut value[..]);
        assert_eq!(&value[..len.expect("kept")], b"kept");
        let access = Access { uid: before.uid(), mode: 0o640 };
        assert_eq!(root.access("/absolute").expect("readable"), Some(access));
        assert_eq!(root.access("/etc").expect("readable"), None);
        assert_eq!(root.list("/etc").expect("readable"), ["deep", "file", "old", "up"]);
        assert!(at("absolute").symlink_metadata().expect("there").is_symlink());
        // Links on the way, upwards and in a row.
        symlink("../../etc/file", at("etc/deep/back")).expect("made");
        symlink("etc/deep/back", at("again")).expect("made");
        root.rewrite("/again", b"once more").expect("writable");
        assert_eq!(std::fs::read(&path).expect("there"), b"once more");
        let error = root.rewrite("/nothing", b"x").expect_err("it is not there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(std::fs::read(dir.path().join("file")).expect("there"), b"outside");
    }
}
