//! A whole Debian: systemd, udev, lvm2, and a kernel whose initramfs initramfs-tools has made.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::setup::shell::script;
use crate::setup::{SUITE, once};

/// What of it is needed one by one.
#[derive(Debug, Clone)]
pub struct Debian {
    /// Its root file system, an ext4.
    pub image: PathBuf,
    /// Its kernel.
    pub kernel: PathBuf,
    /// That kernel's initramfs as initramfs-tools makes it, with lvm2 and thin_check.
    pub initrd: PathBuf,
}

const INCLUDE: &str = "dbus,e2fsprogs,initramfs-tools,kmod,linux-image-cloud-amd64,lvm2,\
    systemd-sysv,thin-provisioning-tools,udev,zstd";

/// The harness's half as a service, once it is there.
const UNIT: &str = "[Unit]
Description=Serves the harness
ConditionPathExists=/usr/local/bin/guest
[Service]
Type=exec
ExecStart=/usr/local/bin/guest service
KillMode=process
";

const BUILD: &str = r#"
suite=$1 include=$2 unit=$3
mmdebstrap --quiet --variant=minbase --include="$include" "$suite" root
cp root/boot/vmlinuz-* vmlinuz
mv root/boot/initrd.img-* initrd.img
printf '%s' "$unit" >root/etc/systemd/system/harness.service
mkdir -p root/config root/etc/systemd/system/multi-user.target.wants
ln -s ../harness.service root/etc/systemd/system/multi-user.target.wants/
chroot root systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_reap.service
rm -rf root/var/cache/apt root/var/lib/apt/lists root/usr/share/doc root/usr/share/locale
mke2fs -q -t ext4 -d root system.ext4 900M
rm -rf root
"#;

/// Makes it where it is missing.
///
/// # Errors
/// A sentence that names the step.
pub fn debian() -> Result<Debian> {
    let args = [SUITE, INCLUDE, UNIT];
    let recipe = [&args[..], &[BUILD]].concat();
    let folder = once("debian", &recipe, |folder: &Path| script(folder, BUILD, &args).map(drop))?;
    let [image, kernel, initrd] =
        ["system.ext4", "vmlinuz", "initrd.img"].map(|name| folder.join(name));
    Ok(Debian { image, kernel, initrd })
}
