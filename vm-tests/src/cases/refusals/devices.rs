//! Devices that cannot become a layout: in use, named twice, too small, of another group.

use super::refused::{hold, let_go, refused, refused_script};
use super::state::unchanged;
use crate::case::{Case, Outcome};
use crate::cases::kit;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("refusals::devices_in_use", devices_in_use),
        Case::new("refusals::devices_that_are_none", devices_that_are_none),
        Case::new("refusals::devices_too_small", devices_too_small),
        Case::new("refusals::a_group_of_that_name", a_group_of_that_name),
        Case::new("refusals::two_groups_of_ours", two_groups_of_ours),
    ]
}

/// In use always: `--force` makes no difference. The user is named.
fn in_use(vm: &mut Vm, device: &str, user: &str) -> Outcome {
    unchanged(vm, |vm| {
        refused(vm, 3, &format!("layout --init {device}"), &[device, user])?;
        refused(vm, 3, &format!("layout --init --force {device}"), &[device, user])?;
        refused(vm, 3, &format!("layout --init --force /dev/vdd {device}"), &[device, user])
    })
}

fn devices_in_use(vm: &mut Vm) -> Outcome {
    vm.ok("mkdir -p /mnt/x && mke2fs -q -t ext4 /dev/vda && mount -o ro,noload /dev/vda /mnt/x")?;
    in_use(vm, "/dev/vda", "/mnt/x")?;
    vm.ok("mkswap -q /dev/vdb && swapon /dev/vdb")?;
    in_use(vm, "/dev/vdb", "swap")?;
    vm.ok("swapoff /dev/vdb && blkdiscard -f /dev/vdb")?;
    vm.ok("echo '0 2048 linear /dev/vdb 0' | dmsetup create other")?;
    in_use(vm, "/dev/vdb", "other")?;
    vm.ok("dmsetup remove other")?;
    vm.ok("printf 'label: gpt\n,100M\n' | sfdisk -q /dev/vdb && [ -b /dev/vdb1 ]")?;
    in_use(vm, "/dev/vdb", "vdb1")?;
    vm.ok("mke2fs -q -t ext4 /dev/vdb1 && mkdir /mnt/y && mount -o ro,noload /dev/vdb1 /mnt/y")?;
    in_use(vm, "/dev/vdb1", "/mnt/y")?;
    in_use(vm, "/dev/vdb", "vdb1")?;
    opened_alone(vm)?;
    of_an_active_group(vm)
}

fn opened_alone(vm: &mut Vm) -> Outcome {
    let holder = hold(vm, "use Fcntl; sysopen F, '/dev/vdc', O_RDWR|O_EXCL or die;")?;
    in_use(vm, "/dev/vdc", "open")?;
    let_go(vm, &holder)
}

fn of_an_active_group(vm: &mut Vm) -> Outcome {
    vm.ok("vgcreate -q other /dev/vdc && lvcreate -q -Zn -L 4M -n one other")?;
    in_use(vm, "/dev/vdc", "other-one")
}

fn devices_that_are_none(vm: &mut Vm) -> Outcome {
    vm.ok("truncate -s 500M /tmp/one.img && ln -s /dev/vdc /tmp/link && mkfifo /tmp/fifo")?;
    vm.ok("truncate -s 500M /tmp/read.img")?;
    let read_only = vm.ok("losetup -r -f --show /tmp/read.img")?;
    vm.ok("blockdev --setro /dev/vdd")?;
    let checked = unchanged(vm, |vm| {
        refused(vm, 3, "layout --init /dev/none", &["/dev/none"])?;
        refused(vm, 3, "layout --init /dev/vdc /dev/none", &["/dev/none"])?;
        for twice in ["/dev/vdc /dev/vdc", "/dev/vdc /tmp/link", "/tmp/one.img /tmp/../tmp/one.img"]
        {
            refused(vm, 2, &format!("layout --init {twice}"), &["twice"])?;
        }
        for other in ["/tmp/", "/dev/null", "/tmp/fifo"] {
            refused_script(vm, 2, &format!("timeout 20 imgbase layout --init {other}"), &[other])?;
        }
        refused(vm, 3, "layout --init /dev/vdd", &["/dev/vdd"])?;
        refused(vm, 3, &format!("layout --init {read_only}"), &[&read_only])
    });
    vm.ok("blockdev --setrw /dev/vdd")?;
    checked
}

fn devices_too_small(vm: &mut Vm) -> Outcome {
    for (name, size) in [("none", "0"), ("tiny", "64k"), ("little", "3M"), ("small", "60M")] {
        vm.ok(&format!("truncate -s {size} /tmp/{name}.img"))?;
    }
    unchanged(vm, |vm| {
        for name in ["none", "tiny", "little", "small"] {
            let file = format!("/tmp/{name}.img");
            refused(vm, 4, &format!("layout --init {file}"), &["bytes"])?;
            refused(vm, 4, &format!("layout --init --force {file}"), &["bytes"])?;
        }
        refused(vm, 4, "layout --init /dev/vdc /tmp/little.img", &["/tmp/little.img"])?;
        refused(vm, 4, "layout --init --size 3G /dev/vdc", &["bytes"])?;
        refused(vm, 4, "layout --init --config-size 2G /dev/vdc", &["bytes"])?;
        refused(vm, 4, "layout --init --metadata-size 600M /dev/vdc", &["bytes"])?;
        refused(vm, 4, "layout --init --size 2048P /dev/vdc", &["bytes"])
    })
}

fn a_group_of_that_name(vm: &mut Vm) -> Outcome {
    vm.ok("vgcreate -q HostVG /dev/vda && vgcreate -q Ours /dev/vdb")?;
    unchanged(vm, |vm| {
        refused(vm, 3, "layout --init /dev/vdc", &["HostVG", "/dev/vda"])?;
        refused(vm, 3, "layout --init --force /dev/vdc", &["HostVG", "/dev/vda"])?;
        refused(vm, 3, "layout --init --vg Ours /dev/vdc", &["Ours", "/dev/vdb"])?;
        // The group's own disk, which is not in use while nothing of it is active.
        refused(vm, 3, "layout --init --vg New /dev/vda", &["/dev/vda"])?;
        refused(vm, 3, "layout --init --force /dev/vda", &["HostVG"])?;
        refused(vm, 3, "layout --init --vg null /dev/vdc", &["null", "/dev"])?;
        refused(vm, 3, "layout --init --vg vdd /dev/vdc", &["vdd", "/dev"])
    })
}

fn two_groups_of_ours(vm: &mut Vm) -> Outcome {
    vm.ok("vgcreate -q --addtag imgbased:vg one /dev/vda")?;
    vm.ok("vgcreate -q --addtag imgbased:vg two /dev/vdb")?;
    kit::small_image(vm, "")?;
    unchanged(vm, |vm| {
        for args in [
            "layout",
            "layout --bases",
            "base --latest",
            "layer --latest",
            "check",
            "layer --add",
            "base --add Small-1-1 /tmp/small.ext4",
            "base --remove Small-1-1",
            "activate",
            "deactivate",
        ] {
            refused(vm, 2, args, &["one", "two", "--vg"])?;
        }
        refused(vm, 3, "--vg one layout", &["one", "imgbased:pool"])
    })
}
