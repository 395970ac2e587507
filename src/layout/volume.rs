//! Data volumes: where they are mounted, and what they are called for that.
//!
//! As imgbased names them: `/var/log` is `var_log`, and a hyphen of the path is two in the name. Two
//! paths may have one name that way, so that ours say theirs in a tag.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::tag;
use crate::lvm2::model::{Lv, Thin};
use crate::name::{BadName, LvName};

/// Folders without which nothing starts, and those of the kernel.
const NEEDED: [&str; 13] = [
    "/bin", "/boot", "/dev", "/efi", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin",
    "/sys", "/usr",
];
/// Nothing of ours is mounted in these either.
const WHOLLY: [&str; 6] = ["/boot/", "/dev/", "/efi/", "/proc/", "/run/", "/sys/"];

/// Where a data volume is mounted: a path from the root, without links or anything odd in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct VolumePath {
    path: String,
    name: LvName,
}

impl VolumePath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// What its volume is called.
    pub fn lv_name(&self) -> &LvName {
        &self.name
    }

    /// True where this one is in the other, or is it.
    pub fn is_in(&self, folder: &str) -> bool {
        let rest = self.path.strip_prefix(folder.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path of a volume that is there: by its tag, else by its name.
    pub(super) fn of(lv: &Lv) -> Result<Self, BadName> {
        let told = lv.tags.iter().find_map(|tag| tag.as_str().strip_prefix(tag::AT));
        let path: Self = match told {
            Some(path) => path.parse()?,
            None => path_of(lv.name.as_str()).parse()?,
        };
        Ok(Self { name: lv.name.clone(), ..path })
    }
}

/// What imgbased makes of a name.
fn path_of(name: &str) -> String {
    let one = name.replace("--", "\0").replace('_', "/").replace('\0', "-");
    format!("/{one}")
}

impl FromStr for VolumePath {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |why| BadName::new(text, "place for a volume", why);
        let path = text.trim_end_matches('/');
        let Some(inside) = path.strip_prefix('/') else {
            return Err(bad("give a folder by its path from the root, as /var/log"));
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
        for name in inside.split('/') {
            if name.is_empty() || name == "." || name == ".." {
                return Err(bad("it has a part that names nothing, or goes up"));
            }
            if !name.chars().all(plain) {
                return Err(bad("letters, digits and + _ . - are all that a volume's name takes"));
            }
        }
        if NEEDED.contains(&path) || WHOLLY.iter().any(|folder| path.starts_with(folder)) {
            return Err(bad("the system is started from what is there, or the kernel's"));
        }
        let name = inside.replace('-', "--").replace('/', "_").parse();
        let name = name.map_err(|_| bad("no volume can be called so"))?;
        Ok(Self { path: path.to_owned(), name })
    }
}

impl fmt::Display for VolumePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl From<VolumePath> for String {
    fn from(path: VolumePath) -> Self {
        path.path
    }
}

/// A volume that layers share.
#[derive(Clone, Debug)]
pub struct DataVolume<'v> {
    /// Where it is mounted.
    pub path: VolumePath,
    /// The volume.
    pub lv: &'v Lv,
    /// Its thin segment.
    pub thin: &'v Thin,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_imgbaseds() {
        for (path, name) in [
            ("/var/log", "var_log"),
            ("/var/log/audit/", "var_log_audit"),
            ("/home", "home"),
            ("/srv/my-data", "srv_my--data"),
        ] {
            let path: VolumePath = path.parse().expect(path);
            assert_eq!(path.lv_name().as_str(), name);
            assert_eq!(path_of(name), path.as_str());
        }
        let odd: VolumePath = "/srv/my_data".parse().expect("a path");
        assert_eq!(path_of(odd.lv_name().as_str()), "/srv/my/data", "it takes a tag to know");
    }

    #[test]
    fn places_that_make_no_sense_are_refused() {
        for bad in [
            "",
            "/",
            "//",
            "var",
            "/var/../etc",
            "/a//b",
            "/./a",
            "/a b",
            "/é",
            "/etc",
            "/usr/",
            "/boot/efi",
            "/dev/x",
            "/proc",
            "/run/x",
            "/x/y\n",
        ] {
            assert!(bad.parse::<VolumePath>().is_err(), "{bad:?}");
        }
        assert!("/usr/local".parse::<VolumePath>().is_ok());
        assert!(format!("/{}", "x".repeat(200)).parse::<VolumePath>().is_err());
    }

    #[test]
    fn folders_hold_what_is_below_them() {
        let log: VolumePath = "/var/log".parse().expect("a path");
        assert!(log.is_in("/var") && log.is_in("/var/log") && log.is_in("/"));
        assert!(!log.is_in("/var/lo") && !log.is_in("/var/log/audit"));
    }

    proptest! {
        #[test]
        fn a_name_without_an_underscore_tells_the_path(path in "(/[a-z+.-]{1,9}){1,5}") {
            if let Ok(path) = path.parse::<VolumePath>() {
                prop_assert_eq!(path_of(path.lv_name().as_str()), path.as_str());
            }
        }
    }
}
