//! A host that was installed on a thin volume is adopted while it runs, and goes on from a layer.

use super::systems::{FIT_OUT, UNITS, is_blessed, is_running};
use super::{DISK, WORDS, is_layer, mark_in};
use crate::case::{Case, Outcome, must};
use crate::cases::kit::VG;
use crate::judges;
use crate::loaders::{self, Loader};
use crate::vm::{Booted, Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("entries::adopts_what_runs", adopts).within(900)]
}

/// The layer that the host becomes.
const LAYER: &str = "Host-1-0+1";

/// A Debian on a thin volume, as installers make them: kernels on the partition at `/boot`, an entry
/// there, and the kernel's arguments where Debian has them.
fn install(vm: &mut Vm) -> Outcome {
    vm.ok("mkdir -p /mnt/layer")?;
    loaders::install(vm, DISK, Loader::SystemdBoot)?;
    for (name, unit) in UNITS {
        vm.put(&format!("/tmp/imgbase-{name}.service"), "644", unit.as_bytes())?;
    }
    let (pv, words) = (loaders::physical_volume(DISK), WORDS.join(" "));
    vm.ok(&format!(
        "vgcreate -q {VG} {pv} && lvcreate -q -L 1300M -c 64k -T {VG}/pool00 &&
        lvcreate -q -V 1G -n root {VG}/pool00 &&
        dd if=/systems/full.ext4 of=/dev/{VG}/root bs=1M conv=sparse,fsync status=none &&
        mount /dev/{VG}/root /mnt/layer && cd /mnt/layer && {{ {FIT_OUT}; }} &&
        sed -i 's|^/dev/disk/by-label/root |/dev/mapper/{VG}-root |' etc/fstab &&
        mkdir -p etc/kernel && echo '{words}' >etc/kernel/cmdline && echo installed >etc/marker &&
        mv boot/* /boot/ && cd /boot && kernel=$(ls vmlinuz-*) && mkdir -p loader/entries &&
        printf '%s\n' 'title Debian' \"linux /$kernel\" \"initrd /initrd.img-${{kernel#vmlinuz-}}\" \
            'options root=/dev/mapper/{VG}-root ro {words}' >loader/entries/debian.conf &&
        echo 'default debian.conf' >>loader/loader.conf && cd / && umount /mnt/layer"
    ))?;
    loaders::unmount(vm, DISK)?;
    vm.quiet(&format!("vgchange -q -an {VG}"))?;
    Ok(())
}

/// The volume that was installed runs.
fn is_installed(booted: &mut Booted<'_>) -> Outcome {
    booted.says(
        "cat /etc/marker; findmnt -n -o SOURCE /",
        &format!("installed\n/dev/mapper/{VG}-root"),
    )?;
    is_running(booted)
}

fn adopts(vm: &mut Vm) -> Outcome {
    install(vm)?;
    let start = Start::virtio(DISK, Loader::SystemdBoot.firmware());
    let mut booted = vm.boot(start)?;
    is_installed(&mut booted)?;
    booted.ok(
        "echo early >/etc/early && sync && sha256sum /boot/loader/entries/debian.conf >/root/entry",
    )?;
    let said = booted.ok("imgbase --yes layout --init Host-1-0 2>&1")?;
    must(said.contains(LAYER), said)?;
    mark_in(&mut booted, LAYER)?;
    // What is changed from here on stays behind, and is told.
    booted.ok("echo late >/etc/late && rm /etc/early")?;
    booted.reboot()?;
    is_layer(&mut booted, LAYER)?;
    is_blessed(&mut booted)?;
    booted.says(
        "cat /etc/early; [ ! -e /etc/late ]; imgbase boot --get-default",
        &format!("early\n{LAYER}"),
    )?;
    let said = booted.sh("imgbase check 2>&1")?.stdout;
    must(said.contains("/etc/late") && said.contains("/etc/early"), said)?;
    // The way back to what was installed is there, as it was.
    booted.ok("sha256sum -c /root/entry && bootctl set-oneshot debian.conf")?;
    booted.reboot()?;
    is_installed(&mut booted)?;
    booted.says("cat /etc/late; [ ! -e /etc/early ] && echo gone", "late\ngone")?;
    booted.reboot()?;
    is_layer(&mut booted, LAYER)?;
    booted.power_off()?;
    judges::at_rest(vm, VG, "pool00")?;
    Ok(())
}
