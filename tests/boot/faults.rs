//! One call fails, whichever it is: then what boots is what booted before or what boots after, no
//! layer has lost its entry, the error names what failed, and doing it again does it.

use std::io::Write;

use imgbase::ErrorKind;
use imgbase::boot::sim::Fault;
use imgbase::units::Bytes;

use crate::crash::{TRIALS, Trial, differ};
use crate::grub::{BLS, DEBIAN, FEDORA};
use crate::systemd::{V252, V257};
use crate::world::{World, layer};

/// How a call fails, and whether it has its effect all the same.
const WAYS: [(ErrorKind, bool); 3] = [
    (ErrorKind::Io, true),
    (ErrorKind::Denied, false),
    (ErrorKind::NoSpace { need: Bytes::ZERO, have: Bytes::ZERO }, false),
];

/// The layers that can be started.
fn startable(world: &World) -> Vec<String> {
    let state = world.boot().state().expect("it can be read");
    let layers = state.layers().into_iter().filter(|layer| state.is_bootable(layer));
    layers.map(ToString::to_string).collect()
}

/// Lets each call fail in turn; gives how many there were.
fn check(world: &World, trial: &Trial) -> usize {
    (trial.before)(world);
    let before = world.fork();
    let done = before.fork();
    (trial.op)(&done).expect("nothing fails");
    let next = |world: &World| world.loader.next(&world.sim);
    let allowed = [next(&before), next(&done)];
    let kept = startable(&before).into_iter().filter(|name| startable(&done).contains(name));
    let kept: Vec<String> = kept.collect();
    let mut faults = 0;
    for (kind, late) in WAYS {
        for call in 0.. {
            let world = before.fork();
            world.sim.fail(Fault { call, kind, late, lasting: false });
            let result = (trial.op)(&world);
            let what = format!("{} ({:?}), call {call}, late {late}", trial.name, world.loader);
            if world.sim.calls() <= call {
                assert!(result.is_ok(), "{what}: {result:?}");
                break;
            }
            faults += 1;
            world.sim.heal();
            let now = next(&world);
            assert!(allowed.contains(&now), "{what}\n{}", differ(&before.sim, &world.sim));
            let left = startable(&world);
            assert!(kept.iter().all(|name| left.contains(name)), "{what}: {left:?}");
            match result {
                // What fails where nothing depends on it may be passed over.
                Ok(()) => assert!(now == allowed[1], "{what}: it said that it was done"),
                Err(error) => assert!(error.to_string().contains("made to fail"), "{error}"),
            }
            let failed = world.sim.fork();
            let again = (trial.op)(&world);
            assert!(again.is_ok(), "{what}: {again:?}\n{}", differ(&before.sim, &failed));
            assert!(next(&world) == allowed[1], "{what}\n{}", differ(&failed, &world.sim));
            let known = ["Base-1-0+1", "Base-2-0+1", "Base-3-0+1"].map(layer).into();
            world.boot().clean(&known).expect("cleaned");
            assert!(next(&world) == allowed[1], "{what}: cleaned");
        }
    }
    faults
}

#[test]
fn any_call_may_fail() {
    let machines: [fn() -> World; 6] = [
        || World::systemd(V252, true),
        || World::systemd(V257, false),
        || World::grub(DEBIAN, true),
        || World::grub(DEBIAN, false),
        || World::grub(FEDORA, false),
        || World::grub(BLS, true),
    ];
    let mut faults = 0;
    for machine in machines {
        for trial in &TRIALS {
            faults += check(&machine(), trial);
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "figure: one call fails in boot entries: {faults} faults").expect("it is open");
    assert!(faults > 1000, "only {faults}");
}
