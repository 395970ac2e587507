//! What leads GRUB to the menu: a line of ours in custom.cfg, which grub.cfg reads, and a file that
//! this line reads. Both are written once; everything that changes is elsewhere.
//!
//! The line is added at the end. It has no quotes, braces or conditions, so that a part of it, as a
//! power cut may leave it, is a statement of its own and takes nothing else with it.

use super::switch;

/// The file that leads to the menu.
pub(super) const LEAD: &str = "imgbase.cfg";

/// What is in it.
pub(super) fn lead() -> Vec<u8> {
    let (file, menu) = (switch::FILE, switch::MENU);
    format!(
        "# Made by imgbase: leads GRUB to the menu of the layers that {file} names.\n\
         set imgbase_folder=\"${{prefix}}\"\n\
         set {menu}=\n\
         if [ -s \"${{imgbase_folder}}/{file}\" ]; then\n  \
           load_env -f \"${{imgbase_folder}}/{file}\" {menu}\n\
         fi\n\
         if [ -f \"${{imgbase_folder}}/imgbase-${{{menu}}}.cfg\" ]; then\n  \
           source \"${{imgbase_folder}}/imgbase-${{{menu}}}.cfg\"\n\
         fi\n"
    )
    .into_bytes()
}

/// Our line in custom.cfg, and one above it for people.
fn lines() -> String {
    format!("# imgbase: the menu of the layers\nsource $prefix/{LEAD}\n")
}

/// True where our line is in it, and GRUB reads it as one.
pub(super) fn has_lines(text: &[u8]) -> bool {
    let mut before = text;
    while let Some(at) = find_last(before, lines().as_bytes()) {
        before = before.get(..at).unwrap_or_default();
        if open_quote(before).is_none() {
            return true;
        }
    }
    false
}

/// What is to be added to the file so that our line is in it. A quote that is left open there, by
/// whatever a power cut has left, would take them in: it is closed first.
pub(super) fn missing(text: &[u8]) -> Option<Vec<u8>> {
    if has_lines(text) {
        return None;
    }
    let mut more: String = open_quote(text).into_iter().collect();
    if !more.is_empty() || text.last().is_some_and(|byte| *byte != b'\n') {
        more.push('\n');
    }
    more.push_str(&lines());
    Some(more.into_bytes())
}

/// The quote that a script leaves open (GRUB 2.06, `grub-core/script/yylex.l`).
fn open_quote(text: &[u8]) -> Option<char> {
    let (mut open, mut escaped, mut comment, mut blank) = (None, false, false, true);
    for byte in text {
        let special = !std::mem::take(&mut escaped);
        match (byte, open) {
            (b'\n', _) if comment => comment = false,
            _ if comment => {}
            (b'\\', None | Some(b'"')) if special => escaped = true,
            (b'\'' | b'"', None) if special => open = Some(*byte),
            (byte, Some(quote)) if special && *byte == quote => open = None,
            (b'#', None) if special && blank => comment = true,
            _ => {}
        }
        blank = byte.is_ascii_whitespace() || *byte == b';';
    }
    open.map(char::from)
}

fn find_last(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).rposition(|window| window == what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_added_once(before in "[a-z #\n]{0,60}", after in "[a-z #\n]{0,60}") {
            let added = missing(before.as_bytes()).expect("they are not there");
            let whole = [before.as_bytes(), &added, after.as_bytes()].concat();
            prop_assert!(has_lines(&whole));
            prop_assert_eq!(missing(&whole), None);
            prop_assert!(before.is_empty() || before.ends_with('\n') || added.starts_with(b"\n"));
        }
    }

    #[test]
    fn a_quote_that_is_left_open_is_closed() {
        for (text, open) in [
            ("set a='x", Some('\'')),
            ("echo \"it's", Some('"')),
            ("echo \\'", None),
            ("# it's a comment\nset a=1", None),
            ("a#'b", Some('\'')),
            ("'a\\'", None),
            ("\"a\\\"", Some('"')),
        ] {
            assert_eq!(open_quote(text.as_bytes()), open, "{text}");
            let whole = [text.as_bytes(), &missing(text.as_bytes()).expect("not there")].concat();
            assert!(has_lines(&whole), "{text}");
        }
        let inside = format!("set a='\n{}", lines());
        assert!(!has_lines(inside.as_bytes()));
        assert_eq!(missing(inside.as_bytes()).map(|more| more[0]), Some(b'\''));
    }

    #[test]
    fn a_part_of_them_does_no_harm() {
        let all = lines();
        for end in 1..all.len() {
            let part = &all[..end];
            let whole = [part.as_bytes(), &missing(part.as_bytes()).expect("a part")].concat();
            assert!(has_lines(&whole), "{part}");
            assert_eq!(open_quote(part.as_bytes()), None, "{part}");
        }
    }
}
