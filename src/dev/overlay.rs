//! A device whose writes stay in memory, above bytes that many may share.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Dev, range};
use crate::units::{Bytes, SECTOR};

/// [`SECTOR`] as a count of bytes in memory.
const SECTOR_LEN: usize = 512;
/// A sector's bytes.
pub(super) type Sector = [u8; SECTOR_LEN];
/// Sectors by number.
pub(super) type Sectors = BTreeMap<u64, Sector>;

/// Shared bytes with sectors of its own over them: cheap to make by the thousand.
#[derive(Debug)]
pub struct Overlay {
    name: String,
    base: Arc<[u8]>,
    sectors: Mutex<Sectors>,
}

impl Overlay {
    /// A device that reads as `base`, whose length should be whole sectors (what is left over
    /// cannot be written).
    pub fn new(name: impl Into<String>, base: Arc<[u8]>) -> Self {
        Self::with(name, base, Sectors::new())
    }

    pub(super) fn with(name: impl Into<String>, base: Arc<[u8]>, sectors: Sectors) -> Self {
        Self { name: name.into(), base, sectors: Mutex::new(sectors) }
    }

    fn sectors(&self) -> MutexGuard<'_, Sectors> {
        self.sectors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole sectors that a write of `data` at `at` leaves.
    ///
    /// # Errors
    /// `UnexpectedEof` past the end.
    pub(super) fn changed_by(&self, data: &[u8], at: Bytes) -> io::Result<Vec<(u64, Sector)>> {
        range(self.base.len(), at, data.len())?;
        let skipped = at.get() % SECTOR;
        let first = at.get() / SECTOR;
        let end = at.saturating_add(Bytes::new(data.len().try_into().unwrap_or(u64::MAX)));
        let mut rest = data;
        let mut changed = Vec::new();
        for number in first..end.sectors_up().get() {
            let mut sector: Sector = [0; SECTOR_LEN];
            self.read_at(&mut sector, Bytes::new(number.saturating_mul(SECTOR)))?;
            let skip = if number == first { usize::try_from(skipped).unwrap_or(0) } else { 0 };
            let place = sector.get_mut(skip..).unwrap_or_default();
            let (mine, after) = rest.split_at(rest.len().min(place.len()));
            copy(mine, place);
            rest = after;
            changed.push((number, sector));
        }
        Ok(changed)
    }

    /// Puts sectors in place.
    pub(super) fn put(&self, changed: &[(u64, Sector)]) {
        self.sectors().extend(changed.iter().copied());
    }
}

/// As much as both have, from the first byte on.
fn copy(from: &[u8], to: &mut [u8]) {
    let len = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..len), to.get_mut(..len)) {
        to.copy_from_slice(from);
    }
}

impl Dev for Overlay {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> Bytes {
        Bytes::new(self.base.len().try_into().unwrap_or(u64::MAX))
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        let range = range(self.base.len(), at, buf.len())?;
        buf.copy_from_slice(self.base.get(range.clone()).unwrap_or_default());
        let end = at.saturating_add(Bytes::new(buf.len().try_into().unwrap_or(u64::MAX)));
        for (number, sector) in self.sectors().range(at.get() / SECTOR..end.sectors_up().get()) {
            let start = usize::try_from(number.saturating_mul(SECTOR)).unwrap_or(usize::MAX);
            // The part of the sector that lies within the range that was asked for.
            let into = start.saturating_sub(range.start);
            let from = range.start.saturating_sub(start);
            let target = buf.get_mut(into..).unwrap_or_default();
            copy(sector.get(from..).unwrap_or_default(), target);
        }
        Ok(())
    }

    fn write_at(&self, data: &[u8], at: Bytes) -> io::Result<()> {
        let changed = self.changed_by(data, at)?;
        self.put(&changed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, at: Bytes, len: Bytes) -> io::Result<()> {
        let len = usize::try_from(len.get()).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        range(self.base.len(), at, len)?;
        self.write_at(&vec![0; len], at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemDev;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Reads as a device in memory does after the same writes, and the base stays as it was.
        #[test]
        fn does_as_memory_does(writes in proptest::collection::vec((0u64..2100, 1usize..1200, any::<u8>()), 0..20), at in 0u64..2048, len in 0usize..2048) {
            let base: Arc<[u8]> = (0..2048u32).map(|i| u8::try_from(i % 251).expect("small")).collect();
            let before = base.to_vec();
            let overlay = Overlay::new("o", Arc::clone(&base));
            let memory = MemDev::new("m", before.clone());
            for (at, len, byte) in writes {
                let (data, at) = (vec![byte; len], Bytes::new(at));
                prop_assert_eq!(overlay.write_at(&data, at).is_ok(), memory.write_at(&data, at).is_ok());
            }
            let (mut ours, mut theirs) = (vec![0; len], vec![0; len]);
            let at = Bytes::new(at);
            prop_assert_eq!(overlay.read_at(&mut ours, at).is_ok(), memory.read_at(&mut theirs, at).is_ok());
            prop_assert_eq!(ours, theirs);
            prop_assert_eq!(base.to_vec(), before);
        }
    }
}
