//! A kernel command line as a list of words.
//!
//! Source: the kernel's `next_arg` (lib/cmdline.c). White space separates words, but not between
//! double quotes; what stands behind a word `--` is for the first process.

use std::borrow::Cow;
use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// Behind this word all are for the first process.
const END: &str = "--";

/// The words in order. Printed with one space between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args(Vec<Box<str>>);

impl Args {
    /// Takes a line apart. A quote that is not closed goes to the end.
    pub fn parse(line: &str) -> Self {
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for c in line.chars() {
            quoted ^= c == '"';
            if quoted || !is_space(c) {
                word.push(c);
            } else if !word.is_empty() {
                words.push(std::mem::take(&mut word).into());
            }
        }
        if !word.is_empty() {
            words.push(word.into());
        }
        Self(words)
    }

    /// The words as they are written.
    pub fn words(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Those that are for the kernel and its modules.
    fn for_kernel(&self) -> impl Iterator<Item = &str> {
        self.words().take_while(|word| *word != END)
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True where a word of that name is there, with a value or without.
    pub fn has(&self, name: &str) -> bool {
        self.for_kernel().any(|word| name_of(word) == name)
    }

    /// The value of the last word of that name.
    pub fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.for_kernel().filter(|word| name_of(word) == name).filter_map(value_of).last()
    }

    /// Adds a word behind all others for the kernel.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for what is not one word.
    pub fn add(&mut self, word: &str) -> Result<()> {
        check(word)?;
        self.push(word);
        Ok(())
    }

    pub(super) fn push(&mut self, word: &str) {
        let end = self.words().position(|word| word == END).unwrap_or(self.0.len());
        self.0.insert(end, word.into());
    }

    /// Removes all words that are that word, or have it as their name. Tells how many there were.
    pub fn remove(&mut self, word: &str) -> usize {
        let before = self.0.len();
        self.retain(|old| old != word && name_of(old) != word);
        before.saturating_sub(self.0.len())
    }

    /// Keeps those words for the kernel that `keep` says.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        let mut behind = false;
        self.0.retain(|word| {
            behind |= **word == *END;
            behind || keep(word)
        });
    }

    /// Removes one word that is written so, the last one.
    pub(super) fn take(&mut self, word: &str) {
        if let Some(place) = self.0.iter().rposition(|old| **old == *word) {
            self.0.remove(place);
        }
    }

    /// Puts `word` in the place of the first one that `is_old` says, and removes others like it; at
    /// the end where there is none.
    pub(super) fn set(&mut self, word: &str, is_old: impl Fn(&str) -> bool) {
        let place = self.for_kernel().position(&is_old);
        match place {
            None => self.push(word),
            Some(place) => {
                self.retain(|old| !is_old(old));
                self.0.insert(place, word.into());
            }
        }
    }
}

impl fmt::Display for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, word) in self.words().enumerate() {
            write!(f, "{}{word}", if number == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// What the kernel takes for white space, as far as a text can hold it.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// What stands before the `=` of a word.
pub fn name_of(word: &str) -> &str {
    let word = word.strip_prefix('"').unwrap_or(word);
    word.split('=').next().unwrap_or(word).trim_end_matches('"')
}

/// What stands behind it, out of its quotes.
pub fn value_of(word: &str) -> Option<Cow<'_, str>> {
    let bare = unquoted(word);
    match bare {
        Cow::Borrowed(text) => text.split_once('=').map(|(_, value)| Cow::Borrowed(value)),
        Cow::Owned(text) => text.split_once('=').map(|(_, value)| Cow::Owned(value.to_owned())),
    }
}

/// A word without the quotes that the kernel takes off: around the whole or around its value.
pub(super) fn unquoted(word: &str) -> Cow<'_, str> {
    if let Some(rest) = word.strip_prefix('"') {
        return Cow::Borrowed(rest.strip_suffix('"').unwrap_or(rest));
    }
    match word.split_once("=\"") {
        Some((name, value)) if !name.contains(['"', '=']) => {
            Cow::Owned(format!("{name}={}", value.strip_suffix('"').unwrap_or(value)))
        }
        _ => Cow::Borrowed(word),
    }
}

/// Fails for what the kernel would not read as this one word.
fn check(word: &str) -> Result<()> {
    let bad = |why| Err(Error::new(ErrorKind::Invalid, why).at(format_args!("'{word}'")));
    if word == END {
        return bad("what stands behind '--' is for the first process: it cannot be added here");
    }
    if word.contains(char::is_control) {
        return bad("an argument has no control characters");
    }
    if !word.matches('"').count().is_multiple_of(2) {
        return bad("a quote in it is not closed");
    }
    if Args::parse(word).words().ne([word]) {
        return bad("it is not one argument: put a value with spaces into double quotes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_the_kernel_splits_them() {
        let args = Args::parse("  a b=\"c d\"\te=f \"g h=i j\" k=x=y quiet -- single e=2");
        let words: Vec<_> = args.words().collect();
        let wanted =
            ["a", "b=\"c d\"", "e=f", "\"g h=i j\"", "k=x=y", "quiet", "--", "single", "e=2"];
        assert_eq!(words, wanted);
        assert_eq!(args.value("b").as_deref(), Some("c d"));
        assert_eq!(args.value("e").as_deref(), Some("f"));
        assert_eq!(args.value("g h").as_deref(), Some("i j"));
        assert_eq!(args.value("k").as_deref(), Some("x=y"));
        assert_eq!(args.value("quiet"), None);
        assert!(args.has("quiet") && !args.has("single"));
    }

    #[test]
    fn an_argument_keeps_its_place() {
        let mut args = Args::parse("console=tty0 root=/dev/a console=ttyS0 root=b quiet -- root=c");
        args.set("root=/dev/n", |word| name_of(word) == "root");
        assert_eq!(args.to_string(), "console=tty0 root=/dev/n console=ttyS0 quiet -- root=c");
        args.add("panic=10").expect("a word");
        assert_eq!(args.remove("console"), 2);
        assert_eq!(args.remove("console"), 0);
        assert_eq!(args.remove("panic=1"), 0);
        assert_eq!(args.to_string(), "root=/dev/n quiet panic=10 -- root=c");
        args.take("quiet");
        assert_eq!(args.to_string(), "root=/dev/n panic=10 -- root=c");
    }

    #[test]
    fn what_is_not_one_argument_is_refused() {
        let mut args = Args::default();
        for bad in ["", "a b", "a\nb", "a=\"b", "--", "\"a\" \"b\"", " a"] {
            let error = args.add(bad).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
        }
        for good in ["a", "a=\"b c\"", "dyndbg=\"file x +p\"", "a=--"] {
            args.add(good).expect(good);
        }
        assert_eq!(args.words().count(), 4);
    }

    proptest! {
        #[test]
        fn words_print_back(line in "[a-c=\" \t-]{0,30}") {
            let args = Args::parse(&line);
            prop_assert_eq!(Args::parse(&args.to_string()), args);
        }

        #[test]
        fn names_and_values_make_up_the_word(name in "[a-z.]{1,6}", value in "[a-z= ]{0,6}") {
            let word = format!("{name}=\"{value}\"");
            prop_assert_eq!(name_of(&word), name.as_str());
            let read = value_of(&word);
            prop_assert_eq!(read.as_deref(), Some(value.as_str()));
        }
    }
}
