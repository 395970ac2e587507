//! Judged by the folder that mksquashfs has made an image from.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::dev::MemDev;
use crate::diff::Mounted;
use crate::ext4::testing::{run, temp_dir};
use crate::tree::{Folder, Kind, Meta};
use crate::units::Bytes;

/// Each packing that we read, in the smallest blocks, the usual ones and the largest; what is packed of it,
/// and whether ends of files share blocks.
const WAYS: [&str; 9] = [
    "-comp zstd -Xcompression-level 1",
    "-comp gzip",
    "-comp xz",
    "-comp zstd -b 4096 -nopad",
    "-comp gzip -b 1M -always-use-fragments",
    "-comp xz -b 16384 -Xbcj x86",
    "-comp zstd -noI -noD -noF -noX",
    "-comp gzip -noI -noF -no-fragments -no-duplicates",
    "-comp xz -b 4096 -noD -noId -no-tailends",
];

/// All sorts of entries, sizes around those of blocks, holes, attributes short, long and shared, more names
/// than there are in a run, and more inodes and ids than there are in a block of metadata.
fn fill(root: &Path) -> std::io::Result<()> {
    let many = root.join("many");
    fs::create_dir_all(root.join("deep/er/and/deeper/empty"))?;
    fs::create_dir(&many)?;
    for index in 0..1200 {
        fs::write(many.join(format!("a name that takes some room, {index}")), format!("{index}"))?;
    }
    let bytes =
        |size: u32| (0..size).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect::<Vec<_>>();
    for size in [0, 1, 4095, 4096, 4097, 70_000, 131_071, 131_072, 131_073, 1 << 20, 3_000_000] {
        fs::write(root.join(format!("deep/file-{size}")), bytes(size))?;
    }
    fs::write(root.join("deep/same-as-70000"), bytes(70_000))?;
    let holes = File::create(root.join("holes"))?;
    holes.write_all_at(b"in the middle", 2 << 20)?;
    holes.set_len((5 << 20) + 17)?;
    File::create(root.join("all-hole"))?.set_len(1 << 20)?;
    fs::hard_link(root.join("holes"), root.join("deep/holes-too"))?;
    fs::set_permissions(root.join("holes"), fs::Permissions::from_mode(0o4751))?;
    symlink("../deep", root.join("link"))?;
    symlink("t".repeat(3000), root.join("deep/long"))?;
    for (index, name) in ["deep/file-1", "deep/er", "many", "."].into_iter().enumerate() {
        let path = root.join(name);
        attribute(&path, "user.short", format!("{index}").as_bytes())?;
        attribute(&path, "user.long", &[7; 2000])?;
        attribute(&path, "user.none", b"")?;
        attribute(&path, "trusted.own", b"for root")?;
        attribute(&path, "security.label", b"as policies have")?;
    }
    attribute(&root.join("holes"), "user.short", b"0")?;
    Ok(())
}

fn attribute(path: &Path, name: &str, value: &[u8]) -> std::io::Result<()> {
    Ok(rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty())?)
}

/// What no folder has that is not root's: devices and so on, and owners.
const PSEUDO: &str = "
null c 666 0 0 1 3
big b 640 7 70000 259 70000
pipe i 600 1 2 f
socket i 755 3 4 s
owned d 1777 100000 4294967294
";

fn image_of(source: &Path, way: &str) -> Vec<u8> {
    let folder = temp_dir();
    let (image, pseudo) = (folder.path().join("image"), folder.path().join("pseudo"));
    fs::write(&pseudo, PSEUDO).expect("there is room");
    let (image, pseudo) = (image.display().to_string(), pseudo.display().to_string());
    let source = source.display().to_string();
    let fixed = [&source, &image, "-quiet", "-no-progress", "-noappend", "-pf", &pseudo];
    let args: Vec<_> = fixed.into_iter().chain(way.split(' ')).collect();
    let (code, text) = run("mksquashfs", &args);
    assert_eq!(code, Some(0), "{way}: {text}");
    fs::read(&image).expect("it was made")
}

fn open(image: Vec<u8>) -> std::io::Result<Option<Squashfs>> {
    Squashfs::open(Arc::new(MemDev::new("image", image)))
}

/// What is compared of an entry. Two file systems count bytes of folders and blocks of files in ways of their
/// own.
fn said(meta: &Meta) -> (Kind, u32, u32, u32, u64, (u32, u32), u64, i64) {
    let size = if meta.kind == Kind::Folder { 0 } else { meta.size.get() };
    (meta.kind, meta.mode, meta.uid, meta.gid, size, meta.rdev, meta.links, meta.mtime.0)
}

fn same(ours: &SquashFolder, source: &Mounted, at: &str, pseudo: &mut Vec<String>) -> usize {
    let (meta, judge) = (ours.own_meta().expect("read"), source.own_meta().expect("read"));
    let without_links = |meta: &Meta| said(&Meta { links: 1, ..meta.clone() });
    assert_eq!(without_links(&meta), without_links(&judge), "{at}");
    assert_eq!(ours.own_xattrs().expect("read"), source.own_xattrs().expect("read"), "{at}");
    let (names, mut judge) = (ours.names().expect("read"), source.names().expect("read"));
    judge.sort_unstable();
    assert!(names.is_sorted());
    let mut count = 0;
    for name in &names {
        let path = format!("{at}/{}", String::from_utf8_lossy(name));
        let meta = ours.meta(name).expect(&path);
        if judge.binary_search(name).is_err() {
            pseudo.push(format!("{path} {:?}", said(&meta)));
            continue;
        }
        count += 1;
        let there = source.meta(name).expect(&path);
        match meta.kind {
            Kind::Folder => {
                let (ours, source) = (ours.folder(name), source.folder(name));
                count += same(&ours.expect(&path), &source.expect(&path), &path, pseudo);
                continue;
            }
            Kind::File => {
                let (mut bytes, mut judge) = (Vec::new(), Vec::new());
                let (mut content, xattrs) = ours.file_and_xattrs(name).expect(&path);
                content.read_to_end(&mut bytes).expect(&path);
                source.file(name).expect(&path).read_to_end(&mut judge).expect(&path);
                assert!(bytes == judge, "{path}");
                assert_eq!(xattrs, source.xattrs(name).expect(&path), "{path}");
                // In pieces that are none of a block's.
                let mut pieces = ours.file(name).expect(&path);
                for part in judge.chunks(1000 + judge.len() / 7) {
                    let mut piece = vec![0; part.len()];
                    pieces.read_exact(&mut piece).expect(&path);
                    assert!(piece == part, "{path}");
                }
                assert_eq!(pieces.read(&mut [0]).expect(&path), 0, "{path}");
                assert!(meta.held <= meta.size, "{path}");
            }
            Kind::Link => {
                assert_eq!(ours.target(name).expect(&path), source.target(name).expect(&path));
            }
            _ => {}
        }
        assert_eq!(said(&meta), said(&there), "{path}");
        assert_eq!(ours.xattrs(name).expect(&path), source.xattrs(name).expect(&path), "{path}");
    }
    assert!(judge.iter().all(|name| names.contains(name)), "{at}");
    count
}

#[test]
fn a_tree_is_what_it_was_made_from() {
    let source = temp_dir();
    fill(source.path()).expect("there is room");
    for way in WAYS {
        let squashfs = open(image_of(source.path(), way)).expect(way).expect(way);
        let mut pseudo = Vec::new();
        let judge = Mounted::open(source.path()).expect("it is there");
        let root = squashfs.root().expect(way);
        assert!(same(&root, &judge, "", &mut pseudo) > 1220, "{way}");
        let links = |name: &[u8]| root.meta(name).expect(way).links;
        assert_eq!((links(b"holes"), links(b"all-hole")), (2, 1));
        assert!(root.meta(b"all-hole").expect(way).held < Bytes::kib(8), "{way}");
        let pseudo: Vec<_> =
            pseudo.iter().map(|line| line.rsplit_once(", ").map_or("", |(rest, _)| rest)).collect();
        assert_eq!(
            pseudo,
            [
                "/big (BlockDevice, 416, 7, 70000, 0, (259, 70000), 1",
                "/null (CharDevice, 438, 0, 0, 0, (1, 3), 1",
                "/owned (Folder, 1023, 100000, 4294967294, 0, (0, 0), 2",
                "/pipe (Pipe, 384, 1, 2, 0, (0, 0), 1",
                "/socket (Socket, 493, 3, 4, 0, (0, 0), 1",
            ],
            "{way}"
        );
        // A folder is entered once in a walk.
        root.folder(b"deep").map(drop).expect_err("it was entered");
        squashfs.root().expect(way).folder(b"deep").map(drop).expect("that is another walk");
    }
}

#[test]
fn what_only_the_kernel_reads_is_left_to_it() {
    let source = temp_dir();
    fs::write(source.path().join("file"), "x").expect("there is room");
    for way in ["-comp lzo", "-comp lz4"] {
        assert!(open(image_of(source.path(), way)).expect(way).is_none(), "{way}");
    }
    let mut old = image_of(source.path(), "-comp gzip");
    old[28] = 3;
    assert!(open(old).expect("another version").is_none());
}

/// Reads all of it, and stops at the first error.
fn walk(folder: &SquashFolder, left: &mut u32) -> std::io::Result<()> {
    for name in folder.names()? {
        *left = left.checked_sub(1).ok_or(std::io::ErrorKind::Other)?;
        match folder.meta(&name)?.kind {
            Kind::Folder => walk(&folder.folder(&name)?, left)?,
            Kind::File => {
                let (file, _) = folder.file_and_xattrs(&name)?;
                std::io::copy(&mut file.take(1 << 20), &mut std::io::sink())?;
            }
            _ => drop(folder.xattrs(&name)?),
        }
    }
    folder.own_xattrs().map(drop)
}

#[test]
fn damage_ends_in_an_error() {
    let source = temp_dir();
    let root = source.path();
    fs::create_dir_all(root.join("a/b")).expect("there is room");
    File::create(root.join("a/file")).and_then(|mut f| f.write_all(&[5; 9000])).expect("room");
    fs::write(root.join("a/b/short"), "short").expect("there is room");
    symlink("a/b", root.join("link")).expect("there is room");
    attribute(&root.join("a"), "user.name", &[1; 300]).expect("there is room");
    for way in [
        "-comp zstd -b 4096 -nopad -noI -noId -noX",
        "-comp gzip -b 4096 -nopad",
        "-comp xz -nopad",
    ] {
        let image = image_of(root, way);
        let read = |image: Vec<u8>| {
            open(image).map(|squashfs| squashfs.map_or(Ok(()), |s| walk(&s.root()?, &mut 10_000)))
        };
        read(image.clone()).expect(way).expect(way);
        let judge = |read: std::io::Result<std::io::Result<()>>| {
            let Err(error) = read.and_then(|walked| walked) else { return true };
            let kinds = [std::io::ErrorKind::InvalidData, std::io::ErrorKind::Unsupported];
            assert!(kinds.contains(&error.kind()), "{way}: {error:?}");
            false
        };
        let mut harmless = 0;
        for at in 0..image.len() {
            for bits in [0xff, 1, 0x80] {
                let mut damaged = image.clone();
                damaged[at] ^= bits;
                harmless += usize::from(judge(read(damaged)));
            }
            // Cut there, and said to be no longer; none of it is behind the tables but these.
            if at >= 96 && at % 7 == 0 {
                let mut cut = image[..at].to_vec();
                cut[40..48].copy_from_slice(&(at as u64).to_le_bytes());
                assert!(!judge(read(cut)), "{way}: cut at {at} of {}", image.len());
            }
        }
        // Times, owners and names may be others, and some tables are of no use to us.
        let all = image.len() * 3;
        assert!(harmless < all / 4 * 3, "{way}: {harmless} of {all}");
    }
}

/// A folder that is in itself.
#[test]
fn a_cycle_ends() {
    let source = temp_dir();
    fs::create_dir_all(source.path().join("aa/bb/cc")).expect("there is room");
    let image = image_of(source.path(), "-comp zstd -noI -noId -nopad");
    // The entry of `cc` gets the root's inode, of which that is in the superblock.
    let root_offset: [u8; 2] = image[32..34].try_into().expect("two bytes");
    let table = usize::from(u16::from_le_bytes([image[72], image[73]]));
    let name = image[table..].windows(2).position(|two| two == b"cc").expect("it is not packed");
    let mut cycle = image;
    cycle[table + name - 8..table + name - 6].copy_from_slice(&root_offset);
    let root = open(cycle).expect("good").expect("known").root().expect("it is whole");
    let cc = |root: &SquashFolder| root.folder(b"aa")?.folder(b"bb")?.folder(b"cc").map(drop);
    assert_eq!(cc(&root).expect_err("it was entered").kind(), std::io::ErrorKind::InvalidData);
}
