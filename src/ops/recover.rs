//! `recover`: what a crash left, of whatever program, is finished or undone.
//!
//! There is no journal. What is on the disks and in the kernel says it all: the text (message
//! stanzas, transaction id, the tags of what is unfinished, copies that are behind), the pool's
//! own transaction id, suspended devices, open counts. [`Seen`] is that, [`decide`] is a pure
//! function of it, and each [`Step`] can be repeated.

use std::collections::BTreeSet;

use super::session::Session;
use super::{Imgbase, Watch};
use crate::boot;
use crate::dm::pool::{self, Decision};
use crate::dm::{self, Active, DmInfo};
use crate::error::{Error, Result};
use crate::layout::{Layout, is_unfinished};
use crate::lvm2::model::Message;
use crate::lvm2::scan::Problem;
use crate::name::{DmName, LvName};
use crate::report::{Leftover, LeftoverKind, Outcome, RecoveryReport};

#[cfg(test)]
mod tests;

impl Imgbase<'_> {
    /// What a crash left, and what [`recover`](Self::recover) would do about it. Nothing is
    /// changed; while the pool is not active its own transaction id is not known.
    ///
    /// # Errors
    /// As [`layout`](Self::layout).
    pub fn leftovers(&self) -> Result<RecoveryReport> {
        let session = Session::read_everywhere(self)?;
        let mut seen = Seen::of(&session)?;
        if let Some(why) = session.why_not_put_back()? {
            // Nothing else is done either.
            let told = seen.put_back.drain(..).map(|lost| format!("{lost}; but not now: {why}"));
            seen = Seen { beyond: told.collect(), ..Seen::default() };
        }
        let steps = decide(&seen);
        let found = steps.iter().map(|step| step.told(step.planned())).collect();
        Ok(RecoveryReport { found, vg_seqno: session.vg().seqno })
    }

    /// Finishes or undoes what a crash left. A volume that a living process still fills is left
    /// alone. Where nothing is left over nothing is changed, so a second call changes nothing.
    ///
    /// # Errors
    /// [`Diverged`](crate::ErrorKind::Diverged) where the pool's transaction id and the text's are
    /// further apart than any crash explains; and as [`add_layer`](Self::add_layer). What was
    /// done by then stays done, and the next call goes on.
    pub fn recover(&self, watch: &mut dyn Watch) -> Result<RecoveryReport> {
        let (mut session, put_back) = Session::recover(self)?;
        let before = session.vg().seqno;
        // Opening the pool lets its own devices go on, and fills those that are empty.
        let devices = session.devices()?;
        let (asleep, unborn) = (asleep(&devices), unborn(&devices));
        dm::remove_unborn(session.machine().kernel, session.vg())?;
        session.open_pool()?;
        let seen = Seen { put_back, asleep, unborn, ..Seen::of(&session)? };
        let mut found = Vec::new();
        for step in decide(&seen) {
            watch.step(&step.object());
            let outcome = step.run(&mut session, before)?;
            found.push(step.told(outcome));
        }
        session.pool_as_before()?;
        session.settle()?;
        Ok(RecoveryReport { found, vg_seqno: session.vg().seqno })
    }
}

/// All that recovery goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Copies of the text that were lost, before which there is one that is whole.
    put_back: Vec<String>,
    /// Suspended devices of the group.
    asleep: Vec<String>,
    /// Devices of the group that never had a table in force.
    unborn: Vec<String>,
    /// The pool's transaction id where it is active, the text's, and whether that has stanzas.
    pool: Option<Ids>,
    /// Volumes that are unfinished or going away, and how often each is open.
    unfinished: Vec<(LvName, u32)>,
    /// Copies of the text that are behind or half changed, which the next commit writes anew.
    behind: Vec<String>,
    /// Thin devices of an active pool that no volume stands for, with their chunks in use.
    strays: Vec<(u32, u64)>,
    /// Volumes whose thin device the pool does not have.
    lost: Vec<LvName>,
    /// What is in the boot folder and nothing needs.
    boot: Vec<boot::Leftover>,
    /// What only a person can mend.
    beyond: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ids {
    kernel: Option<u64>,
    text: u64,
    stanzas: bool,
}

impl Seen {
    fn of(session: &Session<'_>) -> Result<Self> {
        let layout = session.layout()?;
        let devices = session.devices()?;
        let mut seen =
            Self { asleep: asleep(&devices), unborn: unborn(&devices), ..Self::default() };
        let state = session.pool_state_among(&devices, &layout.pool.name)?;
        seen.pool = Some(Ids {
            kernel: state.map(|state| state.transaction_id),
            text: layout.pool_segment.transaction_id,
            stanzas: !layout.pool_segment.messages.is_empty(),
        });
        let opens = |device: Option<&DmInfo>| device.map_or(0, |device| device.open_count);
        let unfinished = layout.pending.iter();
        seen.unfinished = unfinished
            .map(|lv| (lv.name.clone(), opens(devices.volume(session.vg(), &lv.name))))
            .collect();
        if let Some(device) = devices.volume(session.vg(), &layout.pool.name) {
            seen.compare_ids(session, &layout, &device.name)?;
        }
        seen.look_at_boot(session)?;
        let group = session.disks.group();
        for (member, copy) in group.writable_copies() {
            if copy.header.is_some_and(|header| !header.precommitted().is_empty()) {
                let (path, at) = (member.path.display(), copy.area.offset.get());
                let why = "a text was announced there that never came into force";
                seen.behind.push(format!("{path}, metadata area at byte {at}: {why}"));
            }
        }
        for problem in &group.problems {
            match problem {
                Problem::StaleCopy { .. } => seen.behind.push(problem.to_string()),
                Problem::LostText { .. } => seen.put_back.push(problem.to_string()),
                problem if problem.is_of_others() => {}
                problem => seen.beyond.push(problem.to_string()),
            }
        }
        Ok(seen)
    }
}

impl Seen {
    /// What the boot folder has that nothing needs; a folder that cannot be read is told.
    fn look_at_boot(&mut self, session: &Session<'_>) -> Result<()> {
        let layers = session.layer_names()?;
        let left = session.boot_alone().and_then(|boot| match boot {
            Some((boot, _alone)) => boot.leftovers(&layers),
            None => Ok(Vec::new()),
        });
        match left {
            Ok(left) => self.boot = left,
            Err(error) => self.beyond.push(error.to_string()),
        }
        Ok(())
    }

    /// Holds the ids that the pool has against those of the text. What a message is still to
    /// make or to delete counts for neither.
    fn compare_ids(
        &mut self,
        session: &Session<'_>,
        layout: &Layout<'_>,
        device: &DmName,
    ) -> Result<()> {
        let (vg, pool) = (session.vg(), layout.pool);
        let Some(there) = session.thin_devices(device)? else { return Ok(()) };
        let (messages, taken) = (&layout.pool_segment.messages, session.taken_among(&there)?);
        let mut known = BTreeSet::new();
        for lv in &vg.lvs {
            let Some(thin) = lv.thin().filter(|thin| thin.pool == pool.name) else { continue };
            let announced = messages.contains(&Message::Create(lv.name.clone()));
            if !taken.contains(&thin.device_id) {
                known.insert(thin.device_id);
            }
            let unfinished = layout.pending.iter().any(|other| other.name == lv.name);
            if !there.contains_key(&thin.device_id) && !announced && !unfinished {
                self.lost.push(lv.name.clone());
            }
        }
        let is_stray = |id: &u32| !known.contains(id) && !messages.contains(&Message::Delete(*id));
        let strays = there.iter().filter(|(id, _)| is_stray(id));
        self.strays = strays.map(|(id, details)| (*id, details.mapped_chunks)).collect();
        Ok(())
    }
}

/// The group's suspended devices.
fn asleep(devices: &Active) -> Vec<String> {
    let asleep = devices.devices().filter(|device| device.suspended && device.live);
    asleep.map(|device| device.name.to_string()).collect()
}

/// The group's devices without a table in force.
fn unborn(devices: &Active) -> Vec<String> {
    let unborn = devices.devices().filter(|device| !device.live);
    unborn.map(|device| device.name.to_string()).collect()
}

/// Something to be done about what was left, or only to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    PutBack(String),
    Wake(String),
    Discard(String),
    Align(Decision),
    /// The pool is not active: whether it is in step shows once it is.
    Look(Ids),
    Remove(LvName),
    LeaveAlone(LvName),
    Refresh(String),
    Keep(u32, u64),
    Lost(LvName),
    Boot(boot::Leftover),
    Tell(String),
}

/// What is to be done, in order. Devices go on first: whatever follows may need them.
fn decide(seen: &Seen) -> Vec<Step> {
    let mut steps: Vec<Step> = seen.put_back.iter().cloned().map(Step::PutBack).collect();
    steps.extend(seen.asleep.iter().cloned().map(Step::Wake));
    steps.extend(seen.unborn.iter().cloned().map(Step::Discard));
    match seen.pool {
        Some(Ids { kernel: Some(kernel), text, stanzas }) => {
            match pool::decide(kernel, text, stanzas) {
                Decision::Steady => {}
                decision => steps.push(Step::Align(decision)),
            }
        }
        Some(ids) if ids.stanzas => steps.push(Step::Look(ids)),
        _ => {}
    }
    for (lv, opens) in &seen.unfinished {
        let step = if *opens > 0 { Step::LeaveAlone } else { Step::Remove };
        steps.push(step(lv.clone()));
    }
    steps.extend(seen.behind.iter().cloned().map(Step::Refresh));
    steps.extend(seen.strays.iter().map(|(id, chunks)| Step::Keep(*id, *chunks)));
    steps.extend(seen.lost.iter().cloned().map(Step::Lost));
    steps.extend(seen.boot.iter().cloned().map(Step::Boot));
    steps.extend(seen.beyond.iter().cloned().map(Step::Tell));
    steps
}

impl Step {
    fn kind(&self) -> LeftoverKind {
        match self {
            Self::Wake(_) => LeftoverKind::Suspended,
            Self::Discard(_) => LeftoverKind::Unborn,
            Self::Align(_) | Self::Look(_) => LeftoverKind::Transaction,
            Self::Remove(_) | Self::LeaveAlone(_) => LeftoverKind::Unfinished,
            Self::PutBack(_) | Self::Refresh(_) => LeftoverKind::Copy,
            Self::Keep(..) => LeftoverKind::Stray,
            Self::Boot(_) => LeftoverKind::Boot,
            Self::Lost(_) | Self::Tell(_) => LeftoverKind::Problem,
        }
    }

    fn object(&self) -> String {
        match self {
            Self::Wake(name) | Self::Discard(name) => name.clone(),
            Self::Align(_) | Self::Look(_) => "thin pool".to_owned(),
            Self::Remove(lv) | Self::LeaveAlone(lv) | Self::Lost(lv) => lv.to_string(),
            Self::Keep(id, _) => format!("thin device {id}"),
            Self::Boot(_) => "boot folder".to_owned(),
            Self::PutBack(_) | Self::Refresh(_) | Self::Tell(_) => "metadata".to_owned(),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Wake(_) => "it was left suspended: I/O to it waits".to_owned(),
            Self::Discard(_) => {
                "it was made and never put in force, and keeps the device below it in use"
                    .to_owned()
            }
            Self::Align(decision) => detail(*decision),
            Self::Look(ids) => format!(
                "the metadata, at transaction {}, has messages that the pool may not have been told",
                ids.text
            ),
            Self::Remove(_) => "it is unfinished, and nobody works on it".to_owned(),
            Self::LeaveAlone(_) => "it is unfinished, and a process works on it".to_owned(),
            Self::Keep(_, chunks) => format!(
                "the pool has it, with {chunks} chunks mapped, and no volume does: it is kept, as \
                 it may be all that is left of somebody's data"
            ),
            Self::Lost(_) => "the pool has no thin device for it".to_owned(),
            Self::Boot(left) => left.to_string(),
            Self::PutBack(why) | Self::Refresh(why) | Self::Tell(why) => why.clone(),
        }
    }

    /// What would become of it.
    fn planned(&self) -> Outcome {
        match self {
            Self::LeaveAlone(_) => Outcome::LeftAlone,
            Self::Keep(..) | Self::Lost(_) | Self::Tell(_) => Outcome::ForYou,
            Self::Align(Decision::Refuse { .. }) => Outcome::ForYou,
            Self::Boot(boot::Leftover::Entry { kept: Some(_), .. }) => Outcome::ForYou,
            _ => Outcome::Pending,
        }
    }

    fn told(&self, outcome: Outcome) -> Leftover {
        Leftover { kind: self.kind(), object: self.object(), detail: self.detail(), outcome }
    }

    fn run(&self, session: &mut Session<'_>, before: u64) -> Result<Outcome> {
        match self {
            // Whoever locked the group to recover it has done it.
            Self::PutBack(_) => Ok(Outcome::Done),
            Self::Wake(_) => {
                dm::wake(session.machine().kernel, session.vg())?;
                Ok(Outcome::Done)
            }
            Self::Discard(name) => {
                dm::remove_unborn(session.machine().kernel, session.vg())?;
                let is_there = unborn(&session.devices()?).contains(name);
                Ok(if is_there { Outcome::LeftAlone } else { Outcome::Done })
            }
            // Whoever activates the pool brings both together, and refuses what it must.
            Self::Align(_) | Self::Look(_) => session.pool_on().map(|_| Outcome::Done),
            Self::Remove(lv) => {
                // The first of them takes all.
                if session.vg().lv(lv).is_some() {
                    session.remove_unfinished()?;
                }
                Ok(Outcome::Done)
            }
            Self::Refresh(_) => {
                if session.vg().seqno == before {
                    session.commit(session.vg().edit())?;
                }
                Ok(Outcome::Done)
            }
            // One clean-up takes all of them.
            Self::Boot(_) if self.planned() == Outcome::Pending => {
                if let Some((boot, _alone)) = session.boot_alone()? {
                    boot.clean(&session.layer_names()?)?;
                }
                Ok(Outcome::Done)
            }
            Self::LeaveAlone(_)
            | Self::Keep(..)
            | Self::Lost(_)
            | Self::Boot(_)
            | Self::Tell(_) => Ok(self.planned()),
        }
    }
}

/// What a decision is about, for people.
fn detail(decision: Decision) -> String {
    match decision {
        Decision::Steady => "pool and metadata are in step".to_owned(),
        Decision::ReplayMessages => {
            "the metadata is one transaction ahead: its messages are sent to the pool".to_owned()
        }
        Decision::DropStanzas => {
            "the pool has done all that the metadata's messages say: they are dropped".to_owned()
        }
        Decision::RaiseText { to } => {
            format!("the metadata is behind the pool: it is raised to transaction {to}")
        }
        Decision::SetKernelId { from, to } => format!(
            "the pool is at transaction {from}, the metadata, with nothing to say, at {to}: the \
             pool is raised"
        ),
        Decision::Refuse { kernel, text } => pool::apart(kernel, text),
    }
}

impl Session<'_> {
    /// Removes the volumes that a crash left unfinished, as every verb does that changes
    /// something. What a living process is at stays.
    pub(super) fn clear_leftovers(&mut self) -> Result<()> {
        // Hardly ever there is one: that costs no layout.
        if !self.vg().lvs.iter().any(|lv| is_unfinished(lv)) {
            return Ok(());
        }
        // A group without a pool of ours has none.
        if self.layout().is_err() {
            return Ok(());
        }
        self.remove_unfinished()?;
        self.pool_as_before()
    }

    /// Removes the volumes that are unfinished or going away and that no process works on, with their
    /// data, in one transaction.
    fn remove_unfinished(&mut self) -> Result<()> {
        let pending = self.layout()?.pending;
        let mut idle: Vec<LvName> = pending.into_iter().map(|lv| lv.name.clone()).collect();
        let devices = self.devices_of(&idle)?;
        idle.retain(|lv| {
            let open = devices.volume(self.vg(), lv).is_some_and(|device| device.open_count > 0);
            if open {
                log::info!("{lv} is unfinished, and a process works on it");
            } else {
                log::warn!("{lv} was left unfinished and is removed");
            }
            !open
        });
        let Some(first) = idle.first().cloned() else { return Ok(()) };
        let what = |error: Error| error.op("remove what is unfinished").at(&first);
        self.deactivate(&idle.iter().collect::<Vec<_>>()).map_err(what)?;
        self.pool_on()?;
        // Bringing pool and text together may have taken some away.
        idle.retain(|lv| self.vg().lv(lv).is_some());
        if idle.is_empty() { Ok(()) } else { self.remove_thins(&idle).map_err(what) }
    }
}
