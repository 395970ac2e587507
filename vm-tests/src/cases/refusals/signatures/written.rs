//! Signatures written byte by byte, at the places that their formats give them.

use super::{Signature, any};

pub(super) const FILE_SYSTEMS: &[Signature] = &[
    any("ufs", r"at 9564 '\124\031\001\0'"),
    any("hpfs", r"at 8192 '\111\350\225\371'; at 8704 '\111\030\221\371'"),
    any("sysv", r"at 1016 '\040\176\030\375'"),
    any("xenix", r"at 2048 '\104\125\053'"),
    any("ReFS", r"at 3 'ReFS'"),
    any("gfs", r"at 65536 '\001\026\031\160'; at 65560 '\0\0\005\035\0\0\005\171'"),
    any("ocfs", "at 8192 OracleCFS"),
    any("oracleasm", "at 32 ORCLDISK"),
    any("vxfs", r"at 1024 '\365\374\001\245'"),
    any("squashfs3", "at 0 sqsh"),
    any("nss", "at 4096 SPB5"),
    any("VMFS", r"at 2097152 '\136\361\253\057'"),
    any("mpool", "at 0 mpoolDev"),
    any("apfs", r"at 24 '\001\0\0\0\0\0\0\0NXSB\0\020\0\0'"),
    any("zonefs", "at 0 SFOZ"),
    any("hfs", r"at 1024 BD; at 1044 '\0\0\002\0'"),
    any("hfsplus", r"at 1024 'H+\0\004'; at 1064 '\0\0\020\0'"),
    any("zfs_member", ZFS),
    any("zfs_member", ZFS_AT_THE_END),
    any("befs", BEFS),
    any("swsuspend", "at 4086 S1SUSPEND"),
    any("swsuspend", "at 65526 ULSUSPEND"),
    any("BitLocker", r"at 0 '\353\122\220-FVE-FS-'"),
    any("BitLocker", r"at 0 '\353\130\220-FVE-FS-'; at 176 '\0\020'; at 4096 -FVE-FS-"),
];

/// Four uberblocks of a label, the least that count.
const ZFS: &str = r"for n in 128 129 130 131; do at $((n * 1024)) '\014\261\272\0'; done";
const ZFS_AT_THE_END: &str =
    r"for n in 128 129 130 131; do at $((n * 1024 - 524288)) '\014\261\272\0'; done";

/// A superblock with its three magics, and the root folder's inode.
const BEFS: &str = r"at 544 '1SFBEGIB\0\004\0\0\012'; at 580 '\061\020\022\335'; \
    at 624 '\016\203\266\025'; at 632 '\001\0\001'; at 1024 '\331\012\276\073'";

pub(super) const STORAGE: &[Signature] = &[
    any("lsi_mega_raid_member", "at -512 '$XIDE$'"),
    any("via_raid_member", r"at -512 '\125\252\001'; at -462 '\0'"),
    any("silicon_medley_raid_member", r"at -416 '\0\0\0\057'"),
    any("nvidia_raid_member", r"at -1024 'NVIDIA  \036'"),
    any("promise_fasttrack_raid_member", "at -32256 'Promise Technology, Inc.'"),
    any("hpt45x_raid_member", r"at -5632 '\363\026\170\132'"),
    any("hpt37x_raid_member", r"at 4640 '\360\026\170\132'"),
    any("adaptec_raid_member", r"at -512 '\067\374\115\036'; at -256 DPTM"),
    any("jmicron_raid_member", "at -512 JM"),
    any("ceph_bluestore", "at 0 'bluestore block device'"),
    any("drbdmanage_control_volume", r"at 0 '$DRBDmgr=q\n0123456789abcdef0123456789abcdef\n'"),
    any("drbdproxy_datalog", "at 0 'DRBDdlh*'"),
    any("LVM1_member", r"at 0 'HM\001'"),
    any("DM_verity_hash", r"at 0 'verity\0\0\001'"),
    any("DM_integrity", r"at 0 'integrt\0\001'"),
    any("VMFS_volume_member", r"at 1048576 '\015\320\001\300'"),
    any("ubi", r"at 0 'UBI#\001'"),
    any("vdo", "at 0 dmvdo001"),
    any("stratis", STRATIS),
    any("aix", r"at 0 '\311\302\324\301'"),
    any("mac", r"at 0 'ER\002\0'; at 512 PM"),
    any("ultrix", r"at 16312 '\127\051\003\0\001'"),
    any("atari", r"at 450 '\0\0\100\0\001GEM\0\0\0\002\0\0\0\100'"),
];

/// The magic and its sector's checksum.
const STRATIS: &str = r"at 512 '\147\041\156\317!Stra0tis\206\377\002^Arh'";
