//! A power cut at any moment leaves what booted before, or what boots after: never nothing, and
//! never an entry whose files are not whole.

use std::collections::BTreeSet;
use std::io::Write;

use imgbase::Result;
use imgbase::boot::args::Args;
use imgbase::boot::sim::SimBoot;
use imgbase::boot::vars::Variable;

use crate::grub::{BARE, BLS, DEBIAN, FEDORA};
use crate::systemd::{V252, V257};
use crate::world::{Booted, World, layer};

const A: &str = "Base-1-0+1";
const B: &str = "Base-2-0+1";
const C: &str = "Base-3-0+1";

type Op = fn(&World) -> Result<()>;

/// Something that is done to boot entries, and what is done before.
struct Trial {
    name: &'static str,
    before: fn(&World),
    op: Op,
}

fn settled(world: &World) {
    world.settle(A);
    world.put_with(B, "6.6", "quiet").expect("it is made");
}

fn on_trial(world: &World) {
    settled(world);
    world.try_out(B, Some(A)).expect("it is chosen");
    assert_eq!(world.start(), B);
}

fn failed(world: &World) {
    on_trial(world);
    for name in [B, B, A] {
        assert_eq!(world.start(), name);
    }
}

fn once_too(world: &World) {
    on_trial(world);
    world.put(C).expect("it is made");
    world.boot().set_once(Some(&layer(C))).expect("it is set");
}

fn add_once(args: &mut Args) -> Result<()> {
    args.remove("x");
    args.add("x=y")
}

const TRIALS: [Trial; 15] = [
    Trial { name: "the first entry", before: |_| (), op: |w| w.put(A).map(drop) },
    Trial {
        name: "another entry",
        before: |w| w.settle(A),
        op: |w| w.put_with(B, "6.6", "quiet").map(drop),
    },
    Trial {
        name: "an entry anew",
        before: settled,
        op: |w| w.put_with(A, "6.1.0-25-amd64", "debug").map(drop),
    },
    Trial { name: "a default", before: settled, op: |w| w.choose(B).map(drop) },
    Trial {
        name: "the first default",
        before: |w| assert!(w.put(A).expect("it is made")),
        op: |w| w.choose(A).map(drop),
    },
    Trial { name: "a trial", before: settled, op: |w| w.try_out(B, Some(A)).map(drop) },
    Trial { name: "a trial again", before: failed, op: |w| w.try_out(B, Some(A)).map(drop) },
    Trial {
        name: "a trial in another's place",
        before: |w| {
            on_trial(w);
            w.put(C).expect("it is made");
        },
        op: |w| w.try_out(C, Some(B)).map(drop),
    },
    Trial { name: "a rollback from a trial", before: on_trial, op: |w| w.choose(A).map(drop) },
    Trial { name: "blessing", before: on_trial, op: |w| w.bless(B).map(drop) },
    Trial {
        name: "blessing a default",
        before: |w| {
            settled(w);
            w.choose(B).expect("it is chosen");
        },
        op: |w| w.bless(B).map(drop),
    },
    Trial { name: "a removal", before: failed, op: |w| w.boot().remove(&layer(B), None).map(drop) },
    Trial {
        name: "arguments of the default",
        before: settled,
        op: |w| w.boot().edit_args(&layer(A), &add_once).map(drop),
    },
    Trial {
        name: "arguments on trial",
        before: on_trial,
        op: |w| w.boot().edit_args(&layer(B), &add_once).map(drop),
    },
    Trial { name: "once", before: on_trial, op: |w| w.boot().set_once(Some(&layer(A))) },
];

/// Looks at every state that a cut can leave; gives how many distinct ones there were.
fn check(world: &World, trial: &Trial) -> usize {
    (trial.before)(world);
    let before = world.fork();
    let world = before.fork();
    (trial.op)(&world).expect("nothing fails");
    let allowed = [before.loader.next(&before.sim), world.loader.next(&world.sim)];
    assert!(allowed.iter().all(Option::is_some), "{}", trial.name);
    let mut seen = BTreeSet::new();
    for cut in world.sim.cuts() {
        for state in cut.states {
            if !seen.insert(state.fingerprint()) {
                continue;
            }
            let after = world.on(&state);
            let next = after.loader.next(&state);
            let what = format!("{} ({:?}), after {} steps", trial.name, world.loader, cut.after);
            assert!(
                allowed.contains(&next),
                "{what}: {}\n{}",
                after.next(),
                differ(&before.sim, &state)
            );
            // Whatever was left, it can be done again, and then it is done.
            let (what_is, done) = (after.sim.fork(), (trial.op)(&after));
            assert!(done.is_ok(), "{what}: {done:?}\n{}", differ(&before.sim, &what_is));
            let next = after.loader.next(&after.sim);
            assert!(next == allowed[1], "{what}: done again\n{}", differ(&what_is, &after.sim));
            let known = [layer(A), layer(B), layer(C)].into();
            after.boot().clean(&known).expect("cleaned");
            let left = after.boot().leftovers(&known).expect("read");
            assert!(left.is_empty(), "{what}: {left:?}");
            let next = after.loader.next(&after.sim);
            assert!(next == allowed[1], "{what}: cleaned\n{}", differ(&what_is, &after.sim));
        }
    }
    seen.len()
}

/// What differs between two states, for people.
fn differ(one: &SimBoot, other: &SimBoot) -> String {
    let (a, b) = (one.files(), other.files());
    let mut text = String::new();
    for path in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
        for (mark, files) in [('-', &a), ('+', &b)] {
            if a.get(path) != b.get(path) && files.contains_key(path) {
                let bytes = String::from_utf8_lossy(&files[path]).replace("##", "");
                text.push_str(&format!("{mark} {path}\n{bytes}\n"));
            }
        }
    }
    text
}

fn figure(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "figure: {line}").expect("it is open");
}

fn check_all(kind: &str, machine: impl Fn() -> World) {
    let (mut states, mut moments) = (0, 0);
    for trial in &TRIALS {
        let world = machine();
        states += check(&world, trial);
        moments += 1;
    }
    figure(&format!(
        "power cuts in boot entries ({kind}): {states} distinct states of {moments} verbs"
    ));
    assert!(states > 100, "only {states} states");
}

#[test]
fn systemd_boot_on_fat() {
    check_all("systemd-boot, FAT", || World::systemd(V252, true));
    check_all("systemd-boot 257, FAT", || World::systemd(V257, true));
}

#[test]
fn systemd_boot_with_a_journal() {
    check_all("systemd-boot, journal", || World::systemd(V252, false));
}

#[test]
fn grub_on_fat() {
    check_all("GRUB, FAT", || World::grub(DEBIAN, true));
    check_all("GRUB with entry files, FAT", || World::grub(FEDORA, true));
}

#[test]
fn grub_with_a_journal() {
    check_all("GRUB, journal", || World::grub(DEBIAN, false));
    check_all("GRUB without a header, journal", || World::grub(BARE, false));
    check_all("GRUB with entry files, journal", || World::grub(FEDORA, false));
    check_all("GRUB with entry files alone, journal", || World::grub(BLS, false));
}

#[test]
fn systemd_boot_without_variables() {
    let machine = || World::systemd(V252, true).without_variables();
    for trial in TRIALS.iter().filter(|trial| trial.name != "once") {
        check(&machine(), trial);
    }
}

#[test]
fn another_program_s_default_is_replaced() {
    for variable in [None, Some(Variable::Default), Some(Variable::Preferred)] {
        let world = World::systemd(V252, true);
        world.sim.put("loader/loader.conf", "default debian-*\ntimeout 3");
        if let Some(variable) = variable {
            world.sim.put_variable(variable, "debian-6.1.conf");
        }
        let trial = Trial {
            name: "another's default",
            before: |w| assert!(w.put(A).expect("it is made")),
            op: |w| w.choose(A).map(drop),
        };
        check(&world, &trial);
    }
}

#[test]
fn what_boots_once_is_dropped_after_the_choice() {
    let world = World::systemd(V252, true);
    once_too(&world);
    let before: Option<Booted> = world.loader.next(&world.sim);
    assert_eq!(before.map(|booted| booted.layer().to_owned()).as_deref(), Some(C));
    let again = world.fork();
    again.choose(A).expect("it is chosen");
    for cut in again.sim.cuts() {
        for state in cut.states {
            let next = again.on(&state).next();
            assert!(next == C || next == A, "{next}");
        }
    }
    assert_eq!(again.next(), A);
}
