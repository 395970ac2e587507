//! Real boot loaders on a disk of the bench, put there by the distribution's own tools.
//!
//! The disk has four partitions, whatever loader it gets: room for GRUB's BIOS half, the EFI system
//! partition, a file system for `/boot`, and the rest for a physical volume. What the loader reads is
//! mounted at `/boot` of the bench, as an installer has it, until [`unmount`].

pub mod cuts;
pub mod grub;
pub mod sd_boot;

use crate::error::Result;
use crate::vm::{Firmware, Vm};

/// A loader, and where it has its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    /// Debian's systemd-boot; `/boot` is the EFI system partition.
    SystemdBoot,
    /// GRUB for UEFI; `/boot` is an ext4.
    GrubEfi,
    /// GRUB for UEFI; `/boot` is the EFI system partition.
    GrubOnEsp,
    /// GRUB for a BIOS; `/boot` is an ext4.
    GrubBios,
}

impl Loader {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::SystemdBoot, Self::GrubEfi, Self::GrubOnEsp, Self::GrubBios];

    /// What starts it.
    #[must_use]
    pub fn firmware(self) -> Firmware {
        if self == Self::GrubBios { Firmware::SeaBios } else { Firmware::Ovmf }
    }

    /// Whether it is GRUB.
    #[must_use]
    pub fn is_grub(self) -> bool {
        self != Self::SystemdBoot
    }

    /// The number of the partition that is `/boot`.
    #[must_use]
    pub fn boot_partition(self) -> u32 {
        if matches!(self, Self::GrubEfi | Self::GrubBios) { BOOT } else { ESP }
    }
}

const ESP: u32 = 2;
const BOOT: u32 = 3;

/// The partition that is to be a physical volume.
#[must_use]
pub fn physical_volume(disk: &str) -> String {
    format!("/dev/{disk}4")
}

const PARTITIONS: &str = "sfdisk -q --wipe always /dev/$disk <<END
label: gpt
size=1MiB, type=21686148-6449-6E6F-744E-656564454649, name=bios
size=240MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=esp
size=240MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=boot
type=E6D6D379-F507-44C2-A23C-238F2A3DF928, name=pv
END
mkfs.vfat -F 32 -n ESP /dev/${disk}2 >/dev/null && mke2fs -q -t ext4 -L boot /dev/${disk}3";

/// Partitions a disk, puts the loader there, and leaves its file system at `/boot`.
///
/// # Errors
/// What the tools say.
pub fn install(vm: &mut Vm, disk: &str, loader: Loader) -> Result<()> {
    vm.ok(&format!("disk={disk}\n{PARTITIONS}"))?;
    mount(vm, disk, loader)?;
    vm.ok(&format!("disk={disk}\n{}", installer(loader))).map(drop)
}

/// GRUB's configuration is as Debian makes it, with an entry of somebody else's.
const GRUB_CONFIGURATION: &str = r#"
printf '%s\n' GRUB_TIMEOUT=0 GRUB_TERMINAL=serial 'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"' \
    GRUB_DISABLE_OS_PROBER=true >/etc/default/grub
printf '%s\n' '#!/bin/sh' 'exec tail -n +3 $0' "menuentry 'Somebody else' { halt }" >/etc/grub.d/40_custom
grub-mkconfig -o /boot/grub/grub.cfg 2>/dev/null"#;

fn installer(loader: Loader) -> String {
    let efi = "grub-install --target=x86_64-efi --removable --no-nvram --boot-directory=/boot";
    let quiet = "2>/dev/null";
    match loader {
        Loader::SystemdBoot => {
            "bootctl --esp-path=/boot --no-variables install 2>/dev/null >/dev/null &&
            echo 'timeout 0' >/boot/loader/loader.conf"
                .to_owned()
        }
        Loader::GrubEfi => {
            format!("{efi} --efi-directory=/boot/efi {quiet} && {GRUB_CONFIGURATION}")
        }
        Loader::GrubOnEsp => format!("{efi} --efi-directory=/boot {quiet} && {GRUB_CONFIGURATION}"),
        Loader::GrubBios => format!(
            "grub-install --target=i386-pc --boot-directory=/boot /dev/$disk {quiet} &&
            {GRUB_CONFIGURATION}"
        ),
    }
}

/// Mounts what the loader reads at `/boot`.
///
/// # Errors
/// What mount says.
pub fn mount(vm: &mut Vm, disk: &str, loader: Loader) -> Result<()> {
    vm.ok(&format!("mount /dev/{disk}{} /boot", loader.boot_partition()))?;
    if loader == Loader::GrubEfi {
        vm.ok(&format!("mkdir -p /boot/efi && mount /dev/{disk}{ESP} /boot/efi"))?;
    }
    Ok(())
}

/// Takes `/boot` away again, which must be clean.
///
/// # Errors
/// What umount or fsck says.
pub fn unmount(vm: &mut Vm, disk: &str) -> Result<()> {
    vm.ok(&format!(
        "! mountpoint -q /boot/efi || umount /boot/efi || exit
        umount /boot && fsck.fat -n /dev/{disk}{ESP} && e2fsck -fn /dev/{disk}{BOOT}"
    ))
    .map(drop)
}
