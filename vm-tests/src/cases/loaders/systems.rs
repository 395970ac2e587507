//! A layer that no loader has started.

use crate::case::{Case, Outcome};
use crate::cases::loaders::by_hand::{self, DISK, is_layer};
use crate::loaders::Loader;
use crate::vm::{Firmware, Handed, Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("loaders::no_loader", no_loader).within(900)]
}

/// The kernel and the initramfs of a layer with no loader in between.
fn no_loader(vm: &mut Vm) -> Outcome {
    by_hand::install(vm, Loader::SystemdBoot, "small")?;
    let initrd = vm.get("/boot/imgbase/initrd")?;
    by_hand::let_go(vm)?;
    let direct = Handed { initrd, arguments: by_hand::arguments("Small-1-1+1") };
    let mut booted = vm.boot(Start::virtio(DISK, Firmware::Kernel(direct)))?;
    is_layer(&mut booted, "Small-1-1+1")?;
    booted.power_off()?;
    Ok(())
}
