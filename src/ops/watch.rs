//! `watch`: grows the pool before it is full.

use std::time::Duration;

use super::grow::Growth;
use super::session::Session;
use super::{Imgbase, Watch};
use crate::dm::status::PoolState;
use crate::error::{Error, ErrorKind, Result};
use crate::units::{Bytes, Sectors};

/// When a pool is grown, and by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchPolicy {
    /// From this share in use on, in percent, of data and metadata alike.
    pub threshold: u8,
    /// By this share of what there is, in percent.
    pub step: u8,
    /// So long at most between two looks. The kernel tells by itself when a pool is full or its
    /// mode changes, not when it reaches a threshold.
    pub pause: Duration,
    /// Looks once and returns.
    pub once: bool,
}

impl Default for WatchPolicy {
    /// From 70 % on, by 20 %, as imgbased's lvm2 profile has it; a look at least every 10 s, as
    /// lvm2's daemon.
    fn default() -> Self {
        Self { threshold: 70, step: 20, pause: Duration::from_secs(10), once: false }
    }
}

impl WatchPolicy {
    fn check(&self) -> Result<()> {
        let percent = |name: &str, value: u8, most: u8| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            let why = format!("it is 1 to {most} percent, not {value}");
            Err(Error::new(ErrorKind::Invalid, why).at(name))
        };
        percent("the threshold", self.threshold, 99)?;
        percent("the step", self.step, u8::MAX)
    }

    /// What a pool in that state is to grow by.
    fn due(&self, state: &PoolState, chunk: Sectors) -> Growth {
        let due = |used: u64, total: u64| {
            u128::from(used) * 100 >= u128::from(total) * u128::from(self.threshold)
        };
        let part = |size: Bytes| {
            let part = u128::from(size.get()) * u128::from(self.step) / 100;
            Bytes::new(u64::try_from(part).unwrap_or(u64::MAX).max(1))
        };
        let grow = |is_due: bool, size| if is_due { part(size) } else { Bytes::ZERO };
        Growth {
            data: grow(due(state.data_used, state.data_total), state.data_bytes(chunk)),
            metadata: grow(due(state.metadata_used, state.metadata_total), state.metadata_bytes()),
        }
    }
}

impl Imgbase<'_> {
    /// Watches the pool and grows its data and metadata from the group's free extents when they
    /// reach the threshold, until `watch` is cancelled. Each step, and each failure, is told; where
    /// the group has not enough left, what it has is taken. A pool that is not active is waited
    /// for. While this runs [`check`](Self::check) tells who watches.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for a policy that makes no sense,
    /// [`Busy`](ErrorKind::Busy) where somebody watches already, naming them;
    /// [`Interrupted`](ErrorKind::Interrupted) in the end. With [`once`](WatchPolicy::once) as
    /// [`grow_pool`](Self::grow_pool).
    ///
    /// # Commit point
    /// Of each growth its metadata commit.
    pub fn watch_pool(&self, policy: &WatchPolicy, watch: &mut dyn Watch) -> Result<()> {
        policy.check()?;
        let vg = Session::read(self)?.vg().name.clone();
        let held = self.clone().in_vg(vg.clone());
        let _watching = self.machine.lvm2.lock_watch(&vg)?;
        if policy.once {
            return held.look_after(policy, watch);
        }
        let mut told = String::new();
        while !watch.cancelled() {
            // The same trouble is told once.
            let trouble = held.look_after(policy, watch).err();
            let trouble = trouble.map(|error| error.to_string()).unwrap_or_default();
            if !trouble.is_empty() && trouble != told {
                watch.warn(&trouble);
            }
            told = trouble;
            self.machine.kernel.wait(policy.pause, &|| watch.cancelled())?;
        }
        Err(Error::new(ErrorKind::Interrupted, "the watch has ended").at(&vg))
    }

    /// One look at the pool, and what is due.
    fn look_after(&self, policy: &WatchPolicy, watch: &mut dyn Watch) -> Result<()> {
        let session = Session::read(self)?;
        let chunk = session.pool_segment()?.chunk_size;
        let due = |session: &Session<'_>| -> Result<Growth> {
            let state = session.pool_state()?;
            Ok(state.map(|state| policy.due(&state, chunk)).unwrap_or_default())
        };
        if due(&session)? == Growth::default() {
            return Ok(());
        }
        drop(session);
        let mut session = Session::change(self, "watch")?;
        session.pool_on()?;
        // Somebody may have grown it meanwhile.
        let by = session.within_free(due(&session)?)?;
        if by == Growth::default() {
            return Ok(());
        }
        let grown = session.grow(by)?;
        let grown = format!(
            "{} was {} % full and has {} of data now, {} of metadata (seqno {})",
            grown.pool,
            policy.threshold,
            Bytes::new(grown.data_bytes),
            Bytes::new(grown.metadata_bytes),
            grown.vg_seqno
        );
        watch.committed(&grown);
        watch.warn(&grown);
        Ok(())
    }
}

impl Session<'_> {
    /// As much of a growth as the group has free, the metadata first: a pool without room there
    /// cannot even give data back.
    fn within_free(&self, by: Growth) -> Result<Growth> {
        let vg = self.vg();
        let extent = vg.extent_size;
        let free = vg.free_extents().bytes(extent);
        let whole = |size: Bytes| size.sectors_up().extents_up(extent).bytes(extent);
        // lvm2's spare grows with the metadata.
        let metadata = whole(by.metadata);
        let twice = metadata.saturating_add(metadata);
        let metadata = if twice <= free { metadata } else { Bytes::ZERO };
        let left = free.saturating_sub(metadata).saturating_sub(metadata);
        let data = whole(by.data).min(left);
        if data.is_zero() && metadata.is_zero() {
            let need = whole(by.data).saturating_add(twice);
            let why = format!("the pool fills up and the group has {free} free");
            let error = Error::new(ErrorKind::NoSpace { need, have: free }, why);
            return Err(error
                .at(&vg.name)
                .kept("add a disk to the group, or delete what is not needed"));
        }
        Ok(Growth { data, metadata })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(data: (u64, u64), metadata: (u64, u64)) -> PoolState {
        let line = format!(
            "1 {}/{} {}/{} - rw discard_passdown error_if_no_space - 1024",
            metadata.0, metadata.1, data.0, data.1
        );
        crate::dm::status::PoolStatus::parse(&line)
            .and_then(|status| status.running())
            .expect("a status")
    }

    #[test]
    fn what_is_due_is_what_has_reached_the_threshold() {
        let policy = WatchPolicy::default();
        let chunk = Sectors::new(128);
        let due = |data, metadata| policy.due(&state(data, metadata), chunk);
        assert_eq!(due((69, 100), (69, 100)), Growth::default());
        let data = due((70, 100), (0, 100));
        assert_eq!((data.data, data.metadata), (Bytes::kib(64 * 20), Bytes::ZERO));
        let metadata = due((0, 100), (100, 100));
        assert_eq!((metadata.data, metadata.metadata), (Bytes::ZERO, Bytes::kib(4 * 20)));
    }

    #[test]
    fn a_policy_without_sense_is_refused() {
        for (threshold, step) in [(0, 20), (100, 20), (70, 0)] {
            let policy = WatchPolicy { threshold, step, ..WatchPolicy::default() };
            assert_eq!(policy.check().expect_err("no sense").kind(), ErrorKind::Invalid);
        }
    }
}
