//! A layer on trial that comes up in no way, and the layer before it, which is booted in the end.

use crate::case::{Case, Outcome, Stop, must};
use crate::cases::loaders::by_hand::{self, DISK, is_layer};
use crate::cases::loaders::grub;
use crate::loaders::{self, Loader, sd_boot};
use crate::vm::{End, Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("loaders::systemd_boot_counts", systemd_boot_counts).within(900),
        Case::new("loaders::grub_counts", |vm| grub_counts(vm, Loader::GrubEfi)).within(900),
        Case::new("loaders::grub_counts_on_a_bios", |vm| grub_counts(vm, Loader::GrubBios))
            .within(900),
    ]
}

/// A first process that fails in another way each time: a panic, no end, and at last there is none:
/// an initramfs then takes a shell, which ends, as it knows nothing of the kernel's arguments.
const FAILS: &str = r#"#!/bin/sh
mount -t proc proc /proc && mount -o remount,rw / || exit
[ -e /fallen ] || { touch /fallen && sync && echo c >/proc/sysrq-trigger; }
rm /sbin/init && sync && exec sleep 100000
"#;

/// How that looks from outside, and the fallback after it.
const FALLS: [End; 4] = [End::Reset, End::Hung, End::Reset, End::Up];

/// A layer that fails.
fn failing_layer(vm: &mut Vm) -> Result<String, Stop> {
    let layer = by_hand::add_layer(vm)?;
    vm.put("/tmp/fails", "755", FAILS.as_bytes())?;
    by_hand::in_layer(vm, &layer, "cp -p /tmp/fails sbin/init")?;
    Ok(layer)
}

/// The default is a pattern for both, and the trial sorts first until it has no tries left.
fn systemd_boot_counts(vm: &mut Vm) -> Outcome {
    by_hand::install(vm, Loader::SystemdBoot, "small")?;
    let trial = failing_layer(vm)?;
    by_hand::entry(vm, "foreign.conf", "Small-1-1+1", "sort-key 0")?;
    by_hand::entry(vm, "imgbase__f__.conf", "Small-1-1+1", "sort-key b")?;
    by_hand::entry(vm, "imgbase__f__t__+3-0.conf", &trial, "sort-key a")?;
    vm.ok("echo 'default imgbase__f__*' >>/boot/loader/loader.conf")?;
    sd_boot::must_choose(&sd_boot::read(vm, "/boot")?, "imgbase__f__t__+3-0.conf")?;
    by_hand::let_go(vm)?;

    let mut booted = vm.boot(Start::nvme(DISK, Loader::SystemdBoot.firmware()))?;
    must(booted.ends_since(0) == FALLS, format!("{:?}", booted.boots()))?;
    is_layer(&mut booted, "Small-1-1+1")?;
    booted.power_off()?;
    loaders::mount(vm, DISK, Loader::SystemdBoot)?;
    let esp = sd_boot::read(vm, "/boot")?;
    let names: Vec<&str> = esp.entries.iter().map(|entry| entry.name.as_str()).collect();
    let left = ["foreign.conf", "imgbase__f__.conf", "imgbase__f__t__+0-3.conf"];
    must(names == left, format!("{names:?}"))?;
    sd_boot::must_choose(&esp, "imgbase__f__.conf")?;
    by_hand::let_go(vm)
}

/// A one-shot first, then the tries, counted in a file of 1024 bytes.
fn grub_counts(vm: &mut Vm, loader: Loader) -> Outcome {
    by_hand::install(vm, loader, "small")?;
    let (once, trial) = (by_hand::add_layer(vm)?, failing_layer(vm)?);
    grub::configure(
        vm,
        &format!(
            "imgbase_default=Small-1-1+1 imgbase_once={once} imgbase_trial={trial} imgbase_tries=3"
        ),
    )?;
    for layer in ["Small-1-1+1", &once, &trial] {
        by_hand::menu_entry(vm, 1, layer)?;
    }
    by_hand::let_go(vm)?;

    let mut booted = vm.boot(Start::nvme(DISK, loader.firmware()))?;
    is_layer(&mut booted, &once)?;
    booted.reboot()?;
    must(booted.ends_since(1) == FALLS, format!("{:?}", booted.boots()))?;
    is_layer(&mut booted, "Small-1-1+1")?;
    booted.power_off()?;
    loaders::mount(vm, DISK, loader)?;
    let left = format!(
        "imgbase_menu=1\nimgbase_default=Small-1-1+1\nimgbase_once=\nimgbase_trial={trial}\nimgbase_tries=0"
    );
    vm.says("grub-editenv /boot/grub/imgbase.env list", &left)?;
    vm.says("stat -c %s /boot/grub/imgbase.env", "1024")?;
    by_hand::let_go(vm)
}
