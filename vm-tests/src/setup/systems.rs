//! Systems that a loader can start from a layer, as ext4 images: kernel and initramfs in `/boot`, made
//! by the distribution's own tools, and the harness's half, which serves the channel.
//!
//! | image | what it is |
//! |---|---|
//! | `small.ext4` | busybox and the harness's half as the first process; initramfs-tools with lvm2 |
//! | `dracut.ext4` | the same with dracut's initramfs |
//! | `bare.ext4` | the same with no initramfs, so that it gets one of ours |
//! | `full.ext4` | Debian with systemd, udev, lvm2, and the harness's half as a service |
//! | `next.ext4` | the next release of that: with cron too, and with some of its files changed |
//!
//! All come out of one root.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::setup::shell::script;
use crate::setup::{SUITE, once};

const INCLUDE: &str = "busybox-static,cron,dbus,dosfstools,dracut-core,e2fsprogs,efibootmgr,\
    grub-efi-amd64-bin,grub2-common,initramfs-tools,kmod,linux-image-cloud-amd64,lvm2,systemd-boot,\
    systemd-sysv,thin-provisioning-tools,udev,zstd";

/// The first process of the small ones. The tools are on a disk of their own.
const INIT: &str = r#"#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t ext4 -o ro,noload "$(findfs LABEL=tools)" /tools
exec /tools/guest init layer
"#;

const UNIT: &str = "[Unit]
Description=Serves the harness
RequiresMountsFor=/tools
[Service]
ExecStart=/tools/guest service
KillMode=process
[Install]
WantedBy=multi-user.target
";

const FSTAB: &str = "# root and tools
/dev/disk/by-label/root / ext4 errors=remount-ro 0 1
LABEL=tools /tools ext4 ro,noload,nofail 0 0
";

/// Each initramfs is made once, where all is there, and both at once; the kernel's package would
/// make one as well. Of the modules the small ones get those that any machine here can want.
const BUILD: &str = r#"
suite=$1 include=$2 init=$3 unit=$4 fstab=$5
printf '%s' "$fstab" >fstab
# An initramfs holds e2fsck where the type of the root is known when it is made.
echo FSTYPE=ext4 >fstype
INITRD=No mmdebstrap --quiet --variant=minbase --include="$include" \
    --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
    --essential-hook='copy-in fstype /etc/initramfs-tools/conf.d' \
    --essential-hook='copy-in fstab /etc' "$suite" root
version=$(basename root/lib/modules/*)
initrd=boot/initrd.img-$version
[ ! -e root/$initrd ]

mount -t proc proc root/proc
trap 'umount root/proc' EXIT
chroot root dracut --quiet --no-hostonly --add lvm --compress 'zstd -1' \
    --kver "$version" /dracut.img & dracut=$!
chroot root update-initramfs -c -k "$version"
wait $dracut
umount root/proc
trap - EXIT
mv root/dracut.img .
cp root/$initrd small.img
# Nothing stays of dracut and of what it has brought along.
chroot root dpkg --purge dracut-core kpartx
[ -z "$(chroot root dpkg-query -f '${db:Status-Abbrev}' -W dracut-core kpartx 2>/dev/null)" ]

mkdir -p small/usr/bin small/usr/sbin small/usr/lib/modules small/usr/lib64 systems
for name in bin sbin lib lib64; do ln -s usr/$name small/$name; done
(cd small && mkdir boot dev etc mnt proc root run sys tmp tools var)
cp root/boot/vmlinuz-$version small/boot/
cp root/usr/lib/os-release small/usr/lib/
ln -s ../usr/lib/os-release small/etc/os-release
cp root/usr/bin/busybox root/usr/bin/bootctl small/usr/bin/
chroot root ldd /usr/bin/bootctl | grep -o '/[^ ]*' |
    (cd root && xargs -I{} cp -L --parents .{} ../small/)
chroot small /bin/busybox --install -s
(cd root/usr/lib/modules && for part in arch crypto fs/efivarfs fs/fat fs/nls lib \
    drivers/block drivers/char drivers/md drivers/virtio; do
    cp -a --parents $version/kernel/$part ../../../../small/usr/lib/modules/
done && cp $version/modules.builtin* $version/modules.order \
    ../../../../small/usr/lib/modules/$version/)
depmod -b small $version
rm small/usr/sbin/init
printf '%s' "$init" >small/usr/sbin/init
cp fstab small/etc/
chmod 755 small/usr/sbin/init
for name in small dracut bare; do
    if [ $name = bare ]; then rm small/$initrd; else cp $name.img small/$initrd; fi
    mke2fs -q -t ext4 -b 4096 -L root -d small systems/$name.ext4 256M
done

printf '%s' "$unit" >root/etc/systemd/system/harness.service
mkdir root/tools
chroot root systemctl --quiet enable harness.service
chroot root systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_reap.service
# What a first start makes of /usr is made already, as in any image that was built to be started often.
touch root/etc/.updated root/var/.updated
cp -a root/etc etc.full
sed -i 's/^UMASK.*/UMASK 027/' root/etc/login.defs
printf 'the next release\n' >root/etc/motd
printf 'kernel.panic = 7\n' >root/etc/sysctl.d/50-release.conf
mke2fs -q -t ext4 -b 4096 -L root -d root systems/next.ext4 1G
rm -rf root/etc
mv etc.full root/etc
chroot root dpkg --purge cron cron-daemon-common
[ ! -e root/etc/crontab ]
mke2fs -q -t ext4 -b 4096 -L root -d root systems/full.ext4 1G
rm -rf root small small.img dracut.img fstab fstype
mke2fs -q -t ext4 -O ^has_journal -L systems -d systems systems.img 3G
rm -rf systems
"#;

/// The image of a file system that holds them.
pub(super) fn systems() -> Result<PathBuf> {
    let args = [SUITE, INCLUDE, INIT, UNIT, FSTAB];
    let recipe = [&args[..], &[BUILD]].concat();
    let folder = once("systems", &recipe, |folder: &Path| script(folder, BUILD, &args).map(drop))?;
    Ok(folder.join("systems.img"))
}
