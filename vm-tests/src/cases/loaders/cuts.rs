//! The power fails while an entry is written: what each cut leaves is judged on the bench, and a
//! sample of it is booted.

use crate::case::{Case, Outcome, Stop, must};
use crate::cases::loaders::by_hand::{self, DISK, is_layer};
use crate::loaders::cuts::{Cuts, Left};
use crate::loaders::{Loader, sd_boot};
use crate::vm::{Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    let case = Case::new("loaders::systemd_boot_cuts", systemd_boot).within(900);
    vec![Case { spec: case.spec.clone().logged(), ..case }]
}

/// What is booted by hand-written entries: the one that was there, or the new one once it is renamed.
fn systemd_boot(vm: &mut Vm) -> Outcome {
    by_hand::install(vm, Loader::SystemdBoot, "small")?;
    let two = by_hand::add_layer(vm)?;
    by_hand::entry(vm, "imgbase-1.conf", "Small-1-1+1", "sort-key b")?;
    by_hand::entry(vm, ".new", &two, "sort-key a")?;
    vm.ok("sync -f /boot")?;
    let mut cuts = Cuts::begin(vm, DISK)?;
    vm.ok("cp /boot/imgbase/initrd /boot/imgbase/other && sync -f /boot/imgbase/other &&
        sed -i s:imgbase/initrd:imgbase/other: /boot/loader/entries/.new &&
        sync -f /boot && cd /boot/loader/entries && mv .new imgbase-2.conf && sync -f .")?;
    cuts.end(vm)?;
    by_hand::let_go(vm)?;
    vm.ok(&format!("blkdiscard -f /dev/{DISK}"))?;
    let (mut old, mut new) = (0, 0);
    let there = cuts.each(vm, "vdb", |vm, left| {
        match chosen(vm, left)?.as_str() {
            "imgbase-1.conf" => old += 1,
            "imgbase-2.conf" => new += 1,
            other => return Err(Stop::Failed(crate::error::Fail::new(format!("{left}: {other}")))),
        }
        Ok(())
    })?;
    println!("     {there} flushes: {old} times the old entry, {new} times the new one");
    must(old > 0 && new > 0, "only one of the entries is ever booted")?;
    // The last state is on the disk still.
    let mut booted = vm.boot(Start::nvme("vdb", Loader::SystemdBoot.firmware()))?;
    is_layer(&mut booted, &two)?;
    booted.power_off()?;
    Ok(())
}

fn chosen(vm: &mut Vm, left: &Left) -> Result<String, Stop> {
    vm.ok(&format!("mount -o ro /dev/{}2 /mnt/cut", left.disk))?;
    let esp = sd_boot::read(vm, "/mnt/cut")?;
    vm.ok("umount /mnt/cut")?;
    let name = esp.chosen().map(|entry| entry.name.clone()).unwrap_or_default();
    sd_boot::must_choose(&esp, &name)?;
    Ok(name)
}
