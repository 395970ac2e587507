//! An image: which file system it holds, what of it is in use, and what it needs.

#![no_main]

use imgbase::dev::Dev;
use imgbase::ext4::{free_extents, used_extents};
use imgbase::image::{FileSystem, ImageStream, NoHoles, Source};
use imgbase::units::Bytes;
use imgbase_fuzz::{Disk, bounded, crc32c, field, put_u32};
use libfuzzer_sys::fuzz_target;

const SUPERBLOCK: usize = 1024;

fuzz_target!(|input: &[u8]| {
    // The size in MiB, at most 64 GiB, and the first bytes.
    let Some((size, head)) = input.split_first_chunk() else { return };
    let mut head = head.to_vec();
    mend(&mut head);
    let dev = Disk::new(head.clone(), u64::from(u16::from_le_bytes(*size)) << 20);
    bounded(input, || {
        if let Ok(source) = Source::of_device(dev.as_ref(), &NoHoles) {
            let _ = (source.check_fits(Bytes::gib(1)), source.space_need(Bytes::kib(64)));
        }
        let mut stream = ImageStream::new("standard input", std::io::Cursor::new(head.clone()));
        let _ = Source::of_stream(&mut stream);
        let Ok(file_system) = FileSystem::read(dev.as_ref()) else { return };
        let _ = (file_system.label(), file_system.free(), file_system.size());
        let FileSystem::Ext4(superblock) = &file_system else { return };
        // Whoever walks over an image has looked whether it is all there.
        if dev.size() < superblock.size() {
            return;
        }
        if let Ok(used) = used_extents(dev.as_ref(), superblock) {
            let mut end = Bytes::ZERO;
            for extent in used.map_while(Result::ok) {
                assert!(end <= extent.start && extent.start < extent.end, "in order");
                assert!(extent.end <= superblock.size(), "within the file system");
                end = extent.end;
            }
        }
        if let Ok(free) = free_extents(dev.as_ref(), superblock) {
            free.for_each(drop);
        }
    });
});

/// Makes the superblocks' checksums hold: else hardly an input would get past them.
fn mend(head: &mut [u8]) {
    if field(head, SUPERBLOCK + 56) == Some([0x53, 0xef])
        && let Some(bytes) = head.get(SUPERBLOCK..SUPERBLOCK + 1020)
    {
        let sum = crc32c(bytes);
        put_u32(head, SUPERBLOCK + 1020, sum);
    }
    if head.starts_with(b"XFSB") {
        put_u32(head, 224, 0);
        if let Some(bytes) = head.get(..512) {
            let sum = !crc32c(bytes);
            put_u32(head, 224, sum);
        }
    }
}
