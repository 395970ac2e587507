//! A piece of text that shares the buffer it was cut from.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A word that lvm2 writes again and again: by its number, so that nobody counts who holds it, and
/// two are compared as numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Common(u8);

/// What is met in every volume, and the keys of a group and of its physical volumes; those in quotes
/// stand at the end.
static WORDS: [&str; 58] = [
    "id",
    "status",
    "flags",
    "tags",
    "creation_time",
    "creation_host",
    "segment_count",
    "segment1",
    "start_extent",
    "extent_count",
    "type",
    "thin_pool",
    "transaction_id",
    "device_id",
    "origin",
    "external_origin",
    "merge",
    "seqno",
    "format",
    "system_id",
    "lock_type",
    "extent_size",
    "max_lv",
    "max_pv",
    "metadata_copies",
    "physical_volumes",
    "logical_volumes",
    "device",
    "device_id_type",
    "dev_size",
    "pe_start",
    "pe_count",
    "stripe_count",
    "stripe_size",
    "stripes",
    "metadata",
    "pool",
    "chunk_size",
    "discards",
    "zero_new_blocks",
    "crop_metadata",
    "create",
    "delete",
    "major",
    "minor",
    "contents",
    "version",
    "description",
    "creation_host_system_id",
    "0",
    "1",
    "\"READ\"",
    "\"WRITE\"",
    "\"VISIBLE\"",
    "\"thin\"",
    "\"striped\"",
    "\"ALLOCATABLE\"",
    "\"ACTIVATION_SKIP\"",
];

/// So many of them stand in quotes.
const QUOTED: usize = 7;
/// No word is longer.
const LONGEST: usize = 24;

/// Where a word may stand in [`PLACES`]: told by three of its bytes, so weighed that no two words
/// are in one place.
const fn place(word: &[u8]) -> usize {
    let len = word.len();
    if len == 0 {
        return 0;
    }
    let (middle, third) = (word[len / 2] as usize, word[len / 3] as usize);
    let near_end = word[len.saturating_sub(2)] as usize;
    (middle * 56 + near_end * 137 + third * 109) % SIZE
}

/// The numbers of the words, by their places; [`NONE`] where there is none.
const SIZE: usize = 256;
static PLACES: [u8; SIZE] = places();
const NONE: u8 = u8::MAX;

const fn places() -> [u8; SIZE] {
    let mut places = [NONE; SIZE];
    let mut number = 0;
    while number < NONE && (number as usize) < WORDS.len() {
        let place = place(WORDS[number as usize].as_bytes());
        assert!(places[place] == NONE, "two words in one place: weigh their bytes otherwise");
        let word = WORDS[number as usize].as_bytes();
        assert!(word.len() <= LONGEST);
        assert!((word[0] == b'"') == Common(number).is_quoted());
        places[place] = number;
        number += 1;
    }
    places
}

impl Common {
    /// The word that is this, where it is one of them.
    #[inline]
    pub(super) fn of(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let number = PLACES[place(text.as_bytes())];
        (WORDS.get(usize::from(number)).copied() == Some(text)).then_some(Self(number))
    }

    /// True where it stands in quotes.
    pub(super) const fn is_quoted(self) -> bool {
        self.0 as usize >= WORDS.len() - QUOTED
    }

    /// The text.
    pub(super) fn as_str(self) -> &'static str {
        WORDS.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

/// A piece of a text: a range of a shared buffer, so that parsing copies nothing.
#[derive(Clone)]
pub(crate) enum Slice {
    /// A word that this program knows; one that it knows is never anything else.
    Known(Common),
    /// A range of a text that was read, or of one that was made.
    Shared(Arc<Box<str>>, u32, u32),
}

impl Slice {
    /// The range of `buf`; empty where it lies outside (the parser never asks for that).
    pub(super) fn cut(buf: &Arc<Box<str>>, range: Range<usize>) -> Self {
        let text = buf.get(range.clone()).unwrap_or_default();
        if let Some(word) = Common::of(text) {
            return Self::Known(word);
        }
        let fits = |place| u32::try_from(place).unwrap_or(u32::MAX);
        Self::Shared(Arc::clone(buf), fits(range.start), fits(range.end))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Known(word) => word.as_str(),
            Self::Shared(buf, start, end) => {
                let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
                buf.get(place(*start)..place(*end)).unwrap_or_default()
            }
        }
    }
}

impl From<&str> for Slice {
    fn from(text: &str) -> Self {
        match Common::of(text) {
            Some(word) => Self::Known(word),
            None => Self::cut(&Arc::new(text.into()), 0..text.len()),
        }
    }
}

impl PartialEq for Slice {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Slice {}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
