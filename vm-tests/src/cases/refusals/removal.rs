//! Images that are in use: mounted, open, or what the host runs from.

use super::refused::{hold, let_go, refused, refused_script};
use super::small_layout;
use super::state::unchanged;
use crate::case::{Case, Outcome};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("refusals::images_in_use", images_in_use),
        Case::new("refusals::the_layer_that_runs", the_layer_that_runs),
    ]
}

const REMOVE_BASE: &str = "base --remove Small-1-1";
const REMOVE_LAYER: &str = "layer --remove Small-1-1+1";

fn images_in_use(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    vm.imgbase("layer --add Small-1-1")?;
    vm.ok("mkdir -p /mnt/layer /mnt/base /mnt/again && mount -t tmpfs tmpfs /mnt/again")?;
    vm.imgbase("mount --read-only Small-1-1+1 /mnt/layer")?;
    unchanged(vm, |vm| {
        refused(vm, 3, REMOVE_LAYER, &["Small-1-1+1", "/mnt/layer"])?;
        refused(vm, 3, REMOVE_BASE, &["Small-1-1+1", "/mnt/layer"])?;
        refused(vm, 3, "deactivate Small-1-1+1", &["Small-1-1+1", "/mnt/layer"])?;
        refused(vm, 3, "deactivate", &["Small-1-1+1", "/mnt/layer"])?;
        refused_script(vm, 3, "cd /mnt/layer && imgbase umount .", &["/mnt/layer"])?;
        refused(vm, 3, "mount Small-1-1+2 /mnt/again", &["/mnt/again"])?;
        refused(vm, 3, "mount Small-1-1+2 /mnt/layer", &["/mnt/layer"])
    })?;
    vm.imgbase("umount /mnt/layer")?;
    vm.imgbase("mount Small-1-1 /mnt/base")?;
    unchanged(vm, |vm| refused(vm, 3, REMOVE_BASE, &["Small-1-1", "/mnt/base"]))?;
    vm.imgbase("umount /mnt/base")?;
    opened(vm)
}

fn opened(vm: &mut Vm) -> Outcome {
    let holder = hold(vm, "open F, '<', '/dev/HostVG/Small-1-1+1' or die;")?;
    unchanged(vm, |vm| {
        refused(vm, 3, REMOVE_LAYER, &["Small-1-1+1", "open"])?;
        refused(vm, 3, REMOVE_BASE, &["Small-1-1+1", "open"])?;
        refused(vm, 3, "deactivate Small-1-1+1", &["Small-1-1+1", "open"])
    })?;
    let_go(vm, &holder)
}

/// Makes the layer the root of this process, as a boot from it would, then runs imgbase.
const INSIDE: &str = r#"set -e
mount --make-rprivate /
cd /mnt/layer
for d in dev proc run sys tools; do mkdir -p $d; mount --rbind /$d $d; done
mkdir -p old
pivot_root . old
cd /
exec /tools/imgbase "$@""#;

fn the_layer_that_runs(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    vm.imgbase("layer --add Small-1-1")?;
    vm.put("/tmp/inside", "755", INSIDE.as_bytes())?;
    vm.ok("mkdir /mnt/layer")?;
    vm.imgbase("mount Small-1-1+1 /mnt/layer")?;
    vm.ok("cd /mnt/layer && mkdir dev proc run sys tools old && sync")?;
    let inside = |args: &str| format!("unshare -m sh /tmp/inside {args}");
    vm.says(&inside("layer --current"), "Small-1-1+1")?;
    vm.ok("sync")?;
    unchanged(vm, |vm| {
        refused_script(vm, 3, &inside(REMOVE_LAYER), &["Small-1-1+1"])?;
        refused_script(vm, 3, &inside(REMOVE_BASE), &["Small-1-1+1"])?;
        refused_script(vm, 3, &inside("deactivate"), &["Small-1-1+1"])
    })
}
