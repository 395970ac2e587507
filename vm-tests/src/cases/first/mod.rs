//! imgbase as the first process of a second machine, which starts from a layout that the first one
//! made. The layer's own first program is the harness's, which serves the channel.

mod asked;
mod debian;
mod disks;
mod pools;
mod starts;

use crate::case::{Case, Outcome, Stop, must};
use crate::cases::kit::{self, BASE};
use crate::vm::{Direct, Started, Vm};

pub(super) fn cases() -> Vec<Case> {
    [starts::cases(), asked::cases(), disks::cases(), pools::cases(), debian::cases()].concat()
}

/// The layer that is made first.
const LAYER: &str = "Debian-12-1+1";
/// Its device.
const DEVICE: &str = "HostVG-Debian--12--1+1";
/// Another one.
const OTHER: &str = "Debian-12-1+2";

/// A layout on the first disk with a base and two layers of it.
fn prepare(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    vm.imgbase("layout --init --size 1G /dev/vda")?;
    layers(vm)
}

/// The base and two layers of it that can be started.
fn layers(vm: &mut Vm) -> Outcome {
    vm.imgbase(&format!("base --add {BASE} /images/debian.ext4"))?;
    for layer in [LAYER, OTHER] {
        vm.imgbase("layer --add")?;
        fit_out(vm, layer)?;
    }
    Ok(())
}

/// Gives a layer the harness as its first program, and a mark.
fn fit_out(vm: &mut Vm, layer: &str) -> Outcome {
    vm.imgbase(&format!("mount {layer} /mnt/layer"))?;
    vm.ok(&format!(
        "cp /tools/guest /mnt/layer/sbin/init && echo {layer} >/mnt/layer/mark && umount /mnt/layer"
    ))?;
    Ok(())
}

/// The initramfs, with what the harness's channel needs.
fn initrd(vm: &mut Vm, args: &str) -> Result<Vec<u8>, Stop> {
    vm.imgbase(&format!("initrd --output /tmp/initrd.img --module virtio_console {args}"))?;
    Ok(vm.get("/tmp/initrd.img")?)
}

/// What stands before the first physical extent: labels and metadata.
const METADATA: &str = "head -c 1048576 /dev/$disk | sha256sum";

/// Starts the layer and looks at it; the metadata must be as it was.
fn start(vm: &mut Vm, direct: &Direct, layer: &str) -> Result<Started, Stop> {
    vm.ok("sync; echo 3 >/proc/sys/vm/drop_caches")?;
    let before = vm.ok(&format!("disk=vda; {METADATA}"))?;
    let mut started = vm.direct(direct)?;
    started.up()?;
    started.says_of("cat /mark", layer)?;
    let disk = match direct.disks.first() {
        Some((_, crate::vm::Bus::Nvme)) => "nvme0n1",
        _ => "vda",
    };
    started.says_of(&format!("disk={disk}; {METADATA}"), &before)?;
    as_handed_on(&mut started)?;
    Ok(started)
}

/// The root and its devices, and nothing else of the first process's.
fn as_handed_on(started: &mut Started) -> Outcome {
    let mounts = started.ok("cut -d' ' -f2 /proc/mounts | sort | tr '\\n' ' '")?;
    must(mounts == "/ /dev /proc /run /sys", mounts.clone())?;
    started.ok("[ -z \"$(find /run/lock -type f)\" ] && [ ! -e /modules ] && [ ! -e /etc/lvm ]")?;
    // What it has freed: in memory there is no more than udev's few lines.
    let shared = started.ok("awk '/^Shmem:/ { print $2 }' /proc/meminfo")?;
    must(shared.parse().is_ok_and(|kib: u32| kib < 1000), format!("{shared} KiB stay"))?;
    let devices = started.ok("cat /sys/block/dm-*/dm/name | sort | tr '\\n' ' '")?;
    let pool = "HostVG-ImagePool-tpool HostVG-ImagePool_tdata HostVG-ImagePool_tmeta";
    must(devices.contains(pool) && devices.split(' ').count() == 4, devices)?;
    // As udev makes them and knows them.
    started.ok("for name in $(cat /sys/block/dm-*/dm/name); do
            case $(readlink /dev/mapper/$name) in ../dm-[0-3]) ;; *) exit 1 ;; esac
        done
        [ $(cat /run/udev/data/b25?:? | grep -c ^E:DM_UDEV_PRIMARY_SOURCE_FLAG=1) = 4 ]")?;
    Ok(())
}

impl Started {
    /// As [`Vm::says`], which its own [`says`](Started::says) hides: that is about the console.
    fn says_of(&mut self, script: &str, wanted: &str) -> Outcome {
        Ok(Vm::says(self, script, wanted)?)
    }
}
