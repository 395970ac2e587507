//! The variables by which a loader on EFI and a running system talk to each other.
//!
//! Source: systemd's Boot Loader Interface. All have the vendor
//! `4a67b082-0a4c-41cf-b6c7-440b29bb8c4f`; texts are UTF-16LE and end with a NUL.

use crate::error::Result;

/// The vendor of all of them.
pub const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variable {
    /// What boots next, once. The loader removes it when it reads it.
    OneShot,
    /// What boots next unless it has no tries left (from systemd 260 on); before all defaults.
    Preferred,
    /// What boots next, whatever loader.conf says.
    Default,
    /// The file whose counter the loader has just moved. Lost at the next reset.
    CountPath,
    /// Who the loader is: `systemd-boot 252`.
    Info,
}

impl Variable {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneShot => "LoaderEntryOneShot",
            Self::Preferred => "LoaderEntryPreferred",
            Self::Default => "LoaderEntryDefault",
            Self::CountPath => "LoaderBootCountPath",
            Self::Info => "LoaderInfo",
        }
    }
}

/// The machine's variables. A set and a removal are whole or not there at all, and durable.
pub trait EfiVars: Send + Sync {
    /// Its bytes; `None` where there is none.
    ///
    /// # Errors
    /// [`Denied`](crate::ErrorKind::Denied), [`Io`](crate::ErrorKind::Io), naming the variable.
    fn get(&self, variable: Variable) -> Result<Option<Vec<u8>>>;

    /// Sets it for good.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`NoSpace`](crate::ErrorKind::NoSpace).
    fn set(&self, variable: Variable, value: &[u8]) -> Result<()>;

    /// Removes it; nothing where there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn remove(&self, variable: Variable) -> Result<()>;
}

/// The text of a variable's bytes, up to its NUL; what is no UTF-16 is replaced.
pub(super) fn text(bytes: &[u8]) -> String {
    let (units, _) = bytes.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|unit| *unit != 0);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// A text as a variable's bytes.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_utf_16_with_a_nul() {
        assert_eq!(bytes("aé"), [b'a', 0, 0xe9, 0, 0, 0]);
        assert_eq!(text(&bytes("imgbase__*")), "imgbase__*");
        assert_eq!(text(&[b'a', 0, 0, 0, b'b', 0]), "a");
        assert_eq!(text(&[0, 0xd8, b'x']), "\u{fffd}");
        assert_eq!(text(&[]), "");
    }
}
