//! The harness and its judges, tried on what lvm2 itself makes.

use crate::case::{Case, Outcome, must};
use crate::judges;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("lvm2_alone::judges_are_content", judges_are_content),
        Case::new("lvm2_alone::judges_see_damage", judges_see_damage),
        Case::new("lvm2_alone::links_made_by_udev", links_made_by_udev).with_udev(),
        Case::new("lvm2_alone::samples_are_equal", samples_are_equal),
    ]
}

fn make_pool(vm: &mut Vm) -> Outcome {
    vm.ok("vgcreate HostVG /dev/vda /dev/vdb")?;
    vm.ok("lvcreate -q -L 1G -T HostVG/ImagePool")?;
    vm.ok("lvcreate -q -V 512M -n one HostVG/ImagePool && mke2fs -q -t ext4 /dev/HostVG/one")?;
    Ok(())
}

fn judges_are_content(vm: &mut Vm) -> Outcome {
    make_pool(vm)?;
    judges::lvm2(vm, "HostVG")?;
    judges::ext4(vm, "/dev/HostVG/one")?;
    vm.ok("vgchange -an HostVG")?;
    let volumes = judges::thin_pool(vm, "HostVG", "ImagePool")?;
    must(volumes == ["one"], format!("{volumes:?}"))
}

fn judges_see_damage(vm: &mut Vm) -> Outcome {
    make_pool(vm)?;
    vm.ok("dmsetup message HostVG-ImagePool-tpool 0 'create_thin 77' && vgchange -an HostVG")?;
    let stray = judges::thin_pool(vm, "HostVG", "ImagePool");
    must(stray.is_err(), "a thin device that no volume stands for went unnoticed")?;
    let tell = "dmsetup message HostVG-ImagePool-tpool 0";
    vm.ok(&format!(
        "lvchange -ay HostVG/ImagePool && {tell} 'delete 77' && {tell} 'delete 1' &&
        vgchange -an HostVG"
    ))?;
    let lost = judges::thin_pool(vm, "HostVG", "ImagePool");
    must(lost.is_err(), "a volume without its thin device went unnoticed")?;
    vm.ok("dd if=/dev/zero of=/dev/vdb bs=512 count=8 conv=notrunc")?;
    must(judges::lvm2(vm, "HostVG").is_err(), "a PV without its label went unnoticed")
}

fn links_made_by_udev(vm: &mut Vm) -> Outcome {
    make_pool(vm)?;
    vm.ok("udevadm settle && [ -L /dev/disk/by-id/dm-name-HostVG-one ]")?;
    vm.ok("[ -L /dev/HostVG/one ] && [ -L /dev/disk/by-id/virtio-vda ]")?;
    vm.says("dmsetup udevcookies | tail -n +2 | grep -c 0x || true", "0")?;
    judges::lvm2(vm, "HostVG")?;
    Ok(())
}

fn samples_are_equal(vm: &mut Vm) -> Outcome {
    vm.ok("mkdir /mnt/x && mount -o ro,loop,norecovery,nouuid /images/debian.xfs /mnt/x")?;
    vm.ok("guest tree /mnt/x | diff /images/debian.tree -")?;
    let lines = vm.ok("grep -c . /images/debian.tree")?;
    must(lines.parse().is_ok_and(|n: u32| n > 3000), format!("only {lines} files in the sample"))
}
