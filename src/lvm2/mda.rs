//! A metadata area's header: 512 bytes that say which text is the valid one.
//!
//! | offset | size | field (lvm2's name) |
//! |---|---|---|
//! | 0 | 4 | `checksum_xl`: over bytes 4 to 512 |
//! | 4 | 16 | `magic` |
//! | 20 | 4 | `version`: 1 |
//! | 24 | 8 | `start`: of the area on the device, in bytes |
//! | 32 | 8 | `size`: of the area with this header, in bytes |
//! | 40 | 24 | `raw_locns[0]`: the committed text |
//! | 64 | 24 | `raw_locns[1]`: the precommitted text |
//!
//! `raw_locn`: u64 offset from the area's start, u64 size in bytes with the final NUL, u32
//! checksum of those bytes, u32 flags. The sector's other bytes are zero.
//!
//! Replacing this one sector is what commits a text.

use crate::error::{Error, ErrorKind, Result};
use crate::units::{Bytes, SECTOR};

use super::crc::crc;
use super::label::DiskLocn;
use super::le::{Reader, Sector, Writer, put_u32};

/// The header's length; the ring of texts begins behind it.
pub const MDA_HEADER_SIZE: u64 = SECTOR;
/// The smallest area that can hold any text: less has no room for two (see [`super::ring`]).
const SMALLEST: u64 = 4 * SECTOR;

const MAGIC: &[u8; 16] = b" LVM2 x[5A%r0N*>";
const VERSION: u32 = 1;
/// Flag of slot 0: the area is not in use.
const RAW_LOCN_IGNORED: u32 = 1;

/// Where a text lies in its area, and its checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RawLocn {
    /// From the area's start, in bytes; zero where there is no text.
    pub offset: u64,
    /// In bytes, with the final NUL.
    pub size: u64,
    /// Of those bytes.
    pub checksum: u32,
    /// Bit 0, in slot 0 only: the area is ignored.
    pub flags: u32,
}

impl RawLocn {
    /// True where it points at nothing.
    pub const fn is_empty(&self) -> bool {
        self.offset == 0
    }
}

/// A header as it came off the disk: nothing of it may be used yet.
#[derive(Clone, Copy, Debug)]
pub struct RawMda(pub(super) Sector);

/// Why a header is not valid.
#[derive(Debug, thiserror::Error)]
enum Detail {
    #[error("the metadata area's header has the checksum {found:08x}, not {stored:08x} as it says")]
    Crc { stored: u32, found: u32 },
    #[error("the metadata area's header has not lvm2's magic")]
    Magic,
    #[error("the metadata area's header has version {0}, known is 1")]
    Version(u32),
    #[error("the metadata area says that it starts at byte {0}")]
    Start(u64),
    #[error("the metadata area says that it has {says} bytes, its label says {label}")]
    Size { says: u64, label: u64 },
    #[error("the metadata area's size of {0} bytes is too small or no multiple of 512")]
    Shape(u64),
    #[error("the metadata area is not aligned to 512 bytes")]
    Unaligned,
    #[error("the header ends early")]
    Short,
}

impl RawMda {
    /// Takes the bytes.
    pub fn new(bytes: [u8; 512]) -> Self {
        Self(bytes)
    }

    /// Checks the header of the area that the label calls `area`.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) for a wrong checksum, magic, start or size;
    /// [`Unsupported`](ErrorKind::Unsupported) for another version.
    pub fn verify(&self, area: DiskLocn) -> Result<Mda> {
        self.check(area).map_err(|detail| {
            let kind = match detail {
                Detail::Version(_) => ErrorKind::Unsupported,
                _ => ErrorKind::Corrupt,
            };
            Error::new(kind, detail).op("read the metadata area's header")
        })
    }

    fn check(&self, area: DiskLocn) -> Result<Mda, Detail> {
        let mut fields = Reader::new(&self.0, 0);
        let stored = fields.u32().ok_or(Detail::Short)?;
        let found = crc(self.0.get(4..).unwrap_or_default());
        if found != stored {
            return Err(Detail::Crc { stored, found });
        }
        if fields.array() != Some(*MAGIC) {
            return Err(Detail::Magic);
        }
        match fields.u32() {
            Some(VERSION) => {}
            other => return Err(Detail::Version(other.unwrap_or_default())),
        }
        check_area(&mut fields, area)?;
        Ok(Mda { area, committed: slot(&mut fields)?, precommitted: slot(&mut fields)? })
    }
}

/// Start and size, which must be those of the label and fit for the ring.
fn check_area(fields: &mut Reader<'_>, area: DiskLocn) -> Result<(), Detail> {
    let start = fields.u64().ok_or(Detail::Short)?;
    let size = fields.u64().ok_or(Detail::Short)?;
    if start != area.offset.get() {
        return Err(Detail::Start(start));
    }
    if size != area.size.get() {
        return Err(Detail::Size { says: size, label: area.size.get() });
    }
    if size < SMALLEST || size % SECTOR != 0 {
        return Err(Detail::Shape(size));
    }
    if start % SECTOR != 0 {
        return Err(Detail::Unaligned);
    }
    Ok(())
}

fn slot(fields: &mut Reader<'_>) -> Result<RawLocn, Detail> {
    Ok(RawLocn {
        offset: fields.u64().ok_or(Detail::Short)?,
        size: fields.u64().ok_or(Detail::Short)?,
        checksum: fields.u32().ok_or(Detail::Short)?,
        flags: fields.u32().ok_or(Detail::Short)?,
    })
}

/// A metadata area whose header is valid. Its texts are not checked by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mda {
    area: DiskLocn,
    committed: RawLocn,
    precommitted: RawLocn,
}

impl Mda {
    /// The header of a new area without a text.
    pub fn empty(area: DiskLocn) -> Self {
        Self { area, committed: RawLocn::default(), precommitted: RawLocn::default() }
    }

    /// Where the area lies.
    pub fn area(&self) -> DiskLocn {
        self.area
    }

    /// Slot 0 as it is, its flags with it.
    pub fn committed(&self) -> RawLocn {
        self.committed
    }

    /// Slot 1 as it is: what nobody else reads.
    pub fn precommitted(&self) -> RawLocn {
        self.precommitted
    }

    /// True where lvm2 was told not to use this area: neither read nor written.
    pub fn is_ignored(&self) -> bool {
        self.committed.flags & RAW_LOCN_IGNORED != 0
    }

    /// The committed text's place; `None` where there is none or the area is ignored.
    pub fn text(&self) -> Option<RawLocn> {
        (!self.committed.is_empty() && !self.is_ignored()).then_some(self.committed)
    }

    /// The header that announces `text` and still commits to the old one.
    #[must_use]
    pub fn with_precommitted(self, text: RawLocn) -> Self {
        Self { precommitted: text, ..self }
    }

    /// The header that commits to `text` and to nothing else.
    #[must_use]
    pub fn with_committed(self, text: RawLocn) -> Self {
        Self { committed: text, precommitted: RawLocn::default(), ..self }
    }

    /// Its sector, to be written at the area's start.
    pub fn encode(&self) -> [u8; 512] {
        let mut fields = Writer::default();
        fields.u32(0).bytes(MAGIC).u32(VERSION);
        fields.u64(self.area.offset.get()).u64(self.area.size.get());
        for slot in [self.committed, self.precommitted] {
            fields.u64(slot.offset).u64(slot.size).u32(slot.checksum).u32(slot.flags);
        }
        let mut sector = fields.sector().expect("88 bytes fit a sector");
        let sum = crc(sector.get(4..).unwrap_or_default());
        put_u32(&mut sector, 0, sum);
        sector
    }

    /// A byte of the area as a place on the device.
    pub(super) fn at(&self, offset: u64) -> Bytes {
        self.area.offset.saturating_add(Bytes::new(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;

    fn area() -> DiskLocn {
        DiskLocn { offset: Bytes::new(4096), size: Bytes::new(1_044_480) }
    }

    fn raw(name: &str) -> RawMda {
        RawMda::new(golden::bytes(name)[4096..4608].try_into().expect("a sector"))
    }

    #[test]
    fn headers_of_lvm2_are_read_and_come_back_byte_for_byte() {
        for name in ["head-vgcreate.bin.gz", "head-thin.bin.gz", "head-pv2mda.bin.gz"] {
            let mda = raw(name).verify(area()).expect("valid");
            assert_eq!(mda.encode(), raw(name).0, "{name}");
        }
        let slot = raw("head-thin.bin.gz").verify(area()).expect("valid").committed();
        let known = RawLocn { offset: 0x2600, size: 0x9a6, checksum: 0x7fbe_d01b, flags: 0 };
        assert_eq!(slot, known);
        let tail = golden::bytes("tail-pv2mda.bin.gz");
        let second = RawMda::new(tail[1 << 20..(1 << 20) + 512].try_into().expect("a sector"));
        let area = DiskLocn { offset: Bytes::new(418_381_824), size: Bytes::mib(1) };
        assert_eq!(second.verify(area).expect("valid"), Mda::empty(area));
    }

    #[test]
    fn a_new_area_is_lvm2s_own() {
        assert_eq!(Mda::empty(area()).encode(), raw("head-pvcreate.bin.gz").0);
    }

    #[test]
    fn slots_come_and_go() {
        let new = RawLocn { offset: 0x3000, size: 9, checksum: 1, flags: 0 };
        let old = raw("head-thin.bin.gz").verify(area()).expect("valid");
        let announced = old.with_precommitted(new);
        assert_eq!((announced.committed(), announced.precommitted()), (old.committed(), new));
        let done = announced.with_committed(new);
        assert_eq!((done.committed(), done.precommitted()), (new, RawLocn::default()));
        let ignored = Mda { committed: RawLocn { flags: 1, ..old.committed }, ..old };
        assert!(ignored.is_ignored() && ignored.text().is_none());
        assert_eq!(old.text(), Some(old.committed()));
        assert_eq!(Mda::empty(area()).text(), None);
    }

    /// The header with a word changed and the checksum made right again.
    fn forged(at: usize, value: u32) -> RawMda {
        let mut raw = raw("head-thin.bin.gz");
        put_u32(&mut raw.0, at, value);
        let sum = crc(&raw.0[4..]);
        put_u32(&mut raw.0, 0, sum);
        raw
    }

    #[test]
    fn what_is_not_a_header_of_this_area_is_refused() {
        let refused = |raw: RawMda, area, why: &str| {
            let error = raw.verify(area).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        };
        let mut flipped = raw("head-thin.bin.gz");
        flipped.0[511] ^= 1;
        refused(flipped, area(), "checksum");
        refused(forged(4, 0), area(), "magic");
        refused(forged(20, 2), area(), "version 2");
        refused(forged(24, 8192), area(), "starts at byte 8192");
        refused(forged(32, 4096), area(), "has 4096 bytes");
        let odd = DiskLocn { size: Bytes::new(4097), ..area() };
        refused(forged(32, 4097), odd, "multiple of 512");
        let unaligned = DiskLocn { offset: Bytes::new(4097), ..area() };
        refused(forged(24, 4097), unaligned, "aligned");
        refused(RawMda::new([0; 512]), area(), "checksum");
    }
}
