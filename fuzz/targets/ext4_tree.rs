//! The folders and files of an ext4: whatever its metadata says, reading all of it comes to an end, and
//! so does comparing two by their blocks, and what is written into one.

#![no_main]

use std::collections::BTreeSet;
use std::io::{self, Read};

use imgbase::diff::{Diff, Trust};
use imgbase::ext4::{FsUuid, Ino, Pair, Tree, mark_replayed, rewrite, seal_for_layers, set_uuid};
use imgbase::tree::Kind;
use imgbase::units::Bytes;
use imgbase_fuzz::{PIECE, Scattered, bounded, crc32c, crc32c_on, field, put_u32};
use libfuzzer_sys::fuzz_target;

/// So many folders are looked into, and so much of a file is read.
const FOLDERS: usize = 200;
const CONTENT: u64 = 1 << 18;
/// So many changes are told.
const CHANGES: usize = 500;

fuzz_target!(|input: &[u8]| {
    let Some(mut disk) = Scattered::of(input) else { return };
    let mut other = disk.clone();
    // Numbered so, it is a piece of the second file system alone.
    disk.pieces.retain(|number, _| number & HIS == 0);
    let his = std::mem::take(&mut other.pieces).into_iter();
    other.pieces = his.map(|(number, piece)| (number & !HIS, piece)).collect();
    mend(&mut disk);
    mend(&mut other);
    match input.first() {
        Some(first) if first & 3 == 1 => bounded(input, || compare(&disk, &other)),
        Some(first) if first & 3 == 2 => bounded(input, || write(&disk)),
        _ => bounded(input, || walk(&disk)),
    }
});

/// The bit of such numbers.
const HIS: u64 = 1 << 15;

fn walk(disk: &Scattered) {
    let Ok(tree) = Tree::open(disk) else { return };
    let (mut left, mut seen) = (vec![Ino::ROOT], BTreeSet::new());
    while let Some(ino) = left.pop() {
        if seen.len() >= FOLDERS || !seen.insert(ino) {
            continue;
        }
        look(&tree, ino, &mut left);
    }
    for path in ["/link", "/folder/up/file", "/folder/../../a/b", "many/name 7"] {
        let _ = tree.read_file(path, Bytes::new(CONTENT));
    }
}

/// What differs, where the pieces do.
fn compare(a: &Scattered, b: &Scattered) {
    let changed =
        a.pieces.keys().chain(b.pieces.keys()).filter(|&n| a.copy(*n, 1) != b.copy(*n, 1));
    let changed: Vec<_> = changed
        .map(|number| {
            let byte = |number: u64| Bytes::new(number << 10);
            byte(*number)..byte(*number + 1)
        })
        .collect();
    let (Ok(a), Ok(b)) = (Tree::open(a), Tree::open(b)) else { return };
    let Ok(Ok(pair)) = Pair::new(&a, &b, changed) else { return };
    let Ok((a, b)) = pair.roots() else { return };
    for change in Diff::new(a, b, Trust::SameInode).take(CHANGES) {
        let _ = change.map(|change| change.to_string());
    }
}

/// What layers have written into them.
fn write(disk: &Scattered) {
    let _ = (mark_replayed(disk), seal_for_layers(disk));
    let _ = set_uuid(disk, FsUuid::new([7; 16]));
    let Ok(tree) = Tree::open(disk) else { return };
    for path in ["/link", "/folder/up/file", "/many/name 7"] {
        let _ = rewrite(&tree, path, &[7; 5000], (1, 2));
    }
}

fn look(tree: &Tree<'_>, ino: Ino, left: &mut Vec<Ino>) {
    let Ok(folder) = tree.inode(ino) else { return };
    let _ = (tree.parent(&folder), tree.xattrs(&folder));
    for name in tree.names(&folder).unwrap_or_default() {
        assert!(!name.name.is_empty() && !name.name.contains(&b'/') && !name.name.contains(&0));
        let Ok(inode) = tree.inode(name.ino) else { continue };
        let (_, meta) = (tree.xattrs(&inode), inode.meta());
        match meta.kind {
            Kind::Folder => left.push(name.ino),
            Kind::Link => {
                let target = tree.target(&inode).unwrap_or_default();
                assert!(target.is_empty() || target.len() as u64 == meta.size.get());
            }
            _ => {
                let Ok(content) = tree.content(&inode) else { continue };
                let read = io::copy(&mut content.take(CONTENT), &mut io::sink());
                assert!(read.is_err() || read.ok() == Some(meta.size.get().min(CONTENT)));
            }
        }
    }
}

/// Makes the checksums of metadata_csum hold, as far as the metadata can be found: else hardly an
/// input would get past them.
fn mend(disk: &mut Scattered) {
    let mut sb = disk.copy(1, 1);
    if field(&sb, 0x38) != Some([0x53, 0xEF]) {
        return;
    }
    let le = |bytes: &[u8], at| field(bytes, at).map_or(0, u32::from_le_bytes);
    let sum = crc32c(&sb[..1020]);
    put_u32(&mut sb, 1020, sum);
    disk.put(1, &sb);
    // Blocks of 1 to 4 KiB; what is larger is left to chance.
    if le(&sb, 0x64) & 0x400 == 0 || le(&sb, 0x18) > 2 {
        return;
    }
    let per_block = 1u64 << le(&sb, 0x18);
    let sb_seed =
        if le(&sb, 0x60) & 0x2000 != 0 { le(&sb, 0x270) } else { crc32c(&sb[0x68..0x78]) };
    let desc_size = if le(&sb, 0x60) & 0x80 == 0 { 32 } else { 64 };
    let desc_block = if per_block == 1 { 2 } else { 1 };
    let mut descs = disk.copy(desc_block * per_block, per_block);
    let desc = &mut descs[..desc_size];
    desc[0x1E..0x20].fill(0);
    let sum = crc32c_on(crc32c_on(sb_seed, &[0; 4]), desc);
    desc[0x1E..0x20].copy_from_slice(&sum.to_le_bytes()[..2]);
    let table = u64::from(le(desc, 8));
    disk.put(desc_block * per_block, &descs);
    // Other sizes are for the reader to refuse.
    let size = usize::from(field(&sb, 0x58).map_or(0, u16::from_le_bytes));
    if !(size.is_power_of_two() && (128..=1024).contains(&size)) {
        return;
    }
    let inodes = (le(&sb, 0x28) as usize).min(64);
    let pieces = (inodes * size).div_ceil(PIECE) as u64;
    let mut bytes = disk.copy(table * per_block, pieces);
    for (ino, inode) in (1u32..).zip(bytes.chunks_exact_mut(size)) {
        let seed = crc32c_on(crc32c_on(sb_seed, &ino.to_le_bytes()), &inode[0x64..0x68]);
        mend_inode(inode, seed);
        mend_node(disk, seed, (&inode[0x28..0x64], per_block), 2);
        mend_attributes(disk, sb_seed, inode, per_block);
    }
    disk.put(table * per_block, &bytes);
}

fn mend_inode(inode: &mut [u8], seed: u32) {
    let wide = inode.len() > 128 && field(inode, 0x80).map_or(0, u16::from_le_bytes) >= 4;
    inode[0x7C..0x7E].fill(0);
    if wide {
        inode[0x82..0x84].fill(0);
    }
    let sum = crc32c_on(seed, inode).to_le_bytes();
    inode[0x7C..0x7E].copy_from_slice(&sum[..2]);
    if wide {
        inode[0x82..0x84].copy_from_slice(&sum[2..]);
    }
}

/// What a node of extents leads to: nodes, and blocks that may be a folder's.
fn mend_node(disk: &mut Scattered, seed: u32, (node, per_block): (&[u8], u64), depth: u32) {
    let number = |at| field(node, at).map_or(0, u16::from_le_bytes);
    if number(0) != 0xF30A {
        return;
    }
    for entry in node[12..].chunks_exact(12).take(usize::from(number(2)).min(4)) {
        let at = if number(6) == 0 { 8 } else { 4 };
        let block = u64::from(field(entry, at).map_or(0, u32::from_le_bytes));
        let mut bytes = disk.copy(block * per_block, per_block);
        let len = bytes.len();
        let covered = if number(6) == 0 {
            len - 12
        } else if depth > 0 {
            mend_node(disk, seed, (&bytes.clone(), per_block), depth - 1);
            12 + 12 * usize::from(field(&bytes, 4).map_or(0, u16::from_le_bytes))
        } else {
            continue;
        };
        // A folder's block says itself that it has a checksum.
        let is_folder = bytes[len - 12..len - 4] == [0, 0, 0, 0, 12, 0, 0, 0xDE];
        if (number(6) == 0 && is_folder) || (number(6) > 0 && covered + 4 <= len) {
            let sum = crc32c_on(seed, &bytes[..covered]);
            let at = if number(6) == 0 { len - 4 } else { covered };
            put_u32(&mut bytes, at, sum);
            disk.put(block * per_block, &bytes);
        }
    }
}

fn mend_attributes(disk: &mut Scattered, seed: u32, inode: &[u8], per_block: u64) {
    let block = u64::from(field(inode, 0x68).map_or(0, u32::from_le_bytes));
    if block == 0 {
        return;
    }
    let mut bytes = disk.copy(block * per_block, per_block);
    put_u32(&mut bytes, 16, 0);
    let sum = crc32c_on(crc32c_on(seed, &block.to_le_bytes()), &bytes);
    put_u32(&mut bytes, 16, sum);
    disk.put(block * per_block, &bytes);
}
