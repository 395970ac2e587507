//! The guest's root file system: a minimal Debian with the judges, and no service at all.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::setup::kernel::Kernel;
use crate::setup::shell::{path, script};
use crate::setup::{SUITE, once};

/// The last two lines are what partitions a disk and puts a loader there; bmap-tools, rsync,
/// squashfs-tools and zstd are what the benchmark measures against.
const INCLUDE: &str = "acl,attr,bmap-tools,diffutils,dmsetup,e2fsprogs,fdisk,kmod,libcap2-bin,lvm2,procps,\
    qemu-utils,rsync,squashfs-tools,strace,thin-provisioning-tools,udev,util-linux,xfsprogs,zstd,\
    dosfstools,grub-efi-amd64-bin,grub-emu,grub-pc-bin,grub2-common,mtools,systemd-boot,\
    systemd-boot-efi";

/// Makers of what else may be on a disk, what labels, packs and signs files, and a registry of images
/// with the keys that it needs. They are in a root of their own, `/makers`, unpacked but not installed:
/// nothing of theirs acts in the guest until a case calls it.
const MAKERS: &str = "bcache-tools,btrfs-progs,cryptsetup-bin,docker-registry,dosfstools,drbd-utils,\
    erofs-utils,exfatprogs,f2fs-tools,genromfs,gfs2-utils,iproute2,jfsutils,mdadm,minisign,mtd-utils,\
    nilfs-tools,ntfs-3g,ocfs2-tools,openssl,policycoreutils,reiser4progs,reiserfsprogs,squashfs-tools,udftools,xorriso,xz-utils,zstd";

/// The first process until the tools' disk is there, which holds the harness's own.
const INIT: &str = r#"#!/bin/sh
mount -t devtmpfs devtmpfs /dev 2>/dev/null
for name in tools:2 images:4 systems:5; do
    disk=/dev/nvme0n${name#*:} name=${name%:*}
    [ -b $disk ] && mount -t ext4 -o ro,noload $disk /$name
done
exec /tools/guest init "$1"
"#;

const BUILD: &str = r#"
suite=$1 include=$2 modules=$3 init=$4 makers=$5
mmdebstrap --quiet --variant=extract --include="$makers" "$suite" makers & extracted=$!
mmdebstrap --quiet --variant=minbase --include="$include" --dpkgopt=force-unsafe-io "$suite" root
mkdir -p root/lib/modules root/tools root/images root/systems
cp -a "$modules" root/lib/modules/
depmod -b root "$(basename "$modules")"
printf '%s' "$init" >root/harness-init
chmod 755 root/harness-init
wait $extracted
mv makers root/
ln -s ../proc/mounts root/makers/etc/mtab
mkdir -p root/makers/proc root/makers/run
for part in root root/makers; do
    rm -rf $part/var/cache/apt $part/var/lib/apt/lists $part/usr/share/doc $part/usr/share/locale
done
mke2fs -q -t ext4 -O ^has_journal -d root root.img 2G
rm -rf root
"#;

/// The image of it.
pub(super) fn guest_root(kernel: &Kernel) -> Result<PathBuf> {
    let modules = path(&kernel.modules);
    let args = [SUITE, INCLUDE, modules, INIT, MAKERS];
    let recipe = [&args[..], &[BUILD]].concat();
    let folder = once("guest", &recipe, |folder: &Path| script(folder, BUILD, &args).map(drop))?;
    Ok(folder.join("root.img"))
}
