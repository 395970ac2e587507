//! Real file systems for tests, made and judged by e2fsprogs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::dev::Dev;
use crate::units::Bytes;

/// A file as a device.
pub(crate) struct FileDev {
    name: String,
    file: File,
}

impl FileDev {
    pub(crate) fn open(path: &Path) -> Self {
        let file = File::options().read(true).write(true).open(path).expect("the file is ours");
        Self { name: path.display().to_string(), file }
    }

    /// A new file of zeros.
    pub(crate) fn create(path: &Path, size: Bytes) -> Self {
        File::create(path).and_then(|file| file.set_len(size.get())).expect("there is room");
        Self::open(path)
    }
}

impl Dev for FileDev {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> Bytes {
        Bytes::new(self.file.metadata().expect("it is open").len())
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        self.file.read_exact_at(buf, at.get())
    }

    fn write_at(&self, data: &[u8], at: Bytes) -> io::Result<()> {
        self.file.write_all_at(data, at.get())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, at: Bytes, len: Bytes) -> io::Result<()> {
        let zeros = vec![0; usize::try_from(len.get()).expect("a test's file is small")];
        self.write_at(&zeros, at)
    }
}

/// Counts the bytes that are read of a device.
pub(crate) struct Counted(pub(crate) FileDev, pub(crate) AtomicU64);

impl Dev for Counted {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn size(&self) -> Bytes {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        self.1.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.0.read_at(buf, at)
    }

    fn write_at(&self, data: &[u8], at: Bytes) -> io::Result<()> {
        self.0.write_at(data, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn discard(&self, at: Bytes, len: Bytes) -> io::Result<()> {
        self.0.discard(at, len)
    }
}

/// Runs one of e2fsprogs and gives its exit code and output.
pub(crate) fn run(program: &str, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program)
        .args(args)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("MKE2FS_CONFIG", "/dev/null")
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// A folder in memory where there is one: e2fsprogs sync all that they write.
pub(crate) fn temp_dir() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

/// A file system in a file, with some content.
pub(crate) struct Sample {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

impl Sample {
    /// Made by `mke2fs ARGS FILE SIZE`, filled from a folder with files of many sizes.
    pub(crate) fn new(args: &str, size: &str) -> Self {
        Self::of(args, size, fill)
    }

    /// The same, filled from a folder that `fill` fills.
    pub(crate) fn of(args: &str, size: &str, fill: impl Fn(&Path) -> io::Result<()>) -> Self {
        let dir = temp_dir();
        let content = dir.path().join("content");
        fs::create_dir(&content).and_then(|()| fill(&content)).expect("there is room");
        let path = dir.path().join("fs.img");
        let (content, file) = (content.display().to_string(), path.display().to_string());
        let mut all: Vec<&str> = args.split_whitespace().collect();
        all.extend(["-q", "-F", "-d", &content, &file, size]);
        let (code, text) = run("mke2fs", &all);
        assert_eq!(code, Some(0), "mke2fs {all:?}: {text}");
        Self { dir, path }
    }

    pub(crate) fn dev(&self) -> FileDev {
        FileDev::open(&self.path)
    }

    /// The folder that it was filled from.
    pub(crate) fn source(&self) -> PathBuf {
        self.dir.path().join("content")
    }

    pub(crate) fn debugfs(&self, command: &str) -> String {
        run("debugfs", &["-w", "-R", command, &self.path.display().to_string()]).1
    }
}

fn fill(content: &Path) -> io::Result<()> {
    for dir in 0..12u32 {
        let dir_path = content.join(format!("dir-{dir}"));
        fs::create_dir_all(&dir_path)?;
        for file in 0..12u32 {
            let size = usize::try_from((dir * 12 + file).pow(2) * 7).expect("small");
            let seed = dir * 31 + file;
            let bytes = (0..size).map(|at| ((at as u32).wrapping_mul(seed) >> 3) as u8);
            fs::write(dir_path.join(format!("file-{file}")), bytes.collect::<Vec<u8>>())?;
        }
        std::os::unix::fs::symlink("file-3", dir_path.join("link"))?;
    }
    fs::write(content.join("large"), vec![0x5A; 3_000_000])
}

/// Fails unless `e2fsck -fn` finds nothing.
pub(crate) fn assert_fsck(path: &Path) {
    let (code, text) = run("e2fsck", &["-fn", &path.display().to_string()]);
    assert_eq!(code, Some(0), "e2fsck: {text}");
}

/// As a system's start looks at it: e2fsck must find it clean at a glance and leave it alone.
pub(crate) fn assert_clean_at_a_glance(path: &Path) {
    let (code, text) = run("e2fsck", &["-p", &path.display().to_string()]);
    assert!(code == Some(0) && text.contains(": clean, "), "e2fsck -p: {code:?} {text}");
}

/// What a file system holds: each path with its bytes, or its target for a link.
pub(crate) fn content(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let out = temp_dir();
    let command = format!("rdump / {}", out.path().display());
    run("debugfs", &["-R", &command, &path.display().to_string()]);
    let mut all = BTreeMap::new();
    walk(out.path(), out.path(), &mut all).expect("what was just written can be read");
    assert!(all.len() > 150, "debugfs gave only {} files", all.len());
    all
}

fn walk(root: &Path, dir: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let kind = path.symlink_metadata()?.file_type();
        let bytes = if kind.is_symlink() {
            fs::read_link(&path)?.as_os_str().as_bytes().to_vec()
        } else if kind.is_dir() {
            walk(root, &path, all)?;
            Vec::new()
        } else {
            fs::read(&path)?
        };
        all.insert(path.strip_prefix(root).expect("found below it").to_owned(), bytes);
    }
    Ok(())
}

/// The flavours that every test of a real file system goes through: arguments, size.
pub(crate) const FLAVOURS: [(&str, &str); 12] = [
    ("-t ext4 -O metadata_csum,64bit,has_journal,extent,flex_bg,sparse_super,uninit_bg", "64M"),
    ("-t ext4 -b 1024 -O metadata_csum,^64bit,has_journal,extent,flex_bg,sparse_super", "64M"),
    ("-t ext4 -b 2048 -O metadata_csum,64bit,extent,^flex_bg,sparse_super", "64M"),
    ("-t ext4 -b 4096 -g 2048 -O metadata_csum,64bit,extent,flex_bg,meta_bg,^resize_inode", "64M"),
    ("-t ext4 -b 1024 -O metadata_csum,64bit,extent,bigalloc,has_journal -C 16384", "64M"),
    ("-t ext4 -b 4096 -O metadata_csum,64bit,extent,bigalloc,has_journal -C 65536", "80M"),
    ("-t ext4 -b 4096 -O metadata_csum,metadata_csum_seed,extent,64bit,has_journal", "64M"),
    ("-t ext4 -b 4096 -g 4096 -O metadata_csum,sparse_super2,^resize_inode,extent,64bit", "64M"),
    ("-t ext4 -b 1024 -O ^metadata_csum,uninit_bg,extent,64bit,has_journal", "64M"),
    ("-t ext4 -b 4096 -O ^metadata_csum,^uninit_bg,extent,has_journal", "64M"),
    ("-t ext3 -O has_journal", "64M"),
    ("-t ext2 -b 1024 -O ^metadata_csum", "64M"),
];
