//! The main job: a blank disk and a real root file system become bases and layers.

use crate::case::{Case, Outcome, must};
use crate::cases::kit::{self, BASE, step, step_says};
use crate::judges;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("main_job::from_a_file", from_a_file).within(300),
        Case::new("main_job::from_a_disk", from_a_disk).within(300),
        Case::new("main_job::from_stdin", from_stdin).within(300),
        Case::new("main_job::from_xfs", from_xfs).within(300),
        Case::new("main_job::from_a_packed_disk", from_a_packed_disk).within(300),
        Case::new("main_job::in_one_step", in_one_step).within(300),
        Case::new("main_job::the_other_tool_activates", the_other_tool_activates).within(300),
    ]
}

pub(super) fn from_a_file(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    vm.says("blkid -o value -s LABEL /dev/HostVG/Config", "Config")?;
    vm.ok("echo 3 >/proc/sys/vm/drop_caches")?;
    step_says(vm, &format!("base --add {BASE} /images/debian.ext4"), BASE)?;
    // What is read once is not brought to the page cache: some 70 MiB.
    vm.ok("[ $(fincore -nb -o RES /images/debian.ext4) -lt 16000000 ]")?;
    kit::is_sealed(vm, BASE)?;
    step_says(vm, &format!("layer --add {BASE}"), "Debian-12-1+1")?;
    step_says(vm, "layer --add", "Debian-12-1+2")?;
    for name in [BASE, "Debian-12-1+1"] {
        kit::holds_the_sample(vm, name)?;
    }
    change_and_compare(vm)?;
    lists(vm)?;
    kit::end(vm)?;
    remove_all(vm)
}

/// A disk image with partitions, packed: as a file, and as a stream; with the right digest and with
/// a wrong one, of which nothing stays.
fn from_a_packed_disk(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_image(vm, "")?;
    vm.ok("cd /tmp && truncate -s 48M disk && sfdisk -q disk <<END
label: gpt
size=4MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp
size=40MiB, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=system
END
        dd if=small.ext4 of=disk bs=1M seek=5 conv=notrunc status=none && gzip -1 disk")?;
    let sum = vm.ok("sha256sum </tmp/disk.gz | cut -d' ' -f1")?;
    let wrong = format!("sha256:{:064}", 0);
    let said =
        vm.fails(6, &format!("imgbase base --add Small-1-1 /tmp/disk.gz --digest {wrong}"))?;
    must(said.contains(&sum) && said.contains("nothing was changed"), said)?;
    let stream = "cat /tmp/disk.gz | imgbase base --add Small-1-1 -";
    let said = vm.fails(6, &format!("{stream} --digest {wrong}"))?;
    must(said.contains(&sum) && said.contains("undone"), said)?;
    vm.says("imgbase recover --list; imgbase layout --bases", "")?;
    let said = vm.fails(3, &format!("{stream} --partition 7"))?;
    must(said.contains("1 'esp' (4 MiB), 2 'system' (40 MiB)"), said)?;
    step_says(vm, "base --add Small-1-1 /tmp/disk.gz", "Small-1-1")?;
    vm.says(
        &format!("{} --digest sha256:{sum} --partition system", stream.replace("1-1", "1-2")),
        "Small-1-2",
    )?;
    let layout = vm.imgbase("layout --json")?;
    must(layout.contains(&format!("\"digest\":\"sha256:{sum}\"")), layout)?;
    let tags = "lvs --noheadings -o lv_tags HostVG/Small-1-2 | tr -d ' '";
    vm.says(tags, &format!("imgbased:base,imgbased:digest:sha256:{sum}"))?;
    for base in ["Small-1-1", "Small-1-2"] {
        kit::is_sealed(vm, base)?;
        step(vm, &format!("mount {base} /mnt/tree --read-only"))?;
        vm.ok("diff -r --exclude=lost+found /tmp/small /mnt/tree")?;
        step(vm, "umount /mnt/tree")?;
    }
    kit::end(vm)
}

fn change_and_compare(vm: &mut Vm) -> Outcome {
    step(vm, "mount Debian-12-1+1 /mnt/layer")?;
    vm.ok("echo changed >/mnt/layer/etc/hostname && echo new >/mnt/layer/etc/new")?;
    vm.ok("rm /mnt/layer/srv/sample/dangling && grep -q /mnt/layer.*discard /proc/mounts")?;
    step(vm, "umount /mnt/layer")?;
    let paths = kit::diff(vm, "Debian-12-1+1", BASE)?;
    must(
        paths == ["/etc/hostname", "/etc/new", "/srv/sample/dangling"],
        format!("diff names {paths:?}"),
    )?;
    let paths = kit::diff(vm, "Debian-12-1+2", BASE)?;
    must(paths.is_empty(), format!("diff names {paths:?}"))
}

fn lists(vm: &mut Vm) -> Outcome {
    step_says(vm, "layout --bases", BASE)?;
    step_says(vm, "layout --layers", "Debian-12-1+1\nDebian-12-1+2")?;
    step_says(vm, "base --latest", BASE)?;
    step_says(vm, "base --of-layer Debian-12-1+2", BASE)?;
    step_says(vm, "layer --latest", "Debian-12-1+2")?;
    let path = step(vm, "layer --volume-path Debian-12-1+2")?;
    vm.ok(&format!("[ -b {path} ]"))?;
    let tree = step(vm, "layout")?;
    must(tree.contains(" +- Debian-12-1+1"), format!("no layer in the tree:\n{tree}"))
}

fn remove_all(vm: &mut Vm) -> Outcome {
    step(vm, "layer --remove Debian-12-1+1")?;
    step_says(vm, "layout --layers", "Debian-12-1+2")?;
    step(vm, &format!("base --remove {BASE}"))?;
    step_says(vm, "layout --bases", "")?;
    step_says(vm, "layout --layers", "")?;
    let left = kit::used_data_blocks(vm)?;
    must(left == 0, format!("{left} blocks are used in an empty pool"))?;
    step(vm, "deactivate")?;
    vm.ok("vgchange -an HostVG")?;
    kit::nothing_is_active(vm)
}

fn from_a_disk(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    step_says(vm, &format!("base --add {BASE} /dev/nvme0n3"), BASE)?;
    kit::holds_the_sample(vm, BASE)?;
    // All of a device is verified, to its end.
    kit::small_image(vm, "")?;
    let sum = vm.ok("sha256sum </tmp/small.ext4 | cut -d' ' -f1")?;
    let device = vm.ok("losetup -f --show /tmp/small.ext4")?;
    step_says(vm, &format!("base --add Small-1-1 {device} --digest sha256:{sum}"), "Small-1-1")?;
    vm.ok(&format!("losetup -d {device}"))?;
    kit::end(vm)
}

fn from_stdin(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    step_says(vm, &format!("base --add {BASE} --size 1G - </images/debian.ext4"), BASE)?;
    vm.says(
        "blockdev --getsize64 $(imgbase layer --volume-path $(imgbase layer --add))",
        "1073741824",
    )?;
    judges::lvm2(vm, kit::VG)?;
    kit::holds_the_sample(vm, BASE)?;
    let blocks =
        "dumpe2fs -h /dev/HostVG/Debian-12-1+1 2>/dev/null | awk '/^Block count/ {print $3}'";
    vm.says(blocks, "262144")?;
    kit::end(vm)
}

fn from_xfs(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    step_says(vm, &format!("base --add {BASE} /images/debian.xfs"), BASE)?;
    kit::is_sealed(vm, BASE)?;
    step_says(vm, "layer --add", "Debian-12-1+1")?;
    step_says(vm, "layer --add", "Debian-12-1+2")?;
    kit::holds_the_sample(vm, BASE)?;
    kit::holds_the_sample(vm, "Debian-12-1+1")?;
    let uuids = "for n in 1 2; do blkid -p -o value -s UUID /dev/HostVG/Debian-12-1+$n; done";
    vm.says(&format!("{{ {uuids}; }} | sort -u | wc -l"), "2")?;
    step(vm, "mount Debian-12-1+1 /mnt/one")?;
    step(vm, "mount Debian-12-1+2 /mnt/two")?;
    vm.ok("echo changed >/mnt/one/etc/hostname")?;
    step(vm, "umount /mnt/one")?;
    step(vm, "umount /mnt/two")?;
    let paths = kit::diff(vm, "Debian-12-1+1", BASE)?;
    must(paths == ["/etc/hostname"], format!("diff names {paths:?}"))?;
    vm.ok("xfs_repair -n /dev/HostVG/Debian-12-1+1")?;
    kit::end(vm)
}

fn in_one_step(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    step(vm, &format!("layout --init {BASE} --from /images/debian.ext4 /dev/vda /dev/vdb"))?;
    step_says(vm, "layout --bases", BASE)?;
    step_says(vm, "layout --layers", "Debian-12-1+1")?;
    kit::holds_the_sample(vm, "Debian-12-1+1")?;
    kit::end(vm)
}

pub(super) fn the_other_tool_activates(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_base(vm, "")?;
    step(vm, "layer --add")?;
    vm.quiet("vgchange -q -an HostVG")?;
    kit::nothing_is_active(vm)?;
    step(vm, "activate")?;
    vm.ok("lvs -o lv_active,lv_name HostVG | grep 'active *Small-1-1+1'")?;
    vm.quiet("vgchange -q -an HostVG")?;
    kit::nothing_is_active(vm)?;
    vm.quiet("vgchange -q -ay -K HostVG")?;
    step(vm, "deactivate Small-1-1+1")?;
    vm.ok("[ ! -e /dev/HostVG/Small-1-1+1 ] && [ -e /dev/HostVG/Small-1-1 ]")?;
    step(vm, "deactivate")?;
    vm.quiet("vgchange -q -an HostVG")?;
    kit::nothing_is_active(vm)?;
    kit::end(vm)
}
