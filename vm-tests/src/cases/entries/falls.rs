//! A layer on trial that comes up in no way, and the layer before it, which is booted in the end.

use super::{DISK, ONE, TWO, in_layer, is_layer, let_go, second};
use crate::case::{Case, Outcome, counted, is_whole, must};
use crate::loaders::{self, Loader};
use crate::vm::{End, Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("entries::systemd_boot_falls_back", |vm| falls(vm, Loader::SystemdBoot))
            .within(900),
        Case::new("entries::grub_falls_back", |vm| falls(vm, Loader::GrubEfi)).within(900),
        Case::new("entries::grub_on_a_bios_falls_back", |vm| falls(vm, Loader::GrubBios))
            .within(900),
    ]
}

/// A first process that fails in another way each time: a panic; no end; a command that is to find
/// out whether all is well says no, and the machine starts again.
const FAILS: &str = r#"#!/bin/sh
mount -t proc proc /proc && mount -o remount,rw / || exit
[ -e /panicked ] || { touch /panicked && sync && echo c >/proc/sysrq-trigger; }
[ -e /hung ] || { touch /hung && sync && exec sleep 100000; }
false || reboot -f
"#;

/// One that panics each time.
const PANICS: &str = "#!/bin/sh\nmount -t proc proc /proc && echo c >/proc/sysrq-trigger\n";

/// How many of the four ways to fail are tried; the last is tried with each loader. On UEFI and a BIOS
/// GRUB has the same counter.
fn ways(loader: Loader) -> usize {
    match loader {
        Loader::GrubEfi if !is_whole() => 2,
        _ => 4,
    }
}

/// With our initramfs.
fn falls(vm: &mut Vm, loader: Loader) -> Outcome {
    super::install(vm, loader, "bare")?;
    second(vm, "bare")?;
    let ways = ways(loader);
    let (script, falls) = match ways {
        2 => (PANICS, [End::Reset, End::Reset, End::Reset, End::Up]),
        _ => (FAILS, [End::Reset, End::Hung, End::Reset, End::Up]),
    };
    vm.put("/tmp/fails", "755", script.as_bytes())?;
    in_layer(vm, TWO, "cp -p /tmp/fails sbin/init")?;
    let chosen = vm.imgbase(&format!("--json boot --set-default {TWO}"))?;
    must(chosen.contains(&format!("\"fallback\":\"{ONE}\"")), chosen)?;
    let_go(vm)?;

    let mut booted = vm.boot(Start::nvme(DISK, loader.firmware()))?;
    must(booted.ends_since(0) == falls, format!("{:?}", booted.boots()))?;
    is_layer(&mut booted, ONE)?;
    // It goes on with that.
    booted.reboot()?;
    is_layer(&mut booted, ONE)?;
    booted.power_off()?;

    loaders::mount(vm, DISK, loader)?;
    let told = vm.sh("imgbase boot --list; imgbase check")?;
    let told = format!("{}{}", told.stdout, told.stderr);
    must(told.contains(TWO) && told.contains("was tried 3 times and never blessed"), told)?;
    counted(format!("{ways} of 4 ways to fail"));
    // Without an init at all; once is enough.
    in_layer(vm, TWO, "rm -f sbin/init etc/init bin/init bin/sh && cp /tools/guest bin/sh")?;
    vm.imgbase(&format!("boot --set-default {ONE}"))?;
    vm.imgbase(&format!("boot --set-default {TWO} --tries 1"))?;
    let_go(vm)?;
    let mut booted = vm.boot(Start::nvme(DISK, loader.firmware()))?;
    must(booted.ends_since(0) == [End::Reset, End::Up], format!("{:?}", booted.boots()))?;
    is_layer(&mut booted, ONE)?;
    booted.power_off()?;
    Ok(())
}
