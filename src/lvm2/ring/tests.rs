use super::super::golden;
use super::super::label::DiskLocn;
use super::super::mda::RawMda;
use super::*;
use proptest::prelude::*;

fn ring(size: u64) -> Ring {
    Ring { size }
}

fn text(offset: u64, size: u64) -> RawLocn {
    RawLocn { offset, size, checksum: 0, flags: 0 }
}

/// A text of so many bytes.
fn text_of(len: usize) -> RingText {
    RingText::with_nul(vec![b'x'; len])
}

#[test]
fn every_text_that_lvm2_wrote_is_where_the_rule_puts_it() {
    let head = golden::bytes("head-thin.bin.gz");
    let area = DiskLocn { offset: Bytes::new(4096), size: Bytes::new(1_044_480) };
    let mda =
        RawMda::new(head[4096..4608].try_into().expect("a sector")).verify(area).expect("valid");
    let ring = Ring::of(&mda);
    let mut live = None;
    let mut seen = 0;
    loop {
        let start = ring.start_after(live.as_ref());
        let from = 4096 + usize::try_from(start).expect("small");
        let Some(len) = head[from..].iter().position(|b| *b == 0).filter(|len| *len > 0) else {
            break;
        };
        seen += 1;
        let bytes = &head[from..=from + len];
        let found = std::str::from_utf8(bytes).expect("text");
        assert!(found.contains(&format!("\nseqno = {seen}\n")), "text {seen} at {start}");
        let text = RingText::with_nul(bytes.to_vec());
        let placed = ring.place(&text, start, live.as_ref()).expect("fits");
        for (at, sectors) in placed.sectors(&text) {
            let from = 4096 + usize::try_from(at).expect("small");
            assert_eq!(head[from..from + sectors.len()], *sectors, "text {seen} with its padding");
        }
        live = Some(placed.slot);
    }
    assert_eq!(seen, 6);
    assert_eq!(live, mda.text(), "the last one is the committed one");
}

#[test]
fn the_rule_at_its_edges() {
    let ring = ring(61_440);
    assert_eq!(ring.limit(), 29_952);
    assert_eq!(ring.start_after(None), 512);
    assert_eq!(ring.start_after(Some(&text(512, 1))), 1024);
    assert_eq!(ring.start_after(Some(&text(512, 512))), 1024);
    assert_eq!(ring.start_after(Some(&text(512, 513))), 1536);
    assert_eq!(ring.start_after(Some(&text(60_416, 512))), 60_928, "the last sector is free");
    assert_eq!(ring.start_after(Some(&text(60_416, 513))), 512, "the last sector has a byte");
    assert_eq!(ring.start_after(Some(&text(60_416, 1024))), 512, "ends at the area's end");
    assert_eq!(ring.start_after(Some(&text(60_416, 1025))), 1024, "wrapped by one byte");
    assert_eq!(ring.start_after(Some(&text(60_416, 1024 + 512))), 1024);
    assert_eq!(ring.start_after(Some(&text(60_416, 1024 + 513))), 1536);
}

#[test]
fn a_text_is_refused_where_it_would_not_leave_room_for_the_next() {
    let ring = ring(61_440);
    assert!(ring.place(&text_of(29_952), 512, None).is_ok());
    let error = ring.place(&text_of(29_953), 512, None).expect_err("too long");
    let (need, have) = (Bytes::new(29_953), Bytes::new(29_952));
    assert_eq!(error.kind(), ErrorKind::NoSpace { need, have });
    // Another writer left more than it should have: the new text may not touch it.
    let live = text(512, 50_000);
    let start = ring.start_after(Some(&live));
    assert!(ring.place(&text_of(20_000), start, Some(&live)).is_err());
    assert!(ring.place(&text_of(10_000), start, Some(&live)).is_ok());
}

#[test]
fn places_outside_the_ring_are_corrupt() {
    let ring = ring(61_440);
    for (offset, size) in [(0, 10), (511, 10), (61_440, 1), (512, 0), (512, 60_929), (u64::MAX, 1)]
    {
        let error = ring.pieces(&text(offset, size)).expect_err("outside");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{offset} {size}");
    }
    let whole = ring.pieces(&text(1024, 60_928)).expect("the whole ring");
    assert_eq!(whole.wrapped, Some(Piece { offset: 512, len: 512 }));
    let huge = Ring { size: 1 << 40 }.pieces(&text(512, TEXT_MAX + 1)).expect_err("huge");
    assert_eq!(huge.kind(), ErrorKind::Unsupported);
}

/// A ring as a plain array, with the bytes of a text walked one by one.
struct Model {
    bytes: Vec<u8>,
}

impl Model {
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.bytes.len() { 512 } else { at + 1 }
    }

    /// The first sector's start behind the text's last byte, by walking.
    fn start_after(&self, live: &RawLocn) -> usize {
        let mut last = usize::try_from(live.offset).expect("small");
        for _ in 1..live.size {
            last = self.next(last);
        }
        let mut at = self.next(last);
        while !at.is_multiple_of(512) {
            at = self.next(at);
        }
        at
    }

    fn read(&self, live: &RawLocn) -> Vec<u8> {
        let mut at = usize::try_from(live.offset).expect("small");
        (0..live.size)
            .map(|_| {
                let byte = self.bytes[at];
                at = self.next(at);
                byte
            })
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Texts of any lengths up to the limit, one after the other, from any first place: each is
    /// placed where a walk says, leaves its predecessor whole, and reads back.
    #[test]
    fn a_text_never_touches_its_predecessor(
        sectors in 6u64..120,
        first in 0u64..1_000_000,
        lens in proptest::collection::vec(0u64..1_000_000, 1..60),
    ) {
        let ring = ring(sectors * 512);
        let mut model = Model { bytes: vec![0xee; usize::try_from(ring.size).expect("small")] };
        // Any byte of the ring may be a first text's start: others need not align theirs.
        let mut live = RawLocn { offset: 512 + first % (ring.size - 512), size: 1, checksum: crc(&[0xee]), flags: 0 };
        for (turn, len) in lens.into_iter().enumerate() {
            let len = usize::try_from(1 + len % ring.limit()).expect("small");
            let text: Vec<u8> = (0..len).map(|i| u8::try_from((i * 7 + turn) % 251).expect("small")).collect();
            let start = ring.start_after(Some(&live));
            prop_assert_eq!(start, u64::try_from(model.start_after(&live)).expect("small"));
            let ready = RingText::with_nul(text.clone());
            let placed = ring.place(&ready, start, Some(&live)).expect("below the limit it always fits");
            for (at, sectors) in placed.sectors(&ready) {
                let at = usize::try_from(at).expect("small");
                prop_assert!(at >= 512 && at % 512 == 0 && sectors.len() % 512 == 0);
                model.bytes[at..at + sectors.len()].copy_from_slice(sectors);
            }
            prop_assert_eq!(crc(&model.read(&live)), live.checksum, "the predecessor is whole");
            prop_assert_eq!(model.read(&placed.slot), text, "the new one reads back");
            let by_pieces: u64 = ring.pieces(&placed.slot).expect("in the ring").iter().map(|p| p.len).sum();
            prop_assert_eq!(by_pieces, placed.slot.size);
            live = placed.slot;
        }
    }
}
