use super::*;
use crate::dev::MemDev;
use crate::dev::record::{Bound, Fault, Recorder};
use crate::lvm2::golden;
use crate::lvm2::scan::scan;
use crate::lvm2::testing::{id, named, vg_name};

fn geometry(size: Bytes, mda: Bytes, alignment: Bytes) -> Result<Geometry> {
    Geometry::new(size, &PvOptions { mda_size: mda, data_alignment: alignment })
}

#[test]
fn the_layout_is_lvm2s() {
    let usual = Geometry::new(Bytes::mib(400), &PvOptions::default()).expect("large enough");
    assert_eq!((usual.pe_start, usual.mda.offset.get()), (Sectors::new(2048), 4096));
    assert_eq!(usual.mda.size, Bytes::new(1_044_480));
    // What lvm2 gave the device of that size: pe_count = 99 in its text.
    assert_eq!(usual.pe_count(Sectors::new(8192)), Extents::new(99));
    // `--dataalignment 64k --metadatasize 32k`
    let small = geometry(Bytes::mib(400), Bytes::kib(32), Bytes::kib(64)).expect("large enough");
    assert_eq!((small.pe_start, small.mda.size), (Sectors::new(128), Bytes::new(61_440)));
    let large = geometry(Bytes::mib(400), Bytes::mib(4), Bytes::mib(1)).expect("large enough");
    assert_eq!(
        (large.pe_start, large.mda.size),
        (Sectors::new(10_240), Bytes::new((5 << 20) - 4096))
    );
    let odd = Geometry::new(Bytes::new((4 << 20) + 511), &PvOptions::default()).expect("fits");
    assert_eq!(odd.dev_size, Sectors::new(8192));
}

#[test]
fn what_lvm2_would_not_make_is_refused() {
    let kind = |result: Result<Geometry>| result.expect_err("refused").kind();
    let (mib, disk) = (Bytes::mib(1), Bytes::gib(1));
    assert_eq!(kind(geometry(disk, Bytes::kib(31), mib)), ErrorKind::Invalid);
    assert_eq!(kind(geometry(disk, Bytes::new(u64::MAX), mib)), ErrorKind::Invalid);
    assert_eq!(kind(geometry(disk, mib, Bytes::new(5000))), ErrorKind::Invalid);
    assert_eq!(kind(geometry(disk, mib, Bytes::ZERO)), ErrorKind::Invalid);
    let (need, have) = (Bytes::mib(2), Bytes::new((2 << 20) - 1));
    assert_eq!(kind(geometry(have, Bytes::kib(32), mib)), ErrorKind::NoSpace { need, have });
    let (need, have) = (Bytes::mib(5), Bytes::mib(5));
    assert_eq!(kind(geometry(have, Bytes::mib(4), mib)), ErrorKind::NoSpace { need, have });
}

const SIZE: Bytes = Bytes::mib(3);

/// A text that lists the physical volumes as planned.
fn new_vg(plans: usize, filler: usize) -> NewVg {
    crate::lvm2::testing::new_vg_of(plans, SIZE, Bytes::mib(1), filler)
}

fn plans(devices: Vec<Arc<dyn Dev>>) -> Vec<PvPlan> {
    let plan = |(number, (path, dev))| {
        let plan = PvPlan::new(path, dev, &PvOptions::default()).expect("large enough");
        PvPlan { id: id('p', number), ..plan }
    };
    named(devices).into_iter().enumerate().map(plan).collect()
}

fn old_bytes() -> Arc<[u8]> {
    // The devices were physical volumes of another group before.
    let mut bytes = golden::bytes("head-thin.bin.gz");
    bytes.resize(3 << 20, 0xaa);
    bytes.into()
}

fn recorder(disks: usize) -> Recorder {
    let base = old_bytes();
    Recorder::new((0..disks).map(|n| (format!("/dev/{n}"), Arc::clone(&base))).collect())
}

#[test]
fn a_group_is_made_and_found() {
    let recorder = recorder(2);
    let plans = plans(recorder.devices());
    let group = create_group(&plans, new_vg(2, 10)).expect("memory does not fail");
    let found = scan(&named(recorder.devices())).into_group(&vg_name()).expect("there");
    assert_eq!((found.vg.seqno, found.members.len(), found.problems.len()), (1, 2, 0));
    assert_eq!(found.current, group.current);
    assert!(found.members.iter().all(|member| member.label.is_used()));
}

#[test]
fn the_bytes_are_lvm2s() {
    let lvm2 = golden::bytes("head-vgcreate.bin.gz");
    let dev = Arc::new(MemDev::new("/dev/loop0", vec![0xaa; 3 << 20]));
    let mut plan = plans(vec![dev.clone()]).remove(0);
    plan.id = "ud3kzEnzvLgeIKttb27Wf1xbnUp8sMlh".parse().expect("an id");
    plan.geometry = Geometry::new(Bytes::mib(400), &PvOptions::default()).expect("large enough");
    plan.make().expect("memory does not fail");
    let bytes = dev.bytes();
    assert_eq!(bytes[..2048], lvm2[..2048], "label and what is around it");
    let empty = golden::bytes("head-pvcreate.bin.gz");
    assert_eq!(bytes[4096..8192], empty[4096..8192], "the metadata area's start");
}

#[test]
fn a_power_cut_leaves_blank_devices_free_ones_or_the_group() {
    for disks in 1..=2 {
        let recorder = recorder(disks);
        create_group(&plans(recorder.devices()), new_vg(disks, 10)).expect("works");
        recorder.mark("done");
        let mut outcomes = [0; 3];
        for cut in recorder.cuts() {
            for image in cut.images(Bound { all_up_to: 256, drawn: 40, seed: 4 }) {
                let found = scan(&named(image.devices()));
                let ours = found.group(&vg_name()).ok();
                assert!(ours.is_some() || !cut.is_after("done"));
                assert!(ours.is_none_or(|group| group.check_writable().is_ok()));
                // Until its label is gone a device is what it was before.
                let before = found.groups.len() > usize::from(ours.is_some());
                outcomes[if ours.is_some() { 2 } else { usize::from(!before) }] += 1;
            }
        }
        assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
    }
}

#[test]
fn whichever_call_fails_the_devices_are_blank_again() {
    let calls = {
        let recorder = recorder(2);
        create_group(&plans(recorder.devices()), new_vg(2, 10)).expect("works");
        recorder.calls()
    };
    for call in 0..calls {
        let recorder = recorder(2);
        let fault = Fault { call, lasting: false, kind: std::io::ErrorKind::Other };
        recorder.fail(fault);
        let result = create_group(&plans(recorder.devices()), new_vg(2, 10));
        recorder.mark("done");
        let cuts = recorder.cuts();
        for image in cuts.last().expect("the end").images(Bound::USUAL) {
            let found = scan(&named(image.devices()));
            match &result {
                Ok(_) => assert!(found.group(&vg_name()).is_ok(), "call {call}"),
                Err(error) => {
                    assert_eq!(error.unchanged(), Some("the devices are blank again"));
                    assert!(found.groups.is_empty() && found.unassigned.is_empty(), "call {call}");
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let recorder = recorder(1);
    let plans = plans(recorder.devices());
    let refused = |new| create_group(&plans, new).expect_err("refused");
    assert_eq!(refused(new_vg(2, 10)).kind(), ErrorKind::Invalid);
    let large = refused(new_vg(1, 600_000));
    assert!(matches!(large.kind(), ErrorKind::NoSpace { .. }), "{large}");
    assert_eq!(large.unchanged(), Some("nothing was changed"));
    assert_eq!(recorder.calls(), 0);
}

#[test]
fn a_device_that_stays_broken_needs_recovery() {
    let recorder = recorder(1);
    recorder.fail(Fault { call: 4, lasting: true, kind: std::io::ErrorKind::Other });
    let error = create_group(&plans(recorder.devices()), new_vg(1, 10)).expect_err("broken");
    assert_eq!(error.kind(), ErrorKind::NeedsRecovery);
}
