//! Judged by debugfs, and by the folder that mke2fs has filled a file system from.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::dev::MemDev;
use crate::ext4::testing::{FLAVOURS, Sample, content, run};

/// Further ways to keep inodes, names and attributes.
const READ: [(&str, &str); 6] = [
    ("-t ext4 -b 4096 -I 256 -O metadata_csum,64bit,extent,inline_data,ext_attr", "64M"),
    ("-t ext4 -b 1024 -I 512 -O ^metadata_csum,extent,inline_data,ext_attr", "64M"),
    ("-t ext4 -b 1024 -I 128 -O metadata_csum,extent,64bit,has_journal", "64M"),
    ("-t ext4 -b 1024 -I 256 -O metadata_csum,ea_inode,large_dir,extent,64bit", "64M"),
    ("-t ext4 -b 65536 -I 256 -O metadata_csum,extent,64bit", "256M"),
    ("-t ext2 -r 0 -b 1024", "64M"),
];

/// As e2fsprogs make it by default.
const USUAL: &str = "-t ext4 -I 256 -O metadata_csum,64bit,extent,has_journal,ext_attr,extra_isize";

/// Names in one folder: a tree of hashes over them has two levels with blocks of 1 KiB.
const MANY: usize = 2600;

fn all_flavours() -> impl Iterator<Item = (&'static str, &'static str)> {
    FLAVOURS.into_iter().chain(READ)
}

/// All that may be hard to read: folders of many blocks, files in many pieces, links of any length.
fn fill(root: &Path) -> io::Result<()> {
    let many = root.join("many");
    fs::create_dir_all(root.join("deep/er/and/deeper"))?;
    fs::create_dir(&many)?;
    for index in 0..MANY {
        fs::write(many.join(format!("a name that takes some room in a folder, {index}")), "x")?;
    }
    for size in [0, 1, 59, 60, 61, 100, 160, 161, 1024, 4096, 70_000, 3_000_000] {
        let bytes: Vec<u8> = (0..size).map(|at: u32| (at.wrapping_mul(at) >> 7) as u8).collect();
        fs::write(root.join(format!("deep/file-{size}")), bytes)?;
        if (1..1024).contains(&size) {
            symlink("t".repeat(size as usize), root.join(format!("deep/er/link-{size}")))?;
        }
    }
    let holes = fs::File::create(root.join("holes"))?;
    for piece in 0..900u64 {
        use std::os::unix::fs::FileExt;
        holes.write_all_at(&[piece as u8 | 1; 5000], piece * 131_072 + 777)?;
    }
    fs::hard_link(root.join("holes"), root.join("deep/same"))?;
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"odd \xff\n")), "odd")?;
    fs::write(root.join("secret"), "s")?;
    fs::set_permissions(root.join("secret"), fs::Permissions::from_mode(0o4751))?;
    symlink("/deep/er", root.join("absolute"))?;
    symlink("../../../../many", root.join("deep/er/up"))?;
    symlink("loop", root.join("loop"))
}

/// Each path with its bytes, its target, or nothing.
fn read_all(tree: &Tree<'_>) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut all = BTreeMap::new();
    each_path(tree, &mut |path, inode| {
        let bytes = match inode.kind() {
            Kind::File => tree.content(inode)?.all()?,
            Kind::Link => tree.target(inode)?,
            _ => Vec::new(),
        };
        all.insert(path.to_owned(), bytes);
        Ok(())
    })?;
    Ok(all)
}

fn each_path(tree: &Tree<'_>, each: &mut dyn FnMut(&Path, &Inode) -> Result<()>) -> Result<()> {
    let mut left = vec![(PathBuf::new(), Ino::ROOT)];
    while let Some((path, ino)) = left.pop() {
        let folder = tree.inode(ino)?;
        for name in tree.names(&folder)? {
            let path = path.join(std::ffi::OsStr::from_bytes(&name.name));
            let inode = tree.inode(name.ino)?;
            assert!(name.kind.is_none_or(|kind| kind == inode.kind()), "{path:?}");
            each(&path, &inode)?;
            if inode.kind() == Kind::Folder {
                assert_eq!(tree.parent(&inode)?, ino, "{path:?}");
                left.push((path, name.ino));
            }
        }
    }
    Ok(())
}

#[test]
fn a_whole_tree_is_what_debugfs_gives() {
    for (args, size) in all_flavours() {
        // debugfs gives sixty bytes for a shorter file that its inode holds.
        if args.contains("inline_data") {
            continue;
        }
        let sample = Sample::new(args, size);
        let dev = sample.dev();
        let tree = Tree::open(&dev).expect("it is clean");
        assert!(read_all(&tree).expect("it is whole") == content(&sample.path), "{args}");
    }
}

/// Metadata and content as mke2fs has found them; folders once as it makes them and once with
/// trees of hashes.
#[test]
fn a_whole_tree_is_what_it_was_made_from() {
    for (args, _) in [0, 4, 10].map(|index| FLAVOURS[index]).into_iter().chain(READ) {
        let sample = Sample::of(args, "256M", fill);
        same_as_source(&sample, args);
        let (code, text) = run("e2fsck", &["-fyD", &sample.path.display().to_string()]);
        assert!(matches!(code, Some(0 | 1)), "{text}");
        let tree = sample.debugfs("htree_dump /many");
        if args.contains("ext4") {
            let levels = if args.contains("-b 1024") { 1 } else { 0 };
            assert!(tree.contains(&format!("Indirect levels: {levels}")), "{args}: {tree}");
        }
        same_as_source(&sample, args);
    }
}

fn same_as_source(sample: &Sample, args: &str) {
    let (dev, source) = (sample.dev(), sample.source());
    let tree = Tree::open(&dev).expect("it is clean");
    let mut count = 0;
    each_path(&tree, &mut |path, inode| {
        if path == Path::new("lost+found") {
            return Ok(());
        }
        count += 1;
        let (there, meta) = (source.join(path), inode.meta());
        let stat = fs::symlink_metadata(&there).expect("it was made from that");
        let about = format!("{path:?} of {args}");
        assert_eq!(meta.mode, stat.mode() & 0o7777, "{about}");
        assert_eq!((meta.uid, meta.gid), (stat.uid(), stat.gid()), "{about}");
        assert_eq!(meta.mtime.0, stat.mtime(), "{about}");
        if inode.kind() != Kind::Folder {
            assert_eq!(meta.size.get(), stat.len(), "{about}");
            assert_eq!(u64::from(inode.links()), stat.nlink(), "{about}");
        }
        match inode.kind() {
            Kind::File => assert!(tree.content(inode)?.all()? == fs::read(&there).expect("ours")),
            Kind::Link => assert_eq!(
                tree.target(inode)?,
                fs::read_link(&there).expect("ours").as_os_str().as_bytes(),
                "{about}"
            ),
            _ => {}
        }
        Ok(())
    })
    .expect(args);
    assert_eq!(count, MANY + 12 + 7 + 12, "{args}");
}

#[test]
fn paths_lead_through_links_and_never_out() {
    let sample = Sample::of(USUAL, "64M", fill);
    let dev = sample.dev();
    let tree = Tree::open(&dev).expect("it is clean");
    let read = |path: &str| tree.read_file(path, Bytes::mib(1)).expect(path);
    for path in [
        "/deep/file-1",
        "deep//./file-1",
        "/../../deep/er/../file-1",
        "/absolute/../file-1",
        "/deep/er/and/deeper/../../../file-1",
    ] {
        assert_eq!(read(path), Some(vec![0]), "{path}");
    }
    for path in ["/none", "/none/file-1", "/deep/file-1/x", "/deep/file-1/..", "/deep/er/link-59"] {
        assert_eq!(read(path), None, "{path}");
    }
    let list = |path: &str| tree.list(path).expect(path).map(|names| names.len());
    assert_eq!(list("/deep/er/up"), Some(MANY));
    assert_eq!(list("/absolute/"), Some(7 + 2));
    assert_eq!((list("/none"), list("/secret")), (None, None));
    let names = tree.list("").expect("readable").expect("the root");
    let names: Vec<_> = names.iter().map(|name| name.name.as_slice()).collect();
    assert!(names.is_sorted() && names.contains(&b"odd \xff\n".as_slice()), "{names:?}");
    let file = tree.open_file("/deep/file-70000").expect("readable").expect("there");
    assert_eq!(file.size(), Bytes::new(70_000));
    let refused = |path: &str| tree.read_file(path, Bytes::new(50)).expect_err(path);
    assert_eq!(refused("/loop").kind(), ErrorKind::Invalid);
    assert_eq!(refused("/deep").kind(), ErrorKind::Invalid);
    assert!(refused("/deep").to_string().contains("/deep: it is no file but a folder"));
    assert_eq!(refused("/deep/file-59").kind(), ErrorKind::Unsupported);
}

#[test]
fn attributes_are_found_wherever_they_are() {
    for args in [
        USUAL,
        "-t ext4 -b 1024 -I 256 -O metadata_csum,extent,inline_data,ea_inode,ext_attr",
        "-t ext4 -b 1024 -I 128 -O ^metadata_csum,extent,ext_attr",
    ] {
        let sample = Sample::of(args, "64M", |root| {
            fs::write(root.join("file"), "x")?;
            fs::write(root.join("more"), "0123456789".repeat(8))
        });
        let value = sample.dir.path().join("value");
        let long: Vec<u8> = (0..1000u32).map(|at| (at % 251) as u8).collect();
        fs::write(&value, &long[..if args.contains("ea_inode") { 1000 } else { 700 }])
            .expect("there is room");
        let mut want = Xattrs::new();
        for path in ["file", "more"] {
            sample.debugfs(&format!("ea_set /{path} user.short 1"));
            sample.debugfs(&format!("ea_set /{path} security.selinux label"));
            sample.debugfs(&format!("ea_set -f {} /{path} trusted.long", value.display()));
        }
        want.insert(b"user.short".to_vec(), b"1".to_vec());
        want.insert(b"security.selinux".to_vec(), b"label".to_vec());
        want.insert(b"trusted.long".to_vec(), fs::read(&value).expect("ours"));
        let dev = sample.dev();
        let tree = Tree::open(&dev).expect("it is clean");
        for path in ["/file", "/more"] {
            let inode = tree.find(path).expect("readable").expect("there");
            assert!(tree.xattrs(&inode).expect("readable") == want, "{path} of {args}");
        }
        let root = tree.inode(Ino::ROOT).expect("readable");
        assert_eq!(tree.xattrs(&root).expect("readable"), Xattrs::new());
        let more = tree.read_file("/more", Bytes::kib(1)).expect("readable").expect("there");
        assert_eq!(more, b"0123456789".repeat(8));
    }
}

#[test]
fn device_nodes_have_their_numbers() {
    let sample = Sample::new(USUAL, "64M");
    for command in ["mknod old c 4 65", "mknod new b 259 60000", "mknod pipe p"] {
        sample.debugfs(command);
    }
    let dev = sample.dev();
    let tree = Tree::open(&dev).expect("it is clean");
    let meta = |path: &str| tree.find(path).expect("readable").expect("there").meta();
    assert_eq!((meta("old").kind, meta("old").rdev), (Kind::CharDevice, (4, 65)));
    assert_eq!((meta("new").kind, meta("new").rdev), (Kind::BlockDevice, (259, 60_000)));
    assert_eq!((meta("pipe").kind, meta("pipe").rdev), (Kind::Pipe, (0, 0)));
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let sample = Sample::new("-t ext4 -O has_journal,extent,encrypt,casefold", "64M");
    sample.debugfs("set_inode_field dir-1 flags 0x80800");
    sample.debugfs("set_inode_field dir-2/file-3 flags 0x80800");
    sample.debugfs("set_inode_field dir-3 flags 0x40080000");
    let dev = sample.dev();
    let tree = Tree::open(&dev).expect("it is clean");
    let refused = |path: &str| {
        let error = tree.read_file(path, Bytes::mib(1)).expect_err(path);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        error.to_string()
    };
    assert!(refused("/dir-1/file-3").contains("feature encrypt"));
    assert!(refused("/dir-2/file-3").contains("feature encrypt"));
    assert!(refused("/dir-3/FILE-3").contains("feature casefold"));
    assert!(tree.read_file("/dir-3/file-3", Bytes::mib(1)).expect("its very name").is_some());
    sample.debugfs("feature needs_recovery");
    let error = Tree::open(&dev).err().expect("the journal comes first");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("journal"), "{error}");
    sample.debugfs("feature -needs_recovery");
    sample.debugfs("feature FEATURE_I30");
    let error = Tree::open(&dev).err().expect("nobody knows what it is");
    assert!(error.to_string().contains("0x40000000"), "{error}");
}

/// The bytes of a file system, and a few of its places.
struct Broken {
    bytes: Vec<u8>,
    block: usize,
}

impl Broken {
    fn new(args: &str, fill: impl Fn(&Path) -> io::Result<()>) -> (Sample, Self) {
        let sample = Sample::of(args, "32M", fill);
        let bytes = fs::read(&sample.path).expect("it was just made");
        let block = if args.contains("-b 1024") { 1024 } else { 4096 };
        (sample, Self { bytes, block })
    }

    /// The error that reading all of it ends with, where these bytes stand in a block.
    fn with(&self, block: u64, changes: &[(usize, &[u8])]) -> Error {
        let mut bytes = self.bytes.clone();
        for (at, new) in changes {
            let at = usize::try_from(block).expect("small") * self.block + at;
            bytes[at..at + new.len()].copy_from_slice(new);
        }
        let dev = MemDev::new("broken", bytes);
        let error = Tree::open(&dev).and_then(|tree| read_all(&tree)).err();
        let error = error.expect("it is damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        error
    }
}

/// The number that debugfs prints for a command: a block.
fn block_of(sample: &Sample, command: &str) -> u64 {
    let said = sample.debugfs(command);
    let number = said.lines().rev().find_map(|line| line.trim().parse().ok());
    number.unwrap_or_else(|| panic!("{command}: {said}"))
}

fn pieces(root: &Path) -> io::Result<()> {
    fs::create_dir(root.join("folder"))?;
    fs::write(root.join("folder/file"), "x")?;
    let file = fs::File::create(root.join("pieces"))?;
    for piece in 0..300u64 {
        use std::os::unix::fs::FileExt;
        file.write_all_at(b"piece", piece * 8192)?;
    }
    Ok(())
}

#[test]
fn every_checksum_is_looked_at() {
    let (sample, broken) = Broken::new(&format!("{USUAL} -b 1024"), pieces);
    sample.debugfs("ea_set -f /etc/hostname /folder/file user.x");
    let folder = block_of(&sample, "bmap /folder 0");
    let error = broken.with(folder, &[(1000, b"x")]);
    assert!(error.to_string().contains("a folder with a wrong checksum"), "{error}");
    let said = sample.debugfs("imap /folder/file");
    let place = said.split("located at block ").nth(1).expect("a place");
    let (block, offset) = place.split_once(", offset 0x").expect("a place");
    let offset =
        usize::from_str_radix(offset.lines().next().unwrap_or_default(), 16).expect("hexadecimal");
    let error = broken.with(block.parse().expect("a block"), &[(offset + 200, b"x")]);
    assert!(error.to_string().contains("has a wrong checksum"), "{error}");
    let said = sample.debugfs("ex -n /pieces");
    let node = said.lines().find(|line| line.trim_start().starts_with("0/")).expect("a tree");
    // Before the last: the length.
    let node = node.split_whitespace().rev().nth(1).and_then(|word| word.parse::<u64>().ok());
    let error = broken.with(node.expect("a node"), &[(700, b"x")]);
    assert!(error.to_string().contains("node of extents with a wrong checksum"), "{error}");
    let error = broken.with(2, &[(40, b"x")]);
    assert!(error.to_string().contains("descriptor has a wrong checksum"), "{error}");
}

#[test]
fn what_goes_round_in_circles_comes_to_an_end() {
    let (sample, broken) = Broken::new("-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg", pieces);
    let folder = block_of(&sample, "bmap /folder 0");
    // A name of no length, one beyond the block, one with a slash.
    let at = 24;
    assert!(broken.with(folder, &[(at + 4, &[0, 0])]).to_string().contains("does not fit"));
    assert!(broken.with(folder, &[(at + 4, &[0, 8])]).to_string().contains("does not fit"));
    assert!(broken.with(folder, &[(at + 8, b"f/le")]).to_string().contains("impossible name"));
    assert!(broken.with(folder, &[(at, &[0xFF; 4])]).to_string().contains("no inode 4294967295"));
    // A folder that is inside itself: whoever goes down must look, as a path always ends.
    let dev = MemDev::new("circle", {
        let mut bytes = broken.bytes.clone();
        let ino = sample.debugfs("stat /folder").split_whitespace().nth(1).map(str::to_owned);
        let ino: u32 = ino.and_then(|ino| ino.parse().ok()).expect("an inode");
        let at = usize::try_from(folder).expect("small") * 1024 + at;
        bytes[at..at + 4].copy_from_slice(&ino.to_le_bytes());
        bytes
    });
    let tree = Tree::open(&dev).expect("it is clean");
    let circle = format!("/folder{}", "/file".repeat(50));
    assert_eq!(tree.list(circle).expect("readable").map(|names| names.len()), Some(1));
}

#[test]
fn a_block_that_stands_for_many_is_not_believed() {
    let old = "-t ext2 -b 1024 -O ^metadata_csum";
    let (sample, broken) = Broken::new(old, |root| fs::write(root.join("large"), vec![1; 900_000]));
    let node = block_of(&sample, "bmap /large 268");
    let said = sample.debugfs("stat /large");
    let pointers = said.split("(DIND):").nth(1).expect("two levels");
    let pointers: u64 = pointers
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a block");
    assert_ne!(node, pointers);
    // The second level's blocks of pointers: the first one again and again.
    let first = broken.bytes[usize::try_from(pointers).expect("small") * 1024..][..4].to_vec();
    let error = broken.with(pointers, &[(4, &first)]);
    assert!(error.to_string().contains("block of pointers twice"), "{error}");
    let error = broken.with(pointers, &[(4, &[0xFF; 4])]);
    assert!(error.to_string().contains("outside of the file system"), "{error}");
}

/// Whatever bytes stand where metadata is, reading all of it comes to an end.
#[test]
fn no_damage_makes_it_panic_or_go_on_forever() {
    for args in [
        "-t ext4 -b 1024 -N 64 -I 256 -O ^metadata_csum,^uninit_bg,extent,inline_data,ext_attr",
        "-t ext2 -b 1024 -N 64 -I 128 -O ^metadata_csum,dir_index",
    ] {
        let sample = Sample::of(args, "1M", |root| {
            pieces(root)?;
            fs::write(root.join("small"), "inline")?;
            symlink("folder/file", root.join("link"))
        });
        sample.debugfs("ea_set /folder/file user.x y");
        let image = fs::read(&sample.path).expect("it was just made");
        let first = usize::try_from(block_of(&sample, "bmap / 0")).expect("small");
        let places = prop_oneof![1 => 2048..first * 1024, 1 => first * 1024..(first + 40) * 1024];
        let change = (places, prop_oneof![any::<u8>(), Just(0), Just(1), Just(0xFF)]);
        let config =
            ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() };
        let mut runner = proptest::test_runner::TestRunner::new(config);
        let result = runner.run(&proptest::collection::vec(change, 1..12), |changes| {
            let mut image = image.clone();
            changes.iter().for_each(|&(at, byte)| image[at] = byte);
            let dev = MemDev::new("hostile", image);
            let Ok(tree) = Tree::open(&dev) else { return Ok(()) };
            read_what_can_be(&tree);
            Ok(())
        });
        result.expect("nothing panics");
    }
}

/// All that a walk meets, each folder once.
fn read_what_can_be(tree: &Tree<'_>) {
    let (mut left, mut seen) = (vec![Ino::ROOT], std::collections::BTreeSet::new());
    while let Some(ino) = left.pop().filter(|ino| seen.insert(*ino)) {
        let Ok(inode) = tree.inode(ino) else { continue };
        let _ = (tree.xattrs(&inode), tree.target(&inode), tree.parent(&inode), inode.meta());
        if let Ok(content) = tree.content(&inode) {
            let _ = io::copy(&mut io::Read::take(content, 1 << 20), &mut io::sink());
        }
        left.extend(tree.names(&inode).unwrap_or_default().into_iter().map(|name| name.ino));
    }
}
