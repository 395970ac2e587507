//! A block device or a file, by descriptor.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use imgbase_sys::block;

use super::uncached::Uncached;
use crate::dev::aligned::{ANY_DISK, AlignedBuf};
use crate::dev::{Dev, read_zeroed};
use crate::error::{Error, ErrorKind, Result};
use crate::ext4::Extent;
use crate::image::{FileHoles, Holes, ImageFile};
use crate::units::Bytes;

/// A block device, or a plain file that stands for one.
///
/// A block device is read and written past the page cache (O_DIRECT), as lvm2 does it: what
/// another process wrote is what is read. What is not aligned is widened here.
///
/// It is opened for writing only at the first write: udev probes a disk again whenever one that
/// was open for writing is closed, and a scan must not make it probe them all.
#[derive(Debug)]
pub struct FileDev {
    reader: File,
    /// True where that was opened for writing too.
    writes: bool,
    writer: OnceLock<File>,
    path: PathBuf,
    name: String,
    size: Bytes,
    /// The unit of O_DIRECT; `None` for a file, which goes through the page cache but for what is
    /// `uncached`.
    direct: Option<usize>,
    uncached: Option<Uncached>,
}

impl FileDev {
    /// Opens for reading, and for writing once something is written.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`Denied`](ErrorKind::Denied),
    /// [`Busy`](ErrorKind::Busy), [`Io`](ErrorKind::Io), [`Invalid`](ErrorKind::Invalid) for what
    /// is neither a block device nor a file.
    pub fn open(path: &Path) -> Result<Self> {
        Self::with(path, false, 0).map_err(|error| refused(error, path))
    }

    /// The same under another name, for messages.
    pub(in crate::host) fn called(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// As an image. Of a file large pieces are read past the page cache, where they are not there: who
    /// reads them again reads them from the disk.
    pub(in crate::host) fn into_image(self) -> ImageFile {
        if self.direct.is_some() {
            return ImageFile::of(Arc::new(self));
        }
        let uncached = Uncached::of(&self.reader, self.size.get());
        let uncached =
            uncached.inspect_err(|why| log::debug!("{}: by the page cache: {why}", self.name));
        let dev = Arc::new(Self { uncached: uncached.ok(), ..self });
        ImageFile { holes: Arc::clone(&dev) as Arc<dyn Holes>, dev }
    }

    /// Opens a block device for reading while nobody has it mounted or can mount it, and flushes it.
    pub(in crate::host) fn open_alone(path: &Path) -> Result<Self> {
        let opened = Self::with(path, false, libc::O_EXCL);
        let flushed = opened.and_then(|dev| dev.reader.sync_data().map(|()| dev));
        flushed.map_err(|error| refused(error, path))
    }

    /// Opens a block device that is about to be written, with one descriptor for both; for
    /// reading alone where it is `read_only`.
    pub(in crate::host) fn open_to_write(path: &Path, read_only: bool) -> Result<Self> {
        Self::with(path, !read_only, 0).map_err(|error| refused(error, path))
    }

    fn with(path: &Path, write: bool, flags: i32) -> io::Result<Self> {
        let kind = std::fs::metadata(path)?.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let writes = write && kind.is_block_device();
        let (reader, size, direct) = if kind.is_block_device() {
            let mut options = OpenOptions::new();
            options.read(true).write(writes).custom_flags(libc::O_DIRECT | flags);
            let reader = options.open(path)?;
            let unit = usize::try_from(block::logical_block_size(&reader)?).unwrap_or(4096);
            let size = block::size(&reader)?;
            (reader, size, Some(unit))
        } else {
            let reader = File::open(path)?;
            let size = reader.metadata()?.len();
            (reader, size, None)
        };
        let (writer, name, size) = (OnceLock::new(), path.display().to_string(), Bytes::new(size));
        let path = path.to_owned();
        Ok(Self { reader, writes, writer, path, name, size, direct, uncached: None })
    }

    /// The descriptor for writing, opened when it is first needed. Where two threads open it at
    /// once, one of the two is closed again.
    fn writer(&self) -> io::Result<&File> {
        if self.writes {
            return Ok(&self.reader);
        }
        if let Some(file) = self.writer.get() {
            return Ok(file);
        }
        let flags = if self.direct.is_some() { libc::O_DIRECT } else { 0 };
        let file =
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(&self.path)?;
        Ok(self.writer.get_or_init(|| file))
    }

    /// Whole blocks, in memory that suits O_DIRECT.
    fn read_direct(&self, len: usize, unit: usize, at: u64) -> io::Result<AlignedBuf> {
        let align = unit.max(ANY_DISK);
        AlignedBuf::filled(len, align, |memory| block::append(&self.reader, memory, len, at))
    }

    /// The whole blocks around a range, and where the range begins in them.
    fn widened(at: u64, len: usize, unit: usize) -> io::Result<(u64, usize, usize)> {
        let unit = u64::try_from(unit).map_err(io::Error::other)?;
        let len = u64::try_from(len).map_err(io::Error::other)?;
        let start = at - at % unit;
        let end = at.checked_add(len).and_then(|end| end.checked_next_multiple_of(unit));
        let whole = end.ok_or(io::ErrorKind::UnexpectedEof)? - start;
        let number = |value| usize::try_from(value).map_err(io::Error::other);
        Ok((start, number(at - start)?, number(whole)?))
    }
}

/// True where the kernel takes these bytes for O_DIRECT as they are.
pub(super) fn is_aligned(bytes: &[u8], at: u64, unit: usize) -> bool {
    is_whole(bytes.len(), at, unit) && bytes.as_ptr().addr().is_multiple_of(unit)
}

/// True for whole blocks.
fn is_whole(len: usize, at: u64, unit: usize) -> bool {
    let begins = u64::try_from(unit).is_ok_and(|unit| at.is_multiple_of(unit));
    begins && len.is_multiple_of(unit)
}

fn refused(error: io::Error, path: &Path) -> Error {
    let error = if error.kind() == io::ErrorKind::InvalidInput {
        Error::new(ErrorKind::Invalid, "it is neither a block device nor a file")
    } else {
        Error::io(error)
    };
    error.op("open").at(path.display())
}

impl Dev for FileDev {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> Bytes {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        let at = at.get();
        let Some(unit) = self.direct.filter(|unit| !is_aligned(buf, at, *unit)) else {
            return match &self.uncached {
                Some(uncached) if uncached.read_at(buf, at)? => Ok(()),
                _ => self.reader.read_exact_at(buf, at),
            };
        };
        let (start, skip, len) = Self::widened(at, buf.len(), unit)?;
        let whole = self.read_direct(len, unit, start)?;
        let wanted = whole.get(skip..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(wanted.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn read_new(&self, len: usize, at: Bytes) -> io::Result<AlignedBuf> {
        match self.direct {
            Some(unit) if len > 0 && is_whole(len, at.get(), unit) => {
                self.read_direct(len, unit, at.get())
            }
            _ => read_zeroed(self, len, at),
        }
    }

    fn write_at(&self, data: &[u8], at: Bytes) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let at = at.get();
        let Some(unit) = self.direct.filter(|unit| !is_aligned(data, at, *unit)) else {
            return self.writer()?.write_all_at(data, at);
        };
        let (start, skip, len) = Self::widened(at, data.len(), unit)?;
        let whole = if skip == 0 && len == data.len() {
            AlignedBuf::filled(len, unit.max(ANY_DISK), |memory| {
                memory.extend_from_slice(data);
                Ok(())
            })?
        } else {
            let mut whole = self.read_direct(len, unit, start)?;
            let place = whole.get_mut(skip..).and_then(|rest| rest.get_mut(..data.len()));
            place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
            whole
        };
        self.writer()?.write_all_at(&whole, start)
    }

    fn sync(&self) -> io::Result<()> {
        match self.writer.get() {
            _ if self.writes => self.reader.sync_data(),
            Some(file) => file.sync_data(),
            None => Ok(()),
        }
    }

    fn discard(&self, at: Bytes, len: Bytes) -> io::Result<()> {
        if self.direct.is_none() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        block::discard(self.writer()?, at.get(), len.get())
    }

    fn path(&self) -> Option<PathBuf> {
        Some(PathBuf::from(format!("/proc/self/fd/{}", self.reader.as_raw_fd())))
    }
}

impl Holes for FileDev {
    fn next_data(&self, from: Bytes) -> io::Result<Option<Extent>> {
        FileHoles(&self.reader).next_data(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    #[test]
    fn a_file_is_a_device_with_holes() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(1 << 20).expect("grows");
        file.write_all(b"front").expect("written");
        let dev = FileDev::open(file.path()).expect("opens");
        assert_eq!(dev.size(), Bytes::mib(1));
        dev.write_at(b"abc", Bytes::kib(512)).expect("fits");
        let mut buf = [0; 5];
        dev.read_at(&mut buf, Bytes::new((512 << 10) - 1)).expect("fits");
        assert_eq!(&buf, b"\0abc\0");
        assert!(dev.read_at(&mut buf, Bytes::mib(1)).is_err());
        let next = dev.next_data(Bytes::kib(64)).expect("seeks").expect("more data");
        assert!(next.start <= Bytes::kib(512) && next.end > Bytes::kib(512));
    }

    #[test]
    fn new_memory_holds_what_is_read_at_the_same_place() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let bytes: Vec<u8> = (0..10_240u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&bytes).expect("written");
        for direct in [None, Some(512), Some(8192)] {
            let dev = FileDev::open(file.path()).expect("opens");
            let dev = FileDev { direct, ..dev };
            for (at, len) in [(0, 0), (0, 512), (512, 1024), (8192, 1000), (3, 700), (0, 8192)] {
                let read = dev.read_new(len, Bytes::new(at as u64));
                let read = match read {
                    Ok(read) => read,
                    // The file ends inside its last block of this size.
                    Err(error) => {
                        assert_eq!((direct, at), (Some(8192), 8192), "{error}");
                        continue;
                    }
                };
                assert_eq!(&*read, &bytes[at..at + len], "{at} {len} {direct:?}");
                let whole = |unit: &usize| len > 0 && is_whole(len, at as u64, *unit);
                let align = direct.filter(whole).unwrap_or(1);
                assert!(read.as_ptr().addr().is_multiple_of(align.max(ANY_DISK)));
            }
            let end = dev.read_new(512, Bytes::new(10_240)).map_err(|error| error.kind());
            assert_eq!(end.err(), Some(io::ErrorKind::UnexpectedEof));
        }
    }

    #[test]
    fn what_is_written_leaves_its_neighbours_as_they_are() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut model: Vec<u8> = (0..16_384u32).map(|n| (n % 251) as u8).collect();
        fs::write(file.path(), &model).expect("written");
        for direct in [None, Some(512), Some(8192)] {
            let dev = FileDev::open(file.path()).expect("opens");
            let dev = FileDev { direct, ..dev };
            let memory = vec![7; 8200];
            for (at, len) in [(0, 8192), (8192, 8192), (512, 1024), (3, 700), (8190, 4), (9000, 0)]
            {
                // In memory that is nowhere in particular.
                let data = &memory[1..=len];
                dev.write_at(data, Bytes::new(at as u64)).expect("fits");
                model[at..at + len].copy_from_slice(data);
                assert!(fs::read(file.path()).expect("read") == model, "{at} {len} {direct:?}");
                model[at..at + len].fill(at as u8);
                dev.write_at(&model[at..at + len], Bytes::new(at as u64)).expect("fits");
            }
        }
    }

    #[test]
    fn of_a_device_too_nothing_is_read_and_written() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let dev = FileDev::open(file.path()).expect("opens");
        let dev = FileDev { direct: Some(512), ..dev };
        for at in [0, 100, 512] {
            dev.read_at(&mut [], Bytes::new(at)).expect("nothing is read");
            dev.write_at(&[], Bytes::new(at)).expect("nothing is written");
        }
    }

    #[test]
    fn ranges_are_widened_to_whole_blocks() {
        assert_eq!(FileDev::widened(700, 10, 512).expect("fits"), (512, 188, 512));
        assert_eq!(FileDev::widened(1000, 100, 512).expect("fits"), (512, 488, 1024));
        assert!(FileDev::widened(u64::MAX - 1, 100, 512).is_err());
    }

    #[test]
    fn what_is_no_device_is_refused() {
        let error = FileDev::open(Path::new("/dev/null")).expect_err("a character device");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let error = FileDev::open(Path::new("/does-not-exist")).expect_err("nothing");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
