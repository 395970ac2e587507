use super::*;
use crate::lvm2::label::PvLabel;
use crate::lvm2::mda::RawMda;
use crate::lvm2::scan::Problem;
use crate::lvm2::store::{MetadataStore, NativeStore, commit_to};
use crate::lvm2::testing::*;
use crate::units::Bytes;

fn store(devices: &[Arc<crate::dev::MemDev>]) -> NativeStore {
    NativeStore::new(find(devices))
}

fn commit(store: &NativeStore, pvs: usize, seqno: u64, filler: usize) -> Result<u64> {
    store.commit(new_vg(pvs, seqno, filler), &mut |_| Ok(())).map(|vg| vg.seqno)
}

fn header(dev: &dyn Dev, area: (u64, u64)) -> Mda {
    let mut bytes = [0; 512];
    dev.read_at(&mut bytes, Bytes::new(area.0)).expect("within");
    RawMda::new(bytes).verify(locn(area)).expect("valid")
}

/// Replaces slot 0 of a header.
fn set_slot(dev: &dyn Dev, area: (u64, u64), change: impl FnOnce(&mut super::super::mda::RawLocn)) {
    let header = header(dev, area);
    let mut slot = header.committed();
    change(&mut slot);
    let bytes = header.with_committed(slot).encode();
    dev.write_at(&bytes, Bytes::new(area.0)).expect("within");
}

#[test]
fn a_commit_is_read_back_and_is_the_same_in_every_area() {
    let devices = group_on(&[&[FRONT, BACK], &[], &[FRONT]]);
    let store = store(&devices);
    assert_eq!(commit(&store, 3, 2, 100).expect("fits"), 2);
    assert_eq!(commit(&store, 3, 3, 200).expect("fits"), 3);
    let group = find(&devices);
    assert_eq!((group.vg.seqno, group.problems.len()), (3, 0));
    assert_eq!(group.current, store.group().current);
    assert_eq!(group.writable_copies().count(), 3);
    assert_eq!(group.stale().count(), 0);
    assert_eq!(store.read().expect("readable").seqno, 3);
    assert!(header(devices[0].as_ref(), FRONT).precommitted().is_empty());
}

#[test]
fn a_text_that_outgrew_the_smallest_area_is_refused_before_anything_is_written() {
    let devices = group_on(&[&[FRONT], &[FRONT, BACK]]);
    let before: Vec<_> = devices.iter().map(|dev| dev.bytes()).collect();
    let store = store(&devices);
    // Room for 3328 bytes in the larger areas and for 2304 in the smallest.
    let error = commit(&store, 2, 2, 2000).expect_err("too long");
    let ErrorKind::NoSpace { need, have } = error.kind() else { panic!("{error}") };
    assert!(need > have && have == Bytes::new(2304), "{error}");
    assert_eq!(error.object(), Some("/dev/1, byte 49152"));
    assert_eq!(error.unchanged(), Some("metadata still at seqno 1"));
    assert!(devices.iter().map(|dev| dev.bytes()).eq(before));
    assert!(commit(&store, 2, 2, 1000).is_ok());
}

#[test]
fn what_fails_between_leaves_the_old_text_and_its_own_error() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let store = store(&devices);
    let mut seen = 0;
    let error = store
        .commit(new_vg(2, 2, 0), &mut |vg| {
            seen = vg.seqno;
            let on_disk = header(devices[1].as_ref(), FRONT);
            assert!(!on_disk.precommitted().is_empty(), "announced");
            assert_eq!(find(&devices).vg.seqno, 1, "and not in force");
            Err(Error::new(ErrorKind::Busy, "cannot suspend"))
        })
        .expect_err("refused");
    assert_eq!((seen, error.kind()), (2, ErrorKind::Busy));
    assert_eq!(error.to_string(), "cannot suspend; metadata still at seqno 1");
    assert!(header(devices[1].as_ref(), FRONT).precommitted().is_empty());
    assert_eq!(find(&devices).vg.seqno, 1);
    assert_eq!(commit(&store, 2, 2, 0).expect("works after it"), 2);
}

#[test]
fn only_the_successor_with_the_same_physical_volumes_is_taken() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let store = store(&devices);
    for (pvs, seqno) in [(2, 1), (2, 3), (1, 2), (3, 2)] {
        let error = commit(&store, pvs, seqno, 0).expect_err("no successor");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{pvs} {seqno}");
    }
    assert_eq!(find(&devices).vg.seqno, 1);
}

#[test]
fn a_group_that_someone_else_changed_is_read_again_first() {
    let devices = group_on(&[&[FRONT], &[]]);
    let (ours, theirs) = (store(&devices), store(&devices));
    commit(&theirs, 2, 2, 0).expect("works");
    assert_eq!(commit(&ours, 2, 2, 9).expect_err("late").kind(), ErrorKind::Busy);
    assert_eq!(ours.read().expect("readable").seqno, 2);
    assert_eq!(commit(&ours, 2, 3, 9).expect("works"), 3);
}

#[test]
fn an_ignored_area_is_neither_read_nor_written() {
    let devices = group_on(&[&[FRONT, BACK]]);
    set_slot(devices[0].as_ref(), BACK, |slot| slot.flags = 1);
    let before = header(devices[0].as_ref(), BACK);
    let store = store(&devices);
    commit(&store, 1, 2, 0).expect("works");
    assert_eq!(header(devices[0].as_ref(), BACK), before);
    assert!(find(&devices).problems.is_empty());
    set_slot(devices[0].as_ref(), FRONT, |slot| slot.flags = 1);
    assert!(scan_of(&devices).groups.is_empty(), "no area in use, no group");
}

#[test]
fn an_area_whose_ignore_flag_was_taken_back_is_written_behind_its_old_text() {
    let devices = group_on(&[&[FRONT, BACK]]);
    set_slot(devices[0].as_ref(), BACK, |slot| slot.flags = 1);
    let store = store(&devices);
    commit(&store, 1, 2, 0).expect("works");
    set_slot(devices[0].as_ref(), BACK, |slot| slot.flags = 0);
    assert_eq!(store.read().expect("readable").seqno, 2);
    assert_eq!(store.group().stale().count(), 1);
    commit(&store, 1, 3, 0).expect("works");
    assert!(find(&devices).problems.is_empty());
}

#[test]
fn a_damaged_area_is_left_alone_and_a_stale_one_brought_up_to_date() {
    let devices = group_on(&[&[FRONT], &[FRONT], &[FRONT]]);
    let old = devices[1].bytes();
    commit(&store(&devices), 3, 2, 0).expect("works");
    devices[1].write_at(&old, Bytes::ZERO).expect("fits");
    damage(devices[2].as_ref(), FRONT.0 + 5);
    let damaged = devices[2].bytes();
    let store = store(&devices);
    let problems: Vec<_> = store.problems().iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("/dev/1, byte 4096: the metadata area is behind, at seqno 1"));
    assert!(problems[1].starts_with("/dev/2, byte 4096: the metadata area is damaged"));
    assert_eq!(commit(&store, 3, 3, 0).expect("works"), 3);
    assert_eq!(store.problems().len(), 1, "the stale one is healed");
    assert_eq!(devices[2].bytes(), damaged);
    assert_eq!(
        header(devices[1].as_ref(), FRONT).committed().checksum,
        store.group().current.checksum
    );
}

#[test]
fn only_whole_sectors_of_the_areas_are_written() {
    let devices = group_on(&[&[FRONT, BACK]]);
    let before = devices[0].bytes();
    commit(&store(&devices), 1, 2, 0).expect("works");
    let after = devices[0].bytes();
    let changed = |range: std::ops::Range<usize>| before[range.clone()] != after[range];
    assert!(!changed(0..4096) && !changed(12288..49152) && !changed(55296..65536));
    let label = PvLabel::find(&after).expect("valid").expect("there");
    assert_eq!(label.id, id('p', 0));
    let slot = header(devices[0].as_ref(), FRONT).committed();
    let end = usize::try_from(4096 + slot.offset + slot.size).expect("small");
    let padding = &after[end..end.next_multiple_of(512)];
    assert!(padding.iter().all(|byte| *byte == 0), "the last sector is filled with zeros");
}

#[test]
fn the_group_can_be_asked_about_while_it_is_announced() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let store = store(&devices);
    let seqno = store
        .commit_beside(Box::new(|| Ok(new_vg(2, 2, 0))), &mut || {
            assert_eq!(store.group().vg.seqno, 1);
            assert!(store.problems().is_empty());
            let error = commit(&store, 2, 2, 0).expect_err("one at a time");
            assert_eq!(error.kind(), ErrorKind::Busy);
            Ok(())
        })
        .expect("committed")
        .seqno;
    assert_eq!((seqno, find(&devices).vg.seqno), (2, 2));
}

#[test]
fn what_fails_before_or_beside_leaves_the_old_text() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let store = store(&devices);
    let no = || Err(Error::new(ErrorKind::Busy, "no"));
    let before = store.commit_beside(Box::new(|| no().map(|()| new_vg(2, 2, 0))), &mut || Ok(()));
    let beside = store.commit_beside(Box::new(|| Ok(new_vg(2, 2, 0))), &mut || no());
    for error in [before.expect_err("refused"), beside.expect_err("refused")] {
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert_eq!(find(&devices).vg.seqno, 1);
        assert!(header(devices[1].as_ref(), FRONT).precommitted().is_empty());
    }
    assert_eq!(commit(&store, 2, 2, 0).expect("works after it"), 2);
}

/// Every commit is one whose text is lost: the one before it is found, wherever in the ring both
/// lie, and put in force again.
#[test]
fn the_text_before_a_lost_one_is_put_back() {
    for layout in [&[&[FRONT] as &[_]] as &[&[_]], &[&[FRONT, BACK]], &[&[FRONT], &[FRONT]]] {
        let devices = group_on(layout);
        for (seqno, filler) in (2..40).zip([10, 700, 1200, 0, 900, 40, 552, 1100].iter().cycle()) {
            let mut group = find(&devices);
            commit_to(
                &mut group,
                new_vg(layout.len(), seqno, *filler),
                Protocol::SOUND,
                &mut |_| Ok(()),
            )
            .expect("memory does not fail");
            let whole: Vec<_> = devices.iter().map(|dev| dev.bytes()).collect();
            for place in [0, 300, u64::MAX] {
                for (member, copy) in group.writable_copies() {
                    let slot = copy.header.expect("valid").committed();
                    let byte = place.min(slot.size - 2);
                    let pieces = Ring::of(&copy.header.expect("valid")).pieces(&slot);
                    let first = pieces.expect("in the ring").first;
                    let at =
                        if byte < first.len { slot.offset + byte } else { 512 + byte - first.len };
                    damage(member.dev.as_ref(), copy.area.offset.get() + at);
                }
                is_put_back(&devices, seqno - 1, group.writable_copies().count());
                for (dev, bytes) in devices.iter().zip(&whole) {
                    dev.write_at(bytes, Bytes::ZERO).expect("within");
                }
            }
        }
    }
}

fn is_put_back(devices: &[Arc<crate::dev::MemDev>], seqno: u64, copies: usize) {
    let group = find(devices);
    assert_eq!((group.vg.seqno, group.problems.len()), (seqno, copies), "{:?}", group.problems);
    let error = group.check_writable().expect_err("it is lost");
    assert_eq!(error.kind(), ErrorKind::NeedsRecovery, "{error}");
    let store = store(devices);
    let pvs = group.members.len();
    assert_eq!(
        commit(&store, pvs, seqno + 1, 5).expect_err("lost").kind(),
        ErrorKind::NeedsRecovery
    );
    let (vg, told) = store.put_back().expect("memory does not fail");
    assert_eq!((vg.seqno, told.len()), (seqno, copies), "{told:?}");
    let group = find(devices);
    assert_eq!((group.vg.seqno, group.problems.len()), (seqno, 0), "{:?}", group.problems);
    assert_eq!(store.put_back().expect("nothing to do").1.len(), 0);
    assert_eq!(commit(&store, pvs, seqno + 1, 5).expect("works again"), seqno + 1);
}

#[test]
fn a_lost_text_beside_a_whole_one_is_a_copy_that_is_behind() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let old = devices[1].bytes();
    let store = store(&devices);
    commit(&store, 2, 2, 100).expect("works");
    // The other copy has the new text, then the old one.
    for seqno in [2, 1] {
        let slot = header(devices[0].as_ref(), FRONT).committed();
        damage(devices[0].as_ref(), FRONT.0 + slot.offset + 9);
        let group = find(&devices);
        assert_eq!(group.vg.seqno, seqno);
        let is_stale = matches!(group.problems[..], [Problem::StaleCopy { seqno: 1, .. }]);
        assert!(is_stale, "{:?}", group.problems);
        group.check_writable().expect("the next commit heals it");
        damage(devices[0].as_ref(), FRONT.0 + slot.offset + 9);
        devices[1].write_at(&old, Bytes::ZERO).expect("within");
    }
    let slot = header(devices[0].as_ref(), FRONT).committed();
    damage(devices[0].as_ref(), FRONT.0 + slot.offset + 9);
    commit(&super::tests::store(&devices), 2, 2, 30).expect("works");
    assert!(find(&devices).problems.is_empty());
}

#[test]
fn nothing_is_put_back_while_a_disk_is_missing() {
    let devices = group_on(&[&[FRONT], &[]]);
    let store_of_all = store(&devices);
    commit(&store_of_all, 2, 2, 100).expect("works");
    let slot = header(devices[0].as_ref(), FRONT).committed();
    damage(devices[0].as_ref(), FRONT.0 + slot.offset + 9);
    let before = devices[0].bytes();
    let error = store(&devices[..1]).put_back().expect_err("it may have the newer text");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(devices[0].bytes(), before);
}

/// Two commits without a flush, of which only the header came through: what ends before the second
/// text's place is from an earlier trip round the ring.
#[test]
fn a_text_of_an_earlier_trip_is_not_put_back() {
    let devices = group_on(&[&[FRONT]]);
    // Three texts of five sectors each fill the ring.
    let filler = 2500 - crate::lvm2::testing::text(1, 2, 0).len();
    let mut commit_one = |seqno: u64| {
        let new = new_vg(1, seqno, filler);
        commit_to(&mut find(&devices), new, Protocol::SOUND, &mut |_| Ok(())).expect("works");
        header(devices[0].as_ref(), FRONT).committed().offset
    };
    let places: Vec<u64> = (2..8).map(&mut commit_one).collect();
    assert_eq!(places[..3], places[3..], "they go round: {places:?}");
    let before = devices[0].bytes();
    commit_one(8);
    commit_one(9);
    let texts = usize::try_from(FRONT.0 + 512).expect("small");
    let ring = &before[texts..texts + 15 * 512];
    devices[0].write_at(ring, Bytes::new(FRONT.0 + 512)).expect("within");
    let found = crate::lvm2::testing::scan_of(&devices);
    assert!(found.groups.is_empty(), "{:?}", found.groups);
}

/// Both disks have lost their text, and what was before it is not the same.
#[test]
fn nothing_is_put_back_where_two_texts_were_before() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    for (n, dev) in devices.iter().enumerate() {
        for (seqno, filler) in [(2, 100 + n), (3, 50)] {
            let mut group = find(&devices[n..=n]);
            commit_to(&mut group, new_vg(2, seqno, filler), Protocol::SOUND, &mut |_| Ok(()))
                .expect("memory does not fail");
        }
        let slot = header(dev.as_ref(), FRONT).committed();
        damage(dev.as_ref(), FRONT.0 + slot.offset + 9);
    }
    let error = store(&devices).put_back().expect_err("nobody knows");
    assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
}
