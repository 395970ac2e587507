//! One call fails, whichever it is: of the kernel's device-mapper, or of the metadata's disks.
//! Then either everything is as before, or the verb is done, or it says that something is to be
//! recovered; with the fault gone one `recover` ends in one of the two.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use imgbase::dm::sim::Breakage;
use imgbase::dm::{Kernel, Visibility};
use imgbase::ops::{Init, Unwatched};
use imgbase::report::LeftoverKind;
use imgbase::units::Bytes;
use imgbase::{Error, ErrorKind, Result};

use crate::support::SimMachine;
use crate::support::figures::figure;
use crate::support::world::{
    BASE, Content, LAYER, add_base, add_layer, add_layers, boot, check_sound, content, image,
    names, update,
};

/// A verb.
type Verb = fn(&SimMachine) -> Result<()>;

const VERBS: [(&str, Verb); 12] = [
    ("layer --add", |sim| add_layer(sim, BASE)),
    ("layer --add of an active layer", |sim| add_layer(sim, LAYER)),
    ("layer --add --count", |sim| add_layers(sim, LAYER)),
    ("layer --remove", |sim| sim.imgbase().remove_layer(&LAYER.parse()?, &mut Unwatched).map(drop)),
    ("layer --reset", |sim| sim.imgbase().reset_layer(&LAYER.parse()?, &mut Unwatched).map(drop)),
    ("base --add", |sim| add_base(sim, "Base-2-0")),
    ("update", |sim| update(sim, "Base-2-0")),
    ("base --remove", |sim| sim.imgbase().remove_base(&BASE.parse()?, &mut Unwatched).map(drop)),
    ("layout --grow", |sim| sim.imgbase().grow_pool(Bytes::mib(4), &mut Unwatched).map(drop)),
    ("base --pin", |sim| sim.imgbase().pin_base(&BASE.parse()?, true).map(drop)),
    ("activate", |sim| sim.imgbase().activate(&[image(BASE)]).map(drop)),
    ("deactivate", |sim| sim.imgbase().deactivate(&[]).map(drop)),
];

/// What changes no pool.
const NOT_ABOUT_POOLS: [&str; 3] = ["base --pin", "activate", "deactivate"];

/// The kernel keeps the pool from being changed: each verb that would change it is refused, with nothing
/// written and the same devices.
#[test]
fn a_pool_that_is_not_sound_is_left_alone() {
    let pool = "HostVG-ImagePool-tpool".parse().expect("a name");
    for how in [Breakage::Fail, Breakage::ReadOnly, Breakage::NeedsCheck] {
        for (name, verb) in VERBS.iter().filter(|(name, _)| !NOT_ABOUT_POOLS.contains(name)) {
            let sim = machine();
            let (bytes, devices) = (sim.bytes(), sim.kernel.list("").expect("listed"));
            sim.kernel.break_pool(&pool, how).expect("a pool");
            let error = verb(&sim).expect_err(name).to_string();
            assert!(error.contains("pool"), "{name}, {how:?}: {error}");
            assert!(sim.bytes() == bytes, "{name}, {how:?}: {error}: something was written");
            assert_eq!(sim.kernel.list("").expect("listed"), devices, "{name}, {how:?}");
        }
    }
}

/// lvm2's configuration keeps volumes off this host: no device is left of the attempt, the pool's
/// neither.
#[test]
fn what_must_not_be_active_here_leaves_no_device() {
    let verbs: [(&str, Verb); 5] = [
        ("activate", |sim| sim.imgbase().activate(&[image(LAYER)]).map(drop)),
        ("mount", |sim| sim.imgbase().mount(&image(LAYER), Path::new("/"), true).map(drop)),
        ("recover", |sim| sim.imgbase().recover(&mut Unwatched).map(drop)),
        ("layer --add", |sim| add_layer(sim, BASE)),
        ("layout --grow", |sim| sim.imgbase().grow_pool(Bytes::mib(4), &mut Unwatched).map(drop)),
    ];
    for list in ["Other", "HostVG/Other"] {
        for (name, verb) in verbs {
            let mut sim = boot();
            sim.lvm2.volume_list = Some(vec![list.to_owned()]);
            let bytes = sim.bytes();
            let before = sim.kernel.list("").expect("listed");
            let error = match (verb(&sim), list, name) {
                // It activates no volume that people see.
                (Ok(()), "HostVG/Other", "recover" | "layout --grow") => continue,
                (result, ..) => result.expect_err(name),
            };
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}, {list}: {error}");
            assert_eq!(sim.kernel.list("").expect("listed"), before, "{name}, {list}");
            assert!(sim.bytes() == bytes || name == "layer --add", "{name}, {list}: {error}");
        }
    }
}

/// A machine whose layer is active.
fn machine() -> SimMachine {
    let sim = boot();
    sim.imgbase().activate(&[]).expect("it can be activated");
    sim
}

/// What fails once, and how.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kernel(ErrorKind),
    Disks(io::ErrorKind),
    /// A read, write, sync or discard of a volume.
    Volumes(io::ErrorKind),
    /// Somebody else has the group's lock, for longer than is waited.
    Lock,
}

const FAULTS: [Fault; 9] = [
    Fault::Lock,
    Fault::Volumes(io::ErrorKind::Other),
    Fault::Volumes(io::ErrorKind::StorageFull),
    Fault::Kernel(ErrorKind::Io),
    Fault::Kernel(ErrorKind::Busy),
    Fault::Kernel(ErrorKind::NoSpace { need: Bytes::ZERO, have: Bytes::ZERO }),
    Fault::Disks(io::ErrorKind::Other),
    Fault::Disks(io::ErrorKind::StorageFull),
    Fault::Disks(io::ErrorKind::ResourceBusy),
];

impl Fault {
    /// Runs the verb with its `nth` call failing so; true where there was such a call.
    fn run(self, verb: Verb, sim: &SimMachine, nth: u32) -> (Result<()>, bool) {
        sim.kernel.forget_calls();
        let place = usize::try_from(nth).expect("small");
        match self {
            Self::Kernel(kind) => sim.kernel.fail_at(place, kind, false),
            Self::Disks(kind) => sim.disks.fuse.fail_once(nth, kind),
            Self::Volumes(kind) => sim.kernel.fail_io_at(place, kind),
            Self::Lock => sim.lvm2.refused_lock.store(i64::from(nth) + 1, Ordering::Relaxed),
        }
        let result = verb(sim);
        let locked = sim.lvm2.refused_lock.swap(0, Ordering::Relaxed);
        let blown = sim.disks.fuse.replace();
        let touched = sim.kernel.heal();
        let reached = match self {
            Self::Kernel(_) => sim.kernel.calls().len() > place,
            Self::Disks(_) => blown,
            Self::Volumes(_) => touched,
            Self::Lock => locked <= 0,
        };
        (result, reached)
    }
}

/// What came of one fault.
fn check(
    sim: &SimMachine,
    result: &Result<()>,
    (before, after): (&Content, &Content),
    when: &str,
) -> &'static str {
    let devices = sim.kernel.list("").expect("lists");
    assert!(devices.iter().all(|device| !device.suspended), "{when}: {devices:?}");
    let outcome = match result {
        Ok(()) => "done",
        Err(error) if error.kind() == ErrorKind::NeedsRecovery => {
            let said = error.to_string();
            let objects = before.keys().chain(after.keys()).map(String::as_str);
            let pool = ["HostVG", "ImagePool"];
            let named = objects.chain(pool).any(|name| said.contains(name));
            assert!(named, "{when}: it names nothing to recover: {said}");
            "to recover"
        }
        Err(error) => {
            let pending = sim.imgbase().layout().expect("it can be read").pending;
            assert!(pending.is_empty(), "{when}: {error}: {pending:?}");
            assert!(names(sim).iter().eq(before.keys()), "{when}: {error}: not as before");
            "as before"
        }
    };
    let done = sim.imgbase().recover(&mut Unwatched);
    done.unwrap_or_else(|error| panic!("{when}, {result:?}: {error}"));
    check_sound(sim, &|| when.to_owned());
    let now = content(sim);
    let same = |other: &Content| {
        // A new layer's own UUID is not the one of the other run.
        now.keys().eq(other.keys())
            && before.iter().all(|(name, bytes)| now.get(name).is_none_or(|now| now == bytes))
    };
    match outcome {
        "done" => assert!(same(after), "{when}: it is not done"),
        "as before" => assert!(same(before), "{when}: not as before"),
        _ => assert!(same(before) || same(after), "{when}: neither before nor after"),
    }
    let again = sim.imgbase().recover(&mut Unwatched).expect("nothing is left");
    assert!(again.found.is_empty(), "{when}: {again:?}");
    outcome
}

/// The same with a newer base, so that the other is one too many.
fn machine_with_two_bases() -> SimMachine {
    let sim = machine();
    add_base(&sim, "Base-2-0").expect("the base is made");
    sim
}

#[test]
fn whichever_call_fails_what_is_said_is_true() {
    // A base that is busy is kept, and told: as much as a refusal.
    let gc: Verb = |sim| match sim.imgbase().collect(1, false, &mut Unwatched)?.kept.pop() {
        Some(kept) => Err(Error::new(ErrorKind::Busy, kept.why).at(kept.nvr)),
        None => Ok(()),
    };
    let verbs = VERBS.map(|(name, verb)| (name, machine as fn() -> SimMachine, verb));
    let verbs = verbs.into_iter().chain([("gc", machine_with_two_bases as _, gc)]);
    for (name, machine, verb) in verbs {
        let whole = machine();
        let before = content(&machine());
        verb(&whole).expect("it works");
        let after = content(&whole);
        let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
        for fault in FAULTS {
            for nth in 0.. {
                assert!(nth < 400, "{name}: the fault is never passed");
                let sim = machine();
                let (result, reached) = fault.run(verb, &sim, nth);
                if !reached {
                    break;
                }
                let when = format!("{name}, {fault:?}, call {nth}");
                let outcome = check(&sim, &result, (&before, &after), &when);
                *outcomes.entry(outcome).or_default() += 1;
            }
        }
        let total: u32 = outcomes.values().sum();
        figure(&format!("faults in {name}: {total}, {outcomes:?}"));
        assert!(total >= 10, "{name}: only {total} faults");
    }
}

/// A machine on which a verb was stopped for good by its `nth` call of the kernel.
fn stopped(verb: Verb, nth: usize) -> SimMachine {
    let sim = machine();
    sim.kernel.forget_calls();
    sim.kernel.fail_at(nth, ErrorKind::Io, true);
    let stopped = verb(&sim).map_err(|error| error.kind());
    assert_eq!(stopped, Err(ErrorKind::NeedsRecovery));
    sim.kernel.heal();
    sim
}

/// The first call after which a verb leaves something where all that follow it fail.
fn first_that_leaves(verb: Verb) -> usize {
    let leaves = |nth: &usize| {
        let sim = machine();
        sim.kernel.forget_calls();
        sim.kernel.fail_at(*nth, ErrorKind::Io, true);
        let result = verb(&sim);
        assert!(sim.kernel.calls().len() > *nth, "no stop leaves anything");
        result.is_err_and(|error| error.kind() == ErrorKind::NeedsRecovery)
    };
    (0..400).find(leaves).expect("one of them")
}

/// Where a call of a recovery fails, the next one ends where it would have ended.
#[test]
fn a_recovery_that_fails_is_done_by_the_next_one() {
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    let recover: Verb = |sim| sim.imgbase().recover(&mut Unwatched).map(drop);
    for of in ["layer --add of an active layer", "layer --remove", "update"] {
        let (_, verb) = VERBS.iter().find(|(name, _)| *name == of).expect("a verb");
        let nth_call = first_that_leaves(*verb);
        let whole = stopped(*verb, nth_call);
        recover(&whole).expect("it works");
        let wanted = content(&whole);
        for fault in FAULTS {
            for nth in 0.. {
                assert!(nth < 400, "{of}: the fault is never passed");
                let sim = stopped(*verb, nth_call);
                let (result, reached) = fault.run(recover, &sim, nth);
                if !reached {
                    break;
                }
                let when = format!("recovery from {of}, {fault:?}, call {nth}: {result:?}");
                let again = sim.imgbase().recover(&mut Unwatched);
                let again = again.unwrap_or_else(|error| panic!("{when}: {error}")).found;
                check_sound(&sim, &|| when.clone());
                assert!(content(&sim) == wanted, "{when}: it ends elsewhere");
                let outcome = match result {
                    Ok(()) => {
                        // A copy that one disk would not take is told of, and written by the next.
                        let copies = again.iter().all(|left| left.kind == LeftoverKind::Copy);
                        assert!(copies, "{when}: {again:?}");
                        "done"
                    }
                    Err(_) => "failed",
                };
                *outcomes.entry(outcome).or_default() += 1;
            }
        }
    }
    figure(&format!("faults in recover: {outcomes:?}"));
    assert!(outcomes["failed"] >= 30 && outcomes.contains_key("done"), "{outcomes:?}");
}

/// `layout --init` on blank disks, with a Config volume.
fn init(sim: &SimMachine) -> Result<()> {
    let request = Init { config_size: Bytes::mib(4), ..sim.layout() };
    sim.imgbase().init(&request, &mut Unwatched).map(drop)
}

fn blank() -> SimMachine {
    SimMachine { in_order: true, ..SimMachine::with_small_disks(2) }
}

/// After a failure the disks are no group's and can be made one; without one they are a sound
/// group.
fn check_init(sim: &SimMachine, result: &Result<()>, when: &str) -> &'static str {
    let hidden = Visibility { udev_flags: 0, link: None };
    let found = sim.imgbase().layout();
    match result {
        Ok(()) => assert!(found.is_ok(), "{when}: {found:?}"),
        Err(error) => {
            assert!(!error.to_string().is_empty() && found.is_err(), "{when}: {error}: {found:?}");
            let devices = sim.kernel.list("").expect("lists");
            assert!(devices.iter().all(|device| !device.suspended), "{when}: {devices:?}");
            // A device that could not be removed is in the way, and says so.
            for device in devices {
                sim.kernel.remove(&device.name, &hidden).expect("it is idle");
            }
            init(sim).unwrap_or_else(|error| panic!("{when}: a second one: {error}"));
        }
    }
    sim.imgbase().recover(&mut Unwatched).unwrap_or_else(|error| panic!("{when}: {error}"));
    add_base(sim, BASE).unwrap_or_else(|error| panic!("{when}: {error}"));
    check_sound(sim, &|| when.to_owned());
    if result.is_ok() { "done" } else { "as before" }
}

#[test]
fn a_layout_that_fails_leaves_blank_disks() {
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    for fault in FAULTS {
        for nth in 0.. {
            assert!(nth < 400, "the fault is never passed");
            let sim = blank();
            let (result, reached) = fault.run(init, &sim, nth);
            if !reached {
                break;
            }
            let outcome = check_init(&sim, &result, &format!("{fault:?}, call {nth}"));
            *outcomes.entry(outcome).or_default() += 1;
        }
    }
    let mut sim = blank();
    sim.tools.fail = true;
    let error = init(&sim).expect_err("mke2fs fails");
    assert_eq!((error.kind(), sim.tools.runs.load(Ordering::SeqCst)), (ErrorKind::Tool, 1));
    sim.tools.fail = false;
    *outcomes.entry(check_init(&sim, &Err(error), "mke2fs")).or_default() += 1;
    let total: u32 = outcomes.values().sum();
    figure(&format!("faults in layout --init: {total}, {outcomes:?}"));
    assert!(total >= 30, "only {total} faults");
}
