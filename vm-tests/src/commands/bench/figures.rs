//! What was measured.

use std::collections::BTreeMap;

use crate::error::{Fail, Result};

/// All figures of a run.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Microseconds, in the order in which they were taken.
    pub(super) samples: BTreeMap<String, Vec<u64>>,
    /// Percent of the volume.
    pub(super) mapped: BTreeMap<String, Vec<f64>>,
    /// Bytes written to the group's disks.
    pub(super) wrote: BTreeMap<String, Vec<u64>>,
    /// Peak in KiB, by program.
    pub(super) memory: Vec<(String, u64)>,
    /// Bytes of an initramfs, by who made it.
    pub(super) initramfs: BTreeMap<String, u64>,
    /// Bytes of the static binary.
    pub(super) binary: u64,
}

impl Figures {
    /// Adds the lines that the guest printed.
    ///
    /// # Errors
    /// A line that is none.
    pub(super) fn take(&mut self, lines: &str) -> Result<()> {
        lines.lines().try_for_each(|line| {
            self.line(line).ok_or_else(|| Fail::new(format!("not a figure: {line}")))
        })
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let mut words = line.split_whitespace();
        let (kind, name, value) = (words.next()?, words.next()?, words.next()?);
        match kind {
            "sample" => self.samples.entry(name.into()).or_default().push(value.parse().ok()?),
            "mapped" => self.mapped.entry(name.into()).or_default().push(value.parse().ok()?),
            "wrote" => self.wrote.entry(name.into()).or_default().push(value.parse().ok()?),
            _ => return None,
        }
        Some(())
    }

    /// Milliseconds.
    pub(super) fn median(&self, name: &str) -> Option<f64> {
        middle(self.samples.get(name)?).map(|micros| micros / 1000.0)
    }

    /// KiB, the median.
    pub(super) fn written(&self, name: &str) -> Option<f64> {
        middle(self.wrote.get(name)?).map(|bytes| bytes / 1024.0)
    }

    /// Milliseconds.
    pub(super) fn least(&self, name: &str) -> Option<f64> {
        self.samples.get(name)?.iter().min().map(|micros| *micros as f64 / 1000.0)
    }

    /// The most that was mapped in any round, percent.
    pub(super) fn most_mapped(&self, name: &str) -> Option<f64> {
        self.mapped.get(name)?.iter().copied().max_by(f64::total_cmp)
    }

    /// The largest peak of some of imgbase's verbs, MiB.
    pub(super) fn most_memory(&self, of: impl Fn(&str) -> bool) -> Option<f64> {
        let ours = self.memory.iter().filter(|(name, _)| name.starts_with("imgbase") && of(name));
        ours.map(|(_, kib)| *kib as f64 / 1024.0).max_by(f64::total_cmp)
    }
}

/// The median.
fn middle(values: &[u64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)? as f64;
    let lower =
        if sorted.len().is_multiple_of(2) { *sorted.get(middle - 1)? as f64 } else { upper };
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_medians() {
        let mut figures = Figures::default();
        let lines = "sample a 3000\nsample a 1000\nsample a 9000\nsample b 1000\nsample b 2000\n\
            mapped a 30.50\nmapped a 31.00\nwrote a 2048\nwrote a 4096\n";
        figures.take(lines).expect("all are figures");
        assert_eq!((figures.median("a"), figures.least("a")), (Some(3.0), Some(1.0)));
        assert_eq!((figures.median("b"), figures.median("c")), (Some(1.5), None));
        assert_eq!((figures.most_mapped("a"), figures.written("a")), (Some(31.0), Some(3.0)));
        for bad in ["sample a", "sample a x", "mapped a x", "hello a 1"] {
            assert!(figures.take(bad).is_err(), "{bad}");
        }
    }
}
