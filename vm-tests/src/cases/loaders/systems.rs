//! Whole systems in a layer: the initramfs that two distributions' tools make, and a real Debian.

use crate::case::{Case, Outcome, must};
use crate::cases::loaders::by_hand::{self, DISK, is_layer};
use crate::loaders::Loader;
use crate::vm::{Booted, End, Firmware, Handed, Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("loaders::debian", debian).within(1200),
        Case::new("loaders::dracut", dracut).within(900),
        Case::new("loaders::no_loader", no_loader).within(900),
    ]
}

/// A real Debian with systemd reboots in order, is reset, panics and is switched off.
fn debian(vm: &mut Vm) -> Outcome {
    by_hand::install(vm, Loader::SystemdBoot, "full")?;
    by_hand::entry(vm, "imgbase-1.conf", "Small-1-1+1", "sort-key b")?;
    by_hand::let_go(vm)?;
    let mut booted = vm.boot(Start::virtio(DISK, Loader::SystemdBoot.firmware()))?;
    is_debian(&mut booted)?;
    booted
        .ok("findmnt -n -o SOURCE / && bootctl --no-pager status | grep -q 'systemd-boot 252'")?;
    booted.ok("touch /written && sync")?;
    booted.reboot()?;
    is_debian(&mut booted)?;
    booted.fall("[ -e /written ] && echo c >/proc/sysrq-trigger && sleep 60")?;
    is_debian(&mut booted)?;
    must(booted.ends_since(0) == [End::Up; 3], format!("{:?}", booted.boots()))?;
    booted.power_off()?;
    Ok(())
}

fn is_debian(booted: &mut Booted<'_>) -> Outcome {
    is_layer(booted, "Small-1-1+1")?;
    booted.says("cat /proc/1/comm", "systemd")?;
    Ok(())
}

/// An initramfs of dracut's, and a disk for which the kernel needs modules.
fn dracut(vm: &mut Vm) -> Outcome {
    by_hand::install(vm, Loader::SystemdBoot, "dracut")?;
    let more = "sort-key b\noptions rd.lvm.lv=HostVG/Small-1-1+1";
    by_hand::entry(vm, "imgbase-1.conf", "Small-1-1+1", more)?;
    by_hand::let_go(vm)?;
    let mut booted = vm.boot(Start::virtio(DISK, Loader::SystemdBoot.firmware()))?;
    is_layer(&mut booted, "Small-1-1+1")?;
    let log = booted.ok("dmesg")?;
    must(log.contains("dracut"), "the initramfs is not dracut's")?;
    booted.power_off()?;
    Ok(())
}

/// The kernel and the initramfs of a layer with no loader in between.
fn no_loader(vm: &mut Vm) -> Outcome {
    by_hand::install(vm, Loader::SystemdBoot, "small")?;
    let initrd = vm.get("/boot/imgbase/initrd")?;
    by_hand::let_go(vm)?;
    let direct = Handed { initrd, arguments: by_hand::arguments("Small-1-1+1") };
    let mut booted = vm.boot(Start::virtio(DISK, Firmware::Kernel(direct)))?;
    is_layer(&mut booted, "Small-1-1+1")?;
    booted.power_off()?;
    Ok(())
}
