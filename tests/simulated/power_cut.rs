//! Whole verbs on recording disks under a simulated kernel: every image that a power cut could
//! have left, a sample beyond a bound, is taken up by a machine that has just booted. It reads as
//! before or after the verb, one `recover` ends in one of the two with every byte of every image
//! in its place, and a second one writes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use imgbase::Result;
use imgbase::dev::record::{Bound, Cut, Image, Recorder};
use imgbase::ops::{Init, Unwatched};
use imgbase::units::Bytes;

use crate::support::figures::{all, figure};
use crate::support::world::{
    BASE, Content, DiskBytes, LAYER, add_base, add_layer, add_layers, add_volume, boot_on,
    check_sound, content, disks, disks_with_a_volume, disks_with_room, disks_with_two_bases, image,
    names, shared, update,
};
use crate::support::{Bulk, SimMachine, bytes_of};

const DONE: &str = "done";

/// A verb, on a machine that has just booted.
type Verb = fn(&SimMachine) -> Result<()>;

/// A verb that was recorded.
struct Trial {
    verb: &'static str,
    before: Content,
    after: Content,
    recorder: Recorder,
}

impl Trial {
    fn record(verb: &'static str, from: &DiskBytes, run: Verb) -> Self {
        let recorder = Recorder::new(from.clone());
        let before = content(&boot_on(recorder.devices()));
        let recorder = Recorder::new(from.clone());
        let sim = boot_on(recorder.devices());
        run(&sim).unwrap_or_else(|error| panic!("{verb}: {error}"));
        recorder.mark(DONE);
        let after = content(&sim);
        Self { verb, before, after, recorder }
    }

    /// The recoveries from this verb's cuts, each where all that was written by then has reached
    /// the disks.
    fn recoveries(&self) -> impl Iterator<Item = Self> {
        self.recorder.cuts().into_iter().map(|cut| {
            let left = cut.last_image().devices();
            let left =
                left.iter().map(|dev| (dev.name().to_owned(), bytes_of(dev.as_ref()).into()));
            let recorder = Recorder::new(left.collect());
            let sim = boot_on(recorder.devices());
            sim.imgbase().recover(&mut Unwatched).expect("it is recovered");
            recorder.mark(DONE);
            // Which of the two it is to be shows in what it has become.
            let after = content(&sim);
            let before = if after == self.after { self.after.clone() } else { self.before.clone() };
            Self { verb: self.verb, before, after, recorder }
        })
    }

    /// Looks at the images of all cuts; gives how many distinct ones, and how many moments.
    fn check(&self, bound: Bound) -> (usize, usize) {
        let (mut seen, cuts) = (BTreeSet::new(), self.recorder.cuts());
        for cut in &cuts {
            for image in cut.images(bound) {
                if seen.insert((image.hash(), cut.is_after(DONE))) {
                    self.check_image(&image, cut);
                }
            }
        }
        let distinct: BTreeSet<u64> = seen.iter().map(|(hash, _)| *hash).collect();
        (distinct.len(), cuts.len())
    }

    fn check_image(&self, image: &Image, cut: &Cut) {
        let when = || format!("{}, after {:?}, image {:x}", self.verb, cut.marks, image.hash());
        let sim = boot_on(image.devices());
        let is = |content: &Content, names: &BTreeSet<String>| content.keys().eq(names);
        let read = names(&sim);
        assert!(is(&self.before, &read) || is(&self.after, &read), "{}: {read:?}", when());
        let done = sim.imgbase().recover(&mut Unwatched);
        let done = done.unwrap_or_else(|error| panic!("{}: {error}", when()));
        sim.disks.fuse.set(0);
        let again = sim.imgbase().recover(&mut Unwatched);
        let again = again.unwrap_or_else(|error| panic!("{}: again: {error}", when()));
        assert!(!sim.disks.fuse.replace(), "{}: the second recovery wrote", when());
        assert_eq!((again.found.len(), again.vg_seqno), (0, done.vg_seqno), "{}", when());
        self.check_content(&sim, cut, &when);
    }

    /// Which images are other than before, and other than after.
    fn differences<'c>(&self, content: &'c Content) -> [Vec<&'c String>; 2] {
        [&self.before, &self.after].map(|other| {
            let differs = |(name, bytes): &(&String, &Bulk)| other.get(*name) != Some(*bytes);
            content.iter().filter(differs).map(|(name, _)| name).collect()
        })
    }

    fn check_content(&self, sim: &SimMachine, cut: &Cut, when: &dyn Fn() -> String) {
        let content = content(sim);
        let durable = cut.is_after(DONE);
        let allowed = content == self.after || (!durable && content == self.before);
        assert!(allowed, "{}: {:?} is neither", when(), self.differences(&content));
        check_sound(sim, when);
    }
}

/// So many images of a moment of a verb.
const DRAWN: usize = 1000;

/// Cuts a verb in all ways and prints how many.
fn cut(verb: &'static str, run: Verb) {
    cut_from(disks(), verb, run);
}

/// The same on other disks.
fn cut_from(disks: &DiskBytes, verb: &'static str, run: Verb) {
    let bound = bound(DRAWN);
    let trial = Trial::record(verb, disks, run);
    let (states, moments) = trial.check(bound);
    figure(&format!("power cuts in {verb}: {states} distinct states of {moments} moments"));
    assert!(states >= bound.drawn, "{verb}: only {states} states");
}

/// Cuts the recoveries from the cuts of a verb.
fn cut_recoveries(verb: &'static str, run: Verb, bound: Bound) {
    let (mut states, mut moments) = (0, 0);
    for trial in Trial::record(verb, disks(), run).recoveries() {
        let (more_states, more_moments) = trial.check(bound);
        (states, moments) = (states + more_states, moments + more_moments);
    }
    figure(&format!(
        "power cuts in the recovery from {verb}: {states} distinct states of {moments} moments"
    ));
    assert!(states >= bound.drawn, "{verb}: only {states} states");
}

/// So many drawn of each moment that leaves more images than that.
fn bound(drawn: usize) -> Bound {
    let drawn = if all() { drawn * 100 } else { drawn };
    Bound { all_up_to: drawn.max(1 << 9), drawn, seed: 3 }
}

#[test]
fn layer_add() {
    cut("layer --add", |sim| add_layer(sim, BASE));
}

#[test]
fn layer_add_on_what_is_active() {
    let run = |sim: &SimMachine| {
        sim.imgbase().activate(&[image(LAYER)])?;
        add_layer(sim, LAYER)
    };
    cut("layer --add of an active layer", run);
}

#[test]
fn layers_add() {
    cut("layer --add --count", |sim| add_layers(sim, LAYER));
}

#[test]
fn layer_remove() {
    let run =
        |sim: &SimMachine| sim.imgbase().remove_layer(&LAYER.parse()?, &mut Unwatched).map(drop);
    cut("layer --remove", run);
}

#[test]
fn base_add() {
    cut("base --add", |sim| add_base(sim, "Base-2-0"));
}

#[test]
fn an_update() {
    cut("update", |sim| update(sim, "Base-2-0"));
}

fn remove_base(sim: &SimMachine) -> Result<()> {
    sim.imgbase().remove_base(&BASE.parse()?, &mut Unwatched).map(drop)
}

#[test]
fn base_remove() {
    cut("base --remove", remove_base);
}

#[test]
fn base_pin() {
    let run = |sim: &SimMachine| sim.imgbase().pin_base(&BASE.parse()?, true).map(drop);
    cut("base --pin", run);
}

#[test]
fn layout_grow() {
    let run = |sim: &SimMachine| sim.imgbase().grow_pool(Bytes::mib(4), &mut Unwatched).map(drop);
    cut("layout --grow", run);
}

#[test]
fn layer_reset() {
    let run =
        |sim: &SimMachine| sim.imgbase().reset_layer(&LAYER.parse()?, &mut Unwatched).map(drop);
    cut("layer --reset", run);
}

#[test]
fn volume_create() {
    cut_from(disks_with_room(), "volume --create", add_volume);
}

#[test]
fn volume_remove() {
    let run =
        |sim: &SimMachine| sim.imgbase().remove_volume(&shared(), true, &mut Unwatched).map(drop);
    cut_from(disks_with_a_volume(), "volume --remove", run);
}

#[test]
fn gc() {
    let run = |sim: &SimMachine| sim.imgbase().collect(1, false, &mut Unwatched).map(drop);
    cut_from(disks_with_two_bases(), "gc", run);
}

#[test]
fn recovery_of_layer_add() {
    cut_recoveries("layer --add", |sim| add_layer(sim, BASE), bound(10));
}

#[test]
fn recovery_of_base_remove() {
    cut_recoveries("base --remove", remove_base, bound(10));
}

/// `layout --init`, cut anywhere, leaves a group or none; and where none, it can be made again.
#[test]
fn layout_init() {
    let blank: DiskBytes =
        (0..2).map(|n| (format!("/dev/sim{n}"), Arc::from(vec![0; 24 << 20]))).collect();
    let recorder = Recorder::new(blank);
    let sim = boot_on(recorder.devices());
    sim.imgbase().init(&sim.layout(), &mut Unwatched).expect("the layout is made");
    recorder.mark(DONE);
    let (mut seen, cuts) = (BTreeSet::new(), recorder.cuts());
    for cut in &cuts {
        for image in cut.images(bound(300)) {
            if !seen.insert((image.hash(), cut.is_after(DONE))) {
                continue;
            }
            let sim = boot_on(image.devices());
            let there = sim.imgbase().layout().is_ok();
            assert!(there || !cut.is_after(DONE), "it was made, and is gone");
            if !there {
                let again = Init { force: true, ..sim.layout() };
                sim.imgbase().init(&again, &mut Unwatched).expect("it is made again");
            }
            sim.imgbase().recover(&mut Unwatched).expect("nothing is to be done");
            add_base(&sim, BASE).expect("the layout is whole");
        }
    }
    let states = seen.iter().map(|(hash, _)| hash).collect::<BTreeSet<_>>().len();
    figure(&format!(
        "power cuts in layout --init: {states} distinct states of {} moments",
        cuts.len()
    ));
    assert!(states > 100, "only {states} states");
}
