//! Our boot entries on real firmware and real boot loaders: what is installed boots, what is chosen
//! boots next, and what does not come up gives way to the layer before it.

mod adopts;
mod cuts;
mod falls;
mod life;
mod lists;
mod systems;
mod update;

use crate::case::{Case, Outcome, Stop};
use crate::cases::kit::VG;
use crate::cases::loaders::is_layer;
use crate::loaders::{self, Loader};
use crate::vm::{Booted, Vm};

pub(super) fn cases() -> Vec<Case> {
    [
        life::cases(),
        falls::cases(),
        systems::cases(),
        cuts::cases(),
        update::cases(),
        lists::cases(),
        adopts::cases(),
    ]
    .concat()
}

/// The disk that all of it is on.
const DISK: &str = "vda";
/// The layer that is installed, and one of another base.
const ONE: &str = "Small-1-1+1";
const TWO: &str = "Small-1-2+1";

/// A console for the harness, and no waiting. A panic resets the machine soon.
const WORDS: [&str; 6] =
    ["console=ttyS0", "loglevel=5", "mitigations=off", "nokaslr", "no_timer_check", "panic=1"];

/// Installs a system on a disk with that loader, as an installer would: `/boot` is mounted, and the
/// verbs find it there. It stays mounted.
fn install(vm: &mut Vm, loader: Loader, image: &str) -> Outcome {
    vm.ok("mkdir -p /mnt/layer /mnt/cut")?;
    loaders::install(vm, DISK, loader)?;
    let group = loaders::physical_volume(DISK);
    vm.imgbase(&format!("layout --init Small-1-1 --from /systems/{image}.ext4 {group}"))?;
    vm.imgbase(&format!("boot --args {ONE} {}", added(&WORDS)))?;
    mark(vm, ONE)
}

fn added(words: &[&str]) -> String {
    words.iter().map(|word| format!("--add {word} ")).collect()
}

/// The layer of a second base, which inherits what the first one's kernel is told.
fn second(vm: &mut Vm, image: &str) -> Outcome {
    vm.imgbase(&format!("base --add Small-1-2 /systems/{image}.ext4"))?;
    vm.imgbase("layer --add Small-1-2")?;
    mark(vm, TWO)
}

/// Writes a layer's name into it.
fn mark(vm: &mut Vm, layer: &str) -> Outcome {
    in_layer(vm, layer, &format!("echo {layer} >etc/marker"))
}

/// Writes a layer's name into it, in a system that is up.
fn mark_in(booted: &mut Booted<'_>, layer: &str) -> Outcome {
    booted.ok("mkdir -p /run/layer")?;
    booted.imgbase(&format!("mount {layer} /run/layer"))?;
    booted.ok(&format!("echo {layer} >/run/layer/etc/marker"))?;
    booted.imgbase("umount /run/layer")?;
    Ok(())
}

/// Runs a script in the root of a layer.
fn in_layer(vm: &mut Vm, layer: &str, script: &str) -> Outcome {
    vm.imgbase(&format!("mount {layer} /mnt/layer"))?;
    vm.ok(&format!("cd /mnt/layer && {{ {script}; }}"))?;
    vm.imgbase("umount /mnt/layer")?;
    Ok(())
}

/// Nothing of the disk stays in use: it can be handed over.
fn let_go(vm: &mut Vm) -> Outcome {
    vm.imgbase("check")?;
    loaders::unmount(vm, DISK)?;
    vm.quiet(&format!("vgchange -q -an {VG}"))?;
    Ok(())
}

/// Mounts what the loader reads in the system that is up, as its fstab would.
fn mount_boot(booted: &mut Booted<'_>, loader: Loader) -> Outcome {
    booted.ok(&format!(
        "mkdir -p /boot && {{ modprobe vfat; modprobe nls_ascii; modprobe nls_cp437; true; }} &&
        mount /dev/nvme0n1p{} /boot",
        loader.boot_partition()
    ))?;
    Ok(())
}

/// What `imgbase` says in the system that is up.
fn says(booted: &mut Booted<'_>, args: &str, wanted: &str) -> Outcome {
    booted.says(&format!("imgbase {args}"), wanted).map_err(Stop::from)
}
