//! The names of bases and layers.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use super::version::compare;
use crate::name::{BadName, LvName, text_type};

/// Longest name of a base, in characters (imgbased's limit).
const BASE_MAX: usize = 55;

const RULE: &str = "a base is NAME-VERSION-RELEASE";

/// A base's name: NAME-VERSION-RELEASE, split at the last two dashes.
///
/// A clone shares the text: each of a base's layers has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseName(Arc<str>);
text_type!(BaseName);

impl Serialize for BaseName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl BaseName {
    fn parts(&self) -> (&str, &str, &str) {
        let (rest, release) = self.0.rsplit_once('-').unwrap_or((&self.0, ""));
        let (name, version) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (name, version, release)
    }

    /// The part before the version.
    pub fn name(&self) -> &str {
        self.parts().0
    }

    /// The version.
    pub fn version(&self) -> &str {
        self.parts().1
    }

    /// The release.
    pub fn release(&self) -> &str {
        self.parts().2
    }

    /// By version, then release, as RPM orders them; bases of different names by name first.
    pub fn compare(&self, other: &Self) -> Ordering {
        let ((name, version, release), (n, v, r)) = (self.parts(), other.parts());
        compare(version, v).then_with(|| compare(release, r)).then_with(|| name.cmp(n))
    }

    /// The volume's name.
    pub fn lv_name(&self) -> LvName {
        self.0.parse().expect("a base's name was checked to be a volume's when it was made")
    }
}

impl FromStr for BaseName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |why| Err(BadName::new(text, "name of a base", why));
        if text.len() > BASE_MAX {
            return bad("it is longer than 55 characters");
        }
        let lv: LvName = match text.parse() {
            Ok(lv) => lv,
            Err(_) if text.is_empty() => return bad("it is empty"),
            Err(_) => return bad("allowed are letters, digits and . _ -, not - first"),
        };
        if text.contains('+') {
            return bad("a '+' marks a layer: BASE+N");
        }
        if lv.check_choosable().is_err() {
            return bad("lvm2 reserves such a name for its internal volumes");
        }
        let name = Self(text.into());
        let (first, version, release) = name.parts();
        if first.is_empty() || version.is_empty() || release.is_empty() {
            return bad(RULE);
        }
        Ok(name)
    }
}

/// A layer's name: its base's, `+`, and an index from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerName {
    base: BaseName,
    index: u32,
}

impl LayerName {
    /// The layer number `index` of a base.
    ///
    /// # Errors
    /// For the index 0.
    pub fn new(base: BaseName, index: u32) -> Result<Self, BadName> {
        if index == 0 {
            return Err(BadName::new(base.as_str(), "name of a layer", "its index starts at 1"));
        }
        Ok(Self { base, index })
    }

    /// What `text` says, where it is the name of a layer of this base.
    pub(super) fn of_base(base: &BaseName, text: &str) -> Option<Self> {
        let index = index_of(text.strip_prefix(base.as_str())?.strip_prefix('+')?)?;
        Self::new(base.clone(), index).ok()
    }

    /// Its base.
    pub fn base(&self) -> &BaseName {
        &self.base
    }

    /// Its index on that base.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The volume's name.
    pub fn lv_name(&self) -> LvName {
        self.to_string().parse().expect("55 characters, a plus and ten digits make a volume's name")
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.base, self.index)
    }
}

impl Serialize for LayerName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for LayerName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |why| BadName::new(text, "name of a layer", why);
        let (base, index) = text.rsplit_once('+').ok_or_else(|| bad("a layer is BASE+N"))?;
        let base: BaseName = base.parse().map_err(|_| bad("a layer is BASE+N; that is no base"))?;
        let index = index_of(index).ok_or_else(|| bad("a layer is BASE+N, N from 1"))?;
        Self::new(base, index)
    }
}

/// The index that stands behind the plus.
fn index_of(digits: &str) -> Option<u32> {
    let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// The name of a base or of a layer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageName {
    /// A base's.
    Base(BaseName),
    /// A layer's.
    Layer(LayerName),
}

impl ImageName {
    /// The layer's name, where it is one's.
    pub fn layer(&self) -> Option<&LayerName> {
        match self {
            Self::Layer(layer) => Some(layer),
            Self::Base(_) => None,
        }
    }

    /// `base` or `layer`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Base(_) => "base",
            Self::Layer(_) => "layer",
        }
    }

    /// The base, or the layer's base.
    pub fn base(&self) -> &BaseName {
        match self {
            Self::Base(base) => base,
            Self::Layer(layer) => layer.base(),
        }
    }

    /// The volume's name.
    pub fn lv_name(&self) -> LvName {
        match self {
            Self::Base(base) => base.lv_name(),
            Self::Layer(layer) => layer.lv_name(),
        }
    }
}

impl From<BaseName> for ImageName {
    fn from(base: BaseName) -> Self {
        Self::Base(base)
    }
}

impl From<LayerName> for ImageName {
    fn from(layer: LayerName) -> Self {
        Self::Layer(layer)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base(base) => base.fmt(f),
            Self::Layer(layer) => layer.fmt(f),
        }
    }
}

impl Serialize for ImageName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for ImageName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.contains('+') {
            text.parse().map(Self::Layer)
        } else {
            text.parse().map(Self::Base)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_split_at_the_last_two_dashes() {
        let base: BaseName = "ovirt-node-ng-4.5.0-0.2022".parse().expect("a base");
        assert_eq!(
            (base.name(), base.version(), base.release()),
            ("ovirt-node-ng", "4.5.0", "0.2022")
        );
        for bad in
            ["", "x", "a-1", "-1-2", "a--0", "a-1-", "../a-1-0", "a b-1-0", "a-1-0+1", "a/b-1-0"]
        {
            assert!(bad.parse::<BaseName>().is_err(), "{bad}");
        }
        let longest = format!("{}-1-0", "x".repeat(51));
        assert!(longest.parse::<BaseName>().is_ok());
        assert!(format!("x{longest}").parse::<BaseName>().is_err());
    }

    #[test]
    fn order_is_by_version_and_index() {
        let images = ["a-1-0", "a-2-0", "a-13-0"];
        let bases: Vec<BaseName> = images.iter().map(|i| i.parse().expect("a base")).collect();
        assert!(bases.windows(2).all(|two| two[0].compare(&two[1]) == Ordering::Less));
        let layer: LayerName = "a-1-0+10".parse().expect("a layer");
        assert_eq!((layer.base().as_str(), layer.index()), ("a-1-0", 10));
        for bad in
            ["a-1-0+0", "a-1-0+01", "a-1-0+", "a-1-0+x", "+1", "a-1-0+-1", "a-1-0+4294967296"]
        {
            assert!(bad.parse::<LayerName>().is_err(), "{bad}");
        }
    }
}
