//! Layers that are to be booted, and entries as somebody writes them by hand.

use crate::case::{Outcome, Stop, must};
use crate::cases::kit::VG;
use crate::loaders::{self, Loader};
use crate::vm::{Booted, Vm};

/// The disk that all of it is on.
pub(super) const DISK: &str = "vda";

/// What the kernel is told beside the root. A panic resets the machine soon.
const ARGUMENTS: &str =
    "ro console=ttyS0 loglevel=5 mitigations=off nokaslr no_timer_check panic=1";

/// A disk with a loader, a group in which `Small-1-1+1` is a layer of the system `image`, and its
/// kernel and initramfs in `/boot/imgbase`, one of ours where the image has none. `/boot` stays
/// mounted.
pub(super) fn install(vm: &mut Vm, loader: Loader, image: &str) -> Outcome {
    vm.ok("mkdir -p /mnt/layer")?;
    loaders::install(vm, DISK, loader)?;
    let group = loaders::physical_volume(DISK);
    vm.imgbase(&format!(
        "--loader none layout --init Small-1-1 --from /systems/{image}.ext4 {group}"
    ))?;
    in_layer(
        vm,
        "Small-1-1+1",
        "mkdir /boot/imgbase && cp boot/vmlinuz-* /boot/imgbase/vmlinuz &&
        if [ -e boot/initrd.img-* ]; then cp boot/initrd.img-* /boot/imgbase/initrd
        else imgbase initrd --root . --output /boot/imgbase/initrd >/dev/null; fi && echo Small-1-1+1 >etc/marker",
    )
}

/// Another layer of it, with its name in its `/etc/marker`.
pub(super) fn add_layer(vm: &mut Vm) -> Result<String, Stop> {
    let layer = vm.imgbase("--loader none layer --add Small-1-1")?;
    in_layer(vm, &layer, &format!("echo {layer} >etc/marker"))?;
    Ok(layer)
}

/// Runs a script in the root of a layer.
pub(super) fn in_layer(vm: &mut Vm, layer: &str, script: &str) -> Outcome {
    vm.imgbase(&format!("mount {layer} /mnt/layer"))?;
    vm.ok(&format!("cd /mnt/layer && {{ {script}; }}"))?;
    vm.imgbase("umount /mnt/layer")?;
    Ok(())
}

/// Nothing of the disk stays in use: it can be handed over.
pub(super) fn let_go(vm: &mut Vm) -> Outcome {
    loaders::unmount(vm, DISK)?;
    vm.quiet(&format!("vgchange -q -an {VG}"))?;
    Ok(())
}

/// What the kernel is told for a layer.
pub(super) fn arguments(layer: &str) -> String {
    let volume = layer.replace('-', "--");
    format!("root=/dev/mapper/{VG}-{volume} img.bootid={layer} {ARGUMENTS}")
}

/// Puts an entry for systemd-boot; `more` are further lines.
pub(super) fn entry(vm: &mut Vm, name: &str, layer: &str, more: &str) -> Outcome {
    let text = format!(
        "title {layer}\n{more}\nlinux /imgbase/vmlinuz\ninitrd /imgbase/initrd\noptions {}\n",
        arguments(layer)
    );
    vm.put(&format!("/boot/loader/entries/{name}"), "644", text.as_bytes())?;
    Ok(())
}

/// The system that is up must be the layer: by what the kernel was told, by a file in it, and by the
/// name of the device that is its root.
pub(in crate::cases) fn is_layer(booted: &mut Booted<'_>, layer: &str) -> Outcome {
    let told = booted.argument("img.bootid").map(str::to_owned);
    must(told.as_deref() == Some(layer), format!("{layer}: the kernel was told {told:?}"))?;
    booted.says("cat /etc/marker", layer)?;
    let device = format!("{VG}-{}", layer.replace('-', "--"));
    let root = "awk '$5 == \"/\" { print $3 }' /proc/self/mountinfo | tail -n 1";
    booted.says(&format!("cat /sys/dev/block/$({root})/dm/name"), &device)?;
    Ok(())
}
