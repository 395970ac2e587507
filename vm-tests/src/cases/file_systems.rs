//! Every kind of ext4 that may come: each layer gets a UUID of its own and e2fsck agrees.

use crate::case::{Case, Outcome, must};
use crate::cases::kit::{self, step, step_says};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("file_systems::metadata_csum", |vm| {
            layers(vm, "-O metadata_csum,^metadata_csum_seed")
        }),
        Case::new("file_systems::metadata_csum_seed", |vm| {
            layers(vm, "-O metadata_csum,metadata_csum_seed")
        }),
        Case::new("file_systems::gdt_csum", |vm| layers(vm, "-O ^metadata_csum,uninit_bg")),
        Case::new("file_systems::no_checksum", |vm| layers(vm, "-O ^metadata_csum,^uninit_bg")),
        Case::new("file_systems::small_blocks", |vm| layers(vm, "-b 1024 -O ^64bit,^flex_bg")),
        Case::new("file_systems::no_journal", |vm| layers(vm, "-O ^has_journal")),
        Case::new("file_systems::orphan_file", |vm| layers(vm, "-O orphan_file")),
        Case::new("file_systems::unclean_ext4", unclean_ext4),
        Case::new("file_systems::unclean_xfs", unclean_xfs).within(180),
        Case::new("file_systems::xfs_admin_fails", xfs_admin_fails).within(180),
        Case::new("file_systems::grown", grown),
    ]
}

fn layers(vm: &mut Vm, options: &str) -> Outcome {
    kit::init(vm)?;
    kit::small_base(vm, options)?;
    step_says(vm, "layer --add", "Small-1-1+1")?;
    step_says(vm, "layer --add Small-1-1", "Small-1-1+2")?;
    step(vm, "activate Small-1-1")?;
    let uuid = "for d in /dev/HostVG/Small*; do blkid -p -o value -s UUID $d; done";
    vm.says(&format!("{uuid} | sort -u | wc -l"), "3")?;
    for name in ["Small-1-1", "Small-1-1+1", "Small-1-1+2"] {
        same_as_the_image(vm, name)?;
    }
    kit::end(vm)
}

fn same_as_the_image(vm: &mut Vm, name: &str) -> Outcome {
    vm.imgbase(&format!("mount {name} /mnt/ours --read-only"))?;
    vm.ok("mount -o loop,ro,noload /tmp/small.ext4 /mnt/image")?;
    let compared = vm
        .ok("guest tree /mnt/image >/tmp/a && guest tree /mnt/ours >/tmp/b && diff /tmp/a /tmp/b");
    vm.ok("umount /mnt/image /mnt/ours")?;
    compared?;
    Ok(())
}

/// The image is taken while it is mounted, so that its journal holds what its blocks do not.
fn unclean_ext4(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_image(vm, "")?;
    vm.ok("mount -o loop /tmp/small.ext4 /mnt/live")?;
    vm.ok("cp /usr/bin/find /mnt/live/late && mkdir /mnt/live/d && sync -f /mnt/live/late")?;
    vm.ok("cp /tmp/small.ext4 /tmp/unclean.ext4 && umount /mnt/live")?;
    vm.ok("dumpe2fs -h /tmp/unclean.ext4 2>&1 | grep -q needs_recovery")?;
    step_says(vm, "base --add Small-1-1 /tmp/unclean.ext4", "Small-1-1")?;
    kit::is_sealed(vm, "Small-1-1")?;
    step_says(vm, "layer --add", "Small-1-1+1")?;
    step(vm, "mount Small-1-1+1 /mnt/layer")?;
    vm.ok("cmp /usr/bin/find /mnt/layer/late && [ -d /mnt/layer/d ]")?;
    step(vm, "umount /mnt/layer")?;
    kit::end(vm)
}

fn unclean_xfs(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    vm.ok("mkfs.xfs -q /dev/vdc && mount /dev/vdc /mnt/live")?;
    vm.ok("cp /usr/bin/find /mnt/live/late && sync -f /mnt/live/late && touch /mnt/live/e")?;
    vm.ok("xfs_io -x -c 'shutdown -f' /mnt/live && umount /mnt/live")?;
    step_says(vm, "base --add Small-1-1 /dev/vdc", "Small-1-1")?;
    kit::is_sealed(vm, "Small-1-1")?;
    step_says(vm, "layer --add", "Small-1-1+1")?;
    step(vm, "mount Small-1-1+1 /mnt/layer")?;
    vm.ok("cmp /usr/bin/find /mnt/layer/late && [ -e /mnt/layer/e ]")?;
    step(vm, "umount /mnt/layer")?;
    vm.ok("xfs_repair -n /dev/HostVG/Small-1-1+1")?;
    kit::end(vm)
}

/// The layer is not made, whatever status a program ends with that has not done its work.
fn xfs_admin_fails(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    vm.ok("mkfs.xfs -q /dev/vdc")?;
    step_says(vm, "base --add Small-1-1 /dev/vdc", "Small-1-1")?;
    for status in [0, 1] {
        vm.ok(&format!(
            "printf '#!/bin/sh\necho no >&2\nexit {status}\n' >/tmp/failing && chmod 755 /tmp/failing &&
            mount --bind /tmp/failing /usr/sbin/xfs_admin"
        ))?;
        let said = vm.fails(1, "imgbase layer --add")?;
        vm.ok("umount /usr/sbin/xfs_admin")?;
        let tells =
            said.contains("xfs_admin did not set the UUID: no") && said.lines().count() == 1;
        must(tells, said)?;
        must(!kit::is_recovered(vm, "xfs_admin has failed")?, "something was left over")?;
        vm.says("imgbase layout --layers", "")?;
    }
    step_says(vm, "layer --add", "Small-1-1+1")?;
    kit::end(vm)
}

fn grown(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_image(vm, "")?;
    step_says(vm, "base --add Small-1-1 --size 256M /tmp/small.ext4", "Small-1-1")?;
    step_says(vm, "layer --add", "Small-1-1+1")?;
    step(vm, "mount Small-1-1+1 /mnt/layer")?;
    vm.ok("dd if=/dev/urandom of=/mnt/layer/much bs=1M count=180 && sync -f /mnt/layer/much")?;
    step(vm, "umount /mnt/layer")?;
    kit::end(vm)
}
