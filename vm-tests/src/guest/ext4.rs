//! Lists a file system's tree as [`super::tree`] does, read by imgbase and not by the kernel.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use imgbase::dev::Dev;
use imgbase::ext4::{Ino, Inode, Tree};
use imgbase::tree::Kind;
use imgbase::units::Bytes;

use super::tree::{Line, attribute, hash};
use crate::error::{Doing, Result};

/// Prints the tree on a device or in an image.
pub(super) fn print(device: &str) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match list(device, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            eprintln!("guest: ext4: {fail}");
            ExitCode::FAILURE
        }
    }
}

fn list(device: &str, out: &mut dyn Write) -> Result<()> {
    let dev = ReadDev::open(device).doing(device)?;
    let tree = Tree::open(&dev).doing(device)?;
    let mut walk = Walk { tree: &tree, first_names: HashMap::new(), out };
    walk.visit(Path::new(""), Ino::ROOT)?;
    out.flush().doing("standard output")
}

/// A device or an image that is only read.
struct ReadDev {
    name: String,
    file: File,
    size: u64,
}

impl ReadDev {
    fn open(path: &str) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self { name: path.to_owned(), file, size })
    }
}

impl Dev for ReadDev {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> Bytes {
        Bytes::new(self.size)
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        self.file.read_exact_at(buf, at.get())
    }

    fn write_at(&self, _data: &[u8], _at: Bytes) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, _at: Bytes, _len: Bytes) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

struct Walk<'a> {
    tree: &'a Tree<'a>,
    first_names: HashMap<Ino, PathBuf>,
    out: &'a mut dyn Write,
}

impl Walk<'_> {
    fn visit(&mut self, name: &Path, ino: Ino) -> Result<()> {
        if name == Path::new("lost+found") {
            return Ok(());
        }
        let inode = self.tree.inode(ino).doing(name.display())?;
        self.line(name, &inode)?;
        if inode.kind() != Kind::Folder {
            return Ok(());
        }
        let names = self.tree.names(&inode).doing(name.display())?;
        names
            .iter()
            .try_for_each(|entry| self.visit(&name.join(OsStr::from_bytes(&entry.name)), entry.ino))
    }

    fn line(&mut self, name: &Path, inode: &Inode) -> Result<()> {
        let meta = inode.meta();
        let (secs, nanos) = meta.mtime;
        let xattrs = self.tree.xattrs(inode).doing(name.display())?;
        let line = Line {
            name,
            mode: (type_bits(meta.kind) << 12) | meta.mode,
            owner: (meta.uid, meta.gid),
            time: (secs, nanos.into()),
            content: self.content(name, inode)?,
            xattrs: xattrs
                .iter()
                .map(|(name, value)| attribute(name, &shown(name, value)))
                .collect(),
        };
        writeln!(self.out, "{line}").doing("standard output")
    }

    fn content(&mut self, name: &Path, inode: &Inode) -> Result<String> {
        let links = inode.links();
        if inode.kind() != Kind::Folder && links > 1 {
            if let Some(first) = self.first_names.get(&inode.ino()) {
                return Ok(format!("link {links} /{}", first.display()));
            }
            self.first_names.insert(inode.ino(), name.to_path_buf());
        }
        Ok(match inode.kind() {
            Kind::File => {
                let content = self.tree.content(inode).doing(name.display())?;
                let sum = hash(&mut Whole(content)).doing(name.display())?;
                format!("file {links} {} {sum:016x}", inode.size().get())
            }
            Kind::Link => {
                let target = self.tree.target(inode).doing(name.display())?;
                format!("symlink {}", Path::new(OsStr::from_bytes(&target)).display())
            }
            Kind::CharDevice | Kind::BlockDevice => {
                let (major, minor) = inode.meta().rdev;
                format!("device {links} {:x}", rustix::fs::makedev(major, minor))
            }
            Kind::Folder => "folder".into(),
            _ => format!("other {links}"),
        })
    }
}

/// A reader whose reads are short at the end alone.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut n = 0;
        while n < buf.len() {
            match self.0.read(&mut buf[n..])? {
                0 => break,
                more => n += more,
            }
        }
        Ok(n)
    }
}

/// `S_IFMT` without its zeros.
fn type_bits(kind: Kind) -> u32 {
    match kind {
        Kind::Pipe => 0x1,
        Kind::CharDevice => 0x2,
        Kind::Folder => 0x4,
        Kind::BlockDevice => 0x6,
        Kind::File => 0x8,
        Kind::Link => 0xA,
        Kind::Socket => 0xC,
    }
}

/// An access control list as the kernel shows it, anything else as it is. On disk its version is 1
/// and only entries for a named user (2) or group (8) have an id; shown, the version is 2 and all
/// have one.
fn shown(name: &[u8], value: &[u8]) -> Vec<u8> {
    let Some(mut rest) = value.get(4..).filter(|_| name.starts_with(b"system.posix_acl_")) else {
        return value.to_vec();
    };
    let mut all = 2u32.to_le_bytes().to_vec();
    while let Some((entry, behind)) = rest.split_at_checked(4) {
        let named = matches!(entry, [2 | 8, 0, ..]);
        let (id, behind) = behind.split_at(if named { 4.min(behind.len()) } else { 0 });
        all.extend_from_slice(entry);
        all.extend_from_slice(if named { id } else { &[0xFF; 4] });
        rest = behind;
    }
    all
}
