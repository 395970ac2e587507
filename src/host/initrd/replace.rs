//! A file replaced whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, IoContext, Result};

/// Writes a file under another name in the same folder, syncs it, gives it its name and syncs the
/// folder. Where something fails, what had the name has it still.
pub(super) fn replace<T>(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    let Some(name) = path.file_name() else {
        let error = Error::new(ErrorKind::Invalid, "that names no file");
        return Err(error.at(path.display()).op("write"));
    };
    let name = format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id());
    let temporary = Temporary { path: path.with_file_name(name) };
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(mode).open(&temporary.path);
    let file = file.context("write", path.display())?;
    let mut out = BufWriter::new(&file);
    let filled = fill(&mut out)?;
    out.flush().context("write", path.display())?;
    drop(out);
    file.sync_all().context("sync", path.display())?;
    fs::rename(&temporary.path, path).context("rename", path.display())?;
    std::mem::forget(temporary);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new("."));
    // It has its name; a power cut may still take that back.
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced
        .context("sync the folder", folder.display())
        .map_err(|error| error.kept("it is written"))?;
    Ok(filled)
}

/// A file that goes when it is dropped.
struct Temporary {
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("there").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_failure_leaves_what_was_there_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        let put = |text: &'static [u8]| {
            move |out: &mut dyn Write| out.write_all(text).context("write", "memory")
        };
        replace(&path, 0o600, put(b"old")).expect("written");
        let failed: Result<()> = replace(&path, 0o600, |out| {
            put(b"new")(out)?;
            Err(Error::new(ErrorKind::Io, "no more"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).expect("there"), b"old");
        replace(&path, 0o600, put(b"new")).expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"new");
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = replace(Path::new("/nowhere/file"), 0o600, |_| Ok(())).expect_err("not there");
        assert!(error.to_string().contains("/nowhere/file"), "{error}");
        assert!(replace(Path::new("/"), 0o600, |_| Ok(())).is_err());
    }
}
