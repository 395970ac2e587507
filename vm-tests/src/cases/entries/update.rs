//! A host is updated: its edits come along, the new layer boots, and back again.

use super::{DISK, ONE, TWO, in_layer, install, is_layer, let_go, mount_boot};
use crate::case::{Case, Outcome, must};
use crate::loaders::Loader;
use crate::vm::{Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("entries::update", update).within(900)]
}

/// The second image: the first one with other texts, accounts and files.
const SECOND: &str = r#"
mkdir -p /tmp/second /mnt/second && cp --sparse=always /systems/bare.ext4 /tmp/second.ext4 &&
mount /tmp/second.ext4 /mnt/second && cd /mnt/second/etc &&
printf 'a\nb\nc\nd\nE\n' >text && echo image >clash && echo 2 >image-only && echo new >added-there &&
printf 'root:x:0:0:root:/root:/bin/sh\nsvc:x:55:55::/:/bin/false\n' >passwd &&
mkdir -p ../srv && touch ../srv/of-svc && chown 55 ../srv/of-svc && chmod 4755 ../srv/of-svc &&
cd / && umount /mnt/second && gzip -1k /tmp/second.ext4"#;

/// What the first image has, and how the host has changed it.
const FIRST: &str =
    "printf 'a\\nb\\nc\\nd\\ne\\n' >etc/text && echo base >etc/clash && echo 1 >etc/image-only &&
    echo gone >etc/gone && mkdir etc/d && echo 1 >etc/d/x &&
    printf 'root:x:0:0:root:/root:/bin/sh\\nsvc:x:44:44::/:/bin/false\\n' >etc/passwd";
const EDITS: &str =
    "printf 'A\\nb\\nc\\nd\\ne\\n' >etc/text && echo host >etc/clash && rm etc/gone &&
    echo mine >etc/mine && chmod 600 etc/d/x && ln -s /nowhere etc/link && mkdir -p root &&
    echo mine >root/file && printf 'bob:x:1000:1000::/:/bin/sh\\n' >>etc/passwd && chmod 750 etc/d";

fn update(vm: &mut Vm) -> Outcome {
    // A first image with something to change in it.
    vm.ok(&format!(
        "mkdir -p /mnt/first && cp --sparse=always /systems/bare.ext4 /tmp/first.ext4 &&
        mount /tmp/first.ext4 /mnt/first && cd /mnt/first && {{ {FIRST}; }} && cd / && umount /mnt/first"
    ))?;
    vm.ok(SECOND)?;
    install(vm, Loader::SystemdBoot, "../tmp/first")?;
    in_layer(vm, ONE, EDITS)?;
    let before = vm.ok("imgbase mount Small-1-1+1 /mnt/layer && guest tree /mnt/layer | sha256sum; imgbase umount /mnt/layer >/dev/null")?;

    // An image that cannot be used leaves nothing.
    let wrong = format!("sha256:{:064}", 0);
    vm.fails(6, &format!("imgbase update /tmp/second.ext4.gz --nvr Small-1-2 --digest {wrong}"))?;
    vm.says("imgbase layout --bases; imgbase recover --list", "Small-1-1")?;

    // What fits together is told before; of a packed image it is not known.
    let said = vm.ok("imgbase --dry-run update /tmp/second.ext4.gz --nvr Small-1-2 2>&1")?;
    must(said.contains("is not known yet: of the image it is packed"), said)?;
    let planned = vm.imgbase("--dry-run update /tmp/second.ext4 --nvr Small-1-2")?;
    must(planned.contains("would merge /etc/text\n"), planned.clone())?;
    must(planned.contains("in conflict: /etc/clash: changed here and in"), planned)?;
    vm.says("imgbase layout --bases; imgbase recover --list; ls /dev/mapper | grep -c Small--1--1$ || true", "Small-1-1\n0")?;

    let done = vm.sh("imgbase update /tmp/second.ext4.gz --nvr Small-1-2")?;
    let said = format!("{}{}", done.stdout, done.stderr);
    must(done.status == 0 && done.stdout.trim() == TWO, said.clone())?;
    must(said.contains("/etc/clash.imgnew") && said.contains(&format!("then {ONE}")), said)?;
    in_layer(
        vm,
        TWO,
        "printf 'A\\nb\\nc\\nd\\nE\\n' | cmp - etc/text && grep -qx host etc/clash &&
        grep -qx image etc/clash.imgnew && grep -qx 2 etc/image-only && grep -qx new etc/added-there &&
        [ ! -e etc/gone ] && grep -qx mine etc/mine && [ $(readlink etc/link) = /nowhere ] &&
        grep -qx mine root/file && [ $(stat -c %a etc/d/x) = 600 ] && [ $(stat -c %a etc/d) = 750 ] &&
        grep -qx 'svc:x:44:55::/:/bin/false' etc/passwd && grep -q ^bob: etc/passwd &&
        [ $(stat -c %u.%a srv/of-svc) = 44.4755 ] && grep -q HostVG-Small--1--2+1 etc/fstab &&
        ! grep -q Small--1--1 etc/fstab",
    )?;
    let after = vm.ok("imgbase mount Small-1-1+1 /mnt/layer && guest tree /mnt/layer | sha256sum; imgbase umount /mnt/layer >/dev/null")?;
    must(before == after, "the old layer was changed")?;
    in_layer(vm, TWO, &format!("echo {TWO} >etc/marker"))?;
    vm.says("imgbase boot --get-default", TWO)?;
    // The old layer is edited after that: in nobody's plan.
    in_layer(vm, ONE, "sleep 1.1; echo late >etc/late && rm etc/text && echo same >etc/same")?;
    in_layer(vm, TWO, "echo same >etc/same")?;
    let_go(vm)?;

    let mut booted = vm.boot(Start::nvme(DISK, Loader::SystemdBoot.firmware()))?;
    is_layer(&mut booted, TWO)?;
    mount_boot(&mut booted, Loader::SystemdBoot)?;
    let said = booted.ok("imgbase boot --bless 2>&1")?;
    let told = "/etc/late, /etc/text (removed);";
    must(said.contains(&format!("changed in {ONE} after")) && said.contains(told), said.clone())?;
    must(said.contains("not carried over") && !said.contains("same"), said)?;
    let said = booted.ok("imgbase check; ls /dev/mapper")?;
    must(said.contains("late edits") && said.contains("/etc/late"), said.clone())?;
    must(said.contains("Small--1--2") && !said.contains("Small--1--1"), said)?;
    booted.imgbase("rollback")?;
    booted.ok("umount /boot")?;
    booted.reboot()?;
    is_layer(&mut booted, ONE)?;
    booted.says("cat /etc/clash", "host")?;
    booted.power_off()?;
    Ok(())
}
