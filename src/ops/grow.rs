//! `layout --grow`, and what `watch` does when a pool fills up: more room for a thin pool, while it
//! is in use.
//!
//! The text says the new sizes first; whoever activates the pool brings the devices up to them, so
//! that a crash between the two leaves nothing to undo.

use super::init::{METADATA_MAX, metadata_rule};
use super::session::Session;
use super::{Imgbase, Watch};
use crate::dm::pool;
use crate::dm::status::PoolState;
use crate::dm::{DeviceKey, Role, Suspend};
use crate::error::{Error, ErrorKind, Result};
use crate::lvm2::Vg;
use crate::name::LvName;
use crate::report::PoolGrown;
use crate::units::{Bytes, Extents};

/// By how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Growth {
    /// The data.
    pub(super) data: Bytes,
    /// The metadata.
    pub(super) metadata: Bytes,
}

impl Imgbase<'_> {
    /// Grows the pool's data by so much, rounded up to extents, and its metadata, where there is
    /// room, to what a group of this size gets by default; metadata that is full grows in any case.
    /// The pool and what lies in it may be in use; the pool is active for it.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for nothing at all, [`NoSpace`](ErrorKind::NoSpace) where
    /// the group has not so much free, [`Unsupported`](ErrorKind::Unsupported) for a pool that is
    /// read-only or needs a check. Everything is as before then.
    /// [`NeedsRecovery`](ErrorKind::NeedsRecovery) where the metadata is committed and the devices
    /// did not follow: they will when the pool is activated or recovered.
    ///
    /// # Commit point
    /// The metadata commit with the new sizes.
    pub fn grow_pool(&self, by: Bytes, watch: &mut dyn Watch) -> Result<PoolGrown> {
        if by.is_zero() {
            return Err(Error::new(ErrorKind::Invalid, "the pool cannot grow by 0 bytes"));
        }
        let mut session = Session::change(self, "layout --grow")?;
        let pool = session.pool_on()?;
        let metadata = session.metadata_due(&pool.state)?;
        let report = session.grow(Growth { data: by, metadata })?;
        watch.committed(&format!("{} has its new size (seqno {})", report.pool, report.vg_seqno));
        session.pool_as_before()?;
        Ok(report)
    }
}

impl Session<'_> {
    /// What the metadata is to grow by: to its default, or at least so that changes find room in
    /// it, where the group can spare that: twice, as lvm2's spare grows with it.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace) where it has no room for changes and the group none for it:
    /// more data alone would be of no use.
    fn metadata_due(&self, state: &PoolState) -> Result<Bytes> {
        let metadata = self.pool_segment()?.metadata.clone();
        let (vg, have) = (self.vg(), self.size_of(&metadata));
        let total = vg.pvs.iter().fold(Extents::ZERO, |sum, pv| sum.saturating_add(pv.pe_count));
        let usual = metadata_rule(total.bytes(vg.extent_size)).saturating_sub(have);
        let short = pool::metadata_short_of(state);
        let free = vg.free_extents().bytes(vg.extent_size);
        let fits = |by: &Bytes| by.saturating_add(*by) < free;
        if let Some(due) = [usual.max(short), short].into_iter().find(fits) {
            return Ok(due);
        }
        let need = short.saturating_add(short);
        let why = "the pool's metadata is full, and the group has no room for more";
        let error = Error::new(ErrorKind::NoSpace { need, have: free }, why).at(&vg.name);
        Err(error.kept("nothing was changed; add a disk to the group (vgextend)"))
    }

    /// Grows an active pool: the text, then the devices.
    pub(super) fn grow(&mut self, by: Growth) -> Result<PoolGrown> {
        let pool = self.pool()?;
        let segment = self.pool_segment()?.clone();
        let mut edit = self.vg.edit();
        if !by.metadata.is_zero() {
            let room = METADATA_MAX.saturating_sub(self.size_of(&segment.metadata));
            let extents = larger(&self.vg, &segment.metadata, by.metadata.min(room));
            edit.extend_pool_metadata(&pool, extents).map_err(no_room)?;
        }
        if !by.data.is_zero() {
            edit.extend_lv(&pool, larger(&self.vg, &segment.data, by.data)).map_err(no_room)?;
        }
        self.commit(edit)?;
        self.follow(&pool, &segment.metadata).map_err(|error| {
            let error = error.with_kind(ErrorKind::NeedsRecovery);
            error.kept(format!(
                "the metadata has {pool} in its new size; the devices follow at the next activation"
            ))
        })?;
        Ok(PoolGrown {
            data_bytes: self.size_of(&segment.data).get(),
            metadata_bytes: self.size_of(&segment.metadata).get(),
            vg_seqno: self.vg.seqno,
            pool,
        })
    }

    /// Brings the devices up to the text.
    fn follow(&mut self, pool: &LvName, metadata: &LvName) -> Result<()> {
        self.sure.take();
        let active = self.open_pool()?;
        let missing = || Error::new(ErrorKind::NotFound, "there is no such pool").at(pool);
        let lv = self.vg.lv(pool).ok_or_else(missing)?;
        // The kernel looks at the size of a pool's metadata when it resumes the pool.
        if active.state.metadata_bytes() < self.size_of(metadata) {
            let (kernel, key) = (self.machine().kernel, DeviceKey::of(&self.vg, lv, Role::Pool)?);
            kernel.suspend(&active.name, Suspend::Quick)?;
            kernel.resume(&active.name, &key.seen)?;
        }
        if self.devices()?.device(&self.vg, lv, Role::PoolWrapper).is_some() {
            self.sure.take();
            self.activate(&[pool])?;
        }
        self.settle()
    }
}

fn larger(vg: &Vg, lv: &LvName, by: Bytes) -> Extents {
    let have = vg.lv(lv).map_or(Extents::ZERO, |lv| lv.extents());
    have.saturating_add(by.sectors_up().extents_up(vg.extent_size))
}

fn no_room(error: Error) -> Error {
    error.kept("nothing was changed; add a disk to the group (vgextend), or ask for less")
}
