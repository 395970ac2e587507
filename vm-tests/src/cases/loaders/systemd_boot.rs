//! systemd-boot 252: what it boots, what it tells, and what its variables do.

use crate::case::{Case, Outcome, Stop, must};
use crate::cases::loaders::by_hand::{self, DISK, is_layer};
use crate::loaders::{Loader, sd_boot};
use crate::vm::{Booted, End, Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("loaders::systemd_boot", boots_and_remembers).within(900)]
}

/// Where Linux shows a variable of the loader.
const VARIABLES: &str = "/sys/firmware/efi/efivars";
const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Reads a variable of the loader as text.
pub(super) fn variable(booted: &mut Booted<'_>, name: &str) -> Result<String, Stop> {
    let raw = booted.get(&format!("{VARIABLES}/{name}-{VENDOR}"))?;
    let units = raw.get(4..).unwrap_or_default().as_chunks::<2>().0;
    let text = char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)));
    Ok(text.filter_map(Result::ok).collect::<String>().trim_end_matches('\0').to_owned())
}

/// Three layers, chosen in each way there is; what was chosen is compared with what the model says.
fn boots_and_remembers(vm: &mut Vm) -> Outcome {
    by_hand::install(vm, Loader::SystemdBoot, "bare")?;
    let (two, three) = (by_hand::add_layer(vm)?, by_hand::add_layer(vm)?);
    by_hand::entry(vm, "imgbase-1.conf", "Small-1-1+1", "sort-key b")?;
    by_hand::entry(vm, "imgbase-2.conf", &two, "sort-key b\nversion 2")?;
    by_hand::entry(vm, "imgbase-3.conf", &three, "sort-key a")?;
    vm.ok("echo 'default imgbase-1*' >>/boot/loader/loader.conf")?;
    let esp = sd_boot::read(vm, "/boot")?;
    by_hand::let_go(vm)?;

    let mut booted = vm.boot(Start::nvme(DISK, Loader::SystemdBoot.firmware()))?;
    is_layer(&mut booted, "Small-1-1+1")?;
    let listed = variable(&mut booted, "LoaderEntries")?;
    let listed: Vec<&str> = listed.split('\0').filter(|id| !id.starts_with("auto-")).collect();
    let foretold: Vec<String> = esp.entries.iter().map(sd_boot::Entry::id).collect();
    must(listed == foretold, format!("{listed:?} is not {foretold:?}"))?;
    sd_boot::must_choose(&esp, "imgbase-1.conf")?;
    is_known_to_bootctl(&mut booted)?;

    booted.ok("bootctl --no-pager set-default imgbase-2.conf")?;
    booted.ok("bootctl --no-pager set-oneshot 'imgbase-3*'")?;
    booted.reboot()?;
    is_layer(&mut booted, &three)?;
    booted.cut()?;
    is_layer(&mut booted, &two)?;
    must(variable(&mut booted, "LoaderEntryDefault")? == "imgbase-2.conf", "the default is lost")?;
    booted.ok("bootctl --no-pager set-default ''")?;
    booted.reboot()?;
    is_layer(&mut booted, "Small-1-1+1")?;
    must(booted.ends_since(0) == [End::Up; 4], format!("{:?}", booted.boots()))?;
    booted.power_off()?;
    vm.ok("fsck.fat -n /dev/vda2")?;
    Ok(())
}

fn is_known_to_bootctl(booted: &mut Booted<'_>) -> Outcome {
    booted.ok("mkdir -p /boot /efi && modprobe vfat && mount -t vfat /dev/nvme0n1p2 /boot")?;
    let status =
        booted.ok("SYSTEMD_RELAX_ESP_CHECKS=1 bootctl --no-pager --esp-path=/boot status")?;
    let known = ["systemd-boot 252", "id: imgbase-1.conf", "Boot counting"];
    for word in known {
        must(status.contains(word), format!("no `{word}` in\n{status}"))?;
    }
    let list = booted.ok("SYSTEMD_RELAX_ESP_CHECKS=1 bootctl --no-pager --esp-path=/boot list")?;
    must(list.contains("id: imgbase-3.conf"), list)?;
    booted.ok("umount /boot")?;
    Ok(())
}
