use super::node::NODE_HEADER;
use super::testing::{Sample, put};
use super::*;

/// A pool's metadata whose devices' tree has two levels.
fn sample() -> Sample {
    let mut sample = Sample::new(8);
    sample.root(328, 3);
    sample.node(3, 1, 8, &[(1, vec![5]), (40, vec![6])]);
    sample.node(5, 2, DETAILS, &[(1, vec![100, 1, 0]), (2, vec![3, 2, 0])]);
    sample.node(6, 2, DETAILS, &[(40, vec![0, 6, 0])]);
    sample
}

#[test]
fn the_checksum_is_the_kernels() {
    // 123456789 gives e3069283 with the final inversion that the kernel does not do.
    assert_eq!(crc32c(START, b"123456789"), !0xe306_9283);
}

#[test]
fn all_devices_are_found() {
    let sample = sample();
    let superblock = Superblock::read(&sample.dev(), 0).expect("valid");
    assert_eq!((superblock.transaction_id, superblock.needs_check), (7, false));
    let devices = thin_devices(&sample.dev()).expect("readable");
    assert_eq!(devices.keys().copied().collect::<Vec<_>>(), [1, 2, 40]);
    assert_eq!(devices[&1], ThinDetails { mapped_chunks: 100, transaction_id: 1 });
    assert_eq!(devices[&40], ThinDetails { mapped_chunks: 0, transaction_id: 6 });
}

#[test]
fn damage_is_told_with_its_place() {
    let broken = |what: &dyn Fn(&mut Sample)| {
        let mut sample = sample();
        what(&mut sample);
        let error = thin_devices(&sample.dev()).expect_err("it is damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        error.to_string()
    };
    assert!(broken(&|sample| sample.blocks[6][100] ^= 1).contains("block 6: its checksum"));
    let wrong = |number: usize, at: usize, bytes: &'static [u8]| {
        move |sample: &mut Sample| {
            put(&mut sample.blocks[number], at, bytes);
            sample.seal(number);
        }
    };
    assert!(broken(&wrong(0, 32, b"nothing!")).contains("no thin pool's superblock"));
    // A node that is its own child, one that is nowhere, one with too many entries.
    let values = NODE_HEADER + (BLOCK - NODE_HEADER) / 16 / 3 * 3 * 8;
    assert!(broken(&wrong(3, values, &[3, 0, 0, 0])).contains("in the tree twice"));
    assert!(broken(&wrong(3, values, &[0, 0, 1, 0])).contains("behind the device's end"));
    assert!(broken(&wrong(5, 16, &[255, 255, 255, 255])).contains("counts do not fit"));
    assert!(broken(&wrong(5, 20, &[255, 255, 255, 255])).contains("counts do not fit"));
    assert!(broken(&wrong(5, 4, &[3])).contains("flags are 3"));
    assert!(broken(&wrong(5, NODE_HEADER + 8, &[0, 0, 0, 1])).contains("no device id"));
}

#[test]
fn an_unknown_version_is_refused() {
    let mut sample = sample();
    put(&mut sample.blocks[0], 40, &3u32.to_le_bytes());
    sample.seal(0);
    let error = thin_devices(&sample.dev()).expect_err("it is not known");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
