//! A library of lvm2's as it may behave, over devices in memory.

use std::sync::Mutex;

use super::*;
use crate::dev::MemDev;
use crate::lvm2::commit::Protocol;
use crate::lvm2::create::{Geometry, PvOptions, create_group_by_library, wipe_pv};
use crate::lvm2::label::LABEL_SCAN;
use crate::lvm2::store::commit_to;
use crate::lvm2::testing::{self, FRONT, find, group_on, id, named, new_vg, new_vg_of};
use crate::name::VgName;
use crate::units::Bytes;

/// How a call goes wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Nothing is done, and said so.
    Refuses,
    /// It is done, and said to have failed.
    FailsAfter,
    /// Nothing is done, and nothing said.
    Lies,
    /// It reads an older text.
    ReadsBehind,
}

/// Does what lvm2 does, by our own means.
struct Fake {
    devices: Vec<Arc<MemDev>>,
    fault: Fault,
    committed: Mutex<Vec<String>>,
}

impl Fake {
    fn over(devices: &[Arc<MemDev>], fault: Fault) -> Self {
        Self { devices: devices.to_vec(), fault, committed: Mutex::default() }
    }

    fn failed() -> Error {
        Error::new(ErrorKind::Tool, "no")
    }
}

impl Lvm2Library for Fake {
    fn read(&self, vg: &VgName, on: &[PathBuf]) -> Result<String> {
        assert_eq!((vg, on.len()), (&testing::vg_name(), self.devices.len()));
        let group = find(&self.devices);
        let mut text = group.vg.to_text(Style::Backup);
        if self.fault == Fault::ReadsBehind {
            let now = format!("seqno = {}", group.vg.seqno);
            text = text.replace(&now, &format!("seqno = {}", group.vg.seqno - 1));
        }
        Ok(text)
    }

    fn commit(&self, _vg: &VgName, on: &[PathBuf], text: &str) -> Result<()> {
        assert_eq!(on.len(), self.devices.len());
        self.committed.lock().expect("not poisoned").push(text.to_owned());
        match self.fault {
            Fault::Refuses => return Err(Self::failed()),
            Fault::Lies => return Ok(()),
            _ => {}
        }
        let before = Vg::parse(text)?;
        let (seqno, next) = (format!("seqno = {}", before.seqno), before.seqno + 1);
        let text = before.to_text(Style::Disk).replace(&seqno, &format!("seqno = {next}"));
        let new = NewVg::of_text(text)?;
        let members = || scan::scan(&testing::listed(&self.devices));
        let group = members().groups.pop();
        let mut group = group.unwrap_or_else(|| Group {
            vg: Arc::new(before),
            current: scan::TextId { vg: new.vg().id, seqno: 0, size: 0, checksum: 0 },
            members: members().unassigned,
            problems: Vec::new(),
        });
        commit_to(&mut group, new, Protocol::SOUND, &mut |_| Ok(()))?;
        if self.fault == Fault::FailsAfter { Err(Self::failed()) } else { Ok(()) }
    }
}

fn store<'l>(devices: &[Arc<MemDev>], library: &'l Fake) -> LibraryStore<'l> {
    LibraryStore::new(Arc::new(NativeStore::new(find(devices))), library)
}

#[test]
fn a_text_goes_through_and_back() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let library = Fake::over(&devices, Fault::None);
    let store = store(&devices, &library);
    assert_eq!(store.read().expect("both agree").seqno, 1);
    let mut between = 0;
    let done = store.commit(new_vg(2, 2, 30), &mut |vg| {
        between += 1;
        assert_eq!((vg.seqno, find(&devices).vg.seqno), (2, 1));
        Ok(())
    });
    assert_eq!((done.expect("it is committed").seqno, between), (2, 1));
    let told = library.committed.lock().expect("not poisoned").join("");
    assert!(told.contains("seqno = 1") && told.starts_with("# Generated"), "{told}");
    assert_eq!((find(&devices).vg.seqno, store.read().expect("it agrees").seqno), (2, 2));
}

#[test]
fn what_the_disks_hold_counts_and_not_what_is_said() {
    let outcome = |fault| {
        let devices = group_on(&[&[FRONT]]);
        let library = Fake::over(&devices, fault);
        let done = store(&devices, &library).commit(new_vg(1, 2, 30), &mut |_| Ok(()));
        (done.map(|vg| vg.seqno).map_err(|error| error.kind()), find(&devices).vg.seqno)
    };
    assert_eq!(outcome(Fault::None), (Ok(2), 2));
    assert_eq!(outcome(Fault::Refuses), (Err(ErrorKind::Tool), 1));
    assert_eq!(outcome(Fault::FailsAfter), (Ok(2), 2));
    assert_eq!(outcome(Fault::Lies), (Err(ErrorKind::NeedsRecovery), 1));
}

#[test]
fn nothing_is_asked_for_what_may_not_be() {
    let devices = group_on(&[&[FRONT]]);
    let library = Fake::over(&devices, Fault::None);
    let store = store(&devices, &library);
    let stale = store.commit(new_vg(1, 3, 30), &mut |_| Ok(())).expect_err("no successor");
    assert_eq!(stale.kind(), ErrorKind::Invalid);
    let stop = |_: &Vg| Err(Error::new(ErrorKind::Busy, "stop"));
    let stopped = store.commit(new_vg(1, 2, 30), &mut { stop }).expect_err("between fails");
    assert_eq!(stopped.kind(), ErrorKind::Busy);
    let large = store.commit(new_vg(1, 2, 5000), &mut |_| panic!("it does not fit"));
    assert!(matches!(large.expect_err("too large").kind(), ErrorKind::NoSpace { .. }));
    assert!(library.committed.lock().expect("not poisoned").is_empty());
    assert_eq!(find(&devices).vg.seqno, 1);
}

#[test]
fn a_reader_that_disagrees_is_not_believed() {
    let devices = group_on(&[&[FRONT]]);
    let library = Fake::over(&devices, Fault::ReadsBehind);
    let error = store(&devices, &library).read().expect_err("they differ");
    assert_eq!(error.kind(), ErrorKind::Diverged);
    assert!(error.to_string().contains("seqno 0") && error.to_string().contains("seqno 1"));
}

#[test]
fn a_group_is_made_or_the_devices_are_blank() {
    for fault in [Fault::None, Fault::FailsAfter, Fault::Refuses, Fault::Lies] {
        let size = Bytes::mib(4);
        let dev = Arc::new(MemDev::zeroed("/dev/0", size));
        let library = Fake::over(std::slice::from_ref(&dev), fault);
        let geometry = Geometry::new(size, &PvOptions::default()).expect("it fits");
        let plan = PvPlan {
            path: "/dev/0".into(),
            dev: Arc::clone(&dev) as Arc<dyn crate::dev::Dev>,
            id: id('p', 0),
            geometry,
        };
        let new = new_vg_of(1, size, geometry.pe_start.bytes(), 10);
        let plans = std::slice::from_ref(&plan);
        let made = create_group_by_library(plans, new, &library);
        let found = scan::scan(&named(vec![dev.clone()]));
        if matches!(fault, Fault::None | Fault::FailsAfter) {
            assert_eq!(made.expect("it is made").vg.seqno, 1);
            assert_eq!(found.groups.len(), 1);
            wipe_pv(&plan).expect("memory does not fail");
        } else {
            made.expect_err("nothing was made");
            assert!(found.groups.is_empty() && found.unassigned.is_empty());
        }
        let mut head = [1; LABEL_SCAN];
        crate::dev::Dev::read_at(dev.as_ref(), &mut head, Bytes::ZERO).expect("within");
        assert!(head.iter().all(|&byte| byte == 0));
    }
}
