//! What the owner of a host wants carried over beside what is by default: lists on the Config
//! volume, and a file of configuration in the layer.

use std::time::Duration;

use super::config::{bad_word, each_setting, lines, of_line};
use super::hooks::{Hook, HookPlace, hooks_in};
use super::pattern::Pattern;
use super::{BESIDE, OURS_BESIDE, OnConflict};
use crate::error::{Error, ErrorKind, Result};
use crate::order;
use crate::root::{self, CONFIG_MOST, RootFiles};
use crate::tree::TreePath;

/// The files of configuration of a layer, and the folder of more of them beside each; imgbased has
/// the first.
const CONFIGS: [&str; 2] = ["/etc/imgbased.conf", "/etc/imgbase.conf"];
/// More patterns than this are a mistake.
const PATTERNS_MOST: usize = 1000;

/// What becomes of what makes a host be itself: machine-id, host keys, the name as an iSCSI initiator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// The new layer is the same host.
    #[default]
    Keep,
    /// It is another one, which finds out who it is at its first start.
    New,
}

/// What the owner of a host has asked for.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// What is taken as a whole where it was changed.
    pub files: Vec<Pattern>,
    /// What is merged as `/etc` is.
    pub rebase: Vec<Pattern>,
    /// Where the layer has other file systems mounted.
    pub mounts: Vec<TreePath>,
    /// Whether it stays who it is.
    pub identity: Identity,
    /// What is done where both sides do not fit; not read from anywhere.
    pub on_conflict: OnConflict,
    /// What is run over the new layer, in this order.
    pub hooks: Vec<Hook>,
    /// How long each may take; [`HOOK_LIMIT`](super::HOOK_LIMIT) where nothing was said.
    pub hook_limit: Option<Duration>,
}

/// Which list a path goes to.
#[derive(Clone, Copy)]
enum List {
    Files,
    Rebase,
}

impl Wishes {
    /// Adds what the Config volume says: `files`, what is in `files.d` and in `rebase.d`, a path a
    /// line, and the programs in `hooks.d`. To be called first: of hooks with the same name those of
    /// the volume count.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for a line that is no path, naming it;
    /// [`Denied`](ErrorKind::Denied) for a hook that others than root may change; those of the volume.
    pub fn read_volume(&mut self, volume: &dyn RootFiles) -> Result<()> {
        self.list(volume, "/files", List::Files)?;
        for (folder, list) in [("/files.d", List::Files), ("/rebase.d", List::Rebase)] {
            for path in named_in(volume, folder)? {
                self.list(volume, &path, list)?;
            }
        }
        self.hooks(volume, HookPlace::Config)
    }

    /// Adds what the layer's own files of configuration say, and where it has other file systems.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for what cannot be understood, naming the line;
    /// [`Denied`](ErrorKind::Denied) as for the volume; those of the layer.
    pub fn read_layer(&mut self, layer: &dyn RootFiles) -> Result<()> {
        for config in CONFIGS {
            self.config(layer, config)?;
            for path in named_in(layer, &format!("{config}.d"))? {
                self.config(layer, &path)?;
            }
        }
        self.mounts.append(&mut root::mount_points(layer)?);
        self.hooks(layer, HookPlace::Layer)
    }

    /// True where one of the hooks is on the Config volume.
    pub fn has_hooks_on_config(&self) -> bool {
        self.hooks.iter().any(|hook| hook.place == HookPlace::Config)
    }

    fn hooks(&mut self, files: &dyn RootFiles, place: HookPlace) -> Result<()> {
        let mut hooks = hooks_in(files, place)?;
        hooks.retain(|hook| !self.hooks.iter().any(|there| there.name == hook.name));
        self.hooks.append(&mut hooks);
        order::sort_by_key(&mut self.hooks, |hook| hook.name.clone());
        Ok(())
    }

    fn list(&mut self, volume: &dyn RootFiles, path: &str, list: List) -> Result<()> {
        let text = text(volume, path)?;
        for (number, line) in lines(&text) {
            self.add(list, line.trim()).map_err(|error| of_line(error, path, number))?;
        }
        Ok(())
    }

    fn add(&mut self, list: List, path: &str) -> Result<()> {
        if self.files.len().saturating_add(self.rebase.len()) >= PATTERNS_MOST {
            let why = format!("more than {PATTERNS_MOST} paths are listed: list the folders");
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        let pattern = Pattern::parse(path)?;
        match list {
            List::Files => self.files.push(pattern),
            List::Rebase => self.rebase.push(pattern),
        }
        Ok(())
    }

    /// One file of configuration. Sections that are not ours are imgbased's, or the program's own.
    fn config(&mut self, layer: &dyn RootFiles, path: &str) -> Result<()> {
        let text = text(layer, path)?;
        each_setting(&text, path, &mut |section, key, value| self.set(section, key, value))
    }

    fn set(&mut self, section: &str, key: &str, value: &str) -> Result<()> {
        let list = match (section, key) {
            ("files", "paths") => List::Files,
            ("rebase", "paths") => List::Rebase,
            ("hooks", "timeout") => {
                let seconds = value.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
                let seconds =
                    seconds.ok_or_else(|| bad_word(value, "it is no number of seconds"))?;
                self.hook_limit = Some(Duration::from_secs(seconds));
                return Ok(());
            }
            ("identity", "policy") => {
                self.identity = match value {
                    "keep" => Identity::Keep,
                    "new" => Identity::New,
                    _ => return Err(bad_word(value, "the policy is 'keep' or 'new'")),
                };
                return Ok(());
            }
            ("files" | "rebase" | "hooks" | "identity", _) => {
                let known = match section {
                    "hooks" => "timeout",
                    "identity" => "policy",
                    _ => "paths",
                };
                return Err(bad_word(key, format!("[{section}] has the key '{known}' alone")));
            }
            _ => return Ok(()),
        };
        if value.is_empty() { Ok(()) } else { self.add(list, value) }
    }
}

/// The files in a folder by path, in the order of their names, but for hidden ones and for what
/// editors and merges leave beside them.
pub(super) fn named_in(files: &dyn RootFiles, folder: &str) -> Result<Vec<String>> {
    let mut names = files.list(folder)?;
    let is_beside = |name: &str| ["~", BESIDE, OURS_BESIDE].iter().any(|end| name.ends_with(end));
    names.retain(|name| !name.starts_with('.') && !is_beside(name));
    Ok(names.into_iter().map(|name| format!("{folder}/{name}")).collect())
}

/// Empty where there is no such file.
fn text(files: &dyn RootFiles, path: &str) -> Result<String> {
    let bytes = files.read(path, CONFIG_MOST)?.unwrap_or_default();
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::Invalid, "it is no text").at(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::testing::Files;

    fn shown(patterns: &[Pattern]) -> Vec<String> {
        patterns.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_volume_lists_paths() {
        let volume = Files::of(&[
            ("/files", "# what is ours\n/opt/app\n\n  /srv/*  \n"),
            ("/files.d/20-b", "/var/lib/b"),
            ("/files.d/10-a", "/var/lib/a"),
            ("/files.d/10-a.imgnew", "not a path"),
            ("/files.d/10-a~", "not a path"),
            ("/rebase.d/x", "/usr/local/etc\n"),
        ]);
        let mut wishes = Wishes::default();
        wishes.read_volume(&volume).expect("readable");
        assert_eq!(shown(&wishes.files), ["/opt/app", "/srv/*", "/var/lib/a", "/var/lib/b"]);
        assert_eq!(shown(&wishes.rebase), ["/usr/local/etc"]);
    }

    #[test]
    fn a_layer_says_the_same_in_its_configuration() {
        let layer = Files::of(&[
            ("/etc/imgbased.conf", "[core]\nexperimental\n[update]\nimages_to_keep = 2\n"),
            ("/etc/imgbase.conf", "[files]\npaths = /opt/app\n  /opt/with a blank\n\n\t/srv\n"),
            ("/etc/imgbase.conf.d/a", "; said\n[rebase]\npaths =\n  # why\n  /usr/local/etc\n"),
            ("/etc/fstab", "x / ext4\nd /var/log ext4\n"),
        ]);
        let mut wishes = Wishes::default();
        wishes.read_layer(&layer).expect("readable");
        assert_eq!(shown(&wishes.files), ["/opt/app", "/opt/with a blank", "/srv"]);
        assert_eq!(shown(&wishes.rebase), ["/usr/local/etc"]);
        let mounts: Vec<String> = wishes.mounts.iter().map(ToString::to_string).collect();
        assert_eq!(mounts, ["/var/log"]);
    }

    #[test]
    fn imgbased_s_own_files_say_it_too() {
        let layer = Files::of(&[
            ("/etc/imgbased.conf", "[core]\ndebug = 1\n[files]\npaths = /opt/app\n"),
            ("/etc/imgbased.conf.d/20-more", "[files]\npaths = /srv\n  /opt/more\n"),
            ("/etc/imgbased.conf.d/10-first", "[rebase]\npaths = /usr/local/etc\n"),
        ]);
        let mut wishes = Wishes::default();
        wishes.read_layer(&layer).expect("readable");
        assert_eq!(shown(&wishes.files), ["/opt/app", "/srv", "/opt/more"]);
        assert_eq!(shown(&wishes.rebase), ["/usr/local/etc"]);
    }

    #[test]
    fn hooks_are_what_root_alone_can_change_and_all_can_run() {
        let volume = Files::of(&[
            ("/hooks.d/20-b", "#!/bin/sh\n"),
            ("/hooks.d/README", "no program"),
            ("/hooks.d/.hidden", "#!/bin/sh\n"),
            ("/hooks.d/20-b.imgnew", "#!/bin/sh\n"),
        ]);
        let layer = Files::of(&[
            ("/etc/imgbase/hooks.d/10-a", "#!/bin/sh\n"),
            ("/etc/imgbase/hooks.d/20-b", "#!/bin/sh\n"),
            ("/etc/imgbase.conf", "[hooks]\ntimeout = 5\n[identity]\npolicy = new\n"),
        ]);
        let mut wishes = Wishes::default();
        wishes.read_volume(&volume).and_then(|()| wishes.read_layer(&layer)).expect("readable");
        let hook = |place, name: &str| Hook { place, name: name.into() };
        let wanted = [hook(HookPlace::Layer, "10-a"), hook(HookPlace::Config, "20-b")];
        assert_eq!(wishes.hooks, wanted);
        assert_eq!(wishes.hook_limit, Some(Duration::from_secs(5)));
        assert_eq!(wishes.identity, Identity::New);
        let volume = Files::of(&[("/hooks.d/x", "#!/of/all")]);
        let error = Wishes::default().read_volume(&volume).expect_err("it is not safe");
        assert!(error.kind() == ErrorKind::Denied && error.to_string().contains("/hooks.d/x"));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line() {
        let say = |path: &str, text: &str| {
            let files = Files::of(&[(path, text)]);
            let mut wishes = Wishes::default();
            let read = wishes.read_volume(&files).and_then(|()| wishes.read_layer(&files));
            read.expect_err("it is wrong").to_string()
        };
        let told = say("/files", "/a\n/b/../c\n");
        assert!(told.contains("/files, line 2") && told.contains("'/b/../c'"), "{told}");
        let told = say("/etc/imgbase.conf", "[files]\npath = /a\n");
        assert!(told.contains("line 2") && told.contains("'paths'"), "{told}");
        assert!(say("/etc/imgbase.conf", "[rebase]\n/a\n").contains("line 2"));
        assert!(say("/etc/imgbase.conf", "[identity]\npolicy = odd\n").contains("'odd'"));
        assert!(say("/etc/imgbase.conf", "[hooks]\ntimeout = 0\n").contains("line 2"));
        assert!(say("/rebase.d/a", "relative\n").contains("'relative'"));
        assert!(say("/files", &"/a\n".repeat(1001)).contains("line 1001"));
    }
}
