//! Which entry systemd-boot starts: its order, and its patterns.
//!
//! Source: systemd 252 and 257, `src/boot/efi/boot.c`, `src/boot/efi/efi-string.c` and
//! `src/fundamental/string-util-fundamental.c`.

use std::cmp::Ordering;

use super::super::name::Counter;
use super::super::state::Found;

/// The order in which systemd-boot shows entries; the first one boots where nothing else is said.
pub(super) fn compare(a: &Found, b: &Found) -> Ordering {
    let bad = |found: &Found| matches!(found.counter, Some(Counter { left: 0, .. }));
    let (one, other) = (&a.entry, &b.entry);
    let mut order = bad(a).cmp(&bad(b));
    order = order.then(one.sort_key().is_none().cmp(&other.sort_key().is_none()));
    if let (Some(key), Some(k)) = (one.sort_key(), other.sort_key()) {
        // Text is compared by its UTF-16 units, which for the plane that they can hold is the same.
        order = order.then(key.cmp(k)).then(one.machine_id().cmp(&other.machine_id()));
        let version = |found: &Found| found.entry.version().unwrap_or_default().to_owned();
        order = order.then_with(|| compare_versions(&version(b), &version(a)));
    }
    order = order.then_with(|| compare_versions(&b.id.to_lowercase(), &a.id.to_lowercase()));
    match (a.counter, b.counter) {
        (Some(c), Some(d)) => order.then(d.left.cmp(&c.left)).then(c.done.cmp(&d.done)),
        _ => order,
    }
}

/// The place of the entry that a pattern means, in a list in that order. Before systemd 254 an id has
/// the counter in it.
pub(super) fn find(entries: &[Found], pattern: &str) -> Option<usize> {
    let pattern = pattern.to_ascii_lowercase();
    entries.iter().position(|found| {
        let name = found.path.name().to_ascii_lowercase();
        found.listed
            && (matches(&pattern, &name) || matches(&pattern, &found.id.to_ascii_lowercase()))
    })
}

/// A version's parts, as `strverscmp_improved` sees them.
fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        (a, b) = (skip(a), skip(b));
        // The one with the mark is older; so for `~` even where the other one ends.
        if let Some(order) = step(&mut a, &mut b, b'~') {
            return order;
        }
        if a.is_empty() || b.is_empty() {
            return a.len().min(1).cmp(&b.len().min(1));
        }
        for mark in [b'-', b'^', b'.'] {
            if let Some(order) = step(&mut a, &mut b, mark) {
                return order;
            }
        }
        let digits = starts_with_digit(a) || starts_with_digit(b);
        let (one, other) = (run(&mut a, digits), run(&mut b, digits));
        let order = if digits { compare_numbers(one, other) } else { compare_words(one, other) };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn skip(text: &[u8]) -> &[u8] {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"~-^.".contains(byte);
    text.get(text.iter().position(known).unwrap_or(text.len())..).unwrap_or_default()
}

fn step(a: &mut &[u8], b: &mut &[u8], mark: u8) -> Option<Ordering> {
    match (a.split_first(), b.split_first()) {
        (Some((x, rest)), Some((y, others))) if *x == mark && *y == mark => {
            (*a, *b) = (rest, others);
            None
        }
        (Some((x, _)), _) if *x == mark => Some(Ordering::Less),
        (_, Some((y, _))) if *y == mark => Some(Ordering::Greater),
        _ => None,
    }
}

fn starts_with_digit(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

fn run<'t>(text: &mut &'t [u8], digits: bool) -> &'t [u8] {
    let is = |b: &u8| if digits { b.is_ascii_digit() } else { b.is_ascii_alphabetic() };
    let end = text.iter().position(|byte| !is(byte)).unwrap_or(text.len());
    let (run, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    *text = rest;
    run
}

fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let significant =
        |run: &'_ [u8]| run.iter().position(|byte| *byte != b'0').unwrap_or(run.len());
    let (x, y) = (significant(a), significant(b));
    let (x, y) = (a.get(x..).unwrap_or_default(), b.get(y..).unwrap_or_default());
    b.is_empty().cmp(&a.is_empty()).then(x.len().cmp(&y.len())).then_with(|| x.cmp(y))
}

fn compare_words(a: &[u8], b: &[u8]) -> Ordering {
    let common = a.len().min(b.len());
    let head = |text: &'_ [u8]| text.get(..common).unwrap_or_default().to_vec();
    head(a).cmp(&head(b)).then(a.len().cmp(&b.len()))
}

/// True where `text` is met by a pattern with `*`, `?`, `[...]` and `\`.
fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // Where the last star was, and what had been matched then.
    let mut back: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix(b"*") {
            back = Some((rest, text));
            pattern = rest;
            continue;
        }
        let next = match (pattern.is_empty(), text.split_first()) {
            (true, None) => return true,
            (false, Some((byte, rest))) => one(pattern, *byte).map(|pattern| (pattern, rest)),
            _ => None,
        };
        match (next, back) {
            (Some(next), _) => (pattern, text) = next,
            (None, Some((after, from))) => {
                let Some((_, rest)) = from.split_first() else { return false };
                back = Some((after, rest));
                (pattern, text) = (after, rest);
            }
            (None, None) => return false,
        }
    }
}

/// What is left of a pattern whose first element is met by that byte.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'\\', escaped, rest @ ..] => (*escaped == byte).then_some(rest),
        [b'[', rest @ ..] => set(rest, byte),
        [plain, rest @ ..] => (*plain == byte && *plain != b'\\').then_some(rest),
        [] => None,
    }
}

/// The same for a set, behind its bracket.
fn set(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (mut rest, mut met, mut first) = (pattern, false, true);
    // The lower end of what may become a range.
    let mut low = None;
    loop {
        match rest {
            [] | [b'\\'] => return None,
            [b']', after @ ..] if !first => return met.then_some(after),
            [b'-', high, after @ ..] if low.is_some() && *high != b']' => {
                let (high, after) = match (high, after) {
                    (b'\\', [escaped, after @ ..]) => (*escaped, after),
                    (high, after) => (*high, after),
                };
                met |= low.is_some_and(|low| low <= byte && byte <= high);
                (low, rest) = (None, after);
            }
            [b'\\', plain, after @ ..] | [plain, after @ ..] => {
                met |= *plain == byte;
                (low, rest) = (Some(*plain), after);
            }
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_ordered_as_systemd_orders_them() {
        // The list in systemd's own description of it.
        let ascending = [
            "122.1",
            "123~rc1-1",
            "123",
            "123-a",
            "123-a.1",
            "123-1",
            "123-1.1",
            "123^post1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124-1",
        ];
        for (place, low) in ascending.iter().enumerate() {
            assert_eq!(compare_versions(low, low), Ordering::Equal);
            for high in ascending.iter().skip(place + 1) {
                assert_eq!(compare_versions(low, high), Ordering::Less, "{low} {high}");
                assert_eq!(compare_versions(high, low), Ordering::Greater, "{high} {low}");
            }
        }
        assert_eq!(compare_versions("123_a", "123a"), Ordering::Equal);
        assert_eq!(compare_versions("1-0.l2-6.1", "1-0.l10-6.1"), Ordering::Less);
        assert_eq!(compare_versions("00123", "123"), Ordering::Equal);
        assert_eq!(compare_versions("0", "a"), Ordering::Greater);
    }

    #[test]
    fn patterns_are_met_as_systemd_boot_meets_them() {
        for (pattern, text) in [
            ("a*", "a"),
            ("a*", "abc"),
            ("*", ""),
            ("a?c", "abc"),
            ("a[b-d]e", "ace"),
            ("a[]x]b", "a]b"),
            ("a[a-]b", "a-b"),
            ("*.conf", "x.conf"),
            ("a*b*c", "aXbYbZc"),
            ("a\\*", "a*"),
            ("**a", "a"),
            ("[a-c-f]", "-"),
            ("[a-c-f]", "f"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "ab"),
            ("a*c", "ab"),
            ("?", ""),
            ("a[b-d]e", "aee"),
            ("a[b", "ab"),
            ("a\\", "a"),
            ("[a-c-f]", "d"),
            ("", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_an_order(a in "[0-2a-b.~^_-]{0,6}", b in "[0-2a-b.~^_-]{0,6}") {
            prop_assert_eq!(compare_versions(&a, &b), compare_versions(&b, &a).reverse());
        }

        #[test]
        fn no_pattern_fails(pattern in "[]\\[a*?\\\\-]{0,8}", text in "[]a*-]{0,6}") {
            let _ = matches(&pattern, &text);
            let star = format!("{text}*");
            prop_assert!(!text.contains(['*', '[']) || text.contains('[') || matches(&star, &text) || text.contains('*'));
        }
    }
}
