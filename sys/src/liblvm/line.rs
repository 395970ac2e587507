//! A command line as lvm2 splits it (`lvm_split` of `lvmcmdline.c`): at white space; a word that
//! begins with a quote ends with the next of the same kind; `#` begins a comment; nothing is
//! escaped.

/// The words on one line; nothing where a word cannot be on one.
pub(super) fn of(words: &[&str]) -> Option<String> {
    let words: Option<Vec<String>> = words.iter().map(|word| quoted(word)).collect();
    Some(words?.join(" "))
}

fn quoted(word: &str) -> Option<String> {
    if word.contains('\0') {
        return None;
    }
    let plain = |c: char| !c.is_ascii_whitespace() && c != '\x0b' && !"#'\"".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Some(word.to_owned());
    }
    let quote = ['\'', '"'].into_iter().find(|&quote| !word.contains(quote))?;
    Some(format!("{quote}{word}{quote}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        let line = of(&["vgs", "--config", "a{b=\"c d\"}", "", "#x", "it's"]).expect("they can");
        assert_eq!(line, "vgs --config 'a{b=\"c d\"}' '' '#x' \"it's\"");
        assert_eq!(of(&["both ' and \""]), None);
        assert_eq!(of(&["a\0b"]), None);
    }
}
