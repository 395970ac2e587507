//! A disk that may be a physical volume: label, header, metadata area, ring, text, and what is on it
//! besides.

#![no_main]

use std::path::PathBuf;
use std::sync::Arc;

use imgbase::dev::Dev;
use imgbase::layout::Layout;
use imgbase::lvm2::crc::crc;
use imgbase::lvm2::scan::scan;
use imgbase_fuzz::{Disk, bounded, field, put_u32};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // The disk's size in sectors, at most 2 TiB, and its first bytes.
    let Some((size, head)) = input.split_first_chunk() else { return };
    let mut head = head.to_vec();
    mend(&mut head);
    let dev: Arc<dyn Dev> = Disk::new(head, u64::from(u32::from_le_bytes(*size)) * 512);
    bounded(input, || {
        // It reads a MiB from each end, which takes longer than all the rest: not each time.
        if size[0] & 1 == 1 {
            let _ = imgbase::signature::recognise(dev.as_ref());
            return;
        }
        let found = scan(&[(PathBuf::from("/dev/hostile"), Arc::clone(&dev))]);
        for group in &found.groups {
            let _ = Layout::of(&group.vg);
            let _ = group.check_writable();
        }
        for problem in &found.problems {
            let _ = problem.to_string();
        }
    });
});

/// Makes the checksums hold where there is anything that has one: else hardly an input would get
/// past them.
fn mend(head: &mut [u8]) {
    for label in (0..2048).step_by(512) {
        if field(head, label) == Some(*b"LABELONE")
            && let Some(bytes) = head.get(label + 20..label + 512)
        {
            let sum = crc(bytes);
            put_u32(head, label + 16, sum);
        }
    }
    for area in (0..head.len()).step_by(512) {
        if field(head, area + 4) != Some(*b" LVM2 x[5A%r0N*>") {
            continue;
        }
        for slot in [area + 40, area + 64] {
            let number = |at| field(head, at).map(u64::from_le_bytes);
            let text = number(slot).zip(number(slot + 8)).and_then(|(at, len)| {
                let start = area.checked_add(usize::try_from(at).ok()?)?;
                head.get(start..start.checked_add(usize::try_from(len).ok()?)?)
            });
            if let Some(text) = text {
                let sum = crc(text);
                put_u32(head, slot + 16, sum);
            }
        }
        if let Some(bytes) = head.get(area + 4..area + 512) {
            let sum = crc(bytes);
            put_u32(head, area, sum);
        }
    }
}
