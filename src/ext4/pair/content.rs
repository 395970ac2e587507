//! Whether two files hold the same, by where their blocks lie.

use std::io;
use std::ops::Range;

use super::super::content::Content;
use super::super::map::Run;
use super::Changed;

/// So much is read of each at once.
const BUFFER: u64 = 128 << 10;

/// Compares two files of one size; `None` where an inode holds one of them itself.
pub(super) fn is_same(
    changed: &Changed,
    a: &Content<'_>,
    b: &Content<'_>,
) -> io::Result<Option<bool>> {
    let (Some(runs_a), Some(runs_b)) = (a.runs(), b.runs()) else { return Ok(None) };
    let (size, log) = (a.size().get(), a.block_log());
    let mut compare = Compare { files: [a, b], buffers: [Vec::new(), Vec::new()] };
    let mut block = 0;
    while block << log < size {
        let ((from_a, end_a), (from_b, end_b)) = (place(runs_a, block), place(runs_b, block));
        let end = end_a.min(end_b).min(size.div_ceil(1 << log));
        let bytes = |from: u64, to: u64| (from << log)..(to << log).min(size);
        let same = match (from_a, from_b) {
            (None, None) => true,
            (Some(start), Some(other)) if start == other => {
                let len = end.saturating_sub(block);
                let there = start << log..start.saturating_add(len) << log;
                let mut parts = changed.within(there.clone());
                parts.try_fold(true, |same, part| {
                    let back =
                        |at: u64| at.saturating_sub(there.start).saturating_add(block << log);
                    let part = back(part.start)..back(part.end).min(size);
                    Ok::<_, io::Error>(same && compare.is_same(part)?)
                })?
            }
            _ => compare.is_same(bytes(block, end))?,
        };
        if !same {
            return Ok(Some(false));
        }
        block = end;
    }
    Ok(Some(true))
}

/// Where a block of a file lies, `None` for a hole, and the block up to which that goes on.
fn place(runs: &[Run], block: u64) -> (Option<u64>, u64) {
    let next = runs.partition_point(|run| run.end() <= block);
    match runs.get(next).map(|run| (run, block.checked_sub(run.logical))) {
        Some((run, Some(inside))) => (Some(run.start.saturating_add(inside)), run.end()),
        Some((run, None)) => (None, run.logical),
        None => (None, u64::MAX),
    }
}

struct Compare<'c, 't> {
    files: [&'c Content<'t>; 2],
    buffers: [Vec<u8>; 2],
}

impl Compare<'_, '_> {
    fn is_same(&mut self, range: Range<u64>) -> io::Result<bool> {
        let mut at = range.start;
        while at < range.end {
            let len = BUFFER.min(range.end.saturating_sub(at));
            for (file, buffer) in self.files.iter().zip(&mut self.buffers) {
                buffer.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
                file.fill(buffer, at)?;
            }
            let [a, b] = &self.buffers;
            if a != b {
                return Ok(false);
            }
            at = at.saturating_add(len);
        }
        Ok(true)
    }
}
