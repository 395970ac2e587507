//! A piece of text that shares the buffer it was cut from.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Words that lvm2 writes for each volume, by their length: they share no buffer, so that nobody
/// counts who holds it.
const KNOWN: [&[&str]; 15] = [
    &[],
    &["0", "1"],
    &["id"],
    &[],
    &["tags", "type"],
    &["flags"],
    &["status", "origin", "\"READ\"", "\"thin\""],
    &["\"WRITE\""],
    &["segment1"],
    &["device_id", "thin_pool", "\"VISIBLE\""],
    &[],
    &[],
    &["start_extent", "extent_count"],
    &["creation_time", "creation_host", "segment_count"],
    &["transaction_id"],
];

/// A piece of a text: a range of a shared buffer, so that parsing copies nothing.
#[derive(Clone)]
pub(crate) enum Slice {
    /// A word that this program knows.
    Static(&'static str),
    /// A range of a text that was read, or of one that was made.
    Shared(Arc<str>, u32, u32),
}

impl Slice {
    /// The range of `buf`; empty where it lies outside (the parser never asks for that).
    pub(super) fn cut(buf: &Arc<str>, range: Range<usize>) -> Self {
        let word = buf.get(range.clone()).unwrap_or_default();
        let known = KNOWN.get(word.len()).and_then(|known| known.iter().find(|it| **it == word));
        if let Some(known) = known {
            return Self::Static(known);
        }
        match (u32::try_from(range.start), u32::try_from(range.end)) {
            (Ok(start), Ok(end)) => Self::Shared(Arc::clone(buf), start, end),
            _ => Self::Static(""),
        }
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(buf, start, end) => {
                let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
                buf.get(place(*start)..place(*end)).unwrap_or_default()
            }
        }
    }
}

impl From<&str> for Slice {
    fn from(text: &str) -> Self {
        let buf: Arc<str> = text.into();
        let end = buf.len();
        Self::cut(&buf, 0..end)
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
