//! Reading and writing through simulated tables, down to the disks.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pool::{BLOCK, Pool};
use super::state::{Errno, State};
use crate::dev::Dev;
use crate::dm::kernel::DevNo;
use crate::dm::status::PoolMode;
use crate::dm::table::{Line, Place, PoolFeatures, PoolTarget, Table, Target};
use crate::lvm2::model::Discards;
use crate::name::DmName;
use crate::units::{Bytes, Sectors};

/// Where a piece of a device lies.
enum Piece {
    On(DevNo, u64),
    Thin(ThinPlace, u64),
    Zero,
}

/// A chunk of a thin volume.
#[derive(Clone)]
struct ThinPlace {
    pool: PoolTarget,
    id: u32,
    /// Which chunk.
    chunk: u64,
    /// Bytes in a chunk.
    len: u64,
}

fn full(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl State {
    /// The size of a disk or of a live device.
    pub(super) fn size(&self, on: DevNo) -> Option<Sectors> {
        match self.by_number(on) {
            Some(device) => device.live.as_ref().map(Table::len),
            None => self.disks.get(&on).map(|disk| disk.size().sectors_down()),
        }
    }

    /// Where byte `at` of a device lies, and how many bytes from there on lie together.
    fn find(&self, on: DevNo, at: u64) -> io::Result<(Piece, u64)> {
        let device = self.by_number(on).ok_or(Errno::ENXIO)?;
        if device.suspended {
            return Err(io::Error::other("the device is suspended: this would hang"));
        }
        let table = device.live.as_ref().ok_or(Errno::ENXIO)?;
        let start = |line: &Line| line.start.bytes().get();
        let line = table.lines.iter().rfind(|line| start(line) <= at).ok_or(Errno::EIO)?;
        let inner = at.saturating_sub(start(line));
        let left = line.len.bytes().get().saturating_sub(inner);
        if left == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (piece, len) = self.within(&line.target, inner)?;
        Ok((piece, len.min(left)))
    }

    fn within(&self, target: &Target, at: u64) -> io::Result<(Piece, u64)> {
        match target {
            Target::Linear(place) => Ok((on(*place, at), u64::MAX)),
            Target::Striped { chunk, stripes } => striped(chunk.bytes().get(), stripes, at),
            Target::ThinPool(pool) => Ok((Piece::On(pool.data, at), u64::MAX)),
            Target::Thin(thin) => {
                let pool = self.live_pool(thin.pool).ok_or(Errno::EIO)?;
                let len = pool.chunk.bytes().get().max(1);
                let inner = at.checked_rem(len).unwrap_or_default();
                let chunk = at.checked_div(len).unwrap_or_default();
                let place = ThinPlace { pool, id: thin.id, chunk, len };
                Ok((Piece::Thin(place, inner), len.saturating_sub(inner)))
            }
            Target::Zero => Ok((Piece::Zero, u64::MAX)),
            Target::Error | Target::Other { .. } => Err(Errno::EIO.into()),
        }
    }

    pub(super) fn read(&self, from: DevNo, buf: &mut [u8], at: u64) -> io::Result<()> {
        if let Some(disk) = self.disks.get(&from) {
            return disk.read_at(buf, Bytes::new(at));
        }
        let (mut rest, mut at) = (buf, at);
        while !rest.is_empty() {
            let (piece, len) = self.find(from, at)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            match piece {
                Piece::On(below, offset) => self.read(below, now, offset)?,
                Piece::Thin(place, inner) => self.read_thin(&place, now, inner)?,
                Piece::Zero => now.fill(0),
            }
            (rest, at) = (later, at.saturating_add(full(len)));
        }
        Ok(())
    }

    fn pool(&self, place: &ThinPlace) -> io::Result<&Pool> {
        let pool = self.pools.get(&place.pool.metadata).filter(|pool| !pool.failed);
        Ok(pool.ok_or(Errno::EIO)?)
    }

    fn pool_mut(&mut self, place: &ThinPlace) -> io::Result<&mut Pool> {
        let pool = self.pools.get_mut(&place.pool.metadata).filter(|pool| !pool.failed);
        Ok(pool.ok_or(Errno::EIO)?)
    }

    fn read_thin(&self, place: &ThinPlace, buf: &mut [u8], inner: u64) -> io::Result<()> {
        let thin = self.pool(place)?.thins.get(&place.id).ok_or(Errno::EIO)?;
        match (thin.map.get(&place.chunk), &thin.below) {
            (Some(chunk), _) => {
                let at = chunk.saturating_mul(place.len).saturating_add(inner);
                self.read(place.pool.data, buf, at)
            }
            (None, Some(below)) => {
                let at = place.chunk.saturating_mul(place.len).saturating_add(inner);
                below.read_at(buf, Bytes::new(at))
            }
            (None, None) => {
                buf.fill(0);
                Ok(())
            }
        }
    }

    pub(super) fn write(&mut self, to: DevNo, data: &[u8], at: u64) -> io::Result<()> {
        if let Some(disk) = self.disks.get(&to) {
            return disk.write_at(data, Bytes::new(at));
        }
        if self.by_number(to).is_some_and(|device| device.read_only) {
            return Err(io::Error::from_raw_os_error(1));
        }
        let (mut rest, mut at) = (data, at);
        while !rest.is_empty() {
            let (piece, len) = self.find(to, at)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(len);
            match piece {
                Piece::On(below, offset) => self.write(below, now, offset)?,
                Piece::Thin(place, inner) => self.write_thin(&place, now, inner)?,
                Piece::Zero => {}
            }
            (rest, at) = (later, at.saturating_add(full(len)));
        }
        Ok(())
    }

    fn write_thin(&mut self, place: &ThinPlace, data: &[u8], inner: u64) -> io::Result<()> {
        let pool = self.pool(place)?;
        let thin = pool.thins.get(&place.id).ok_or(Errno::EIO)?;
        let (mapped, has_below) = (thin.map.get(&place.chunk).copied(), thin.below.is_some());
        let own = mapped.filter(|chunk| !pool.shared(*chunk));
        if let Some(chunk) = own {
            let at = chunk.saturating_mul(place.len).saturating_add(inner);
            return self.write(place.pool.data, data, at);
        }
        if pool.mode == PoolMode::ReadOnly {
            return Err(Errno::EIO.into());
        }
        let copy = mapped.is_some() || has_below;
        let whole = full(data.len()) == place.len;
        let zero = place.pool.features.zero_new_blocks;
        let old = if whole || !(copy || zero) { None } else { Some(self.old_chunk(place, copy)?) };
        let chunk = self.pool_mut(place)?.take()?;
        let start = chunk.saturating_mul(place.len);
        let filled = old.map_or(Ok(()), |old| self.write(place.pool.data, &old, start));
        let at = start.saturating_add(inner);
        let written = filled.and_then(|()| self.write(place.pool.data, data, at));
        let pool = self.pool_mut(place)?;
        match written {
            Ok(()) => pool.map(place.id, place.chunk, chunk),
            Err(_) => pool.release(chunk),
        }
        written
    }

    /// What a chunk reads as before it gets a place of its own.
    fn old_chunk(&self, place: &ThinPlace, copy: bool) -> io::Result<Vec<u8>> {
        let mut old = vec![0; usize::try_from(place.len).map_err(|_| Errno::EINVAL)?];
        if copy {
            self.read_thin(place, &mut old, 0)?;
        }
        Ok(old)
    }

    pub(super) fn discard(&mut self, on: DevNo, at: u64, len: u64) -> io::Result<()> {
        if let Some(disk) = self.disks.get(&on) {
            return disk.discard(Bytes::new(at), Bytes::new(len));
        }
        let end = at.saturating_add(len);
        let mut at = at;
        while at < end {
            let (piece, run) = self.find(on, at)?;
            let run = run.min(end.saturating_sub(at));
            match piece {
                Piece::On(below, offset) => self.discard(below, offset, run)?,
                Piece::Thin(place, _) if place.pool.features.discards == Discards::Ignore => {
                    return Err(io::ErrorKind::Unsupported.into());
                }
                // A part of a chunk stays.
                Piece::Thin(place, _) if run == place.len => {
                    self.pool_mut(&place)?.unmap(place.id, place.chunk);
                }
                Piece::Thin(..) | Piece::Zero => {}
            }
            at = at.saturating_add(run);
        }
        Ok(())
    }

    /// Makes a device's data durable, and the metadata of the pool that it lies in.
    pub(super) fn sync(&mut self, on: DevNo) -> io::Result<()> {
        if let Some(disk) = self.disks.get(&on) {
            return disk.sync();
        }
        let device = self.by_number(on).ok_or(Errno::ENXIO)?;
        let table = device.live.clone().unwrap_or_default();
        if let Some(pool) = table.thin().and_then(|thin| self.live_pool(thin.pool)) {
            self.sync(pool.data)?;
            return Ok(self.commit(pool.metadata)?);
        }
        table.devices().try_for_each(|below| self.sync(*below))
    }

    /// Makes a pool's metadata durable: data first, then the new body, then the superblock that
    /// points at it.
    pub(super) fn commit(&mut self, metadata: DevNo) -> Result<(), Errno> {
        let Some(pool) = self.pools.get(&metadata) else { return Ok(()) };
        if !pool.dirty || pool.adopted || pool.failed {
            return Ok(());
        }
        let size = self.size(metadata).ok_or(Errno::ENXIO)?.bytes().get();
        let (image, data) = (pool.image(size), pool.data);
        let written = image.and_then(|image| {
            self.sync(data).map_err(|_| Errno::EIO)?;
            self.put(metadata, &image.body, image.at)?;
            self.put(metadata, &image.superblock, 0)
        });
        match (&written, self.pools.get_mut(&metadata)) {
            (Ok(()), Some(pool)) => pool.committed(),
            _ => self.roll_back(metadata, data),
        }
        written
    }

    /// After a commit that failed: back to the last one, and no more changes.
    fn roll_back(&mut self, metadata: DevNo, data: DevNo) {
        let Some(pool) = self.pools.get(&metadata) else { return };
        let (chunk, chunks) = (Sectors::new(pool.chunk), pool.chunks);
        let features = PoolFeatures::default();
        let target = PoolTarget { metadata, data, chunk, low_water: 0, features };
        let mut old = self.read_pool(&target).unwrap_or_else(|_| {
            let mut lost = Pool::new(data, chunk.get());
            lost.failed = true;
            lost
        });
        old.break_it(super::Breakage::NeedsCheck);
        old.chunks = chunks;
        self.pools.insert(metadata, old);
    }

    fn put(&mut self, on: DevNo, data: &[u8], at: u64) -> Result<(), Errno> {
        let errno = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull => Errno::ENOSPC,
            _ => Errno::EIO,
        };
        self.write(on, data, at).map_err(errno)?;
        self.sync(on).map_err(errno)
    }

    /// Reads a pool's metadata from its device, or starts new where that begins with zeros.
    pub(super) fn read_pool(&self, target: &PoolTarget) -> Result<Pool, Errno> {
        let size = self.size(target.metadata).ok_or(Errno::ENXIO)?.bytes().get();
        let get = |at: u64, len: u64| {
            if len > size {
                return Err(Errno::EINVAL);
            }
            let mut bytes = vec![0; usize::try_from(len).map_err(|_| Errno::EINVAL)?];
            self.read(target.metadata, &mut bytes, at).map_err(|_| Errno::EIO)?;
            Ok(bytes)
        };
        let found = Pool::read(&get(0, BLOCK)?, target.data, get)?;
        Ok(found.unwrap_or_else(|| Pool::new(target.data, target.chunk.get())))
    }
}

fn on(place: Place, at: u64) -> Piece {
    Piece::On(place.on, place.start.bytes().get().saturating_add(at))
}

fn striped(chunk: u64, stripes: &[Place], at: u64) -> io::Result<(Piece, u64)> {
    let count = full(stripes.len());
    let number = at.checked_div(chunk).ok_or(Errno::EIO)?;
    let inner = at.checked_rem(chunk).ok_or(Errno::EIO)?;
    let row = number.checked_div(count).ok_or(Errno::EIO)?;
    let which = number.checked_rem(count).and_then(|which| usize::try_from(which).ok());
    let place = which.and_then(|which| stripes.get(which)).ok_or(Errno::EIO)?;
    let below = row.saturating_mul(chunk).saturating_add(inner);
    Ok((on(*place, below), chunk.saturating_sub(inner)))
}

/// An open device.
pub(super) struct SimDev {
    state: Arc<Mutex<State>>,
    name: DmName,
    number: DevNo,
    size: Bytes,
}

impl SimDev {
    pub(super) fn new(
        state: Arc<Mutex<State>>,
        name: DmName,
        (number, size): (DevNo, Sectors),
    ) -> Self {
        Self { state, name, number, size: size.bytes() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, at: Bytes, len: u64) -> io::Result<()> {
        let fits = at.get().checked_add(len).is_some_and(|end| end <= self.size.get());
        if fits { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Drop for SimDev {
    fn drop(&mut self) {
        self.lock().close(self.number);
    }
}

impl Dev for SimDev {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn size(&self) -> Bytes {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        self.check(at, full(buf.len()))?;
        let mut state = self.lock();
        state.log.touch()?;
        state.read(self.number, buf, at.get())
    }

    fn write_at(&self, data: &[u8], at: Bytes) -> io::Result<()> {
        self.check(at, full(data.len()))?;
        let mut state = self.lock();
        state.log.touch()?;
        state.write(self.number, data, at.get())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.log.touch()?;
        state.sync(self.number)
    }

    fn discard(&self, at: Bytes, len: Bytes) -> io::Result<()> {
        self.check(at, len.get())?;
        let mut state = self.lock();
        state.log.touch()?;
        state.discard(self.number, at.get(), len.get())
    }
}
