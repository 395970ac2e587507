use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use proptest::prelude::*;

use super::*;
use crate::tree::{Folder, Kind, Meta, Xattrs};
use crate::units::Bytes;

/// An entry of a tree in memory.
#[derive(Clone, Debug)]
struct Node {
    meta: Meta,
    data: Vec<u8>,
    xattrs: Xattrs,
    inside: BTreeMap<Vec<u8>, Node>,
    broken: bool,
}

fn node(kind: Kind, data: &[u8]) -> Node {
    let size = Bytes::new(data.len() as u64);
    let meta = Meta {
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size,
        held: size,
        rdev: (0, 0),
        ino: 7,
        fs: 1,
        mtime: (1, 0),
        links: 1,
        ctime: (1, 0),
    };
    let (data, xattrs, inside) = (data.to_vec(), Xattrs::new(), BTreeMap::new());
    Node { meta, data, xattrs, inside, broken: false }
}

fn folder<const N: usize>(inside: [(&str, Node); N]) -> Node {
    let inside = inside.map(|(name, node)| (name.as_bytes().to_vec(), node)).into();
    Node { inside, ..node(Kind::Folder, b"") }
}

fn file(data: &[u8]) -> Node {
    node(Kind::File, data)
}

impl Node {
    fn get(&self, name: &[u8]) -> io::Result<&Self> {
        self.inside.get(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Folder for Node {
    fn own_meta(&self) -> io::Result<Meta> {
        Ok(self.meta.clone())
    }

    fn own_xattrs(&self) -> io::Result<Xattrs> {
        Ok(self.xattrs.clone())
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let broken = io::Error::from_raw_os_error(5);
        if self.broken { Err(broken) } else { Ok(self.inside.keys().rev().cloned().collect()) }
    }

    fn meta(&self, name: &[u8]) -> io::Result<Meta> {
        self.get(name).map(|node| node.meta.clone())
    }

    fn folder(&self, name: &[u8]) -> io::Result<Self> {
        self.get(name).cloned()
    }

    fn file(&self, name: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(Cursor::new(self.get(name)?.data.clone())))
    }

    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(self.get(name)?.data.clone())
    }

    fn xattrs(&self, name: &[u8]) -> io::Result<Xattrs> {
        Ok(self.get(name)?.xattrs.clone())
    }
}

fn lines(a: &Node, b: &Node, trust: Trust) -> Vec<String> {
    let told = Diff::new(a.clone(), b.clone(), trust);
    told.map(|change| change.map_or_else(|e| e.to_string(), |change| change.to_string())).collect()
}

#[test]
fn each_difference_is_told_once_and_in_order() {
    let mut owned = file(b"same");
    owned.meta.uid = 3;
    owned.meta.mode = 0o4755;
    let mut acl = file(b"same");
    acl.xattrs.insert(b"security.selinux".to_vec(), b"x".to_vec());
    let mut device = node(Kind::CharDevice, b"");
    device.meta.rdev = (1, 3);
    let a = folder([
        ("a", file(b"one")),
        ("b", folder([("deep", folder([("gone", file(b""))]))])),
        ("c", node(Kind::Link, b"to")),
        ("d", file(b"same")),
        ("e", node(Kind::CharDevice, b"")),
        ("f", folder([("x", file(b"1"))])),
        ("g", file(b"same")),
        ("z", file(b"same")),
    ]);
    let b = folder([
        ("a", file(b"two")),
        ("b", folder([])),
        ("c", node(Kind::Link, b"at")),
        ("d", owned),
        ("e", device),
        ("f", file(b"1")),
        ("g", acl),
        ("y", folder([("new", file(b""))])),
        ("z", file(b"same")),
    ]);
    let want = [
        "changed /a (content)",
        "removed /b/deep",
        "removed /b/deep/gone",
        "changed /c (target)",
        "changed /d (mode, owner)",
        "changed /e (device)",
        "changed /f (type)",
        "removed /f/x",
        "changed /g (xattr)",
        "added /y",
        "added /y/new",
    ];
    assert_eq!(lines(&a, &b, Trust::Nothing), want);
    assert_eq!(lines(&a, &a, Trust::Nothing), [""; 0]);
}

#[test]
fn trust_is_in_inode_and_times_only_where_it_is_given() {
    let (a, mut b) = (folder([("x", file(b"one"))]), folder([("x", file(b"two"))]));
    assert_eq!(lines(&a, &b, Trust::SameInode), [""; 0]);
    assert_eq!(lines(&a, &b, Trust::Nothing), ["changed /x (content)"]);
    b.inside.get_mut(&b"x"[..]).expect("it has it").meta.ctime = (1, 1);
    assert_eq!(lines(&a, &b, Trust::SameInode), ["changed /x (content)"]);
}

#[test]
fn other_file_systems_are_not_entered_and_errors_do_not_end_it() {
    let mut proc = folder([("1", folder([]))]);
    proc.meta.fs = 9;
    let mut bad = folder([("lost", file(b""))]);
    bad.broken = true;
    let a = folder([("bad", bad), ("proc", folder([])), ("z", file(b"1"))]);
    let b = folder([("bad", folder([])), ("proc", proc.clone()), ("run", proc), ("z", file(b"2"))]);
    let lines = lines(&a, &b, Trust::Nothing);
    assert!(lines[0].starts_with("cannot compare the trees: /bad: "), "{lines:?}");
    assert_eq!(lines[1..], ["added /run", "changed /z (content)"]);
}

/// A tree of a few names and few contents, so that trees meet.
fn tree() -> impl Strategy<Value = Node> {
    let name = prop_oneof![Just("a"), Just("b"), Just("a-"), Just("c")];
    let leaf = prop_oneof![
        prop_oneof![Just(""), Just("1"), Just("2")].prop_map(|data| file(data.as_bytes())),
        Just(node(Kind::Link, b"a")),
        Just(node(Kind::Pipe, b"")),
    ];
    let entry = leaf.prop_recursive(3, 24, 4, move |inner| {
        proptest::collection::btree_map(name.clone(), inner, 0..4).prop_map(of)
    });
    proptest::collection::btree_map(prop_oneof![Just("a"), Just("b"), Just("x")], entry, 0..3)
        .prop_map(of)
}

fn of(inside: BTreeMap<&str, Node>) -> Node {
    let mut node = folder([]);
    node.inside = inside.into_iter().map(|(name, n)| (name.as_bytes().to_vec(), n)).collect();
    node
}

/// Every path with what is there.
fn flat(node: &Node, at: &str, all: &mut BTreeMap<String, (Kind, Vec<u8>)>) {
    for (name, inner) in &node.inside {
        let path = format!("{at}/{}", String::from_utf8_lossy(name));
        all.insert(path.clone(), (inner.meta.kind, inner.data.clone()));
        flat(inner, &path, all);
    }
}

proptest! {
    #[test]
    fn the_walk_tells_what_flat_lists_tell(a in tree(), b in tree()) {
        let (mut first, mut second) = (BTreeMap::new(), BTreeMap::new());
        flat(&a, "", &mut first);
        flat(&b, "", &mut second);
        let mut want: Vec<String> = Vec::new();
        for (path, was) in &first {
            match second.get(path) {
                None => want.push(format!("removed {path}")),
                Some(is) if is.0 != was.0 => want.push(format!("changed {path} (type)")),
                Some(is) if is != was => want.push(format!("changed {path} (content)")),
                Some(_) => {}
            }
        }
        want.extend(second.keys().filter(|path| !first.contains_key(*path)).map(|p| format!("added {p}")));
        want.sort();
        let mut found = lines(&a, &b, Trust::Nothing);
        let paths: Vec<Vec<String>> = found.iter()
            .map(|line| line.split(' ').nth(1).expect("a path").split('/').map(str::to_owned).collect())
            .collect();
        prop_assert!(paths.is_sorted(), "{found:?}");
        found.sort();
        prop_assert_eq!(found, want);
    }
}

#[cfg(feature = "host")]
mod real {
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    fn fill(root: &Path) {
        fs::create_dir_all(root.join("sub/deeper")).expect("there is room");
        fs::write(root.join("file"), b"content").expect("there is room");
        fs::write(root.join("sub/large"), vec![1; 300_000]).expect("there is room");
        fs::write(root.join(std::ffi::OsStr::from_bytes(b"odd\xff\n")), b"")
            .expect("there is room");
        symlink("/etc/passwd", root.join("link")).expect("there is room");
        symlink("nowhere", root.join("sub/dangling")).expect("there is room");
    }

    fn found(a: &Path, b: &Path, trust: Trust) -> Vec<String> {
        let told = diff(a, b, trust).expect("both are there");
        told.map(|change| change.expect("readable").to_string()).collect()
    }

    #[test]
    fn folders_of_this_machine_are_compared() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fill(&a);
        fill(&b);
        for trust in [Trust::Nothing, Trust::SameInode] {
            assert_eq!(found(&a, &b, trust), [""; 0]);
        }
        fs::write(b.join("sub/large"), [vec![1; 299_999], vec![2]].concat()).expect("room");
        fs::remove_file(b.join("link")).expect("it is there");
        symlink("/etc/shadow", b.join("link")).expect("there is room");
        fs::remove_file(b.join(std::ffi::OsStr::from_bytes(b"odd\xff\n"))).expect("it is there");
        fs::set_permissions(b.join("file"), fs::Permissions::from_mode(0o600)).expect("ours");
        fs::write(b.join("sub/deeper/new"), b"").expect("there is room");
        let want = [
            "changed /file (mode)",
            "changed /link (target)",
            "removed /odd\\xff\\x0a",
            "added /sub/deeper/new",
            "changed /sub/large (content)",
        ];
        assert_eq!(found(&a, &b, Trust::SameInode), want);
        assert_eq!(found(&a, &b, Trust::Nothing), want);
    }

    #[test]
    fn attributes_are_compared_where_there_are_any() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fill(&a);
        fill(&b);
        let set = |path: &Path, value: &[u8]| {
            rustix::fs::lsetxattr(path, "user.imgbase", value, rustix::fs::XattrFlags::empty())
        };
        if let Err(rustix::io::Errno::OPNOTSUPP) = set(&b.join("file"), b"1") {
            // A file system without attributes: that none are seen there is what can be told.
            assert_eq!(found(&a, &b, Trust::Nothing), [""; 0]);
            return;
        }
        set(&b.join("sub"), &[7; 2000]).expect("it knows attributes");
        let want = ["changed /file (xattr)", "changed /sub (xattr)"];
        assert_eq!(found(&a, &b, Trust::Nothing), want);
        set(&a.join("file"), b"1").expect("it knows attributes");
        set(&a.join("sub"), &[7; 2000]).expect("it knows attributes");
        assert_eq!(found(&a, &b, Trust::Nothing), [""; 0]);
    }
}
