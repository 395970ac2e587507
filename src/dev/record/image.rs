//! The images that a power cut may leave.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::super::Dev;
use super::super::overlay::{Overlay, Sector, Sectors};
use super::Cut;

/// How many images of a cut are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Every image there is, up to this many.
    pub all_up_to: usize,
    /// Where there are more: the extremes, each sector alone, and this many drawn ones.
    pub drawn: usize,
    /// Starts the drawing: the same seed draws the same images.
    pub seed: u64,
}

impl Bound {
    /// Every subset of up to ten sectors, 200 drawn ones beyond.
    pub const USUAL: Self = Self { all_up_to: 1 << 10, drawn: 200, seed: 1 };
}

/// What the devices hold after a power cut.
pub struct Image {
    bases: Vec<(String, Arc<[u8]>)>,
    sectors: BTreeMap<(usize, u64), Sector>,
}

impl Image {
    /// The devices. They can be written to; the image stays as it is.
    pub fn devices(&self) -> Vec<Arc<dyn Dev>> {
        let device = |(disk, (name, base)): (usize, &(String, Arc<[u8]>))| -> Arc<dyn Dev> {
            let mine = self.sectors.range((disk, 0)..=(disk, u64::MAX));
            let sectors: Sectors = mine.map(|((_, number), sector)| (*number, *sector)).collect();
            Arc::new(Overlay::with(name.clone(), Arc::clone(base), sectors))
        };
        self.bases.iter().enumerate().map(device).collect()
    }

    /// The same for the same bytes: to count distinct images.
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.sectors.hash(&mut hasher);
        hasher.finish()
    }
}

/// One of several versions for each undecided sector.
type Choice = Vec<usize>;

/// The images of a cut.
pub struct Images {
    cut: Cut,
    /// Undecided sectors and how many versions each has.
    open: Vec<((usize, u64), usize)>,
    choices: Box<dyn Iterator<Item = Choice>>,
}

impl Cut {
    /// Its images, as many as `bound` says.
    pub fn images(&self, bound: Bound) -> Images {
        let versions = self.cells.iter().map(|(place, cell)| (*place, cell.versions.len()));
        let open: Vec<_> = versions.filter(|(_, versions)| *versions > 1).collect();
        let counts: Vec<usize> = open.iter().map(|(_, versions)| *versions).collect();
        let total = counts.iter().try_fold(1usize, |product, n| product.checked_mul(*n));
        let choices: Box<dyn Iterator<Item = Choice>> = match total {
            Some(total) if total <= bound.all_up_to => {
                Box::new((0..total).map(move |number| nth(number, &counts)))
            }
            _ => Box::new(drawn(counts, bound)),
        };
        Images { cut: self.clone(), open, choices }
    }

    /// The image where all that was written has reached the disks.
    pub fn last_image(&self) -> Image {
        let last = |cell: &super::Cell| cell.versions.last().copied().flatten();
        let sectors = self.cells.iter().filter_map(|(place, cell)| Some((*place, last(cell)?)));
        Image { bases: self.bases.clone(), sectors: sectors.collect() }
    }

    fn image(&self, open: &[((usize, u64), usize)], choice: &Choice) -> Image {
        let chosen: BTreeMap<_, _> = open.iter().map(|(place, _)| *place).zip(choice).collect();
        let version = |(place, cell): (&(usize, u64), &super::Cell)| {
            let number = chosen.get(place).map_or(0, |number| **number);
            Some((*place, cell.versions.get(number).copied().flatten()?))
        };
        let sectors = self.cells.iter().filter_map(version).collect();
        Image { bases: self.bases.clone(), sectors }
    }
}

impl Iterator for Images {
    type Item = Image;

    fn next(&mut self) -> Option<Image> {
        let choice = self.choices.next()?;
        Some(self.cut.image(&self.open, &choice))
    }
}

/// `number` in the mixed base of `counts`.
fn nth(number: usize, counts: &[usize]) -> Choice {
    let mut rest = number;
    let digit = |count: &usize| {
        let digit = rest.checked_rem(*count).unwrap_or(0);
        rest = rest.checked_div(*count).unwrap_or(0);
        digit
    };
    counts.iter().map(digit).collect()
}

/// Nothing reached the disk, all did; each sector alone did, each alone did not; then drawn ones.
fn drawn(counts: Vec<usize>, bound: Bound) -> impl Iterator<Item = Choice> {
    let last: Choice = counts.iter().map(|count| count.saturating_sub(1)).collect();
    let none = vec![0; counts.len()];
    let swapped = |from: &Choice, to: &Choice| -> Vec<Choice> {
        let swap = |i: usize| {
            let pick = |(at, (a, b)): (usize, (&usize, &usize))| if at == i { *b } else { *a };
            from.iter().zip(to).enumerate().map(pick).collect()
        };
        (0..from.len()).map(swap).collect()
    };
    let mut extremes = swapped(&none, &last);
    extremes.extend(swapped(&last, &none));
    extremes.extend([none, last]);
    let mut random = SplitMix(bound.seed);
    let draw = move |_| counts.iter().map(|count| random.below(*count)).collect();
    extremes.into_iter().chain((0..bound.drawn).map(draw))
}

/// A small generator of numbers (Steele, Lea, Flood 2014), the same on every machine.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        usize::try_from(z.checked_rem(count).unwrap_or(0)).unwrap_or(0)
    }
}
