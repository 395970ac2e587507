//! The sample: a real Debian root file system, as ext4, as XFS and as an archive; and what is packed
//! with large windows.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Result;
use crate::setup::binaries::{Binaries, tools_disk};
use crate::setup::shell::{path, script};
use crate::setup::{SUITE, once};
use crate::vm::{Host, Spec, Vm};

/// What makes a comparison of trees mean something: links, devices, attributes, capabilities.
const BUILD: &str = r#"
mmdebstrap --quiet --variant=minbase --include=acl,attr,libcap2-bin,usr-is-merged "$1" root
# What merged /usr has brought all of perl along.
chroot root dpkg-query -W -f '${Package}\n' |
    grep -E '^(usrmerge|perl|perl-modules-.*|libperl5.*|lib.*-perl|libgdbm.*)$' >purge
chroot root dpkg --purge $(cat purge)
rm purge
rm -rf root/var/cache/apt root/var/lib/apt/lists root/usr/share/doc root/usr/share/locale \
    root/usr/share/man root/usr/lib/x86_64-linux-gnu/gconv
mkdir root/srv/sample
cd root/srv/sample
echo one >first
ln first second
ln first third
mknod -m 600 ../../dev/sample-disk b 7 7
mknod -m 666 ../../dev/sample-zero c 1 5
mkfifo -m 640 pipe
cp ../../bin/cat able
chroot ../.. setcap cap_net_raw+ep /srv/sample/able
setfacl=$(chroot ../.. sh -c 'setfacl -m u:daemon:r /srv/sample/first && echo done')
[ "$setfacl" = done ]
chroot ../.. setfattr -n user.sample -v value /srv/sample/second
head -c 300000 /dev/zero >zeros
truncate -s 5M hole
chown 1234:5678 hole
chmod 4755 able
touch -d '2001-02-03 04:05:06.789' old
ln -s /nowhere/at/all dangling
cd ../../..
# As a large one has them: mke2fs gives small ones other blocks and more inodes.
mke2fs -q -t ext4 -b 4096 -i 16384 -L sample -d root debian.ext4 256M
# Emulation takes twenty times as long to pack it. mke2fs knows whole seconds, and its own for the root.
touch -d "@$((0x$(debugfs -R 'stat <2>' debian.ext4 2>/dev/null | sed -n 's/.*mtime: 0x\([0-9a-f]*\).*/\1/p')))" root
tar --format=posix --pax-option=delete=mtime,delete=atime,delete=ctime --xattrs --xattrs-include='*' \
    --numeric-owner -S -C root -cf - . | gzip -1 >debian.tar.gz
rm -rf root
"#;

/// Run in a guest with an empty disk that becomes the XFS image; prints the tree.
const XFS: &str = "mkfs.xfs -q -L sample /dev/vda && mkdir /run/from /run/to && \
    mount -o ro,noload /dev/nvme0n3 /run/from && mount /dev/vda /run/to && \
    cp -a /run/from/. /run/to/ && rmdir /run/to/lost+found && guest tree /run/from && touch -r /run/from /run/to && umount /run/to /run/from";

/// What fills each window that a packed stream may declare, packed in each way.
const WINDOWS: &str = r#"
mkdir -p windows/tree
cd windows
cp -p /usr/bin/cp /usr/bin/find tree/
ln tree/cp tree/hard
ln -s cp tree/soft
head -c 8000000 /dev/urandom >tree/noise
truncate -s 130M tree/hole
mke2fs -q -t ext4 -d tree ext4 160M
tar -C tree -cf tar .
gzip -1 <ext4 >ext4.gz
xz --lzma2=preset=0,dict=32MiB <ext4 >ext4.xz
zstd -q -1 --long=27 <ext4 >ext4.zst
zstd -q -1 --long=27 <tar >tar.zst
zstd -q -1 --ultra --long=28 <ext4 >long.zst
rm ext4 tar
"#;

const IMAGES: &str = r#"
mkdir images
ln debian.ext4 debian.xfs debian.tree debian.tar.gz images/
mv windows images/
mke2fs -q -t ext4 -O ^has_journal -d images images.img 2G
rm -r images debian.xfs debian.tree debian.tar.gz
"#;

/// The folder with `debian.ext4` and `images.img`.
pub(super) fn samples(emulator: &Path, kernel: &Path, guest_root: &Path) -> Result<PathBuf> {
    once("samples", &[SUITE, BUILD, XFS, WINDOWS, IMAGES], |folder| {
        script(folder, BUILD, &[SUITE])?;
        make_xfs([emulator, kernel, guest_root], folder)?;
        script(folder, WINDOWS, &[])?;
        script(folder, IMAGES, &[]).map(drop)
    })
}

/// Makes `debian.xfs`, and `debian.tree` for comparisons.
fn make_xfs([emulator, kernel, guest_root]: [&Path; 3], folder: &Path) -> Result<()> {
    let tools = tools_disk(&Binaries::guest_only()?, folder)?;
    let namespaces = [guest_root.into(), tools.clone(), folder.join("debian.ext4")].to_vec();
    let [emulator, kernel] = [emulator, kernel].map(PathBuf::from);
    let host = Host { emulator, kernel, ovmf: PathBuf::new(), namespaces };
    let work = folder.join("vm");
    let mut vm = Vm::start(&host, &Spec::plain(&[512]), &work)?;
    vm.limit(Duration::from_secs(600));
    let tree = vm.ok(XFS)?;
    vm.power_off()?;
    fs::write(folder.join("debian.tree"), tree + "\n")?;
    fs::rename(work.join("vda.img"), folder.join("debian.xfs"))?;
    fs::remove_dir_all(&work)?;
    fs::remove_file(path(&tools))?;
    Ok(())
}
