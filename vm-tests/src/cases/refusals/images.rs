//! Images that are none, are cut short, or have no room; names that are taken.

use super::refused::{refused, refused_script};
use super::small_layout;
use super::state::unchanged;
use crate::case::{Case, Outcome, Stop, must};
use crate::cases::kit;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("refusals::images_that_are_none", images_that_are_none),
        Case::new("refusals::images_of_no_use", images_of_no_use),
        Case::new("refusals::images_cut_short", images_cut_short),
        Case::new("refusals::a_stream_cut_short", a_stream_cut_short),
        Case::new("refusals::images_without_room", images_without_room),
        Case::new("refusals::a_base_of_that_name", a_base_of_that_name),
        Case::new("refusals::an_image_for_a_new_layout", an_image_for_a_new_layout),
    ]
}

fn images_that_are_none(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    vm.ok("head -c 3M /dev/urandom >/tmp/noise; truncate -s 3M /tmp/zeros; : >/tmp/empty")?;
    vm.ok("truncate -s 64M /tmp/swap && mkswap -q /tmp/swap;
        { printf 'PK\\003\\004'; head -c 1M /dev/zero; } >/tmp/zip")?;
    unchanged(vm, |vm| {
        for file in ["noise", "zeros", "empty", "swap", "zip"] {
            let image = format!("/tmp/{file}");
            refused(vm, 2, &format!("base --add None-1-1 {image}"), &[&image])?;
            refused(vm, 2, &format!("base --add None-1-1 - <{image}"), &["standard input"])?;
        }
        refused(vm, 2, "base --add None-1-1 /dev/vdc", &["/dev/vdc"])?;
        refused(vm, 2, "base --add None-1-1 /tmp/small", &["/tmp/small"])?;
        refused(vm, 2, "base --add None-1-1 /dev/null", &["/dev/null"])?;
        refused(vm, 3, "base --add None-1-1 /tmp/none", &["/tmp/none"])?;
        refused(vm, 5, "base --add None-1-1 https://host/image", &["https://host/image"])
    })
}

/// File systems that are damaged, or that are not understood.
fn images_of_no_use(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    let changed = |name: &str, change: &str| {
        format!("cp /tmp/small.ext4 /tmp/{name} && cd /tmp && {change}\n")
    };
    // The count of blocks is at byte 4 of the superblock, whose checksum does not hold then.
    let damage = "printf '\\1' | dd of=bad bs=1 seek=1031 conv=notrunc status=none";
    vm.ok(&changed("bad", damage))?;
    vm.ok(&changed("odd", "debugfs -w -R 'ssv feature_incompat 0x400002c2' odd 2>/dev/null"))?;
    unchanged(vm, |vm| {
        refused(vm, 6, "base --add None-1-1 /tmp/bad", &["/tmp/bad"])?;
        refused(vm, 6, "base --add None-1-1 - </tmp/bad", &["standard input"])?;
        refused(vm, 5, "base --add None-1-1 /tmp/odd", &["/tmp/odd"])?;
        refused(vm, 5, "base --add None-1-1 - </tmp/odd", &["standard input"])?;
        vm.ok("mv /usr/sbin/xfs_admin /usr/sbin/xfs_admin.away")?;
        refused(vm, 1, "base --add None-1-1 /images/debian.xfs", &["xfs_admin"])?;
        refused(vm, 1, "base --add None-1-1 - </images/debian.xfs", &["xfs_admin"])?;
        vm.ok("mv /usr/sbin/xfs_admin.away /usr/sbin/xfs_admin")?;
        Ok(())
    })
}

fn images_cut_short(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    vm.ok("head -c 20M /tmp/small.ext4 >/tmp/short.ext4; head -c 4k /tmp/small.ext4 >/tmp/head")?;
    vm.ok("head -c 33554431 /tmp/small.ext4 >/tmp/nearly; head -c 20M /images/debian.xfs >/tmp/short.xfs")?;
    unchanged(vm, |vm| {
        for file in ["short.ext4", "head", "nearly", "short.xfs"] {
            let image = format!("/tmp/{file}");
            refused(vm, 2, &format!("base --add None-1-1 {image}"), &[&image])?;
        }
        Ok(())
    })
}

/// Shows only at the stream's end: all is as before then but for seqno and transaction id.
fn a_stream_cut_short(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    vm.ok("mkfs.xfs -q -f -d size=300m,file,name=/tmp/small.xfs")?;
    vm.imgbase("activate")?;
    let before = settled(vm)?;
    for image in ["small.ext4", "small.xfs"] {
        for length in ["20M", "100k"] {
            let stream = format!("head -c {length} /tmp/{image}");
            let script = format!("{stream} | imgbase base --add None-1-1 -");
            refused_script(vm, 2, &script, &["standard input"])?;
            let after = settled(vm)?;
            must(before == after, format!("after {stream}, before:\n{before}\nafter:\n{after}"))?;
        }
    }
    let seqno = vm.ok("vgs --noheadings -o seqno HostVG")?;
    must(seqno.trim().parse().is_ok_and(|n: u32| n > 6), "no stream came as far as the pool")?;
    vm.ok("vgchange -q -an HostVG && lvchange -q -ay -y HostVG/ImagePool_tmeta")?;
    vm.says("echo $(thin_ls --no-headers -o DEV /dev/HostVG/ImagePool_tmeta)", "1 2")?;
    vm.ok("lvchange -q -an HostVG/ImagePool_tmeta")?;
    kit::end(vm)
}

/// All of a group but its counters: volumes, their text, what the pool holds.
fn settled(vm: &mut Vm) -> Result<String, Stop> {
    let counters = "seqno =|transaction_id =|creation_time =|creation_host =|^#|^description|^$";
    let told = vm.ok(&format!(
        "vgcfgbackup -q -f /run/text HostVG >/dev/null && grep -Ev '{counters}' /run/text &&
        dmsetup table && dmsetup info -c --noheadings -o name,open"
    ))?;
    let used = kit::used_data_blocks(vm)?;
    Ok(format!("{told}\n{used} blocks"))
}

fn images_without_room(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    unchanged(vm, |vm| {
        let pool = "HostVG/ImagePool";
        let short = "base --add None-1-1 /images/debian.ext4";
        refused(vm, 4, short, &[pool, "7", " bytes) free of the ", " bytes) needed"])?;
        refused(vm, 4, "base --add None-1-1 - </images/debian.ext4", &[pool, "bytes"])?;
        refused(vm, 4, "base --add None-1-1 /images/debian.xfs", &[pool, "bytes"])?;
        let small = "base --add None-1-1 --size 16M /tmp/small.ext4";
        refused(vm, 2, small, &["/tmp/small.ext4", "33554432", "16777216"])?;
        let small = "base --add None-1-1 --size 33554431 - </tmp/small.ext4";
        refused(vm, 2, small, &["standard input", "33554432", "33554431"])?;
        let none = "base --add None-1-1 --size 0 /tmp/small.ext4";
        refused(vm, 2, none, &["/tmp/small.ext4", "33554432", "0 bytes"])?;
        for size in ["-1", "1X", "''", "1.5G"] {
            let args = format!("base --add None-1-1 --size={size} /tmp/small.ext4");
            refused(vm, 2, &args, &["--size"])?;
        }
        Ok(())
    })
}

fn a_base_of_that_name(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    vm.ok("lvcreate -q -an -Zn -L 4M -n Other-1-1 HostVG")?;
    vm.ok("lvcreate -q -an -kn -V 4M -n Thin-1-1 HostVG/ImagePool && vgchange -q -an HostVG")?;
    unchanged(vm, |vm| {
        for name in ["Small-1-1", "Other-1-1", "Thin-1-1"] {
            refused(vm, 3, &format!("base --add {name} /tmp/small.ext4"), &[name])?;
            refused(vm, 3, &format!("base --add {name} - </tmp/small.ext4"), &[name])?;
        }
        refused(vm, 3, "layer --add Other-1-1", &["Other-1-1"])?;
        refused(vm, 3, "base --remove Thin-1-1", &["Thin-1-1"])
    })
}

/// Nothing is written to the devices either where the first base's image is bad.
fn an_image_for_a_new_layout(vm: &mut Vm) -> Outcome {
    kit::small_image(vm, "")?;
    vm.ok("head -c 20M /tmp/small.ext4 >/tmp/short; head -c 3M /dev/urandom >/tmp/noise")?;
    unchanged(vm, |vm| {
        let init = "layout --init None-1-1 --config-size 0 /dev/vdc --from";
        refused(vm, 2, &format!("{init} /tmp/noise"), &["/tmp/noise"])?;
        refused(vm, 2, &format!("{init} - </tmp/noise"), &["standard input"])?;
        refused(vm, 2, &format!("{init} /tmp/short"), &["/tmp/short"])?;
        refused(vm, 3, &format!("{init} /tmp/none"), &["/tmp/none"])?;
        refused(vm, 4, &format!("{init} /images/debian.ext4 --size 64M"), &["bytes"])
    })
}
