//! The other way: a volume into a file, in order, without what is not used.

use super::extents::{Extents, in_chunks};
use super::feed::{DiskFeed, Windows, read_pieces};
use super::filesystem::FileSystem;
use super::qcow2_new::Layout;
use crate::dev::bytes::is_zero;
use crate::dev::{AlignedBuf, Dev, Outlet};
use crate::error::{Error, ErrorKind, Result};
use crate::ext4::{self, used_extents};
use crate::units::Bytes;

/// So much is read at once.
const WINDOW: Bytes = Bytes::mib(1);
/// What a hole is made of.
const GRAIN: usize = 4096;
/// What is done with the bytes from one place on.
type Each<'e> = &'e mut dyn FnMut(Bytes, &[u8]) -> Result<()>;

/// Told how much was read by now; true stops the work.
pub type TellRead<'t> = &'t mut dyn FnMut(Bytes) -> bool;

/// A volume that is written to a file. Nobody may write to it meanwhile.
pub struct Export<'d> {
    dev: &'d dyn Dev,
    /// A file system whose bitmaps are believed.
    known: Option<ext4::Superblock>,
}

impl<'d> Export<'d> {
    /// Looks at what is on it. Of a file system that was left in order only what it uses is read;
    /// all of anything else.
    pub fn of(dev: &'d dyn Dev) -> Self {
        let known = match FileSystem::read(dev) {
            Ok(FileSystem::Ext4(sb)) => Some(sb),
            Ok(FileSystem::Xfs(_)) | Err(_) => None,
        };
        let fits = |sb: &ext4::Superblock| sb.trust_bitmaps().is_ok() && sb.size() <= dev.size();
        Self { dev, known: known.filter(fits) }
    }

    /// Its size, and the file's that holds it raw.
    pub fn size(&self) -> Bytes {
        self.dev.size()
    }

    /// How many bytes are read for it.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io).
    pub fn bytes_to_read(&self) -> Result<Bytes> {
        in_chunks(self.extents(), Bytes::new(1))
    }

    /// Puts out its bytes as they are; what is zeros, or not used, is skipped.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) and [`NoSpace`](ErrorKind::NoSpace),
    /// [`Interrupted`](ErrorKind::Interrupted).
    pub fn raw(&self, out: &mut dyn Outlet, tell: TellRead<'_>) -> Result<()> {
        let mut reached = Bytes::ZERO;
        self.walk(tell, &mut |start, bytes| {
            let mut at = start;
            for run in runs(bytes) {
                let len = Bytes::new(u64::try_from(run.len()).unwrap_or(u64::MAX));
                if !is_zero(run) {
                    skip(out, at.saturating_sub(reached))?;
                    out.put(run).map_err(unwritten)?;
                    reached = at.saturating_add(len);
                }
                at = at.saturating_add(len);
            }
            Ok(())
        })?;
        skip(out, self.size().saturating_sub(reached))
    }

    /// Puts out a qcow2 (version 3) that holds it: clusters of zeros are not there. It is read twice,
    /// as its tables stand before its data.
    ///
    /// # Errors
    /// As [`raw`](Self::raw).
    pub fn qcow2(&self, out: &mut dyn Outlet, tell: TellRead<'_>) -> Result<()> {
        let mut layout = Layout::of(self.size());
        let (cluster, index) = (Layout::CLUSTER, Layout::number_of);
        self.walk(tell, &mut |start, bytes| {
            for (cluster, number) in bytes.chunks(cluster).zip(index(start)..) {
                if !is_zero(cluster) {
                    layout.use_cluster(number);
                }
            }
            Ok(())
        })?;
        layout.put_tables(out).map_err(unwritten)?;
        let mut count = 0u64;
        self.walk(tell, &mut |start, bytes| {
            for (bytes, number) in bytes.chunks(cluster).zip(index(start)..) {
                if layout.is_used(number) {
                    out.put(bytes).map_err(unwritten)?;
                    let rest = u64::try_from(cluster.saturating_sub(bytes.len())).unwrap_or(0);
                    skip(out, Bytes::new(rest))?;
                    count = count.saturating_add(1);
                }
            }
            Ok(())
        })?;
        if count == layout.used() { Ok(()) } else { Err(changed()) }
    }

    fn extents(&self) -> Extents<'_> {
        let used = self.known.as_ref().and_then(|sb| used_extents(self.dev, sb).ok());
        match used {
            Some(used) => Box::new(used),
            None => Box::new(std::iter::once(Ok(Bytes::ZERO..self.size()))),
        }
    }

    /// Windows that may hold something, in order, what is not used as zeros.
    fn walk(&self, tell: TellRead<'_>, each: Each<'_>) -> Result<()> {
        let windows = Windows { size: WINDOW, end: self.size() };
        let mut feed = DiskFeed { extents: self.extents(), windows, held: None };
        let mut buffer = AlignedBuf::zeroed(usize::try_from(WINDOW.get()).unwrap_or(0));
        let mut read = Bytes::ZERO;
        while let Some(job) = feed.window()? {
            if tell(read) {
                return Err(Error::new(ErrorKind::Interrupted, "the export was stopped"));
            }
            read_pieces(self.dev, &job, &mut buffer)?;
            read = read.saturating_add(job.source_bytes);
            each(job.at, buffer.part(0..job.len))?;
        }
        tell(read);
        Ok(())
    }
}

/// Stretches of blocks that are all zeros, or all not.
fn runs(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let mut blocks = rest.chunks(GRAIN);
        let first = blocks.next()?;
        let sort = is_zero(first);
        let more = blocks.take_while(|block| is_zero(block) == sort).map(<[u8]>::len);
        let len = more.fold(first.len(), usize::saturating_add);
        let (run, after) = rest.split_at_checked(len)?;
        rest = after;
        Some(run)
    })
}

fn skip(out: &mut dyn Outlet, zeros: Bytes) -> Result<()> {
    if zeros.is_zero() { Ok(()) } else { out.skip(zeros.get()).map_err(unwritten) }
}

fn unwritten(error: std::io::Error) -> Error {
    Error::io(error).op("write the export")
}

fn changed() -> Error {
    Error::new(ErrorKind::Busy, "somebody has written to it meanwhile").op("export it")
}
