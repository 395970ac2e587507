//! Judged by e2fsprogs.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::features::{incompat, ro_compat};
use super::testing::{
    Counted, FLAVOURS, FileDev, Sample, assert_clean_at_a_glance, assert_fsck, content, run,
};
use super::*;
use crate::dev::gather::Gathered;
use crate::dev::{Dev, MemDev};
use crate::error::ErrorKind;
use crate::units::Bytes;

const NEW: FsUuid = FsUuid::new([0x11; 16]);

fn header(sample: &Sample) -> String {
    run("dumpe2fs", &["-h", &sample.path.display().to_string()]).1
}

fn value(header: &str, key: &str) -> String {
    let line = header.lines().find(|line| line.starts_with(key));
    let line = line.unwrap_or_else(|| panic!("no {key} in {header}"));
    line.trim_start_matches(key).trim_start_matches(':').trim().to_owned()
}

#[test]
fn numbers_are_those_of_dumpe2fs() {
    for (args, size) in FLAVOURS {
        let sample = Sample::new(&format!("{args} -L the-label"), size);
        let (sb, header) = (Superblock::read(&sample.dev()).expect("it is one"), header(&sample));
        let blocks: u64 = value(&header, "Block count").parse().expect("a number");
        let block_size: u64 = value(&header, "Block size").parse().expect("a number");
        assert_eq!(sb.size(), Bytes::new(blocks * block_size), "{args}");
        assert_eq!(sb.uuid().to_string(), value(&header, "Filesystem UUID"), "{args}");
        assert_eq!(sb.label(), "the-label");
        assert_eq!(sb.state(), State::Clean);
        assert!(args.contains(sb.fs_type()), "{args} is {}", sb.fs_type());
        assert!(!sb.has_external_journal());
    }
}

#[test]
fn neighbours_are_read_where_the_device_does_not_keep_them() {
    let sample = Sample::new("-t ext4 -b 1024", "32M");
    let below = Counted(sample.dev(), 0.into());
    let read = |dev: &dyn Dev| {
        Tree::open(dev).and_then(|tree| tree.read_file("etc/none", Bytes::ZERO)).expect("clean");
        below.1.swap(0, Ordering::Relaxed)
    };
    let (stretches, blocks) = (read(&below), read(&Gathered::over(&below, Bytes::kib(1))));
    assert!(stretches > 32 << 10 && blocks < 16 << 10, "{stretches} and {blocks} bytes");
}

/// A device that is shorter than its file system, as no caller should give it.
#[test]
fn what_lies_behind_an_error_is_neither_used_nor_free() {
    let sample = Sample::new("-t ext4 -b 1024 -O ^has_journal,^flex_bg,metadata_csum", "32M");
    let mut bytes = std::fs::read(&sample.path).expect("it can be read");
    let sb = Superblock::read(&sample.dev()).expect("it is one");
    bytes.truncate(1 << 20);
    let dev = MemDev::new("short", bytes);
    let used: Vec<_> = used_extents(&dev, &sb).expect("it is clean").take(999).collect();
    let free: Vec<_> = free_extents(&dev, &sb).expect("it is clean").take(999).collect();
    for extents in [used, free] {
        let errors = extents.iter().filter(|extent| extent.is_err()).count();
        assert_eq!(errors, 1, "{extents:?}");
        assert!(extents.last().is_some_and(Result::is_err), "{extents:?}");
    }
}

#[test]
fn used_blocks_are_exactly_those_that_dumpe2fs_does_not_call_free() {
    for (args, size) in FLAVOURS {
        let sample = Sample::new(args, size);
        let dev = sample.dev();
        let sb = Superblock::read(&dev).expect("it is one");
        if !sb.features().ro_compat(ro_compat::METADATA_CSUM) {
            assert_eq!(sb.trust_bitmaps(), Err(Distrust::NoChecksums), "{args}");
            continue;
        }
        let mut used = used_extents(&dev, &sb).expect("it is clean");
        let found: Vec<Extent> = used.by_ref().map(|extent| extent.expect("readable")).collect();
        assert_eq!(used.distrusted(), 0, "{args}");
        assert_eq!(found, used_by_dumpe2fs(&sample, &sb), "{args}");
        let free: u64 = free_extents(&dev, &sb)
            .expect("it is clean")
            .map(|extent| extent.expect("readable"))
            .map(|extent| extent.end.get() - extent.start.get())
            .sum();
        let used: u64 = found.iter().map(|extent| extent.end.get() - extent.start.get()).sum();
        assert_eq!(used + free, sb.size().get());
    }
}

/// The complement of the "Free blocks" lists, in which a range ends with the first block of its
/// last cluster.
fn used_by_dumpe2fs(sample: &Sample, sb: &Superblock) -> Vec<Extent> {
    let text = run("dumpe2fs", &[&sample.path.display().to_string()]).1;
    let blocks = (sb.size().get() / sb.geometry().block_size().get()) as usize;
    let mut used = vec![true; blocks];
    for list in text.lines().filter_map(|line| line.strip_prefix("  Free blocks: ")) {
        for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            let from: usize = from.parse().expect("a block");
            let to: usize = to.parse().expect("a block");
            let end = (to + (1 << sb.geometry().cluster_log)).min(blocks);
            used.get_mut(from..end).expect("inside").fill(false);
        }
    }
    let (mut all, mut start) = (Vec::new(), None);
    for (block, used) in used.into_iter().chain([false]).enumerate() {
        let byte = Bytes::new(block as u64 * sb.geometry().block_size().get());
        match (used, start) {
            (true, None) => start = Some(byte),
            (false, Some(from)) => {
                all.push(from..byte);
                start = None;
            }
            _ => {}
        }
    }
    all
}

#[test]
fn a_copy_of_the_used_blocks_alone_is_the_whole_file_system() {
    for (args, size) in FLAVOURS {
        let sample = Sample::new(args, size);
        let dev = sample.dev();
        let sb = Superblock::read(&dev).expect("it is one");
        let Ok(used) = used_extents(&dev, &sb) else { continue };
        let path = sample.dir.path().join("copy.img");
        let copy = FileDev::create(&path, sb.size());
        for extent in used {
            let extent = extent.expect("readable");
            let mut buf = vec![0; (extent.end.get() - extent.start.get()) as usize];
            dev.read_at(&mut buf, extent.start).expect("inside");
            copy.write_at(&buf, extent.start).expect("inside");
        }
        assert_fsck(&path);
        assert_eq!(content(&path), content(&sample.path), "{args}");
    }
}

#[test]
fn a_new_uuid_leaves_nothing_for_e2fsck_to_say() {
    for (args, size) in FLAVOURS {
        let sample = Sample::new(args, size);
        let (dev, before) = (sample.dev(), content(&sample.path));
        let old = Superblock::read(&dev).expect("it is one");
        let csum = old.features().ro_compat(ro_compat::METADATA_CSUM);
        let sealed = csum && !old.features().incompat(incompat::CSUM_SEED);
        if sealed {
            let error = set_uuid(&dev, NEW).expect_err("it is not sealed");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
        assert_eq!(seal_for_layers(&dev).expect("it can be sealed"), sealed, "{args}");
        assert!(!seal_for_layers(&dev).expect("it is sealed"), "twice changes nothing");
        assert_fsck(&sample.path);
        for uuid in [NEW, FsUuid::random().expect("randomness")] {
            set_uuid(&dev, uuid).expect("it is sealed");
            assert_fsck(&sample.path);
            // With crc16 the copies of the descriptors would not fit a copy of the new superblock.
            if csum || !old.features().ro_compat(ro_compat::GDT_CSUM) {
                assert_clean_at_a_glance(&sample.path);
            }
            assert_eq!(value(&header(&sample), "Filesystem UUID"), uuid.to_string());
            assert_eq!(Superblock::read(&dev).expect("still one").uuid(), uuid);
        }
        assert_eq!(content(&sample.path), before, "{args}");
    }
}

#[test]
fn a_resized_file_system_is_understood() {
    let sample = Sample::new("-t ext4 -O metadata_csum,64bit,extent,has_journal", "64M");
    let path = sample.path.display().to_string();
    assert_eq!(run("resize2fs", &[&path, "300M"]).0, Some(0));
    let dev = sample.dev();
    let sb = Superblock::read(&dev).expect("still one");
    assert_eq!(sb.size(), Bytes::mib(300));
    let used: Result<Vec<_>, _> = used_extents(&dev, &sb).expect("it is clean").collect();
    assert_eq!(used.expect("readable"), used_by_dumpe2fs(&sample, &sb));
    seal_for_layers(&dev).expect("it can be sealed");
    set_uuid(&dev, NEW).expect("it is sealed");
    assert_fsck(&sample.path);
}

#[test]
fn a_file_system_not_left_in_order_is_not_believed() {
    let sample = Sample::new("-t ext4 -O metadata_csum,64bit,extent,has_journal", "64M");
    sample.debugfs("feature needs_recovery");
    let sb = Superblock::read(&sample.dev()).expect("still one");
    assert_eq!((sb.state(), sb.needs_recovery()), (State::NeedsReplay, true));
    assert_eq!(sb.trust_bitmaps(), Err(Distrust::NotClean));
    let error = seal_for_layers(&sample.dev()).expect_err("the journal comes first");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    sample.debugfs("feature -needs_recovery");
    sample.debugfs("set_super_value state 0");
    let sb = Superblock::read(&sample.dev()).expect("still one");
    assert_eq!(sb.state(), State::NeedsCheck);
    sample.debugfs("set_super_value state 1");
    sample.debugfs("set_super_value last_orphan 12");
    let sb = Superblock::read(&sample.dev()).expect("still one");
    assert_eq!(sb.state(), State::NeedsReplay);
}

#[test]
fn a_damaged_bitmap_counts_its_group_as_used() {
    let sample = Sample::new("-t ext4 -b 4096 -O metadata_csum,64bit,extent,^flex_bg", "256M");
    let dev = sample.dev();
    let sb = Superblock::read(&dev).expect("it is one");
    let text = run("dumpe2fs", &[&sample.path.display().to_string()]).1;
    let line = text.lines().find(|line| line.contains("Block bitmap at")).expect("group 0");
    let block: u64 = line.split_whitespace().nth(3).and_then(|n| n.parse().ok()).expect("a block");
    let mut byte = [0];
    let place = Bytes::new(block * 4096 + 3000);
    dev.read_at(&mut byte, place).expect("inside");
    dev.write_at(&[byte[0] ^ 0x10], place).expect("inside");
    let mut used = used_extents(&dev, &sb).expect("it is clean");
    let first = used.next().expect("one").expect("readable");
    assert!(first.start.is_zero() && first.end >= Bytes::mib(128), "{first:?}");
    assert_eq!(used.distrusted(), 1);
}

#[test]
fn an_external_journal_and_what_needs_one_are_refused() {
    let dir = crate::ext4::testing::temp_dir();
    let journal = dir.path().join("journal");
    let name = journal.display().to_string();
    let (code, text) = run("mke2fs", &["-q", "-F", "-O", "journal_dev", &name, "16M"]);
    assert_eq!(code, Some(0), "{text}");
    let error = Superblock::read(&FileDev::open(&journal)).expect_err("a journal");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let error = Superblock::read(&MemDev::zeroed("zeros", Bytes::mib(1))).expect_err("nothing");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// A superblock with its checksum made right, so that what lies behind the check is reached.
fn stamped(mut image: Vec<u8>) -> Vec<u8> {
    let covered = image.get(1024..1024 + 0x3FC).expect("long enough");
    let sum = checksum::crc32c(checksum::START, covered).to_le_bytes();
    image[1024 + 0x3FC..2048].copy_from_slice(&sum);
    image
}

#[test]
fn no_superblock_and_no_descriptor_makes_it_panic() {
    let sample = Sample::new(
        "-t ext4 -b 1024 -g 1024 -O metadata_csum,64bit,extent,meta_bg,^resize_inode",
        "16M",
    );
    let image = std::fs::read(&sample.path).expect("it was just made");
    let image = image.get(..1 << 20).expect("larger than that").to_vec();
    let places = prop_oneof![4 => 1024usize..1424, 1 => 2048usize..8192];
    let change = (places, prop_oneof![any::<u8>(), Just(0), Just(0xFF)]);
    let config = ProptestConfig { cases: 3000, failure_persistence: None, ..Default::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&proptest::collection::vec(change, 1..6), |changes| {
        let mut image = image.clone();
        changes.iter().for_each(|&(at, byte)| image[at] = byte);
        let dev = MemDev::new("hostile", stamped(image));
        let Ok(sb) = Superblock::read(&dev) else { return Ok(()) };
        if let Ok(used) = used_extents(&dev, &sb) {
            let mut end = Bytes::ZERO;
            for extent in used.take(10_000).map_while(Result::ok) {
                prop_assert!(end <= extent.start && extent.start < extent.end);
                end = extent.end;
            }
            prop_assert!(end <= sb.size());
        }
        let _ = (seal_for_layers(&dev), set_uuid(&dev, NEW), sb.label(), sb.free(), sb.fs_type());
        Ok(())
    });
    result.expect("nothing panics");
}
