//! Devices that hold something: a case for each signature that wipefs knows.
//!
//! What has a maker in Debian is made by it, the rest is written byte by byte; either way wipefs
//! must see it first. Then `layout --init` refuses the device, and with `--force` takes it.

mod made;
mod written;

use super::refused::{Attempt, refused, refused_each};
use super::state::unchanged;
use crate::case::{Case, Outcome, must};
use crate::vm::{Spec, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![
        many("refusals::file_systems_on_a_device", |vm| all(vm, made::FILE_SYSTEMS)),
        many("refusals::parts_of_storage_on_a_device", |vm| all(vm, made::STORAGE)),
        many("refusals::rare_file_systems_on_a_device", |vm| all(vm, written::FILE_SYSTEMS)),
        many("refusals::rare_storage_on_a_device", |vm| all(vm, written::STORAGE)),
        Case::new("refusals::data_on_a_device", data_on_a_device),
    ]
}

/// A case on a machine with many disks.
fn many(name: &'static str, run: fn(&mut Vm) -> Outcome) -> Case {
    Case { spec: Spec::plain(&[1024; 12]), ..Case::new(name, run).within(300) }
}

/// Something that wipefs knows.
struct Signature {
    /// The type that wipefs reports.
    kind: &'static str,
    /// What imgbase must call it; empty where it may be unknown to it.
    called: &'static str,
    /// How it comes onto the device `$d`, as a shell script.
    make: &'static str,
}

const fn called(kind: &'static str, called: &'static str, make: &'static str) -> Signature {
    Signature { kind, called, make }
}

const fn any(kind: &'static str, make: &'static str) -> Signature {
    Signature { kind, called: "", make }
}

/// For the scripts: bytes at an offset (from the end where it is negative), and a program of the
/// guest's second root, which holds makers only.
const HELP: &str = r#"
at() {
    to=$1; [ $to -ge 0 ] || to=$(($(blockdev --getsize64 $d) + to))
    printf -- "$2" | dd of=$d bs=1 seek=$to conv=notrunc status=none
}
m() { chroot /makers "$@"; }
"#;

const PREPARE: &str =
    "for d in dev proc sys; do mkdir -p /makers/$d && mount --rbind /$d /makers/$d; done";

/// As many at once as the machine has disks.
fn all(vm: &mut Vm, signatures: &[Signature]) -> Outcome {
    vm.ok(PREPARE)?;
    let disks: Vec<String> = vm.spec.disk_names().map(|name| format!("/dev/{name}")).collect();
    for some in signatures.chunks(disks.len()) {
        let taken: Vec<(&Signature, &str)> =
            some.iter().zip(disks.iter().map(String::as_str)).collect();
        some_at_once(vm, &taken)?;
    }
    vm.ok("umount -R /makers/sys /makers/proc /makers/dev")?;
    Ok(())
}

fn some_at_once(vm: &mut Vm, taken: &[(&Signature, &str)]) -> Outcome {
    make(vm, taken)?;
    let attempts: Vec<Attempt<'_>> = taken
        .iter()
        .map(|(signature, disk)| {
            let names = [*disk, signature.called, "--force"];
            Attempt::new(3, &format!("layout --init {disk}"), &names)
        })
        .collect();
    unchanged(vm, |vm| refused_each(vm, &attempts))?;
    let disks: Vec<&str> = taken.iter().map(|(_, disk)| *disk).collect();
    wiped(vm, &disks.join(" "))
}

/// Makes each on its disk; wipefs must see it.
fn make(vm: &mut Vm, taken: &[(&Signature, &str)]) -> Outcome {
    let mut script = format!("set -e\n{HELP}");
    for (Signature { make, .. }, disk) in taken {
        script += &format!("d={disk}\n{{ {make}; }} >&2\n");
    }
    script += "wipefs -n -O DEVICE,TYPE --noheadings";
    taken.iter().for_each(|(_, disk)| script += &format!(" {disk}"));
    let seen = vm.ok(&script)?;
    for (Signature { kind, make, .. }, disk) in taken {
        let line = [disk.trim_start_matches("/dev/"), kind];
        let sees_it = seen.lines().any(|seen| seen.split_whitespace().eq(line));
        must(sees_it, format!("wipefs sees no {kind} on {disk} after {make}:\n{seen}"))?;
    }
    Ok(())
}

/// With `--force` the devices become a layout, and nothing else is seen on them.
fn wiped(vm: &mut Vm, disks: &str) -> Outcome {
    vm.imgbase(&format!("layout --init --force --config-size 0 --size 100M {disks}"))?;
    vm.ok("vgck HostVG && imgbase deactivate && vgchange -q -an HostVG")?;
    vm.says(&format!("wipefs -n -O TYPE --noheadings {disks} | sort -u"), "LVM2_member")?;
    vm.ok(&format!("for d in {disks}; do blkdiscard -f $d; done"))?;
    Ok(())
}

/// What is no signature at all, at either end of a device.
fn data_on_a_device(vm: &mut Vm) -> Outcome {
    vm.ok("printf x | dd of=/dev/vda bs=1 seek=1048575 conv=notrunc")?;
    vm.ok("printf x | dd of=/dev/vdb bs=1 seek=$((2048 * 1048576 - 1048576)) conv=notrunc")?;
    vm.ok("head -c 64k /dev/urandom >/dev/vdc && printf x | dd of=/dev/vdd bs=1 conv=notrunc")?;
    unchanged(vm, |vm| {
        for disk in ["/dev/vda", "/dev/vdb", "/dev/vdc", "/dev/vdd"] {
            refused(vm, 3, &format!("layout --init {disk}"), &[disk, "unknown data", "--force"])?;
        }
        refused(vm, 3, "layout --init /dev/vdc /dev/vdb", &["/dev/vd", "unknown data"])
    })?;
    wiped(vm, "/dev/vda /dev/vdb /dev/vdc /dev/vdd")
}
