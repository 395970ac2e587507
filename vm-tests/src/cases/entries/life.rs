//! From an installer's layout to an upgrade and back.

use super::{DISK, ONE, TWO, is_layer, let_go, mount_boot, says, second};
use crate::case::{Case, Outcome, must};
use crate::loaders::{self, Loader};
use crate::vm::{End, Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("entries::systemd_boot", |vm| life(vm, Loader::SystemdBoot)).within(900),
        Case::new("entries::grub", |vm| life(vm, Loader::GrubEfi)).within(900),
        Case::new("entries::grub_on_a_bios", |vm| life(vm, Loader::GrubBios)).within(900),
    ]
}

/// Somebody else's, which must stay as it is.
const FOREIGN: &str =
    "title Somebody else\nsort-key 0\nlinux /other/vmlinuz\noptions root=/dev/null\n";

/// With our initramfs; those of distributions have [cases of their own](super::systems).
fn life(vm: &mut Vm, loader: Loader) -> Outcome {
    super::install(vm, loader, "bare")?;
    vm.put("/tmp/foreign.conf", "644", FOREIGN.as_bytes())?;
    vm.ok(
        "mkdir -p /boot/loader/entries /boot/other && cp /tmp/foreign.conf /boot/loader/entries/
        echo kernel >/boot/other/vmlinuz",
    )?;
    vm.says("imgbase boot --get-default", ONE)?;
    second(vm, "bare")?;
    // One copy of the kernel and one of the initramfs, whoever has them.
    let stored = "find /boot -type f -size +1M -path '*imgbase*' | wc -l";
    vm.says(stored, "2")?;
    vm.says("imgbase boot --get-default", ONE)?;
    let_go(vm)?;

    let mut booted = vm.boot(Start::nvme(DISK, loader.firmware()))?;
    is_layer(&mut booted, ONE)?;
    mount_boot(&mut booted, loader)?;
    booted.says("imgbase w", &format!("You are on {ONE}"))?;
    // There is nothing to fall back to yet.
    booted.fails(3, "imgbase boot --on-trial")?;
    booted.imgbase("boot --bless")?;
    booted.imgbase(&format!("boot --set-default {TWO}"))?;
    says(&mut booted, "boot --get-default", TWO)?;
    booted.ok("umount /boot")?;
    booted.reboot()?;

    // It is on trial until somebody finds it good; a cut of the power counts as a try.
    is_layer(&mut booted, TWO)?;
    must(booted.argument("panic") == Some("1"), booted.cmdline().to_owned())?;
    must(booted.cmdline().contains("rd.emergency=reboot"), booted.cmdline().to_owned())?;
    booted.cut()?;
    is_layer(&mut booted, TWO)?;
    mount_boot(&mut booted, loader)?;
    booted.imgbase("boot --on-trial")?;
    let why = booted.fails(3, &format!("imgbase layer --remove {ONE}"))?;
    must(why.contains("falls back to it"), why)?;
    booted.imgbase("boot --bless")?;
    booted.fails(3, "imgbase boot --on-trial")?;
    booted.imgbase("check")?;

    // Once, then back again, found good; and back for good.
    booted.imgbase(&format!("boot --once {ONE}"))?;
    booted.ok("umount /boot")?;
    booted.reboot()?;
    is_layer(&mut booted, ONE)?;
    booted.reboot()?;
    is_layer(&mut booted, TWO)?;
    must(!booted.cmdline().contains("rd.emergency=reboot"), booted.cmdline().to_owned())?;
    mount_boot(&mut booted, loader)?;
    booted.imgbase("rollback")?;
    booted.ok("umount /boot")?;
    booted.reboot()?;
    is_layer(&mut booted, ONE)?;
    must(booted.ends_since(0) == [End::Up; 6], format!("{:?}", booted.boots()))?;
    booted.power_off()?;

    loaders::mount(vm, DISK, loader)?;
    vm.ok("cmp /tmp/foreign.conf /boot/loader/entries/foreign.conf")?;
    vm.says("imgbase boot --get-default", ONE)?;
    vm.imgbase("boot --list")?;
    let_go(vm)
}
