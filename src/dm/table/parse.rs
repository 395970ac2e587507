//! Reading tables as the kernel tells them.

use super::{Line, Place, PoolFeatures, PoolTarget, Target, ThinTarget};
use crate::lvm2::model::Discards;
use crate::units::Sectors;

impl Target {
    /// From the kernel's words. What cannot be read becomes [`Target::Other`]: looking at other
    /// people's devices never fails.
    pub fn parse(kind: &str, params: &str) -> Self {
        let mut words = params.split_ascii_whitespace();
        let known = match kind {
            "linear" => place(&mut words).map(Self::Linear),
            "striped" => striped(&mut words),
            "thin-pool" => pool(&mut words).map(Self::ThinPool),
            "thin" => thin(&mut words).map(Self::Thin),
            "error" => Some(Self::Error),
            "zero" => Some(Self::Zero),
            _ => None,
        };
        let whole = known.filter(|_| words.next().is_none());
        whole.unwrap_or_else(|| Self::Other { kind: kind.into(), params: params.to_owned() })
    }
}

impl Line {
    /// From a line as `dmsetup table` shows it; `None` without two numbers and a target.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.trim().splitn(4, ' ');
        let (start, len) = (number(&mut words)?, number(&mut words)?);
        let target = Target::parse(words.next()?, words.next().unwrap_or_default().trim_end());
        Some(Self { start: Sectors::new(start), len: Sectors::new(len), target })
    }
}

impl PoolFeatures {
    /// From words in any order; `None` for one that is not known.
    fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut features = Self::default();
        for word in words {
            match word {
                "skip_block_zeroing" => features.zero_new_blocks = false,
                "ignore_discard" => features.discards = Discards::Ignore,
                // The kernel lists it beside ignore_discard where both were asked for.
                "no_discard_passdown" if features.discards == Discards::Ignore => {}
                "no_discard_passdown" => features.discards = Discards::NoPassdown,
                "error_if_no_space" => features.error_if_no_space = true,
                "read_only" => features.read_only = true,
                _ => return None,
            }
        }
        Some(features)
    }
}

fn number<'a, N: std::str::FromStr>(words: &mut impl Iterator<Item = &'a str>) -> Option<N> {
    words.next()?.parse().ok()
}

fn place<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Place> {
    let on = number(words)?;
    Some(Place { on, start: Sectors::new(number(words)?) })
}

fn striped<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Target> {
    let count: usize = number(words)?;
    let chunk = Sectors::new(number(words)?);
    let mut stripes = Vec::new();
    for _ in 0..count {
        stripes.push(place(words)?);
    }
    (count > 0).then_some(Target::Striped { chunk, stripes })
}

fn pool<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<PoolTarget> {
    Some(PoolTarget {
        metadata: number(words)?,
        data: number(words)?,
        chunk: Sectors::new(number(words)?),
        low_water: number(words)?,
        // The kernel takes a pool without a feature count too.
        features: match words.next() {
            None => PoolFeatures::default(),
            Some(count) => {
                let count: usize = count.parse().ok()?;
                let named: Vec<_> = words.by_ref().take(count).collect();
                (named.len() == count).then_some(())?;
                PoolFeatures::parse(named.into_iter())?
            }
        },
    })
}

fn thin<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<ThinTarget> {
    let (pool, id) = (number(words)?, number(words)?);
    let external_origin = match words.next() {
        None => None,
        Some(word) => Some(word.parse().ok()?),
    };
    Some(ThinTarget { pool, id, external_origin })
}
