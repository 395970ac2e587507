//! The file names of entries.
//!
//! A name has ASCII letters, digits and `+ - _ .` alone, 255 characters at most, and no two differ
//! by case only. `+` is left to the loader's counter: the number of a layer never looks like one.
//!
//! ```text
//! imgbase__LAYER__KERNEL__.conf                       an entry
//! imgbase__LAYER__KERNEL__r2.conf                     its third revision
//! imgbase__LAYER__KERNEL__LAYER__KERNEL__+3-0.conf    an entry on trial, that of its fallback first
//! ```
//!
//! No part has `__` in it or `_` at its end, so that a name can be read in one way only, and so
//! that the pattern `imgbase__LAYER__KERNEL__*` is met by a layer's entry and by those on trial that
//! fall back to it, and by nothing else.

use std::fmt::{self, Write};

use crate::digest::Digest;
use crate::layout::LayerName;
use crate::name::{BadName, text_type};

/// What all names of ours begin with.
pub(super) const PREFIX: &str = "imgbase__";

const SUFFIX: &str = ".conf";

/// Longest encoded name of a layer and of a kernel: what is longer is named by its digest.
const LAYER_MOST: usize = 60;
const KERNEL_MOST: usize = 50;

/// Bytes of a digest in a name.
const DIGEST: usize = 15;

/// A kernel's version, as `uname -r` says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct KernelVersion(Box<str>);
text_type!(KernelVersion);

impl std::str::FromStr for KernelVersion {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |why| Err(BadName::new(text, "version of a kernel", why));
        if text.is_empty() || text.len() > 128 {
            return bad("it has 1 to 128 characters");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\\"'".contains(&byte)) {
            return bad("allowed are printed ASCII characters without slashes and quotes");
        }
        Ok(Self(text.into()))
    }
}

/// A layer and one of its kernels, encoded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair(Box<str>);

impl Pair {
    /// Those of a layer and a kernel.
    pub fn new(layer: &LayerName, kernel: &KernelVersion) -> Self {
        let encoded = format!("{}.l{}", encode(layer.base().as_str()), layer.index());
        let layer = shortened(encoded, &layer.to_string(), LAYER_MOST);
        let kernel = shortened(encode(kernel.as_str()), kernel.as_str(), KERNEL_MOST);
        Self(format!("{layer}__{kernel}").into())
    }

    /// What the names of its entry and of those that fall back to it begin with.
    fn stem(&self) -> String {
        format!("{PREFIX}{}__", self.0)
    }

    /// What loaders' patterns are matched against ignores case: no letter of ours has another.
    pub(super) fn pattern(&self) -> String {
        format!("{}*", self.stem())
    }
}

/// Lower case; `_` becomes `_0`, `+` `_1`, any other character that a name may not have `_xHH`; if
/// there are capitals, `_u` follows and a bit for each character that is one, four to a digit.
fn encode(text: &str) -> String {
    let mut name = String::new();
    for byte in text.bytes() {
        let result = match byte {
            b'_' => name.write_str("_0"),
            b'+' => name.write_str("_1"),
            b'-' | b'.' => name.write_char(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => {
                name.write_char(char::from(byte.to_ascii_lowercase()))
            }
            byte => write!(name, "_x{byte:02x}"),
        };
        result.expect("a string takes all");
    }
    let capitals = capitals(text);
    if !capitals.is_empty() {
        name.push_str("_u");
        name.push_str(&capitals);
    }
    name
}

fn capitals(text: &str) -> String {
    let digit = |four: &[u8]| {
        let bits = four.iter().zip([1, 2, 4, 8]);
        bits.filter(|(byte, _)| byte.is_ascii_uppercase()).map(|(_, bit)| bit).sum::<u32>()
    };
    let digits = text.as_bytes().chunks(4).map(digit);
    let digits: String = digits.filter_map(|digit| char::from_digit(digit, 16)).collect();
    digits.trim_end_matches('0').to_owned()
}

fn shortened(encoded: String, text: &str, most: usize) -> String {
    if encoded.len() <= most {
        encoded
    } else {
        format!("_h{}", Digest::of(text.as_bytes()).hex(DIGEST))
    }
}

/// How often an entry may still be tried, and has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Counter {
    /// Tries left.
    pub left: u32,
    /// Tries done.
    pub done: u32,
}

impl Counter {
    /// Takes a counter out of a file's name, as systemd-boot does: `+LEFT` or `+LEFT-DONE` before
    /// the suffix. Gives the name without it, which is the entry's id from systemd 254 on; before,
    /// the name as it is was.
    pub fn split(file: &str) -> (String, Option<Self>) {
        let none = || (file.to_owned(), None);
        let Some((stem, end)) = file.rsplit_once('+') else { return none() };
        let Some((numbers, suffix)) = split_suffix(end) else { return none() };
        let (left, done) = numbers.split_once('-').unwrap_or((numbers, "0"));
        match (number(left), number(done)) {
            (Some(left), Some(done)) => (format!("{stem}{suffix}"), Some(Self { left, done })),
            _ => none(),
        }
    }
}

/// Splits a name before `.conf`, in whatever case that is.
fn split_suffix(name: &str) -> Option<(&str, &str)> {
    let (stem, suffix) = name.split_at_checked(name.len().checked_sub(SUFFIX.len())?)?;
    suffix.eq_ignore_ascii_case(SUFFIX).then_some((stem, suffix))
}

/// A number that systemd-boot takes: up to 2^31 - 1.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= 0x7fff_ffff)
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}-{}", self.left, self.done)
    }
}

/// A file name of ours, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryName {
    /// The layer and kernel.
    pub pair: Pair,
    /// Those that it falls back to, while it is on trial.
    pub fallback: Option<Pair>,
    /// A file is never written over: another text is another revision.
    pub revision: u32,
    /// The loader's counter.
    pub counter: Option<Counter>,
}

impl EntryName {
    /// The name of an entry that is not on trial.
    pub(super) fn plain(pair: Pair, revision: u32) -> Self {
        Self { pair, fallback: None, revision, counter: None }
    }

    /// Takes a name apart; `None` for one that is not ours.
    pub fn parse(file: &str) -> Option<Self> {
        let (name, counter) = Counter::split(file);
        let (stem, _) = split_suffix(&name)?;
        let parts: Vec<&str> = stem.strip_prefix(PREFIX)?.split("__").collect();
        let pair = |layer: &str, kernel: &str| {
            let good = |part: &str| !part.is_empty() && !part.ends_with('_');
            (good(layer) && good(kernel)).then(|| Pair(format!("{layer}__{kernel}").into()))
        };
        let (first, second, revision) = match parts.as_slice() {
            [layer, kernel, revision] => (pair(layer, kernel)?, None, *revision),
            [a, b, c, d, revision] => (pair(a, b)?, Some(pair(c, d)?), *revision),
            _ => return None,
        };
        let revision = match revision.strip_prefix('r') {
            None if revision.is_empty() => 0,
            None => return None,
            Some(digits) => number(digits).filter(|n| *n > 0 && !digits.starts_with('0'))?,
        };
        let (pair, fallback) = match second {
            Some(pair) => (pair, Some(first)),
            None => (first, None),
        };
        Some(Self { pair, fallback, revision, counter })
    }

    /// The name without counter and suffix.
    pub fn stem(&self) -> String {
        let mut stem = PREFIX.to_owned();
        for pair in self.fallback.iter().chain([&self.pair]) {
            stem.push_str(&pair.0);
            stem.push_str("__");
        }
        if self.revision > 0 {
            write!(stem, "r{}", self.revision).expect("a string takes all");
        }
        stem
    }

    /// The file's name.
    pub fn file(&self) -> String {
        let counter = self.counter.map(|counter| counter.to_string()).unwrap_or_default();
        format!("{}{counter}{SUFFIX}", self.stem())
    }

    /// What names this entry alone to systemd-boot, whatever its counter says: the id has it in it
    /// before systemd 254 and has not from then on.
    pub(super) fn systemd_id(&self) -> String {
        if self.counter.is_some() { format!("{}*", self.stem()) } else { self.file() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::layout::BaseName;

    fn pair(layer: &str, kernel: &str) -> Pair {
        Pair::new(&layer.parse().expect("a layer"), &kernel.parse().expect("a version"))
    }

    fn trial(pair: Pair, fallback: Pair) -> EntryName {
        let counter = Some(Counter { left: 3, done: 0 });
        EntryName { pair, fallback: Some(fallback), revision: 0, counter }
    }

    #[test]
    fn names_say_what_they_are_of() {
        let name = EntryName::plain(pair("Debian-12-1+1", "6.1.0-25-amd64"), 0);
        assert_eq!(name.file(), "imgbase__debian-12-1_u1.l1__6.1.0-25-amd64__.conf");
        let name = EntryName::plain(pair("my_OS-1_2-0+12", "6.6+"), 2);
        assert_eq!(name.file(), "imgbase__my_0os-1_02-0_u81.l12__6.6_1__r2.conf");
        let name = trial(pair("a-2-0+1", "6.2"), pair("a-1-0+3", "6.1"));
        assert_eq!(name.file(), "imgbase__a-1-0.l3__6.1__a-2-0.l1__6.2__+3-0.conf");
        assert_eq!(name.systemd_id(), "imgbase__a-1-0.l3__6.1__a-2-0.l1__6.2__*");
        assert_eq!(pair("a-1-0+3", "6.1").pattern(), "imgbase__a-1-0.l3__6.1__*");
    }

    #[test]
    fn counters_are_read_as_systemd_boot_reads_them() {
        let counter = |left, done| Some(Counter { left, done });
        assert_eq!(Counter::split("a+3-0.conf"), ("a.conf".into(), counter(3, 0)));
        assert_eq!(Counter::split("a+3.CONF"), ("a.CONF".into(), counter(3, 0)));
        assert_eq!(Counter::split("a+b+0-12.conf"), ("a+b.conf".into(), counter(0, 12)));
        for none in [
            "a.conf",
            "a+.conf",
            "a+3-.conf",
            "a+3-0",
            "a+3-0.efi",
            "a+x.conf",
            "a+-1.conf",
            "a+3-0x.conf",
            "a+2147483648.conf",
            "a+3+.conf",
            "+.conf",
            ".conf",
            "+",
        ] {
            assert_eq!(Counter::split(none), (none.into(), None), "{none}");
        }
        // What the name of a layer would be read as.
        assert_eq!(Counter::split("Base-1-0+1.conf").1, counter(1, 0));
    }

    #[test]
    fn what_is_not_ours_is_not_taken_apart() {
        for other in [
            "debian-6.1.conf",
            "imgbase__.conf",
            "imgbase__a__b.conf",
            "imgbase__a__b__c.conf",
            "imgbase__a__b__r0.conf",
            "imgbase__a__b__r01.conf",
            "imgbase__a__b__c__d__e.conf",
            "imgbase______.conf",
            "imgbase__a__b__.efi",
            "imgbase__a__b__c__.conf",
        ] {
            assert_eq!(EntryName::parse(other), None, "{other}");
        }
        assert!(EntryName::parse("imgbase__a__b__.conf").is_some());
    }

    fn base() -> impl Strategy<Value = String> {
        "[A-Za-z_][A-Za-z0-9_.]{0,20}-[A-Za-z0-9_.]{1,12}-[A-Za-z0-9_.]{1,12}"
    }

    fn layer() -> impl Strategy<Value = LayerName> {
        let usable = |(base, index): (String, u32)| {
            LayerName::new(base.parse::<BaseName>().ok()?, index).ok()
        };
        (base(), 1..=u32::MAX).prop_filter_map("a name that lvm2 reserves", usable)
    }

    fn kernel() -> impl Strategy<Value = KernelVersion> {
        "[!#-&(-.0-\\[\\]-~]{1,70}".prop_map(|text| text.parse().expect("a version"))
    }

    proptest! {
        #[test]
        fn names_read_back(l in layer(), k in kernel(), f in layer(), g in kernel(),
                           revision in 0u32..1000, left in 0u32..10, done in 0u32..10) {
            let pair = Pair::new(&l, &k);
            let plain = EntryName::plain(pair.clone(), revision);
            let counter = Some(Counter { left, done });
            let fallback = Some(Pair::new(&f, &g));
            let trial = EntryName { pair, fallback, revision, counter };
            for name in [plain, trial] {
                let file = name.file();
                prop_assert_eq!(EntryName::parse(&file), Some(name.clone()));
                prop_assert!(file.len() <= 255, "{} has {}", file, file.len());
                prop_assert!(file.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-_.".contains(&b)));
                prop_assert_eq!(&file, &file.to_ascii_lowercase());
                prop_assert_eq!(Counter::split(&file).1, name.counter);
            }
        }

        #[test]
        fn other_things_have_other_names(all in proptest::collection::btree_set((layer(), kernel()), 2..6)) {
            let names: BTreeSet<_> = all.iter().map(|(l, k)| Pair::new(l, k)).collect();
            prop_assert_eq!(names.len(), all.len());
        }

        #[test]
        fn encoding_is_injective(a in "[aAbB_+.-]{1,6}", b in "[aAbB_+.-]{1,6}") {
            prop_assert_eq!(encode(&a) == encode(&b), a == b, "{} {}", encode(&a), encode(&b));
            let name = encode(&a);
            prop_assert!(!name.contains("__") && !name.ends_with('_'), "{}", name);
        }

        #[test]
        fn a_pattern_is_met_by_the_fallback_and_its_trials_alone(
            l in layer(), k in kernel(), f in layer(), g in kernel(), revision in 0u32..3,
        ) {
            let (own, other) = (Pair::new(&f, &g), Pair::new(&l, &k));
            let pattern = own.pattern();
            let meets = |name: &EntryName| name.file().starts_with(pattern.trim_end_matches('*'));
            let plain = EntryName::plain(other.clone(), revision);
            prop_assert_eq!(meets(&plain), own == other);
            prop_assert!(meets(&EntryName::plain(own.clone(), revision)));
            prop_assert!(meets(&trial(other.clone(), own.clone())));
            prop_assert_eq!(meets(&trial(own.clone(), other.clone())), own == other);
        }
    }
}
