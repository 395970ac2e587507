//! Files of lines, each a key, white space and a value: entries and loader.conf. What a file holds
//! survives a parse and a print to the byte.
//!
//! Source: systemd-boot's own reader. A line ends at a line feed or a carriage return; one that
//! starts with `#` is a comment; blanks around it do not count; a value in double quotes is taken
//! out of them.

use std::borrow::Cow;

/// A file's lines, each with what ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(Vec<Box<[u8]>>);

impl Lines {
    /// Takes a file apart. Every sequence of bytes is such a file.
    pub fn parse(bytes: &[u8]) -> Self {
        let lines = bytes.split_inclusive(|byte| ends_line(*byte));
        Self(lines.map(Into::into).collect())
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// Keys and values, in order.
    pub fn pairs(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|line| pair(line))
    }

    /// The last value of a key: the one that counts where a key may be there once.
    pub fn last(&self, key: &str) -> Option<&str> {
        self.pairs().rev().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// All values of a key.
    pub fn all<'l>(&'l self, key: &'l str) -> impl Iterator<Item = &'l str> {
        self.pairs().filter(move |(name, _)| *name == key).map(|(_, value)| value)
    }

    /// What stands behind `# KEY` in a comment of its own; empty where nothing does.
    pub fn note(&self, key: &str) -> Option<&str> {
        self.0.iter().find_map(|line| note(line, key))
    }

    /// The same of all such comments, in order.
    pub fn notes<'l>(&'l self, key: &'l str) -> impl Iterator<Item = &'l str> {
        self.0.iter().filter_map(move |line| note(line, key))
    }

    /// Puts a value in place of the last one of that key, or at the end.
    pub fn set(&mut self, key: &str, value: &str) {
        let place = self.0.iter().rposition(|line| pair(line).is_some_and(|(name, _)| name == key));
        self.put(place, format!("{key} {value}\n"));
    }

    /// Puts a line `# KEY TEXT` in place of such a one, or at the beginning.
    pub fn set_note(&mut self, key: &str, text: &str) {
        let blank = if text.is_empty() { "" } else { " " };
        let line = format!("# {key}{blank}{text}\n");
        match self.0.iter().position(|line| note(line, key).is_some()) {
            Some(place) => self.put(Some(place), line),
            None => self.0.insert(0, line.into_bytes().into()),
        }
    }

    /// Removes all lines of that key.
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|line| pair(line).is_none_or(|(name, _)| name != key));
    }

    /// Removes all comments `# KEY ...`.
    pub fn remove_note(&mut self, key: &str) {
        self.0.retain(|line| note(line, key).is_none());
    }

    /// Adds a line at the end.
    pub fn add(&mut self, key: &str, value: &str) {
        self.put(None, format!("{key} {value}\n"));
    }

    fn put(&mut self, place: Option<usize>, line: String) {
        match place.and_then(|place| self.0.get_mut(place)) {
            Some(old) => *old = line.into_bytes().into(),
            None => {
                self.end_last_line();
                self.0.push(line.into_bytes().into());
            }
        }
    }

    fn end_last_line(&mut self) {
        if let Some(last) = self.0.last_mut()
            && last.last().is_some_and(|byte| !ends_line(*byte))
        {
            *last = [last, b"\n".as_slice()].concat().into();
        }
    }
}

const fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

const BLANK: [char; 2] = [' ', '\t'];

/// A line's text without what ends it and the blanks around it.
fn trimmed(line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line).ok()?;
    Some(text.trim_end_matches(['\n', '\r']).trim_matches(BLANK))
}

fn pair(line: &[u8]) -> Option<(&str, &str)> {
    let text = trimmed(line).filter(|text| !text.starts_with('#'))?;
    let (key, value) = text.split_once(BLANK)?;
    let value = value.trim_start_matches(BLANK);
    let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Some((key, inside.unwrap_or(value)))
}

fn note<'l>(line: &'l [u8], key: &str) -> Option<&'l str> {
    let rest = trimmed(line)?.strip_prefix('#')?.trim_start_matches(BLANK).strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with(BLANK)).then(|| rest.trim_start_matches(BLANK))
}

/// A value that a line can hold: control characters become spaces.
pub(super) fn clean(value: &str) -> Cow<'_, str> {
    if value.contains(char::is_control) {
        Cow::Owned(value.replace(char::is_control, " "))
    } else {
        Cow::Borrowed(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_read_as_systemd_boot_reads_them() {
        let text = b" title\tA  B \r\n# note x y\n#note\n\ndefault \"a b\"\nkey\nx \xff\ndefault c";
        let mut lines = Lines::parse(text);
        let pairs: Vec<_> = lines.pairs().collect();
        assert_eq!(pairs, [("title", "A  B"), ("default", "a b"), ("default", "c")]);
        assert_eq!(lines.last("default"), Some("c"));
        assert_eq!(lines.note("note"), Some("x y"));
        assert_eq!(lines.note("not"), None);
        lines.set("default", "d");
        lines.add("new", "e");
        let end = b"x \xff\ndefault d\nnew e\n";
        assert!(lines.bytes().ends_with(end), "{:?}", String::from_utf8_lossy(&lines.bytes()));
        lines.remove("default");
        lines.remove_note("note");
        assert_eq!(lines.bytes(), b" title\tA  B \r\n\nkey\nx \xff\nnew e\n");
    }

    #[test]
    fn a_last_line_without_an_end_gets_one() {
        let mut lines = Lines::parse(b"a b");
        lines.set("c", "d");
        lines.set_note("n", "");
        assert_eq!(lines.bytes(), b"# n\na b\nc d\n");
    }

    proptest! {
        #[test]
        fn every_file_prints_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Lines::parse(&bytes).bytes(), bytes);
        }

        #[test]
        fn what_is_set_is_read(
            text in "[a-c# \t\r\n\"]{0,40}", key in "[a-z]{1,8}", value in "[!-~]{1,8}( [a-z=.]{1,8})?",
        ) {
            let mut lines = Lines::parse(text.as_bytes());
            let others: Vec<String> =
                lines.pairs().filter(|(k, _)| *k != key).map(|(k, v)| format!("{k} {v}")).collect();
            prop_assume!(!value.starts_with('"'));
            lines.set(&key, &value);
            let again = Lines::parse(&lines.bytes());
            prop_assert_eq!(again.last(&key), Some(value.as_str()));
            let after: Vec<String> =
                again.pairs().filter(|(k, _)| *k != key).map(|(k, v)| format!("{k} {v}")).collect();
            prop_assert_eq!(after, others);
        }
    }
}
