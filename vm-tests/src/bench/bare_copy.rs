//! The bare loop of `base --add`: what the copy costs the kernel and the disks, with nothing around it.
//!
//! The same chunks in the same windows, by as many threads, written past the page cache, and one sync in
//! the end; read through the page cache, as whoever writes such a loop does, or past it, as the library
//! does. Which chunks hold data is found out before the clock starts, and the volume is there: no file
//! system is read, nothing is compared with zeros, no metadata is committed.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use imgbase::dev::AlignedBuf;

use super::disks::direct;
use crate::error::{Doing, Result};
use crate::setup::finished;

/// As the library has them.
const WINDOW: usize = 1 << 20;
const CHUNK: usize = 64 << 10;
const WRITERS: usize = 8;

/// How the image is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reads {
    Cached,
    Direct,
}

/// What is to be copied of an image.
#[derive(Debug)]
pub(super) struct BareCopy {
    image: String,
    /// For each window that holds data, the chunks that do, neighbours in one.
    windows: Vec<Vec<Range<u64>>>,
}

impl BareCopy {
    /// Reads all of the image.
    pub(super) fn of(image: &str) -> Result<Self> {
        let file = File::open(image).doing(image)?;
        let size = file.metadata().doing(image)?.len();
        let mut bytes = vec![0; WINDOW];
        let mut windows = Vec::new();
        for start in (0..size).step_by(WINDOW) {
            let len = (size - start).min(WINDOW as u64) as usize;
            let window = bytes.get_mut(..len).unwrap_or_default();
            file.read_exact_at(window, start).doing(image)?;
            windows.push(runs(window, start));
        }
        windows.retain(|runs| !runs.is_empty());
        Ok(Self { image: image.to_owned(), windows })
    }

    /// What is measured.
    pub(super) fn copy_to(&self, device: &str, reads: Reads) -> Result<()> {
        let from = match reads {
            Reads::Cached => File::open(&self.image).doing(&self.image)?,
            Reads::Direct => direct(Path::new(&self.image), false)?,
        };
        let to = direct(Path::new(device), true)?;
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            let work = || self.work(&from, &to, &next);
            let threads: Vec<_> = (0..WRITERS).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(finished)
        })?;
        to.sync_data().doing(device)
    }

    fn work(&self, from: &File, to: &File, next: &AtomicUsize) -> Result<()> {
        let mut buffer = AlignedBuf::zeroed(WINDOW);
        while let Some(runs) = self.windows.get(next.fetch_add(1, Ordering::Relaxed)) {
            for run in runs {
                let len = (run.end - run.start) as usize;
                let bytes = buffer.get_mut(..len).unwrap_or_default();
                from.read_exact_at(bytes, run.start).doing(&self.image)?;
                to.write_all_at(bytes, run.start).doing("the bare loop's volume")?;
            }
        }
        Ok(())
    }
}

/// The stretches of chunks that are not all zeros.
fn runs(window: &[u8], start: u64) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    let mut at = start;
    for chunk in window.chunks(CHUNK) {
        let end = at + chunk.len() as u64;
        match runs.last_mut() {
            _ if chunk.iter().all(|byte| *byte == 0) => {}
            Some(last) if last.end == at => last.end = end,
            _ => runs.push(at..end),
        }
        at = end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_run() {
        let mut window = vec![0; 5 * CHUNK];
        for chunk in [1, 2, 4] {
            window[chunk * CHUNK + 7] = 1;
        }
        let chunk = CHUNK as u64;
        assert_eq!(runs(&window, 10 * chunk), [11 * chunk..13 * chunk, 14 * chunk..15 * chunk]);
    }
}
