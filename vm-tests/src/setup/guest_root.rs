//! The guest's root file system: a minimal Debian with the judges, and no service at all.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::setup::kernel::Kernel;
use crate::setup::shell::{path, script};
use crate::setup::{SUITE, once};

const INCLUDE: &str = "acl,attr,diffutils,dmsetup,e2fsprogs,fdisk,kmod,libcap2-bin,lvm2,procps,\
    qemu-utils,strace,thin-provisioning-tools,udev,util-linux,xfsprogs";

/// The first process until the tools' disk is there, which holds the harness's own.
const INIT: &str = r#"#!/bin/sh
mount -t devtmpfs devtmpfs /dev 2>/dev/null
for name in tools images; do
    case $name in tools) disk=/dev/nvme0n2 ;; *) disk=/dev/nvme0n4 ;; esac
    [ -b $disk ] && mount -t ext4 -o ro,noload $disk /$name
done
exec /tools/guest init "$1"
"#;

const BUILD: &str = r#"
suite=$1 include=$2 modules=$3 init=$4
mmdebstrap --quiet --variant=minbase --include="$include" "$suite" root
mkdir -p root/lib/modules root/tools root/images
cp -a "$modules" root/lib/modules/
depmod -b root "$(basename "$modules")"
printf '%s' "$init" >root/harness-init
chmod 755 root/harness-init
rm -rf root/var/cache/apt root/var/lib/apt/lists root/usr/share/doc root/usr/share/locale
mke2fs -q -t ext4 -O ^has_journal -d root root.img 2G
rm -rf root
"#;

/// The image of it.
pub(super) fn guest_root(kernel: &Kernel) -> Result<PathBuf> {
    let modules = path(&kernel.modules);
    let args = [SUITE, INCLUDE, modules, INIT];
    let recipe = [&args[..], &[BUILD]].concat();
    let folder = once("guest", &recipe, |folder: &Path| script(folder, BUILD, &args).map(drop))?;
    Ok(folder.join("root.img"))
}
