//! Bad input: one line on standard error, the documented exit code, not a byte changed.

mod devices;
mod groups;
mod images;
mod mend;
mod names;
mod refused;
mod removal;
mod signatures;
mod state;
mod surroundings;

use self::state::unchanged;
use crate::case::{Case, Outcome, must};
use crate::cases::kit;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    [
        names::cases(),
        images::cases(),
        devices::cases(),
        signatures::cases(),
        removal::cases(),
        groups::cases(),
        surroundings::cases(),
        vec![Case::new("refusals::a_change_would_be_seen", a_change_would_be_seen)],
    ]
    .concat()
}

/// The cases are worth what this is worth.
fn a_change_would_be_seen(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    for change in [
        "printf x | dd of=/dev/vdd bs=1 seek=600000000 conv=notrunc",
        "vgchange -q --addtag x HostVG",
        "imgbase activate",
        "losetup -f /tmp/small.ext4",
        "touch /etc/lvm/x",
    ] {
        let seen = unchanged(vm, |vm| Ok(vm.ok(change).map(drop)?)).is_err();
        must(seen, format!("nobody saw that `{change}` changed something"))?;
    }
    unchanged(vm, |vm| Ok(vm.ok("lvs && touch /tmp/x && imgbase layout").map(drop)?))
}

/// A small layout: 68 MiB of pool, the base `Small-1-1` and its layer, nothing active. Its image
/// stays at `/tmp/small.ext4`.
fn small_layout(vm: &mut Vm) -> Outcome {
    kit::small_image(vm, "")?;
    vm.quiet(
        "{ imgbase -q layout --init --config-size 0 --size 68M /dev/vda /dev/vdb &&
        imgbase -q base --add Small-1-1 /tmp/small.ext4 && imgbase -q layer --add &&
        imgbase -q deactivate; } >/dev/null",
    )?;
    kit::nothing_is_active(vm)
}
