use std::path::Path;
use std::process::Command;

use super::*;
use crate::dev::MemDev;

const MIB: usize = 1 << 20;

/// The name of a device of `size` bytes with these marks.
fn named(size: usize, marks: &[(usize, &[u8])]) -> Option<String> {
    let mut data = vec![0; size];
    for (at, mark) in marks {
        data[*at..at + mark.len()].copy_from_slice(mark);
    }
    recognise(&MemDev::new("mem", data)).expect("memory can be read")
}

/// What a program makes of an empty file of 320 MiB, or `None` where there is no such program.
fn made_by(program: &str, args: &[&str]) -> Option<String> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("image");
    let file = std::fs::File::create(&path).expect("a file");
    file.set_len(320 << 20).expect("a sparse file");
    let program = ["/usr/sbin", "/sbin", "/usr/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.exists())?;
    let output = Command::new(program).args(args).arg(&path).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let data = std::fs::read(&path).expect("readable");
    recognise(&MemDev::new("image", data)).expect("memory can be read")
}

#[test]
fn only_zeros_are_empty() {
    assert_eq!(named(0, &[]), None);
    assert_eq!(named(3, &[]), None);
    assert_eq!(named(4 * MIB, &[]), None);
    for size in [1, 511, MIB, 3 * MIB] {
        assert_eq!(named(size, &[(size - 1, b"x")]).as_deref(), Some("unknown data"));
        assert_eq!(named(size, &[(0, b"x")]).as_deref(), Some("unknown data"));
    }
}

#[test]
fn marks_are_found_at_both_ends() {
    type Mark<'a> = (usize, &'a [u8]);
    let cases: &[(&str, &[Mark<'_>])] = &[
        ("an LVM2 physical volume", &[(512, b"LABELONE"), (536, b"LVM2 001")]),
        ("a GPT partition table", &[(512, b"EFI PART")]),
        ("a GPT partition table", &[(4 * MIB - 512, b"EFI PART")]),
        ("a member of an md RAID (metadata 1.2)", &[(4096, b"\xfc\x4e\x2b\xa9")]),
        ("a member of an md RAID (metadata 1.1)", &[(0, b"\xfc\x4e\x2b\xa9")]),
        ("a member of an md RAID (metadata 1.0)", &[(4 * MIB - 8192, b"\xfc\x4e\x2b\xa9")]),
        ("a member of an md RAID (metadata 0.90)", &[(4 * MIB - 65536, b"\xfc\x4e\x2b\xa9")]),
        ("a member of a ZFS pool", &[(4 * MIB - 65536, b"\x0c\xb1\xba\0\0\0\0\0")]),
        ("a DRBD device", &[(4 * MIB - 4096 + 60, b"\x83\x74\x02\x6d")]),
        ("a member of a DDF RAID", &[(4 * MIB - 512, b"\xde\x11\xde\x11")]),
        ("a member of an Intel RAID", &[(4 * MIB - 1024, b"Intel Raid ISM Cfg Sig. 1.3")]),
        ("a LUKS volume", &[(0, b"LUKS\xba\xbe\0\x02")]),
        ("a LUKS volume", &[(0x4000, b"SKUL\xba\xbe")]),
        ("a LUKS volume", &[(2 * MIB, b"SKUL\xba\xbe")]),
        ("a VMFS file system", &[(2 * MIB, b"\x5e\xf1\xab\x2f")]),
        ("a btrfs file system", &[(0x10040, b"_BHRfS_M")]),
        ("an ISO 9660 file system", &[(0x8001, b"CD001")]),
        ("a UDF file system", &[(0x8001, b"BEA01"), (0x8801, b"NSR02")]),
        ("an MBR partition table", &[(450, b"\x83\0\0\0\0\x08\0\0"), (510, b"\x55\xaa")]),
        ("a boot sector", &[(510, b"\x55\xaa")]),
    ];
    for (name, marks) in cases {
        assert_eq!(named(4 * MIB, marks).as_deref(), Some(*name));
    }
}

#[test]
fn a_short_mark_does_not_hide_a_longer_one() {
    // Of an ext4, these are a count of free inodes, the end of a boot loader and of a file.
    let extents = (0x460, b"\x42".as_slice());
    for other in
        [(1040, b"\x7f\x13".as_slice()), (508, b"\xda\xbe\x55\xaa"), (4 * MIB - 416, b"\0\0\0\x2f")]
    {
        let found = named(4 * MIB, &[(0x438, b"\x53\xef"), extents, other]);
        assert_eq!(found.as_deref(), Some("an ext4 file system"));
        assert_ne!(named(4 * MIB, &[other]).as_deref(), Some("unknown data"));
    }
}

#[test]
fn file_systems_by_their_own_programs_are_named() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("mke2fs", &["-q", "-F", "-t", "ext4"], "an ext4 file system"),
        ("mke2fs", &["-q", "-F", "-t", "ext3"], "an ext3 file system"),
        ("mke2fs", &["-q", "-F", "-t", "ext2"], "an ext2 file system"),
        ("mkfs.xfs", &["-q"], "an XFS file system"),
        ("mkswap", &[], "a swap area"),
        ("mkfs.vfat", &[], "a vfat file system"),
        ("mkfs.btrfs", &["-q"], "a btrfs file system"),
        ("mkfs.minix", &[], "a minix file system"),
    ];
    for (program, args, name) in cases {
        if let Some(found) = made_by(program, args) {
            assert_eq!(found, *name, "{program}");
        }
    }
}
