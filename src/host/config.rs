//! What the owner of a host has said of its start, in a file of configuration.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{BootLoader, HostConfig};
use crate::boot::{LoaderKind, Tries};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::etc::config::{bad_word, each_setting};
use crate::root::CONFIG_MOST;

/// The host's file of configuration.
pub const CONFIG: &str = "/etc/imgbase.conf";

/// The section of it that is about the start.
const BOOT: &str = "boot";

const UNCHANGED: &str = "nothing was changed";

impl HostConfig {
    /// The default with what the section `[boot]` of a file says: `loader`, `dir` and `tries`. The
    /// file is [`CONFIG`], where that is there, unless another is named. Other sections are others'.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for another key in that section, and for a value that makes
    /// no sense, naming the line; [`NotFound`](ErrorKind::NotFound) for a file that was named and
    /// is not there; [`Unsupported`](ErrorKind::Unsupported) for a very large one;
    /// [`Denied`](ErrorKind::Denied), [`Io`](ErrorKind::Io).
    pub fn read(named: Option<&Path>) -> Result<Self> {
        let path = named.unwrap_or(Path::new(CONFIG));
        let mut config = Self::default();
        let opened = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
                return Ok(config);
            }
            opened => opened,
        };
        let shown = path.display().to_string();
        let file = opened.context("read the configuration", &shown)?;
        let text = text(file).map_err(|error| error.op("read the configuration").at(&shown))?;
        each_setting(&text, &shown, &mut |section, key, value| match section {
            BOOT => config.set(key, value),
            _ => Ok(()),
        })
        .map_err(|error| error.kept(UNCHANGED))?;
        Ok(config)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "loader" => {
                let why = "the loader is 'systemd-boot', 'grub-bls', 'grub' or 'none'";
                self.loader = loader(value).ok_or_else(|| bad_word(value, why))?;
            }
            "dir" if value.starts_with('/') => self.boot_dir = Some(PathBuf::from(value)),
            "dir" => return Err(bad_word(value, "the folder is a path that begins with '/'")),
            "tries" => {
                let tries = value.parse().ok().and_then(|tries| Tries::new(tries).ok());
                let why = "the tries are a number from 1 to 9";
                self.tries = Some(tries.ok_or_else(|| bad_word(value, why))?);
            }
            _ => return Err(bad_word(key, "[boot] has the keys 'loader', 'dir' and 'tries'")),
        }
        Ok(())
    }
}

fn loader(word: &str) -> Option<BootLoader> {
    let mut kinds = [LoaderKind::SystemdBoot, LoaderKind::GrubBls, LoaderKind::Grub].into_iter();
    match word {
        "none" => Some(BootLoader::None),
        word => kinds.find(|kind| kind.word() == word).map(BootLoader::Known),
    }
}

fn text(file: File) -> Result<String> {
    let mut bytes = Vec::new();
    file.take(CONFIG_MOST.get().saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > CONFIG_MOST.get()) {
        let why = format!("it is larger than {CONFIG_MOST}");
        return Err(Error::new(ErrorKind::Unsupported, why));
    }
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::Invalid, "it is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HostConfig> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("imgbase.conf");
        std::fs::write(&path, text).expect("written");
        HostConfig::read(Some(&path))
    }

    #[test]
    fn a_file_says_what_starts_a_host() {
        let config = read("# ours\n[boot]\nloader = grub-bls\ndir=/efi\n tries = 5\n");
        let error = config.expect_err("the last line goes on with the one before");
        assert!(error.to_string().contains("'tries = 5'"), "{error}");
        let text =
            "[files]\npaths = /opt\n[boot]\nloader = grub\ndir=/a b\ntries = 5\n[x]\ny = z\n";
        let config = read(text).expect("it makes sense");
        assert_eq!(config.loader, BootLoader::Known(LoaderKind::Grub));
        assert_eq!(config.boot_dir.as_deref(), Some(Path::new("/a b")));
        assert_eq!(config.tries.map(Tries::get), Some(5));
        let config = read("[boot]\nloader = none\n").expect("it makes sense");
        assert_eq!((config.loader, config.boot_dir), (BootLoader::None, None));
        assert_eq!(read("").expect("nothing is said").loader, BootLoader::Any);
    }

    #[test]
    fn what_makes_no_sense_is_told_with_what_is_allowed() {
        let say = |line: &str| {
            let error = read(&format!("[boot]\n; why\n{line}\n")).expect_err("it is wrong");
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            let told = error.to_string();
            assert!(told.contains("imgbase.conf, line 3: '"), "{told}");
            assert!(told.ends_with("; nothing was changed"), "{told}");
            told
        };
        assert!(say("loader = lilo").contains("'lilo': the loader is 'systemd-boot', 'grub-bls'"));
        assert!(say("loader").contains("'': the loader is"));
        assert!(say("dir = boot").contains("'boot': the folder is a path that begins with '/'"));
        assert!(say("tries = 10").contains("'10': the tries are a number from 1 to 9"));
        assert!(
            say("trys = 2").contains("'trys': [boot] has the keys 'loader', 'dir' and 'tries'")
        );
        let error = HostConfig::read(Some(Path::new("/does/not/exist"))).expect_err("not there");
        assert!(error.kind() == ErrorKind::NotFound, "{error}");
    }
}
