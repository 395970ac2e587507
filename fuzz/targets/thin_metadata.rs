//! A thin pool's metadata.

#![no_main]

use imgbase::dm::thin_metadata::{changed_chunks, thin_devices};
use imgbase_fuzz::{Disk, bounded, crc32c, put_u32};
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 4096;

/// What the kernel mixes into the checksums of superblocks and of nodes
/// (drivers/md/dm-thin-metadata.c, drivers/md/persistent-data/dm-btree-spine.c).
const SUPERBLOCK: u32 = 160_774;
const NODE: u32 = 121_107;

fuzz_target!(|input: &[u8]| {
    let mut blocks = input.to_vec();
    for (number, block) in blocks.chunks_exact_mut(BLOCK).enumerate() {
        let sum = crc32c(&block[4..]) ^ if number == 0 { SUPERBLOCK } else { NODE };
        put_u32(block, 0, sum);
    }
    let dev = Disk::new(blocks, 64 << 20);
    bounded(input, || {
        let known = thin_devices(dev.as_ref()).unwrap_or_default();
        // Those that there are, and two that there may be.
        let mut ids = known.keys().copied().chain([1, 2]);
        if let (Some(a), Some(b)) = (ids.next(), ids.next()) {
            let changed = changed_chunks(dev.as_ref(), a, b);
            for range in changed.iter().flat_map(|changed| changed.bytes()) {
                assert!(range.start <= range.end);
            }
        }
    });
});
