//! The label that makes a device a physical volume: one sector near its start.
//!
//! | offset | size | field (lvm2's name) |
//! |---|---|---|
//! | 0 | 8 | `LABELONE` |
//! | 8 | 8 | `sector_xl`: number of the sector that it stands in |
//! | 16 | 4 | `crc_xl`: over bytes 20 to 512 |
//! | 20 | 4 | `offset_xl`: where `pv_header` starts, from the sector's start |
//! | 24 | 8 | `LVM2 001` |
//!
//! `pv_header`: 32 characters `pv_uuid`, u64 `device_size_xl` in bytes, then lists of `disk_locn`
//! (u64 offset, u64 size, in bytes), each ended by one of zeros: data areas, metadata areas. Then
//! the extension: u32 version, u32 flags, list of boot loader areas.

use crate::error::{Error, ErrorKind, Result};
use crate::name::LvmId;
use crate::units::Bytes;

use super::crc::crc;
use super::le::{Reader, SECTOR_LEN, Sector, Writer, put_u32};

/// How much of a device's start a label may stand in: sectors 0 to 3.
pub const LABEL_SCAN: usize = 4 * SECTOR_LEN;

const MAGIC: &[u8; 8] = b"LABELONE";
const TYPE: &[u8; 8] = b"LVM2 001";
/// Where `pv_header` stands in a label that we write: right behind the label's own header.
const PV_HEADER: u32 = 32;
/// The extension's version that knows [`PV_EXT_USED`].
const EXTENSION_VERSION: u32 = 2;
/// The physical volume belongs to a volume group.
const PV_EXT_USED: u32 = 1;

/// A range of the device (lvm2's `disk_locn`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskLocn {
    /// From the device's start.
    pub offset: Bytes,
    /// Zero in a data area: up to the device's end.
    pub size: Bytes,
}

impl DiskLocn {
    /// The first byte behind it, or `None` past 64 bits.
    pub fn end(&self) -> Option<Bytes> {
        self.offset.checked_add(self.size)
    }

    /// True where the two share a byte.
    pub fn overlaps(&self, other: &Self) -> bool {
        let ends_after = |a: &Self, b: &Self| a.end().is_none_or(|end| end > b.offset);
        ends_after(self, other) && ends_after(other, self)
    }
}

/// What follows the lists since lvm2 2.02.99 (`pv_header_extension`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// 1 has the list of boot loader areas, 2 also the flag "used".
    pub version: u32,
    /// Bit 0: belongs to a volume group.
    pub flags: u32,
    /// Areas that are kept free for a boot loader.
    pub bootloader_areas: Vec<DiskLocn>,
}

/// A physical volume's label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PvLabel {
    /// The sector that it stands in, 0 to 3; lvm2 and we write 1.
    pub sector: u64,
    /// The physical volume's identifier.
    pub id: LvmId,
    /// The device's size when it was made.
    pub device_size: Bytes,
    /// Where extents may lie; one, from `pe_start` on.
    pub data_areas: Vec<DiskLocn>,
    /// Where copies of the text lie: none, one or two.
    pub metadata_areas: Vec<DiskLocn>,
    /// The extension, where there is one.
    pub extension: Option<Extension>,
}

/// Why a sector that calls itself a label is none.
#[derive(Debug, thiserror::Error)]
enum Detail {
    #[error("the label's checksum is {found:08x}, not {stored:08x} as it says")]
    Crc { stored: u32, found: u32 },
    #[error("the label says that it belongs into sector {0}")]
    Sector(u64),
    #[error("the label is of another kind than LVM2's")]
    Type,
    #[error("the label's lists do not end within its sector")]
    Unended,
    #[error("the label's identifier is none")]
    Id(#[source] crate::name::BadName),
    #[error("the label's lists are longer than a sector")]
    TooLong,
}

impl PvLabel {
    /// A label for a new physical volume of a group, in sector 1.
    pub fn new(id: LvmId, device_size: Bytes, pe_start: Bytes, mda: DiskLocn) -> Self {
        Self {
            sector: 1,
            id,
            device_size,
            data_areas: vec![DiskLocn { offset: pe_start, size: Bytes::ZERO }],
            metadata_areas: vec![mda],
            extension: Some(Extension {
                version: EXTENSION_VERSION,
                flags: PV_EXT_USED,
                bootloader_areas: Vec::new(),
            }),
        }
    }

    /// Finds the first valid label in the device's first bytes ([`LABEL_SCAN`] of them are
    /// looked at). `None` where nothing calls itself one.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) where something does, but none is valid: to lvm2 such a
    /// device is no physical volume.
    pub fn find(head: &[u8]) -> Result<Option<Self>> {
        let mut broken = None;
        for (number, sector) in (0u64..4).zip(head.chunks_exact(SECTOR_LEN)) {
            match sector.first_chunk().and_then(|sector| Self::parse(sector, number)) {
                Some(Ok(label)) => return Ok(Some(label)),
                Some(Err(detail)) => {
                    broken.get_or_insert((detail, number));
                }
                None => {}
            }
        }
        match broken {
            None => Ok(None),
            Some((detail, number)) => Err(Error::new(ErrorKind::Corrupt, detail)
                .op("read the label")
                .at(format_args!("sector {number}"))),
        }
    }

    /// `None` where the sector does not begin as a label.
    fn parse(sector: &Sector, number: u64) -> Option<Result<Self, Detail>> {
        if !sector.starts_with(MAGIC) {
            return None;
        }
        Some(Self::parse_header(sector, number))
    }

    fn parse_header(sector: &Sector, number: u64) -> Result<Self, Detail> {
        let mut fields = Reader::new(sector, MAGIC.len());
        let says = fields.u64().ok_or(Detail::Unended)?;
        let stored = fields.u32().ok_or(Detail::Unended)?;
        let found = crc(sector.get(20..).unwrap_or_default());
        if found != stored {
            return Err(Detail::Crc { stored, found });
        }
        if says != number {
            return Err(Detail::Sector(says));
        }
        let offset = fields.u32().and_then(|offset| usize::try_from(offset).ok());
        if fields.array() != Some(*TYPE) {
            return Err(Detail::Type);
        }
        let fields = Reader::new(sector, offset.ok_or(Detail::Unended)?);
        Self::parse_pv(fields, number)
    }

    fn parse_pv(mut fields: Reader<'_>, sector: u64) -> Result<Self, Detail> {
        let id = fields.array().ok_or(Detail::Unended)?;
        Ok(Self {
            sector,
            id: LvmId::from_bytes(id).map_err(Detail::Id)?,
            device_size: fields.u64().map(Bytes::new).ok_or(Detail::Unended)?,
            data_areas: list(&mut fields).ok_or(Detail::Unended)?,
            metadata_areas: list(&mut fields).ok_or(Detail::Unended)?,
            extension: extension(fields),
        })
    }

    /// True where it says that the physical volume belongs to a group.
    pub fn is_used(&self) -> bool {
        self.extension.as_ref().is_some_and(|e| e.version >= 2 && e.flags & PV_EXT_USED != 0)
    }

    /// Where it stands on the device.
    pub fn offset(&self) -> Bytes {
        Bytes::new(self.sector.saturating_mul(crate::units::SECTOR))
    }

    /// Its sector, to be written at [`offset`](Self::offset).
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) where the lists do not fit.
    pub fn encode(&self) -> Result<Sector> {
        let mut fields = Writer::default();
        fields.bytes(MAGIC).u64(self.sector).u32(0).u32(PV_HEADER).bytes(TYPE);
        fields.bytes(self.id.as_bytes()).u64(self.device_size.get());
        put_list(&mut fields, &self.data_areas);
        put_list(&mut fields, &self.metadata_areas);
        if let Some(extension) = &self.extension {
            fields.u32(extension.version).u32(extension.flags);
            put_list(&mut fields, &extension.bootloader_areas);
        }
        let too_long = || Error::new(ErrorKind::Invalid, Detail::TooLong).op("write the label");
        let mut sector = fields.sector().ok_or_else(too_long)?;
        let sum = crc(sector.get(20..).unwrap_or_default());
        put_u32(&mut sector, 16, sum);
        Ok(sector)
    }
}

/// A list up to its end, which is an entry at offset zero; `None` where the sector ends first.
fn list(fields: &mut Reader<'_>) -> Option<Vec<DiskLocn>> {
    let mut entries = Vec::new();
    loop {
        let (offset, size) = (Bytes::new(fields.u64()?), Bytes::new(fields.u64()?));
        if offset.is_zero() {
            return Some(entries);
        }
        entries.push(DiskLocn { offset, size });
    }
}

fn put_list(fields: &mut Writer, entries: &[DiskLocn]) {
    for entry in entries {
        fields.u64(entry.offset.get()).u64(entry.size.get());
    }
    fields.u64(0).u64(0);
}

/// `None` for version 0 and where it does not fit: labels of old versions have none.
fn extension(mut fields: Reader<'_>) -> Option<Extension> {
    let (version, flags) = (fields.u32()?, fields.u32()?);
    if version == 0 {
        return None;
    }
    Some(Extension { version, flags, bootloader_areas: list(&mut fields)? })
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;
    use proptest::prelude::*;

    fn locn(offset: u64, size: u64) -> DiskLocn {
        DiskLocn { offset: Bytes::new(offset), size: Bytes::new(size) }
    }

    #[test]
    fn labels_of_lvm2_are_read_and_come_back_byte_for_byte() {
        for name in golden::HEADS {
            let head = golden::bytes(name);
            let label = PvLabel::find(&head).expect("valid").expect("there");
            assert_eq!(label.encode().expect("fits"), head[512..1024], "{name}");
            assert_eq!(label.device_size, Bytes::mib(400), "{name}");
        }
    }

    #[test]
    fn the_fields_mean_what_lvm2_means() {
        let label = |name| PvLabel::find(&golden::bytes(name)).expect("valid").expect("there");
        let one = label("head-vgcreate.bin.gz");
        assert_eq!(one.id.undashed(), "ud3kzEnzvLgeIKttb27Wf1xbnUp8sMlh");
        assert_eq!(one.metadata_areas, [locn(4096, 1_044_480)]);
        assert_eq!(one.data_areas, [locn(1 << 20, 0)]);
        assert!(one.is_used() && !label("head-pvcreate.bin.gz").is_used());
        assert!(label("head-pv0mda.bin.gz").metadata_areas.is_empty());
        let two = label("head-pv2mda.bin.gz");
        assert_eq!(two.metadata_areas, [locn(4096, 1_044_480), locn(418_381_824, 1 << 20)]);
        assert_eq!(two.extension.expect("there").bootloader_areas, [locn(1 << 20, 1 << 20)]);
    }

    #[test]
    fn a_new_label_is_lvm2s_own() {
        let head = golden::bytes("head-vgcreate.bin.gz");
        let id = "ud3kzEnzvLgeIKttb27Wf1xbnUp8sMlh".parse().expect("an id");
        let new = PvLabel::new(id, Bytes::mib(400), Bytes::mib(1), locn(4096, 1_044_480));
        assert_eq!(new.encode().expect("fits"), head[512..1024]);
    }

    /// The label as it would stand in `sector`.
    fn labelled(sector: u64) -> Vec<u8> {
        let head = golden::bytes("head-vgcreate.bin.gz");
        let mut label = PvLabel::find(&head).expect("valid").expect("there");
        label.sector = sector;
        let mut head = vec![0; LABEL_SCAN + 512];
        let at = usize::try_from(sector).expect("small") * 512;
        head[at..at + 512].copy_from_slice(&label.encode().expect("fits"));
        head
    }

    #[test]
    fn the_first_valid_label_of_four_sectors_wins() {
        for sector in 0..4 {
            let found = PvLabel::find(&labelled(sector)).expect("valid").expect("there");
            assert_eq!(found.sector, sector);
        }
        assert!(PvLabel::find(&labelled(4)).expect("not looked at").is_none());
        let mut two = labelled(3);
        let broken = labelled(0);
        two[..512].copy_from_slice(&broken[..512]);
        two[100] ^= 1;
        assert_eq!(PvLabel::find(&two).expect("the other").expect("there").sector, 3);
    }

    #[test]
    fn a_label_in_a_wrong_sector_or_with_a_flipped_bit_is_none() {
        let mut moved = vec![0; LABEL_SCAN];
        moved[1024..1536].copy_from_slice(&labelled(1)[512..1024]);
        let error = PvLabel::find(&moved).expect_err("moved").to_string();
        assert_eq!(
            error,
            "cannot read the label: sector 2: the label says that it belongs into sector 1"
        );
        let mut flipped = labelled(1);
        flipped[1023] ^= 0x80;
        let error = PvLabel::find(&flipped).expect_err("flipped");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(PvLabel::find(&flipped[..700]).expect("too short").is_none());
        assert!(PvLabel::find(b"").expect("empty").is_none());
    }

    #[test]
    fn lists_that_do_not_fit_are_not_written() {
        let head = golden::bytes("head-vgcreate.bin.gz");
        let mut label = PvLabel::find(&head).expect("valid").expect("there");
        label.data_areas = vec![locn(4096, 1); 30];
        assert_eq!(label.encode().expect_err("too long").kind(), ErrorKind::Invalid);
    }

    #[test]
    fn ranges_overlap_where_they_share_a_byte() {
        assert!(locn(10, 10).overlaps(&locn(19, 1)));
        assert!(!locn(10, 10).overlaps(&locn(20, 1)));
        assert!(locn(u64::MAX, 9).overlaps(&locn(u64::MAX, 1)));
    }

    proptest! {
        /// Whatever a sector holds behind a right checksum: no panic, and what is read is bounded by it.
        #[test]
        fn hostile_labels_are_survived(body in proptest::collection::vec(any::<u8>(), 480), offset in 0u32..600, plain in any::<bool>()) {
            let mut sector = [0u8; 512];
            sector[32..].copy_from_slice(&body);
            if plain {
                sector[32..64].fill(b'a');
            }
            sector[..8].copy_from_slice(MAGIC);
            sector[8] = 1;
            sector[24..32].copy_from_slice(TYPE);
            put_u32(&mut sector, 20, offset);
            let sum = crc(&sector[20..]);
            put_u32(&mut sector, 16, sum);
            let mut head = vec![0; LABEL_SCAN];
            head[512..1024].copy_from_slice(&sector);
            if let Ok(Some(label)) = PvLabel::find(&head) {
                prop_assert!(label.data_areas.len() + label.metadata_areas.len() <= 30);
            }
        }
    }
}
