//! Groups that must not be written: others', read-only ones, incomplete ones.

use super::mend::mend;
use super::refused::{Attempt, refused, refused_untouched};
use super::state::unchanged;
use crate::case::{Case, Outcome, must};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("refusals::groups_of_others", groups_of_others),
        Case::new("refusals::groups_of_another_kind", groups_of_another_kind),
        Case::new("refusals::metadata_that_is_read_only", metadata_that_is_read_only),
        Case::new("refusals::groups_that_are_kept_off", groups_that_are_kept_off),
        Case::new("refusals::a_disk_is_missing", a_disk_is_missing),
        Case::new("refusals::two_disks_are_one", two_disks_are_one),
    ]
}

/// Verbs that write the group's text.
const WRITERS: &[&str] = &[
    "base --add None-1-1 /tmp/small.ext4",
    "layer --add",
    "layer --remove Small-1-1+1",
    "base --remove Small-1-1",
    "base --pin Small-1-1",
    "recover",
    "layout --grow 4M",
    "layer --reset Small-1-1+1",
    "gc --keep 1",
    "volume --create /srv 16M",
];

/// That of the other cases with an older base, of which `gc` has something to remove.
fn small_layout(vm: &mut Vm) -> Outcome {
    super::small_layout(vm)?;
    an_older_base(vm)
}

fn an_older_base(vm: &mut Vm) -> Outcome {
    vm.quiet("imgbase -q base --add Small-1-0 /tmp/small.ext4 >/dev/null")?;
    Ok(())
}

/// Verbs that make devices of it.
const ACTIVATORS: &[&str] =
    &["activate", "activate Small-1-1", "mount Small-1-1+1 /mnt", "diff Small-1-1+1 Small-1-1"];

/// All that changes something is refused, and what only reads works.
fn closed(vm: &mut Vm, code: i32, names: &[&str]) -> Outcome {
    not_written(vm, code, names)?;
    not_activated(vm, code, names)
}

fn not_activated(vm: &mut Vm, code: i32, names: &[&str]) -> Outcome {
    unchanged(vm, |vm| {
        let attempt = |args: &&str| Attempt::new(code, args, names);
        refused_untouched(vm, &ACTIVATORS.iter().map(attempt).collect::<Vec<_>>())
    })
}

fn not_written(vm: &mut Vm, code: i32, names: &[&str]) -> Outcome {
    unchanged(vm, |vm| {
        let attempt = |args: &&str| Attempt::new(code, args, names);
        // It reads first, and warns of a disk that is in doubt as whoever reads does.
        let is_disk = names.iter().any(|name| name.starts_with("/dev/"));
        let writers = WRITERS.iter().filter(|args| !(is_disk && args.starts_with("gc")));
        refused_untouched(vm, &writers.map(attempt).collect::<Vec<_>>())?;
        readable(vm)
    })
}

fn readable(vm: &mut Vm) -> Outcome {
    let verbs = "imgbase layout --bases && imgbase layout --layers && imgbase layer --latest";
    vm.says(verbs, "Small-1-1\nSmall-1-0\nSmall-1-1+1\nSmall-1-1+1")?;
    let tree = vm.imgbase("layout")?;
    must(tree.contains(" +- Small-1-1+1"), format!("no layer in the tree:\n{tree}"))
}

fn groups_of_others(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    vm.ok("vgexport -q HostVG")?;
    closed(vm, 5, &["HostVG", "exported"])?;
    vm.ok("vgimport -q HostVG && vgchange -q -y --systemid elsewhere HostVG")?;
    closed(vm, 5, &["HostVG", "elsewhere"])?;
    let mine = "--config 'global/system_id_source=\"lvmlocal\" local/system_id=\"elsewhere\"'";
    vm.ok(&format!("vgchange -q -y {mine} --systemid '' HostVG"))?;
    vm.imgbase("layer --add")?;
    Ok(())
}

const STATUS: &str = r#"status = ["RESIZEABLE", "READ", "WRITE"]"#;

fn groups_of_another_kind(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    vm.ok("lvcreate -q -an --type zero -L 4M -n beside HostVG")?;
    let clustered = r#"status = ["RESIZEABLE", "READ", "WRITE", "CLUSTERED"]"#;
    mended(vm, STATUS, clustered, |vm| closed(vm, 5, &["HostVG", "clustered"]))?;
    let shared = format!("{STATUS}\nlock_type = \"sanlock\"");
    mended(vm, STATUS, &shared, |vm| closed(vm, 5, &["HostVG", "sanlock"]))?;
    let unheard = r#"status = ["RESIZEABLE", "READ", "WRITE", "SPLENDID"]"#;
    mended(vm, STATUS, unheard, |vm| not_written(vm, 5, &["HostVG", "SPLENDID"]))?;
    let read_only = r#"status = ["RESIZEABLE", "READ"]"#;
    mended(vm, STATUS, read_only, |vm| not_written(vm, 5, &["HostVG", "read-only"]))?;
    let (known, odd) = (r#"type = "zero""#, r#"type = "wonder""#);
    mended(vm, known, odd, |vm| not_written(vm, 5, &["HostVG/beside", "wonder"]))?;
    vm.imgbase("layer --add")?;
    Ok(())
}

/// Does `attempts` while the text says `to` instead of `from`.
fn mended(vm: &mut Vm, from: &str, to: &str, attempts: impl FnOnce(&mut Vm) -> Outcome) -> Outcome {
    mend(vm, &["vda", "vdb"], from, to)?;
    vm.note(&format!("--- {to}"));
    attempts(vm)?;
    mend(vm, &["vda", "vdb"], to, from)
}

fn metadata_that_is_read_only(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    configured(vm, "global/metadata_read_only = 1", |vm| {
        not_written(vm, 3, &["metadata_read_only"])?;
        unchanged(vm, |vm| refused(vm, 3, "layout --init /dev/vdc", &["metadata_read_only"]))
    })
}

/// Does `attempts` while lvm2's configuration has that setting, too.
fn configured(vm: &mut Vm, setting: &str, attempts: impl FnOnce(&mut Vm) -> Outcome) -> Outcome {
    let add = format!("echo '{setting}' >>/etc/lvm/lvmlocal.conf");
    vm.ok(&format!("cp /etc/lvm/lvmlocal.conf /tmp/ && {add}"))?;
    let attempted = attempts(vm);
    vm.ok("cp /tmp/lvmlocal.conf /etc/lvm/lvmlocal.conf")?;
    attempted
}

/// lvm2 is told to activate another group alone, and then also this one.
fn groups_that_are_kept_off(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    configured(vm, r#"activation/volume_list = [ "Other" ]"#, |vm| {
        // lvm2 says so only where it is asked to say more.
        vm.says("lvchange -q -ay -K HostVG/ImagePool; dmsetup ls", "No devices found")?;
        closed(vm, 5, &["HostVG", "activation/volume_list"])
    })?;
    configured(vm, r#"activation/volume_list = [ "Other", "HostVG" ]"#, |vm| {
        vm.imgbase("layer --add").map(drop)?;
        Ok(())
    })
}

/// Half of the group is on a disk that is gone. Reading works, with a warning.
fn a_disk_is_missing(vm: &mut Vm) -> Outcome {
    vm.ok("truncate -s 300M /tmp/second.img")?;
    vm.imgbase("layout --init --config-size 0 --size 256M /dev/vda /tmp/second.img")?;
    crate::cases::kit::small_base(vm, "")?;
    vm.imgbase("layer --add")?;
    an_older_base(vm)?;
    vm.imgbase("deactivate")?;
    vm.ok("lvcreate -q -an -Zn -L 4M -n there HostVG $(losetup -n -O NAME -l)")?;
    vm.ok("vgchange -q -an HostVG && losetup -D && [ -z \"$(losetup -l)\" ]")?;
    not_written(vm, 5, &["HostVG", "missing", "/dev/loop"])?;
    not_activated(vm, 3, &["ImagePool", "missing", "/dev/loop"])?;
    for args in ["layout", "layout --bases", "layer --latest", "base --of-layer Small-1-1+1"] {
        let said = vm.sh(&format!("imgbase {args} >/dev/null"))?.stderr;
        let warned = said.starts_with("imgbase: warning: ") && said.contains("missing");
        must(warned && said.lines().count() == 1, format!("`imgbase {args}` warns `{said}`"))?;
    }
    vm.fails(8, "imgbase check")?;
    Ok(())
}

/// A copy of a disk is there too: nobody can know which of them is meant.
fn two_disks_are_one(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    vm.ok("head -c 1M /dev/vda >/dev/vdc")?;
    closed(vm, 5, &["HostVG", "/dev/vda", "/dev/vdc"])
}
