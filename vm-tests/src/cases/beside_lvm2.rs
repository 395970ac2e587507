//! Volume groups that lvm2 made, with volumes of its own beside ours.

use crate::case::{Case, Outcome, must};
use crate::cases::kit::{self, step, step_says};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("beside_lvm2::two_metadata_areas", two_metadata_areas),
        Case::new("beside_lvm2::no_metadata_area_on_one", no_metadata_area_on_one),
        Case::new("beside_lvm2::striped_and_linear", striped_and_linear),
        Case::new("beside_lvm2::a_pool_of_lvm2", a_pool_of_lvm2),
        Case::new("beside_lvm2::other_groups", other_groups),
    ]
}

/// A pool made by lvm2 as imgbased would have had it made.
fn make_pool(vm: &mut Vm) -> Outcome {
    vm.ok("vgchange -q --addtag imgbased:vg HostVG")?;
    vm.ok("lvcreate -q -L 1G -T HostVG/ImagePool")?;
    vm.ok("lvchange -q --addtag imgbased:pool HostVG/ImagePool")?;
    Ok(())
}

fn base_and_layers(vm: &mut Vm) -> Outcome {
    kit::small_base(vm, "")?;
    step_says(vm, "layer --add", "Small-1-1+1")?;
    step_says(vm, "layer --add Small-1-1", "Small-1-1+2")?;
    step(vm, "layer --remove Small-1-1+1")?;
    step_says(vm, "layout --layers", "Small-1-1+2")?;
    kit::end(vm)
}

pub(super) fn two_metadata_areas(vm: &mut Vm) -> Outcome {
    vm.ok("pvcreate -q --pvmetadatacopies 2 /dev/vda /dev/vdb")?;
    vm.ok("vgcreate -q HostVG /dev/vda /dev/vdb")?;
    make_pool(vm)?;
    base_and_layers(vm)
}

fn no_metadata_area_on_one(vm: &mut Vm) -> Outcome {
    vm.ok("pvcreate -q --pvmetadatacopies 0 /dev/vdb /dev/vdc")?;
    vm.ok("vgcreate -q HostVG /dev/vdb /dev/vda /dev/vdc")?;
    make_pool(vm)?;
    base_and_layers(vm)
}

fn striped_and_linear(vm: &mut Vm) -> Outcome {
    vm.ok("vgcreate -q HostVG /dev/vda /dev/vdb /dev/vdc")?;
    vm.ok("lvcreate -q -i 3 -I 64k -L 90M -n striped HostVG")?;
    make_pool(vm)?;
    vm.ok("lvcreate -q -L 40M -n linear HostVG && lvextend -q -L +60M HostVG/linear")?;
    vm.ok("for v in striped linear; do mke2fs -q -t ext4 /dev/HostVG/$v; done")?;
    let sums = "for v in striped linear; do md5sum </dev/HostVG/$v; done";
    let tables = "dmsetup table | grep '^HostVG-\\(striped\\|linear\\):' | sort";
    let before = vm.ok(&format!("{sums}; {tables} | cut -d: -f1,2"))?;
    base_and_layers(vm)?;
    let after = vm.ok(&format!("{sums}; {tables} | cut -d: -f1,2"))?;
    must(before == after, format!("volumes beside ours changed:\n{before}\n{after}"))
}

fn a_pool_of_lvm2(vm: &mut Vm) -> Outcome {
    vm.ok("vgcreate -q -s 1M HostVG /dev/vda")?;
    vm.ok("lvcreate -q -L 500M -c 256k --poolmetadatasize 8M -T HostVG/ImagePool")?;
    vm.ok("vgchange -q --addtag imgbased:vg HostVG")?;
    vm.ok("lvchange -q --addtag imgbased:pool HostVG/ImagePool")?;
    vm.ok("lvcreate -q -V 100M -n theirs HostVG/ImagePool")?;
    vm.ok("mke2fs -q -t ext4 /dev/HostVG/theirs")?;
    base_and_layers(vm)?;
    vm.ok("e2fsck -fn /dev/HostVG/theirs")?;
    Ok(())
}

fn other_groups(vm: &mut Vm) -> Outcome {
    vm.ok("vgcreate -q other /dev/vdc && lvcreate -q -L 100M -n kept other")?;
    vm.ok("vgcreate -q HostVG /dev/vda /dev/vdb")?;
    make_pool(vm)?;
    let before = vm.ok("md5sum </dev/vdc")?;
    base_and_layers(vm)?;
    vm.says("md5sum </dev/vdc", &before)?;
    vm.ok("[ -e /dev/other/kept ]")?;
    Ok(())
}
