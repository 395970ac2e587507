//! A session's devices: activation, deactivation, the pool under them.

use std::collections::BTreeMap;

use super::listed;
use super::session::Session;
use crate::dm::pool::{self, Decision, Mode, PoolMessage};
use crate::dm::thin_metadata::ThinDetails;
use crate::dm::{self, ActivePool, PvNumbers, Stack};
use crate::error::{Error, ErrorKind, Result};
use crate::lvm2::model::Message;
use crate::lvm2::scan::Problem;
use crate::name::{DmName, LvName};

impl Session<'_> {
    /// Activates the pool, where it is not, and brings it and the text together where a crash, of
    /// whatever program, left them apart: the pool's own transaction id says how far it came.
    ///
    /// # Errors
    /// [`Diverged`](ErrorKind::Diverged) where the text is further ahead than any crash explains.
    pub(super) fn pool_on(&mut self) -> Result<ActivePool> {
        let active = self.open_pool()?;
        let segment = self.pool_segment()?;
        let (text, kernel) = (segment.transaction_id, active.state.transaction_id);
        let decision = pool::decide(kernel, text, !segment.messages.is_empty());
        if self.may_commit() {
            pool::check_writable(&active.state).map_err(|error| error.at(&active.name))?;
        } else if let Decision::Refuse { .. } = decision {
            return Err(refusal((kernel, text), &active.name));
        }
        if decision == Decision::Steady {
            return Ok(active);
        }
        log::warn!("{}: the pool is at transaction {kernel}, its text at {text}", active.name);
        if !self.may_commit() {
            // Whoever only makes devices leaves both as they are, where they belong together.
            return Ok(active);
        }
        self.bring_together(&active, decision)?;
        // The pool may have moved.
        self.open_pool()
    }

    /// Refuses an active pool that must not be changed, before any device above it goes.
    pub(super) fn refuse_unsound(&self) -> Result<()> {
        let Some(state) = self.pool_state()? else { return Ok(()) };
        pool::check_writable(&state).map_err(|error| error.kept("nothing was changed"))
    }

    /// Activates the pool, where it is not, and leaves its transaction id as it is.
    pub(super) fn open_pool(&mut self) -> Result<ActivePool> {
        let pool = self.pool()?;
        self.open_pool_of(&pool)
    }

    /// The same for the pool of that name.
    pub(super) fn open_pool_of(&mut self, pool: &LvName) -> Result<ActivePool> {
        self.refuse_doubtful()?;
        let numbers = self.numbers()?;
        let (active, activated) = self.stack(numbers).open_pool(self.machine.kernel, pool)?;
        self.made_pool |= !activated.made.is_empty();
        self.sure.borrow_mut().extend(activated.devices);
        Ok(active)
    }

    /// Deactivates the pool where this session activated it and nothing uses it now.
    pub(super) fn pool_as_before(&mut self) -> Result<()> {
        if self.made_pool { self.pool_off() } else { Ok(()) }
    }

    /// The same at the end, whatever became of the verb: what fails is logged.
    pub(super) fn rest_pool(&self) {
        if !self.made_pool || !self.is_locked() {
            return;
        }
        let rested = self.active().and_then(|active| {
            let is_used =
                active.iter().any(|lv| self.vg().lv(lv).is_some_and(|lv| lv.thin().is_some()));
            if is_used { Ok(()) } else { self.pool_off().and_then(|()| self.settle()) }
        });
        rested.unwrap_or_else(|error| log::warn!("the pool may stay active: {error}"));
    }

    /// Looks into volumes, which are active and the group not locked meanwhile, and leaves all as it
    /// was.
    ///
    /// # Errors
    /// What the look gives, and as for activation.
    pub(super) fn look_into<T>(
        mut self,
        volumes: &[LvName],
        look: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let active = self.active()?;
        self.pool_on()?;
        let looked = self.activate(&volumes.iter().collect::<Vec<_>>()).and_then(|()| {
            self.settle()?;
            self.unlock();
            look(&self)
        });
        self.lock_devices()?;
        let woken: Vec<&LvName> = volumes.iter().filter(|lv| !active.contains(*lv)).collect();
        let rested = self.deactivate(&woken);
        let rested = rested.and_then(|()| self.pool_as_before()).and_then(|()| self.settle());
        let looked = looked?;
        rested.map(|()| looked)
    }

    /// Deactivates the pool where nothing uses it.
    pub(super) fn pool_off(&self) -> Result<()> {
        self.sure.take();
        match dm::deactivate(self.machine.kernel, &self.vg, &[self.pool()?]) {
            Err(error) if error.kind() != ErrorKind::Busy => Err(error),
            _ => Ok(()),
        }
    }

    fn bring_together(&mut self, active: &ActivePool, decision: Decision) -> Result<()> {
        match decision {
            Decision::Steady => Ok(()),
            Decision::DropStanzas => self.clear_messages(),
            Decision::ReplayMessages => {
                let taken = self.taken_before(active)?;
                if !taken.is_empty() {
                    return self.take_back_announced(&active.lv, &taken);
                }
                self.send(&active.lv, Mode::Replay)?;
                self.clear_messages()
            }
            Decision::RaiseText { to } => {
                let mut edit = self.vg.edit();
                edit.clear_messages(&active.lv)?;
                edit.set_transaction_id(&active.lv, to)?;
                self.commit(edit)
            }
            Decision::SetKernelId { from, to } => {
                self.tell_pool(&active.lv, PoolMessage::SetTransactionId { from, to })
            }
            Decision::Refuse { kernel, text } => Err(refusal((kernel, text), &active.name)),
        }
    }

    /// The ids of volumes that the text's messages announce, as far as the pool had given them away
    /// before: what is there may be all that is left of somebody's data, and is no volume's. The pool
    /// makes them in order, so that what is there behind one that is not was there before, too.
    pub(super) fn taken_before(&self, active: &ActivePool) -> Result<Vec<u32>> {
        if self.announced()?.is_empty() {
            return Ok(Vec::new());
        }
        let Some(there) = self.thin_devices(&active.name)? else { return Ok(Vec::new()) };
        let taken = self.taken_among(&there)?;
        for id in &taken {
            log::warn!("{} has a thin device {id} that the metadata does not know", active.lv);
        }
        Ok(taken)
    }

    /// The same, of all that the pool knows.
    pub(super) fn taken_among(&self, there: &BTreeMap<u32, ThinDetails>) -> Result<Vec<u32>> {
        let (segment, announced) = (self.pool_segment()?, self.announced()?);
        let made = announced.iter().take_while(|(_, id)| there.contains_key(id)).count();
        let is_taken = |(index, (_, id)): (usize, (LvName, u32))| {
            let device = there.get(&id)?;
            (index >= made || device.is_from_before(segment.transaction_id)).then_some(id)
        };
        Ok(announced.into_iter().enumerate().filter_map(is_taken).collect())
    }

    /// The volumes that the pool is to make, with their ids.
    fn announced(&self) -> Result<Vec<(LvName, u32)>> {
        let messages = self.pool_segment()?.messages.iter();
        let announced = messages.filter_map(|message| match message {
            Message::Create(name) => Some((name.clone(), self.vg.lv(name)?.thin()?.device_id)),
            Message::Delete(_) => None,
        });
        Ok(announced.collect())
    }

    /// Takes back all that the text announces, but for the devices that were there before. None of the
    /// volumes was ever finished.
    fn take_back_announced(&mut self, pool: &LvName, taken: &[u32]) -> Result<()> {
        let (names, ids): (Vec<LvName>, Vec<u32>) = self.announced()?.into_iter().unzip();
        self.take_back_with(&names, pool, ids.into_iter().filter(|id| !taken.contains(id)))
    }

    /// What the active pool knows of its thin devices, by id; `None` where that cannot be told, as in a
    /// dry run.
    pub(super) fn thin_devices(
        &self,
        device: &DmName,
    ) -> Result<Option<BTreeMap<u32, ThinDetails>>> {
        let metadata = DmName::of_lv(&self.vg.name, &self.pool_segment()?.metadata, None)?;
        match self.machine.kernel.thin_devices(device, &metadata) {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
            there => there.map(Some),
        }
    }

    fn stack<'a>(&'a self, numbers: &'a PvNumbers) -> Stack<'a> {
        let autoextend_threshold = self.machine.lvm2.autoextend_threshold();
        Stack { vg: &self.vg, numbers, autoextend_threshold }
    }

    /// Activates volumes; those that are active stay as they are.
    pub(super) fn activate(&self, names: &[&LvName]) -> Result<()> {
        let names: Vec<LvName> = names.iter().map(|name| (*name).clone()).collect();
        self.refuse_doubtful()?;
        self.refuse_unlisted(&names)?;
        let numbers = self.numbers()?;
        let sure = self.sure.borrow();
        self.stack(numbers).activate_over(self.machine.kernel, &names, &sure).map(drop)
    }

    /// Deactivates volumes, and the pool with the last of them; those that are not active stay
    /// as they are.
    pub(super) fn deactivate(&self, names: &[&LvName]) -> Result<()> {
        let names: Vec<LvName> = names.iter().map(|name| (*name).clone()).collect();
        self.sure.take();
        dm::deactivate(self.machine.kernel, &self.vg, &names).map(drop)
    }

    /// Refuses volumes that lvm2's configuration keeps off this host. What the host starts from is
    /// another matter: lvm2's initramfs has a configuration of its own.
    fn refuse_unlisted(&self, names: &[LvName]) -> Result<()> {
        let Some(list) = self.machine.lvm2.volume_list() else { return Ok(()) };
        let off = names.iter().find(|name| !listed::lets(list, &self.vg, name));
        match off {
            Some(lv) if !self.is_start() => Err(listed::refusal(format!("{}/{lv}", self.vg.name))),
            _ => Ok(()),
        }
    }

    /// Refuses to make devices while two disks are the same physical volume (one is an old copy,
    /// and nothing tells which; so does lvm2), or while the newest text is lost.
    fn refuse_doubtful(&self) -> Result<()> {
        let refusal = self.disks.problems().into_iter().find_map(|problem| match problem {
            Problem::DuplicatePv { .. } => {
                Some((ErrorKind::Unsupported, format!("{problem}; take the copy away")))
            }
            Problem::LostText { .. } if self.is_start() => {
                log::warn!("{}: {problem}; run 'imgbase recover'", self.vg.name);
                None
            }
            Problem::LostText { .. } => Some((ErrorKind::NeedsRecovery, problem.to_string())),
            _ => None,
        });
        let Some((kind, why)) = refusal else { return Ok(()) };
        Err(Error::new(kind, why).op("activate the volume group").at(&self.vg.name))
    }
}

/// The error for a pool and a text, at these transactions, that nobody may bring together.
pub(super) fn refusal((kernel, text): (u64, u64), pool: impl std::fmt::Display) -> Error {
    let error = Error::new(ErrorKind::Diverged, pool::apart(kernel, text));
    error.at(pool).kept("nothing was changed")
}
