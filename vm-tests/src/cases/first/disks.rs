//! A layout on two disks, of which one comes late, or not at all.

use crate::case::{Case, Outcome, must};
use crate::cases::first::{LAYER, initrd, layers};
use crate::cases::kit;
use crate::vm::{Bus, Direct, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("first::waits_for_a_disk", waits_for_a_disk).within(900)]
}

fn waits_for_a_disk(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    // The pool does not fit on the first disk alone.
    vm.imgbase("layout --init --size 3G /dev/vda /dev/vdb")?;
    layers(vm)?;
    let initrd = initrd(vm, "")?;
    let words = format!("img.bootid={LAYER} rw");
    let one = Direct::from("vda", Bus::Virtio).initrd(&initrd).with(&words);

    let mut started = vm.direct(&one.clone().and("vdb", Bus::Later))?;
    started.says("imgbase: waiting for the disks, 30 s at most: ")?;
    started.plug("vdb")?;
    started.up()?;
    started.says_of("cat /mark; cat /sys/block/vd?/serial", &format!("{LAYER}\nvdavdb"))?;
    started.ends_quietly()?;

    let mut started = vm.direct(&one.clone().with("imgbase.timeout=4 imgbase.onfail=reboot"))?;
    let said = started.ends()?;
    let tells = said.contains("it is tried without") && said.contains("is missing");
    must(tells && said.contains("starts again in 5 s"), said)?;

    // At the prompt it can be tried again once the disk is there.
    let later = one.with("imgbase.timeout=4 imgbase.onfail=prompt").and("vdb", Bus::Later);
    let mut started = vm.direct(&later)?;
    let said = started.says("imgbase> ")?;
    must(said.contains("no layer is there"), said)?;
    started.plug("vdb")?;
    std::thread::sleep(std::time::Duration::from_secs(3));
    started.types("")?;
    started.up()?;
    started.says_of("cat /mark", LAYER)?;
    started.ends_quietly()?;
    Ok(())
}
