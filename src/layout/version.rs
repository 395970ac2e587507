//! The order of versions, as RPM defines it.
//!
//! Source: rpm's documentation of version comparison (rpm-version(7)): runs of
//! digits compare as numbers, runs of letters as text, a number is newer than
//! letters, `~` sorts before everything, even the end, `^` after the end but
//! before anything else; other characters only separate.

use std::cmp::Ordering;

/// Compares two versions (or releases) as RPM does.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        a = skip_separators(a);
        b = skip_separators(b);
        if let Some(order) = compare_marks(&mut a, &mut b) {
            match order {
                Ordering::Equal => continue,
                decided => return decided,
            }
        }
        let (Some(first_a), Some(first_b)) = (a.first(), b.first()) else {
            // What has more left is newer.
            return a.len().cmp(&b.len());
        };
        let digits = first_a.is_ascii_digit();
        if digits != first_b.is_ascii_digit() {
            return if digits { Ordering::Greater } else { Ordering::Less };
        }
        let order = compare_runs(take_run(&mut a, digits), take_run(&mut b, digits), digits);
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn skip_separators(text: &[u8]) -> &[u8] {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'~' || *byte == b'^';
    let start = text.iter().position(known).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// Decides by `~` and `^` where either side starts with one; both sides step over equal marks.
fn compare_marks(a: &mut &[u8], b: &mut &[u8]) -> Option<Ordering> {
    let (first_a, first_b) = (a.first().copied(), b.first().copied());
    for (mark, against_end) in [(b'~', Ordering::Less), (b'^', Ordering::Greater)] {
        let order = match (first_a == Some(mark), first_b == Some(mark)) {
            (false, false) => continue,
            (true, true) => {
                *a = a.get(1..).unwrap_or_default();
                *b = b.get(1..).unwrap_or_default();
                Ordering::Equal
            }
            (true, false) if first_b.is_none() => against_end,
            (false, true) if first_a.is_none() => against_end.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        };
        return Some(order);
    }
    None
}

fn take_run<'t>(text: &mut &'t [u8], digits: bool) -> &'t [u8] {
    let belongs =
        |byte: &u8| if digits { byte.is_ascii_digit() } else { byte.is_ascii_alphabetic() };
    let end = text.iter().position(|byte| !belongs(byte)).unwrap_or(text.len());
    let (run, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    *text = rest;
    run
}

fn compare_runs(a: &[u8], b: &[u8], digits: bool) -> Ordering {
    if !digits {
        return a.cmp(b);
    }
    let significant = |run: &[u8]| {
        let zeros = run.iter().take_while(|byte| **byte == b'0').count();
        run.get(zeros..).unwrap_or_default().to_vec()
    };
    let (a, b) = (significant(a), significant(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn follows_rpm() {
        let ascending = [
            "1.0~rc1", "1.0", "1.0^git1", "1.0.1", "1.1a", "1.1", "1.2", "1.10", "2", "13", "13a.1",
        ];
        // 1.1a is newer than 1.1 in RPM's eyes: something is left over.
        let ascending: Vec<_> = ascending.iter().filter(|v| **v != "1.1a").collect();
        for (index, low) in ascending.iter().enumerate() {
            for high in ascending.iter().skip(index + 1) {
                assert_eq!(compare(low, high), Ordering::Less, "{low} {high}");
                assert_eq!(compare(high, low), Ordering::Greater, "{high} {low}");
            }
        }
        assert_eq!(compare("1.1a", "1.1"), Ordering::Greater);
        assert_eq!(compare("1.01", "1.1"), Ordering::Equal);
        assert_eq!(compare("1_0", "1.0"), Ordering::Equal);
        assert_eq!(compare("1.0~rc1", "1.0~rc2"), Ordering::Less);
        assert_eq!(compare("1.0^a", "1.0.1"), Ordering::Less);
        assert_eq!(compare("a", "1"), Ordering::Less);
    }

    proptest! {
        #[test]
        fn is_an_order(a in "[0-9a-z.~^]{0,8}", b in "[0-9a-z.~^]{0,8}", c in "[0-9a-z.~^]{0,8}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                prop_assert_ne!(compare(&a, &c), Ordering::Greater);
            }
        }
    }
}
