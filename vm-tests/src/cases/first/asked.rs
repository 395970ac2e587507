//! What cannot be started: the console says so, asks what else, or the machine starts again.

use crate::case::{Case, Outcome, must};
use crate::cases::first::{LAYER, OTHER, initrd, prepare};
use crate::vm::{Bus, Direct, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("first::asks_what_to_start", asks).within(900),
        Case::new("first::starts_again", starts_again).within(900),
    ]
}

/// A layer that is not there, one whose first program is broken: another is chosen.
fn asks(vm: &mut Vm) -> Outcome {
    prepare(vm)?;
    let initrd = initrd(vm, "")?;
    // Asked for, since the harness has the kernel start again after a panic.
    let virtio = Direct::from("vda", Bus::Virtio).initrd(&initrd).with("imgbase.onfail=prompt rw");

    let mut started = vm.direct(&virtio.clone().with("img.bootid=Debian-12-1+7"))?;
    let said = started.says("imgbase> ")?;
    let wanted = "imgbase: cannot start: Debian-12-1+7: there is no such volume in HostVG";
    let listed = [format!("imgbase:   1  HostVG/{LAYER}"), format!("imgbase:   2  HostVG/{OTHER}")];
    must(said.contains(wanted) && listed.iter().all(|line| said.contains(line)), said)?;
    started.types("9")?;
    started.types("2")?;
    started.up()?;
    started.says_of("cat /mark", OTHER)?;
    started.ends_quietly()?;

    for (breaks, why) in [
        ("rm /mnt/layer/sbin/init", "/sbin/init: No such file or directory"),
        ("chmod 644 /mnt/layer/sbin/init", "/sbin/init: it is no program"),
        ("printf '#!/bin/nosuch\\n' >/mnt/layer/sbin/init", "/sbin/init: it needs /bin/nosuch"),
        ("ln -sf /nowhere /mnt/layer/sbin/init", "/sbin/init: No such file or directory"),
    ] {
        vm.imgbase(&format!("mount {LAYER} /mnt/layer"))?;
        vm.ok(&format!("{breaks} && umount /mnt/layer"))?;
        let words = format!("img.bootid={LAYER}");
        let mut started = vm.direct(&virtio.clone().with(&words))?;
        let said = started.says("imgbase> ")?;
        must(said.contains(why) && said.contains("imgbase:   2"), format!("{breaks}: {said}"))?;
        if breaks.starts_with("rm") {
            started.types("")?;
            started.says("imgbase> ")?;
            started.types("2")?;
            started.up()?;
            // Nothing of the first try is left.
            started.says_of(
                "cat /mark; cat /sys/block/dm-*/dm/name | wc -l",
                &format!("{OTHER}\n4"),
            )?;
        } else {
            started.types("r")?;
            started.ends()?;
        }
        vm.imgbase(&format!("mount {LAYER} /mnt/layer"))?;
        vm.ok(
            "rm -f /mnt/layer/sbin/init; cp /tools/guest /mnt/layer/sbin/init; umount /mnt/layer",
        )?;
    }
    Ok(())
}

/// Where a reboot is asked for, or nobody could be asked: it says why, waits and starts again.
fn starts_again(vm: &mut Vm) -> Outcome {
    prepare(vm)?;
    let initrd = initrd(vm, "")?;
    let virtio = Direct::from("vda", Bus::Virtio).initrd(&initrd);
    for (words, why, seconds) in [
        ("img.bootid=Nope-1-1+1 imgbase.onfail=reboot", "there is no such volume in HostVG", 5),
        ("img.bootid=Nope-1-1+1 panic=2", "there is no such volume in HostVG", 2),
        ("rd.emergency=reboot", "the command line names no root", 5),
        ("imgbase.root=HostVG imgbase.onfail=reboot", "imgbase.root=HostVG: that is no VG/LV", 5),
        ("img.bootid=Debian-12-1+1 init=/no/such panic=1", "/no/such: No such file", 1),
        ("img.bootid=Debian-12-1+1 rootfstype=vfat panic=1", "cannot mount: /dev/mapper/", 1),
        ("imgbase.root=Other/lv imgbase.timeout=2 panic=1", "there is no such group", 1),
    ] {
        let mut started = vm.direct(&virtio.clone().with(words))?;
        let said = started.ends()?;
        let again = format!("imgbase: the machine starts again in {seconds} s");
        let tells = said.contains(why) && said.contains(&again);
        must(tells && !said.contains("Kernel panic"), format!("{words}:\n{said}"))?;
    }
    Ok(())
}
