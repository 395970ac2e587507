//! The power fails while our verbs write for the loader: what each cut leaves boots what was to
//! boot before, or what is to boot after. It is judged on the bench, and what is whole is booted.

use super::{DISK, ONE, TWO, is_layer, let_go, second};
use crate::case::{Case, Outcome, Stop, counted, must};
use crate::loaders::cuts::{Cuts, Left};
use crate::loaders::{self, Loader, sd_boot};
use crate::vm::{Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    let cases = [
        Case::new("entries::systemd_boot_cuts", |vm| cut(vm, Loader::SystemdBoot)),
        Case::new("entries::grub_cuts", |vm| cut(vm, Loader::GrubBios)),
        Case::new("entries::grub_cuts_on_fat", |vm| cut(vm, Loader::GrubOnEsp)),
    ];
    let logged = |case: Case| Case { spec: case.spec.clone().logged(), ..case.within(1200) };
    cases.map(logged).into()
}

/// One after the other, with what boots before and after.
const VERBS: [(&str, [&str; 2]); 5] = [
    ("boot --set-default Small-1-2+1", [ONE, TWO]),
    ("boot --args Small-1-2+1 --add quiet", [TWO, TWO]),
    ("rollback", [TWO, ONE]),
    ("layer --add Small-1-2", [ONE, ONE]),
    ("layer --remove Small-1-2+2", [ONE, ONE]),
];

fn cut(vm: &mut Vm, loader: Loader) -> Outcome {
    super::install(vm, loader, "bare")?;
    second(vm, "bare")?;
    // As an installer leaves it, with nothing in a journal.
    loaders::unmount(vm, DISK)?;
    loaders::mount(vm, DISK, loader)?;
    let mut all = Vec::new();
    for (verb, ends) in VERBS {
        let mut cuts = Cuts::begin(vm, DISK)?;
        vm.imgbase(verb)?;
        cuts.end(vm)?;
        all.push((verb, ends, cuts));
    }
    let_go(vm)?;
    vm.ok(&format!("blkdiscard -f /dev/{DISK}"))?;
    let (mut states, mut there) = (0, 0);
    for (verb, [before, after], cuts) in &all {
        there += cuts.count();
        states += cuts.each(vm, "vdb", |vm, left| {
            let layer = chosen(vm, loader, left)?;
            // What was reported done is durable.
            let is_done = left.flush + 1 == left.of;
            let right = layer == *after || (layer == *before && !is_done);
            must(right, format!("{verb}, {left}: {layer:?} is booted"))
        })?;
    }
    counted(format!(
        "power cuts in boot verbs ({loader:?}): {states} states of {there} flushes, none \
        unbootable"
    ));
    let mut booted = vm.boot(Start::nvme("vdb", loader.firmware()))?;
    is_layer(&mut booted, ONE)?;
    booted.power_off()?;
    Ok(())
}

/// The layer that the loader boots from what a cut left; kernel and initramfs must be there.
fn chosen(vm: &mut Vm, loader: Loader, left: &Left) -> Result<String, Stop> {
    if loader.is_grub() {
        let choice = loaders::grub::choose(vm, &left.disk, loader)?;
        must(choice.errors.is_empty() && choice.lacks.is_none(), format!("{left}: {choice:?}"))?;
        return Ok(choice.argument("img.bootid").unwrap_or_default().to_owned());
    }
    vm.ok(&format!("mount -o ro /dev/{}2 /mnt/cut", left.disk))?;
    let esp = sd_boot::read(vm, "/mnt/cut")?;
    vm.ok("umount /mnt/cut")?;
    let entry = esp.chosen().cloned().unwrap_or_default();
    sd_boot::must_choose(&esp, &entry.name)?;
    Ok(entry.argument("img.bootid").unwrap_or_default())
}
