//! Signatures as the programs make them that are there for it.

use super::{Signature, any, called};

/// Half of a mirror, made and stopped again, for each version of its superblock.
macro_rules! mirror {
    ($version:literal) => {
        concat!(
            "m mdadm -q -C /dev/md9 -e ",
            $version,
            " -l 1 -n 2 --run $d missing; m mdadm -q -S /dev/md9"
        )
    };
}

pub(super) const FILE_SYSTEMS: &[Signature] = &[
    called("ext2", "ext", "mke2fs -q -t ext2 $d"),
    called("ext3", "ext", "mke2fs -q -t ext3 $d 100M"),
    called("ext4", "ext", "mke2fs -q -t ext4 $d"),
    any("ext4dev", "mke2fs -q -t ext4 -E test_fs $d"),
    any("jbd", "mke2fs -q -O journal_dev $d 100M"),
    called("xfs", "XFS", "mkfs.xfs -q $d"),
    any("exfs", "mkfs.xfs -q $d; at 0 EXFS"),
    // An XFS whose log is elsewhere: this is the log.
    any(
        "xfs_external_log",
        "truncate -s 300M /tmp/xfs; mkfs.xfs -q -f -l logdev=$d,size=64m /tmp/xfs",
    ),
    called("btrfs", "btrfs", "m mkfs.btrfs -q $d"),
    called("vfat", "vfat", "m mkfs.vfat $d"),
    called("vfat", "vfat", "m mkfs.vfat -F 12 $d 20000"),
    called("ntfs", "NTFS", "m mkntfs -q -F -Q $d 100000"),
    called("exfat", "exFAT", "m mkfs.exfat $d"),
    any("f2fs", "m mkfs.f2fs -q $d"),
    any("jfs", "m mkfs.jfs -q -s 1 $d 20000"),
    any("nilfs2", "m mkfs.nilfs2 -q -K $d"),
    any("reiserfs", "m mkreiserfs -q -ff -s 513 $d"),
    any("reiser4", "m mkfs.reiser4 -f -y $d"),
    any("udf", "m mkudffs $d"),
    any("gfs2", "m mkfs.gfs2 -q -O -K -p lock_nolock -j 1 -J 8 $d"),
    any("ocfs2", "m mkfs.ocfs2 -F -q -M local -N 1 -J size=4M $d 20000"),
    any("minix", "mkfs.minix $d"),
    any("minix", "mkfs.minix -3 $d"),
    any("bfs", "mkfs.bfs $d 20000"),
    // wipefs does not see the second version: it reckons its checksum otherwise than the maker.
    any("cramfs", r"mkfs.cramfs /etc/lvm /tmp/image; cat /tmp/image >$d; at 8 '\002'"),
    any("squashfs", "m mksquashfs /etc $d -noappend -quiet"),
    any("erofs", "m mkfs.erofs /tmp/image /etc; cat /makers/tmp/image >$d"),
    any("romfs", "m genromfs -f $d -d /etc"),
    any("iso9660", "m xorrisofs -quiet -o /tmp/image /etc; cat /makers/tmp/image >$d"),
    any(
        "ubifs",
        "m mkfs.ubifs -m 2048 -e 129024 -c 100 -o /tmp/image -r /etc; cat /makers/tmp/image >$d",
    ),
];

pub(super) const STORAGE: &[Signature] = &[
    called("swap", "swap", "mkswap -q $d"),
    called("swap", "swap", "mkswap -q -p 65536 $d"),
    called("LVM2_member", "LVM", "pvcreate -q $d"),
    called("LVM2_member", "LVM", "pvcreate -q --labelsector 3 $d"),
    called("LVM2_member", "LVM", "vgcreate -q other $d"),
    called(
        "crypto_LUKS",
        "LUKS",
        "echo x | m cryptsetup -q --pbkdf-force-iterations 1000 --type luks1 luksFormat $d",
    ),
    called(
        "crypto_LUKS",
        "LUKS",
        "echo x | m cryptsetup -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 luksFormat $d",
    ),
    // Only the second header is left, as far in as it may be.
    called(
        "crypto_LUKS",
        "LUKS",
        "echo x | m cryptsetup -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
            --luks2-metadata-size 4m luksFormat $d; dd if=/dev/zero of=$d bs=1M count=3",
    ),
    called("linux_raid_member", "RAID", mirror!("0.90")),
    called("linux_raid_member", "RAID", mirror!("1.0")),
    called("linux_raid_member", "RAID", mirror!("1.1")),
    called("linux_raid_member", "RAID", mirror!("1.2")),
    any("ddf_raid_member", RAID_DDF),
    any("isw_raid_member", RAID_IMSM),
    any("bcache", "m make-bcache -B $d"),
    any("bcache", "m make-bcache -C $d"),
    any("drbd", "m drbdmeta --force 0 v08 $d internal create-md"),
    any("DM_snapshot_cow", "at 0 SnAp"),
    called("gpt", "GPT", "echo 'label: gpt' | sfdisk -q $d"),
    // Only the second copy is left.
    called("gpt", "GPT", "echo 'label: gpt' | sfdisk -q $d; dd if=/dev/zero of=$d bs=512 count=34"),
    any("PMBR", "echo 'label: gpt' | sfdisk -q $d; blkdiscard -f -o 512 $d; at 446 '\\0'"),
    called("dos", "boot sector", "echo 'label: dos' | sfdisk -q $d"),
    any("sun", "echo 'label: sun' | sfdisk -q $d"),
    any("sgi", "echo 'label: sgi' | sfdisk -q $d"),
];

const RAID_DDF: &str = r"at -512 '\336\021\336\021'; at -480 01.00.00";
const RAID_IMSM: &str = "at -1024 'Intel Raid ISM Cfg Sig. 1.1.00'";
