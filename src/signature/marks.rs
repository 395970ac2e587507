//! Everything that is known by a mark near the start.

use super::{Ends, raid};

/// A mark: its byte, its bytes, and what has it.
type Mark = (u64, &'static [u8], &'static str);

/// Marks that are long enough to be sure of.
const SURE: &[Mark] = &[
    (0, b"LUKS\xba\xbe", "a LUKS volume"),
    (3, b"-FVE-FS-", "a BitLocker volume"),
    (0, b"XFSB", "an XFS file system"),
    (0x1_0040, b"_BHRfS_M", "a btrfs file system"),
    (3, b"NTFS    ", "an NTFS file system"),
    (3, b"EXFAT   ", "an exFAT file system"),
    (82, b"FAT32   ", "a vfat file system"),
    (54, b"FAT16   ", "a vfat file system"),
    (54, b"FAT12   ", "a vfat file system"),
    (54, b"FAT     ", "a vfat file system"),
    (0, b"hsqs", "a squashfs file system"),
    (0, b"sqsh", "a squashfs file system"),
    (4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "a bcache device"),
    (
        4120,
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
        "a bcachefs file system",
    ),
    (1024, b"\x10\x20\xf5\xf2", "an f2fs file system"),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS file system"),
    (0x1_0034, b"ReIsErFs", "a ReiserFS file system"),
    (0x1_0034, b"ReIsEr2Fs", "a ReiserFS file system"),
    (0x1_0034, b"ReIsEr3Fs", "a ReiserFS file system"),
    (0x2034, b"ReIsErFs", "a ReiserFS file system"),
    (0x1_0000, b"ReIsEr4", "a Reiser4 file system"),
    (0x8000, b"JFS1", "a JFS file system"),
    (0, b"-rom1fs-", "a romfs file system"),
    (0, b"\x45\x3d\xcd\x28", "a cramfs file system"),
    (0, b"\x28\xcd\x3d\x45", "a cramfs file system"),
    (512, b"\x45\x3d\xcd\x28", "a cramfs file system"),
    (0x1_0000, b"\x01\x16\x19\x70", "a GFS2 file system"),
    (1024, b"OCFSV2", "an OCFS2 file system"),
    (2048, b"OCFSV2", "an OCFS2 file system"),
    (4096, b"OCFSV2", "an OCFS2 file system"),
    (8192, b"OCFSV2", "an OCFS2 file system"),
    (32, b"NXSB", "an APFS container"),
    (544, b"BFS1", "a BeFS file system"),
    (544, b"1SFB", "a BeFS file system"),
    (9564, b"\x54\x19\x01\x00", "a UFS file system"),
    (66908, b"\x19\x01\x54\x19", "a UFS file system"),
    (0, b"\x31\x18\x10\x06", "a UBIFS file system"),
    (0, b"UBI#", "a UBI device"),
    (0, b"bluestore block device", "a Ceph BlueStore device"),
    (516, b"!Stra0tis\x86\xff\x02^\x41rh", "a Stratis device"),
    (0, b"dmvdo001", "a VDO volume"),
    (0, b"SnAp", "a snapshot's store of exceptions"),
    (0, b"verity\0\0", "a dm-verity hash device"),
    (0, b"integrt\0", "a dm-integrity volume"),
    (32, b"\xca\x4e\x9b\x01\0\0\0\0", "a thin pool's metadata"),
    (0, b"QFI\xfb", "a qcow2 image"),
    (0x8009, b"CDROM", "a High Sierra file system"),
    (512, b"\x57\x45\x56\x82", "a BSD disk label"),
    (0, b"\x0b\xe5\xa9\x41", "an SGI disk label"),
    (2 << 20, b"\x5e\xf1\xab\x2f", "a VMFS file system"),
    (1 << 20, b"\x0d\xd0\x01\xc0", "a member of a VMFS"),
];

/// Marks so short that other formats' numbers may look like them: looked for last.
const SHORT: &[Mark] = &[
    (508, b"\xda\xbe", "a Sun disk label"),
    (1030, b"\x34\x34", "a NILFS2 file system"),
    (1024, b"H+", "an HFS+ file system"),
    (1024, b"HX", "an HFS+ file system"),
    (1024, b"BD", "an HFS file system"),
    (1040, b"\x7f\x13", "a minix file system"),
    (1040, b"\x8f\x13", "a minix file system"),
    (1040, b"\x68\x24", "a minix file system"),
    (1040, b"\x78\x24", "a minix file system"),
    (1048, b"\x5a\x4d", "a minix file system"),
    (512, b"PM", "an Apple partition map"),
    (0, b"HM\x01\0", "an LVM1 physical volume"),
    (0, b"HM\x02\0", "an LVM1 physical volume"),
];

/// What stands at the start, if it is known.
pub(super) fn name(ends: &Ends) -> Option<&'static str> {
    lvm2(ends)
        .or_else(|| gpt(ends))
        .or_else(|| luks2(ends))
        .or_else(|| first(ends, SURE))
        .or_else(|| ext(ends))
        .or_else(|| swap(ends))
        .or_else(|| optical(ends))
        .or_else(|| first(ends, SHORT))
        .or_else(|| raid::perhaps(ends))
        .or_else(|| boot_sector(ends))
}

fn first(ends: &Ends, marks: &[Mark]) -> Option<&'static str> {
    marks.iter().find(|(at, mark, _)| ends.has(*at, mark)).map(|(_, _, name)| *name)
}

/// A label in one of the first four sectors.
fn lvm2(ends: &Ends) -> Option<&'static str> {
    let label = |at: u64| ends.has(at, b"LABELONE") && ends.has(at.saturating_add(24), b"LVM2 001");
    [0, 512, 1024, 1536].into_iter().any(label).then_some("an LVM2 physical volume")
}

/// The table of sectors of 512 or 4096 bytes, or the copy of it at the end.
fn gpt(ends: &Ends) -> Option<&'static str> {
    let mark = b"EFI PART";
    let found = |sector: u64| ends.has(sector, mark) || ends.ends_with(sector, mark);
    [512, 4096].into_iter().any(found).then_some("a GPT partition table")
}

/// The second header of LUKS2, which follows the first, whose size is a power of two.
fn luks2(ends: &Ends) -> Option<&'static str> {
    let found = (14..=22).any(|power| ends.has(1 << power, b"SKUL\xba\xbe"));
    found.then_some("a LUKS volume")
}

/// ext2, ext3 and ext4 differ by their features (`ext4.h`).
fn ext(ends: &Ends) -> Option<&'static str> {
    /// `EXT4_FEATURE_INCOMPAT_JOURNAL_DEV`.
    const JOURNAL_DEV: u32 = 0x8;
    /// `EXT4_FEATURE_COMPAT_HAS_JOURNAL`.
    const HAS_JOURNAL: u32 = 0x4;
    if !ends.has(0x438, b"\x53\xef") {
        return None;
    }
    let (compat, incompat, ro_compat) = (ends.le32(0x45c), ends.le32(0x460), ends.le32(0x464));
    // What ext3 knows: filetype, recover, meta_bg; sparse_super, large_file, btree_dir.
    let newer = incompat & !0x16 != 0 || ro_compat & !0x7 != 0;
    Some(match (incompat & JOURNAL_DEV != 0, newer, compat & HAS_JOURNAL != 0) {
        (true, ..) => "an ext4 journal device",
        (false, true, _) => "an ext4 file system",
        (false, false, true) => "an ext3 file system",
        (false, false, false) => "an ext2 file system",
    })
}

/// Swap has its mark at the end of its first page, of the size of the machine that made it.
fn swap(ends: &Ends) -> Option<&'static str> {
    let pages = [4096_u64, 8192, 16384, 32768, 65536];
    let has = |mark: &[u8]| pages.iter().any(|page| ends.has(page.saturating_sub(10), mark));
    let asleep: [&[u8]; 4] = [b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001"];
    if has(b"SWAPSPACE2") || has(b"SWAP-SPACE") {
        return Some("a swap area");
    }
    asleep.into_iter().any(has).then_some("a suspended machine's memory")
}

/// ISO 9660 and UDF share a sequence of descriptors from byte 32768 on.
fn optical(ends: &Ends) -> Option<&'static str> {
    let has = |mark: &[u8]| {
        (0..64_u64).any(|block| ends.has(block.saturating_mul(2048).saturating_add(0x8001), mark))
    };
    if has(b"NSR02") || has(b"NSR03") {
        return Some("a UDF file system");
    }
    has(b"CD001").then_some("an ISO 9660 file system")
}

/// A boot sector is a partition table where one of its entries has a sort and a start.
fn boot_sector(ends: &Ends) -> Option<&'static str> {
    if !ends.has(510, b"\x55\xaa") {
        return None;
    }
    let entry = |at: u64| {
        let flag = ends.at(at, 1).is_some_and(|flag| matches!(flag, [0 | 0x80]));
        let sort = ends.at(at.saturating_add(4), 1).is_some_and(|sort| sort != [0]);
        flag && sort && ends.le32(at.saturating_add(8)) != 0
    };
    let table = [446, 462, 478, 494].into_iter().any(entry);
    Some(if table { "an MBR partition table" } else { "a boot sector" })
}
