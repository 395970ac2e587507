//! The rule for positional words: one with a slash, a `://`, or a dash alone
//! is a place, any other a name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser};

/// A positional word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// An image or a device: a path, a URL, or `-`.
    Place(OsString),
    /// A name, not yet checked.
    Name(String),
}

impl Word {
    /// Tells what it is.
    pub(crate) fn read(word: OsString) -> Result<Self, &'static str> {
        if word.is_empty() {
            return Err("it is empty: give a name, or a path with a slash");
        }
        if is_place(&word) {
            return Ok(Self::Place(word));
        }
        word.into_string().map(Self::Name).map_err(|_| "a name is UTF-8, a path has a slash")
    }

    /// For clap.
    pub(crate) fn parser() -> ValueParser {
        OsStringValueParser::new().try_map(Self::read).into()
    }
}

fn is_place(word: &OsStr) -> bool {
    let bytes = word.as_bytes();
    bytes == b"-" || bytes.contains(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_or_a_lone_dash_makes_a_place() {
        for place in ["/dev/sdb", "./x", "a/b", "-", "https://host/x", "../x", "/"] {
            assert_eq!(Word::read(place.into()), Ok(Word::Place(place.into())), "{place}");
        }
        for name in ["Base-1-0", "rootfs.img", "a b", "x:y", "."] {
            assert_eq!(Word::read(name.into()), Ok(Word::Name(name.into())), "{name}");
        }
        assert!(Word::read("".into()).is_err());
        assert!(Word::read(OsStr::from_bytes(b"\xff").into()).is_err());
        let path = OsStr::from_bytes(b"./\xff");
        assert_eq!(Word::read(path.into()), Ok(Word::Place(path.into())));
    }
}
