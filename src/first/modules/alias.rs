//! Patterns of `modules.alias`, matched as modprobe does it: fnmatch(3) without flags.

/// True where the pattern matches all of the text: `*` any bytes, `?` one, `[a-f]` one of those,
/// `\` takes the next byte as it is.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut rest, mut left) = (pattern, text);
    // Behind the last star, and what it was tried on: where the rest fails, it takes one byte more.
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', behind)) = rest.split_first() {
            rest = behind;
            again = Some((behind, left));
            continue;
        }
        match (one(rest, left), again) {
            (Some((behind, after)), _) => (rest, left) = (behind, after),
            (None, _) if rest.is_empty() && left.is_empty() => return true,
            (None, Some((behind, tried))) => {
                let Some((_, after)) = tried.split_first() else { return false };
                again = Some((behind, after));
                (rest, left) = (behind, after);
            }
            (None, None) => return false,
        }
    }
}

/// Matches one element of the pattern, no star, with one byte; gives what follows both.
fn one<'p, 't>(pattern: &'p [u8], text: &'t [u8]) -> Option<(&'p [u8], &'t [u8])> {
    let (byte, after) = text.split_first()?;
    let (first, behind) = pattern.split_first()?;
    let behind = match first {
        b'?' => Some(behind),
        b'[' => class(behind, *byte),
        b'\\' => behind.split_first().filter(|(next, _)| *next == byte).map(|(_, rest)| rest),
        _ => (first == byte).then_some(behind),
    };
    behind.map(|behind| (behind, after))
}

/// Matches the rest of `[abc-e]` with a byte; gives what follows the bracket. A `]` that comes
/// first is a member, and `!` before it all means the others.
fn class(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (others, members) = match pattern.split_first()? {
        (b'!' | b'^', rest) => (true, rest),
        _ => (false, pattern),
    };
    let end = members.iter().skip(1).position(|member| *member == b']')?.checked_add(1)?;
    let (mut members, behind) = (members.get(..end)?, members.get(end.checked_add(1)?..)?);
    let mut found = false;
    while let Some((first, rest)) = members.split_first() {
        let (last, rest) = match rest {
            [b'-', last, rest @ ..] => (last, rest),
            _ => (first, rest),
        };
        found |= (*first..=*last).contains(&byte);
        members = rest;
    }
    (found != others).then_some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_is_matched_as_depmod_writes_it() {
        let virtio = "pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00";
        let nvme = "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02";
        for (pattern, text, wanted) in [
            ("pci:v00001AF4d*sv*sd*bc*sc*i*", virtio, true),
            ("pci:v*d*sv*sd*bc01sc08i02*", nvme, true),
            ("pci:v*d*sv*sd*bc01sc08i02*", virtio, false),
            ("virtio:d00000002v*", "virtio:d00000002v00001AF4", true),
            ("virtio:d00000002v*", "virtio:d00000003v00001AF4", false),
            (
                "usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*",
                "usb:v0951p1666d0110dc00dsc00dp00ic08isc06ip50in00",
                true,
            ),
            ("scsi:t-0x00*", "scsi:t-0x00", true),
            ("crypto-crc32c", "crypto-crc32c", true),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn each_sign_has_its_meaning() {
        for (pattern, text, wanted) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("**a", "ba", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[!a-c]x", "dx", true),
            ("[]x]", "]", true),
            ("[0-9A-F]*", "Fa", true),
            ("[a", "a", false),
            ("[", "[", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("\\", "\\", false),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
    }

    /// Each star is tried again from where it stood alone, so the time stays bounded.
    #[test]
    fn many_stars_do_not_take_for_ever() {
        let (pattern, text) = ("*a".repeat(100) + "b", "a".repeat(5000));
        assert!(!matches(&pattern, &text));
    }
}
