//! A whole Debian, with systemd, udev and lvm2, started from a layer: it must find all as if its own
//! initramfs had started it.

use crate::case::{Case, Outcome, Stop, must};
use crate::cases::kit;
use crate::vm::{Bus, Direct, Started, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("first::starts_debian", starts_debian).within(1200)]
}

const LAYER: &str = "System-1-1+1";
const DEVICE: &str = "/dev/mapper/HostVG-System--1--1+1";

/// The root is checked at each start, and another volume is waited for.
const FSTAB: &str = "/dev/mapper/HostVG-System--1--1+1 / ext4 defaults,discard 0 1
/dev/mapper/HostVG-Config /config ext4 defaults 0 2
";

fn starts_debian(vm: &mut Vm) -> Outcome {
    // As with an entry that serves other initramfs too.
    let words = format!("root={DEVICE} rd.lvm.lv=HostVG/{LAYER} img.bootid={LAYER} ro");
    let direct = prepare(vm)?.with(&words);
    let mut started = vm.direct(&direct)?;
    started.up()?;
    is_whole(&mut started)
}

/// A layer of it, which can serve the harness, and how its kernel is started with our initramfs.
fn prepare(vm: &mut Vm) -> Result<Direct, Stop> {
    kit::folders(vm)?;
    vm.imgbase("layout --init --size 1500M /dev/vda")?;
    vm.imgbase("base --add System-1-1 /systems/full.ext4")?;
    vm.imgbase("layer --add")?;
    vm.imgbase(&format!("mount {LAYER} /mnt/layer"))?;
    vm.put("/mnt/layer/etc/fstab", "644", FSTAB.as_bytes())?;
    vm.ok("cp /tools/guest /tools/imgbase /mnt/layer/tools/")?;
    vm.imgbase("initrd --output /tmp/initrd.img --root /mnt/layer")?;
    vm.ok("cp /mnt/layer/boot/vmlinuz-* /tmp/vmlinuz")?;
    vm.imgbase("umount /mnt/layer")?;
    let (kernel, initrd) = (vm.get("/tmp/vmlinuz")?, vm.get("/tmp/initrd.img")?);
    Ok(Direct::from("vda", Bus::Virtio).kernel(&kernel).initrd(&initrd))
}

fn is_whole(started: &mut Started) -> Outcome {
    let state = started.sh("timeout 300 systemctl is-system-running --wait; systemctl --failed")?;
    must(state.stdout.starts_with("running\n"), state.stdout)?;
    started.says_of(
        "findmnt -n -o SOURCE /; findmnt -n -o SOURCE /config",
        &format!("{DEVICE}\n/dev/mapper/HostVG-Config"),
    )?;
    // systemd knows the root's device by udev, which has made the links anew.
    let unit = started.ok(&format!("systemd-escape -p --suffix=device {DEVICE}"))?;
    started.says_of(&format!("systemctl is-active '{unit}'"), "active")?;
    let links = started.ok(&format!("udevadm info -q symlink {DEVICE}"))?;
    must(links.contains(&format!("HostVG/{LAYER}")) && links.contains("disk/by-uuid"), links)?;
    let active = started.ok("lvs --noheadings -o lv_name -S lv_active=active HostVG")?;
    must(active.contains(LAYER) && active.contains("ImagePool"), active)?;
    started.ok("vgck HostVG && pvs && [ -z \"$(dmsetup udevcookies | grep 0xd4d)\" ]")?;
    started.says_of("/tools/imgbase w", &format!("You are on {LAYER}"))?;
    // e2fsck had nothing to do, so that the machine was not started again by it.
    let journal = started.ok("journalctl -b -u systemd-fsck-root --no-pager; journalctl -b -k")?;
    let tells = journal.contains(&format!("imgbase: HostVG/{LAYER} is the root"));
    must(tells && journal.contains(": clean, "), journal)
}
