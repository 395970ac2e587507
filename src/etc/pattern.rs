//! Paths as the owner of a host lists them, with wildcards in names.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::tree::TreePath;

/// A path of which each name may hold `*`, `?` and `[...]` (glob(7), but that a dot in front is as any
/// letter). It is about what it fits, with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Vec<u8>>);

/// Where a path lies, as a pattern sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// Somewhere else.
    Elsewhere,
    /// On the way there.
    Above,
    /// Right there.
    Here,
    /// In what is there.
    Inside,
}

impl Pattern {
    /// Fits the root, and so everything.
    pub const fn everything() -> Self {
        Self(Vec::new())
    }

    /// Reads one, written as paths are printed: a backslash is `\\`, odd bytes are `\xNN`.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for what does not begin with a slash, is the root, or has a
    /// name `.` or `..`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad =
            |why: &'static str| Error::new(ErrorKind::Invalid, why).at(format_args!("'{text}'"));
        let path = TreePath::from_text(text).ok_or_else(|| {
            bad("a path begins with '/'; a backslash is '\\\\', a wildcard that is a letter '[*]'")
        })?;
        let names: Vec<Vec<u8>> = path.names().map(<[u8]>::to_vec).collect();
        if names.is_empty() {
            return Err(bad("the whole tree cannot be carried over"));
        }
        if names.iter().any(|name| matches!(name.as_slice(), b"." | b"..") || name.contains(&0)) {
            return Err(bad("no name of it may be '.' or '..'"));
        }
        Ok(Self(names))
    }

    /// Where that path lies.
    pub fn fit(&self, path: &TreePath) -> Fit {
        let mut wanted = self.0.iter();
        for name in path.names() {
            match wanted.next() {
                None => return Fit::Inside,
                Some(pattern) if !fits(pattern, name) => return Fit::Elsewhere,
                Some(_) => {}
            }
        }
        if wanted.next().is_some() { Fit::Above } else { Fit::Here }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.iter().fold(TreePath::root(), |path, name| path.join(name));
        path.fmt(f)
    }
}

/// Whether a name fits. What follows the last star is tried at each place, so that the time it takes
/// is the product of both lengths at most.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', rest)) = pattern.split_first() {
            (again, pattern) = (Some((rest, name)), rest);
            continue;
        }
        let Some((byte, after)) = name.split_first() else { return pattern.is_empty() };
        if let Some(rest) = step(pattern, *byte) {
            (pattern, name) = (rest, after);
            continue;
        }
        let Some((after_star, Some((_, shorter)))) = again.map(|(p, n)| (p, n.split_first()))
        else {
            return false;
        };
        (again, pattern, name) = (Some((after_star, shorter)), after_star, shorter);
    }
}

/// What follows the first element of a pattern, where that fits the letter.
fn step(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (first, rest) = pattern.split_first()?;
    match first {
        b'?' => Some(rest),
        b'[' => match class(rest, byte) {
            Some((fits, rest)) => fits.then_some(rest),
            // Nothing closes it: it is a letter.
            None => (byte == b'[').then_some(rest),
        },
        letter => (*letter == byte).then_some(rest),
    }
}

/// Whether a class holds the letter, and what follows it; `text` begins after its bracket.
fn class(text: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (not, body) = match text {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    // A bracket that comes first belongs to the class.
    let end = body.iter().skip(1).position(|byte| *byte == b']')?.saturating_add(1);
    let (mut set, rest) = body.split_at_checked(end)?;
    let mut found = false;
    while let Some((low, after)) = set.split_first() {
        let high;
        (high, set) = match after {
            [b'-', high, after @ ..] => (high, after),
            _ => (low, after),
        };
        found |= (*low..=*high).contains(&byte);
    }
    Some((found != not, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::from_text(text).expect("a path")
    }

    #[test]
    fn places_are_told_apart() {
        let pattern = Pattern::parse("/opt/*/conf/").expect("a pattern");
        for (at, fit) in [
            ("/", Fit::Above),
            ("/opt", Fit::Above),
            ("/opt/.a", Fit::Above),
            ("/opt/a/conf", Fit::Here),
            ("/opt/a/conf/x/y", Fit::Inside),
            ("/opt/a/config", Fit::Elsewhere),
            ("/op", Fit::Elsewhere),
            ("/srv/a/conf", Fit::Elsewhere),
        ] {
            assert_eq!(pattern.fit(&path(at)), fit, "{at}");
        }
        assert_eq!(Pattern::everything().fit(&path("/a")), Fit::Inside);
        assert_eq!(pattern.to_string(), "/opt/*/conf");
    }

    #[test]
    fn wildcards_fit_as_a_shell_s() {
        for (pattern, name, wanted) in [
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*a*b", "xaab", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]a]", "]", true),
            ("[*]", "*", true),
            ("[*]", "a", false),
            ("[a", "[a", true),
            ("**", "", true),
            ("[a-]", "-", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in ["", "etc", "/", "//", "/a/../b", "/..", "/./a", "/a\\*", "/a\\x00"] {
            let error = Pattern::parse(bad).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
    }

    proptest! {
        #[test]
        fn without_wildcards_it_is_the_path(name in "[a-z.-]{1,8}", other in "[a-z.-]{1,8}") {
            prop_assert_eq!(fits(name.as_bytes(), other.as_bytes()), name == other);
            let starred = format!("*{name}*");
            let around = format!("{other}{name}{other}");
            prop_assert!(fits(starred.as_bytes(), around.as_bytes()));
        }

        #[test]
        fn nothing_is_too_much(pattern in "[]a*?\\[!^-]{0,60}", name in "[]a*?\\[-]{0,60}") {
            fits(pattern.as_bytes(), name.as_bytes());
        }
    }
}
