//! Layers that start.

use crate::case::{Case, Outcome, must};
use crate::cases::first::{DEVICE, LAYER, OTHER, fit_out, initrd, prepare, start};
use crate::cases::kit;
use crate::vm::{Bus, Direct, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("first::starts_a_layer", starts_a_layer).within(900),
        Case::new("first::starts_without_an_initramfs", starts_without).within(900),
        Case::new("first::starts_from_xfs", starts_from_xfs).within(600),
    ]
}

/// By modules and without, and as the command line has it.
fn starts_a_layer(vm: &mut Vm) -> Outcome {
    prepare(vm)?;
    let initrd = initrd(vm, "")?;
    vm.ok("imgbase initrd --output /tmp/again.img --module virtio_console &&
        cmp /tmp/initrd.img /tmp/again.img")?;
    println!("     the initramfs has {} bytes", initrd.len());

    let words = format!("img.bootid={LAYER} root=/dev/mapper/{DEVICE} rw extra 3");
    let virtio = Direct::from("vda", Bus::Virtio).initrd(&initrd).with(&words);
    let mut started = start(vm, &virtio, LAYER)?;
    started.says_of("grep -c 'rw extra 3$' /proc/cmdline", "1")?;
    started.says_of("tr '\\0' ' ' </proc/1/cmdline", "/sbin/init nokaslr extra 3")?;
    let root = started.ok("grep ' / ' /proc/mounts")?;
    let wanted = format!("/dev/mapper/{DEVICE} / ext4 rw,relatime,discard,noinit_itable 0 0");
    must(root == wanted, root)?;
    started.ok("echo lives >/alive && sync && grep -q lives /alive")?;
    let said = started.ends_quietly()?;
    must(said.contains(&format!("imgbase: HostVG/{LAYER} is the root")), said)?;

    let words = format!(
        "imgbase.root=HostVG/{OTHER} rootflags=noatime,nosuid,nodiscard init=/usr/sbin/init \
         virtio_blk.queue_depth=32 imgbase.debug ro"
    );
    let nvme = Direct::from("vda", Bus::Nvme).initrd(&initrd).with(&words);
    let mut started = start(vm, &nvme, OTHER)?;
    let root = started.ok("grep ' / ' /proc/mounts")?;
    must(root.contains(" / ext4 ro,nosuid,noatime,noinit_itable 0 0"), root)?;
    started.says_of("tr '\\0' ' ' </proc/1/cmdline", "/usr/sbin/init")?;
    started.says_of("cat /sys/module/virtio_blk/parameters/queue_depth", "32")?;
    let log = started.ok("dmesg")?;
    must(log.contains("imgbase: dm resume HostVG-ImagePool-tpool"), log)?;
    started.ends_quietly().map(drop)?;
    Ok(())
}

/// The kernel starts it by `init=` from a small partition, which it leaves; so it starts a layer of the
/// next base, and the first one again where that one has come up in no way.
fn starts_without(vm: &mut Vm) -> Outcome {
    prepare(vm)?;
    vm.ok(
        "mke2fs -q -t ext4 -L small /dev/vdc && mkdir -p /mnt/small && mount /dev/vdc /mnt/small",
    )?;
    vm.imgbase("initrd --folder /mnt/small --module virtio_console")?;
    vm.ok("cmp /tools/imgbase /mnt/small/imgbase && umount /mnt/small")?;
    let words = format!("root=/dev/nvme0n2 rootfstype=ext4 init=/imgbase img.bootid={LAYER}");
    let partition = Direct::from("vda", Bus::Nvme).and("vdc", Bus::Nvme);
    for how in ["ro", "rw"] {
        let direct = partition.clone().with(&format!("{words} {how}"));
        let mut started = start(vm, &direct, LAYER)?;
        started.says_of("tr '\\0' ' ' </proc/1/cmdline", "/sbin/init")?;
        // It is mounted nowhere and busy no more, and was left in order.
        started.ok("[ ! -e /imgbase ] && ! grep -q nvme0n2 /proc/self/mountinfo")?;
        let state = started.ok(
            "dd if=/dev/nvme0n2 of=/dev/null count=1 iflag=direct 2>/dev/null &&
            mount -t ext4 -o ro,noload /dev/nvme0n2 /mnt && ls /mnt | tr '\\n' ' ' && umount /mnt",
        )?;
        must(state == "imgbase lost+found modules", state)?;
        let excl = "perl -e 'use Fcntl; sysopen(F, \"/dev/nvme0n2\", O_RDWR | O_EXCL) or exit 1'";
        started.ok(excl)?;
        started.says_of(
            "od -An -t u2 -j 1082 -N 2 /dev/nvme0n2 | tr -d ' '; \
             od -An -t x4 -j 1120 -N 4 /dev/nvme0n2 | cut -c9",
            "1\n2",
        )?;
        started.ends_quietly().map(drop)?;
    }
    vm.imgbase("base --add Debian-12-2 /images/debian.ext4")?;
    vm.imgbase("layer --add Debian-12-2")?;
    fit_out(vm, NEXT)?;
    let next = words.replace(LAYER, NEXT);
    start(vm, &partition.clone().with(&next), NEXT)?.ends_quietly()?;
    for (breaks, why) in [
        ("rm /mnt/layer/sbin/init", "/sbin/init: No such file or directory"),
        ("printf '#!/bin/nosuch\\n' >/mnt/layer/sbin/init", "/sbin/init: it needs /bin/nosuch"),
        ("printf '#!/bin/sh\\nexit 1\\n' >/mnt/layer/sbin/init", "Attempted to kill init!"),
    ] {
        vm.imgbase(&format!("mount {NEXT} /mnt/layer"))?;
        vm.ok(&format!("{breaks} && {{ chmod -f 755 /mnt/layer/sbin/init; umount /mnt/layer; }}"))?;
        let mut started = vm.direct(&partition.clone().with(&format!("{next} panic=1")))?;
        let said = started.ends()?;
        must(said.contains(why), format!("{breaks}: {said}"))?;
    }
    start(vm, &partition.with(&words), LAYER)?.ends_quietly()?;
    Ok(())
}

/// The layer of the next base.
const NEXT: &str = "Debian-12-2+1";

fn starts_from_xfs(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    vm.imgbase("layout --init --size 1G /dev/vda")?;
    vm.imgbase("base --add Xfs-1-1 /images/debian.xfs")?;
    vm.imgbase("layer --add")?;
    fit_out(vm, "Xfs-1-1+1")?;
    let initrd = initrd(vm, "--module xfs")?;
    let words = "img.bootid=Xfs-1-1+1 rootflags=noatime,logbufs=4 rw";
    let direct = Direct::from("vda", Bus::Virtio).initrd(&initrd).with(words);
    let mut started = start(vm, &direct, "Xfs-1-1+1")?;
    let root = started.ok("grep ' / ' /proc/mounts")?;
    let has = |word: &str| root.contains(word);
    must(has(" / xfs rw,noatime") && has("discard") && has("logbufs=4"), root.clone())?;
    started.ends_quietly().map(drop)?;
    Ok(())
}
