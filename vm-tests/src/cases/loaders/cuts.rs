//! The power fails while an entry is written: what each cut leaves is judged on the bench, and a
//! sample of it is booted.

use crate::case::{Case, Outcome, Stop, must};
use crate::cases::loaders::by_hand::{self, DISK, is_layer};
use crate::cases::loaders::grub;
use crate::error::Fail;
use crate::loaders::cuts::{Cuts, Left};
use crate::loaders::{self, Loader, sd_boot};
use crate::vm::{Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    let cases = [
        Case::new("loaders::systemd_boot_cuts", systemd_boot),
        Case::new("loaders::grub_cuts", |vm| grub(vm, Loader::GrubBios)),
        Case::new("loaders::grub_cuts_on_fat", |vm| grub(vm, Loader::GrubOnEsp)),
    ];
    let logged = |case: Case| Case { spec: case.spec.clone().logged(), ..case.within(900) };
    cases.map(logged).into()
}

/// What is booted: the entry that was there, or the new one once it is renamed.
fn systemd_boot(vm: &mut Vm) -> Outcome {
    by_hand::install(vm, Loader::SystemdBoot, "small")?;
    let two = by_hand::add_layer(vm)?;
    by_hand::entry(vm, "imgbase-1.conf", ONE, "sort-key b")?;
    by_hand::entry(vm, ".new", &two, "sort-key a")?;
    let write = "cd /boot/imgbase && cp initrd other && sync other . &&
        cd /boot/loader/entries && sed s:imgbase/initrd:imgbase/other: .new >newer &&
        sync newer && mv newer imgbase-2.conf && sync .";
    cut_in(vm, Loader::SystemdBoot, (write, &two), |vm, left| {
        vm.ok(&format!("mount -o ro /dev/{}2 /mnt/cut", left.disk))?;
        let esp = sd_boot::read(vm, "/mnt/cut")?;
        vm.ok("umount /mnt/cut")?;
        let entry = esp.chosen().cloned().unwrap_or_default();
        sd_boot::must_choose(&esp, &entry.name)?;
        Ok(entry.argument("img.bootid").unwrap_or_default().to_owned())
    })
}

/// A new menu first, then the environment that names it, which is written in its place. GRUB knows
/// nothing of a journal: what is in there must reach its place before, which a freeze sees to.
fn grub(vm: &mut Vm, loader: Loader) -> Outcome {
    by_hand::install(vm, loader, "small")?;
    let two = by_hand::add_layer(vm)?;
    grub::configure(vm, &format!("imgbase_default={ONE}"))?;
    by_hand::menu_entry(vm, 1, ONE)?;
    by_hand::menu_entry(vm, 2, &two)?;
    vm.ok("mv /boot/grub/imgbase-2.cfg /tmp/")?;
    let write = format!(
        "cd /boot/grub && cp /tmp/imgbase-2.cfg . && sync imgbase-2.cfg . &&
        case $(stat -f -c %T .) in ext*) fsfreeze -f . && fsfreeze -u . || exit ;; esac
        cp imgbase.env /tmp/env &&
        grub-editenv /tmp/env set imgbase_menu=2 imgbase_default={two} &&
        dd if=/tmp/env of=imgbase.env conv=notrunc,fsync status=none && rm imgbase-1.cfg && sync ."
    );
    cut_in(vm, loader, (&write, &two), |vm, left| {
        let choice = loaders::grub::choose(vm, &left.disk, loader)?;
        must(choice.errors.is_empty() && choice.lacks.is_none(), format!("{left}: {choice:?}"))?;
        Ok(choice.argument("img.bootid").unwrap_or_default().to_owned())
    })
}

const ONE: &str = "Small-1-1+1";

/// Cuts the power at each flush while `write` makes another layer the one that is booted: the judge
/// must find one of the two each time. What is whole is booted in the end.
fn cut_in(
    vm: &mut Vm,
    loader: Loader,
    (write, new): (&str, &str),
    judge: impl Fn(&mut Vm, &Left) -> Result<String, Stop>,
) -> Outcome {
    // As an installer leaves it, with nothing in a journal.
    loaders::unmount(vm, DISK)?;
    loaders::mount(vm, DISK, loader)?;
    let mut cuts = Cuts::begin(vm, DISK)?;
    vm.ok(write)?;
    cuts.end(vm)?;
    by_hand::let_go(vm)?;
    vm.ok(&format!("blkdiscard -f /dev/{DISK}"))?;
    let mut found = [0, 0];
    let there = cuts.each(vm, "vdb", |vm, left| {
        let layer = judge(vm, left)?;
        let place = [ONE, new].iter().position(|name| *name == layer);
        let known = place.and_then(|place| found.get_mut(place));
        *known.ok_or_else(|| Fail::new(format!("{left}: {layer:?} is booted")))? += 1;
        Ok(())
    })?;
    println!(
        "     {there} states: {} times the old layer, {} times the new one",
        found[0], found[1]
    );
    must(found.iter().all(|times| *times > 0), "only one of the layers is ever booted")?;
    let mut booted = vm.boot(Start::nvme("vdb", loader.firmware()))?;
    is_layer(&mut booted, new)?;
    booted.power_off()?;
    Ok(())
}
