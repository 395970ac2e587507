//! Little-endian fields one after the other, off a sector and into one.

/// [`SECTOR`](crate::units::SECTOR) as a count of bytes in memory.
pub(super) const SECTOR_LEN: usize = 512;

/// Bytes of one sector.
pub(super) type Sector = [u8; SECTOR_LEN];

/// Takes fields off the front; `None` where what is left is too short.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at `offset` of `bytes`; at their end if they are shorter.
    pub(super) fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes.get(offset..).unwrap_or_default() }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*field)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Fields appended to each other, to be padded with zeros to a sector.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// The sector, or `None` where the fields do not fit one.
    pub(super) fn sector(&self) -> Option<Sector> {
        let mut sector = [0; SECTOR_LEN];
        sector.get_mut(..self.0.len())?.copy_from_slice(&self.0);
        Some(sector)
    }
}

/// Puts `value` at byte `at`; nowhere if that is past the end.
pub(super) fn put_u32(sector: &mut Sector, at: usize, value: u32) {
    if let Some(place) = sector.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *place = value.to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_and_end_where_the_bytes_end() {
        let sector = Writer::default().u32(7).u64(1 << 40).bytes(b"ab").sector().expect("fits");
        let mut reader = Reader::new(&sector, 0);
        assert_eq!(
            (reader.u32(), reader.u64(), reader.array()),
            (Some(7), Some(1 << 40), Some(*b"ab"))
        );
        assert_eq!(Reader::new(&sector, 509).u32(), None);
        assert_eq!(Reader::new(&sector, 600).array::<1>(), None);
        assert!(Writer::default().bytes(&[0; 513]).sector().is_none());
    }
}
