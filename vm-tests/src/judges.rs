//! What lvm2, thin-provisioning-tools and e2fsprogs think of a volume group.

use crate::error::{Fail, Result};
use crate::vm::Vm;

/// Reads one command of lvm2 a line, so that one process answers all: it starts slowly.
const SHELL: &str = "pvs=$(guest labelled); \
    { for word in pvs vgs 'lvs -a -o +tags' \"vgck $1\"; do echo \"$word\"; done; \
    for pv in $pvs; do echo \"pvck --dump headers $pv\"; done; } | lvm";

/// Asks lvm2 about `vg`: no warning and no error from any of its commands; returns what it says,
/// with the tags of the volumes.
///
/// # Errors
/// What the first of them that complains says.
pub fn lvm2(vm: &mut Vm, vg: &str) -> Result<String> {
    let said = vm.quiet(&format!("set -- {vg}\n{SHELL}"))?;
    no_complaint(&said)?;
    let known = said.lines().any(|line| line.split_whitespace().next() == Some(vg));
    if known { Ok(said) } else { Err(Fail::new(format!("lvm2 does not see {vg}:\n{said}"))) }
}

fn no_complaint(said: &str) -> Result<()> {
    let bad = ["WARNING", "rror", "CHECK", "mismatch", "unknown", "ailed", "nvalid", "missing"];
    match said.lines().find(|line| bad.iter().any(|word| line.contains(word))) {
        Some(line) => Err(Fail::new(format!("lvm2 complains: {line}\n{said}"))),
        None => Ok(()),
    }
}

/// Asks thin_check about the pool's metadata; the pool must not be active.
///
/// # Errors
/// What lvm2 or thin_check says.
pub fn thin_pool(vm: &mut Vm, vg: &str, pool: &str) -> Result<()> {
    let tmeta = format!("{vg}/{pool}_tmeta");
    vm.ok(&format!("lvchange -ay -y {tmeta}"))?;
    let checked = vm.quiet(&format!("thin_check -q /dev/{tmeta}"));
    vm.ok(&format!("lvchange -an {tmeta}"))?;
    checked.map(drop)
}

/// Asks e2fsck about an ext4 on a volume or in a file; its journal may be in use only where
/// nothing is mounted.
///
/// # Errors
/// What it says.
pub fn ext4(vm: &mut Vm, device: &str) -> Result<()> {
    vm.ok(&format!("e2fsck -fn {device}")).map(drop)
}

/// Lets lvm2 deactivate all of `vg`, asks thin_check, activates again and asks e2fsck about each
/// layer that holds an ext4.
///
/// # Errors
/// What the first that complains says.
pub fn at_rest(vm: &mut Vm, vg: &str, pool: &str) -> Result<()> {
    lvm2(vm, vg)?;
    vm.ok(&format!("vgchange -q -an {vg}"))?;
    thin_pool(vm, vg, pool)?;
    vm.quiet(&format!("vgchange -q -ay -K {vg}"))?;
    let thin = format!("lvs --noheadings -o lv_name -S 'segtype=thin' {vg}");
    for name in vm.quiet(&thin)?.split_whitespace() {
        let device = format!("/dev/{vg}/{name}");
        vm.ok(&format!(
            "[ \"$(blkid -p -o value -s TYPE {device})\" != ext4 ] || e2fsck -fn {device}"
        ))?;
    }
    Ok(())
}
