//! A unified kernel image: kernel, our initramfs and command line in one file, which the stub of
//! systemd starts.

use std::fs;

use crate::case::{Case, Outcome, must};
use crate::cases::loaders::by_hand::{self, DISK, in_layer, is_layer};
use crate::error::Result;
use crate::loaders::Loader;
use crate::setup::shell::script;
use crate::vm::{Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("loaders::unified_kernel_image", unified).within(900)]
}

const LAYER: &str = "Small-1-1+1";
const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
/// Where systemd-boot finds it with no entry.
const PLACE: &str = "/boot/EFI/Linux/imgbase.efi";

/// As docs/first-process.md has it.
const JOIN: &str = "objcopy \
    --add-section .osrel=os-release --change-section-vma .osrel=0x20000 \
    --add-section .cmdline=cmdline --change-section-vma .cmdline=0x30000 \
    --add-section .linux=vmlinuz --change-section-vma .linux=0x2000000 \
    --add-section .initrd=initrd --change-section-vma .initrd=0x3000000 \
    stub imgbase.efi";

/// systemd-boot starts it, and the firmware by itself.
fn unified(vm: &mut Vm) -> Outcome {
    by_hand::install(vm, Loader::SystemdBoot, "small")?;
    in_layer(
        vm,
        LAYER,
        "mkdir /tmp/parts && cp boot/vmlinuz-* /tmp/parts/vmlinuz &&
        cp usr/lib/os-release /tmp/parts/ && imgbase initrd --root . --output /tmp/parts/initrd",
    )?;
    let image = join(vm)?;
    vm.ok("mkdir -p /boot/EFI/Linux && rm -r /boot/imgbase")?;
    vm.put(PLACE, "644", &image)?;
    by_hand::let_go(vm)?;
    is_started(vm)?;

    vm.ok(&format!("mount /dev/{DISK}2 /boot && mv {PLACE} /boot/EFI/BOOT/BOOTX64.EFI"))?;
    by_hand::let_go(vm)?;
    is_started(vm)
}

/// On the host, which has objcopy for its compiler.
fn join(vm: &mut Vm) -> Result<Vec<u8>> {
    let folder = vm.folder().join("unified");
    fs::create_dir_all(&folder)?;
    for name in ["vmlinuz", "os-release", "initrd"] {
        fs::write(folder.join(name), vm.get(&format!("/tmp/parts/{name}"))?)?;
    }
    fs::write(folder.join("stub"), vm.get(STUB)?)?;
    fs::write(folder.join("cmdline"), by_hand::arguments(LAYER))?;
    script(&folder, JOIN, &[])?;
    Ok(fs::read(folder.join("imgbase.efi"))?)
}

fn is_started(vm: &mut Vm) -> Outcome {
    let mut booted = vm.boot(Start::virtio(DISK, Loader::SystemdBoot.firmware()))?;
    is_layer(&mut booted, LAYER)?;
    let log = booted.ok("dmesg")?;
    must(log.contains(&format!("imgbase: HostVG/{LAYER} is the root")), log)?;
    booted.power_off()?;
    Ok(())
}
