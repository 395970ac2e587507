//! tar archives of whole systems: POSIX's (pax), GNU's and the old ones, read as they come, and
//! POSIX's written.
//!
//! Sources: POSIX.1-2024, `pax`, "ustar Interchange Format" and "pax Interchange Format"; the GNU
//! tar manual 1.35, "Basic Tar Format", "GNU Extensions", "Storing Sparse Files". The fields of a
//! block are read by the crate `tar`. What stands around them is read here: extended records by
//! their lengths, since attributes may hold any byte, and no more of them than is good for the
//! memory.

mod acl;
mod layer;
mod pack;
mod records;
mod sparse;
mod unpack;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use tar::{EntryType, Header};

use crate::dev::bytes::read_full;
use crate::error::{Error, ErrorKind, Result};
use crate::tree::{self, Kind, Meta, TreePath, Xattrs};
use crate::units::Bytes;
use records::Records;
use sparse::{Content, Map};

pub use layer::{Stack, measure_layer};
pub use pack::Packing;
pub use unpack::{measure, unpack};

/// All of an archive comes in blocks.
const BLOCK: usize = 512;

/// Names, targets and attributes of one entry, or of all: Linux has no longer ones together.
const ABOUT_MOST: u64 = 1 << 20;

/// Linux takes no longer path.
const PATH_MOST: usize = 4096;

/// True for what begins as an archive does: a block whose checksum holds.
pub fn recognises(head: &[u8]) -> bool {
    head.first_chunk::<BLOCK>().is_some_and(is_header)
}

fn is_header(block: &[u8; BLOCK]) -> bool {
    let header = Header::from_byte_slice(block);
    let in_field = 148..156;
    let byte =
        |(at, byte): (usize, &u8)| u32::from(if in_field.contains(&at) { b' ' } else { *byte });
    let sum: u32 = block.iter().enumerate().map(byte).sum();
    block.iter().any(|byte| *byte != 0) && header.cksum().is_ok_and(|told| told == sum)
}

/// What an archive holds at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where, without a link on the way as far as the archive goes.
    pub path: TreePath,
    /// All that can be set of it; its length is that of its content.
    pub meta: Meta,
    /// Its attributes, lists of access rights among them.
    pub xattrs: Xattrs,
    /// A link's target.
    pub target: Vec<u8>,
    /// The entry whose other name it is.
    pub same_as: Option<TreePath>,
    /// Bytes of its content that are no hole.
    pub data: Bytes,
}

impl Entry {
    /// What it takes on disk beside an inode.
    fn taken(&self) -> Bytes {
        let attributes = self.xattrs.iter().map(|(name, value)| name.len() + value.len() + 16);
        let beside = attributes.sum::<usize>() > IN_INODE;
        let data = tree::data_of(&self.meta, self.data);
        if beside { data.saturating_add(Bytes::kib(4)) } else { data }
    }
}

/// So much of its attributes an inode of 256 bytes holds itself.
const IN_INODE: usize = 96;

/// What is done with each entry, and its content.
type Each<'e> = &'e mut dyn FnMut(&Entry, &mut dyn tree::Content) -> Result<()>;

/// What an archive is read from.
pub trait Pass: Read {
    /// Passes over so many bytes that are not wanted; gives how many there were.
    ///
    /// # Errors
    /// Those of reading.
    fn pass(&mut self, len: u64) -> io::Result<u64> {
        io::copy(&mut Read::take(self, len), &mut io::sink())
    }
}

/// An archive that is read once, in order.
pub struct Archive<'a> {
    from: &'a mut dyn Pass,
    /// It is one of several, and may take away what those below it hold.
    is_layer: bool,
    /// Records that hold for all entries from here on, and how long they were.
    global: Records,
    global_len: u64,
}

impl<'a> Archive<'a> {
    /// One that begins here.
    pub fn new(from: &'a mut dyn Pass) -> Self {
        Self { from, is_layer: false, global: Records::default(), global_len: 0 }
    }

    /// Calls `each` with every entry and a reader of its content; what that leaves is passed over.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) where the form does not hold or the archive has no end,
    /// [`Unsupported`](ErrorKind::Unsupported) for what makes no tree, [`Io`](ErrorKind::Io), and
    /// what `each` gives.
    pub fn for_each(mut self, each: Each<'_>) -> Result<()> {
        while self.next(each)? {}
        Ok(())
    }

    /// One more; false at the end.
    fn next(&mut self, each: Each<'_>) -> Result<bool> {
        let (mut about, mut len) = (Records::default(), 0);
        loop {
            let Some(block) = self.block()? else { return Ok(false) };
            let header = Header::from_byte_slice(&block);
            let size = header.entry_size().map_err(damaged)?;
            match header.entry_type() {
                EntryType::GNULongName => {
                    about.name = Some(zero_ended(self.short(size, &mut len)?));
                }
                EntryType::GNULongLink => {
                    about.link = Some(zero_ended(self.short(size, &mut len)?));
                }
                EntryType::XHeader => about.read(&self.short(size, &mut len)?)?,
                EntryType::XGlobalHeader => {
                    let mut all = self.global_len;
                    let records = self.short(size, &mut all)?;
                    self.global.read(&records)?;
                    self.global_len = all;
                }
                // A label of the archive as a whole.
                sort if sort.as_byte() == b'V' => self.pass(size.saturating_add(padding(size)))?,
                _ => {
                    self.entry(header, &about.over(&self.global), each)?;
                    return Ok(true);
                }
            }
        }
    }

    /// The next block with something in it; `None` at the mark of the end.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let got = read_full(self.from, &mut block).map_err(|(error, _)| unreadable(error))?;
        // Of a layer it is known by its digest whether it is whole.
        if got == 0 && self.is_layer {
            return Ok(None);
        }
        if got < BLOCK {
            return Err(corrupt("it is cut short: it has no end"));
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if is_header(&block) {
            return Ok(Some(block));
        }
        Err(corrupt("a block's checksum does not hold"))
    }

    /// What describes an entry, with the padding behind it; `all` is how much did by now.
    fn short(&mut self, size: u64, all: &mut u64) -> Result<Vec<u8>> {
        *all = all.saturating_add(size).saturating_add(padding(size)).saturating_add(1);
        if *all > ABOUT_MOST {
            let why = format!("more than {ABOUT_MOST} bytes of names and attributes for one entry");
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        let mut bytes = Vec::new();
        Read::take(&mut *self.from, size).read_to_end(&mut bytes).map_err(unreadable)?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len == size) {
            self.pass(padding(size))?;
            return Ok(bytes);
        }
        Err(corrupt("it is cut short"))
    }

    fn pass(&mut self, len: u64) -> Result<()> {
        let passed = if len == 0 { Ok(0) } else { self.from.pass(len) };
        if passed.map_err(unreadable)? == len { Ok(()) } else { Err(corrupt("it is cut short")) }
    }

    fn entry(&mut self, header: &Header, about: &Records, each: Each<'_>) -> Result<()> {
        let name = match &about.name {
            Some(name) => name.clone(),
            None => header.path_bytes().into_owned(),
        };
        let path = path_of(&name)?;
        self.read_entry(header, about, (&name, &path), each).map_err(|error| error.at(&path))
    }

    fn read_entry(
        &mut self,
        header: &Header,
        about: &Records,
        (name, path): (&[u8], &TreePath),
        each: Each<'_>,
    ) -> Result<()> {
        let target = match &about.link {
            Some(link) => link.clone(),
            None => header.link_name_bytes().unwrap_or_default().into_owned(),
        };
        let kind = kind_of(header.entry_type(), name)?;
        let sort = header.entry_type();
        // Nothing else has bytes behind its header, whatever size it tells.
        let size = match about.size {
            _ if kind != Some(Kind::File) => 0,
            Some(size) => size,
            None => header.entry_size().map_err(damaged)?,
        };
        let mut data = Data { from: &mut *self.from, left: size };
        let map = match sort {
            _ if kind != Some(Kind::File) => None,
            EntryType::GNUSparse => Some(Map::of_header(header, &mut data)?),
            _ => about.sparse.map(&mut data)?,
        };
        let (len, held) = match &map {
            Some(map) => (map.size, map.data()),
            None => (size, size),
        };
        let (same_as, target) = match kind {
            None => (Some(path_of(&target)?), Vec::new()),
            Some(Kind::Link) => (None, target),
            Some(_) => (None, Vec::new()),
        };
        let len = if kind == Some(Kind::Link) { u64_of(target.len()) } else { len };
        let meta = Meta { size: Bytes::new(len), ..meta_of(header, kind, about)? };
        if !self.is_layer {
            refuse_whiteout(path, &meta)?;
        }
        refuse_device(path, &meta, same_as.as_ref())?;
        let xattrs = about.xattrs()?;
        let entry =
            Entry { path: path.clone(), meta, xattrs, target, same_as, data: Bytes::new(held) };
        let mut content = Content::new(&mut data, map.as_ref());
        each(&entry, &mut content)?;
        let rest = data.left;
        self.pass(rest.saturating_add(padding(size)))
    }
}

/// What an entry is; `None` for another name of one that was there before.
fn kind_of(sort: EntryType, name: &[u8]) -> Result<Option<Kind>> {
    Ok(Some(match sort {
        // Before there were folders in archives, a slash at the end made one.
        EntryType::Regular if name.ends_with(b"/") => Kind::Folder,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Link => return Ok(None),
        EntryType::Symlink => Kind::Link,
        EntryType::Char => Kind::CharDevice,
        EntryType::Block => Kind::BlockDevice,
        EntryType::Directory => Kind::Folder,
        EntryType::Fifo => Kind::Pipe,
        other => {
            let sort = char::from(other.as_byte()).escape_default().to_string();
            let why = format!("an entry of the sort '{sort}' makes no part of a system");
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
    }))
}

fn meta_of(header: &Header, kind: Option<Kind>, about: &Records) -> Result<Meta> {
    let number = |told: Option<u64>, field: io::Result<u64>| -> Result<u32> {
        let number = told.map_or(field, Ok).map_err(damaged)?;
        u32::try_from(number).map_err(|_| corrupt("an owner has no such number"))
    };
    let device = |part: io::Result<Option<u32>>| part.map(Option::unwrap_or_default);
    let kind = kind.unwrap_or(Kind::File);
    let rdev = if kind.is_device() {
        let major = device(header.device_major()).map_err(damaged)?;
        (major, device(header.device_minor()).map_err(damaged)?)
    } else {
        (0, 0)
    };
    let mtime = match about.mtime {
        Some(mtime) => mtime,
        // GNU writes times before 1970 as two's complement.
        None => (header.mtime().map_err(damaged)?.cast_signed(), 0),
    };
    Ok(Meta {
        kind,
        mode: header.mode().map_err(damaged)? & 0o7777,
        uid: number(about.uid, header.uid())?,
        gid: number(about.gid, header.gid())?,
        size: Bytes::ZERO,
        held: Bytes::ZERO,
        rdev,
        ino: 0,
        fs: 0,
        mtime,
        links: 1,
        ctime: (0, 0),
    })
}

/// A path as it is in a tree: from its root, and never above it.
fn path_of(name: &[u8]) -> Result<TreePath> {
    let shown = || String::from_utf8_lossy(name).escape_debug().to_string();
    if name.len() > PATH_MOST {
        let why = format!("a name of {} bytes, where {PATH_MOST} are the most", name.len());
        return Err(Error::new(ErrorKind::Unsupported, why));
    }
    let parts = || name.split(|byte| *byte == b'/').filter(|part| !matches!(part, [] | [b'.']));
    if parts().any(|part| *part == *b".." || part.contains(&0)) {
        let why = format!("the name '{}' leads out of its tree", shown());
        return Err(Error::new(ErrorKind::Unsupported, why));
    }
    Ok(TreePath::of(parts()))
}

/// Files that take others away in a stack of layers: one of these alone is no system.
fn refuse_whiteout(path: &TreePath, meta: &Meta) -> Result<()> {
    let last = path.bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if !last.starts_with(layer::WHITEOUT) && !meta.is_whiteout() {
        return Ok(());
    }
    let why = "it takes away what is below it: this is one layer of a container's image, and no \
               whole system";
    Err(Error::new(ErrorKind::Unsupported, why))
}

/// Where systems have their device nodes, and what `/dev` is begun with.
const DEVICES: [&[u8]; 3] = [b"/dev/", b"/lib/udev/devices/", b"/usr/lib/udev/devices/"];

/// A device node anywhere else is a way to a disk that nobody looks for, and so is another name of one.
fn refuse_device(path: &TreePath, meta: &Meta, same_as: Option<&TreePath>) -> Result<()> {
    let is_among = |path: &TreePath| DEVICES.iter().any(|folder| path.bytes().starts_with(folder));
    let may_be = meta.kind.is_device() || same_as.is_some_and(is_among);
    // One that takes a file away is refused where that is known.
    if !may_be || meta.is_whiteout() || is_among(path) {
        return Ok(());
    }
    let why = "a device node, or another name of what may be one, outside of /dev, \
               /lib/udev/devices and /usr/lib/udev/devices";
    Err(Error::new(ErrorKind::Unsupported, why))
}

/// An entry's bytes in the archive. Where the archive ends before them, that is an error.
struct Data<'d> {
    from: &'d mut dyn Pass,
    left: u64,
}

impl Read for Data<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let Some(part) = buf.get_mut(..most).filter(|part| !part.is_empty()) else { return Ok(0) };
        match self.from.read(part)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.left = self.left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
                Ok(read)
            }
        }
    }
}

/// What fills up the last block.
fn padding(size: u64) -> u64 {
    let block = BLOCK as u64;
    (block - size % block) % block
}

fn u64_of(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn zero_ended(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn corrupt(why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, why).op("read the archive")
}

/// A field that is no number.
fn damaged(error: io::Error) -> Error {
    corrupt(&error.to_string())
}

fn unreadable(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => corrupt("it is cut short"),
        io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::Unsupported
        | io::ErrorKind::OutOfMemory => crate::pack::unreadable(&error).op("read the archive"),
        _ if tree::Stopped::is(&error) => tree::Stopped::told(),
        _ => Error::io(error).op("read the archive"),
    }
}
