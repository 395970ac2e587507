//! A tree that is made on a fresh file system.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{self as sys, AtFlags, FileType, Mode, XattrFlags};
use rustix::io::Errno;

use crate::tree::place::{FOLDER, Place, open_folder, split, times_of};
use crate::tree::{ACL_DEFAULT, Kind, Making, Meta, NewTree, Room, Time, TreePath, Xattrs};

/// More folders than any system has, some 200 000: what is kept of them until all is made.
const FOLDERS_MOST: usize = 32 << 20;

/// So many folders are held open; of a deeper path those nearest to the root are let go.
const OPEN_MOST: usize = 32;

/// A tree below a folder of this machine.
pub(super) struct RealTree<'t> {
    root: &'t Path,
    /// The folder that was worked in last, and those on the way to it, with their paths: most entries
    /// are beside the one before, or not far from it.
    open: Vec<(Vec<u8>, Arc<OwnedFd>)>,
    /// Folders, and what they get in the end.
    late: BTreeMap<TreePath, Late>,
    room: Room,
}

/// What a folder gets when all is in it.
struct Late {
    mtime: Time,
    /// Access rights that what is made in it would inherit.
    inherited: Option<Vec<u8>>,
}

impl Late {
    fn len(&self) -> usize {
        self.inherited.as_ref().map_or(0, Vec::len)
    }
}

impl<'t> RealTree<'t> {
    /// The tree at that path.
    pub(super) fn new(root: &'t Path) -> Self {
        let room = Room::of(FOLDERS_MOST, "folders");
        Self { root, open: Vec::new(), late: BTreeMap::new(), room }
    }

    /// Keeps what a folder gets in the end.
    fn keep(&mut self, path: &TreePath, late: Late) -> io::Result<()> {
        self.forget(path);
        self.room.take(path, late.len())?;
        self.late.insert(path.clone(), late);
        Ok(())
    }

    fn forget(&mut self, path: &TreePath) {
        if let Some(old) = self.late.remove(path) {
            self.room.give(path, old.len());
        }
    }

    /// The folder at that path, where it is the one that was worked in last.
    fn last(&self, path: &[u8]) -> Option<Arc<OwnedFd>> {
        let (last, folder) = self.open.last()?;
        (last == path).then(|| Arc::clone(folder))
    }

    /// The folder at that path. What is missing on the way is made; no link is followed.
    fn folder(&mut self, path: &[u8]) -> io::Result<Arc<OwnedFd>> {
        while self.open.last().is_some_and(|(open, _)| !is_on_the_way(open, path)) {
            self.open.pop();
        }
        let (mut len, mut at) = match self.open.last() {
            Some((open, folder)) => (open.len(), Arc::clone(folder)),
            None => {
                let root = Arc::new(open_folder(self.root, b"")?);
                self.open.push((Vec::new(), Arc::clone(&root)));
                (0, root)
            }
        };
        while let Some(rest) = path.get(len..).filter(|rest| !rest.is_empty()) {
            let name = rest.get(1..).unwrap_or_default().split(|byte| *byte == b'/').next();
            let name = name.unwrap_or_default();
            at = Arc::new(open_or_make(&at, OsStr::from_bytes(name))?);
            len += 1 + name.len();
            if self.open.len() == OPEN_MOST {
                self.open.remove(0);
            }
            self.open.push((path.get(..len).unwrap_or_default().to_vec(), Arc::clone(&at)));
        }
        Ok(at)
    }

    /// Takes away what is at that place.
    fn remove_at(&mut self, place: &Place<'_>, path: &TreePath, keep: Keep<'_>) -> io::Result<()> {
        let kind = place.kind()?;
        if kind == Some(FileType::Directory) {
            let inside = sys::openat(&place.folder, place.os_name(), FOLDER, Mode::empty())?;
            self.remove_inside(inside, path, keep)?;
        }
        match kind {
            Some(_) if keep(path) => Ok(()),
            Some(FileType::Directory) => {
                self.open.clear();
                self.forget(path);
                place.remove(AtFlags::REMOVEDIR)
            }
            Some(_) => place.remove(AtFlags::empty()),
            None => Ok(()),
        }
    }

    fn remove_inside(
        &mut self,
        folder: OwnedFd,
        path: &TreePath,
        keep: Keep<'_>,
    ) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in sys::Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            // What mke2fs has made there is none of the tree.
            let is_made = *path == TreePath::root() && name == b"lost+found";
            if !matches!(name, b"." | b"..") && !is_made {
                names.push(name.to_vec());
            }
        }
        let mut place = Place { folder: Arc::new(folder), name: b"" };
        for name in &names {
            place.name = name;
            self.remove_at(&place, &path.join(name), keep)?;
        }
        Ok(())
    }
}

/// True where the one path is that of a folder on the way to the other one, or the other one itself.
fn is_on_the_way(folder: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

fn open_or_make(folder: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    match sys::openat(folder, name, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) => {
            sys::mkdirat(folder, name, Mode::RWXU)?;
            let made = sys::openat(folder, name, FOLDER, Mode::empty())?;
            // Whatever this process's mask is.
            sys::fchmod(&made, Mode::from_raw_mode(0o755))?;
            Ok(made)
        }
        opened => Ok(opened?),
    }
}

type Keep<'k> = &'k dyn Fn(&TreePath) -> bool;

impl NewTree for RealTree<'_> {
    fn put(
        &mut self,
        path: &TreePath,
        meta: &Meta,
        xattrs: &Xattrs,
        making: Making<'_>,
    ) -> io::Result<()> {
        let mut now = xattrs.clone();
        if meta.kind == Kind::Folder {
            let inherited = now.remove(ACL_DEFAULT);
            self.keep(path, Late { mtime: meta.mtime, inherited })?;
        }
        let xattrs = &now;
        if *path == TreePath::root() {
            if meta.kind != Kind::Folder {
                return Err(io::Error::other("the root can be nothing but a folder"));
            }
            let root = Place { folder: Arc::new(open_folder(self.root, b"")?), name: b"." };
            root.disinherit(xattrs)?;
            return root.dress(meta, xattrs);
        }
        let (parent, name) = split(path)?;
        let place = Place { folder: self.folder(parent)?, name };
        let made = match place.make(meta, &making) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match (place.kind()?, meta.kind) {
                    (Some(FileType::Directory), Kind::Folder) => {
                        place.disinherit(xattrs)?;
                        return place.dress(meta, xattrs);
                    }
                    (Some(FileType::Directory), _) => {
                        self.open.clear();
                        place.remove(AtFlags::REMOVEDIR)?;
                    }
                    (_, _) => place.clear()?,
                }
                place.make(meta, &making)?
            }
            made => made?,
        };
        place.complete(made, (meta, xattrs), making)
    }

    fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()> {
        let from = Place::of(self.root, first)?;
        if path == first {
            // Its own other name: it must only be there.
            return from.kind()?.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into());
        }
        let (parent, name) = split(path)?;
        Place { folder: self.folder(parent)?, name }.link(&from)
    }

    fn remove(&mut self, path: &TreePath, keep: Keep<'_>) -> io::Result<()> {
        if *path == TreePath::root() {
            let root = open_folder(self.root, b"")?;
            return self.remove_inside(root, path, keep);
        }
        let (parent, name) = split(path)?;
        let folder = match self.last(parent) {
            Some(folder) => folder,
            None => match open_folder(self.root, parent) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                folder => Arc::new(folder?),
            },
        };
        self.remove_at(&Place { folder, name }, path, keep)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.open.clear();
        for (path, Late { mtime, inherited }) in &std::mem::take(&mut self.late) {
            let folder = match open_folder(self.root, path.bytes()) {
                // A later entry has put something else in its place.
                Err(error) if is_gone(&error) => continue,
                opened => opened?,
            };
            if let Some(rights) = inherited {
                sys::fsetxattr(&folder, ACL_DEFAULT, rights, XattrFlags::empty())?;
            }
            sys::futimens(&folder, &times_of(*mtime))?;
        }
        Ok(())
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(libc::ELOOP)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::process::Command;

    use super::*;
    use crate::archive;
    use crate::diff::{Trust, diff};
    use crate::tree::aside;
    use crate::units::Bytes;

    fn run(program: &str, args: &[&str]) {
        let ran = Command::new(program).args(args).status().expect("it is there");
        assert!(ran.success(), "{program} {args:?}");
    }

    /// A tree with one of everything.
    fn sample(root: &Path) {
        let at = |name: &str| root.join(name);
        let text = |name: &str| at(name).to_str().expect("UTF-8").to_owned();
        fs::create_dir_all(at("usr/bin")).expect("made");
        fs::create_dir_all(at("var/empty")).expect("made");
        symlink("usr/bin", at("bin")).expect("made");
        symlink("/etc/shadow", at("usr/absolute")).expect("made");
        fs::write(at("usr/bin/tool"), "tool\n").expect("made");
        fs::set_permissions(at("usr/bin/tool"), fs::Permissions::from_mode(0o4755)).expect("set");
        fs::hard_link(at("usr/bin/tool"), at("usr/bin/twin")).expect("made");
        let long = ["long-name".repeat(20), "deep".repeat(40)].join("/");
        fs::create_dir_all(at(&long)).expect("made");
        fs::write(at(&long).join("file"), vec![3; 100_000]).expect("made");
        symlink(&long, at("long-link")).expect("made");
        let holes = fs::File::create(at("holes")).expect("made");
        std::os::unix::fs::FileExt::write_all_at(&holes, &[1; 5000], 1 << 20).expect("written");
        for n in 0..30_u64 {
            std::os::unix::fs::FileExt::write_all_at(&holes, b"x", (2 << 20) + n * 65536)
                .expect("written");
        }
        holes.set_len(8 << 20).expect("set");
        run("mkfifo", &[&text("pipe")]);
        fs::create_dir(at("dev")).expect("made");
        run("mknod", &[&text("dev/null"), "c", "1", "3"]);
        run("mknod", &[&text("dev/disk"), "b", "259", "300"]);
        run("chown", &["-h", "1000:70000", &text("usr/absolute"), &text("var/empty")]);
        // A value with a newline in it: what the lengths of records are for.
        let value = b"one\ntwo=3\0four\n";
        sys::lsetxattr(at("usr/bin/tool"), "user.note", value, sys::XattrFlags::empty())
            .expect("set");
        let capabilities = [1, 0, 0, 2, 10, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        fs::write(at("usr/bin/ping"), "ping").expect("made");
        let name = "security.capability";
        sys::lsetxattr(at("usr/bin/ping"), name, &capabilities, sys::XattrFlags::empty())
            .expect("set");
        let acl = [2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 6, 0, 49, 212, 0, 0];
        let more = [4, 0, 5, 0, 255, 255, 255, 255, 16, 0, 7, 0, 255, 255, 255, 255];
        let last = [32, 0, 0, 0, 255, 255, 255, 255];
        let acl = [acl.as_slice(), &more, &last].concat();
        let name = "system.posix_acl_default";
        sys::lsetxattr(at("var"), name, &acl, sys::XattrFlags::empty()).expect("set");
        run("touch", &["-h", "-d", "1969-12-31T23:00:00.25Z", &text("bin"), &text("var/empty")]);
        run("touch", &["-d", "2001-02-03T04:05:06.789012345Z", &text("usr"), &text("var")]);
        fs::set_permissions(root, fs::Permissions::from_mode(0o711)).expect("set");
    }

    fn same(a: &Path, b: &Path) {
        let changes: Vec<String> = diff(a, b, Trust::Nothing)
            .expect("both are there")
            .map(|change| format!("{:?}", change.expect("readable")))
            .collect();
        assert_eq!(changes, Vec::<String>::new());
    }

    #[test]
    fn archives_of_every_form_give_the_tree_that_they_were_made_of() {
        let dir = tempfile::tempdir_in("/var/tmp").expect("a folder");
        let from = dir.path().join("from");
        fs::create_dir(&from).expect("made");
        sample(&from);
        let (source, file) = (from.to_str().expect("UTF-8"), dir.path().join("a.tar"));
        let archive = file.to_str().expect("UTF-8");
        let pax = ["--format=pax", "--xattrs", "--xattrs-include=*", "--numeric-owner"];
        for (n, more) in [
            &["-S", "--acls"][..],
            &["-S", "--sparse-version=0.1"],
            &["-S", "--sparse-version=0.0"],
            &["--sort=name", "-b1"],
        ]
        .iter()
        .enumerate()
        {
            run("tar", &[&pax[..], more, &["-C", source, "-cf", archive, "."]].concat());
            let to = dir.path().join(format!("to{n}"));
            fs::create_dir(&to).expect("made");
            let bytes = fs::File::open(&file).expect("made");
            aside(RealTree::new(&to), |tree| {
                archive::unpack(bytes, tree, Bytes::gib(1), &mut |_| false).map(drop)
            })
            .expect("good");
            same(&from, &to);
            let holes = fs::metadata(to.join("holes")).expect("there");
            assert!(holes.blocks() * 512 < 1 << 20, "{n}: {} blocks", holes.blocks());
            let twins = ["usr/bin/tool", "usr/bin/twin"].map(|name| to.join(name).metadata());
            let [one, other] = twins.map(|meta| meta.expect("there").ino());
            assert_eq!(one, other);
        }
    }

    #[test]
    fn what_is_packed_here_gives_the_tree_that_it_was_made_of() {
        let dir = tempfile::tempdir_in("/var/tmp").expect("a folder");
        let [from, to, theirs] = ["from", "to", "theirs"].map(|name| dir.path().join(name));
        for folder in [&from, &to, &theirs] {
            fs::create_dir(folder).expect("made");
        }
        sample(&from);
        // What no block holds.
        run("chown", &["-h", "3000000:4294967290", from.join("bin").to_str().expect("UTF-8")]);
        let mut packed = Vec::new();
        let tree = crate::diff::Mounted::open(&from).expect("there");
        let mut packing = archive::Packing::new(&mut packed);
        crate::tree::copy(&tree, crate::tree::Of::Part, &mut packing, &mut |_| false)
            .expect("packed");
        assert_eq!(packed.len() % 10240, 0);
        let mut made = RealTree::new(&to);
        archive::unpack(&packed[..], &mut made, Bytes::gib(1), &mut |_| false).expect("good");
        same(&from, &to);
        // And by GNU tar.
        let file = dir.path().join("a.tar");
        fs::write(&file, &packed).expect("written");
        let (file, theirs_at) = (file.to_str().expect("UTF-8"), theirs.to_str().expect("UTF-8"));
        let all = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-p"];
        run("tar", &[&["-C", theirs_at, "-xf", file], &all[..]].concat());
        same(&from, &theirs);
    }

    #[test]
    fn gnu_s_old_forms_give_all_but_attributes() {
        let dir = tempfile::tempdir_in("/var/tmp").expect("a folder");
        let from = dir.path().join("from");
        fs::create_dir(&from).expect("made");
        sample(&from);
        for name in ["usr/bin/tool", "usr/bin/ping"] {
            for attribute in ["user.note", "security.capability"] {
                let _ = sys::lremovexattr(from.join(name), attribute);
            }
        }
        sys::lremovexattr(from.join("var"), "system.posix_acl_default").expect("removed");
        // Whole seconds.
        run(
            "sh",
            &[
                "-c",
                "find \"$0\" -exec touch -h -d @-1000000000 {} +",
                from.to_str().expect("UTF-8"),
            ],
        );
        let (source, file) = (from.to_str().expect("UTF-8"), dir.path().join("a.tar"));
        let archive = file.to_str().expect("UTF-8");
        for (n, form) in [&["--format=gnu", "-S"][..], &["--format=gnu"]].iter().enumerate() {
            run("tar", &[*form, &["-C", source, "-cf", archive, "."]].concat());
            let to = dir.path().join(format!("to{n}"));
            fs::create_dir(&to).expect("made");
            let mut tree = RealTree::new(&to);
            let bytes = fs::File::open(&file).expect("made");
            archive::unpack(bytes, &mut tree, Bytes::gib(1), &mut |_| false).expect("good");
            same(&from, &to);
        }
    }

    fn meta(kind: Kind) -> Meta {
        Meta { mtime: (1, 0), ..Meta::blank(kind) }
    }

    fn path(text: &str) -> TreePath {
        TreePath::from_text(text).expect("a path")
    }

    #[test]
    fn what_is_removed_goes_with_all_that_is_in_it_but_for_what_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir_all(root.join("lost+found")).expect("made");
        fs::create_dir_all(outside.join("d")).expect("made");
        fs::write(outside.join("d/f"), "mine").expect("made");
        let mut tree = RealTree::new(&root);
        let none = Xattrs::new();
        let target = outside.to_str().expect("UTF-8").as_bytes();
        let put = |tree: &mut RealTree<'_>, at: &str| {
            let mut content = b"x".as_slice();
            tree.put(&path(at), &meta(Kind::File), &none, Making::File(&mut content))
        };
        for at in ["/a/b/c/one", "/a/b/two", "/a/three", "/top"] {
            put(&mut tree, at).expect("made");
        }
        tree.put(&path("/a/b/out"), &meta(Kind::Link), &none, Making::Link(target)).expect("made");
        tree.put(&path("/a/b"), &meta(Kind::Folder), &none, Making::Other).expect("made");
        // Not through a link, wherever in the path it stands.
        for at in ["/a/b/out/d", "/a/b/out/d/f"] {
            assert!(tree.remove(&path(at), &|_| false).is_err(), "{at}");
        }
        for at in ["/none", "/none/x", "/a/b/none"] {
            tree.remove(&path(at), &|_| false).expect("there is nothing");
        }
        let kept = ["/a", "/a/b", "/a/b/c"].map(path);
        tree.remove(&path("/a"), &|path| kept.contains(path)).expect("removed");
        assert!(root.join("a/b/c").is_dir() && !root.join("a/b/c/one").exists());
        assert_eq!(fs::read_dir(root.join("a/b")).expect("there").count(), 1);
        // What comes in the place of a folder that has gone has nothing of it.
        tree.remove(&path("/a"), &|_| false).expect("removed");
        put(&mut tree, "/a/b/new").expect("made");
        tree.finish().expect("done");
        assert_ne!(fs::metadata(root.join("a/b")).expect("there").mtime(), 1);
        tree.remove(&path("/a/b/new"), &|_| false).expect("removed");
        put(&mut tree, "/a/b/new").expect("made");
        tree.remove(&TreePath::root(), &|_| false).expect("removed");
        let left: Vec<_> = fs::read_dir(&root).expect("there").collect();
        assert!(left.len() == 1 && root.join("lost+found").is_dir(), "{left:?}");
        put(&mut tree, "/a/b/new").expect("made");
        assert_eq!(fs::read(outside.join("d/f")).expect("there"), b"mine");
    }

    #[test]
    fn what_is_kept_of_folders_is_bounded() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut tree = RealTree::new(dir.path());
        tree.room = Room::of(1000, "folders");
        let rights = Xattrs::from([(ACL_DEFAULT.to_vec(), vec![0; 500])]);
        let mut folder = |at: &str, xattrs: &Xattrs| {
            tree.put(&path(at), &meta(Kind::Folder), xattrs, Making::Other)
        };
        // One that comes again takes the place of what was kept of it.
        for _ in 0..20 {
            folder("/a", &Xattrs::new()).expect("kept");
        }
        for n in 0..3 {
            folder(&format!("/{n}"), &Xattrs::new()).expect("kept");
        }
        let error = folder("/b", &rights).expect_err("too much");
        let told = Room::told(&error).expect("that is why");
        assert!(told.to_string().contains("so many folders"), "{told}");
        tree.remove(&path("/a"), &|_| false).expect("removed");
        tree.put(&path("/c"), &meta(Kind::Folder), &Xattrs::new(), Making::Other).expect("room");
        tree.finish().expect("done");
    }

    #[test]
    fn no_link_is_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir(&root).expect("made");
        fs::create_dir(&outside).expect("made");
        let mut tree = RealTree::new(&root);
        let target = outside.to_str().expect("UTF-8").as_bytes();
        let none = Xattrs::new();
        tree.put(&path("/out"), &meta(Kind::Link), &none, Making::Link(target)).expect("made");
        let file = |content: &'static [u8]| content;
        let (mut a, mut b) = (file(b"x"), file(b"y"));
        let through = tree.put(&path("/out/x"), &meta(Kind::File), &none, Making::File(&mut a));
        assert!(through.is_err());
        assert!(tree.link(&path("/out/y"), &path("/out")).is_err());
        // What stands there goes, and is not written through.
        tree.put(&path("/out"), &meta(Kind::File), &none, Making::File(&mut b)).expect("made");
        assert_eq!(fs::read(root.join("out")).expect("a file"), b"y");
        // A folder that is full is not taken away for something else.
        tree.put(&path("/d/e/f"), &meta(Kind::Folder), &none, Making::Other).expect("made");
        let mut c = file(b"z");
        assert!(tree.put(&path("/d"), &meta(Kind::File), &none, Making::File(&mut c)).is_err());
        // Of a folder that comes twice the last one counts.
        let again = Meta { mtime: (7, 0), ..meta(Kind::Folder) };
        tree.put(&path("/twice"), &meta(Kind::Folder), &none, Making::Other).expect("made");
        tree.put(&path("/twice"), &again, &none, Making::Other).expect("made");
        tree.finish().expect("done");
        assert_eq!(fs::metadata(root.join("twice")).expect("there").mtime(), 7);
        assert_eq!(fs::metadata(root.join("d")).expect("there").mode() & 0o7777, 0o755);
        assert_eq!(fs::metadata(root.join("d/e/f")).expect("there").mtime(), 1);
        assert_eq!(fs::read_dir(&outside).expect("there").count(), 0);
    }
}
