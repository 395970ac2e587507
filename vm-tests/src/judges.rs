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

/// What thin_check and thin_ls say of the metadata of the pool `$2` of `$1`, and lvm2 of its volumes.
const POOL: &str = r#"tmeta=$1/$2_tmeta
lvchange -ay -y $tmeta >/dev/null || exit
thin_check -q /dev/$tmeta >&2 && there=$(thin_ls --no-headers -o DEV /dev/$tmeta)
status=$?
lvchange -an $tmeta >/dev/null && [ $status = 0 ] || exit
echo $there
lvs --noheadings -o thin_id,lv_name -S "pool_lv=$2" $1"#;

/// Asks thin_check about the pool's metadata, and thin_ls for the thin devices in it: each must be
/// a volume's, and each volume must have its own. The pool must not be active. Returns the names
/// of its volumes.
///
/// # Errors
/// What one of them says, or the ids of both where they differ.
pub fn thin_pool(vm: &mut Vm, vg: &str, pool: &str) -> Result<Vec<String>> {
    let said = vm.quiet(&format!("set -- {vg} {pool}\n{POOL}"))?;
    let mut lines = said.lines();
    let mut there: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let volumes = lines.filter_map(|line| line.trim().split_once(' '));
    let (mut known, names): (Vec<&str>, Vec<String>) =
        volumes.map(|(id, name)| (id, name.trim().to_owned())).unzip();
    there.sort_unstable();
    known.sort_unstable();
    if there == known {
        return Ok(names);
    }
    let beyond = |ids: &[&str], others: &[&str]| -> Vec<String> {
        let beyond = ids.iter().filter(|id| !others.contains(*id));
        beyond.take(SHOWN).map(ToString::to_string).collect()
    };
    let (stray, lost) = (beyond(&there, &known), beyond(&known, &there));
    Err(Fail::new(format!(
        "{vg}/{pool}: thin ids that no volume has {stray:?}, lost ones {lost:?}"
    )))
}

/// So many ids are shown.
const SHOWN: usize = 8;

/// Asks e2fsck about an ext4 on a volume or in a file; its journal may be in use only where
/// nothing is mounted.
///
/// # Errors
/// What it says.
pub fn ext4(vm: &mut Vm, device: &str) -> Result<()> {
    vm.ok(&format!("e2fsck -fn {device}")).map(drop)
}

/// Lets lvm2 deactivate all of `vg`, asks [`thin_pool`], activates again and asks e2fsck about each
/// volume of the pool that holds an ext4.
///
/// # Errors
/// What the first that complains says.
pub fn at_rest(vm: &mut Vm, vg: &str, pool: &str) -> Result<()> {
    lvm2(vm, vg)?;
    vm.ok(&format!("vgchange -q -an {vg}"))?;
    let volumes = thin_pool(vm, vg, pool)?;
    vm.quiet(&format!("vgchange -q -ay -K {vg}"))?;
    for name in volumes {
        let device = format!("/dev/{vg}/{name}");
        vm.ok(&format!(
            "[ \"$(blkid -p -o value -s TYPE {device})\" != ext4 ] || e2fsck -fn {device}"
        ))?;
    }
    Ok(())
}
