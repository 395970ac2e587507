use super::*;
use crate::dm::sim::Breakage;
use crate::dm::testing::{
    changes, edit_lv, edit_pool, filled_kernel, golden, kernel, lv_name, names,
};
use crate::dm::testing::{numbers, stack};
use crate::dm::{Visibility, deactivate};
use crate::units::Extents;

const TPOOL: &str = "Host--VG-pool--0-tpool";

fn dm(name: &str) -> DmName {
    name.parse().expect("a name")
}

/// What `dmsetup table` and `dmsetup info -c` would show.
fn shown(kernel: &dyn Kernel) -> (Vec<String>, Vec<String>) {
    let mut devices = kernel.list("").expect("a list");
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    let table =
        |info: &DmInfo| format!("{}: {}", info.name, kernel.table(&info.name).expect("ours"));
    let info = |info: &DmInfo| {
        let mode = if info.read_only { 'r' } else { 'w' };
        format!("{} {} {} L--{mode} {}", info.name, info.uuid, info.number, info.open_count)
    };
    (devices.iter().map(table).collect(), devices.iter().map(info).collect())
}

/// The same from a golden file. Its lines have the columns `Maj Min Stat Open Targ Event`.
fn golden_file(text: &str) -> (Vec<String>, Vec<String>) {
    let mut parts = text.split("---\n");
    let tables = parts.next().expect("tables").lines().map(|line| line.trim_end().to_owned());
    let infos = parts.next().expect("infos").lines().skip(1).map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        format!("{} {} {}:{} {} {}", words[0], words[1], words[2], words[3], words[4], words[5])
    });
    (tables.collect(), infos.collect())
}

#[test]
fn the_devices_are_those_that_lvm2_made() {
    let fresh = kernel();
    let (vg, numbers) = (golden(0), numbers());
    stack(&vg, &numbers).activate(&fresh, &[lv_name("pool-0")]).expect("activated");
    let second = include_str!("../../../tests/data/lvm2/02-poolcreate.dm");
    assert_eq!(shown(&fresh), golden_file(second));
    assert_eq!(fresh.links().len(), 1, "a new pool has a link");

    let kernel = filled_kernel();
    let vg = golden(3);
    let wanted = ["pool-0", "base", "layer1"].map(lv_name);
    let done = stack(&vg, &numbers).activate(&kernel, &wanted).expect("activated");
    assert_eq!(done.made.len(), 6);
    assert_eq!(done.pools[0].state.transaction_id, 3);
    let sixth = include_str!("../../../tests/data/lvm2/06-snap2create.dm");
    assert_eq!(shown(&kernel), golden_file(sixth));
    let linked: Vec<_> = kernel.links().into_values().collect();
    assert_eq!(linked, ["Host--VG-base", "Host--VG-layer1"]);
}

#[test]
fn what_is_active_is_left_alone() {
    let (kernel, vg, numbers) = (filled_kernel(), golden(3), numbers());
    let stack = stack(&vg, &numbers);
    stack.activate(&kernel, &[lv_name("layer1")]).expect("activated");
    kernel.forget_calls();
    let again = stack.activate(&kernel, &[lv_name("layer1")]).expect("activated");
    assert!(again.is_unchanged());
    assert_eq!(changes(&kernel), [""; 0]);
    let calls: Vec<_> = kernel.calls().iter().map(ToString::to_string).collect();
    let looks = |what: &str| calls.iter().filter(|call| call.starts_with(what)).count();
    assert_eq!((looks("find "), looks("list ")), (4, 0), "only its own devices are looked at");
    let more = stack.activate(&kernel, &[lv_name("layer2")]).expect("activated");
    assert_eq!(more.made, ["Host--VG-layer2"]);
    assert!(kernel.info(&more.made[0]).expect("info").expect("there").read_only);
}

#[test]
fn a_new_pool_is_renamed_before_its_first_volume() {
    let (kernel, numbers) = (kernel(), numbers());
    let new = golden(0);
    stack(&new, &numbers).activate(&kernel, &[lv_name("pool-0")]).expect("activated");
    kernel.message(&dm("Host--VG-pool--0"), "create_thin 1").expect("obeyed");
    kernel.message(&dm("Host--VG-pool--0"), "set_transaction_id 0 1").expect("obeyed");
    let used = golden(1);
    let done = stack(&used, &numbers).activate(&kernel, &[lv_name("base")]).expect("activated");
    assert_eq!(done.mended, [TPOOL]);
    assert!(names(&kernel).contains(&"Host--VG-base".to_owned()));
    assert!(!names(&kernel).contains(&"Host--VG-pool--0".to_owned()));
    let linked: Vec<_> = kernel.links().into_values().collect();
    assert_eq!(linked, ["Host--VG-base"]);
}

#[test]
fn ids_that_are_apart_are_refused_and_nothing_stays() {
    let (kernel, numbers) = (filled_kernel(), numbers());
    let mut vg = golden(3);
    for (id, good) in [(2, false), (3, true), (4, true), (5, false), (9, false)] {
        edit_pool(&mut vg, |pool| pool.transaction_id = id);
        let stack = stack(&vg, &numbers);
        let result = stack.activate(&kernel, &[lv_name("base")]);
        assert_eq!(result.is_ok(), good, "text at {id}");
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::Diverged);
            let (ours, theirs) = (format!("the metadata at {id}:"), "at transaction 3");
            let line = error.to_string();
            assert!(line.contains(&ours) && line.contains(theirs), "{line}");
            assert_eq!(names(&kernel), [""; 0]);
            let (open, _) =
                stack.open_pool(&kernel, &lv_name("pool-0")).expect("it opens all the same");
            assert_eq!(open.state.transaction_id, 3);
        }
        deactivate(&kernel, &vg, &[lv_name("base"), lv_name("pool-0")]).expect("idle");
    }
}

#[test]
fn every_failing_call_leaves_the_devices_as_they_were() {
    let (vg, numbers) = (golden(3), numbers());
    let stack = stack(&vg, &numbers);
    let wanted = [lv_name("pool-0"), lv_name("layer1")];
    let mut failed = 0;
    for nth in 0.. {
        let kernel = filled_kernel();
        kernel.fail_at(nth, ErrorKind::Io, false);
        match stack.activate(&kernel, &wanted) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Io),
        }
        assert_eq!(names(&kernel), [""; 0], "call {nth}");
        failed += 1;
    }
    // find, create, load, resume of five devices; the pool's status.
    assert_eq!(failed, 21);
}

#[test]
fn what_cannot_be_undone_is_named() {
    let (kernel, vg, numbers) = (filled_kernel(), golden(3), numbers());
    kernel.fail_at(8, ErrorKind::Io, true);
    let error = stack(&vg, &numbers).activate(&kernel, &[lv_name("base")]).expect_err("fails");
    assert_eq!(
        error.unchanged(),
        Some("left behind: Host--VG-pool--0_tdata, Host--VG-pool--0_tmeta")
    );
    kernel.heal();
    stack(&vg, &numbers).activate(&kernel, &[lv_name("base")]).expect("finishes what was left");
}

#[test]
fn a_longer_text_makes_longer_devices() {
    let (kernel, numbers) = (filled_kernel(), numbers());
    let mut vg = golden(3);
    stack(&vg, &numbers).activate(&kernel, &[lv_name("base")]).expect("activated");
    for (name, extents) in [("pool-0", 30), ("pool-0_tdata", 30), ("base", 281)] {
        edit_lv(&mut vg, name, |lv| lv.segments[0].count = Extents::new(extents));
    }
    let done = stack(&vg, &numbers).activate(&kernel, &[lv_name("base")]).expect("activated");
    let mended = ["Host--VG-pool--0_tdata", TPOOL, "Host--VG-base"];
    assert_eq!(done.mended, mended);
    let table = kernel.table(&dm(TPOOL)).expect("a table").to_string();
    let golden = include_str!("../../../tests/data/lvm2/14-lvextend-pool.dm");
    assert!(golden.contains(&format!("{TPOOL}: {table}")), "{table}");
    assert_eq!(done.pools[0].state.data_total, 1920);
    edit_lv(&mut vg, "base", |lv| lv.segments[0].count = Extents::new(200));
    let error = stack(&vg, &numbers).activate(&kernel, &[lv_name("base")]).expect_err("smaller");
    assert_eq!(error.kind(), ErrorKind::Diverged);
}

#[test]
fn leftovers_of_a_killed_process_are_finished() {
    let (kernel, vg, numbers) = (filled_kernel(), golden(3), numbers());
    let stack = stack(&vg, &numbers);
    let plan = stack.plan(&[lv_name("base")]).expect("a plan");
    // Made and never loaded; live and suspended with a table that nobody committed.
    kernel.create(&plan.nodes[0].key.create(false, None)).expect("made");
    let done = stack.activate(&kernel, &[lv_name("base")]).expect("activated");
    assert_eq!(done.mended, ["Host--VG-pool--0_tmeta"]);
    let base = dm("Host--VG-base");
    let table = kernel.table(&base).expect("a table");
    kernel.load(&base, &table, true).expect("loaded");
    kernel.suspend(&base, Suspend::Freeze).expect("suspended");
    let done = stack.activate(&kernel, &[lv_name("base")]).expect("activated");
    assert_eq!(done.mended, ["Host--VG-base"]);
    let info = kernel.info(&base).expect("info").expect("there");
    assert!(!info.suspended && !info.inactive && !info.read_only);
}

#[test]
fn suspended_devices_wake_lowest_first() {
    let (kernel, vg, numbers) = (filled_kernel(), golden(3), numbers());
    stack(&vg, &numbers).activate(&kernel, &[lv_name("base")]).expect("activated");
    for name in ["Host--VG-base", TPOOL, "Host--VG-pool--0_tdata"] {
        kernel.suspend(&dm(name), Suspend::Quick).expect("suspended");
    }
    let woken = crate::dm::wake(&kernel, &vg).expect("woken");
    assert_eq!(woken, ["Host--VG-pool--0_tdata", TPOOL, "Host--VG-base"]);
    assert!(kernel.settle().is_ok());
    assert_eq!(kernel.links().len(), 1);
    assert!(crate::dm::wake(&kernel, &vg).expect("nothing to do").is_empty());
}

#[test]
fn a_failed_pool_is_refused_and_one_that_needs_a_check_is_reported() {
    let (kernel, vg, numbers) = (filled_kernel(), golden(3), numbers());
    let stack = stack(&vg, &numbers);
    stack.activate(&kernel, &[lv_name("base")]).expect("activated");
    kernel.break_pool(&dm(TPOOL), Breakage::NeedsCheck).expect("a pool");
    let done = stack.activate(&kernel, &[lv_name("layer1")]).expect("activated for reading");
    assert!(done.pools[0].state.needs_check);
    kernel.break_pool(&dm(TPOOL), Breakage::Fail).expect("a pool");
    let error = stack.activate(&kernel, &[lv_name("layer2")]).expect_err("failed");
    assert_eq!(error.kind(), ErrorKind::Unhealthy);
    assert!(names(&kernel).contains(&TPOOL.to_owned()), "it was there before");
}

#[test]
fn a_foreign_device_under_our_name_is_in_the_way() {
    let (kernel, vg, numbers) = (filled_kernel(), golden(3), numbers());
    let seen = Visibility { udev_flags: 0, link: None };
    let create = crate::dm::Create {
        name: dm("Host--VG-base"),
        uuid: String::new(),
        read_only: false,
        minor: None,
    };
    kernel.create(&create).expect("made");
    let error = stack(&vg, &numbers).activate(&kernel, &[lv_name("base")]).expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert_eq!(names(&kernel), ["Host--VG-base"]);
    kernel.remove(&create.name, &seen).expect("removed");
}
