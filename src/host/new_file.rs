//! A file that is made whole or not at all, and standard output in its place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::dev::Outlet;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::machine::{FileTarget, NewFile};

/// So much is gathered before it is written.
const AT_ONCE: usize = 1 << 20;

/// Looks whether it can be made; nothing is there before the first byte comes.
pub(super) fn make(target: &FileTarget, replace: bool) -> Result<Box<dyn NewFile>> {
    match target {
        FileTarget::Stdout => Ok(Box::new(Output(BufWriter::with_capacity(AT_ONCE, io::stdout())))),
        FileTarget::Path(path) => Ok(Box::new(New::at(path, replace)?)),
    }
}

/// Who owns an operating system's files is in it, and their secrets: nobody else reads it.
const MODE: u32 = 0o600;

struct New {
    path: PathBuf,
    temporary: PathBuf,
    replace: bool,
    file: Option<BufWriter<File>>,
}

impl New {
    fn at(path: &Path, replace: bool) -> Result<Self> {
        let refused = |kind, why: &'static str| {
            let error = Error::new(kind, why).at(path.display()).op("write");
            Err(error.kept("nothing was changed"))
        };
        let Some(name) = path.file_name() else {
            return refused(ErrorKind::Invalid, "that names no file");
        };
        match fs::symlink_metadata(path) {
            Ok(meta) if !meta.is_file() => {
                return refused(ErrorKind::Invalid, "it is there, and no plain file");
            }
            Ok(_) if !replace => {
                return refused(ErrorKind::Exists, "it is there already; --force replaces it");
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("look at", path.display()),
        }
        let name = format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id());
        let new = Self {
            path: path.to_owned(),
            temporary: path.with_file_name(name),
            replace,
            file: None,
        };
        fs::read_dir(new.folder()).context("look at", new.folder().display())?;
        Ok(new)
    }

    fn folder(&self) -> &Path {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }

    fn file(&mut self) -> io::Result<&mut BufWriter<File>> {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(MODE);
            let file = options.open(&self.temporary)?;
            self.file = Some(BufWriter::with_capacity(AT_ONCE, file));
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self) -> io::Result<()> {
        if !self.replace {
            let how = RenameFlags::NOREPLACE;
            match renameat_with(CWD, &self.temporary, CWD, &self.path, how) {
                // A file system without that: it was looked at before.
                Err(Errno::INVAL | Errno::NOSYS) => {}
                renamed => return Ok(renamed?),
            }
        }
        fs::rename(&self.temporary, &self.path)
    }
}

impl Outlet for New {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file()?.write_all(bytes)
    }

    fn skip(&mut self, zeros: u64) -> io::Result<()> {
        let by = i64::try_from(zeros).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.file()?.seek(SeekFrom::Current(by)).map(drop)
    }
}

impl NewFile for New {
    fn finish(mut self: Box<Self>) -> Result<()> {
        let name = self.path.display().to_string();
        let file = self.file().context("write", &name)?;
        // What was skipped in the end is a hole too.
        let ended = file.stream_position().and_then(|len| {
            file.flush()?;
            file.get_ref().set_len(len)?;
            file.get_ref().sync_all()
        });
        ended.context("write", &name)?;
        self.rename().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let why = "somebody has made one of that name meanwhile";
                Error::new(ErrorKind::Exists, why).at(&name)
            }
            _ => Error::io(error).op("rename").at(&name),
        })?;
        self.file = None;
        // It has its name; a power cut may still take that back.
        let synced = File::open(self.folder()).and_then(|folder| folder.sync_all());
        synced
            .context("sync the folder", self.folder().display())
            .map_err(|error| error.kept("it is written"))
    }
}

impl Drop for New {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Standard output: what was put out before a failure is out.
struct Output(BufWriter<io::Stdout>);

impl Outlet for Output {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
}

impl NewFile for Output {
    fn finish(mut self: Box<Self>) -> Result<()> {
        self.0.flush().context("write", "standard output")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("there").flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir_in("/var/tmp").expect("a folder");
        let at = |name: &str| FileTarget::Path(dir.path().join(name));
        drop(make(&at("a"), false).expect("it can be made"));
        assert_eq!(names(dir.path()), [""; 0]);
        let mut file = make(&at("a"), false).expect("it can be made");
        file.put(b"front").expect("written");
        file.skip(3 << 20).expect("a hole");
        file.put(b"end").expect("written");
        file.skip(1 << 20).expect("a hole");
        assert_eq!(names(dir.path()).len(), 1);
        file.finish().expect("written");
        assert_eq!(names(dir.path()), ["a"]);
        let bytes = fs::read(dir.path().join("a")).expect("there");
        assert_eq!(bytes.len(), (4 << 20) + 8);
        assert!(bytes.starts_with(b"front\0") && bytes[(3 << 20) + 5..].starts_with(b"end\0"));
        let meta = fs::metadata(dir.path().join("a")).expect("there");
        assert!(meta.blocks() * 512 < 1 << 20 && meta.mode() & 0o777 == 0o600);
        let mut stopped = make(&at("b"), false).expect("it can be made");
        stopped.put(b"x").expect("written");
        drop(stopped);
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn what_is_there_is_kept() {
        let dir = tempfile::tempdir_in("/var/tmp").expect("a folder");
        let at = |name: &str| FileTarget::Path(dir.path().join(name));
        fs::write(dir.path().join("a"), "old").expect("written");
        symlink("a", dir.path().join("link")).expect("made");
        let kind = |target, replace| make(&target, replace).map(drop).map_err(|error| error.kind());
        assert_eq!(kind(at("a"), false), Err(ErrorKind::Exists));
        for target in [at("link"), FileTarget::Path("/dev/null".into()), at("."), at("..")] {
            assert_eq!(kind(target, true), Err(ErrorKind::Invalid));
        }
        assert_eq!(kind(at("none/a"), true), Err(ErrorKind::NotFound));
        let mut late = make(&at("b"), false).expect("it can be made");
        late.put(b"new").expect("written");
        fs::write(dir.path().join("b"), "theirs").expect("written");
        assert_eq!(late.finish().expect_err("theirs was first").kind(), ErrorKind::Exists);
        let mut forced = make(&at("a"), true).expect("it can be replaced");
        forced.put(b"new").expect("written");
        assert_eq!(fs::read(dir.path().join("a")).expect("there"), b"old");
        forced.finish().expect("replaced");
        assert_eq!(fs::read(dir.path().join("a")).expect("there"), b"new");
        assert_eq!(fs::read(dir.path().join("b")).expect("there"), b"theirs");
        assert_eq!(names(dir.path()), ["a", "b", "link"]);
    }
}
