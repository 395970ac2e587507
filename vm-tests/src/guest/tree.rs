//! Lists a file tree, a line for each name, so that two lists are equal where two trees are.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{Mode, OFlags};

/// What is read at once.
const BUFFER: usize = 256 << 10;
/// What reads past the page cache must keep to.
const ALIGNMENT: usize = 4096;
/// Files above this are read past the page cache.
const DIRECT: u64 = 32 << 10;

/// Prints the tree under `root`: type, mode, owner, times, links, size, content and xattrs.
pub(super) fn print(root: &str) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut walk = Walk { root: root.into(), first_names: HashMap::new(), out: &mut out };
    match walk.visit(Path::new(root)).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guest: tree: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is printed of a name.
pub(super) struct Line<'a> {
    pub(super) name: &'a Path,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) time: (i64, i64),
    pub(super) content: String,
    pub(super) xattrs: String,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, owner: (uid, gid), time: (secs, nanos), content, xattrs, .. } = self;
        let name = self.name.as_os_str().as_bytes().escape_ascii();
        write!(f, "/{name} {mode:o} {uid}:{gid} {secs}.{nanos:09} {content}{xattrs}")
    }
}

struct Walk<'a> {
    root: PathBuf,
    first_names: HashMap<u64, PathBuf>,
    out: &'a mut dyn Write,
}

impl Walk<'_> {
    fn visit(&mut self, path: &Path) -> io::Result<()> {
        let meta = fs::symlink_metadata(path)?;
        let name = path.strip_prefix(&self.root).unwrap_or(path).to_path_buf();
        if name == Path::new("lost+found") {
            return Ok(());
        }
        self.line(path, &name, &meta)?;
        if !meta.is_dir() {
            return Ok(());
        }
        let mut entries: Vec<_> = fs::read_dir(path)?.collect::<io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        entries.iter().try_for_each(|entry| self.visit(&entry.path()))
    }

    fn line(&mut self, path: &Path, name: &Path, meta: &Metadata) -> io::Result<()> {
        let content = self.content(path, name, meta)?;
        let line = Line {
            name,
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            time: (meta.mtime(), meta.mtime_nsec()),
            content,
            xattrs: xattrs(path)?,
        };
        writeln!(self.out, "{line}")
    }

    fn content(&mut self, path: &Path, name: &Path, meta: &Metadata) -> io::Result<String> {
        let kind = meta.file_type();
        if !kind.is_dir() && meta.nlink() > 1 {
            if let Some(first) = self.first_names.get(&meta.ino()) {
                return Ok(format!("link {} /{}", meta.nlink(), first.display()));
            }
            self.first_names.insert(meta.ino(), name.to_path_buf());
        }
        if kind.is_file() {
            let sum = hash(&mut open(path, meta.len())?)?;
            Ok(format!("file {} {} {sum:016x}", meta.nlink(), meta.len()))
        } else if kind.is_symlink() {
            Ok(format!("symlink {}", fs::read_link(path)?.display()))
        } else if kind.is_char_device() || kind.is_block_device() {
            Ok(format!("device {} {:x}", meta.nlink(), meta.rdev()))
        } else {
            Ok(if kind.is_dir() { "folder".into() } else { format!("other {}", meta.nlink()) })
        }
    }
}

/// Not a cryptographic hash, but a fast one: files differ here by accident, never by intent.
pub(super) fn hash(file: &mut dyn Read) -> io::Result<u64> {
    let mut memory = vec![0; BUFFER + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    let buffer = &mut memory[start..start + BUFFER];
    let mut sum = 0;
    loop {
        let n = fill(file, buffer)?;
        let whole = n.next_multiple_of(8);
        buffer[n..whole].fill(0);
        sum = buffer[..whole].chunks_exact(8).fold(sum, mix);
        if n < BUFFER {
            return Ok(sum);
        }
    }
}

/// Large files past the page cache, which costs most of the time under emulation.
fn open(path: &Path, len: u64) -> io::Result<File> {
    if len > DIRECT {
        let direct = OFlags::DIRECT | OFlags::RDONLY;
        if let Ok(file) = rustix::fs::open(path, direct, Mode::empty()) {
            return Ok(file.into());
        }
    }
    File::open(path)
}

/// Reads until the buffer is full, so that where reads end makes no difference. A read that ends
/// off the alignment was the file's last.
fn fill(file: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    loop {
        match file.read(&mut buffer[n..])? {
            0 => return Ok(n),
            more if more % ALIGNMENT != 0 => return Ok(n + more),
            more => n += more,
        }
    }
}

fn mix(sum: u64, word: &[u8]) -> u64 {
    let word = word.try_into().map_or(0, u64::from_le_bytes);
    (sum.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn xattrs(path: &Path) -> io::Result<String> {
    let mut names = [0; 4096];
    let n = rustix::fs::llistxattr(path, &mut names)?;
    let mut names: Vec<&[u8]> = names[..n].split(|b| *b == 0).filter(|name| counts(name)).collect();
    names.sort_unstable();
    names.into_iter().map(|name| xattr(path, name)).collect()
}

/// XFS shows an ACL a second time, in its own form.
fn counts(name: &[u8]) -> bool {
    !name.is_empty() && !name.starts_with(b"trusted.SGI_ACL_")
}

fn xattr(path: &Path, name: &[u8]) -> io::Result<String> {
    let mut value = [0; 4096];
    let n = rustix::fs::lgetxattr(path, name, &mut value)?;
    Ok(attribute(name, &value[..n]))
}

pub(super) fn attribute(name: &[u8], value: &[u8]) -> String {
    format!(" {}={}", name.escape_ascii(), value.escape_ascii())
}
