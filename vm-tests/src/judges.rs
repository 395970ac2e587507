//! What lvm2, thin-provisioning-tools and e2fsprogs think of a volume group.

use crate::error::{Fail, Result};
use crate::vm::Vm;

/// Asks lvm2 about `vg`: no warning and no error from any of its commands.
///
/// # Errors
/// What the first of them that complains says.
pub fn lvm2(vm: &mut Vm, vg: &str) -> Result<()> {
    let pvs = vm.quiet(&format!("pvs --noheadings -o pv_name -S vg_name={vg}"))?;
    let dumps = pvs.split_whitespace().map(|pv| format!(" && pvck --dump headers {pv}"));
    let dumps: String = dumps.collect();
    let said = vm.quiet(&format!("vgck {vg} && vgs {vg} && lvs -a {vg}{dumps}"))?;
    no_complaint(&said)
}

fn no_complaint(said: &str) -> Result<()> {
    let bad = ["WARNING", "rror", "CHECK", "mismatch", "unknown", "failed"];
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
