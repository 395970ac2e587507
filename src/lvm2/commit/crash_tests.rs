//! Every image that a power cut in a commit may leave reads as the old or the
//! new text, at the moments at which it may; and the same test must fail for
//! commits that are wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::dev::record::{Bound, Cut, Fault, Image, Recorder};
use crate::lvm2::crc::crc;
use crate::units::Bytes;

use crate::lvm2::scan::scan;
use crate::lvm2::store::commit_to;
use crate::lvm2::testing::{BACK, FRONT, group_on, named, new_vg, vg_name};

type Disks = Vec<(String, Arc<[u8]>)>;

/// Metadata areas of one to three physical volumes; one layout has a volume without any.
const LAYOUTS: [&[&[(u64, u64)]]; 7] = [
    &[&[FRONT]],
    &[&[FRONT, BACK]],
    &[&[FRONT], &[FRONT]],
    &[&[FRONT, BACK], &[FRONT]],
    &[&[], &[BACK]],
    &[&[FRONT], &[FRONT], &[FRONT]],
    &[&[FRONT, BACK], &[FRONT, BACK], &[FRONT, BACK]],
];

/// Bytes of filler of one commit after the other: short, long, of a sector's length less and more.
const FILLERS: [usize; 9] = [10, 700, 1200, 0, 900, 40, 552, 1100, 300];

const BETWEEN: &str = "between";
const DONE: &str = "done";

/// Prints a line that libtest does not swallow; `cargo verify` collects it.
fn figure(line: &str) {
    let mut out = io::stdout().lock();
    io::Write::write_all(&mut out, format!("figure: {line}\n").as_bytes()).expect("it is open");
}

fn start(layout: &[&[(u64, u64)]]) -> Disks {
    let devices = group_on(layout);
    devices.iter().map(|dev| (dev.name().to_owned(), Arc::from(dev.bytes()))).collect()
}

fn group_of(devices: Vec<Arc<dyn Dev>>) -> Result<Group, String> {
    let scan = scan(&named(devices));
    scan.into_group(&vg_name()).map_err(|error| format!("no group: {error}"))
}

/// One commit on `disks`, recorded.
struct Trial {
    recorder: Recorder,
    old: TextId,
    new: TextId,
    result: Result<Arc<crate::lvm2::Vg>>,
}

fn trial(disks: &Disks, filler: usize, protocol: Protocol, fault: Option<Fault>) -> Trial {
    let recorder = Recorder::new(disks.clone());
    if let Some(fault) = fault {
        recorder.fail(fault);
    }
    let mut group = group_of(recorder.devices()).expect("the disks hold a group");
    let old = group.current;
    let text = new_vg(group.members.len(), old.seqno + 1, filler);
    let mut bytes = text.text().as_bytes().to_vec();
    bytes.push(0);
    let size = u64::try_from(bytes.len()).expect("small");
    let new = TextId { seqno: old.seqno + 1, size, checksum: crc(&bytes), ..old };
    let mut between = |_: &_| {
        recorder.mark(BETWEEN);
        Ok(())
    };
    let result = commit_to(&mut group, text, protocol, &mut between);
    recorder.mark(DONE);
    Trial { recorder, old, new, result }
}

impl Trial {
    /// Which texts a power cut at that moment may leave in force.
    fn allowed(&self, cut: &Cut) -> Vec<TextId> {
        let unknown = matches!(&self.result, Err(e) if e.kind() == ErrorKind::NeedsRecovery);
        match (cut.is_after(DONE), &self.result) {
            _ if !cut.is_after(BETWEEN) => vec![self.old],
            (true, Ok(_)) => vec![self.new],
            (true, Err(_)) if !unknown => vec![self.old],
            _ => vec![self.old, self.new],
        }
    }

    /// Looks at all images of all cuts; gives how many distinct ones.
    fn check(&self, bound: Bound) -> Result<usize, String> {
        let mut seen = BTreeSet::new();
        for cut in self.recorder.cuts() {
            let allowed = self.allowed(&cut);
            for image in cut.images(bound) {
                if seen.insert((image.hash(), allowed.len(), cut.marks.len())) {
                    self.check_image(&image, &cut, &allowed)
                        .map_err(|why| format!("after {:?}: {why}", cut.marks))?;
                }
            }
        }
        Ok(seen.iter().map(|(hash, ..)| hash).collect::<BTreeSet<_>>().len())
    }

    fn check_image(&self, image: &Image, cut: &Cut, allowed: &[TextId]) -> Result<(), String> {
        let group = group_of(image.devices())?;
        if !allowed.contains(&group.current) {
            return Err(format!("seqno {} is in force", group.current.seqno));
        }
        group.check_writable().map_err(|error| error.to_string())?;
        // A commit that failed has put the headers back.
        let due = self.result.is_ok() && cut.marks.last().is_some_and(|mark| mark == BETWEEN);
        for (member, mda) in headers(&group) {
            let announced = is(&mda.precommitted(), &self.new);
            if due && announced && !is_whole(member, &mda) {
                return Err("a header announces a text that is not whole".into());
            }
            if due && !announced && !is(&mda.committed(), &self.new) {
                return Err("the text was not announced when it should have been".into());
            }
        }
        let mut odd = group.problems.iter().map(ToString::to_string);
        match odd.find(|problem| !problem.contains("is behind")) {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }
}

fn is(slot: &super::super::mda::RawLocn, text: &TextId) -> bool {
    (slot.size, slot.checksum) == (text.size, text.checksum)
}

fn headers(group: &Group) -> Vec<(&Member, Mda)> {
    let all = group.members.iter().flat_map(|m| m.mdas.iter().map(move |copy| (m, copy)));
    all.filter_map(|(member, copy)| Some((member, copy.header?))).collect()
}

/// True where the text that slot 1 points at has its checksum.
fn is_whole(member: &Member, mda: &Mda) -> bool {
    let slot = mda.precommitted();
    let Ok(pieces) = Ring::of(mda).pieces(&slot) else { return false };
    let mut text = Vec::new();
    for piece in pieces.iter() {
        let mut run = vec![0; usize::try_from(piece.len).expect("small")];
        member.dev.read_at(&mut run, mda.at(piece.offset)).expect("within");
        text.extend(run);
    }
    crc(&text) == slot.checksum
}

/// The disks after a commit that was not cut.
fn after(trial: &Trial, disks: &Disks) -> Disks {
    let devices = trial.recorder.devices();
    let read = |(disk, dev): (&(String, _), &Arc<dyn Dev>)| {
        let (name, base): (&String, &Arc<[u8]>) = (&disk.0, &disk.1);
        let mut bytes = vec![0; base.len()];
        dev.read_at(&mut bytes, Bytes::ZERO).expect("within");
        (name.clone(), Arc::from(bytes))
    };
    disks.iter().zip(&devices).map(read).collect()
}

/// A series of commits on one layout; gives how many distinct images were looked at.
fn series(layout: &[&[(u64, u64)]], protocol: Protocol, bound: Bound) -> Result<usize, String> {
    let mut disks = start(layout);
    let mut images = 0;
    for filler in FILLERS {
        let trial = trial(&disks, filler, protocol, None);
        if let Err(error) = &trial.result {
            return Err(error.to_string());
        }
        images += trial.check(bound)?;
        disks = after(&trial, &disks);
    }
    Ok(images)
}

const BOUND: Bound = Bound { all_up_to: 1 << 12, drawn: 2500, seed: 7 };

#[test]
fn a_power_cut_leaves_the_old_or_the_new_text() {
    let mut images = 0;
    for layout in LAYOUTS {
        images += series(layout, Protocol::SOUND, BOUND).expect("no image is bad");
    }
    let commits = LAYOUTS.len() * FILLERS.len();
    figure(&format!("power cuts in commits: {images} distinct states of {commits} commits"));
    assert!(images > 50_000, "only {images} images");
}

#[test]
fn the_series_wraps() {
    let mut disks = start(LAYOUTS[0]);
    let mut wraps = 0;
    for filler in FILLERS {
        let trial = trial(&disks, filler, Protocol::SOUND, None);
        disks = after(&trial, &disks);
        let group = group_of(trial.recorder.devices()).expect("a group");
        let (_, mda) = headers(&group)[0];
        let pieces = Ring::of(&mda).pieces(&mda.committed()).expect("in the ring");
        wraps += usize::from(pieces.wrapped.is_some());
    }
    assert!(wraps >= 1, "the fillers are to make a text wrap");
}

/// What each layout's series says of a wrong protocol.
fn caught(protocol: Protocol) -> Vec<String> {
    let few = Bound { drawn: 20, ..BOUND };
    LAYOUTS.iter().map(|layout| series(layout, protocol, few).expect_err("caught")).collect()
}

#[test]
fn a_commit_before_the_precommit_is_caught() {
    for why in caught(Protocol { precommit_first: false, ..Protocol::SOUND }) {
        let early = ["is in force", "there is no such group", "has lost its text"];
        assert!(early.iter().any(|early| why.contains(early)), "{why}");
    }
    figure("wrong builds caught: a commit before its precommit");
}

#[test]
fn each_dropped_sync_is_caught() {
    for step in 0..2 {
        let mut synced = [true; 2];
        synced[step] = false;
        caught(Protocol { synced, ..Protocol::SOUND });
        figure(&format!("wrong builds caught: sync {step} of a commit dropped"));
    }
}

#[test]
fn a_wrong_start_in_the_ring_is_caught() {
    caught(Protocol { sound_ring: false, ..Protocol::SOUND });
    figure("wrong builds caught: the wrong start in the ring");
}

/// The `call`-th write or sync fails, alone or with all later ones, for every call there is. The
/// largest layout is left out: it has nothing that the others have not.
#[test]
fn whichever_call_fails_what_is_said_is_true() {
    let few = Bound { all_up_to: 64, drawn: 10, seed: 5 };
    let mut outcomes = BTreeSet::new();
    for layout in &LAYOUTS[..6] {
        let disks = start(layout);
        let calls = trial(&disks, 900, Protocol::SOUND, None).recorder.calls();
        for (call, lasting) in (0..calls).flat_map(|call| [(call, false), (call, true)]) {
            let fault = Fault { call, lasting, kind: io::ErrorKind::Other };
            let trial = trial(&disks, 900, Protocol::SOUND, Some(fault));
            if let Err(why) = trial.check(few) {
                panic!("{layout:?}, call {call}, lasting {lasting}, {:?}: {why}", trial.result);
            }
            outcomes.insert(match &trial.result {
                Ok(_) => "committed",
                Err(error) if error.kind() == ErrorKind::NeedsRecovery => "unknown",
                Err(error) => {
                    assert_eq!(error.unchanged(), Some("metadata still at seqno 1"), "{error}");
                    "as before"
                }
            });
        }
    }
    assert_eq!(outcomes, BTreeSet::from(["as before", "committed", "unknown"]));
}

/// From any image the next commit works, and brings all copies up to date.
#[test]
fn the_next_commit_heals_every_image() {
    for layout in [LAYOUTS[1], LAYOUTS[3]] {
        let disks = start(layout);
        let trial = trial(&disks, 900, Protocol::SOUND, None);
        let few = Bound { all_up_to: 64, drawn: 20, seed: 2 };
        for image in trial.recorder.cuts().iter().flat_map(|cut| cut.images(few)) {
            let devices = image.devices();
            let mut group = group_of(devices.clone()).expect("readable");
            let (pvs, seqno) = (group.members.len(), group.vg.seqno + 1);
            commit_to(&mut group, new_vg(pvs, seqno, 30), Protocol::SOUND, &mut |_| Ok(()))
                .expect("memory does not fail");
            assert!(group.problems.is_empty(), "{:?}", group.problems);
            let group = group_of(devices).expect("readable");
            assert_eq!(group.vg.seqno, seqno);
            assert!(group.problems.is_empty(), "{:?}", group.problems);
        }
    }
}

/// lvm2 commits without a flush before the end: from any image of such a commit the old or the new
/// text can be put in force.
#[test]
fn what_a_commit_without_flushes_leaves_can_be_put_back() {
    let mut lost = 0;
    for layout in LAYOUTS {
        let disks = start(layout);
        let unsynced = Protocol { synced: [false; 2], ..Protocol::SOUND };
        let trial = trial(&disks, 900, unsynced, None);
        let few = Bound { all_up_to: 1 << 10, drawn: 200, seed: 3 };
        for image in trial.recorder.cuts().iter().flat_map(|cut| cut.images(few)) {
            let devices = image.devices();
            let group = group_of(devices.clone()).expect("readable");
            assert!([trial.old, trial.new].contains(&group.current), "{:?}", group.current);
            let store = crate::lvm2::store::NativeStore::new(group);
            let (vg, told) = store.put_back().expect("memory does not fail");
            lost += usize::from(!told.is_empty());
            let group = group_of(devices).expect("readable");
            assert_eq!(group.vg.seqno, vg.seqno);
            group.check_writable().expect("whole again");
        }
    }
    assert!(lost > 100, "only {lost} images had lost their text");
}
