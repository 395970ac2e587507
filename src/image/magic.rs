//! What bytes seem to be, for telling the user what was given in place of a file system.

/// How much of the front of an image is looked at.
pub(super) const HEAD: usize = 72 * 1024;

/// Offset, bytes there, name. The first that fits is told: what is more telling comes first.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, b"hsqs", "a squashfs file system"),
    (0, b"QFI\xFB", "a qcow2 disk image"),
    (0, b"\x1F\x8B", "compressed by gzip"),
    (0, b"\xFD7zXZ\0", "compressed by xz"),
    (0, b"\x28\xB5\x2F\xFD", "compressed by zstd"),
    (0, b"BZh", "compressed by bzip2"),
    (0, b"\x04\x22\x4D\x18", "compressed by lz4"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"KDMV", "a VMDK disk image"),
    (0, b"# Disk DescriptorFile", "a VMDK disk image"),
    (0, b"vhdxfile", "a VHDX disk image"),
    (0, b"conectix", "a VHD disk image"),
    (64, b"\x7F\x10\xDA\xBE", "a VDI disk image"),
    (0, b"\x3A\xFF\x26\xED", "an Android sparse image"),
    (0, b"070701", "a cpio archive"),
    (0, b"070702", "a cpio archive"),
    (0, b"\xED\xAB\xEE\xDB", "an RPM package"),
    (0, b"!<arch>\ndebian", "a Debian package"),
    (0, b"\x7FELF", "a program"),
    (257, b"ustar", "a tar archive"),
    (0, b"LUKS\xBA\xBE", "a LUKS encrypted volume"),
    (0, b"LABELONE", "an LVM2 physical volume"),
    (512, b"LABELONE", "an LVM2 physical volume"),
    (1024, b"LABELONE", "an LVM2 physical volume"),
    (1536, b"LABELONE", "an LVM2 physical volume"),
    (4086, b"SWAPSPACE2", "swap space"),
    (4086, b"SWAP-SPACE", "swap space"),
    (65526, b"SWAPSPACE2", "swap space"),
    (65600, b"_BHRfS_M", "a btrfs file system"),
    (1024, b"\xE2\xE1\xF5\xE0", "an erofs file system"),
    (1024, b"\x10\x20\xF5\xF2", "an F2FS file system"),
    (1030, b"\x34\x34", "a NILFS2 file system"),
    (32768, b"JFS1", "a JFS file system"),
    (65588, b"ReIsEr", "a ReiserFS file system"),
    (32769, b"CD001", "an ISO 9660 file system"),
    (32769, b"NSR0", "a UDF file system"),
    (3, b"NTFS    ", "an NTFS file system"),
    (3, b"EXFAT   ", "an exFAT file system"),
    (82, b"FAT32   ", "a FAT file system"),
    (54, b"FAT16   ", "a FAT file system"),
    (54, b"FAT12   ", "a FAT file system"),
    (512, b"EFI PART", "a disk with a GPT partition table"),
    (4096, b"EFI PART", "a disk with a GPT partition table"),
    (510, b"\x55\xAA", "a disk with an MBR partition table"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<!doctype", "a web page"),
    (0, b"<html", "a web page"),
];

/// Names what begins with these bytes (the first 72 KiB are enough, fewer are taken): `a squashfs
/// file system`; `None` where nothing is recognised.
pub fn seems_to_be(head: &[u8]) -> Option<&'static str> {
    if head.is_empty() {
        return Some("empty");
    }
    if crate::xfs::Superblock::recognises(head) {
        return Some("an XFS file system");
    }
    if crate::ext4::Superblock::recognises(head) {
        return Some("an ext4 file system");
    }
    let found = SIGNATURES
        .iter()
        .find(|(at, magic, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)));
    let zeros = || head.iter().all(|&byte| byte == 0).then_some("nothing but zeros");
    found.map(|(_, _, name)| *name).or_else(zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_is_found_and_none_hides_another() {
        for (at, magic, name) in SIGNATURES {
            let mut head = vec![0; HEAD];
            head[*at..*at + magic.len()].copy_from_slice(magic);
            assert_eq!(seems_to_be(&head), Some(*name));
            head.truncate(at + magic.len() - 1);
            assert_ne!(seems_to_be(&head), Some(*name), "cut short");
        }
        assert_eq!(seems_to_be(&[]), Some("empty"));
        assert_eq!(seems_to_be(&[0; 600]), Some("nothing but zeros"));
        assert_eq!(seems_to_be(b"some text"), None);
    }
}
