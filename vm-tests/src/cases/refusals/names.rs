//! Names that are empty, hostile, of the wrong kind or unknown, for each verb that takes one.

use super::refused::{Attempt, refused, refused_each, refused_script};
use super::small_layout;
use super::state::unchanged;
use crate::case::{Case, Outcome};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("refusals::names_that_are_none", names_that_are_none),
        Case::new("refusals::names_of_nothing", names_of_nothing),
        Case::new("refusals::words_that_do_not_fit", words_that_do_not_fit),
    ]
}

/// Each verb that takes a name, which stands where the `NAME` is.
const VERBS: &[&[&str]] = &[
    &["base", "--add", "NAME", "/tmp/small.ext4"],
    &["base", "--remove", "NAME"],
    &["base", "--of-layer", "NAME"],
    &["base", "--pin", "NAME"],
    &["base", "--unpin", "NAME"],
    &["layer", "--add", "NAME"],
    &["layer", "--remove", "NAME"],
    &["layer", "--volume-path", "NAME"],
    &["mount", "NAME", "/mnt"],
    &["activate", "NAME"],
    &["deactivate", "NAME"],
    &["diff", "NAME", "Small-1-1"],
    &["diff", "Small-1-1", "NAME"],
    &["layout", "--init-nvr", "NAME", "--from", "/tmp/small.ext4", "/dev/vdc"],
    &["--vg", "NAME", "layout"],
    &["--vg", "NAME", "layout", "--init", "/dev/vdc"],
];

/// What no verb takes, and a part of it that must be in the line.
const HOSTILE: &[(&str, &str)] =
    &[("../x", "../x"), ("a b", "a b"), ("-x", "-x"), ("", "imgbase: ")];

/// More of it, for one verb of each sort of name.
const ODD: &[(&str, &str)] = &[
    ("a/b", "a/b"),
    ("a\nb-1-1", "b-1-1"),
    ("b\u{e4}se-1-1", "b"),
    ("..", ".."),
    ("x\u{1b}[31m-1-1", "[31m-1-1"),
];

/// Verbs that take a base, a layer, either, and a group.
const SORTS: &[&[&str]] = &[
    &["base", "--remove", "NAME"],
    &["layer", "--remove", "NAME"],
    &["activate", "NAME"],
    &["--vg", "NAME", "layout"],
];

/// What is no base and no layer, though volumes may be called so.
const WRONG: &[&str] = &[
    "Small",
    "Small-1",
    "Small-1-1+0",
    "Small-1-1+01x",
    "Small-1-1+-1",
    "Small-1-1+1+1",
    "Small-1-1+99999999999",
    "--1-1",
    "-1-1",
    "Small--",
    "x-1-1_tdata",
    "pvmove-1-1_mlog",
    "snapshot-1-1",
    "Small:1-1-1",
    "$(touch /tmp/x)-1-1",
];

fn names_that_are_none(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    unchanged(vm, |vm| {
        let long = "x".repeat(300);
        let mut attempts = Vec::new();
        for verb in VERBS {
            for (name, shown) in HOSTILE.iter().chain([&(long.as_str(), "xxxx")]) {
                attempts.push(Attempt::words(2, &with_name(verb, name), &[shown]));
            }
        }
        for verb in SORTS {
            for (name, shown) in ODD {
                attempts.push(Attempt::words(2, &with_name(verb, name), &[shown]));
            }
        }
        refused_each(vm, &attempts)?;
        wrong_names(vm)
    })
}

fn with_name<'a>(verb: &[&'a str], name: &'a str) -> Vec<&'a str> {
    verb.iter().map(|word| if *word == "NAME" { name } else { word }).collect()
}

fn wrong_names(vm: &mut Vm) -> Outcome {
    let mut attempts = Vec::new();
    for name in WRONG {
        for verb in [&["layer", "--remove", "NAME"][..], &["base", "--add", "NAME", "/tmp/x"]] {
            attempts.push(Attempt::words(2, &with_name(verb, name), &[]));
        }
    }
    refused_each(vm, &attempts)?;
    let base = format!("{}-1-1", "x".repeat(52));
    refused(vm, 2, &format!("base --add {base} /tmp/small.ext4"), &["xxxx", "55"])?;
    refused(vm, 2, "base --add Small-1-1+2 /tmp/small.ext4", &["Small-1-1+2"])?;
    refused(vm, 2, "base --remove Small-1-1+1", &["Small-1-1+1"])?;
    refused(vm, 2, "base --of-layer Small-1-1", &["Small-1-1"])?;
    refused(vm, 2, "layer --remove Small-1-1", &["Small-1-1"])?;
    refused_script(vm, 2, r#"imgbase layer --remove "$(printf 'x\377-1-1+1')""#, &[])?;
    refused_script(vm, 2, r#"imgbase base --add "$(printf 'x\377-1-1')" /tmp/small.ext4"#, &[])
}

fn names_of_nothing(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    unchanged(vm, |vm| {
        let unknown = [
            "base --remove None-1-1",
            "base --of-layer None-1-1+1",
            "base --pin None-1-1",
            "base --unpin None-1-1",
            "layer --add None-1-1",
            "layer --add None-1-1+1",
            "layer --remove None-1-1+1",
            "layer --volume-path None-1-1",
            "mount None-1-1+1 /mnt",
            "activate None-1-1+1",
            "activate Small-1-1+1 None-1-1",
            "deactivate None-1-1+1",
            "diff None-1-1 Small-1-1",
            "diff Small-1-1 None-1-1+1",
        ];
        let others = [
            ("layer --remove Small-1-1+2", "Small-1-1+2"),
            ("layer --add Small-1-1+7", "Small-1-1+7"),
            ("--vg None layout", "None"),
            ("--vg None layer --add", "None"),
            ("mount Small-1-1+1 /mnt/none", "/mnt/none"),
            ("umount /mnt/none", "/mnt/none"),
            ("umount /tmp", "/tmp"),
            ("layer --current", "/"),
            ("w", "/"),
            ("--config /tmp/none layout", "/tmp/none"),
        ];
        let all = unknown.map(|args| (args, "None-1-1")).into_iter().chain(others);
        let all: Vec<_> = all.map(|(args, shown)| Attempt::new(3, args, &[shown])).collect();
        refused_each(vm, &all)
    })?;
    vm.ok("vgremove -qq -y HostVG")?;
    unchanged(vm, |vm| {
        for args in ["layout", "layout --bases", "base --latest", "layer --latest", "layer --add"] {
            refused(vm, 3, args, &["imgbased:vg"])?;
        }
        refused(vm, 3, "base --add Small-1-1 /tmp/small.ext4", &["imgbased:vg"])
    })
}

fn words_that_do_not_fit(vm: &mut Vm) -> Outcome {
    small_layout(vm)?;
    unchanged(vm, |vm| {
        let attempts = [
            ("frobnicate", "frobnicate"),
            ("layer", "--add"),
            ("base --add --latest", "--latest"),
            ("layout --size 1G", "missing <--init"),
            ("layout --init --size 1.5G /dev/vdc", "1.5G"),
            ("layout --init --size 1X /dev/vdc", "1X"),
            ("layout --init --vg Other --size 0 /dev/vdc", "--size"),
            ("layout --init --size 99999999999P /dev/vdc", "99999999999P"),
            ("layout --init --vg Other --metadata-size 1M /dev/vdc", "--metadata-size"),
            ("layout --init --vg Other --metadata-size 20G /dev/vdc", "--metadata-size"),
            ("layout --init --mda-size 1k --vg Other /dev/vdc", "32 KiB"),
            ("layout --init None-1-1 /dev/vdc", "None-1-1"),
            ("layout --init vdc", "vdc"),
            ("layout --units q", "--units"),
            ("mount Small-1-1+1", "DIR"),
            ("--lock-timeout soon layout", "soon"),
            ("--loader lilo layout", "lilo"),
            ("--quiet --debug layout", "--quiet"),
            ("completions csh-for-all", "csh-for-all"),
            ("base --add None-1-1 small.ext4", "small.ext4"),
            ("base --add None-1-1 /tmp/small.ext4 /tmp/other", "/tmp/other"),
            ("--config /tmp layout", "/tmp"),
        ];
        refused_each(vm, &attempts.map(|(args, shown)| Attempt::new(2, args, &[shown])))
    })
}
