//! A group lives through a series of changes on recording devices; every
//! image that a power cut could have left holds the old or the new text, and
//! the change can be made again on it.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use imgbase::Result;
use imgbase::dev::Dev;
use imgbase::dev::record::{Bound, Image, Recorder};
use imgbase::lvm2::create::{PvOptions, PvPlan, create_group};
use imgbase::lvm2::edit::{GroupSpec, PvSpec};
use imgbase::lvm2::scan::{Group, Problem, scan};
use imgbase::lvm2::store::{MetadataStore, NativeStore};
use imgbase::lvm2::text::Stamp;
use imgbase::lvm2::{NewVg, Vg};
use imgbase::name::{Tag, VgName};
use imgbase::units::{Bytes, Sectors};

const BOUND: Bound = Bound { all_up_to: 64, drawn: 12, seed: 11 };

type Disks = Vec<(String, Arc<[u8]>)>;

fn name() -> VgName {
    "vg".parse().expect("a name")
}

fn stamp() -> Stamp {
    Stamp {
        description: "a test".into(),
        host: "host".into(),
        uname: "Linux host 6.1".into(),
        time: 1_795_321_697,
        system_id: None,
    }
}

fn named(devices: Vec<Arc<dyn Dev>>) -> Vec<(PathBuf, Arc<dyn Dev>)> {
    devices.into_iter().map(|dev| (PathBuf::from(dev.name()), dev)).collect()
}

fn find(devices: Vec<Arc<dyn Dev>>) -> Group {
    scan(&named(devices)).into_group(&name()).expect("every image has the group")
}

/// A new group on two blank devices with the smallest metadata areas.
fn create(recorder: &Recorder) {
    let options = PvOptions { mda_size: Bytes::kib(32), data_alignment: Bytes::kib(64) };
    let plan = |(path, dev)| PvPlan::new(path, dev, &options).expect("large enough");
    let plans: Vec<_> = named(recorder.devices()).into_iter().map(plan).collect();
    let extent_size = Sectors::new(128);
    let pv = |plan: &PvPlan| PvSpec {
        id: plan.id,
        device: plan.path.display().to_string(),
        dev_size: plan.geometry.dev_size,
        pe_start: plan.geometry.pe_start,
        pe_count: plan.geometry.pe_count(extent_size),
    };
    let spec = GroupSpec {
        name: name(),
        id: "v0000000000000000000000000000000".parse().expect("an identifier"),
        extent_size,
        pvs: plans.iter().map(pv).collect(),
        tags: Vec::new(),
        system_id: None,
    };
    let new = NewVg::create(&spec, &stamp()).expect("a valid group");
    create_group(&plans, new).expect("memory does not fail");
}

/// The change with that number: tags come and go, so that texts grow, shrink and wrap.
fn change(vg: &Vg, turn: u64) -> Result<NewVg> {
    let mut edit = vg.edit();
    let tag = |turn: u64| format!("t{turn}-{}", "x".repeat(900)).parse::<Tag>();
    if turn % 9 == 8 {
        for old in &vg.tags {
            edit.remove_vg_tag(old)?;
        }
    } else {
        edit.add_vg_tag(&tag(turn)?)?;
    }
    edit.finish(&stamp())
}

fn commit(store: &NativeStore, turn: u64, between: &mut dyn FnMut()) -> u64 {
    let vg = store.read().expect("memory does not fail");
    let new = change(&vg, turn).expect("a valid change");
    let mut run = |_: &Vg| {
        between();
        Ok(())
    };
    store.commit(new, &mut run).expect("memory does not fail").seqno
}

/// What the image holds may be read, and the change made (again) on it.
fn check(image: &Image, turn: u64, allowed: &[u64], again: bool) {
    let devices = image.devices();
    let group = find(devices.clone());
    let seqno = group.vg.seqno;
    assert!(allowed.contains(&seqno), "seqno {seqno} is in force, allowed are {allowed:?}");
    group.check_writable().expect("no image is doubtful");
    let stale = |problem: &Problem| matches!(problem, Problem::StaleCopy { .. });
    assert!(group.problems.iter().all(stale), "{:?}", group.problems);
    if again {
        assert_eq!(commit(&NativeStore::new(group), turn, &mut || ()), seqno + 1);
        let group = find(devices);
        assert!(group.problems.is_empty(), "{:?}", group.problems);
    }
}

fn bytes(recorder: &Recorder) -> Disks {
    let read = |dev: Arc<dyn Dev>| {
        let mut bytes = vec![0; usize::try_from(dev.size().get()).expect("small")];
        dev.read_at(&mut bytes, Bytes::ZERO).expect("memory does not fail");
        (dev.name().to_owned(), Arc::from(bytes))
    };
    recorder.devices().into_iter().map(read).collect()
}

#[test]
fn a_group_survives_every_power_cut_of_its_life() {
    let blank: Arc<[u8]> = vec![0; 3 << 20].into();
    let disks = (0..2).map(|n| (format!("/dev/{n}"), Arc::clone(&blank))).collect();
    let recorder = Recorder::new(disks);
    create(&recorder);
    let mut disks = bytes(&recorder);
    let mut seen = BTreeSet::new();
    for turn in 0..30 {
        let recorder = Recorder::new(disks);
        let store = NativeStore::new(find(recorder.devices()));
        let new = commit(&store, turn, &mut || recorder.mark("between"));
        recorder.mark("done");
        for cut in recorder.cuts() {
            let allowed = match (cut.is_after("between"), cut.is_after("done")) {
                (false, _) => &[new - 1][..],
                (true, false) => &[new - 1, new],
                (true, true) => &[new],
            };
            for image in cut.images(BOUND) {
                let hash = image.hash();
                let first = seen.insert((turn, hash));
                check(&image, turn, allowed, first && hash % 8 == 0);
            }
        }
        disks = bytes(&recorder);
    }
    let line = format!("figure: power cuts in a group's life: {} distinct states\n", seen.len());
    io::Write::write_all(&mut io::stdout().lock(), line.as_bytes()).expect("it is open");
    assert!(seen.len() > 2000, "only {} images", seen.len());
}
