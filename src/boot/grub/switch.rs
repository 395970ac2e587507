//! The block of ours that GRUB reads and writes beside grubenv: which menu is in force, what boots,
//! once, and when that fails, and how many tries are left.
//!
//! All of it lies in the first sector of a file that keeps its size, and each number keeps its width:
//! one write changes everything at once, and GRUB, which reads no journal, sees it at once.

use super::super::loader::Tries;
use super::env::GrubEnv;
use crate::error::{Error, ErrorKind, Result};

/// The file, in GRUB's folder.
pub(super) const FILE: &str = "imgbase.env";

/// Names in it. The counter's are those of Fedora's GRUB.
pub(super) const MENU: &str = "imgbase_menu";
pub(super) const DEFAULT: &str = "imgbase_default";
pub(super) const FALLBACK: &str = "imgbase_fallback";
pub(super) const ONCE: &str = "imgbase_once";
pub(super) const TRIES: &str = "imgbase_tries";
pub(super) const COUNTER: &str = "boot_counter";
pub(super) const SUCCESS: &str = "boot_success";

/// No entry.
pub(super) const NONE: &str = "0000";

/// What it says. Entries are numbers in the menu, from 1; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Switch {
    /// The number in the menu's file name.
    pub(super) menu: u32,
    pub(super) default: u32,
    /// What boots when the default has used up its tries; 0 where it is not on trial.
    pub(super) fallback: u32,
    pub(super) once: u32,
    /// How many tries the trial began with.
    pub(super) tries: u32,
    /// How many are left.
    pub(super) left: u32,
    /// True where the last start came up.
    pub(super) success: bool,
}

impl Switch {
    /// Reads the block. What GRUB has emptied is 0.
    pub(super) fn of(env: &GrubEnv) -> Self {
        let number = |name| env.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        Self {
            menu: number(MENU),
            default: number(DEFAULT),
            fallback: number(FALLBACK),
            once: number(ONCE),
            tries: number(TRIES),
            left: number(COUNTER),
            success: number(SUCCESS) == 1,
        }
    }

    /// The block: always as long, and in its first sector.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for more menus or entries than it has digits for.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let entries = [self.default, self.fallback, self.once];
        if self.menu > 99_999_999 || entries.iter().any(|entry| *entry > 9999) {
            let error = Error::new(ErrorKind::Unsupported, "there are more than 9999 boot entries");
            return Err(error.op("write GRUB's block").kept("what boots is as it was"));
        }
        let mut env =
            GrubEnv::commented("# Kept by imgbase: GRUB counts here, nobody else writes.");
        for (name, value) in [
            (MENU, name_of(self.menu)),
            (DEFAULT, format!("{:04}", self.default)),
            (FALLBACK, format!("{:04}", self.fallback)),
            (ONCE, format!("{:04}", self.once)),
            (TRIES, self.tries.min(9).to_string()),
            (COUNTER, self.left.min(9).to_string()),
            (SUCCESS, u32::from(self.success).to_string()),
        ] {
            env.set(name, &value)?;
        }
        Ok(env.bytes())
    }

    /// The same with another default, not on trial, and nothing that boots once.
    pub(super) fn with_default(self, entry: u32, success: bool) -> Self {
        Self { menu: self.menu, default: entry, success, ..Self::default() }
    }

    /// The same with a default on trial.
    pub(super) fn on_trial(self, entry: u32, fallback: u32, tries: Tries) -> Self {
        let (tries, menu) = (tries.get(), self.menu);
        let (once, success) = (0, false);
        Self { menu, default: entry, fallback, once, tries, left: tries, success }
    }
}

/// A menu's number, as it stands in its file's name.
pub(super) fn name_of(menu: u32) -> String {
    format!("{menu:08}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::boot::folder::SECTOR;

    proptest! {
        #[test]
        fn it_is_read_as_written_and_in_one_sector(
            menu in 0u32..100_000_000, default in 0u32..10_000, fallback in 0u32..10_000,
            once in 0u32..10_000, tries in 0u32..10, left in 0u32..10, success: bool,
        ) {
            let switch = Switch { menu, default, fallback, once, tries, left, success };
            let bytes = switch.bytes().expect("few entries");
            prop_assert_eq!(Switch::of(&GrubEnv::parse(&bytes).expect("a block")), switch);
            let sector = usize::try_from(SECTOR).expect("small");
            prop_assert!(bytes[sector..].iter().all(|byte| *byte == b'#'));
            let ends = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != b'#');
            prop_assert_eq!(ends(&bytes), ends(&Switch::default().bytes().expect("none")));
        }
    }

    #[test]
    fn too_many_are_refused() {
        let many = Switch { default: 10_000, ..Switch::default() };
        assert_eq!(many.bytes().expect_err("too many").kind(), ErrorKind::Unsupported);
    }
}
