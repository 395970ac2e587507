use super::*;
use crate::dev::MemDev;
use crate::dm::table::Line;
use crate::dm::testing::{PV0, PV1};
use crate::units::Bytes;

const CHUNK: u64 = 64 << 10;

fn dm(name: &str) -> DmName {
    name.parse().expect("a name")
}

fn seen() -> Visibility {
    Visibility { udev_flags: 0x60, link: None }
}

fn table(text: &str) -> Table {
    Table { lines: text.split("; ").map(|line| Line::parse(line).expect("a line")).collect() }
}

fn create(kernel: &SimKernel, name: &str) -> Result<DevNo> {
    let uuid = format!("LVM-{name}");
    kernel.create(&Create { name: dm(name), uuid, read_only: false, minor: None })
}

/// Makes a device with that table.
fn up(kernel: &SimKernel, name: &str, text: &str) -> Result<DevNo> {
    let number = create(kernel, name)?;
    kernel.load(&dm(name), &table(text), false)?;
    kernel.resume(&dm(name), &seen())?;
    Ok(number)
}

/// Disks: data of 4 MiB, metadata of 1 MiB.
fn disks() -> (Arc<MemDev>, Arc<MemDev>) {
    let data = MemDev::new("data", vec![0xee; 4 << 20]);
    (Arc::new(data), Arc::new(MemDev::zeroed("metadata", Bytes::mib(1))))
}

fn over((data, metadata): &(Arc<MemDev>, Arc<MemDev>)) -> SimKernel {
    let kernel = SimKernel::new();
    kernel.add_disk(PV0, Arc::clone(data) as Arc<dyn Dev>);
    kernel.add_disk(PV1, Arc::clone(metadata) as Arc<dyn Dev>);
    kernel
}

/// A pool of 8 chunks straight on the disks.
fn pool() -> SimKernel {
    let kernel = over(&disks());
    up(&kernel, "pool", "0 1024 thin-pool 7:1 7:0 128 0 0").expect("a pool");
    kernel
}

fn say(kernel: &SimKernel, message: &str) -> Result<()> {
    kernel.message(&dm("pool"), message)
}

fn thin(kernel: &SimKernel, id: u32) -> Box<dyn Dev> {
    let name = format!("t{id}");
    up(kernel, &name, &format!("0 4096 thin 254:0 {id}")).expect("a thin volume");
    kernel.open(&dm(&name)).expect("open")
}

fn read(dev: &dyn Dev, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xaa; len];
    dev.read_at(&mut bytes, Bytes::new(at)).expect("read");
    bytes
}

fn state(kernel: &SimKernel) -> PoolState {
    crate::dm::pool_state(kernel, &dm("pool")).expect("a status")
}

#[test]
fn messages_fail_as_the_kernel_makes_them_fail() {
    use ErrorKind::{Busy, Exists, Io, NotFound};
    let kernel = pool();
    say(&kernel, "create_thin 1").expect("obeyed");
    let open = thin(&kernel, 1);
    for (message, kind) in [
        ("create_thin 1", Exists),
        ("create_thin 16777216", Io),
        ("create_snap 1 9", Exists),
        ("create_snap 2 9", NotFound),
        ("delete 9", NotFound),
        ("delete 1", Busy),
        ("set_transaction_id 5 6", Io),
        ("release_metadata_snap", Io),
        ("sing", Io),
    ] {
        assert_eq!(say(&kernel, message).expect_err(message).kind(), kind, "{message}");
    }
    drop(open);
    assert_eq!(say(&kernel, "delete 1").expect_err("active").kind(), Busy);
    kernel.remove(&dm("t1"), &seen()).expect("closed");
    say(&kernel, "delete 1").expect("inactive");
    say(&kernel, "set_transaction_id 0 1").expect("obeyed");
    assert_eq!(state(&kernel).transaction_id, 1);
    kernel.break_pool(&dm("pool"), Breakage::ReadOnly).expect("a pool");
    assert_eq!(say(&kernel, "create_thin 2").expect_err("ro").kind(), ErrorKind::Unsupported);
}

#[test]
fn devices_fail_as_the_kernel_makes_them_fail() {
    use ErrorKind::{Busy, Exists, Io, NotFound};
    let kernel = pool();
    let kind = |result: Result<DevNo>| result.expect_err("refused").kind();
    assert_eq!(kind(create(&kernel, "pool")), Exists);
    let twin = Create { name: dm("x"), uuid: "LVM-pool".into(), read_only: false, minor: None };
    assert_eq!(kind(kernel.create(&twin)), Exists);
    create(&kernel, "t").expect("made");
    let load = |text: &str| kernel.load(&dm("t"), &table(text), false).expect_err(text).kind();
    assert_eq!(load("0 4096 thin 254:0 1"), NotFound, "no such id");
    assert_eq!(load("0 4096 thin 254:1 1"), NotFound, "itself, which has no table");
    assert_eq!(load("0 8 linear 9:9 0"), NotFound);
    assert_eq!(load("0 8192 linear 7:0 8"), Io, "beyond the disk");
    assert_eq!(load("8 8 linear 7:0 0"), Io, "a gap");
    assert_eq!(load("0 1024 thin-pool 7:1 7:0 128 0 0"), Busy, "metadata in use");
    assert_eq!(load("0 1024 thin-pool 7:1 7:0 100 0 0"), Io, "no chunk size");
    assert_eq!(kernel.resume(&dm("t"), &seen()).expect_err("no table").kind(), Io);
    assert_eq!(kernel.open(&dm("t")).err().expect("no table").kind(), NotFound);
    kernel.load(&dm("t"), &table("0 8 linear 254:0 0"), false).expect("loaded");
    assert_eq!(kernel.remove(&dm("pool"), &seen()).expect_err("held").kind(), Busy);
    kernel.clear(&dm("t")).expect("cleared");
    kernel.remove(&dm("pool"), &seen()).expect("free");
    assert_eq!(kernel.remove(&dm("pool"), &seen()).expect_err("gone").kind(), NotFound);
}

#[test]
fn open_counts_count_holders_and_handles() {
    let kernel = pool();
    say(&kernel, "create_thin 1").expect("obeyed");
    let count = |name: &str| kernel.info(&dm(name)).expect("info").expect("there").open_count;
    let first = thin(&kernel, 1);
    let second = kernel.open(&dm("t1")).expect("open");
    // A reload of the same device holds once.
    kernel.load(&dm("t1"), &table("0 8192 thin 254:0 1"), false).expect("loaded");
    assert_eq!((count("pool"), count("t1")), (1, 2));
    drop((first, second));
    assert_eq!(count("t1"), 0);
}

#[test]
fn snapshots_keep_what_their_origin_was() {
    let kernel = pool();
    say(&kernel, "create_thin 1").expect("obeyed");
    let origin = thin(&kernel, 1);
    origin.write_at(b"before", Bytes::new(10)).expect("written");
    assert_eq!(read(&*origin, 8, 10), b"\0\0before\0\0", "a new chunk is zeroed");
    assert_eq!(state(&kernel).data_used, 1);
    say(&kernel, "create_snap 2 1").expect("obeyed");
    let copy = thin(&kernel, 2);
    origin.write_at(b"after!", Bytes::new(10)).expect("written");
    copy.write_at(b"B", Bytes::new(10)).expect("written");
    assert_eq!(read(&*origin, 10, 6), b"after!");
    assert_eq!(read(&*copy, 8, 9), b"\0\0Before\0");
    assert_eq!(state(&kernel).data_used, 2, "the first write gave the other its own chunk");
    // Across a chunk's border, and beyond the end.
    origin.write_at(&[7; 8], Bytes::new(CHUNK - 4)).expect("written");
    assert_eq!(read(&*origin, CHUNK - 4, 8), [7; 8]);
    assert!(origin.write_at(b"x", Bytes::mib(2)).is_err());
    origin.discard(Bytes::ZERO, Bytes::new(2 * CHUNK)).expect("discarded");
    assert_eq!(read(&*origin, 10, 6), [0; 6]);
    assert_eq!(state(&kernel).data_used, 1);
    let status = kernel.status(&dm("t2")).expect("a status");
    assert_eq!(status[0].params, "128 127");
}

#[test]
fn without_zeroing_a_chunk_shows_what_lay_there() {
    let kernel = over(&disks());
    let text = "0 1024 thin-pool 7:1 7:0 128 0 2 skip_block_zeroing ignore_discard";
    up(&kernel, "pool", text).expect("a pool");
    say(&kernel, "create_thin 1").expect("obeyed");
    let volume = thin(&kernel, 1);
    volume.write_at(b"x", Bytes::ZERO).expect("written");
    assert_eq!(read(&*volume, 0, 3), [b'x', 0xee, 0xee]);
    let error = volume.discard(Bytes::ZERO, Bytes::new(CHUNK)).expect_err("ignored");
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
}

#[test]
fn a_full_pool_says_so_and_goes_on_when_it_grows() {
    let kernel = pool();
    say(&kernel, "create_thin 1").expect("obeyed");
    let volume = thin(&kernel, 1);
    volume.write_at(&vec![1; 8 << 16], Bytes::ZERO).expect("fits");
    let error = volume.write_at(b"x", Bytes::new(8 * CHUNK)).expect_err("full");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(state(&kernel).mode, crate::dm::status::PoolMode::OutOfDataSpace);
    let load = |text: &str| {
        kernel.load(&dm("pool"), &table(text), false).expect("loaded");
        kernel.suspend(&dm("pool"), Suspend::Quick).expect("suspended");
        kernel.resume(&dm("pool"), &seen())
    };
    load("0 2048 thin-pool 7:1 7:0 128 0 0").expect("grown");
    volume.write_at(b"x", Bytes::new(8 * CHUNK)).expect("fits now");
    assert!(load("0 1024 thin-pool 7:1 7:0 128 0 0").is_err(), "it never shrinks");
}

#[test]
fn a_power_cut_loses_what_was_not_committed_and_nothing_else() {
    let disks = disks();
    let kernel = over(&disks);
    let text = "0 1024 thin-pool 7:1 7:0 128 0 0";
    up(&kernel, "pool", text).expect("a pool");
    say(&kernel, "create_thin 1").expect("obeyed");
    let volume = thin(&kernel, 1);
    volume.write_at(b"durable", Bytes::ZERO).expect("written");
    volume.sync().expect("synced");
    say(&kernel, "create_snap 2 1").expect("obeyed");
    say(&kernel, "set_transaction_id 0 1").expect("obeyed");
    volume.write_at(b"lost", Bytes::new(CHUNK)).expect("written");
    let after = over(&disks);
    up(&after, "pool", text).expect("a pool");
    assert_eq!(state(&after).transaction_id, 1);
    assert_eq!(after.thin_ids(&dm("pool")).expect("ids"), [1, 2]);
    for id in [1, 2] {
        let volume = thin(&after, id);
        assert_eq!(read(&*volume, 0, 7), b"durable");
        assert_eq!(read(&*volume, CHUNK, 4), [0; 4]);
    }
    // The lost chunk is free again, and a new volume gets it without harm to the others.
    say(&after, "create_thin 3").expect("obeyed");
    let third = thin(&after, 3);
    third.write_at(b"third", Bytes::ZERO).expect("written");
    assert_eq!(read(&*third, 0, 8), b"third\0\0\0");
    assert_eq!(state(&after).data_used, 2);
}

#[test]
fn only_zeros_are_formatted_and_a_removal_commits() {
    let disks = disks();
    let kernel = over(&disks);
    let text = "0 1024 thin-pool 7:1 7:0 128 0 0";
    up(&kernel, "pool", text).expect("a pool");
    say(&kernel, "create_thin 1").expect("obeyed");
    let volume = thin(&kernel, 1);
    volume.write_at(b"kept", Bytes::ZERO).expect("written");
    drop(volume);
    kernel.remove(&dm("t1"), &seen()).expect("closed");
    kernel.remove(&dm("pool"), &seen()).expect("closed");
    up(&kernel, "pool", text).expect("a pool");
    assert_eq!(read(&*thin(&kernel, 1), 0, 4), b"kept");
    kernel.remove(&dm("t1"), &seen()).expect("closed");
    kernel.remove(&dm("pool"), &seen()).expect("closed");
    create(&kernel, "pool").expect("made");
    let other = table("0 1024 thin-pool 7:1 7:0 256 0 0");
    assert!(kernel.load(&dm("pool"), &other, false).is_err(), "the chunk size is fixed");
    disks.1.write_at(&[1], Bytes::new(100)).expect("written");
    assert!(kernel.load(&dm("pool"), &table(text), false).is_err(), "the checksum fails");
    disks.1.write_at(&[0; 4096], Bytes::ZERO).expect("written");
    kernel.load(&dm("pool"), &table(text), false).expect("a new pool");
}

#[test]
fn striped_and_linear_volumes_lead_to_the_right_bytes() {
    let disks = disks();
    let kernel = over(&disks);
    up(&kernel, "s", "0 16 linear 7:1 8; 16 32 striped 2 8 7:1 100 7:0 200").expect("made");
    let volume = kernel.open(&dm("s")).expect("open");
    let bytes: Vec<u8> = (0..48u8).flat_map(|sector| [sector; 512]).collect();
    volume.write_at(&bytes, Bytes::ZERO).expect("written");
    assert_eq!(read(&*volume, 0, bytes.len()), bytes);
    let sector = |disk: &MemDev, sector: usize| disk.bytes()[sector * 512];
    assert_eq!(sector(&disks.1, 8 + 15), 15);
    assert_eq!([sector(&disks.1, 100), sector(&disks.0, 200)], [16, 24]);
    assert_eq!([sector(&disks.1, 108), sector(&disks.0, 208 + 7)], [32, 47]);
    kernel.suspend(&dm("s"), Suspend::Quick).expect("suspended");
    assert!(volume.read_at(&mut [0], Bytes::ZERO).is_err(), "it would hang");
}

#[test]
fn calls_are_written_down_and_fail_on_demand() {
    let kernel = pool();
    kernel.forget_calls();
    kernel.fail_at(1, ErrorKind::NoSpace { need: Bytes::ZERO, have: Bytes::ZERO }, false);
    say(&kernel, "create_thin 1").expect("the first is good");
    let error = say(&kernel, "create_thin 2").expect_err("the second is not");
    assert_eq!(error.kind().exit_code(), 4);
    say(&kernel, "create_thin 2").expect("it had no effect");
    kernel.fail_at(0, ErrorKind::Busy, true);
    assert!(kernel.settle().is_err() && kernel.settle().is_err());
    kernel.heal();
    assert!(kernel.settle().is_ok());
    let lines: Vec<_> = kernel.calls().iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[1], "message pool: create_thin 2");
    assert!(kernel.calls()[1].changes() && !kernel.calls()[5].changes());
}

#[test]
fn an_adopted_pool_behaves_without_being_written() {
    let disks = disks();
    let kernel = over(&disks);
    let info = |name: &str, minor| DmInfo {
        name: dm(name),
        uuid: format!("LVM-{name}").into(),
        number: DevNo { major: 253, minor },
        open_count: 1,
        suspended: false,
        read_only: false,
        live: true,
        inactive: false,
        event: 0,
    };
    kernel.adopt([
        (info("pool", 4), table("0 1024 thin-pool 7:1 7:0 128 0 0")),
        (info("t1", 6), table("0 4096 thin 253:4 1")),
    ]);
    let line = "7 9/256 3/8 - rw discard_passdown queue_if_no_space - 64";
    let status = crate::dm::status::PoolStatus::parse(line).expect("a line");
    kernel.adopt_pool(&dm("pool"), &status.running().expect("running")).expect("a pool");
    let content = MemDev::new("content", b"old".repeat(1 << 20));
    kernel.adopt_thin(&dm("pool"), 1, Arc::new(content)).expect("a pool");
    assert_eq!(state(&kernel).transaction_id, 7);
    assert_eq!(kernel.info(&dm("pool")).expect("info").expect("there").open_count, 1);
    assert_eq!(kernel.remove(&dm("t1"), &seen()).expect_err("mounted").kind(), ErrorKind::Busy);
    say(&kernel, "create_snap 2 1").expect("obeyed");
    say(&kernel, "set_transaction_id 7 8").expect("obeyed");
    let number = create(&kernel, "t2").expect("made");
    assert_eq!(number, DevNo { major: 253, minor: 0 });
    kernel.load(&dm("t2"), &table("0 4096 thin 253:4 2"), false).expect("loaded");
    kernel.resume(&dm("t2"), &seen()).expect("resumed");
    let copy = kernel.open(&dm("t2")).expect("open");
    copy.write_at(b"new", Bytes::new(3)).expect("written");
    assert_eq!(read(&*copy, 0, 9), b"oldnewold");
    assert_eq!(state(&kernel).data_used, 4);
    assert_eq!(disks.1.bytes(), vec![0; 1 << 20], "no metadata was written");
}
