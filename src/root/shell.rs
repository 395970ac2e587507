//! Assignments as a shell reads them, in files that hold nothing else: `/etc/os-release`
//! (os-release(5)), `/etc/default/grub`.

/// The value of the last assignment to `name`; `None` where there is none.
pub(super) fn value(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().rev();
    lines.find_map(|line| {
        let value = line.trim_start().strip_prefix(name)?.strip_prefix('=')?;
        unquoted(value)
    })
}

/// A word without its quotes; `None` for one that a shell would have to evaluate.
fn unquoted(word: &str) -> Option<String> {
    let mut plain = String::new();
    let (mut quote, mut letters) = (None, word.chars());
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), close) if close == open => quote = None,
            (None, '"' | '\'') => quote = Some(letter),
            (None, ' ' | '\t' | '#' | ';') => break,
            (None | Some('"'), '\\') => plain.push(letters.next()?),
            (None | Some('"'), '$' | '`') => return None,
            _ => plain.push(letter),
        }
    }
    quote.is_none().then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_their_quotes() {
        let text = "A=one\n  B=\"two words\" # said\nC='x \"y\" $z'\nD=\"a\\\"b\\$c\"\nA=last\nE=\nAB=no\n";
        let is = |name: &str, wanted: &str| assert_eq!(value(text, name).as_deref(), Some(wanted));
        is("A", "last");
        is("B", "two words");
        is("C", "x \"y\" $z");
        is("D", "a\"b$c");
        is("E", "");
        assert_eq!(value(text, "F"), None);
    }

    #[test]
    fn nothing_is_evaluated() {
        for text in ["A=$(date)", "A=\"$B\"", "A=`x`", "A=\"open", "A=\\"] {
            assert_eq!(value(text, "A"), None, "{text}");
        }
        assert_eq!(value("A=1\nA=$B\n", "A").as_deref(), Some("1"), "the last that can be read");
    }
}
