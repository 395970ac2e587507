//! What imgbase does by itself: no other program for metadata, device-mapper, loops or mounts;
//! and what it stands on while it works.

use crate::case::{Case, Outcome, Stop, must};
use crate::cases::kit::{self, BASE, step, step_says};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("own_hands::small_and_static", small_and_static),
        Case::new("own_hands::no_child_process", no_child_process).within(300),
        Case::new("own_hands::stands_on_what_it_suspends", stands_on_what_it_suspends),
        Case::new("own_hands::deleting_returns_space", deleting_returns_space).within(180),
        Case::new("own_hands::a_dry_run_changes_nothing", a_dry_run_changes_nothing),
        Case::new("own_hands::links_and_cookies", links_and_cookies).with_udev().within(300),
    ]
}

/// The only programs that may run; xfs_admin is a script around xfs_db.
const ALLOWED: &[&str] = &["mke2fs", "tune2fs", "xfs_admin", "xfs_db"];

fn small_and_static(vm: &mut Vm) -> Outcome {
    let size = vm.ok("stat -c %s /tools/imgbase")?;
    must(size.parse().is_ok_and(|n: u32| n < 3_000_000), format!("{size} bytes"))?;
    let linked = vm.sh("ldd /tools/imgbase 2>&1")?.stdout;
    must(!linked.contains("=>"), linked)
}

fn no_child_process(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    kit::small_image(vm, "")?;
    for args in [
        "layout --init /dev/vda /dev/vdb",
        "base --add Small-1-1 /tmp/small.ext4",
        "layer --add",
        "layer --add Small-1-1+1",
        "mount Small-1-1+1 /mnt/one",
        "umount /mnt/one",
        "layout",
        "check",
        "diff Small-1-1+1 Small-1-1",
        "base --add Xfs-1-1 /images/debian.xfs",
        "layer --add Xfs-1-1",
        "layer --remove Small-1-1+2",
        "deactivate",
        "activate",
        "base --remove Small-1-1",
    ] {
        vm.ok(&format!("strace -f -qq -e trace=execve -o /tmp/trace imgbase {args}"))?;
        only_allowed(args, &vm.ok("grep -h execve /tmp/trace")?)?;
    }
    kit::end(vm)
}

/// The first program that a trace shows is imgbase itself.
fn only_allowed(args: &str, trace: &str) -> Outcome {
    for line in trace.lines().skip(1) {
        let program = line.split('"').nth(1).unwrap_or(line);
        let name = program.rsplit('/').next().unwrap_or(program);
        must(ALLOWED.contains(&name), format!("`imgbase {args}` runs {line}"))?;
    }
    Ok(())
}

/// The layer that is suspended holds the program, its log and lvm2's archive folder.
fn stands_on_what_it_suspends(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_base(vm, "")?;
    step(vm, "layer --add")?;
    step(vm, "mount Small-1-1+1 /mnt/layer")?;
    vm.ok("cp /tools/imgbase /mnt/layer/ && cp -a /etc/lvm /mnt/layer/etc/")?;
    vm.ok("mount --bind /mnt/layer/etc/lvm /etc/lvm")?;
    let own = "cd /mnt/layer && ./imgbase --debug layer --add Small-1-1+1 2>>log";
    vm.says(own, "Small-1-1+2")?;
    vm.says("dmsetup info -c --noheadings -o suspended | grep -c Suspended || true", "0")?;
    vm.ok("touch /mnt/layer/alive && sync -f /mnt/layer/alive && [ -s /mnt/layer/log ]")?;
    kit::step(vm, "mount Small-1-1+2 /mnt/copy")?;
    vm.ok("cmp /tools/imgbase /mnt/copy/imgbase")?;
    vm.ok("ls /etc/lvm/archive/HostVG_*.vg && umount /etc/lvm")?;
    step(vm, "umount /mnt/copy")?;
    step(vm, "umount /mnt/layer")?;
    kit::end(vm)
}

fn deleting_returns_space(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    step_says(vm, &format!("base --add {BASE} /images/debian.ext4"), BASE)?;
    step(vm, "layer --add")?;
    step(vm, "mount Debian-12-1+1 /mnt/layer")?;
    // The first round also maps what the file system itself writes for the first time.
    round_of_64_mib(vm)?;
    let (before, full, after) = round_of_64_mib(vm)?;
    step(vm, "umount /mnt/layer")?;
    must(full >= before + 1024, format!("64 MiB took only {} blocks", full - before))?;
    let lost = after.saturating_sub(before);
    must(lost <= 16, format!("{lost} of {} blocks stay", full - before))?;
    kit::end(vm)
}

/// Blocks that the pool has in use before 64 MiB are written, with them, and once they are
/// deleted.
fn round_of_64_mib(vm: &mut Vm) -> Result<(u64, u64, u64), Stop> {
    vm.ok("sync")?;
    let before = kit::used_data_blocks(vm)?;
    vm.ok("dd if=/dev/urandom of=/mnt/layer/root/big bs=1M count=64 && sync")?;
    let full = kit::used_data_blocks(vm)?;
    vm.ok("rm /mnt/layer/root/big && sync && sleep 1 && sync")?;
    Ok((before, full, kit::used_data_blocks(vm)?))
}

fn a_dry_run_changes_nothing(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_base(vm, "")?;
    step(vm, "layer --add")?;
    kit::small_image(vm, "")?;
    let written = "awk '{ print FILENAME, $5, $7, $12 }' /sys/block/vd?/stat";
    let state = &format!("sync; {written}; dmsetup table; dmsetup status --noflush");
    // The pool commits by itself once a second.
    vm.ok("sleep 2")?;
    let before = vm.ok(state)?;
    for args in [
        "base --add Small-1-2 /tmp/small.ext4",
        "layer --add",
        "layer --remove Small-1-1+1",
        "base --remove Small-1-1",
        "layout --init --vg Other /dev/vdc",
        "deactivate",
    ] {
        let said = vm.imgbase(&format!("--dry-run {args}"))?;
        must(!said.is_empty(), format!("`imgbase --dry-run {args}` tells nothing"))?;
        vm.says(state, &before)?;
    }
    kit::end(vm)
}

fn links_and_cookies(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    settled(vm)?;
    vm.ok("[ -L /dev/disk/by-label/Config ]")?;
    kit::small_base(vm, "")?;
    settled(vm)?;
    for name in ["Small-1-1+1", "Small-1-1+2"] {
        step_says(vm, "layer --add Small-1-1", name)?;
        settled(vm)?;
        made_by_udev(vm, name)?;
    }
    step(vm, "layer --remove Small-1-1+1")?;
    settled(vm)?;
    vm.ok("[ ! -e /dev/HostVG/Small-1-1+1 ] && [ ! -e /dev/mapper/HostVG-Small--1--1+1 ]")?;
    step(vm, "deactivate")?;
    vm.ok("vgchange -an HostVG")?;
    settled(vm)?;
    kit::nothing_is_active(vm)?;
    step(vm, "activate")?;
    settled(vm)?;
    made_by_udev(vm, "Small-1-1+2")?;
    kit::end(vm)
}

/// Nothing waits for udev, and udev waits for nothing.
fn settled(vm: &mut Vm) -> Outcome {
    vm.ok("udevadm settle --timeout=20")?;
    vm.says("dmsetup udevcookies | grep -c 0xd4d || true", "0")?;
    vm.says("dmsetup info -c --noheadings -o suspended | grep -c Suspended || true", "0")?;
    Ok(())
}

/// udev's database knows the link, which it does only where udev made it.
fn made_by_udev(vm: &mut Vm, name: &str) -> Outcome {
    let links = vm.ok(&format!("udevadm info -q symlink /dev/HostVG/{name}"))?;
    for link in
        [format!("HostVG/{name}"), format!("disk/by-id/dm-name-HostVG-Small--1--1+{}", &name[10..])]
    {
        must(links.split_whitespace().any(|l| l == link), format!("no {link} in {links}"))?;
        vm.ok(&format!("[ -L /dev/{link} ]"))?;
    }
    vm.ok(&format!("[ -L /dev/mapper/HostVG-Small--1--1+{} ]", &name[10..]))?;
    Ok(())
}
