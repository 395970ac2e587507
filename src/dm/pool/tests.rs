use super::*;
use crate::dev::Dev;
use crate::dm::sim::{Breakage, SimKernel};
use crate::dm::status::PoolStatus;
use crate::dm::testing::{PV1, edit_lv, thin, volume};
use crate::dm::testing::{
    changes, edit_pool, filled_kernel, golden, lv_name, names, numbers, stack,
};

const TPOOL: &str = "Host--VG-pool--0-tpool";

fn tpool() -> DmName {
    TPOOL.parse().expect("a name")
}

/// The group at transaction 4 with a snapshot of base that is still to be made.
fn with_snapshot(id: u32) -> Vg {
    let mut vg = golden(3);
    let lv_id = "aVLhYn-4yoM-pkNl-Zmk3-99cz-BT6X-zm0000";
    let kind = thin(id, 3, Some("base"));
    vg.lvs.push(volume("layer3", lv_id, &["READ", "WRITE", "VISIBLE"], (256, kind)).into());
    edit_pool(&mut vg, |pool| {
        pool.transaction_id = 4;
        pool.messages = vec![Message::Create(lv_name("layer3"))];
    });
    vg
}

fn active(wanted: &[&str]) -> SimKernel {
    let (kernel, vg, numbers) = (filled_kernel(), golden(3), numbers());
    let wanted: Vec<_> = wanted.iter().map(|name| lv_name(name)).collect();
    stack(&vg, &numbers).activate(&kernel, &wanted).expect("activated");
    kernel.forget_calls();
    kernel
}

fn send(kernel: &SimKernel, vg: &Vg, mode: Mode) -> Result<()> {
    let active = Active::observe(kernel, vg).expect("a list");
    Transaction { kernel, vg, pool: &lv_name("pool-0"), active: &active }.send(mode)
}

fn kernel_id(kernel: &SimKernel) -> u64 {
    pool_state(kernel, &tpool()).expect("a status").transaction_id
}

#[test]
fn every_state_has_its_answer() {
    use Decision::*;
    // Kernel, text, stanzas: the states as they are left by a crash, see the module.
    for (kernel, text, stanzas, wanted) in [
        (3, 3, false, Steady),
        (3, 4, true, ReplayMessages),
        (4, 4, true, DropStanzas),
        (5, 4, false, RaiseText { to: 5 }),
        (5, 4, true, RaiseText { to: 5 }),
        (9, 0, false, RaiseText { to: 9 }),
        (3, 4, false, SetKernelId { from: 3, to: 4 }),
        (3, 5, false, Refuse { kernel: 3, text: 5 }),
        (3, 5, true, Refuse { kernel: 3, text: 5 }),
        (0, u64::MAX, true, Refuse { kernel: 0, text: u64::MAX }),
    ] {
        assert_eq!(decide(kernel, text, stanzas), wanted, "{kernel} {text} {stanzas}");
    }
}

#[test]
fn an_active_origin_is_frozen_and_let_go() {
    let kernel = active(&["base"]);
    send(&kernel, &with_snapshot(4), Mode::Fresh).expect("sent");
    let wanted = [
        "suspend Host--VG-base",
        "message Host--VG-pool--0-tpool: create_snap 4 1",
        "resume Host--VG-base",
        "message Host--VG-pool--0-tpool: set_transaction_id 3 4",
    ];
    assert_eq!(changes(&kernel), wanted);
    let kernel = active(&["layer1"]);
    send(&kernel, &with_snapshot(4), Mode::Fresh).expect("sent");
    assert_eq!(changes(&kernel).len(), 2, "an inactive origin needs no suspend");
    assert_eq!(kernel.thin_ids(&tpool()).expect("ids"), [1, 2, 3, 4]);
}

#[test]
fn of_several_snapshots_the_origin_waits_for_the_first() {
    let kernel = active(&["base"]);
    let mut vg = with_snapshot(4);
    let lv_id = "aVLhYn-4yoM-pkNl-Zmk3-99cz-BT6X-zm0001";
    let kind = thin(5, 3, Some("base"));
    vg.lvs.push(volume("layer4", lv_id, &["READ", "WRITE", "VISIBLE"], (256, kind)).into());
    edit_pool(&mut vg, |pool| pool.messages.push(Message::Create(lv_name("layer4"))));
    send(&kernel, &vg, Mode::Fresh).expect("sent");
    let wanted = [
        "suspend Host--VG-base",
        "message Host--VG-pool--0-tpool: create_snap 4 1",
        "resume Host--VG-base",
        "message Host--VG-pool--0-tpool: create_snap 5 4",
        "message Host--VG-pool--0-tpool: set_transaction_id 3 4",
    ];
    assert_eq!(changes(&kernel), wanted);
}

#[test]
fn whatever_fails_nothing_stays_suspended() {
    for nth in 0..7 {
        let kernel = active(&["base"]);
        kernel.fail_at(nth, ErrorKind::Io, false);
        let result = send_with_list(&kernel, &with_snapshot(4));
        // list, status, suspend, create_snap, resume, set_transaction_id, status.
        assert!(result.is_err(), "call {nth}");
        kernel.heal();
        let suspended = kernel.list("").expect("a list").into_iter().any(|info| info.suspended);
        assert!(!suspended, "call {nth}");
        // Rolls forward from wherever it stopped.
        let text = with_snapshot(4);
        if decide(kernel_id(&kernel), 4, true) == Decision::ReplayMessages {
            send(&kernel, &text, Mode::Replay).expect("replayed");
        }
        assert_eq!(kernel_id(&kernel), 4);
        assert_eq!(kernel.thin_ids(&tpool()).expect("ids"), [1, 2, 3, 4]);
    }
}

fn send_with_list(kernel: &SimKernel, vg: &Vg) -> Result<()> {
    let active = Active::observe(kernel, vg)?;
    Transaction { kernel, vg, pool: &lv_name("pool-0"), active: &active }.send(Mode::Fresh)
}

#[test]
fn a_taken_id_is_an_error_unless_replayed() {
    let kernel = active(&["base"]);
    let vg = with_snapshot(3);
    let error = send(&kernel, &vg, Mode::Fresh).expect_err("3 is layer2");
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert_eq!(kernel_id(&kernel), 3);
    send(&kernel, &vg, Mode::Replay).expect("as found");
    assert_eq!(kernel_id(&kernel), 4);
}

#[test]
fn batches_go_in_order_under_one_id_and_can_be_repeated() {
    let mut vg = with_snapshot(4);
    vg.lvs.retain(|lv| lv.name != "layer1");
    let lv_id = "aVLhYn-4yoM-pkNl-Zmk3-99cz-BT6X-zm0001";
    let kind = thin(5, 3, Some("layer3"));
    vg.lvs.push(volume("layer4", lv_id, &["READ", "WRITE", "VISIBLE"], (256, kind)).into());
    let batch = vec![
        Message::Delete(2),
        Message::Create(lv_name("layer3")),
        Message::Create(lv_name("layer4")),
    ];
    edit_pool(&mut vg, |pool| pool.messages = batch);
    for stop in 0..6 {
        let kernel = active(&["pool-0"]);
        // list and status, then the messages, then the status again.
        kernel.fail_at(stop + 2, ErrorKind::Io, false);
        let first = send(&kernel, &vg, Mode::Fresh);
        kernel.heal();
        assert_eq!(first.is_ok(), stop == 5);
        if kernel_id(&kernel) == 3 {
            send(&kernel, &vg, Mode::Replay).expect("replayed");
        }
        assert_eq!(kernel.thin_ids(&tpool()).expect("ids"), [1, 3, 4, 5]);
        assert_eq!(kernel_id(&kernel), 4);
    }
    let kernel = active(&["layer1"]);
    let error = send(&kernel, &vg, Mode::Fresh).expect_err("layer1 is active");
    assert_eq!(error.kind(), ErrorKind::Busy);
}

#[test]
fn messages_are_sent_only_one_id_behind_and_to_a_sound_pool() {
    let kernel = active(&["base"]);
    let mut vg = with_snapshot(4);
    for id in [0, 3, 5, 9] {
        edit_pool(&mut vg, |pool| pool.transaction_id = id);
        let error = send(&kernel, &vg, Mode::Replay).expect_err("apart");
        assert_eq!(error.kind(), ErrorKind::Diverged);
    }
    kernel.break_pool(&tpool(), Breakage::NeedsCheck).expect("a pool");
    let error = send(&kernel, &with_snapshot(4), Mode::Fresh).expect_err("needs a check");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(changes(&kernel), [""; 0]);
    let error = send(&filled_kernel(), &with_snapshot(4), Mode::Fresh).expect_err("inactive");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_pool_whose_metadata_is_full_lets_go_of_what_it_has() {
    let kernel = active(&["base"]);
    let full = |kernel: &SimKernel| {
        let blocks = pool_state(kernel, &tpool()).expect("a status").metadata_total;
        kernel.break_pool(&tpool(), Breakage::OutOfMetadata { blocks }).expect("a pool");
        kernel.forget_calls();
        pool_state(kernel, &tpool()).expect("a status")
    };
    let state = full(&kernel);
    assert!(state.is_out_of_metadata() && state.metadata_free().is_zero());
    assert!(
        check_room(&state, Sectors::new(128), Bytes::ZERO, 100)
            .is_err_and(|error| matches!(error.kind(), ErrorKind::NoSpace { .. }))
    );
    // A new snapshot is not begun.
    send(&kernel, &with_snapshot(4), Mode::Fresh).expect_err("no room");
    assert_eq!(kernel_id(&kernel), 3);
    // One that was is finished, to be taken away again.
    let kernel = active(&["layer1"]);
    full(&kernel);
    send(&kernel, &with_snapshot(4), Mode::Replay).expect("replayed");
    assert_eq!(kernel_id(&kernel), 4);
    assert!(kernel.list("").expect("a list").iter().all(|device| !device.suspended));
    // What is deleted is.
    let mut vg = golden(3);
    edit_pool(&mut vg, |pool| {
        pool.transaction_id = 4;
        pool.messages = vec![Message::Delete(1)];
    });
    let kernel = active(&["layer1"]);
    full(&kernel);
    send(&kernel, &vg, Mode::Fresh).expect("deleted");
    assert!(!kernel.thin_ids(&tpool()).expect("ids").contains(&1));
    let again = format!("load {TPOOL}");
    let calls = changes(&kernel);
    assert_eq!(calls.iter().filter(|call| call.starts_with(&again)).count(), 2, "{calls:?}");
    // The second message is refused, as the first was the one change that the pool was good for.
    assert_eq!(calls.len(), 3 + 1 + 1 + 3 + 1, "{calls:?}");
}

#[test]
fn stanzas_that_name_nothing_are_refused() {
    let mut vg = with_snapshot(4);
    for bad in ["pool-0", "nothing", "pool-0_tmeta"] {
        edit_pool(&mut vg, |pool| pool.messages = vec![Message::Create(lv_name(bad))]);
        let error = pending(&vg, &lv_name("pool-0")).expect_err(bad);
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    edit_pool(&mut vg, |pool| pool.messages = vec![Message::Delete(1 << 24)]);
    assert!(pending(&vg, &lv_name("pool-0")).is_err());
    let mut own = golden(1);
    edit_lv(&mut own, "base", |lv| lv.segments[0].kind = thin(7, 0, None));
    edit_pool(&mut own, |pool| pool.messages = vec![Message::Create(lv_name("base"))]);
    let messages = pending(&own, &lv_name("pool-0")).expect("readable");
    assert_eq!(messages, [PoolMessage::CreateThin { id: 7 }]);
}

#[test]
fn room_is_reckoned_in_bytes() {
    let state = |line: &str| PoolStatus::parse(line).expect("a line").running().expect("running");
    let chunk = Sectors::new(128);
    let rest = "- rw discard_passdown error_if_no_space - 1";
    let half = state(&format!("1 10/1024 800/1600 {rest}"));
    assert!(check_room(&half, chunk, Bytes::mib(50), 100).is_ok());
    let error = check_room(&half, chunk, Bytes::mib(51), 100).expect_err("too much");
    assert_eq!(error.kind(), ErrorKind::NoSpace { need: Bytes::mib(51), have: Bytes::mib(50) });
    let error = check_room(&half, chunk, Bytes::ZERO, 50).expect_err("over the threshold");
    assert_eq!(error.kind(), ErrorKind::NoSpace { need: Bytes::kib(64), have: Bytes::ZERO });
    let tight = state(&format!("1 769/1024 0/1600 {rest}"));
    let error = check_room(&tight, chunk, Bytes::ZERO, 100).expect_err("metadata");
    assert_eq!(error.kind(), ErrorKind::NoSpace { need: Bytes::mib(1), have: Bytes::kib(1020) });
    let many = Need::of_snapshots(1000, Bytes::kib(64));
    assert!(check_room(&half, chunk, many, 100).is_err(), "250 MiB of data, 31 of metadata");
    assert!(check_room(&half, chunk, Need::of_snapshots(1, Bytes::kib(64)), 100).is_ok());
    let large = state(&format!("1 30000/32768 0/1600 {rest}"));
    assert!(check_room(&large, chunk, Bytes::ZERO, 100).is_ok(), "4 MiB are enough");
    for bad in [
        "ro discard_passdown error_if_no_space -",
        "ro ignore_discard queue_if_no_space needs_check",
    ] {
        let bad = state(&format!("1 1/1024 0/1600 - {bad} 1"));
        let error = check_room(&bad, chunk, Bytes::ZERO, 100).expect_err("not writable");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    let full =
        state("1 1/1024 1600/1600 - out_of_data_space discard_passdown error_if_no_space - 1");
    let error = check_room(&full, chunk, Bytes::ZERO, 100).expect_err("full");
    assert_eq!(error.kind(), ErrorKind::NoSpace { need: Bytes::kib(64), have: Bytes::ZERO });
    // Space was given back, and the pool has not committed since.
    let freed =
        state("1 1/1024 1599/1600 - out_of_data_space discard_passdown error_if_no_space - 1");
    assert!(check_room(&freed, chunk, Bytes::ZERO, 100).is_ok());
}

#[test]
fn a_guard_that_is_dropped_resumes() {
    let kernel = active(&["base"]);
    let name: DmName = "Host--VG-base".parse().expect("a name");
    let info = kernel.info(&name).expect("info").expect("there");
    let seen = Visibility { udev_flags: 0x60, link: None };
    drop(Suspended::freeze(&kernel, &info, seen.clone()).expect("frozen"));
    assert!(kernel.settle().is_ok());
    let guard = Suspended::freeze(&kernel, &info, seen).expect("frozen");
    assert!(kernel.settle().is_err());
    kernel.fail_at(0, ErrorKind::Io, false);
    assert!(guard.resume().is_err());
    assert!(kernel.settle().is_ok(), "the drop tried once more");
    assert_eq!(names(&kernel).len(), 4);
}

/// A disk that has become read-only.
struct Worn(std::sync::Arc<dyn Dev>);

impl Dev for Worn {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn size(&self) -> Bytes {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> std::io::Result<()> {
        self.0.read_at(buf, at)
    }

    fn write_at(&self, _: &[u8], _: Bytes) -> std::io::Result<()> {
        Err(std::io::Error::from_raw_os_error(5))
    }

    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn discard(&self, _: Bytes, _: Bytes) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_message_that_was_obeyed_and_not_kept_is_noticed() {
    let kernel = active(&["base"]);
    let disk = kernel.disk(PV1).expect("a disk");
    kernel.add_disk(PV1, std::sync::Arc::new(Worn(disk)));
    let error = send(&kernel, &with_snapshot(4), Mode::Fresh).expect_err("not durable");
    // The kernel refuses the second message after it has taken the first one back.
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(kernel.thin_ids(&tpool()).expect("ids"), [1, 2, 3]);
    let mut raise = golden(3);
    edit_pool(&mut raise, |pool| pool.transaction_id = 4);
    let kernel = active(&["base"]);
    let disk = kernel.disk(PV1).expect("a disk");
    kernel.add_disk(PV1, std::sync::Arc::new(Worn(disk)));
    let error = send(&kernel, &raise, Mode::Replay).expect_err("not durable");
    assert_eq!(error.kind(), ErrorKind::Unhealthy, "{error}");
    assert_eq!(kernel_id(&kernel), 3);
}
