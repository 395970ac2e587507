//! Which of the images is meant.

use super::json::{Descriptor, Platform};
use super::{Wanted, shown};
use crate::error::{Error, ErrorKind, Result};

/// So many are named in a message.
const NAMED_MOST: usize = 12;

/// What images for this machine call it, and the variant that every one of its sort can run.
fn here() -> (&'static str, Option<&'static str>) {
    match std::env::consts::ARCH {
        "x86_64" => ("amd64", Some("v1")),
        "x86" => ("386", None),
        "aarch64" => ("arm64", Some("v8")),
        "arm" => ("arm", Some("v7")),
        "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
        "loongarch64" => ("loong64", None),
        other => (other, None),
    }
}

impl Platform {
    /// Whether this machine runs it.
    pub(super) fn fits(&self) -> bool {
        self.os == "linux" && self.architecture == here().0
    }

    fn is_plain(&self) -> bool {
        self.variant
            .as_deref()
            .is_none_or(|variant| variant.is_empty() || Some(variant) == here().1)
    }
}

/// What this machine is.
pub(super) fn this_machine() -> String {
    format!("linux/{}", here().0)
}

/// The one that is meant, of those of an index.
pub(super) fn choose<'d>(all: &'d [Descriptor], wanted: &Wanted<'_>) -> Result<&'d Descriptor> {
    let mut named: Vec<&Descriptor> = Vec::new();
    for one in all {
        let is_named = |word: &str| one.names.iter().any(|name| name == word);
        let known = named.iter().any(|other| other.is_same(one));
        if !known && wanted.reference.is_none_or(is_named) {
            named.push(one);
        }
    }
    if let Some(digest) = wanted.digest
        && let Some(one) = named.iter().find(|one| one.digest().is_ok_and(|has| has == digest))
    {
        return Ok(one);
    }
    if let (Some(word), []) = (wanted.reference, named.as_slice()) {
        let why = format!("it has no image '{}', but {}", shown(word), list(all.iter()));
        return Err(Error::new(ErrorKind::NotFound, why));
    }
    // Without a platform it has to be looked at.
    let fits = |one: &&Descriptor| one.platform.as_ref().is_some_and(Platform::fits);
    let mut fitting: Vec<&Descriptor> = named.iter().copied().filter(fits).collect();
    if fitting.is_empty() {
        fitting = named.iter().copied().filter(|one| one.platform.is_none()).collect();
    }
    let plain = |one: &&Descriptor| one.platform.as_ref().is_none_or(Platform::is_plain);
    match (fitting.as_slice(), fitting.iter().copied().filter(plain).collect::<Vec<_>>().as_slice())
    {
        ([one], _) | (_, [one]) => Ok(one),
        ([], _) => {
            let why = format!("it has no image for {}, but {}", this_machine(), list(all.iter()));
            Err(Error::new(ErrorKind::Unsupported, why))
        }
        (several, _) => {
            let several = list(several.iter().copied());
            let why = format!("which of its images is meant (--image-ref)? There are {several}");
            Err(Error::new(ErrorKind::Invalid, why))
        }
    }
}

fn list<'d>(all: impl Iterator<Item = &'d Descriptor>) -> String {
    let mut words: Vec<String> =
        all.take(NAMED_MOST.saturating_add(1)).map(Descriptor::word).collect();
    if words.len() > NAMED_MOST {
        words.truncate(NAMED_MOST);
        words.push("more".to_owned());
    }
    if words.is_empty() { "none at all".to_owned() } else { words.join(", ") }
}
