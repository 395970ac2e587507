//! A device whose writes stay in memory, above one that is only read.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Notes;
use crate::dev::Dev;
use crate::units::{Bytes, SECTOR};

const SECTOR_LEN: usize = 512;

/// A device in a dry run.
pub(super) struct Shadow {
    below: Arc<dyn Dev>,
    written: Mutex<BTreeMap<u64, [u8; SECTOR_LEN]>>,
    notes: Notes,
}

impl Shadow {
    pub(super) fn over(below: Arc<dyn Dev>, notes: Notes) -> Self {
        Self { below, written: Mutex::default(), notes }
    }

    fn written(&self) -> MutexGuard<'_, BTreeMap<u64, [u8; SECTOR_LEN]>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `each` with the number of every sector of a range, where the range lies in it, and
    /// which part of the caller's bytes that is.
    fn pieces(
        at: Bytes,
        len: usize,
        mut each: impl FnMut(u64, std::ops::Range<usize>, std::ops::Range<usize>),
    ) {
        let mut done = 0;
        while done < len {
            let place = at.get().saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            let inside = usize::try_from(place % SECTOR).unwrap_or(0);
            let count = (SECTOR_LEN - inside).min(len - done);
            each(place / SECTOR, inside..inside + count, done..done + count);
            done += count;
        }
    }
}

impl Dev for Shadow {
    fn name(&self) -> &str {
        self.below.name()
    }

    fn size(&self) -> Bytes {
        self.below.size()
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        self.below.read_at(buf, at)?;
        let written = self.written();
        Self::pieces(at, buf.len(), |sector, inside, outside| {
            let from = written.get(&sector).and_then(|bytes| bytes.get(inside));
            if let (Some(from), Some(to)) = (from, buf.get_mut(outside)) {
                to.copy_from_slice(from);
            }
        });
        Ok(())
    }

    fn write_at(&self, data: &[u8], at: Bytes) -> io::Result<()> {
        let line = format!("write {} bytes at byte {} of {}", data.len(), at.get(), self.name());
        self.notes.add(line);
        let mut written = self.written();
        Self::pieces(at, data.len(), |sector, inside, outside| {
            let bytes = written.entry(sector).or_insert_with(|| {
                let mut bytes = [0; SECTOR_LEN];
                // What cannot be read stays zeros: the real write would tell.
                let _ = self.below.read_at(&mut bytes, Bytes::new(sector.saturating_mul(SECTOR)));
                bytes
            });
            if let (Some(from), Some(to)) = (data.get(outside), bytes.get_mut(inside)) {
                to.copy_from_slice(from);
            }
        });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.notes.add(format!("sync {}", self.name()));
        Ok(())
    }

    fn discard(&self, at: Bytes, len: Bytes) -> io::Result<()> {
        self.notes.add(format!("discard {len} at byte {} of {}", at.get(), self.name()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::MemDev;

    #[test]
    fn writes_are_read_back_and_reach_nothing() {
        let below = Arc::new(MemDev::new("below", vec![7; 2048]));
        let notes = Notes::default();
        let shadow = Shadow::over(below.clone(), notes.clone());
        shadow.write_at(&[1; 700], Bytes::new(500)).expect("fits");
        let mut buf = [0; 2048];
        shadow.read_at(&mut buf, Bytes::ZERO).expect("fits");
        assert!(buf[..500].iter().all(|b| *b == 7) && buf[1200..].iter().all(|b| *b == 7));
        assert!(buf[500..1200].iter().all(|b| *b == 1));
        assert_eq!(below.bytes(), vec![7; 2048]);
        assert_eq!(notes.lines(), ["write 700 bytes at byte 500 of below"]);
    }
}
