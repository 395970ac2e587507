use super::*;
use std::collections::BTreeSet;

fn recorder(disks: usize) -> Recorder {
    let disk = |n| (format!("disk{n}"), Arc::from(vec![0u8; 4096]));
    Recorder::new((0..disks).map(disk).collect())
}

/// First bytes of the first `sectors` sectors of the first disk, for each image.
fn firsts(cut: &Cut, sectors: u64) -> BTreeSet<Vec<u8>> {
    let first = |image: Image| {
        let dev = Arc::clone(&image.devices()[0]);
        let mut byte = [0];
        let mut at = |n: u64| {
            dev.read_at(&mut byte, Bytes::new(n * 512)).expect("within");
            byte[0]
        };
        (0..sectors).map(&mut at).collect()
    };
    cut.images(Bound::USUAL).map(first).collect()
}

fn write(dev: &dyn Dev, sector: u64, byte: u8) {
    dev.write_at(&[byte; 512], Bytes::new(sector * 512)).expect("within");
}

#[test]
fn every_subset_of_unsynced_sectors_is_there_and_synced_ones_stay() {
    let recorder = recorder(1);
    let dev = &recorder.devices()[0];
    write(dev.as_ref(), 0, 1);
    write(dev.as_ref(), 1, 2);
    dev.sync().expect("no fault");
    recorder.mark("synced");
    write(dev.as_ref(), 1, 3);
    write(dev.as_ref(), 1, 4);
    let cuts = recorder.cuts();
    assert_eq!(cuts.len(), 3, "before the sync, at the mark, at the end");
    let all = [[0, 0], [0, 2], [1, 0], [1, 2]].map(|image| image.to_vec());
    assert_eq!(firsts(&cuts[0], 2), BTreeSet::from(all));
    assert_eq!(firsts(&cuts[1], 2), BTreeSet::from([vec![1, 2]]));
    assert!(!cuts[1].is_after("synced") && cuts[2].is_after("synced"));
    let end = [[1, 2], [1, 3], [1, 4]].map(|image| image.to_vec());
    assert_eq!(firsts(&cuts[2], 2), BTreeSet::from(end));
}

#[test]
fn a_sync_is_of_one_device_only() {
    let recorder = recorder(2);
    let devices = recorder.devices();
    write(devices[0].as_ref(), 0, 1);
    devices[1].sync().expect("no fault");
    let cuts = recorder.cuts();
    let end = cuts.last().expect("the end");
    assert_eq!(firsts(end, 1), BTreeSet::from([vec![0], vec![1]]));
}

#[test]
fn what_a_failed_sync_or_write_left_stays_unknown_for_ever() {
    for failing in [0, 1] {
        let recorder = recorder(1);
        recorder.fail(Fault { call: failing, lasting: false, kind: io::ErrorKind::Other });
        let dev = &recorder.devices()[0];
        let write = dev.write_at(&[1; 512], Bytes::ZERO);
        let sync = dev.sync();
        assert_eq!((write.is_err(), sync.is_err()), (failing == 0, failing == 1));
        dev.sync().expect("only one fault");
        let cuts = recorder.cuts();
        let end = cuts.last().expect("the end");
        assert_eq!(firsts(end, 1), BTreeSet::from([vec![0], vec![1]]), "call {failing}");
        assert_eq!(recorder.calls(), 3);
    }
}

#[test]
fn writes_of_any_alignment_become_whole_sectors() {
    let recorder = recorder(1);
    let dev = &recorder.devices()[0];
    dev.write_at(&[7; 3], Bytes::new(511)).expect("within");
    let cuts = recorder.cuts();
    assert_eq!(cuts.last().expect("the end").images(Bound::USUAL).count(), 4);
    assert!(dev.write_at(&[7; 3], Bytes::new(4095)).is_err());
    assert_eq!(recorder.calls(), 1, "a write past the end is none");
}

#[test]
fn beyond_the_bound_images_are_drawn_the_same_each_time() {
    let recorder = recorder(1);
    let dev = &recorder.devices()[0];
    (0..8).for_each(|sector| write(dev.as_ref(), sector, 9));
    let cuts = recorder.cuts();
    let bound = Bound { all_up_to: 100, drawn: 50, seed: 3 };
    let hashes =
        || cuts.last().expect("the end").images(bound).map(|i| i.hash()).collect::<Vec<_>>();
    assert_eq!(hashes(), hashes());
    assert_eq!(hashes().len(), 2 * 8 + 2 + 50);
    let all = Bound { all_up_to: 256, ..bound };
    let distinct: BTreeSet<_> =
        cuts.last().expect("the end").images(all).map(|i| i.hash()).collect();
    assert_eq!(distinct.len(), 256);
}
