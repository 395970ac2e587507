//! Changes to the pool: the text first, then the kernel, then the text again.
//!
//! T1 commits the volumes with their messages and the raised transaction id;
//! the messages go to the pool; `set_transaction_id`; T2 commits the text
//! without the messages. Whoever finds T1's text after a crash can tell from
//! the pool's own transaction id how far it came.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::entries::{OwnInitrd, Start};
use super::filesystem;
use super::session::Session;
use super::thin::{NewThin, Role};
use crate::boot::Boot;
use crate::dev::Dev;
use crate::dm::pool::{Mode, PoolMessage, Transaction};
use crate::dm::together::each;
use crate::dm::{Active, ActivePool};
use crate::error::{Error, ErrorKind, Result};
use crate::etc::{Carried, HOOK_LIMIT, NEW_LAYER, Wishes};
use crate::layout::{ImageName, tag};
use crate::lvm2::Vg;
use crate::lvm2::edit::{Birth, ThinSpec};
use crate::lvm2::model::{Lv, Message};
use crate::machine::{CarryOver, HookRun, Machine};
use crate::name::LvName;
use crate::units::Bytes;

/// So many device ids that the text does not know are stepped over.
const STRAY_IDS: u32 = 16;

impl<'m> Session<'m> {
    /// Makes a thin volume, tagged pending: T1 and its message, in the pool that this session has
    /// opened. The text still holds the message afterwards; [`finish_thins`](Self::finish_thins) or
    /// [`undo_thin`](Self::undo_thin) take it out.
    ///
    /// A device id that the pool has and the text has not may be all that is left of somebody's
    /// data: it is never touched, the next one is taken.
    pub(super) fn begin_thin(&mut self, thin: &NewThin, active: &ActivePool) -> Result<()> {
        self.begin_thins(std::slice::from_ref(thin), active)
    }

    /// The same for several, none of them of another, in one transaction.
    pub(super) fn begin_thins(&mut self, thins: &[NewThin], active: &ActivePool) -> Result<()> {
        let pool = active.lv.clone();
        let first = self.vg.next_device_id(&pool)?;
        let names: Vec<LvName> = thins.iter().map(|thin| thin.name.clone()).collect();
        let mut next = first;
        for _ in 0..=STRAY_IDS {
            let ids = next..;
            let specs = thins.iter().zip(ids).map(|(thin, id)| self.spec_for(thin, &pool, id));
            let specs = specs.collect::<Result<Vec<_>>>()?;
            let mut edit = self.vg.edit();
            edit.create_thins_announced(&pool, &specs)?;
            self.commit_first(edit)?;
            let mut obeyed = 0;
            let sent = self
                .with_transaction(&pool, |it| it.messages(&active.state, Mode::Fresh, &mut obeyed));
            match sent {
                Err(error) if error.kind() == ErrorKind::Exists => {
                    let (ours, taken) = specs.split_at(obeyed.min(specs.len()));
                    let id = taken.first().map_or(next, |spec| spec.device_id);
                    log::warn!("{pool} has a thin device {id} that the metadata does not know");
                    self.archive_anyway();
                    self.take_back_with(&names, &pool, ours.iter().map(|spec| spec.device_id))
                        .map_err(|error| left(&names, &error.to_string()))?;
                    next = id.saturating_add(1);
                }
                Err(error) => return Err(self.undo_thins(&names, error)),
                Ok(()) => return Ok(()),
            }
        }
        let why =
            format!("the pool has thin devices from {first} on that the metadata does not know");
        let error = Error::new(ErrorKind::Diverged, why).at(&pool);
        Err(error.kept(format!("nothing was made; metadata at seqno {}", self.vg.seqno)))
    }

    /// What a thin volume is to become, with all that the text does not say.
    fn spec_for(&self, thin: &NewThin, pool: &LvName, device_id: u32) -> Result<ThinSpec> {
        let origin = thin.origin.as_ref().and_then(|origin| self.vg.lv(origin));
        let extents = match (origin, thin.size) {
            (Some(origin), None) => origin.extents(),
            (_, size) => self.extents_for(size.unwrap_or(Bytes::ZERO))?,
        };
        let mut tags = vec![tag::PENDING.try_into()?, thin.role.tag().try_into()?];
        if let Some(digest) = thin.digest {
            tags.push(format!("{}{digest}", tag::DIGEST).parse()?);
        }
        if let Some(path) = &thin.at {
            tags.push(format!("{}{path}", tag::AT).parse()?);
        }
        if let Some(from) = &thin.from {
            tags.push(format!("{}{from}", tag::FROM).parse()?);
        }
        Ok(ThinSpec {
            name: thin.name.clone(),
            pool: pool.clone(),
            extents,
            origin: thin.origin.clone(),
            tags,
            activation_skip: thin.role == Role::Base,
            writable: true,
            device_id,
            birth: self.birth(),
        })
    }

    /// When and where volumes are made now.
    pub(super) fn birth(&self) -> Birth {
        let creator = self.machine.lvm2.creator();
        Birth { time: creator.time, host: creator.host }
    }

    /// A thin volume's size in extents: lvm2 rounds up to the extent, and to the chunk where
    /// that is larger.
    pub(super) fn extents_for(&self, size: Bytes) -> Result<crate::units::Extents> {
        let too_large = || Error::new(ErrorKind::Invalid, "no volume is that large");
        let size = size.round_up(self.chunk()?).ok_or_else(too_large)?;
        Ok(size.sectors_up().extents_up(self.vg.extent_size))
    }

    /// Sends the messages that the text holds and raises the pool's transaction id.
    pub(super) fn send(&self, pool: &LvName, mode: Mode) -> Result<()> {
        self.with_transaction(pool, |change| change.send(mode))
    }

    /// Sends one message, outside of any transaction, also where the pool's metadata is full.
    pub(super) fn tell_pool(&self, pool: &LvName, message: PoolMessage) -> Result<()> {
        self.with_transaction(pool, |change| change.tell(message))
    }

    fn with_transaction(
        &self,
        pool: &LvName,
        act: impl FnOnce(&Transaction<'_>) -> Result<()>,
    ) -> Result<()> {
        let active = self.devices_of(self.origins_of(pool).chain([pool]))?;
        let (kernel, vg) = (self.machine.kernel, self.vg.as_ref());
        act(&Transaction { kernel, vg, pool, active: &active })
    }

    /// Raises the pool's transaction id to the text's, once the messages are sent; on whatever
    /// thread.
    fn raise(&self) -> Result<impl FnOnce() -> Result<()> + Send + use<'m>> {
        let (pool, vg, kernel) = (self.pool()?, Arc::clone(&self.vg), self.machine.kernel);
        Ok(move || {
            let active = Active::observe_volumes(kernel, &vg, [&pool])?;
            Transaction { kernel, vg: &vg, pool: &pool, active: &active }.raise()
        })
    }

    /// The origins of the snapshots that the pool is to make.
    fn origins_of<'s>(&'s self, pool: &LvName) -> impl Iterator<Item = &'s LvName> {
        let messages = self.vg.thin_pool(pool).map_or(&[][..], |pool| pool.messages.as_slice());
        messages.iter().filter_map(|message| match message {
            Message::Create(name) => self.vg.lv(name)?.thin()?.origin.as_ref(),
            Message::Delete(_) => None,
        })
    }

    /// What follows [`begin_thins`](Self::begin_thins), up to T2 and the commit point in one: moves
    /// the pool to the text's transaction id, drops the messages and the tags from the text,
    /// and gives each volume the properties of its role. `beside` runs beside all but the last step:
    /// what must be done before the volumes exist.
    pub(super) fn finish_thins(
        &mut self,
        volumes: &[(&LvName, Role)],
        beside: &mut dyn FnMut(&Self) -> Result<()>,
    ) -> Result<()> {
        let raise = self.raise()?;
        self.commit_roles((volumes, None), raise, beside)
    }

    /// The same where the pool is at the text's transaction id already; of several volumes, all in
    /// one commit.
    pub(super) fn finish_filled(&mut self, volumes: &[(&LvName, Role)]) -> Result<()> {
        self.commit_roles((volumes, None), || Ok(()), &mut |_| Ok(()))
    }

    /// The same, and in that commit the volume is tagged that they were adopted from.
    pub(super) fn finish_adopted(
        &mut self,
        volumes: &[(&LvName, Role)],
        source: &LvName,
    ) -> Result<()> {
        self.commit_roles((volumes, Some(source)), || Ok(()), &mut |_| Ok(()))
    }

    fn commit_roles(
        &mut self,
        (volumes, source): (&[(&LvName, Role)], Option<&LvName>),
        before: impl FnOnce() -> Result<()> + Send,
        beside: &mut dyn FnMut(&Self) -> Result<()>,
    ) -> Result<()> {
        let pool = self.pool()?;
        let make = |vg: &Vg| {
            before()?;
            let mut edit = vg.edit();
            let lvs: Vec<&LvName> = volumes.iter().map(|(lv, _)| *lv).collect();
            edit.settle_announced(&pool, &lvs, &tag::PENDING.try_into()?)?;
            for (lv, role) in volumes {
                if vg.lv(lv).is_none_or(|lv| lv.is_writable() != role.is_writable()) {
                    edit.set_writable(lv, role.is_writable())?;
                }
            }
            if let Some(source) = source {
                edit.add_tag(source, &tag::INIT.try_into()?)?;
            }
            Ok(edit)
        };
        self.commit_last(make, beside)
    }

    /// T2 alone: drops the messages from the text.
    pub(super) fn clear_messages(&mut self) -> Result<()> {
        let pool = self.pool()?;
        let mut edit = self.vg.edit();
        edit.clear_messages(&pool)?;
        self.commit(edit)
    }

    /// Takes back what [`begin_thin`](Self::begin_thin) did and returns the error that made it
    /// necessary; where that fails too, an error that says what is left to recover.
    pub(super) fn undo_thin(&mut self, lv: &LvName, error: Error) -> Error {
        self.undo_thins(std::slice::from_ref(lv), error)
    }

    /// The same for all that [`begin_thins`](Self::begin_thins) made.
    pub(super) fn undo_thins(&mut self, lvs: &[LvName], error: Error) -> Error {
        log::debug!("undo {}: {error}", list(lvs));
        match self.try_undo(lvs) {
            Ok(()) => error.kept(format!(
                "undone: everything is as before but for the sequence number ({})",
                self.vg.seqno
            )),
            Err(second) => left(lvs, &format!("{error}; and undoing it failed: {second}")),
        }
    }

    fn try_undo(&mut self, lvs: &[LvName]) -> Result<()> {
        self.archive_anyway();
        let there: Vec<(LvName, u32)> = lvs
            .iter()
            .filter_map(|lv| Some((lv.clone(), self.vg.lv(lv)?.thin()?.device_id)))
            .collect();
        if there.is_empty() {
            return Ok(());
        }
        // Those whose own undoing has failed are active still.
        let mut gone = self.unfinished_of(lvs)?;
        gone.extend(there.iter().map(|(lv, _)| lv.clone()));
        self.deactivate(&gone.iter().collect::<Vec<_>>())?;
        // With its last volume the pool goes too.
        let active = self.open_pool()?;
        let pool = self.pool()?;
        let in_text = self.pool_segment()?.transaction_id;
        let Some(state) = self.pool_state()? else {
            return Err(Error::new(ErrorKind::Diverged, "the pool is not active").at(pool));
        };
        let in_kernel = state.transaction_id;
        let messages = &self.pool_segment()?.messages;
        let waits = there.iter().any(|(lv, _)| messages.contains(&Message::Create(lv.clone())));
        if in_kernel == in_text || !waits {
            if in_kernel != in_text {
                // What the pool was not told yet is about another volume.
                self.pool_on()?;
            }
            self.remove_thins(&gone)?;
            return self.pool_as_before();
        }
        // The pool has not passed this transaction: take the devices away, if it got so far.
        let kept = self.taken_before(&active)?;
        let (lvs, ids): (Vec<LvName>, Vec<u32>) = there.into_iter().unzip();
        self.take_back_with(&lvs, &pool, ids.into_iter().filter(|id| !kept.contains(id)))?;
        self.pool_as_before()
    }

    /// Snapshots of volumes that could not be taken back when they failed.
    fn unfinished_of(&self, origins: &[LvName]) -> Result<Vec<LvName>> {
        let mut unfinished = self.layout()?.pending;
        let is_of_one = |lv: &&Lv| {
            lv.thin().and_then(|thin| thin.origin.as_ref()).is_some_and(|of| origins.contains(of))
        };
        unfinished.retain(is_of_one);
        Ok(unfinished.into_iter().map(|lv| lv.name.clone()).collect())
    }

    /// Brings the text back to where the pool still is, without volumes that it did not make.
    pub(super) fn take_back(&mut self, lvs: &[LvName], pool: &LvName) -> Result<()> {
        let id = self.pool_segment()?.transaction_id;
        let mut edit = self.vg.edit();
        // A message names it.
        edit.clear_messages(pool)?;
        lvs.iter().try_for_each(|lv| edit.remove_lv(lv))?;
        edit.set_transaction_id(pool, id.saturating_sub(1))?;
        self.commit(edit)
    }

    /// The same with their devices, of which those that are not there were never made. The last goes
    /// first: those that are left are still the first ones of those that were announced, which is how
    /// they are known.
    pub(super) fn take_back_with(
        &mut self,
        lvs: &[LvName],
        pool: &LvName,
        mut ids: impl DoubleEndedIterator<Item = u32>,
    ) -> Result<()> {
        while let Some(id) = ids.next_back() {
            self.delete_if_there(pool, id)?;
        }
        self.take_back(lvs, pool)
    }

    fn delete_if_there(&self, pool: &LvName, id: u32) -> Result<()> {
        // That the pool is not there must not be taken for a device that is not there.
        let gone = || Error::new(ErrorKind::Diverged, "the pool is not active").at(pool);
        self.devices_of([pool])?.volume(&self.vg, pool).ok_or_else(gone)?;
        match self.tell_pool(pool, PoolMessage::Delete { id }) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Removes thin volumes in one transaction, from a pool that is at the text's transaction id.
    /// The first commit is the commit point.
    pub(super) fn remove_thins(&mut self, names: &[LvName]) -> Result<()> {
        let pool = self.pool()?;
        let ids = names.iter().filter_map(|name| self.vg.lv(name)?.thin());
        let messages: Vec<Message> = ids.map(|thin| Message::Delete(thin.device_id)).collect();
        let mut edit = self.vg.edit();
        // The pool has carried them out; a volume may be undone before they are dropped.
        edit.clear_messages(&pool)?;
        for name in names {
            edit.remove_lv(name)?;
        }
        let id = self.pool_segment()?.transaction_id.saturating_add(1);
        edit.announce(&pool, &messages, id)?;
        self.commit(edit)?;
        // A thin device that is not there is gone: an unfinished volume may have none.
        let finished = self.send(&pool, Mode::Replay).and_then(|()| self.clear_messages());
        finished.map_err(|error| {
            let error = error.with_kind(ErrorKind::NeedsRecovery);
            error.kept(format!(
                "gone from the metadata, while the pool still holds the data: {}",
                list(names)
            ))
        })
    }

    /// Makes the file systems of fresh snapshots their own, see [`Pending::make_own`]: each waits for
    /// the disk.
    pub(super) fn make_own(
        &self,
        volumes: &[(&LvName, &dyn Dev)],
        names_root: bool,
    ) -> Result<Vec<Option<String>>> {
        let (chunk, machine) = (self.chunk()?, &self.machine);
        let mut all = Vec::with_capacity(volumes.len());
        for (lv, device) in volumes {
            let root = names_root.then(|| filesystem::root_source(self.vg(), lv)).transpose()?;
            all.push((lv, self.node(lv)?, *device, root, OnceLock::new()));
        }
        let (_, made) =
            each(machine.kernel.calls_at_once(), &all, &|(lv, node, device, root, uuid)| {
                let own = filesystem::make_own(machine, root.as_deref(), (node, *device), chunk)?;
                log::trace!("{lv} has a UUID of its own");
                uuid.get_or_init(|| own);
                Ok(())
            });
        made?;
        Ok(all.into_iter().map(|(.., uuid)| uuid.into_inner().flatten()).collect())
    }

    /// Lets go of the lock for a long copy: the volume's device stays open, which tells others
    /// that a process is at it.
    pub(super) fn into_pending(self, lv: LvName) -> Result<Pending<'m>> {
        self.into_pending_beside(lv, Vec::new())
    }

    /// The same for a volume and those that were made beside it.
    pub(super) fn into_pending_beside(
        mut self,
        lv: LvName,
        others: Vec<LvName>,
    ) -> Result<Pending<'m>> {
        let all: Vec<LvName> = [&lv].into_iter().chain(&others).cloned().collect();
        let raised = self.raise().and_then(|raise| raise());
        let opened = raised.and_then(|()| self.clear_messages());
        let opened = opened.and_then(|()| self.activate(&all.iter().collect::<Vec<_>>()));
        let opened = opened.and_then(|()| {
            let open = |lv: LvName| Ok((self.open_volume(&lv)?, lv));
            let others = others.into_iter().map(open).collect::<Result<Vec<_>>>()?;
            Ok((self.open_volume(&lv)?, others))
        });
        match opened {
            Ok((device, others)) => {
                self.unlock();
                Ok(Pending { session: self, device, lv, others })
            }
            Err(error) => Err(self.undo_thins(&all, error)),
        }
    }
}

/// The error where volumes stay unfinished.
fn left(lvs: &[LvName], why: &str) -> Error {
    let names = list(lvs);
    let (are, them) = if lvs.len() == 1 { ("is", "it") } else { ("are", "them") };
    let kept = format!(
        "{names} {are} left with the tag {}; 'imgbase recover' removes {them}",
        tag::PENDING
    );
    Error::new(ErrorKind::NeedsRecovery, why).at(names).kept(kept)
}

/// All of a few, the first and the last of many.
fn list(names: &[LvName]) -> String {
    match names {
        [first, .., last] if names.len() > 3 => format!("{first} to {last}"),
        _ => names.iter().map(LvName::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// A volume that is being filled, its group not locked.
pub(super) struct Pending<'m> {
    session: Session<'m>,
    device: Box<dyn Dev>,
    lv: LvName,
    /// Volumes that were made beside it.
    others: Vec<(Box<dyn Dev>, LvName)>,
}

impl<'m> Pending<'m> {
    pub(super) fn machine(&self) -> &Machine<'m> {
        &self.session.machine
    }

    /// Makes the file system of each snapshot one of its own: its UUID, and, where `names_root`, its
    /// own root in its fstab. `None` for one that holds none that is known here.
    pub(super) fn make_own(&self, names_root: bool) -> Result<Vec<Option<String>>> {
        let others = self.others.iter().map(|(device, lv)| (lv, device.as_ref()));
        let all: Vec<_> = [(&self.lv, self.device())].into_iter().chain(others).collect();
        self.session.make_own(&all, names_root)
    }

    fn root_source(&self) -> Result<String> {
        filesystem::root_source(self.session.vg(), &self.lv)
    }

    /// Carries over what was changed from the base to the layer whose volumes these are, and names
    /// the root.
    pub(super) fn carry_over(&self, volumes: &[LvName; 2], wishes: &Wishes) -> Result<Carried> {
        let [base, ours] = volumes.each_ref().map(|lv| self.session.mountable(lv));
        let ((base, base_fs), (ours, ours_fs)) = (base?, ours?);
        let (new, new_fs) = self.session.mountable(&self.lv)?;
        self.machine().mounts.carry_over(CarryOver {
            base: (&base, base_fs),
            ours: (&ours, ours_fs),
            new: (&new, new_fs),
            root: &self.root_source()?,
            wishes,
        })
    }

    /// Labels what was carried over by the policy of the image, where that can do it.
    pub(super) fn label(&self, carried: &mut Carried, cancelled: &dyn Fn() -> bool) -> Result<()> {
        let Some(labelling) = carried.to_label.take() else { return Ok(()) };
        let (node, fs_type) = self.session.mountable(&self.lv)?;
        match self.machine().tools.label(&labelling, (&node, fs_type), cancelled)? {
            None => {
                carried.labelled = labelling.paths.len() as u64;
                // An image that asks for it itself is to have it.
                carried.relabels = !labelling.marked;
            }
            Some(why) => log::warn!("{}: {why}: the first start does it", labelling.program),
        }
        Ok(())
    }

    /// Runs the host's hooks over the layer whose state was carried over and this one.
    pub(super) fn run_hooks(
        &self,
        old: &LvName,
        wishes: &Wishes,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<()> {
        let config = self.session.hooks_volume(wishes);
        let config = config.map(|lv| self.session.mountable(lv)).transpose()?;
        let [(old, old_fs), (new, new_fs)] =
            [self.session.mountable(old)?, self.session.mountable(&self.lv)?];
        let run = HookRun {
            event: NEW_LAYER,
            hooks: &wishes.hooks,
            limit: wishes.hook_limit.unwrap_or(HOOK_LIMIT),
            config: config.as_ref().map(|(node, fs_type)| (node.as_path(), *fs_type)),
            old: (&old, old_fs),
            new: (&new, new_fs),
        };
        self.machine().tools.run_hooks(&run, cancelled)
    }

    /// Stores the kernels of the snapshot in the boot folder; it inherits what the `model`'s are
    /// told, and without one has what its own tree says. `at` as for [`Session::store_kernels`].
    pub(super) fn store_kernels(
        &self,
        model: Option<&ImageName>,
        boot: &Boot<'_>,
        at: &Path,
    ) -> Result<Option<Start>> {
        let args = match model {
            Some(model) => self.session.inherited_args(boot, model)?,
            None => None,
        };
        self.session.store_kernels(boot, (&self.lv, at), args, OwnInitrd::WhereNone)
    }

    pub(super) fn device(&self) -> &dyn Dev {
        self.device.as_ref()
    }

    /// Its device once more.
    #[cfg(feature = "host")]
    pub(super) fn reopen(&self) -> Result<Box<dyn Dev>> {
        self.session.open_volume(&self.lv)
    }

    pub(super) fn node(&self) -> Result<std::path::PathBuf> {
        self.session.node(&self.lv)
    }

    /// The node of another volume of the group.
    pub(super) fn node_of(&self, lv: &LvName) -> Result<std::path::PathBuf> {
        self.session.node(lv)
    }

    pub(super) fn chunk(&self) -> Result<Bytes> {
        self.session.chunk()
    }

    /// True where the pool zeroes a chunk before it is first used.
    pub(super) fn zeroes_chunks(&self) -> Result<bool> {
        Ok(self.session.pool_segment()?.zero_new_blocks)
    }

    /// Locks again, to finish.
    pub(super) fn relock(mut self) -> Result<Session<'m>> {
        match self.session.relock() {
            Ok(()) => Ok(self.session),
            Err(error) => Err(left(&self.all(), &format!("it cannot be finished: {error}"))),
        }
    }

    /// The volume and those beside it.
    fn all(&self) -> Vec<LvName> {
        [&self.lv].into_iter().chain(self.others.iter().map(|(_, lv)| lv)).cloned().collect()
    }

    /// Locks again and takes the volume away, which was all that it was for.
    #[cfg(feature = "host")]
    pub(super) fn discard(self) -> Result<()> {
        let all = self.all();
        let mut session = self.close();
        session.relock().and_then(|()| session.try_undo(&all))
    }

    /// Locks again and takes the volume away, and those beside it.
    pub(super) fn undo(self, error: Error) -> Error {
        let all = self.all();
        let mut session = self.close();
        match session.relock() {
            Ok(()) => session.undo_thins(&all, error),
            Err(second) => left(&all, &format!("{error}; and it could not be undone: {second}")),
        }
    }

    /// Lets go of the devices.
    fn close(self) -> Session<'m> {
        self.session
    }
}
