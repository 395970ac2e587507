//! lvm2's archive and backup: a group's text before and after a change, as files that
//! vgcfgrestore(8) reads.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{IoContext, Result};
use crate::order;

/// How many old texts of a group are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retain {
    /// At least so many files.
    pub(super) min: usize,
    /// And whatever is younger than this.
    pub(super) days: u64,
}

/// Keeps a text as `GROUP_NUMBER-RANDOM.vg`, numbered on from those that are there, and removes
/// what is too old.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where it could not be written.
pub(super) fn archive(dir: &Path, vg: &str, text: &str, retain: Retain) -> Result<()> {
    let listed = match archived(dir, vg) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(dir)?;
            Ok(Vec::new())
        }
        listed => listed,
    };
    let mut old = listed.context("list lvm2's archive", dir.display())?;
    let number = old.last().map_or(0, |(number, _)| number.saturating_add(1));
    let random = u32::from_ne_bytes(random()?);
    Staged::write(dir.join(format!("{vg}_{number:05}-{random}.vg")), text, Sync::Later)?.keep()?;
    // The new one is among those to keep.
    let spare = old.len().saturating_add(1).saturating_sub(retain.min);
    old.truncate(spare);
    prune(&old, retain.days);
    Ok(())
}

/// Longest backup that is read: no metadata area holds a longer text.
const BACKUP_MOST: u64 = 64 << 20;

/// The group's backup, where there is one that can be read.
pub(super) fn read_backup(dir: &Path, vg: &str) -> Option<String> {
    let file = fs::File::open(dir.join(vg)).ok()?;
    let mut text = String::new();
    file.take(BACKUP_MOST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Writes a text that is to be the group's only backup, durably, beside the one there is.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where it could not be written.
pub(super) fn stage_backup(dir: &Path, vg: &str, text: &str) -> Result<Staged> {
    make_folder(dir)?;
    Staged::write(dir.join(vg), text, Sync::Now)
}

fn make_folder(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.context("make a folder for lvm2's texts", dir.display())
}

fn random() -> Result<[u8; 4]> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(io::Error::other).context("get a number", "getrandom")?;
    Ok(bytes)
}

/// The archived files of a group, oldest first, with their numbers.
fn archived(dir: &Path, vg: &str) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(|name| number_of(name, vg)) {
            found.push((number, entry.path()));
        }
    }
    order::sort(&mut found);
    Ok(found)
}

/// `7` for `vg_00007-123.vg`. Another group's name may begin with `vg_`, but not go on so.
fn number_of(name: &str, vg: &str) -> Option<u32> {
    let rest = name.strip_prefix(vg)?.strip_prefix('_')?.strip_suffix(".vg")?;
    let (number, random) = rest.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (number.len() >= 5 && digits(number) && digits(random)).then(|| number.parse().ok())?
}

/// Removes those of `old` that are older than so many days, from the oldest on.
fn prune(old: &[(u32, PathBuf)], days: u64) {
    let age = Duration::from_secs(days.saturating_mul(86_400));
    let Some(limit) = SystemTime::now().checked_sub(age) else { return };
    for (_, path) in old {
        let time = fs::metadata(path).and_then(|meta| meta.modified());
        if !time.is_ok_and(|time| time < limit) {
            return;
        }
        if let Err(error) = fs::remove_file(path) {
            log::warn!("{}: {error}", path.display());
        }
    }
}

/// Writes a file whole or not at all. After a power cut the old one may be there, never half of
/// the new one.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    Staged::write(path.to_owned(), text, Sync::Now)?.keep()
}

/// Whether a file's bytes are durable before it gets its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Now,
    Later,
}

/// A file under a name of its own; dropping it removes it.
#[derive(Debug)]
pub(super) struct Staged {
    temporary: PathBuf,
    path: PathBuf,
    kept: bool,
}

impl Staged {
    fn write(path: PathBuf, text: &str, sync: Sync) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let staged = Self { temporary, path, kept: false };
        let written = fill(&staged.temporary, text, sync);
        written.context("write lvm2's file", staged.path.display())?;
        Ok(staged)
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io).
    pub(super) fn keep(mut self) -> Result<()> {
        let kept = fs::rename(&self.temporary, &self.path);
        self.kept = kept.is_ok();
        kept.context("write lvm2's file", self.path.display())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn fill(path: &Path, text: &str, sync: Sync) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    if sync == Sync::Now { file.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("there");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn archives_are_numbered_and_private() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("archive");
        let retain = Retain { min: 10, days: 30 };
        archive(&folder, "vg", "first", retain).expect("written");
        archive(&folder, "vg", "second", retain).expect("written");
        archive(&folder, "vg_00001-2", "another group", retain).expect("written");
        let names = names(&folder);
        assert_eq!(names.len(), 3);
        assert!(names.iter().any(|name| name.starts_with("vg_00000-")));
        let second = names.iter().find(|name| number_of(name, "vg") == Some(1)).expect("numbered");
        let path = folder.join(second);
        assert_eq!(fs::read_to_string(&path).expect("readable"), "second");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).expect("there").mode() & 0o777, 0o700);
    }

    #[test]
    fn only_old_ones_beyond_the_least_number_go() {
        let dir = tempfile::tempdir().expect("a folder");
        for number in 0..6 {
            let path = dir.path().join(format!("vg_{number:05}-1.vg"));
            let file = File::create(&path).expect("made");
            let days = if number < 4 { 40 } else { 1 };
            let time = SystemTime::now() - Duration::from_secs(days * 86_400);
            file.set_modified(time).expect("set");
        }
        archive(dir.path(), "vg", "new", Retain { min: 5, days: 30 }).expect("written");
        let names = names(dir.path());
        assert_eq!(names.len(), 5, "{names:?}");
        assert_eq!(names.first().map(String::as_str), Some("vg_00002-1.vg"));
        archive(dir.path(), "vg", "new", Retain { min: 0, days: 30 }).expect("written");
        assert_eq!(archived(dir.path(), "vg").expect("listed").len(), 4);
    }

    #[test]
    fn a_backup_replaces_the_one_before() {
        let dir = tempfile::tempdir().expect("a folder");
        let staged = stage_backup(dir.path(), "vg", "one").expect("written");
        staged.keep().expect("renamed");
        let staged = stage_backup(dir.path(), "vg", "two").expect("written");
        staged.keep().expect("renamed");
        assert_eq!(names(dir.path()), ["vg"]);
        assert_eq!(fs::read_to_string(dir.path().join("vg")).expect("readable"), "two");
    }
}
