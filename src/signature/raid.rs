//! Members of RAIDs and mirrors, which may look like something else at their start.

use super::Ends;

/// md's magic (`md_p.h`: `MD_SB_MAGIC`).
const MD: u32 = 0xa92b_4efc;

/// What the device is a member of, if anything.
pub(super) fn name(ends: &Ends) -> Option<&'static str> {
    md(ends).or_else(|| zfs(ends)).or_else(|| drbd(ends)).or_else(|| firmware(ends))
}

fn md(ends: &Ends) -> Option<&'static str> {
    let magic = |at: u64| ends.has(at, &MD.to_le_bytes());
    if magic(0) {
        return Some("a member of an md RAID (metadata 1.1)");
    }
    if magic(4096) {
        return Some("a member of an md RAID (metadata 1.2)");
    }
    let sector = (ends.size / 512).checked_sub(16).map(|sector| sector & !7);
    if sector.is_some_and(|sector| magic(sector.saturating_mul(512))) {
        return Some("a member of an md RAID (metadata 1.0)");
    }
    // 0.90 is written in the host's own byte order.
    let old = (ends.size & !0xffff).checked_sub(0x1_0000);
    old.filter(|at| magic(*at) || ends.has(*at, &MD.to_be_bytes()))
        .map(|_| "a member of an md RAID (metadata 0.90)")
}

/// ZFS has two labels of 256 KiB at each end, the second half of each a ring of uberblocks.
fn zfs(ends: &Ends) -> Option<&'static str> {
    const LABEL: u64 = 256 << 10;
    const MAGIC: u64 = 0x00ba_b10c;
    let end = ends.size & !(LABEL - 1);
    let labels = [0, LABEL, end.saturating_sub(2 * LABEL), end.saturating_sub(LABEL)];
    let found = labels.iter().any(|label| {
        (0..128).any(|block| {
            let at = label.saturating_add(LABEL / 2).saturating_add(block << 10);
            ends.has(at, &MAGIC.to_le_bytes()) || ends.has(at, &MAGIC.to_be_bytes())
        })
    });
    found.then_some("a member of a ZFS pool")
}

/// DRBD's internal metadata: 4 KiB at the end, the magic at byte 60.
fn drbd(ends: &Ends) -> Option<&'static str> {
    let at = (ends.size & !4095).checked_sub(4096)?.checked_add(60)?;
    let magics = [0x8374_0267_u32, 0x8374_0268, 0x8374_026a, 0x8374_026b, 0x8374_026d];
    magics.iter().any(|magic| ends.has(at, &magic.to_be_bytes())).then_some("a DRBD device")
}

/// What firmware writes at the end of its disks.
fn firmware(ends: &Ends) -> Option<&'static str> {
    const DDF: [u8; 4] = [0xde, 0x11, 0xde, 0x11];
    let marks: [(u64, &[u8], &str); 7] = [
        (512, &DDF, "a member of a DDF RAID"),
        (257 * 512, &DDF, "a member of a DDF RAID"),
        (1024, b"Intel Raid ISM Cfg Sig. ", "a member of an Intel RAID"),
        (1024, b"NVIDIA", "a member of an NVIDIA RAID"),
        (512, b"$XIDE$", "a member of an LSI RAID"),
        (63 * 512, b"Promise Technology, Inc.", "a member of a Promise RAID"),
        (255 * 512, b"Promise Technology, Inc.", "a member of a Promise RAID"),
    ];
    marks.iter().find(|(back, mark, _)| ends.ends_with(*back, mark)).map(|(_, _, name)| *name)
}

/// What may be a member's mark and may be chance: mostly zeros.
pub(super) fn perhaps(ends: &Ends) -> Option<&'static str> {
    let found = ends.ends_with(512 - 0x60, &[0, 0, 0, 0x2f]);
    found.then_some("a member of a Silicon Image RAID")
}
