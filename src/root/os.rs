//! What a system calls itself: `/etc/os-release` (os-release(5)), `/etc/machine-id`.

use super::{RootFiles, shell, text};
use crate::error::Result;

/// In the order in which they are looked for.
const PLACES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// What a menu shows of a system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OsRelease {
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub pretty_name: Option<String>,
    /// `debian`.
    pub id: Option<String>,
    /// `12`.
    pub version_id: Option<String>,
    /// 32 hexadecimal digits, where the system has been given some.
    pub machine_id: Option<String>,
}

impl OsRelease {
    /// Reads it.
    ///
    /// # Errors
    /// As [`RootFiles::read`].
    pub fn read(root: &dyn RootFiles) -> Result<Self> {
        let mut release = Self::default();
        for place in PLACES {
            let Some(text) = text(root, place)? else { continue };
            for (value, name) in [
                (&mut release.pretty_name, "PRETTY_NAME"),
                (&mut release.id, "ID"),
                (&mut release.version_id, "VERSION_ID"),
            ] {
                let said = || shell::value(&text, name).map(|said| one_line(&said));
                *value = value.take().or_else(|| said().filter(|said| !said.is_empty()));
            }
        }
        let id = text(root, "/etc/machine-id")?;
        let id = id.map(|id| id.trim().to_owned());
        release.machine_id = id.filter(|id| id.len() == 32 && is_hex(id));
        Ok(release)
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::testing::Files;

    #[test]
    fn a_system_says_what_it_is() {
        let root = Files::of(&[
            ("/usr/lib/os-release", "ID=debian\nPRETTY_NAME=\"Debian\tGNU/Linux 12\"\n"),
            ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ]);
        let release = OsRelease::read(&root).expect("readable");
        assert_eq!(release.pretty_name.as_deref(), Some("Debian GNU/Linux 12"));
        assert_eq!(release.machine_id.as_deref(), Some("0123456789abcdef0123456789abcdef"));
        let root = Files::of(&[("/etc/machine-id", "uninitialized\n")]);
        assert_eq!(OsRelease::read(&root).expect("readable"), OsRelease::default());
    }
}
