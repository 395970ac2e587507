//! A path inside a tree: any bytes, printed so that nothing is lost.

use std::fmt;

use serde::{Serialize, Serializer};

/// A path from the tree's root, `/` first. Names may be any bytes.
///
/// Printed, and in JSON, it is text: valid UTF-8 stands for itself, but a backslash is `\\`, and
/// control characters and bytes that are no UTF-8 are `\xNN`. [`TreePath::from_text`] reads it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// The root.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The path of an entry in this folder.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        Self([self.0.as_slice(), b"/", name].concat())
    }

    /// The same with something behind the last name.
    #[cfg(feature = "host")]
    pub(crate) fn with(&self, end: &str) -> Self {
        Self([self.0.as_slice(), end.as_bytes()].concat())
    }

    /// The path of these names from the root.
    pub(crate) fn of<'n>(names: impl Iterator<Item = &'n [u8]>) -> Self {
        Self(names.flat_map(|name| [b"/", name].concat()).collect())
    }

    /// Its names, from the root on.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// Its bytes; `/` for the root.
    pub fn bytes(&self) -> &[u8] {
        if self.0.is_empty() { b"/" } else { &self.0 }
    }

    /// Reads what was printed; `None` for a text that no path prints as.
    pub fn from_text(text: &str) -> Option<Self> {
        let (mut bytes, mut rest) = (Vec::new(), text);
        while let Some((before, escaped)) = rest.split_once('\\') {
            bytes.extend_from_slice(before.as_bytes());
            rest = if let Some(after) = escaped.strip_prefix('\\') {
                bytes.push(b'\\');
                after
            } else {
                let (digits, after) = escaped.strip_prefix('x')?.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                after
            };
        }
        bytes.extend_from_slice(rest.as_bytes());
        match bytes.as_slice() {
            b"/" => Some(Self::root()),
            [b'/', ..] => Some(Self(bytes)),
            _ => None,
        }
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '\\' {
                    f.write_str("\\\\")?;
                } else if c.is_control() {
                    let mut utf8 = [0; 4];
                    c.encode_utf8(&mut utf8).bytes().try_for_each(|byte| escape(f, byte))?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            chunk.invalid().iter().try_for_each(|&byte| escape(f, byte))?;
        }
        Ok(())
    }
}

fn escape(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    write!(f, "\\x{byte:02x}")
}

impl Serialize for TreePath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_names_are_printed_on_one_line() {
        let path = TreePath::root().join(b"a b\\").join(b"\xffx\n\xc3\xa9");
        assert_eq!(path.to_string(), "/a b\\\\/\\xffx\\x0a\u{e9}");
        assert_eq!(TreePath::root().to_string(), "/");
        for bad in ["", "a", "/\\", "/\\x1", "/\\y", "/\\x\u{e9}"] {
            assert_eq!(TreePath::from_text(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost(names: Vec<Vec<u8>>) {
            let path = names.iter().filter(|name| !name.is_empty())
                .fold(TreePath::root(), |path, name| path.join(name));
            let text = path.to_string();
            prop_assert!(!text.contains(|c: char| c.is_control()));
            prop_assert_eq!(TreePath::from_text(&text), Some(path));
        }
    }
}
