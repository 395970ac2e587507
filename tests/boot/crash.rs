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
use crate::world::{Booted, Loader, World, layer};

const A: &str = "Base-1-0+1";
const B: &str = "Base-2-0+1";
const C: &str = "Base-3-0+1";

pub(crate) type Op = fn(&World) -> Result<()>;

/// Something that is done to boot entries, and what is done before.
pub(crate) struct Trial {
    pub(crate) name: &'static str,
    pub(crate) before: fn(&World),
    pub(crate) op: Op,
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

pub(crate) const TRIALS: [Trial; 16] = [
    Trial { name: "the first entry", before: |_| (), op: |w| w.put(A).map(drop) },
    Trial {
        name: "the first entry and choice",
        before: |_| (),
        op: |w| {
            w.put(A)?;
            w.choose(A).map(drop)
        },
    },
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
    Trial {
        name: "a removal",
        before: failed,
        op: |w| w.open()?.remove(&layer(B), None).map(drop),
    },
    Trial {
        name: "arguments of the default",
        before: settled,
        op: |w| w.open()?.edit_args(&layer(A), &add_once).map(drop),
    },
    Trial {
        name: "arguments on trial",
        before: on_trial,
        op: |w| w.open()?.edit_args(&layer(B), &add_once).map(drop),
    },
    Trial { name: "once", before: on_trial, op: |w| w.open()?.set_once(Some(&layer(A))) },
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
        let what = format!("{} ({:?}), after {} steps", trial.name, world.loader, cut.after);
        // What GRUB finds before anybody has read the journal.
        for state in cut.unread.iter().filter(|_| matches!(world.loader, Loader::Grub(_))) {
            if seen.insert((state.fingerprint(), true)) {
                let next = world.loader.next(state);
                assert!(allowed.contains(&next), "{what}: unread\n{}", differ(&before.sim, state));
            }
        }
        for state in cut.states {
            if seen.insert((state.fingerprint(), false)) {
                check_state(&what, trial, &before, &allowed, &world.on(&state));
            }
        }
    }
    // What was said to be done is durable, and seen by whoever reads no journal.
    let last = world.sim.cuts().pop().expect("there is an end");
    let unread = last.unread.into_iter().filter(|_| matches!(world.loader, Loader::Grub(_)));
    for state in last.states.into_iter().chain(unread) {
        assert!(world.loader.next(&state) == allowed[1], "{}: it is not durable", trial.name);
    }
    seen.len()
}

fn check_state(
    what: &str,
    trial: &Trial,
    before: &World,
    allowed: &[Option<Booted>; 2],
    after: &World,
) {
    let next = |world: &World| world.loader.next(&world.sim);
    let found = after.sim.fork();
    assert!(allowed.contains(&next(after)), "{what}\n{}", differ(&before.sim, &found));
    // Whatever was left, it can be done again, and then it is done.
    let done = (trial.op)(after);
    assert!(done.is_ok(), "{what}: {done:?}\n{}", differ(&before.sim, &found));
    assert!(next(after) == allowed[1], "{what}: again\n{}", differ(&found, &after.sim));
    let known = [layer(A), layer(B), layer(C)].into();
    after.boot().clean(&known).expect("cleaned");
    let left = after.boot().leftovers(&known).expect("read");
    assert!(left.is_empty(), "{what}: {left:?}");
    assert!(next(after) == allowed[1], "{what}: cleaned\n{}", differ(&found, &after.sim));
}

/// What differs between two states, for people.
pub(crate) fn differ(one: &SimBoot, other: &SimBoot) -> String {
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

/// The same test must fail where a sync is forgotten.
#[test]
fn a_forgotten_sync_is_noticed() {
    let machines: [fn() -> World; 3] = [
        || World::systemd(V252, false),
        || World::grub(DEBIAN, false),
        || World::grub(FEDORA, false),
    ];
    for machine in machines {
        let noticed = TRIALS.iter().filter(|trial| {
            let world = machine();
            (trial.before)(&world);
            let before = world.fork();
            let world = before.fork();
            world.sim.forget_syncs();
            (trial.op)(&world).expect("nothing fails");
            let allowed = [before.next(), world.next()];
            let cuts = world.sim.cuts();
            let mut states = cuts.iter().flat_map(|cut| &cut.states);
            let last = cuts.last().is_some_and(|cut| {
                cut.states.iter().any(|state| world.on(state).next() != allowed[1])
            });
            last || states.any(|state| !allowed.contains(&world.on(state).next()))
        });
        assert!(noticed.count() > 4, "{:?}", machine().loader);
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
