//! The copy: several threads, each with one buffer, take windows in turn, read and write them.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::feed::{DiskFeed, Feed, Job, StreamFeed, read_pieces};
use super::filesystem::FileSystem;
use super::sink::{Buffers, Target, Wrote};
use super::source::{Input, Source, SpaceNeed, truncated};
use crate::dev::{AlignedBuf, Dev};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::ext4::free_extents;
use crate::queue::{Receiver, Sender, queue};
use crate::units::Bytes;

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the image read so far.
    pub done: Bytes,
    /// Bytes of the image that will be read; never less than `done`.
    pub total: Bytes,
    /// Bytes written to the volume so far.
    pub written: Bytes,
}

/// The caller's hand on a copy.
pub struct Control<'c> {
    /// Called on the caller's thread after each window.
    pub progress: &'c mut dyn FnMut(Progress),
    /// Set it from anywhere to stop the copy before its next window.
    pub cancel: &'c AtomicBool,
}

/// What a copy did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Bytes read from the image.
    pub read: Bytes,
    /// Bytes written to the volume: what is mapped, but for what was discarded again.
    pub written: Bytes,
    /// Bytes discarded: after a stream, where bitmaps called them free; where another image was, that
    /// this one leaves empty.
    pub discarded: Bytes,
}

impl Source<'_> {
    /// Writes the image to a volume and syncs that once. A stream can be copied once only.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) before the first write where the volume is too small;
    /// [`Invalid`](ErrorKind::Invalid) for a stream that ends too early,
    /// [`Corrupt`](ErrorKind::Corrupt) for one whose checksums or digest do not hold;
    /// [`Interrupted`](ErrorKind::Interrupted) where it was cancelled;
    /// [`NoSpace`](ErrorKind::NoSpace) and [`Io`](ErrorKind::Io), naming the image or the volume and
    /// the byte. What the volume then holds is undefined.
    pub fn copy_to(&mut self, target: &Target<'_>, control: Control<'_>) -> Result<Copied> {
        self.check_fits(target.dev().size())?;
        let total = self.bytes_to_read()?;
        let stream = matches!(self.input, Input::Stream { .. });
        let mut copied = self.run(target, control, total)?;
        let dev = target.dev();
        if target.is_over() {
            let Wrote { written, discarded } = self.clear_rest(target)?;
            copied.written = copied.written.saturating_add(written);
            copied.discarded = copied.discarded.saturating_add(discarded);
        }
        if stream {
            let free = discard_free(&self.fs, target)?;
            copied.discarded = copied.discarded.saturating_add(free);
        }
        dev.sync().context("write the volume", dev.name())?;
        Ok(copied)
    }

    /// The exact figure for [`space_need`](Self::space_need): reads all that would be copied. `None`
    /// for a stream.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted), [`Io`](ErrorKind::Io).
    pub fn measure(&mut self, chunk: Bytes, control: Control<'_>) -> Result<Option<Bytes>> {
        let nowhere = Nowhere { name: "nowhere", size: self.size(), below: None };
        self.measure_on(&Target::new(&nowhere, chunk, true)?, control)
    }

    /// How much of a volume a copy would write; nothing is. `None` for a stream.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted), [`Io`](ErrorKind::Io).
    pub fn measure_over(
        &mut self,
        target: &Target<'_>,
        control: Control<'_>,
    ) -> Result<Option<Bytes>> {
        let dev = target.dev();
        let nowhere = Nowhere { name: dev.name(), size: dev.size(), below: Some(dev) };
        self.measure_on(&target.on(&nowhere), control)
    }

    fn measure_on(&mut self, target: &Target<'_>, control: Control<'_>) -> Result<Option<Bytes>> {
        let SpaceNeed::AtMost(_) = self.space_need(target.chunk())? else { return Ok(None) };
        let total = self.bytes_to_read()?;
        Ok(Some(self.run(target, control, total)?.written))
    }

    /// Clears what another image has where this one has nothing.
    fn clear_rest(&self, target: &Target<'_>) -> Result<Wrote> {
        let windows = target.windows(self.size());
        let (mut at, mut all) = (Bytes::ZERO, Wrote::default());
        let mut clear = |from, to| {
            let wrote = target.clear(from, to)?;
            all.written = all.written.saturating_add(wrote.written);
            all.discarded = all.discarded.saturating_add(wrote.discarded);
            Ok::<_, Error>(())
        };
        match self.extents()? {
            None => at = windows.end,
            Some(extents) => {
                for extent in extents {
                    let extent = extent?;
                    let start = windows.at(extent.start).start;
                    if start > at {
                        clear(at, start)?;
                    }
                    let last = extent.end.saturating_sub(Bytes::new(1));
                    at = at.max(windows.at(last).end);
                }
            }
        }
        let end = target.dev().size();
        if at < end {
            clear(at, end)?;
        }
        Ok(all)
    }

    fn run(&mut self, target: &Target<'_>, control: Control<'_>, total: Bytes) -> Result<Copied> {
        let (size, windows) = (self.size(), target.windows(self.size()));
        if let Input::Disk { dev, .. } = self.input {
            let extents = self.extents()?.unwrap_or_else(|| Box::new(std::iter::empty()));
            let mut feed = DiskFeed { extents, windows, held: None };
            return Copy::new(&mut feed, target, Some(dev)).run(control, total);
        }
        let Input::Stream { reader, head, tails } =
            std::mem::replace(&mut self.input, Input::Spent)
        else {
            let why = "the stream was read already";
            return Err(Error::new(ErrorKind::Invalid, why).at(&self.name));
        };
        let short = |have| truncated(&self.fs, have);
        let reader = io::Cursor::new(head).chain(reader);
        let name = self.name.as_str();
        let mut feed = StreamFeed { name, reader, windows, at: Bytes::ZERO, size, short: &short };
        let copied = Copy::new(&mut feed, target, None).run(control, total)?;
        tails.end().map_err(|error| error.at(name))?;
        Ok(copied)
    }
}

/// One copy under way, shared by its threads.
struct Copy<'c> {
    feed: Mutex<&'c mut dyn Feed>,
    target: &'c Target<'c>,
    /// What windows are read from that the feed did not fill.
    source: Option<&'c dyn Dev>,
    failed: Mutex<Option<Error>>,
    stop: AtomicBool,
}

/// How many steps may wait until the caller is told of them.
const STEPS: usize = 64;

/// What a thread did: bytes read, and what became of them.
type Step = (Bytes, Wrote);

impl<'c> Copy<'c> {
    fn new(feed: &'c mut dyn Feed, target: &'c Target<'c>, source: Option<&'c dyn Dev>) -> Self {
        let (failed, stop) = (Mutex::new(None), AtomicBool::new(false));
        Self { feed: Mutex::new(feed), target, source, failed, stop }
    }

    fn run(self, control: Control<'_>, total: Bytes) -> Result<Copied> {
        let cancel = control.cancel;
        let (send, steps) = queue(STEPS);
        let progress = std::thread::scope(|scope| {
            for _ in 0..self.target.writers() {
                let (send, copy) = (send.clone(), &self);
                scope.spawn(move || copy.work(&send, cancel));
            }
            drop(send);
            follow(steps, control.progress, total)
        });
        match self.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None if cancel.load(Ordering::Relaxed) => {
                Err(Error::new(ErrorKind::Interrupted, "the copy was stopped"))
            }
            None => {
                let (Progress { done: read, written, .. }, discarded) = progress;
                Ok(Copied { read, written, discarded })
            }
        }
    }

    /// One thread: windows until there are no more, or something fails.
    fn work(&self, send: &Sender<Step>, cancel: &AtomicBool) {
        let mut buffers = self.target.buffers();
        while !self.stop.load(Ordering::Relaxed) && !cancel.load(Ordering::Relaxed) {
            match self.step(&mut buffers) {
                // The receiver lives as long as the threads do.
                Ok(Some(step)) => drop(send.send(step)),
                Ok(None) => break,
                Err(error) => self.fail(error),
            }
        }
    }

    fn step(&self, buffers: &mut Buffers) -> Result<Option<Step>> {
        let Some(job) = self.next_job(&mut buffers.new) else { return Ok(None) };
        if let Some(source) = self.source {
            read_pieces(source, &job, &mut buffers.new)?;
        }
        Ok(Some((job.source_bytes, self.target.write(&job, buffers)?)))
    }

    /// The next window, unless something failed. The feed's own failure is kept before the next
    /// thread may ask: a stream that ended would only tell it less of the same.
    fn next_job(&self, buffer: &mut AlignedBuf) -> Option<Job> {
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        feed.next(buffer).unwrap_or_else(|error| {
            self.fail(error);
            None
        })
    }

    /// Keeps the first error; what fails after it mostly fails because of it.
    fn fail(&self, error: Error) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(error);
    }
}

/// Tells the caller of each step until all threads are done; says also how much was discarded.
fn follow(
    steps: Receiver<Step>,
    progress: &mut dyn FnMut(Progress),
    total: Bytes,
) -> (Progress, Bytes) {
    let (mut now, mut discarded) = (Progress { total, ..Progress::default() }, Bytes::ZERO);
    progress(now);
    for (read, wrote) in steps {
        now.done = now.done.saturating_add(read);
        now.total = total.max(now.done);
        now.written = now.written.saturating_add(wrote.written);
        discarded = discarded.saturating_add(wrote.discarded);
        progress(now);
    }
    (now, discarded)
}

/// Discards whole chunks of a written volume that its file system's bitmaps call free. A volume that
/// cannot discard keeps them.
fn discard_free(fs: &FileSystem, target: &Target<'_>) -> Result<Bytes> {
    let (dev, chunk) = (target.dev(), target.chunk());
    let mut discarded = Bytes::ZERO;
    let FileSystem::Ext4(sb) = fs else { return Ok(discarded) };
    let Ok(free) = free_extents(dev, sb) else { return Ok(discarded) };
    for extent in free {
        let extent = extent?;
        let Some(start) = extent.start.round_up(chunk) else { continue };
        let len = extent.end.round_down(chunk).saturating_sub(start);
        if len.is_zero() {
            continue;
        }
        let gone = target.discard(start, len)?;
        if gone.is_zero() {
            break;
        }
        discarded = discarded.saturating_add(gone);
    }
    Ok(discarded)
}

/// A device that takes all and keeps nothing: zeros, or what is below.
struct Nowhere<'b> {
    name: &'b str,
    size: Bytes,
    below: Option<&'b dyn Dev>,
}

impl Dev for Nowhere<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn size(&self) -> Bytes {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        match self.below {
            Some(below) => below.read_at(buf, at),
            None => {
                buf.fill(0);
                Ok(())
            }
        }
    }

    fn write_at(&self, _data: &[u8], _at: Bytes) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, _at: Bytes, _len: Bytes) -> io::Result<()> {
        Ok(())
    }
}
