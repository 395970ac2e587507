//! Our entries with the initramfs of two distributions' tools, and a real Debian that finds itself
//! good.

use super::{DISK, ONE, TWO, in_layer, is_layer, let_go, mark_in};
use crate::case::{Case, Outcome, must};
use crate::loaders::Loader;
use crate::vm::{Booted, End, Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("entries::dracut", dracut).within(900),
        Case::new("entries::own_initramfs", own_initramfs).within(900),
        Case::new("entries::debian", debian).within(1500),
    ]
}

/// A disk for which the kernel needs modules, and an initramfs of dracut's.
fn dracut(vm: &mut Vm) -> Outcome {
    super::install(vm, Loader::SystemdBoot, "dracut")?;
    let_go(vm)?;
    let mut booted = vm.boot(Start::virtio(DISK, Loader::SystemdBoot.firmware()))?;
    is_layer(&mut booted, ONE)?;
    let log = booted.ok("dmesg")?;
    must(log.contains("dracut"), "the initramfs is not dracut's")?;
    booted.power_off()?;
    Ok(())
}

/// The program itself as the initramfs, in place of the tree's; then a tree that has none.
fn own_initramfs(vm: &mut Vm) -> Outcome {
    super::install(vm, Loader::SystemdBoot, "small")?;
    vm.imgbase(&format!("boot --setup {ONE} --own-initrd"))?;
    vm.ok("[ -z \"$(find /boot -name 'initrd.img*')\" ]")?;
    in_layer(vm, ONE, "rm boot/initrd.img-*")?;
    vm.imgbase(&format!("layer --add {ONE}"))?;
    vm.says("find /boot/imgbase -name 'imgbase-*.img' | wc -l", "1")?;
    let_go(vm)?;
    let mut booted = vm.boot(Start::virtio(DISK, Loader::SystemdBoot.firmware()))?;
    is_layer(&mut booted, ONE)?;
    let log = booted.ok("dmesg")?;
    must(log.contains(&format!("imgbase: HostVG/{ONE} is the root")), log)?;
    booted.power_off()?;
    Ok(())
}

/// The units of the package.
pub(super) const UNITS: [(&str, &str); 2] = [
    ("bless", include_str!("../../../../systemd/imgbase-bless.service")),
    ("retry", include_str!("../../../../systemd/imgbase-retry.service")),
];

/// `/boot` as an installer has it, the units, and the program, which is carried along.
pub(super) const FIT_OUT: &str =
    "cp /tools/imgbase usr/bin/ && cp /tmp/imgbase-*.service etc/systemd/system/ &&
    echo 'LABEL=ESP /boot vfat umask=077 0 0' >>etc/fstab &&
    printf '[files]\\npaths = /usr/bin/imgbase\\n' >etc/imgbase.conf &&
    chroot . systemctl --quiet enable imgbase-bless.service";

/// What the owner of the host does to it, in more than twenty ways, while it runs.
const EDITS: &str = r#"set -e
echo here >/etc/hostname && echo '10.0.0.1 gateway' >>/etc/hosts && useradd -m -u 1234 bob
usermod -p secret root && systemctl -q mask fstrim.timer && systemctl -q disable systemd-pstore
echo 'vm.swappiness = 1' >/etc/sysctl.d/90-ours.conf && echo mine >/etc/motd
sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 90/' /etc/login.defs
mkdir -p /root/.ssh && echo key >/root/.ssh/authorized_keys && chmod 700 /root/.ssh
rm /etc/issue.net && chmod 600 /etc/issue && chown 1234 /etc/debian_version
ln -sf /usr/share/zoneinfo/UTC /etc/localtime && ln -s /nowhere /etc/link
mkdir -p /etc/ours/a/b && echo x >/etc/ours/a/b/c && chmod 2775 /etc/ours && ln /etc/ours/a/b/c /etc/ours/twin
printf '[Service]\nType=oneshot\nExecStart=/bin/touch /run/ours\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/ours.service
systemctl -q enable ours && mkdir -p /etc/systemd/system/dbus.service.d
printf '[Service]\nNice=3\n' >/etc/systemd/system/dbus.service.d/ours.conf
echo 'none /srv tmpfs size=1m 0 0' >>/etc/fstab && echo 'PS1=ours' >>/root/.bashrc
rm /etc/os-release && echo ID=ours >/etc/os-release && : >/etc/shells && groupadd -g 4321 team
head -c 9000 /dev/urandom >/etc/noise && sha256sum </etc/noise >/root/noise && sync"#;

/// Each of them is there.
const KEPT: &str = r#"fail() { echo "lost: $*"; exit 1; }
grep -qx here /etc/hostname && [ $(uname -n) = here ] || fail hostname
grep -q gateway /etc/hosts || fail hosts
[ $(id -u bob) = 1234 ] && grep -q ^bob: /etc/shadow && grep -q ^bob: /etc/subuid || fail bob
grep -q ^root:secret: /etc/shadow || fail password
[ $(readlink /etc/systemd/system/fstrim.timer) = /dev/null ] || fail mask
! systemctl -q is-enabled systemd-pstore || fail disabled unit
[ $(cat /proc/sys/vm/swappiness) = 1 ] || fail sysctl
grep -qx mine /etc/motd || fail motd
grep -q '^PASS_MAX_DAYS 90' /etc/login.defs || fail login.defs
[ $(stat -c %a /root/.ssh) = 700 ] && grep -qx key /root/.ssh/authorized_keys || fail ssh
[ ! -e /etc/issue.net ] || fail issue.net
[ $(stat -c %a /etc/issue) = 600 ] && [ $(stat -c %u /etc/debian_version) = 1234 ] || fail mode, owner
[ $(readlink /etc/localtime) = /usr/share/zoneinfo/UTC ] && [ $(readlink /etc/link) = /nowhere ] || fail links
grep -qx x /etc/ours/a/b/c && [ $(stat -c %a /etc/ours) = 2775 ] || fail tree
[ $(stat -c %i /etc/ours/twin) = $(stat -c %i /etc/ours/a/b/c) ] || fail hard link
systemctl -q is-active ours || systemctl -q is-enabled ours && [ -e /run/ours ] || fail unit
[ "$(systemctl show -p Nice --value dbus)" = 3 ] || fail drop-in
[ $(findmnt -n -o FSTYPE /srv) = tmpfs ] || fail fstab
grep -q PS1=ours /root/.bashrc || fail bashrc
grep -qx ID=ours /etc/os-release && [ ! -L /etc/os-release ] || fail os-release
[ -e /etc/shells ] && [ ! -s /etc/shells ] && grep -q ^team:x:4321: /etc/group || fail shells, group
sha256sum </etc/noise | cmp -s - /root/noise || fail noise"#;

/// What the next release has, beside them; where both changed a file, ours is there, and its.
const NEXT: &str = r#"grep -q '^UMASK 027' /etc/login.defs || fail the release\'s umask
[ $(cat /proc/sys/kernel/panic) = 7 ] || fail the release\'s sysctl
systemctl -q is-active cron && [ -e /etc/crontab ] || fail cron
[ "$(find /etc /root -name '*.imgnew')" = /etc/motd.imgnew ] || fail conflicts: $(find /etc /root -name '*.imgnew')
grep -q 'the next release' /etc/motd.imgnew || fail the release\'s motd"#;

/// All that has a state of its own in the running system, but what lvm2 keeps of texts of groups.
const STATE: &str = "cat /etc/machine-id; cd /etc; find . -xdev ! -name '.pwd.lock' ! -type s \
    ! -path './lvm/archive*' ! -path './lvm/backup*' -printf '%p %y %m %U %G %l\\n' | sort | sha256sum; \
    find . -xdev -type f ! -name ld.so.cache ! -path './lvm/archive/*' ! -path './lvm/backup/*' \
    -exec sha256sum {} + | sort | sha256sum";

/// Another program's choice, in the variables that come before what is written on the disk.
const ELSEWHERE: &str = "bootctl set-default other.conf && bootctl set-oneshot other.conf";

/// What is left of that.
const CHOICES: &str = "ls /sys/firmware/efi/efivars | grep -e ^LoaderEntryDefault -e ^LoaderEntryOneShot \
    || true";

/// A whole Debian is edited while it runs, and updated to its next release while it runs; that keeps all
/// edits, and on trial is found good by its own systemd once it is up. By hand it is left for the one
/// before, which is as it was. Once its check of itself fails it is started as often as it has tries,
/// and gives way.
fn debian(vm: &mut Vm) -> Outcome {
    super::install(vm, Loader::SystemdBoot, "full")?;
    for (name, unit) in UNITS {
        vm.put(&format!("/tmp/imgbase-{name}.service"), "644", unit.as_bytes())?;
    }
    in_layer(vm, ONE, FIT_OUT)?;
    let_go(vm)?;
    let start = Start::virtio(DISK, Loader::SystemdBoot.firmware()).with_systems();
    let mut booted = vm.boot(start)?;
    is_layer(&mut booted, ONE)?;
    is_running(&mut booted)?;
    booted.ok(EDITS)?;
    let before = booted.ok(STATE)?;
    booted.ok(ELSEWHERE)?;
    update(&mut booted)?;
    booted.says(STATE, &before)?;
    booted.says(CHOICES, "")?;
    booted.reboot()?;
    is_layer(&mut booted, TWO)?;
    is_blessed(&mut booted)?;
    booted.fails(3, "imgbase boot --on-trial")?;
    booted.says("imgbase boot --get-default", TWO)?;
    must(booted.ends_since(0) == [End::Up; 2], format!("{:?}", booted.boots()))?;
    booted.ok(&format!("{KEPT}\n{NEXT}"))?;
    let id = before.lines().next().unwrap_or_default().to_owned();
    booted.says("cat /etc/machine-id", &id)?;
    // What must be well for it to be good.
    booted.ok("printf '[Unit]\nBefore=boot-complete.target\n[Service]\nType=oneshot\n\
        ExecStart=/bin/false\n[Install]\nRequiredBy=boot-complete.target\n' \
        >/etc/systemd/system/health.service && systemctl enable health.service && sync")?;
    booted.imgbase("rollback")?;
    booted.reboot()?;
    is_as_before(&mut booted, &before)?;
    booted.imgbase(&format!("boot --set-default {TWO} --tries 1"))?;
    booted.reboot()?;
    is_layer(&mut booted, TWO)?;
    let mut past = booted.boots().len();
    booted.fall("sleep 200")?;
    past = booted.boots().len().saturating_sub(past);
    must(past == 1, format!("{:?}", booted.boots()))?;
    is_as_before(&mut booted, &before)?;
    booted.power_off()?;
    Ok(())
}

/// Brings the host that runs to its next release: nothing of the running system is written.
fn update(booted: &mut Booted<'_>) -> Outcome {
    booted
        .ok("mkdir -p /run/systems && mount -o ro,noload LABEL=systems /run/systems && sync &&
        touch /run/begun")?;
    let said = booted.ok("imgbase update /run/systems/next.ext4 --nvr Small-1-2 2>&1")?;
    must(said.contains(TWO) && said.contains("/etc/login.defs"), said.clone())?;
    // As the README shows it.
    for part in [
        "imgbase: warning: /etc/motd: changed here and in the image; the image's is /etc/motd.imgnew\nSmall-1-2+1\n",
        " changes of Small-1-1+1 carried over, merged: /etc/login.defs; ",
        " MiB written, the rest is shared with Small-1-1; it boots next, 3 times at most until it is found \
         good, then Small-1-1+1",
    ] {
        must(said.contains(part), format!("not \"{part}\": {said}"))?;
    }
    // The journal goes on, and lvm2's archive has each text of the group.
    let mine = "! -path '/var/log/*' ! -path '/etc/lvm/archive/*' ! -path '/etc/lvm/backup/*'";
    booted.says(&format!("sync; find / -xdev -newer /run/begun ! -type d {mine}"), "")?;
    booted.ok("umount /run/systems")?;
    mark_in(booted, TWO)
}

/// The first layer runs, with every edit and nothing of the release after it.
fn is_as_before(booted: &mut Booted<'_>, before: &str) -> Outcome {
    is_layer(booted, ONE)?;
    is_running(booted)?;
    booted.ok(&format!("{KEPT}\n[ ! -e /etc/crontab ] || fail cron is here"))?;
    booted.says(STATE, before)?;
    Ok(())
}

/// Its own units have found it good, and all of its services run.
pub(super) fn is_blessed(booted: &mut Booted<'_>) -> Outcome {
    booted.ok(
        "timeout 200 sh -c 'until systemctl -q is-active imgbase-bless.service; do sleep 1; done'",
    )?;
    is_running(booted)
}

/// All of its services run.
pub(super) fn is_running(booted: &mut Booted<'_>) -> Outcome {
    let state = booted.sh("timeout 300 systemctl is-system-running --wait; systemctl --failed")?;
    must(state.stdout.starts_with("running\n"), state.stdout)
}
