//! What the host has not: privilege, device-mapper, mke2fs, a free lock, a file on standard input.

use std::time::{Duration, Instant};

use super::refused::{Attempt, hold, let_go, refused, refused_each, refused_script};
use super::small_layout;
use super::state::unchanged;
use crate::case::{Case, Outcome, must};
use crate::cases::kit;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("refusals::no_privilege", no_privilege),
        Case::new("refusals::no_device_mapper", no_device_mapper),
        Case::new("refusals::no_mke2fs", no_mke2fs),
        Case::new("refusals::a_lock_is_held", a_lock_is_held),
        Case::new("refusals::a_terminal_is_no_image", a_terminal_is_no_image),
        Case::new("refusals::errors_as_json", errors_as_json),
    ]
}

/// One of each verb.
const VERBS: &[&str] = &[
    "layout",
    "layout --free-space",
    "layout --init --vg Other /dev/vdc",
    "base --add None-1-1 /tmp/small.ext4",
    "base --latest",
    "base --remove Small-1-1",
    "layer --add",
    "layer --latest",
    "layer --remove Small-1-1+1",
    "mount Small-1-1+1 /mnt",
    "umount /mnt",
    "activate",
    "deactivate",
    "diff Small-1-1+1 Small-1-1",
    "check",
    "w",
];

fn no_privilege(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    unchanged(vm, |vm| {
        let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
        let attempt =
            |args: &&str| Attempt::script(3, format!("{nobody} imgbase {args}"), &["root"]);
        refused_each(vm, &VERBS.iter().map(attempt).collect::<Vec<_>>())
    })
}

/// Its modules go, and whoever would load them finds none.
const NO_MODULES: &str = "mount -t tmpfs tmpfs /lib/modules
    for n in 1 2 3 4; do
        lsmod | awk '/^dm_/ && $3 == 0 { print $1 }' | xargs -r rmmod
    done
    [ ! -e /sys/class/misc/device-mapper ]";

const MODULES: &str = "umount /lib/modules && modprobe -a dm_mod dm_thin_pool";

fn no_device_mapper(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    vm.ok("printf x | dd of=/dev/vdd bs=1 seek=9999 conv=notrunc status=none")?;
    vm.ok(NO_MODULES)?;
    unchanged(vm, |vm| {
        for args in [
            "layout --init --vg Other /dev/vdc",
            "layout --init --force --config-size 0 --vg Other /dev/vdd",
            "base --add None-1-1 /tmp/small.ext4",
            "layer --add",
            "layer --remove Small-1-1+1",
            "base --remove Small-1-1",
            "mount Small-1-1+1 /mnt",
            "activate",
            "diff Small-1-1+1 Small-1-1",
        ] {
            refused(vm, 5, args, &["device-mapper"])?;
        }
        Ok(())
    })?;
    vm.ok(MODULES)?;
    vm.imgbase("layer --add")?;
    Ok(())
}

fn no_mke2fs(vm: &mut Vm) -> Outcome {
    vm.ok("mke2fs -q /dev/vdb && mv /usr/sbin/mke2fs /usr/sbin/mke2fs.away")?;
    unchanged(vm, |vm| {
        refused(vm, 1, "layout --init /dev/vda /dev/vdb", &["mke2fs"])?;
        refused(vm, 1, "layout --init --force /dev/vda /dev/vdb", &["mke2fs"])
    })?;
    vm.imgbase("layout --init --config-size 0 /dev/vda")?;
    vm.ok("mv /usr/sbin/mke2fs.away /usr/sbin/mke2fs")?;
    Ok(())
}

fn a_lock_is_held(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    let init = "layout --init --vg Other /dev/vdc";
    unchanged(vm, |vm| {
        held(vm, "V_HostVG", LOCKERS)?;
        held(vm, "P_global", &[init])?;
        held(vm, "V_Other", &[init])
    })
}

/// Verbs that need the group's lock; the first reads alone.
const LOCKERS: &[&str] = &[
    "layout",
    "base --add None-1-1 /tmp/small.ext4",
    "base --pin Small-1-1",
    "layer --add",
    "layer --remove Small-1-1+1",
    "activate",
];

fn held(vm: &mut Vm, lock: &str, verbs: &[&str]) -> Outcome {
    let path = format!("/run/lock/lvm/{lock}");
    let words =
        format!("use Fcntl ':flock'; open F, '>>', '{path}' or die; flock F, LOCK_EX or die;");
    let holder = hold(vm, &words)?;
    for args in verbs {
        let start = Instant::now();
        let args = format!("--lock-timeout 1 {args}");
        refused(vm, 3, &args, &[&path, "perl", &holder])?;
        let waited = start.elapsed();
        let bounds = Duration::from_millis(950)..Duration::from_secs(8);
        must(bounds.contains(&waited), format!("`imgbase {args}` waited for {waited:?}"))?;
    }
    let_go(vm, &holder)
}

fn a_terminal_is_no_image(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    unchanged(vm, |vm| {
        for args in [
            "base --add None-1-1",
            "base --add None-1-1 -",
            "layout --init None-1-1 --from - /dev/vdc",
        ] {
            let inner = format!("imgbase {args} 2>/tmp/said >/tmp/printed; echo $? >/tmp/status");
            let script = format!(
                "script -qec '{inner}' /dev/null </dev/null >/dev/null; \
                 cat /tmp/said >&2; cat /tmp/printed; exit $(cat /tmp/status)"
            );
            refused_script(vm, 2, &script, &["terminal"])?;
        }
        Ok(())
    })
}

/// With `--json` the error is one object, the last line; what precedes it are events.
fn errors_as_json(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    kit::small_image(vm, "-O ^has_journal")?;
    unchanged(vm, |vm| {
        for (code, kind, args) in [
            (2, "invalid", "base --remove 'a b'"),
            (2, "invalid", "base --frobnicate"),
            (3, "not-found", "base --remove None-1-1"),
            (3, "exists", "base --add Small-1-1 /tmp/small.ext4"),
            (3, "exists", "base --add Small-1-1 - </tmp/small.ext4"),
            (4, "no-space", "base --add None-1-1 /images/debian.ext4"),
            (5, "unsupported", "base --add None-1-1 https://host/image"),
        ] {
            for options in ["--json", "--json -q"] {
                is_an_object(vm, code, kind, &format!("{options} {args}"))?;
            }
        }
        Ok(())
    })
}

fn is_an_object(vm: &mut Vm, code: i32, kind: &str, args: &str) -> Outcome {
    let said = vm.fails(code, &format!("imgbase {args}"))?;
    let is_json = |line: &str| line.starts_with(r#"{"schema":"imgbase/1","#) && line.ends_with('}');
    must(said.lines().all(is_json), format!("`imgbase {args}` says\n{said}"))?;
    let is_error = |line: &&str| line.contains(&format!(r#""error":{{"kind":"{kind}","#));
    let errors = said.lines().filter(is_error).count();
    let last = said.lines().next_back().is_some_and(|line| is_error(&line));
    must(last && errors == 1, format!("`imgbase {args}` does not end with one error:\n{said}"))?;
    let quiet = !args.contains("-q") || said.lines().count() == 1;
    must(quiet, format!("`imgbase {args}` says\n{said}"))
}
