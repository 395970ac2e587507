//! What a crash leaves on a machine in memory, and what `recover` makes of it.

use std::collections::BTreeSet;

use imgbase::ErrorKind;
use imgbase::dm::{Kernel, Visibility, pool_state};
use imgbase::layout::ImageName;
use imgbase::lvm2::scan::scan;
use imgbase::name::DmName;
use imgbase::ops::Unwatched;
use imgbase::report::{LeftoverKind, Outcome};
use imgbase::units::Bytes;

use crate::support::SimMachine;
use crate::support::figures::figure;
use crate::support::world::{add_base, add_layers, check_sound, names, update};

const BASE: &str = "Base-1-0";
const LAYER: &str = "Base-1-0+1";

/// Two disks with a layout, a base and a layer.
fn machine() -> SimMachine {
    let sim = SimMachine { in_order: true, ..SimMachine::with_disks(2) };
    sim.init();
    sim.add_base(BASE).expect("the base is made");
    sim.imgbase().add_layer(None, &mut Unwatched).expect("the layer is made");
    sim
}

fn pool() -> DmName {
    "HostVG-ImagePool-tpool".parse().expect("a name")
}

/// A verb.
type Verb = fn(&SimMachine) -> imgbase::Result<()>;

const VERBS: [(&str, Verb); 9] = [
    ("layer --add", |sim| sim.imgbase().add_layer(None, &mut Unwatched).map(drop)),
    ("layer --add --count", |sim| add_layers(sim, BASE)),
    ("layer --remove", |sim| sim.imgbase().remove_layer(&LAYER.parse()?, &mut Unwatched).map(drop)),
    ("layer --reset", |sim| sim.imgbase().reset_layer(&LAYER.parse()?, &mut Unwatched).map(drop)),
    ("base --add", |sim| add_base(sim, "Base-2-0")),
    ("update", |sim| update(sim, "Base-2-0")),
    ("base --remove", |sim| sim.imgbase().remove_base(&BASE.parse()?, &mut Unwatched).map(drop)),
    ("layout --grow", |sim| sim.imgbase().grow_pool(Bytes::mib(16), &mut Unwatched).map(drop)),
    ("base --pin", |sim| sim.imgbase().pin_base(&BASE.parse()?, true).map(drop)),
];

/// What stops working, and after how many steps.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The disks: writes, syncs and discards.
    Disks(u32),
    /// The kernel's device-mapper: every call.
    Kernel(usize),
}

/// Runs a verb with that cut on a fresh machine; returns the images before and after it, and
/// whether the cut came in time.
fn cut(verb: Verb, cut: Cut) -> (SimMachine, BTreeSet<String>, bool) {
    let sim = machine();
    let before = names(&sim);
    sim.kernel.forget_calls();
    match cut {
        Cut::Disks(left) => sim.disks.fuse.set(left),
        Cut::Kernel(nth) => sim.kernel.fail_at(nth, ErrorKind::Io, true),
    }
    let failed = verb(&sim).is_err();
    let blown = sim.disks.fuse.replace();
    sim.kernel.heal();
    let reached = match cut {
        Cut::Disks(_) => blown,
        Cut::Kernel(nth) => sim.kernel.calls().len() > nth,
    };
    (sim, before, failed || reached)
}

/// Wherever a verb is stopped, one `recover` ends before or after it, and a second one changes
/// nothing.
#[test]
fn every_stop_is_recovered() {
    for (name, verb) in VERBS {
        let sim = machine();
        verb(&sim).expect("it works");
        let after = names(&sim);
        let (mut stops, mut recovered) = (0, 0);
        for cut_of in [|n| Cut::Disks(n), |n| Cut::Kernel(n as usize)] as [fn(u32) -> Cut; 2] {
            for n in 0.. {
                assert!(n < 300, "{name}: the cut is never passed");
                let (sim, before, reached) = cut(verb, cut_of(n));
                let when = format!("{name}, {:?}", cut_of(n));
                let done = sim.imgbase().recover(&mut Unwatched);
                let done = done.unwrap_or_else(|error| panic!("{when}: {error}"));
                recovered += u32::from(!done.found.is_empty());
                stops += 1;
                check_sound(&sim, &|| when.clone());
                let now = names(&sim);
                assert!(now == before || now == after, "{when}: {now:?}");
                sim.disks.fuse.set(0);
                let again = sim.imgbase().recover(&mut Unwatched).expect("nothing is left");
                assert!(!sim.disks.fuse.replace(), "{when}: the second recovery wrote");
                assert_eq!((again.found.len(), again.vg_seqno), (0, done.vg_seqno), "{when}");
                if !reached {
                    break;
                }
            }
        }
        figure(&format!("deaths in {name}: {stops}, {recovered} left something to recover"));
        assert!(stops >= 10, "{name}: only {stops} stops");
    }
}

/// Nobody need call `recover`: the next verb that changes something does it.
#[test]
fn the_next_verb_recovers_by_itself() {
    let (_, add) = VERBS[0];
    for n in 0.. {
        assert!(n < 300, "the cut is never passed");
        let (sim, before, reached) = cut(add, Cut::Kernel(n));
        add(&sim).unwrap_or_else(|error| panic!("call {n}: {error}"));
        check_sound(&sim, &|| format!("call {n}"));
        let added = names(&sim).len() - before.len();
        assert!(added == 1 || added == 2, "call {n}: {added} layers more");
        if !reached {
            break;
        }
    }
}

#[test]
fn nothing_left_over_is_nothing_done() {
    let sim = machine();
    let bytes = sim.bytes();
    assert!(sim.imgbase().leftovers().expect("readable").found.is_empty());
    assert!(sim.imgbase().recover(&mut Unwatched).expect("nothing to do").found.is_empty());
    assert!(sim.bytes() == bytes);
}

/// Under another name than a pool that has volumes.
#[test]
fn a_pool_without_a_volume_is_looked_at_too() {
    let sim = SimMachine::with_disks(1);
    sim.init();
    assert!(sim.imgbase().layout().expect("readable").pool.active);
    assert!(sim.imgbase().leftovers().expect("readable").found.is_empty());
    assert!(sim.imgbase().recover(&mut Unwatched).expect("nothing to do").found.is_empty());
}

/// The pool stops obeying after the first of a layer's two commits.
fn stop_at_the_message(sim: &SimMachine) {
    let probe = machine();
    probe.kernel.forget_calls();
    probe.imgbase().add_layer(None, &mut Unwatched).expect("works");
    let calls = probe.kernel.calls();
    let snap = calls.iter().position(|call| format!("{call:?}").contains("create_snap"));
    sim.kernel.forget_calls();
    sim.kernel.fail_at(snap.expect("a layer is a snapshot"), ErrorKind::Io, true);
    let error = sim.imgbase().add_layer(None, &mut Unwatched).expect_err("the pool is dead");
    assert_eq!(error.kind(), ErrorKind::NeedsRecovery, "{error}");
    sim.kernel.heal();
}

#[test]
fn a_list_only_tells() {
    let sim = machine();
    stop_at_the_message(&sim);
    let bytes = sim.bytes();
    let list = sim.imgbase().leftovers().expect("readable");
    let kinds: Vec<LeftoverKind> = list.found.iter().map(|left| left.kind).collect();
    use LeftoverKind::{Suspended, Transaction, Unfinished};
    assert_eq!(kinds, [Suspended, Transaction, Unfinished], "{list:?}");
    assert!(list.found.iter().all(|left| left.outcome == Outcome::Pending));
    assert!(sim.bytes() == bytes);
    let done = sim.imgbase().recover(&mut Unwatched).expect("it is undone");
    assert!(done.found.iter().all(|left| left.outcome == Outcome::Done), "{done:?}");
    check_sound(&sim, &|| "recovered".to_owned());
    assert_eq!(names(&sim).len(), 2);
}

/// The transactions that the pool is at and the text says.
fn transactions(sim: &SimMachine) -> (u64, u64) {
    let pool = pool_state(&sim.kernel, &pool()).expect("it is active").transaction_id;
    (pool, sim.imgbase().layout().expect("readable").pool.transaction_id)
}

/// A machine whose pool is so far ahead of its text (or behind it); with `stanzas` the text has a
/// message that the pool was never told.
fn apart(by: i64, stanzas: bool) -> SimMachine {
    let sim = machine();
    if stanzas {
        stop_at_the_message(&sim);
        // Its origin goes on: that is another matter.
        let origin: DmName = "HostVG-Base--1--0+1".parse().expect("a name");
        let seen = Visibility { udev_flags: 0, link: None };
        sim.kernel.resume(&origin, &seen).expect("it is suspended");
    }
    let (from, text) = transactions(&sim);
    let to = text.checked_add_signed(by).expect("small");
    let message = format!("set_transaction_id {from} {to}");
    sim.kernel.message(&pool(), &message).expect("it is where it says");
    assert_eq!(transactions(&sim), (to, text));
    sim
}

/// A pool ahead of its text (an older one was restored), and one behind a text that has nothing to
/// tell it: a list only tells, and `recover` or the next verb mends it.
#[test]
fn a_pool_ahead_or_one_behind_is_brought_together_with_its_text() {
    let cases = [
        (1, false, "the metadata is behind the pool"),
        (5, false, "the metadata is behind the pool"),
        (1, true, "the metadata is behind the pool"),
        (-1, false, "the pool is raised"),
    ];
    for (by, stanzas, says) in cases {
        let when = format!("{by} from the text, which has messages: {stanzas}");
        let sim = apart(by, stanzas);
        let (ids, bytes) = (transactions(&sim), sim.bytes());
        let list = sim.imgbase().leftovers().expect("readable").found;
        let told = list.iter().find(|left| left.kind == LeftoverKind::Transaction);
        let told = told.unwrap_or_else(|| panic!("{when}: {list:?}"));
        assert!(told.detail.contains(says), "{when}: {told:?}");
        assert_eq!((told.outcome, list.len() > 1), (Outcome::Pending, stanzas), "{when}: {list:?}");
        assert!(sim.bytes() == bytes && transactions(&sim) == ids, "{when}: the list changed it");

        let done = sim.imgbase().recover(&mut Unwatched);
        let done = done.unwrap_or_else(|error| panic!("{when}: {error}"));
        assert!(done.found.iter().all(|left| left.outcome == Outcome::Done), "{when}: {done:?}");
        check_sound(&sim, &|| when.clone());
        let (in_pool, in_text) = transactions(&sim);
        // A pool never goes back.
        assert!(in_pool == in_text && in_pool >= ids.0.max(ids.1), "{when}: {in_pool} {in_text}");
        assert_eq!(names(&sim), names(&machine()), "{when}");
        let bytes = sim.bytes();
        let again = sim.imgbase().recover(&mut Unwatched).expect("nothing is left").found;
        assert!(again.is_empty() && sim.bytes() == bytes, "{when}: {again:?}");

        let sim = apart(by, stanzas);
        let added = sim.imgbase().add_layer(None, &mut Unwatched);
        let added = added.unwrap_or_else(|error| panic!("{when}: {error}"));
        assert_eq!(added.nvr.to_string(), "Base-1-0+2", "{when}");
        check_sound(&sim, &|| format!("{when}, then a layer"));
        let (in_pool, in_text) = transactions(&sim);
        assert_eq!(in_pool, in_text, "{when}");
        let left = sim.imgbase().leftovers().expect("readable").found;
        assert!(left.is_empty(), "{when}: {left:?}");
    }
}

/// No crash leaves a text that is two ahead: whoever would go on by it is told both transactions
/// and the ways out, and all stays as it was.
#[test]
fn a_pool_two_behind_its_text_is_left_to_people() {
    let activate = |sim: &SimMachine| sim.imgbase().activate(&[BASE.parse()?]).map(drop);
    let recover = |sim: &SimMachine| sim.imgbase().recover(&mut Unwatched).map(drop);
    let tries: [(&str, Verb); 4] =
        [("recover", recover), VERBS[0], ("activate", activate), ("recover again", recover)];
    for (stanzas, active) in [(false, true), (true, true), (false, false)] {
        let sim = apart(-2, stanzas);
        let (in_pool, in_text) = transactions(&sim);
        let told_all = |told: &str, what: &str| {
            let ids = [format!("transaction {in_pool},"), format!("the metadata at {in_text}:")];
            let ways = ["vgcfgrestore".to_owned(), format!("transaction_id = {in_pool}")];
            let missing = ids.iter().chain(&ways).find(|part| !told.contains(*part));
            let when = format!("{what}, messages: {stanzas}, active: {active}");
            assert_eq!(missing, None, "{when}: {told}");
        };
        if active {
            let list = sim.imgbase().leftovers().expect("readable").found;
            let told = list.iter().find(|left| left.kind == LeftoverKind::Transaction);
            let told = told.unwrap_or_else(|| panic!("messages: {stanzas}: {list:?}"));
            assert_eq!(told.outcome, Outcome::ForYou);
            told_all(&told.detail, "leftovers");
        } else {
            sim.imgbase().deactivate(&[]).expect("nobody uses it");
        }
        let (bytes, devices) = (sim.bytes(), sim.kernel.list("").expect("listed"));
        assert_eq!(devices.is_empty(), !active, "{devices:?}");
        for (name, verb) in tries {
            let error = verb(&sim).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Diverged, "{name}: {error}");
            told_all(&error.to_string(), name);
            assert!(sim.bytes() == bytes, "{name}: {error}: something was written");
            let now = sim.kernel.list("").expect("listed");
            assert_eq!(now, devices, "{name}, messages: {stanzas}: {error}");
        }
    }
}

#[test]
fn a_suspended_device_goes_on() {
    let sim = machine();
    let layer: DmName = "HostVG-Base--1--0+1".parse().expect("a name");
    sim.kernel.suspend(&layer, imgbase::dm::Suspend::Freeze).expect("it is active");
    let list = sim.imgbase().leftovers().expect("readable");
    assert_eq!(list.found.len(), 1);
    assert_eq!(list.found[0].object, layer.to_string());
    sim.imgbase().recover(&mut Unwatched).expect("it is resumed");
    check_sound(&sim, &|| "resumed".to_owned());
}

/// Whichever verb comes next lets it go on.
#[test]
fn the_next_verb_lets_a_suspended_device_go_on() {
    for (name, verb) in VERBS {
        let sim = machine();
        let layer: DmName = "HostVG-Base--1--0+1".parse().expect("a name");
        sim.kernel.suspend(&layer, imgbase::dm::Suspend::Freeze).expect("it is active");
        verb(&sim).unwrap_or_else(|error| panic!("{name}: {error}"));
        check_sound(&sim, &|| name.to_owned());
    }
}

/// What a command leaves that is killed between a device's table and its first resume.
#[test]
fn a_device_that_was_never_in_force_is_removed() {
    let sim = machine();
    let layer: ImageName = "Base-1-0+1".parse().expect("a name");
    let name: DmName = "HostVG-Base--1--0+1".parse().expect("a name");
    sim.kernel.forget_calls();
    sim.imgbase().deactivate(std::slice::from_ref(&layer)).expect("nobody uses it");
    let calls = {
        let probe = machine();
        probe.imgbase().deactivate(std::slice::from_ref(&layer)).expect("nobody uses it");
        probe.kernel.forget_calls();
        probe.imgbase().activate(std::slice::from_ref(&layer)).expect("it is there");
        let calls = probe.kernel.calls();
        let resume = format!("resume {name}");
        calls.iter().position(|call| call.to_string().starts_with(&resume)).expect("it is resumed")
    };
    sim.kernel.forget_calls();
    sim.kernel.fail_at(calls, ErrorKind::Io, true);
    sim.imgbase().activate(std::slice::from_ref(&layer)).expect_err("the kernel is dead");
    sim.kernel.heal();
    let there = || sim.kernel.info(&name).expect("info");
    assert!(there().is_some_and(|device| !device.live && device.inactive));
    let list = sim.imgbase().leftovers().expect("readable").found;
    assert_eq!(list.len(), 1, "{list:?}");
    let unborn = (LeftoverKind::Unborn, name.to_string(), Outcome::Pending);
    assert_eq!((list[0].kind, list[0].object.clone(), list[0].outcome), unborn);
    let done = sim.imgbase().recover(&mut Unwatched).expect("it goes").found;
    assert_eq!((done.len(), done[0].outcome), (1, Outcome::Done));
    assert_eq!(there(), None);
    sim.imgbase().activate(&[layer]).expect("it is there");
    check_sound(&sim, &|| "recovered".to_owned());
}

#[test]
fn what_nobody_knows_is_told_and_kept() {
    let sim = machine();
    sim.kernel.message(&pool(), "create_thin 77").expect("the id is free");
    for found in [
        sim.imgbase().leftovers().expect("readable").found,
        sim.imgbase().recover(&mut Unwatched).expect("nothing to do").found,
    ] {
        assert_eq!(found.len(), 1, "{found:?}");
        let stray = (LeftoverKind::Stray, "thin device 77", Outcome::ForYou);
        assert_eq!((found[0].kind, found[0].object.as_str(), found[0].outcome), stray);
    }
    assert!(sim.kernel.thin_ids(&pool()).expect("active").contains(&77));
    // New ids go above it or past it, never onto it.
    let next = sim.imgbase().add_layer(None, &mut Unwatched).expect("another layer");
    assert_eq!(next.nvr.to_string(), "Base-1-0+2");
}

/// Wherever a verb is stopped that was about to take an id which the pool has given away already, what
/// has it stays as it is.
#[test]
fn what_nobody_knows_is_not_taken_for_what_was_announced() {
    // The first of three ids, the last one, and that of a single layer.
    let several: Verb = |sim| add_layers(sim, BASE);
    let kept = [(VERBS[0].1, 3), (several, 3), (several, 5)]
        .map(|(verb, id)| stops_beside_a_stray(verb, id, true));
    figure(&format!("a thin device that nobody knows: kept in {kept:?} stops of layer --add"));
    assert!(kept.iter().all(|kept| *kept > 20), "{kept:?} stops");
    // Made in the same transaction: known as long as the one before it was not made.
    let kept = stops_beside_a_stray(several, 5, false);
    assert!(kept > 5, "{kept} stops");
}

/// The verb, which takes that id, is stopped at each of its calls; returns how often it had to be kept.
fn stops_beside_a_stray(verb: Verb, id: u32, is_older: bool) -> u32 {
    let mut kept = 0;
    for nth in 0.. {
        let sim = machine();
        sim.kernel.message(&pool(), &format!("create_thin {id}")).expect("the id is free");
        if is_older {
            // Two transactions later it is the next id once more.
            add_base(&sim, "Base-2-0").expect("past it");
            sim.imgbase()
                .remove_base(&"Base-2-0".parse().expect("a name"), &mut Unwatched)
                .expect("goes");
        }
        let before = names(&sim);
        let stray = || {
            let metadata = "HostVG-ImagePool_tmeta".parse().expect("a name");
            let there = sim.kernel.thin_devices(&pool(), &metadata).expect("active");
            there.get(&id).map(|details| details.transaction_id)
        };
        sim.imgbase().activate(&[]).expect("the pool is active");
        let of = stray();
        assert!(of.is_some());
        sim.kernel.forget_calls();
        sim.kernel.fail_at(nth, ErrorKind::Io, true);
        let added = verb(&sim);
        sim.kernel.heal();
        let calls = sim.kernel.calls();
        let reached = calls.len() > nth;
        let before_it = format!("create_snap {} ", id - 1);
        if !is_older && calls.iter().any(|call| call.to_string().contains(&before_it)) {
            break;
        }
        let found = sim.imgbase().recover(&mut Unwatched).expect("it is recovered").found;
        let told =
            |kind, object: &str| found.iter().any(|it| it.kind == kind && it.object == object);
        assert!(told(LeftoverKind::Stray, &format!("thin device {id}")), "call {nth}: {found:?}");
        sim.imgbase().activate(&[]).expect("the pool is active");
        assert_eq!(stray(), of, "call {nth}: {found:?}");
        let again = sim.imgbase().recover(&mut Unwatched).expect("nothing to do").found;
        assert_eq!(again.len(), 1, "call {nth}: {again:?}");
        if added.is_err() {
            assert_eq!(names(&sim), before, "call {nth}");
        }
        kept += 1;
        if !reached {
            break;
        }
    }
    kept
}

#[test]
fn a_volume_without_its_thin_device_is_told() {
    let sim = machine();
    let layer: DmName = "HostVG-Base--1--0+1".parse().expect("a name");
    let hidden = Visibility { udev_flags: 0, link: None };
    sim.kernel.remove(&layer, &hidden).expect("nobody has it open");
    sim.kernel.message(&pool(), "delete 2").expect("it is inactive");
    let found = sim.imgbase().recover(&mut Unwatched).expect("nothing to do").found;
    assert_eq!(found.len(), 1, "{found:?}");
    let lost = (LeftoverKind::Problem, "Base-1-0+1", Outcome::ForYou);
    assert_eq!((found[0].kind, found[0].object.as_str(), found[0].outcome), lost);
    assert_eq!(names(&sim).len(), 2, "it is kept");
}

/// Damages the newest text wherever it is, as a power cut in a commit of lvm2's may leave it;
/// returns its seqno.
fn lose_text(sim: &SimMachine) -> u64 {
    let machine = sim.machine();
    let mut lost = 0;
    for path in machine.disks.candidates().expect("listed") {
        let dev = machine.disks.open(&path).expect("there");
        let found = scan(&[(path, std::sync::Arc::clone(&dev))]);
        for group in &found.groups {
            for (_, copy) in group.writable_copies() {
                let slot = copy.header.expect("valid").committed();
                let at = copy.area.offset.saturating_add(Bytes::new(slot.offset));
                let mut bytes = [0; 512];
                dev.read_at(&mut bytes, at).expect("within");
                dev.write_at(&[!bytes[9]; 512], at).expect("within");
                lost = lost.max(group.vg.seqno);
            }
        }
    }
    lost
}

#[test]
fn the_text_before_a_lost_one_is_put_in_force() {
    let sim = machine();
    // A change that only the text knows of: what lvm2 would have been at.
    sim.imgbase().pin_base(&BASE.parse().expect("a name"), true).expect("pinned");
    let seqno = lose_text(&sim);
    let bytes = sim.bytes();
    // It is shown, and nothing is changed or activated on its word.
    assert_eq!(names(&sim).len(), 2);
    let add = sim.imgbase().add_layer(None, &mut Unwatched).expect_err("the text is lost");
    assert_eq!(add.kind(), ErrorKind::NeedsRecovery, "{add}");
    let layer: ImageName = "Base-1-0+1".parse().expect("a name");
    let on = sim.imgbase().activate(&[layer]).expect_err("the text is lost");
    assert_eq!(on.kind(), ErrorKind::NeedsRecovery, "{on}");
    let list = sim.imgbase().leftovers().expect("readable");
    assert!(list.found.iter().all(|left| left.kind == LeftoverKind::Copy), "{list:?}");
    assert!(list.found.iter().all(|left| left.outcome == Outcome::Pending), "{list:?}");
    assert!(!list.found.is_empty() && sim.bytes() == bytes);
    assert_eq!(list.vg_seqno, seqno - 1);

    let done = sim.imgbase().recover(&mut Unwatched).expect("it is put back");
    assert_eq!(done.found.len(), list.found.len());
    assert!(done.found.iter().all(|left| left.outcome == Outcome::Done), "{done:?}");
    check_sound(&sim, &|| "put back".to_owned());
    assert!(sim.imgbase().leftovers().expect("readable").found.is_empty());
    assert_eq!(done.vg_seqno, seqno - 1, "as it was before");
    sim.imgbase().add_layer(None, &mut Unwatched).expect("works again");
}

/// A text that was in force is not gone back from: it may stand for somebody's data.
#[test]
fn a_text_that_was_in_force_is_not_gone_back_from() {
    let refused = |sim: &SimMachine, why: &str| {
        let bytes = sim.bytes();
        let list = sim.imgbase().leftovers().expect("readable").found;
        assert!(list.iter().any(|left| left.outcome == Outcome::ForYou), "{list:?}");
        assert!(list.iter().all(|left| left.outcome != Outcome::Pending), "{list:?}");
        let error = sim.imgbase().recover(&mut Unwatched).expect_err(why);
        assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
        assert!(error.to_string().contains(why), "{error}");
        assert!(sim.bytes() == bytes, "{why}: something was written");
    };
    // The one before has the layer unfinished, and would have it removed.
    let sim = machine();
    lose_text(&sim);
    refused(&sim, "Base-1-0+1 is unfinished");
    // The kernel has a larger pool than the one before.
    let sim = machine();
    sim.imgbase().grow_pool(Bytes::mib(4), &mut Unwatched).expect("there is room");
    lose_text(&sim);
    refused(&sim, "as the kernel has it");
    // lvm2's backup is newer than the one before.
    let mut sim = machine();
    sim.imgbase().pin_base(&BASE.parse().expect("a name"), true).expect("pinned");
    let text = |sim: &SimMachine| {
        let machine = sim.machine();
        let paths = machine.disks.candidates().expect("listed").into_iter();
        let open =
            |path: std::path::PathBuf| (path.clone(), machine.disks.open(&path).expect("there"));
        let found = scan(&paths.map(open).collect::<Vec<_>>());
        found.groups[0].vg.to_text(imgbase::lvm2::text::Style::Backup)
    };
    let newest = text(&sim);
    let seqno = lose_text(&sim);
    sim.lvm2.backup = Some(newest);
    refused(&sim, &format!("backup has seqno {seqno}"));
    // An older one says nothing, nor does one of another group.
    sim.lvm2.backup = Some(text(&sim));
    sim.imgbase().recover(&mut Unwatched).expect("it is put back");
    check_sound(&sim, &|| "put back".to_owned());
}
