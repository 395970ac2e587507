//! loader.conf, whose default is changed inside one sector.
//!
//! A boot partition of EFI is FAT, where a rename over a file may leave none. So ours is the last
//! `default` of the file, as the last one counts, in lines of a fixed length that lie in one sector:
//! writing over them leaves the old default or the new one. They are added at the end, once. Lines of
//! others stay to the byte.

use super::super::folder::SECTOR;
use super::super::lines::Lines;
use crate::error::{Error, ErrorKind, Result};

/// Length of our lines; a name of 255 characters fits.
const BLOCK: usize = 320;

const KEY: &str = "default";

/// What our second line begins with; it is filled up with `#`.
const FILL: &str = "# imgbase-default: the line above is written in place ";

/// The file.
#[derive(Clone, Debug, Default)]
pub(super) struct Conf {
    bytes: Vec<u8>,
}

impl Conf {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec() }
    }

    fn last(&self, key: &str) -> Option<String> {
        Lines::parse(&self.bytes).last(key).map(str::to_owned)
    }

    /// The default as it is set, where one is.
    pub(super) fn default(&self) -> Option<String> {
        self.last(KEY).filter(|value| !value.is_empty())
    }

    /// What is preferred to it from systemd 260 on.
    pub(super) fn preferred(&self) -> Option<String> {
        self.last("preferred").filter(|value| !value.is_empty())
    }

    /// Where our lines begin, if a default that is written over them counts.
    pub(super) fn place(&self) -> Option<usize> {
        let place = self.our_lines()?;
        let after = place.checked_add(BLOCK)?;
        let behind = Lines::parse(self.bytes.get(after..)?);
        behind.last(KEY).is_none().then_some(place)
    }

    /// Where lines of ours begin that are whole and lie in one sector.
    fn our_lines(&self) -> Option<usize> {
        let fill = FILL.as_bytes();
        let at = self.bytes.windows(fill.len()).rposition(|window| window == fill)?;
        let before = self.bytes.get(..at.checked_sub(1)?)?;
        let start =
            before.iter().rposition(|byte| *byte == b'\n').map_or(0, |n| n.saturating_add(1));
        let block = self.bytes.get(start..)?.get(..BLOCK)?;
        let value = Lines::parse(block).last(KEY)?.to_owned();
        (in_one_sector(start) && block == lines(&value).ok()?).then_some(start)
    }

    /// What is to be added at the end, so that this default in lines of ours is the last.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for a name that is too long.
    pub(super) fn more(&self, value: &str) -> Result<Vec<u8>> {
        let mut more = Vec::new();
        if self.bytes.last().is_some_and(|byte| *byte != b'\n') {
            more.push(b'\n');
        }
        let at = self.bytes.len().saturating_add(more.len());
        if !in_one_sector(at) {
            // The rest of the sector becomes a comment.
            let sector = usize::try_from(SECTOR).unwrap_or(512);
            let rest = sector.saturating_sub(at.checked_rem(sector).unwrap_or(0));
            more.resize(more.len().saturating_add(rest).saturating_sub(1), b'#');
            more.push(b'\n');
        }
        more.extend(lines(value)?);
        Ok(more)
    }
}

/// Our lines.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) for a name that is too long, or more than one line.
pub(super) fn lines(value: &str) -> Result<Vec<u8>> {
    let mut text = format!("{KEY} {value}\n{FILL}");
    let longest = BLOCK.saturating_sub(1);
    if text.len() > longest || value.contains(char::is_control) {
        let error = Error::new(ErrorKind::Invalid, "it is too long for loader.conf");
        return Err(error.at(format_args!("'{value}'")));
    }
    while text.len() < longest {
        text.push('#');
    }
    text.push('\n');
    Ok(text.into_bytes())
}

fn in_one_sector(start: usize) -> bool {
    let number = |at: usize| u64::try_from(at).unwrap_or(u64::MAX).checked_div(SECTOR);
    number(start) == number(start.saturating_add(BLOCK).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(conf: &Conf, value: &str) -> Conf {
        Conf::parse(&[conf.bytes.as_slice(), &conf.more(value).expect("short")].concat())
    }

    #[test]
    fn ours_is_the_last_default_and_in_one_sector() {
        let conf = Conf::parse(b"timeout 3\ndefault debian-*\n#console-mode keep");
        assert_eq!(conf.default().as_deref(), Some("debian-*"));
        assert_eq!(conf.place(), None);
        let ours = with(&conf, "imgbase__a*");
        assert_eq!(ours.default().as_deref(), Some("imgbase__a*"));
        let place = ours.place().expect("ours");
        assert_eq!(ours.bytes.len(), place + BLOCK);
        let mut changed = ours.bytes.clone();
        changed[place..].copy_from_slice(&lines("imgbase__b.conf").expect("short"));
        let changed = Conf::parse(&changed);
        assert_eq!(changed.default().as_deref(), Some("imgbase__b.conf"));
        assert_eq!(changed.place(), Some(place));
        assert_eq!(with(&Conf::parse(b""), "x").place(), Some(0));
    }

    #[test]
    fn a_later_default_of_others_counts_until_ours_stands_behind_it() {
        let ours = with(&Conf::parse(b""), "ours");
        let conf = Conf::parse(&[ours.bytes.as_slice(), b"default theirs\n"].concat());
        assert_eq!((conf.default().as_deref(), conf.place()), (Some("theirs"), None));
        let again = with(&conf, "ours");
        assert_eq!(again.default().as_deref(), Some("ours"));
        assert!(again.place().is_some_and(|place| place > ours.bytes.len()));
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        assert!(lines(&"x".repeat(255)).is_ok());
        assert!(lines(&"x".repeat(300)).is_err());
        assert!(lines("a\nb").is_err());
    }

    proptest! {
        #[test]
        fn whatever_stands_before_does_not_matter(
            before in "[a-z #\n]{0,1200}", first in "[a-z*]{1,20}", second in "[a-z*]{1,200}",
        ) {
            let one = with(&Conf::parse(before.as_bytes()), &first);
            prop_assert_eq!(one.default(), Some(first));
            let place = one.place().expect("ours");
            let mut bytes = one.bytes.clone();
            bytes[place..place + BLOCK].copy_from_slice(&lines(&second).expect("short"));
            let two = Conf::parse(&bytes);
            prop_assert_eq!(two.default(), Some(second));
            prop_assert_eq!(two.place(), Some(place));
        }
    }
}
