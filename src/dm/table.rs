//! Device-mapper tables as values that print what lvm2 loads and read what
//! the kernel answers.
//!
//! All positions and lengths are in sectors of 512 bytes. Two tables are equal
//! where they mean the same, whatever order the kernel lists features in.
//! Parameters by kernel documentation,
//! `Documentation/admin-guide/device-mapper/{linear,striped,thin-provisioning}.rst`.

mod parse;

use std::fmt;

use super::kernel::DevNo;
use crate::lvm2::model::Discards;
use crate::units::Sectors;

/// A table: what a device is made of, from sector 0 on without a gap.
///
/// `D` says what stands for a device below: its number, or in a plan a device that is still to be
/// made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<D = DevNo> {
    /// Its lines.
    pub lines: Vec<Line<D>>,
}

impl<D> Default for Table<D> {
    fn default() -> Self {
        Self { lines: Vec::new() }
    }
}

/// A line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<D = DevNo> {
    /// Where it begins.
    pub start: Sectors,
    /// How long it is.
    pub len: Sectors,
    /// What it is made of.
    pub target: Target<D>,
}

/// A place on a device below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<D = DevNo> {
    /// The device.
    pub on: D,
    /// Where on it.
    pub start: Sectors,
}

/// What a line is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target<D = DevNo> {
    /// `linear`: one place.
    Linear(Place<D>),
    /// `striped`: pieces of `chunk` sectors from each place in turn.
    Striped {
        /// `stripe_size`.
        chunk: Sectors,
        /// A place for each stripe.
        stripes: Vec<Place<D>>,
    },
    /// `thin-pool`.
    ThinPool(PoolTarget<D>),
    /// `thin`.
    Thin(ThinTarget<D>),
    /// `error`: all I/O fails.
    Error,
    /// `zero`: reads as zeros.
    Zero,
    /// A target that this program does not drive, or one whose parameters it cannot read.
    Other {
        /// The target's name.
        kind: Box<str>,
        /// As the kernel gave them.
        params: String,
    },
}

/// The parameters of `thin-pool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolTarget<D = DevNo> {
    /// The device that holds the pool's metadata.
    pub metadata: D,
    /// The device that holds its data.
    pub data: D,
    /// `data_block_size`: the chunk.
    pub chunk: Sectors,
    /// `low_water_mark`, in chunks: an event is raised when fewer are free.
    pub low_water: u64,
    /// The optional features.
    pub features: PoolFeatures,
}

/// The features of a thin pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolFeatures {
    /// False for `skip_block_zeroing`.
    pub zero_new_blocks: bool,
    /// [`Ignore`](Discards::Ignore) for `ignore_discard`, [`NoPassdown`](Discards::NoPassdown) for
    /// `no_discard_passdown`.
    pub discards: Discards,
    /// True for `error_if_no_space`: else writes wait for room.
    pub error_if_no_space: bool,
    /// True for `read_only`.
    pub read_only: bool,
}

/// The parameters of `thin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinTarget<D = DevNo> {
    /// The pool's device.
    pub pool: D,
    /// `dev_id`: below 2^24.
    pub id: u32,
    /// The device that shows through where nothing is mapped.
    pub external_origin: Option<D>,
}

impl PoolFeatures {
    /// The words in lvm2's order.
    fn words(self) -> Vec<&'static str> {
        let discards = match self.discards {
            Discards::Ignore => Some("ignore_discard"),
            Discards::NoPassdown => Some("no_discard_passdown"),
            Discards::Passdown => None,
        };
        [
            (!self.zero_new_blocks).then_some("skip_block_zeroing"),
            discards,
            self.error_if_no_space.then_some("error_if_no_space"),
            self.read_only.then_some("read_only"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Default for PoolFeatures {
    /// The kernel's defaults: no feature word at all.
    fn default() -> Self {
        Self {
            zero_new_blocks: true,
            discards: Discards::Passdown,
            error_if_no_space: false,
            read_only: false,
        }
    }
}

impl<D> Table<D> {
    /// A table of one line.
    pub fn single(len: Sectors, target: Target<D>) -> Self {
        Self { lines: vec![Line { start: Sectors::ZERO, len, target }] }
    }

    /// How long the device is.
    pub fn len(&self) -> Sectors {
        self.lines.iter().fold(Sectors::ZERO, |sum, line| sum.saturating_add(line.len))
    }

    /// True for no line at all: the device has no live table.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The devices below, each as often as it is named.
    pub fn devices(&self) -> impl Iterator<Item = &D> {
        self.lines.iter().flat_map(|line| line.target.devices())
    }

    /// The same table over other devices.
    ///
    /// # Errors
    /// The first one of `other`.
    pub fn over<E, X>(&self, mut other: impl FnMut(&D) -> Result<E, X>) -> Result<Table<E>, X> {
        let lines = self.lines.iter().map(|line| {
            let target = line.target.over(&mut other)?;
            Ok(Line { start: line.start, len: line.len, target })
        });
        Ok(Table { lines: lines.collect::<Result<_, X>>()? })
    }
}

impl Table {
    /// The thin pool's parameters, where the table is one.
    pub fn thin_pool(&self) -> Option<&PoolTarget> {
        match self.lines.as_slice() {
            [Line { target: Target::ThinPool(pool), .. }] => Some(pool),
            _ => None,
        }
    }

    /// The thin volume's parameters, where the table is one.
    pub fn thin(&self) -> Option<&ThinTarget> {
        match self.lines.as_slice() {
            [Line { target: Target::Thin(thin), .. }] => Some(thin),
            _ => None,
        }
    }

    /// True where both mean the same but for what may be changed at any time without harm: a
    /// pool's low water mark, and what it does when it is full.
    pub fn same_stack(&self, other: &Self) -> bool {
        match (self.thin_pool(), other.thin_pool()) {
            (Some(a), Some(b)) => {
                let features = PoolFeatures {
                    error_if_no_space: b.features.error_if_no_space,
                    read_only: b.features.read_only,
                    ..a.features
                };
                let a = PoolTarget { low_water: b.low_water, features, ..a.clone() };
                self.len() == other.len() && a == *b
            }
            _ => self == other,
        }
    }

    /// True where `new` is this table with more at its end: the same lines, the last one longer
    /// or further ones after it.
    pub fn grows_into(&self, new: &Self) -> bool {
        let Some((last, before)) = self.lines.split_last() else { return true };
        let Some((new_before, rest)) = new.lines.split_at_checked(before.len()) else {
            return false;
        };
        let Some(grown) = rest.first() else { return false };
        let same = Table::single(grown.len, last.target.clone())
            .same_stack(&Table::single(grown.len, grown.target.clone()));
        before == new_before && same && last.start == grown.start && last.len <= grown.len
    }
}

impl<D> Target<D> {
    /// The target's name.
    pub fn kind(&self) -> &str {
        match self {
            Self::Linear(_) => "linear",
            Self::Striped { .. } => "striped",
            Self::ThinPool(_) => "thin-pool",
            Self::Thin(_) => "thin",
            Self::Error => "error",
            Self::Zero => "zero",
            Self::Other { kind, .. } => kind,
        }
    }

    /// The devices below.
    fn devices(&self) -> Vec<&D> {
        match self {
            Self::Linear(place) => vec![&place.on],
            Self::Striped { stripes, .. } => stripes.iter().map(|place| &place.on).collect(),
            Self::ThinPool(pool) => vec![&pool.metadata, &pool.data],
            Self::Thin(thin) => std::iter::once(&thin.pool).chain(&thin.external_origin).collect(),
            Self::Error | Self::Zero | Self::Other { .. } => Vec::new(),
        }
    }

    /// The same target over other devices.
    fn over<E, X>(&self, other: &mut impl FnMut(&D) -> Result<E, X>) -> Result<Target<E>, X> {
        let mut moved = |place: &Place<D>| Ok(Place { on: other(&place.on)?, start: place.start });
        Ok(match self {
            Self::Linear(place) => Target::Linear(moved(place)?),
            Self::Striped { chunk, stripes } => {
                let stripes = stripes.iter().map(&mut moved).collect::<Result<_, X>>()?;
                Target::Striped { chunk: *chunk, stripes }
            }
            Self::ThinPool(pool) => Target::ThinPool(PoolTarget {
                metadata: other(&pool.metadata)?,
                data: other(&pool.data)?,
                chunk: pool.chunk,
                low_water: pool.low_water,
                features: pool.features,
            }),
            Self::Thin(thin) => Target::Thin(ThinTarget {
                pool: other(&thin.pool)?,
                id: thin.id,
                external_origin: thin.external_origin.as_ref().map(other).transpose()?,
            }),
            Self::Error => Target::Error,
            Self::Zero => Target::Zero,
            Self::Other { kind, params } => {
                Target::Other { kind: kind.clone(), params: params.clone() }
            }
        })
    }
}

impl Target {
    /// The parameters as lvm2 gives them to the kernel.
    pub fn params(&self) -> String {
        match self {
            Self::Linear(place) => place.to_string(),
            Self::Striped { chunk, stripes } => {
                let head = format!("{} {}", stripes.len(), chunk.get());
                stripes.iter().fold(head, |text, place| format!("{text} {place}"))
            }
            Self::ThinPool(pool) => pool.to_string(),
            Self::Thin(thin) => thin.to_string(),
            Self::Error | Self::Zero => String::new(),
            Self::Other { params, .. } => params.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.on, self.start.get())
    }
}

impl fmt::Display for PoolTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.features.words();
        write!(f, "{} {} {}", self.metadata, self.data, self.chunk.get())?;
        write!(f, " {} {}", self.low_water, words.len())?;
        words.iter().try_for_each(|word| write!(f, " {word}"))
    }
}

impl fmt::Display for ThinTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pool, self.id)?;
        self.external_origin.iter().try_for_each(|on| write!(f, " {on}"))
    }
}

impl fmt::Display for Line {
    /// As `dmsetup table` shows it: start, length, target, parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, len) = (self.start.get(), self.len.get());
        write!(f, "{start} {len} {} {}", self.target.kind(), self.target.params())
    }
}

impl fmt::Display for Table {
    /// One line after the other, parted by `; `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines.iter().enumerate() {
            let part = if index == 0 { "" } else { "; " };
            write!(f, "{part}{}", line.to_string().trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
