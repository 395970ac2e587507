//! Data that layers share, on volumes of its own; and the way back to factory settings.

use crate::case::{Case, Outcome, must};
use crate::cases::kit::{self, BASE, step, step_says};
use crate::judges;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("volumes::shared_by_layers", shared_by_layers).within(600)]
}

/// What a layer has in `/var/log`, one of everything.
const FILL: &str = "cd /mnt/layer/var/log && echo one >mine && ln mine same && ln -s mine link &&
    mkdir -p deep/er && mkfifo deep/pipe && setfacl -m u:daemon:r mine && setcap cap_chown+ep mine &&
    setfattr -n user.a -v b deep && chown 12:34 deep/er && chmod 2750 . && cd /";

fn shared_by_layers(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    step_says(vm, &format!("base --add {BASE} /images/debian.ext4"), BASE)?;
    step_says(vm, "layer --add", "Debian-12-1+1")?;
    step(vm, "mount Debian-12-1+1 /mnt/layer")?;
    vm.ok(FILL)?;
    let said = vm.fails(3, "imgbase volume --create /var/log 64M")?;
    must(said.contains("layer --add") && said.contains("nothing was changed"), said)?;
    step(vm, "umount /mnt/layer")?;
    let plan = vm.ok("imgbase --dry-run volume --create /var/log 64M")?;
    must(plan.contains("copy what is in /var/log") && plan.contains("commit point"), plan)?;
    // So does one over a layer that is not active, as far as it can.
    step(vm, "deactivate Debian-12-1+1")?;
    let plan = vm.ok("imgbase --dry-run volume --create /var/log 64M 2>&1")?;
    must(plan.contains("is not known in a dry run") && plan.contains("commit point"), plan)?;
    step(vm, "activate Debian-12-1+1")?;
    step_says(vm, "volume --create /var/log 64M", "var_log")?;
    let tags = vm.ok("lvs --noheadings -o lv_tags HostVG/var_log")?;
    let wanted = ["imgbased:volume", "imgbased:at:/var/log"];
    must(wanted.iter().all(|tag| tags.contains(tag)) && !tags.contains("pending"), tags)?;
    judges::ext4(vm, "/dev/HostVG/var_log")?;
    holds_the_same(vm)?;
    in_use(vm)?;
    above_and_below(vm)?;
    layers(vm)?;
    removal(vm)?;
    kit::end(vm)
}

/// All but the folder of the file system's own.
fn holds_the_same(vm: &mut Vm) -> Outcome {
    step(vm, "mount Debian-12-1+1 /mnt/layer")?;
    vm.ok("mount -o ro /dev/HostVG/var_log /mnt/two")?;
    vm.ok("guest tree /mnt/layer/var/log >/tmp/a && guest tree /mnt/two | diff /tmp/a -")?;
    vm.says(
        "stat -c %a.%u.%g /mnt/two; getcap -n /mnt/two/mine | cut -d' ' -f2",
        "2750.0.0\ncap_chown=ep",
    )?;
    vm.ok("umount /mnt/two")?;
    step(vm, "umount /mnt/layer")?;
    Ok(())
}

/// The layer's line mounts it, and it is not removed from under that.
fn in_use(vm: &mut Vm) -> Outcome {
    step(vm, "mount Debian-12-1+1 /mnt/layer")?;
    vm.ok("set -- $(grep /var/log /mnt/layer/etc/fstab) &&
        [ \"$2 $3 $4 $5 $6\" = '/var/log ext4 defaults,discard 0 2' ] &&
        mount -t $3 -o $4 $1 /mnt/layer$2 && echo new >/mnt/layer/var/log/new")?;
    let list = vm.ok("imgbase volume --list")?;
    must(list.contains("mounted at /mnt/layer/var/log"), list)?;
    let said = vm.fails(3, "imgbase volume --remove /var/log --force")?;
    must(said.contains("it is mounted at /mnt/layer/var/log"), said)?;
    vm.fails(3, "imgbase deactivate")?;
    vm.ok("umount /mnt/layer/var/log")?;
    vm.says("cat /mnt/layer/var/log/mine; ls /mnt/layer/var/log/new 2>/dev/null || true", "one")?;
    step(vm, "umount /mnt/layer")?;
    Ok(())
}

/// A volume above another is mounted first, and has the folder for it.
fn above_and_below(vm: &mut Vm) -> Outcome {
    step_says(vm, "volume --create /var 256M", "var")?;
    step_says(vm, "volume --create /var/spare 16M", "var_spare")?;
    step_says(vm, "volume --create /srv/my-data_1 16M", "srv_my--data_1")?;
    step(vm, "mount Debian-12-1+1 /mnt/layer")?;
    vm.says(
        "awk '/^.dev/ {print $2}' /mnt/layer/etc/fstab; ls -d /mnt/layer/srv/my-data_1",
        "/var\n/var/log\n/var/spare\n/srv/my-data_1\n/mnt/layer/srv/my-data_1",
    )?;
    vm.ok(
        "mount -o ro /dev/HostVG/var /mnt/two && [ -d /mnt/two/spare ] && [ -d /mnt/two/log ] &&
        [ -d /mnt/two/lib/dpkg ] && umount /mnt/two",
    )?;
    step(vm, "umount /mnt/layer")?;
    let list = vm.ok("imgbase --json volume --list")?;
    must(list.contains("\"path\":\"/srv/my-data_1\""), list)?;
    Ok(())
}

/// Who mounts it: a layer of the layer, not one of the base, nor one that was reset.
fn layers(vm: &mut Vm) -> Outcome {
    step_says(vm, "layer --add Debian-12-1+1", "Debian-12-1+2")?;
    step_says(vm, &format!("layer --add {BASE}"), "Debian-12-1+3")?;
    step_says(vm, "layer --reset Debian-12-1+2", "Debian-12-1+4")?;
    let count = |layer: u32| {
        format!(
            "imgbase mount Debian-12-1+{layer} /mnt/layer >/dev/null &&
            grep -c /var/log /mnt/layer/etc/fstab; imgbase umount /mnt/layer"
        )
    };
    for (layer, lines) in [(1, "1"), (2, "1"), (3, "0"), (4, "0")] {
        vm.says(&count(layer), lines)?;
    }
    let paths = kit::diff(vm, "Debian-12-1+4", BASE)?;
    must(paths.iter().all(|path| path == "/etc/fstab"), format!("{paths:?}"))?;
    step(vm, "volume --attach /var/log --layer Debian-12-1+3")?;
    vm.says(&count(3), "1")?;
    step(vm, "volume --detach /var/log --layer Debian-12-1+3")?;
    vm.says(&count(3), "0")?;
    Ok(())
}

fn removal(vm: &mut Vm) -> Outcome {
    let said = vm.fails(3, "imgbase volume --remove /var/log")?;
    must(said.contains("Debian-12-1+1, Debian-12-1+2"), said)?;
    for layer in [1, 2] {
        for path in ["/var/log", "/var"] {
            step(vm, &format!("volume --detach {path} --layer Debian-12-1+{layer}"))?;
        }
    }
    step_says(vm, "volume --remove /var/log", "var_log")?;
    step_says(vm, "volume --remove /var", "var")?;
    step_says(vm, "volume --remove /var/spare --force", "var_spare")?;
    vm.says("imgbase volume --list | awk '{print $1}'", "/srv/my-data_1")?;
    // A volume outlives the layers.
    step(vm, &format!("base --remove {BASE}"))?;
    step_says(vm, "volume --remove /srv/my-data_1", "srv_my--data_1")?;
    // Nothing of ours is left to be active, and so the pool is not.
    step(vm, "activate")?;
    vm.says("dmsetup ls | grep -c tpool || true", "0")?;
    vm.ok("lvchange -q -ay HostVG/ImagePool")?;
    let left = vm.ok("dmsetup status | awk '/thin-pool/ {print $7}'")?;
    must(left.starts_with("0/"), format!("{left} blocks are used in an empty pool"))?;
    step(vm, "deactivate").map(drop)
}
