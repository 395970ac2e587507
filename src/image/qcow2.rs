//! qcow2 (QEMU's docs/interop/qcow2.rst), versions 2 and 3, read as the disk that it holds.
//!
//! A table of the first level (L1) names tables of the second (L2), each of which is a cluster and
//! names clusters of data: stored, packed, read as zeros, or not there. Snapshots are not looked at.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::holes::Holes;
use crate::dev::{Dev, ReadAt};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::ext4::Extent;
use crate::units::Bytes;

const MAGIC: &[u8; 4] = b"QFI\xfb";
/// Bytes of a header of version 2.
const HEADER_2: u64 = 72;
/// The least of one of version 3.
const HEADER_3: u64 = 104;
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// As QEMU bounds it: 32 MiB of entries.
const L1_MAX: u64 = 4 << 20;
/// Tables of the second level that are kept.
const TABLES: usize = 16;

// Incompatible features.
const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION_TYPE: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;

// An entry's bits.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const PACKED: u64 = 1 << 62;
const ZEROS: u64 = 1;

/// How packed clusters are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    /// Raw deflate.
    Deflate,
    Zstd,
}

/// Where a cluster's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nowhere: it reads as zeros.
    Zeros,
    /// In the file, from that byte on.
    Stored(u64),
    /// In the file, packed, in that many bytes at most.
    Packed { at: u64, len: u64 },
}

/// The disk in a qcow2 file.
pub(super) struct Qcow2 {
    file: Arc<dyn Dev>,
    size: Bytes,
    cluster_bits: u32,
    packing: Packing,
    version: u32,
    l1: Vec<u64>,
    kept: Mutex<Kept>,
}

/// What was read last.
#[derive(Default)]
struct Kept {
    /// Tables of the second level by place, that used last at the end.
    tables: Vec<(u64, Arc<[u8]>)>,
    /// A cluster that was packed, by the place of its bytes.
    cluster: Option<(u64, Arc<[u8]>)>,
}

impl Qcow2 {
    pub(super) fn recognises(head: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    /// Reads header and first table.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for a backing file, encryption and what this version
    /// does not know, [`Corrupt`](ErrorKind::Corrupt), [`Io`](ErrorKind::Io).
    pub(super) fn open(file: Arc<dyn Dev>) -> Result<Self> {
        let name = file.name().to_owned();
        Self::of(file).map_err(|error| error.op("read the qcow2").at(name))
    }

    fn of(file: Arc<dyn Dev>) -> Result<Self> {
        let mut header = [0; 512];
        let have = usize::try_from(file.size().get()).unwrap_or(usize::MAX).min(header.len());
        let front = header.get_mut(..have).unwrap_or_default();
        file.read_at(front, Bytes::ZERO).context("read the qcow2", file.name())?;
        let field = Fields(&header);
        let version = field.be32(4);
        let (cluster_bits, size, crypt) = (field.be32(20), field.be64(24), field.be32(32));
        let (l1_count, l1_at) = (u64::from(field.be32(36)), field.be64(40));
        let least = if version == 3 { HEADER_3 } else { HEADER_2 };
        if file.size().get() < least {
            return Err(corrupt("it is cut off"));
        }
        if !matches!(version, 2 | 3) {
            return Err(unsupported(format!("it is of version {version}")));
        }
        if !CLUSTER_BITS.contains(&cluster_bits) {
            return Err(corrupt("the size of its clusters"));
        }
        if field.be64(8) != 0 {
            return Err(unsupported("it lies on a backing file: flatten it (qemu-img convert)"));
        }
        if crypt != 0 {
            return Err(unsupported("it is encrypted"));
        }
        let features = if version == 3 { field.be64(72) } else { 0 };
        if features & CORRUPT != 0 {
            return Err(corrupt("it is marked as corrupt: see 'qemu-img check'"));
        }
        let unknown = features & !(DIRTY | COMPRESSION_TYPE);
        if unknown != 0 {
            let what = match unknown {
                EXTERNAL_DATA => "its data lies in another file".to_owned(),
                EXTENDED_L2 => "its clusters are divided (extended L2 entries)".to_owned(),
                _ => format!("it has features that are not known here ({unknown:#x})"),
            };
            return Err(unsupported(what));
        }
        let packing = match (features & COMPRESSION_TYPE != 0, header.get(104)) {
            (false, _) | (true, Some(0)) => Packing::Deflate,
            (true, Some(1)) => Packing::Zstd,
            _ => return Err(unsupported("it is packed in a way that is not known here")),
        };
        let mut disk = Self {
            size: Bytes::new(size),
            cluster_bits,
            packing,
            version,
            l1: Vec::new(),
            kept: Mutex::default(),
            file,
        };
        let needed = size.div_ceil(disk.cluster()).div_ceil(disk.entries());
        if l1_count > L1_MAX || l1_count < needed {
            return Err(corrupt("the size of its first table"));
        }
        disk.l1 = disk.read_l1(l1_at, needed)?;
        Ok(disk)
    }

    fn read_l1(&self, at: u64, count: u64) -> Result<Vec<u64>> {
        let bytes = count.saturating_mul(8);
        // No memory for what the file cannot hold.
        if at.checked_add(bytes).is_none_or(|end| end > self.file.size().get()) {
            return Err(corrupt("its first table lies behind its end"));
        }
        let mut table = vec![0; usize::try_from(bytes).unwrap_or(0)];
        self.file.read_at(&mut table, Bytes::new(at)).context("read", self.file.name())?;
        Ok(table.chunks_exact(8).map(|entry| Fields(entry).be64(0)).collect())
    }

    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Entries of a table of the second level.
    fn entries(&self) -> u64 {
        self.cluster() / 8
    }

    /// Where a cluster of the disk is.
    fn place(&self, cluster: u64) -> io::Result<Place> {
        let (first, second) = (cluster / self.entries(), cluster % self.entries());
        let first = usize::try_from(first).ok().and_then(|first| self.l1.get(first));
        let table = first.ok_or_else(|| damaged("a cluster behind its end"))? & OFFSET;
        if table == 0 {
            return Ok(Place::Zeros);
        }
        let table = self.table(table)?;
        let at = usize::try_from(second.saturating_mul(8)).unwrap_or(usize::MAX);
        let entry = table.get(at..).map_or(0, |rest| Fields(rest).be64(0));
        if entry & PACKED != 0 {
            // The rest of the entry: an offset, then how many more sectors of 512 bytes it goes into.
            let offset_bits = 62 - (self.cluster_bits - 8);
            let at = entry & ((1 << offset_bits) - 1);
            let sectors = (entry & (PACKED - 1)) >> offset_bits;
            let end = (at & !511).saturating_add(sectors.saturating_add(1).saturating_mul(512));
            return Ok(Place::Packed { at, len: end.saturating_sub(at) });
        }
        let at = entry & OFFSET;
        Ok(if at == 0 || (self.version == 3 && entry & ZEROS != 0) {
            Place::Zeros
        } else {
            Place::Stored(at)
        })
    }

    fn table(&self, at: u64) -> io::Result<Arc<[u8]>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = kept.tables.iter().position(|(other, _)| *other == at) {
            let found = kept.tables.remove(place);
            let table = Arc::clone(&found.1);
            kept.tables.push(found);
            return Ok(table);
        }
        if !at.is_multiple_of(self.cluster()) {
            return Err(damaged("a table that begins within a cluster"));
        }
        let mut table = vec![0; usize::try_from(self.cluster()).unwrap_or(0)];
        self.file.read_at(&mut table, Bytes::new(at))?;
        let table: Arc<[u8]> = table.into();
        if kept.tables.len() == TABLES {
            kept.tables.remove(0);
        }
        kept.tables.push((at, Arc::clone(&table)));
        Ok(table)
    }

    /// The bytes of a packed cluster.
    fn unpacked(&self, at: u64, len: u64) -> io::Result<Arc<[u8]>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cluster)) = kept.cluster.as_ref().filter(|(other, _)| *other == at) {
            return Ok(Arc::clone(cluster));
        }
        // The last sector may go on behind the file's end.
        let len = len.min(self.file.size().get().saturating_sub(at));
        let mut packed = vec![0; usize::try_from(len).unwrap_or(0)];
        self.file.read_at(&mut packed, Bytes::new(at))?;
        let mut cluster = vec![0; usize::try_from(self.cluster()).unwrap_or(0)];
        unpack(self.packing, &packed, &mut cluster)?;
        let cluster: Arc<[u8]> = cluster.into();
        kept.cluster = Some((at, Arc::clone(&cluster)));
        Ok(cluster)
    }
}

#[cfg(feature = "pack")]
fn unpack(packing: Packing, packed: &[u8], cluster: &mut [u8]) -> io::Result<()> {
    use std::io::Read;
    match packing {
        Packing::Deflate => crate::pack::deflated(packed).read_exact(cluster),
        Packing::Zstd => crate::pack::Packing::Zstd.reader(packed).read_exact(cluster),
    }
}

#[cfg(not(feature = "pack"))]
fn unpack(_: Packing, _: &[u8], _: &mut [u8]) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "it has packed clusters"))
}

impl ReadAt for Qcow2 {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn size(&self) -> Bytes {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        let len = u64::try_from(buf.len()).map_err(io::Error::other)?;
        if at.get().checked_add(len).is_none_or(|end| end > self.size.get()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut at, mut rest) = (at.get(), buf);
        while !rest.is_empty() {
            let within = at % self.cluster();
            let room = usize::try_from(self.cluster() - within).unwrap_or(usize::MAX);
            let (part, behind) = rest.split_at_mut(room.min(rest.len()));
            match self.place(at / self.cluster())? {
                Place::Zeros => part.fill(0),
                Place::Stored(place) => {
                    let place = place.checked_add(within).ok_or(io::ErrorKind::UnexpectedEof)?;
                    self.file.read_at(part, Bytes::new(place))?;
                }
                Place::Packed { at: place, len } => {
                    let cluster = self.unpacked(place, len)?;
                    let from = usize::try_from(within).unwrap_or(usize::MAX);
                    let bytes = cluster.get(from..).and_then(|rest| rest.get(..part.len()));
                    part.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
                }
            }
            at = at.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
            rest = behind;
        }
        Ok(())
    }
}

impl Holes for Qcow2 {
    fn next_data(&self, from: Bytes) -> io::Result<Option<Extent>> {
        let end = self.size.get().div_ceil(self.cluster());
        let is_data = |cluster: u64| Ok::<_, io::Error>(self.place(cluster)? != Place::Zeros);
        let mut cluster = from.get() / self.cluster();
        while cluster < end && !is_data(cluster)? {
            cluster = self.behind(cluster);
        }
        if cluster >= end {
            return Ok(None);
        }
        let start = cluster.saturating_mul(self.cluster()).max(from.get());
        while cluster < end && is_data(cluster)? {
            cluster = cluster.saturating_add(1);
        }
        let stop = cluster.saturating_mul(self.cluster()).min(self.size.get());
        Ok(Some(Bytes::new(start)..Bytes::new(stop)))
    }
}

impl Qcow2 {
    /// The next cluster that may be data behind one that is none: where there is no table, all that
    /// it would name are none.
    fn behind(&self, cluster: u64) -> u64 {
        let first = cluster / self.entries();
        let table = usize::try_from(first).ok().and_then(|first| self.l1.get(first));
        if table.is_none_or(|table| table & OFFSET == 0) {
            return first.saturating_add(1).saturating_mul(self.entries());
        }
        cluster.saturating_add(1)
    }
}

/// Numbers of a header, big-endian; zero behind its end.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn be32(&self, at: usize) -> u32 {
        self.0.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |field| u32::from_be_bytes(*field))
    }

    fn be64(&self, at: usize) -> u64 {
        self.0.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |field| u64::from_be_bytes(*field))
    }
}

fn corrupt(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, format!("it is damaged: {}", why.into()))
}

fn unsupported(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, why.into())
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the qcow2 is damaged: {why}"))
}
