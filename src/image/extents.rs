//! Which bytes of an image have to be read: those that are used and are no hole.

use std::io;

use super::holes::Holes;
use crate::error::Result;
use crate::ext4::Extent;
use crate::units::Bytes;

/// Extents in order, each after the last.
pub(super) type Extents<'s> = Box<dyn Iterator<Item = Result<Extent>> + Send + 's>;

/// The data of a sparse file up to `end`.
pub(super) struct Data<'s> {
    pub(super) holes: &'s dyn Holes,
    pub(super) at: Bytes,
    pub(super) end: Bytes,
}

impl Iterator for Data<'_> {
    type Item = io::Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let found = match self.holes.next_data(self.at) {
            Ok(found) => found,
            Err(error) => {
                self.at = self.end;
                return Some(Err(error));
            }
        };
        // What lies before the question or is empty would make this go on for ever.
        let end = self.end;
        let extent = found.map(|found| found.start.max(self.at)..found.end.min(end));
        let extent = extent.filter(|extent| extent.start < extent.end);
        self.at = extent.as_ref().map_or(end, |extent| extent.end);
        extent.map(Ok)
    }
}

/// What is in both of two orderly lists of extents.
pub(super) struct Both<'s> {
    first: Extents<'s>,
    second: Extents<'s>,
    held: [Option<Extent>; 2],
}

impl<'s> Both<'s> {
    pub(super) fn new(first: Extents<'s>, second: Extents<'s>) -> Self {
        Self { first, second, held: [None, None] }
    }

    fn step(&mut self) -> Result<Option<Extent>> {
        loop {
            let [first, second] = &mut self.held;
            let (Some(a), Some(b)) =
                (current(first, &mut self.first)?, current(second, &mut self.second)?)
            else {
                return Ok(None);
            };
            let both = a.start.max(b.start)..a.end.min(b.end);
            // The one that ends first has no more to give.
            if a.end <= b.end {
                *first = None;
            }
            if b.end <= a.end {
                *second = None;
            }
            if both.start < both.end {
                return Ok(Some(both));
            }
        }
    }
}

fn current(held: &mut Option<Extent>, from: &mut Extents<'_>) -> Result<Option<Extent>> {
    if held.is_none() {
        *held = from.next().transpose()?;
    }
    Ok(held.clone())
}

impl Iterator for Both<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// How many bytes chunks of a size have that hold any of these extents.
pub(super) fn in_chunks(extents: Extents<'_>, chunk: Bytes) -> Result<Bytes> {
    let (mut total, mut counted_to) = (Bytes::ZERO, Bytes::ZERO);
    for extent in extents {
        let extent = extent?;
        let end = extent.end.round_up(chunk).unwrap_or(extent.end);
        let start = extent.start.round_down(chunk).max(counted_to);
        total = total.saturating_add(end.saturating_sub(start));
        counted_to = counted_to.max(end);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extents(bits: &[bool]) -> Extents<'static> {
        let mut all: Vec<Extent> = Vec::new();
        for (at, _) in bits.iter().enumerate().filter(|(_, set)| **set) {
            let at = Bytes::new(at as u64);
            let next = at.saturating_add(Bytes::new(1));
            match all.last_mut() {
                Some(last) if last.end == at => last.end = next,
                _ => all.push(at..next),
            }
        }
        Box::new(all.into_iter().map(Ok))
    }

    proptest! {
        #[test]
        fn both_is_what_is_in_both(pairs: Vec<(bool, bool)>, chunk in 1usize..9) {
            let (a, b): (Vec<bool>, Vec<bool>) = pairs.iter().copied().unzip();
            let both: Vec<bool> = pairs.iter().map(|(a, b)| a & b).collect();
            let found: Vec<Extent> = Both::new(extents(&a), extents(&b)).map(|e| e.expect("fine")).collect();
            let bytes: Vec<u64> = found.iter().flat_map(|e| e.start.get()..e.end.get()).collect();
            let want: Vec<u64> = (0u64..).zip(&both).filter(|(_, set)| **set).map(|(at, _)| at).collect();
            prop_assert_eq!(bytes, want);
            let chunks = both.chunks(chunk).filter(|bits| bits.contains(&true)).count() * chunk;
            let counted = in_chunks(extents(&both), Bytes::new(chunk as u64)).expect("fine");
            prop_assert_eq!(counted.get(), chunks as u64);
        }
    }
}
