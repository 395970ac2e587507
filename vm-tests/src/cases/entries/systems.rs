//! Our entries with the initramfs of two distributions' tools, and a real Debian that finds itself
//! good.

use super::{DISK, ONE, TWO, in_layer, is_layer, let_go, second};
use crate::case::{Case, Outcome, must};
use crate::loaders::Loader;
use crate::vm::{End, Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("entries::dracut", dracut).within(900),
        Case::new("entries::own_initramfs", own_initramfs).within(900),
        Case::new("entries::debian", debian).within(1200),
    ]
}

/// A disk for which the kernel needs modules, and an initramfs of dracut's.
fn dracut(vm: &mut Vm) -> Outcome {
    super::install(vm, Loader::SystemdBoot, "dracut")?;
    let_go(vm)?;
    let mut booted = vm.boot(Start::virtio(DISK, Loader::SystemdBoot.firmware()))?;
    is_layer(&mut booted, ONE)?;
    let log = booted.ok("dmesg")?;
    must(log.contains("dracut"), "the initramfs is not dracut's")?;
    booted.power_off()?;
    Ok(())
}

/// The program itself as the initramfs, in place of the tree's; then a tree that has none.
fn own_initramfs(vm: &mut Vm) -> Outcome {
    super::install(vm, Loader::SystemdBoot, "small")?;
    vm.imgbase(&format!("boot --setup {ONE} --own-initrd"))?;
    vm.ok("[ -z \"$(find /boot -name 'initrd.img*')\" ]")?;
    in_layer(vm, ONE, "rm boot/initrd.img-*")?;
    vm.imgbase(&format!("layer --add {ONE}"))?;
    vm.says("find /boot/imgbase -name 'imgbase-*.img' | wc -l", "1")?;
    let_go(vm)?;
    let mut booted = vm.boot(Start::virtio(DISK, Loader::SystemdBoot.firmware()))?;
    is_layer(&mut booted, ONE)?;
    let log = booted.ok("dmesg")?;
    must(log.contains(&format!("imgbase: HostVG/{ONE} is the root")), log)?;
    booted.power_off()?;
    Ok(())
}

/// The units of the package.
const UNITS: [(&str, &str); 2] = [
    ("bless", include_str!("../../../../systemd/imgbase-bless.service")),
    ("retry", include_str!("../../../../systemd/imgbase-retry.service")),
];

/// `/boot` as an installer has it, and the units.
const FIT_OUT: &str =
    "cp /tools/imgbase usr/bin/ && cp /tmp/imgbase-*.service etc/systemd/system/ &&
    echo 'LABEL=ESP /boot vfat umask=077 0 0' >>etc/fstab &&
    chroot . systemctl --quiet enable imgbase-bless.service";

/// A Debian on trial is found good by its own systemd once it is up. One whose check of itself
/// fails is started as often as it has tries, and gives way.
fn debian(vm: &mut Vm) -> Outcome {
    super::install(vm, Loader::SystemdBoot, "full")?;
    for (name, unit) in UNITS {
        vm.put(&format!("/tmp/imgbase-{name}.service"), "644", unit.as_bytes())?;
    }
    in_layer(vm, ONE, FIT_OUT)?;
    second(vm, "full")?;
    in_layer(vm, TWO, FIT_OUT)?;
    vm.imgbase(&format!("boot --set-default {TWO}"))?;
    let_go(vm)?;
    let mut booted = vm.boot(Start::virtio(DISK, Loader::SystemdBoot.firmware()))?;
    is_layer(&mut booted, TWO)?;
    booted.ok(
        "timeout 200 sh -c 'until systemctl -q is-active imgbase-bless.service; do sleep 1; done'",
    )?;
    booted.fails(3, "imgbase boot --on-trial")?;
    booted.says("imgbase boot --get-default", TWO)?;
    must(booted.ends_since(0) == [End::Up], format!("{:?}", booted.boots()))?;
    // What must be well for it to be good.
    booted.ok("printf '[Unit]\\nBefore=boot-complete.target\\n[Service]\\nType=oneshot\\n\
        ExecStart=/bin/false\\n[Install]\\nRequiredBy=boot-complete.target\\n' \
        >/etc/systemd/system/health.service && systemctl enable health.service && sync")?;
    booted.imgbase(&format!("boot --set-default {TWO} --tries 1"))?;
    booted.reboot()?;
    is_layer(&mut booted, TWO)?;
    let mut past = booted.boots().len();
    booted.fall("sleep 200")?;
    past = booted.boots().len().saturating_sub(past);
    must(past == 1, format!("{:?}", booted.boots()))?;
    is_layer(&mut booted, ONE)?;
    booted.power_off()?;
    Ok(())
}
