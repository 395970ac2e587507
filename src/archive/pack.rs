//! A tree put into an archive: POSIX's form, with extended records for what its blocks cannot hold.
//!
//! Sources: as for reading. Attributes, lists of access rights among them, are written as GNU tar
//! writes them with `--xattrs`; times have their nanoseconds.

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::{EntryType, Header};

use super::{BLOCK, padding, u64_of};
use crate::dev::Outlet;
use crate::dev::bytes::read_full;
use crate::tree::{Kind, Making, Meta, NewTree, TreePath, Xattrs};

/// The longest name in a block.
const NAME_MOST: usize = 100;
/// The largest owner in a block, and the last second.
const OWNER_MOST: u32 = 0o7_777_777;
const SECOND_MOST: i64 = 0o77_777_777_777;
/// The largest file whose size is in its block.
const SIZE_MOST: u64 = 0o77_777_777_777;
/// Archives are as long as many of these (GNU tar's default).
const RECORD: u64 = 20 * BLOCK as u64;
/// So much of a file is read at once.
const AT_ONCE: usize = 256 << 10;

/// A tree that becomes an archive. Sockets are left out: no archive holds them, and whoever listens
/// makes them anew.
pub struct Packing<'o> {
    out: &'o mut dyn Outlet,
    /// How much is in it.
    len: u64,
    /// Of files with several names what the first was told; `None` for what was left out.
    several: BTreeMap<TreePath, Option<Meta>>,
}

impl<'o> Packing<'o> {
    /// An archive in that outlet. [`finish`](NewTree::finish) it.
    pub fn new(out: &'o mut dyn Outlet) -> Self {
        Self { out, len: 0, several: BTreeMap::new() }
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len = self.len.saturating_add(u64_of(bytes.len()));
        self.out.put(bytes)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let zeros = [0; BLOCK];
        let len = usize::try_from(padding(size)).unwrap_or(0);
        self.put_bytes(zeros.get(..len).unwrap_or_default())
    }

    /// An entry without its content.
    fn entry(&mut self, sort: EntryType, name: &[u8], about: &About<'_>) -> io::Result<()> {
        let records = about.records(name)?;
        if !records.is_empty() {
            let mut header = Header::new_ustar();
            set_text(&mut header.as_old_mut().name, &[b"./PaxHeaders/", name].concat());
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(u64_of(records.len()));
            header.set_entry_type(EntryType::XHeader);
            header.set_cksum();
            self.put_bytes(header.as_bytes())?;
            self.put_bytes(&records)?;
            self.pad(u64_of(records.len()))?;
        }
        let header = about.header(sort, name)?;
        self.put_bytes(header.as_bytes())
    }

    fn content(&mut self, mut from: impl Read, size: u64) -> io::Result<()> {
        let mut buffer = vec![0; AT_ONCE];
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let piece = buffer.get_mut(..most).unwrap_or_default();
            if read_full(&mut from, piece).map_err(|(error, _)| error)? < piece.len() {
                return Err(io::Error::other("it has become shorter meanwhile"));
            }
            self.put_bytes(piece)?;
            left = left.saturating_sub(u64_of(most));
        }
        self.pad(size)
    }
}

impl NewTree for Packing<'_> {
    fn put(
        &mut self,
        path: &TreePath,
        meta: &Meta,
        xattrs: &Xattrs,
        making: Making<'_>,
    ) -> io::Result<()> {
        if meta.links > 1 && meta.kind != Kind::Folder {
            let left_out = meta.kind == Kind::Socket;
            self.several.insert(path.clone(), (!left_out).then(|| meta.clone()));
        }
        let about = About { meta, xattrs, target: &[], size: 0 };
        let name = name_of(path, meta.kind);
        match (meta.kind, making) {
            (Kind::Socket, _) => {
                log::info!("{path} is a socket and is left out");
                Ok(())
            }
            (Kind::File, Making::File(content)) => {
                let size = meta.size.get();
                self.entry(EntryType::Regular, &name, &About { size, ..about })?;
                self.content(content, size)
            }
            (_, Making::Link(target)) => {
                self.entry(EntryType::Symlink, &name, &About { target, ..about })
            }
            (kind, _) => self.entry(sort_of(kind), &name, &about),
        }
    }

    fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()> {
        let Some(meta) = self.several.get(first).cloned() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let Some(meta) = meta else { return Ok(()) };
        let (name, target) = (name_of(path, meta.kind), name_of(first, meta.kind));
        let about = About { meta: &meta, xattrs: &Xattrs::new(), target: &target, size: 0 };
        self.entry(EntryType::Link, &name, &about)
    }

    fn remove(&mut self, _: &TreePath, _: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
        // What was written is written.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.put_bytes(&[0; 2 * BLOCK])?;
        while !self.len.is_multiple_of(RECORD) {
            self.put_bytes(&[0; BLOCK])?;
        }
        Ok(())
    }
}

/// What is said of an entry.
struct About<'a> {
    meta: &'a Meta,
    xattrs: &'a Xattrs,
    target: &'a [u8],
    size: u64,
}

impl About<'_> {
    fn header(&self, sort: EntryType, name: &[u8]) -> io::Result<Header> {
        let Meta { mode, uid, gid, mtime, rdev, kind, .. } = self.meta;
        let mut header = Header::new_ustar();
        set_text(&mut header.as_old_mut().name, name);
        set_text(&mut header.as_old_mut().linkname, self.target);
        header.set_mode(*mode);
        // What does not fit is in the records.
        header.set_uid(if *uid > OWNER_MOST { 0 } else { (*uid).into() });
        header.set_gid(if *gid > OWNER_MOST { 0 } else { (*gid).into() });
        header.set_mtime(u64::try_from(mtime.0).ok().filter(|_| in_block(mtime.0)).unwrap_or(0));
        header.set_size(if self.size > SIZE_MOST { 0 } else { self.size });
        if kind.is_device() {
            header.set_device_major(rdev.0)?;
            header.set_device_minor(rdev.1)?;
        }
        header.set_entry_type(sort);
        header.set_cksum();
        Ok(header)
    }

    /// What the block cannot hold.
    fn records(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let Meta { uid, gid, mtime, .. } = self.meta;
        let mut records = Vec::new();
        for (key, text) in [(&b"path"[..], name), (b"linkpath", self.target)] {
            if text.len() > NAME_MOST || !text.is_ascii() {
                record(&mut records, key, text);
            }
        }
        for (key, number) in [(&b"uid"[..], *uid), (b"gid", *gid)] {
            if number > OWNER_MOST {
                record(&mut records, key, number.to_string().as_bytes());
            }
        }
        if self.size > SIZE_MOST {
            record(&mut records, b"size", self.size.to_string().as_bytes());
        }
        if mtime.1 != 0 || !in_block(mtime.0) {
            record(&mut records, b"mtime", time(*mtime).as_bytes());
        }
        for (name, value) in self.xattrs {
            if name.contains(&b'=') {
                let shown = String::from_utf8_lossy(name).escape_debug().to_string();
                let why = format!("no archive holds an attribute of the name '{shown}'");
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
            record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        Ok(records)
    }
}

fn in_block(second: i64) -> bool {
    (0..=SECOND_MOST).contains(&second)
}

/// Seconds with their decimals; -1.25 for 0.75 seconds behind -2.
fn time((seconds, nanos): (i64, u32)) -> String {
    if nanos == 0 {
        return seconds.to_string();
    }
    if seconds >= 0 {
        return format!("{seconds}.{nanos:09}");
    }
    let (whole, part) = (seconds.saturating_add(1), 1_000_000_000u32.saturating_sub(nanos));
    format!("-{}.{part:09}", whole.unsigned_abs())
}

/// `LENGTH KEY=VALUE` and a newline, where the length counts its own digits too.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len().saturating_add(value.len()).saturating_add(3);
    let mut len = rest;
    while len != rest.saturating_add(len.to_string().len()) {
        len = rest.saturating_add(len.to_string().len());
    }
    let len = len.to_string();
    records.extend([len.as_bytes(), b" ", key, b"=", value, b"\n"].concat());
}

/// As much of a text as a field holds.
fn set_text(field: &mut [u8; NAME_MOST], text: &[u8]) {
    let len = text.len().min(NAME_MOST);
    if let (Some(place), Some(text)) = (field.get_mut(..len), text.get(..len)) {
        place.copy_from_slice(text);
    }
}

/// As it stands in an archive: `./etc/`.
fn name_of(path: &TreePath, kind: Kind) -> Vec<u8> {
    let slash: &[u8] = match kind {
        Kind::Folder if *path != TreePath::root() => b"/",
        _ => b"",
    };
    [b".", path.bytes(), slash].concat()
}

const fn sort_of(kind: Kind) -> EntryType {
    match kind {
        Kind::File | Kind::Socket => EntryType::Regular,
        Kind::Folder => EntryType::Directory,
        Kind::Link => EntryType::Symlink,
        Kind::BlockDevice => EntryType::Block,
        Kind::CharDevice => EntryType::Char,
        Kind::Pipe => EntryType::Fifo,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_digits() {
        let mut records = Vec::new();
        record(&mut records, b"a", b"b");
        record(&mut records, b"key", &[b'x'; 91]);
        assert!(records.starts_with(b"6 a=b\n") && records.len() == 6 + 99);
        records.clear();
        record(&mut records, b"key", &[b'x'; 92]);
        assert!(records.starts_with(b"101 key=") && records.len() == 101);
    }

    #[test]
    fn times_before_1970_have_a_sign() {
        let told = [(3, 5), (7, 0), (-2, 750_000_000), (-1, 1), (-9, 0)].map(time);
        assert_eq!(told, ["3.000000005", "7", "-1.250000000", "-0.999999999", "-9"]);
    }
}
