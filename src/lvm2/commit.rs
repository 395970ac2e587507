//! Replaces a group's text on all its disks, so that a power cut leaves the
//! old or the new one.
//!
//! 1. **Write.** The text goes into every ring, where nothing points at it.
//! 2. **Precommit.** Slot 1 of every header points at it; one sync for both. Nobody but the
//!    writer reads slot 1, so the two may reach a disk in any order.
//! 3. **Commit.** Slot 0 of every header points at it; sync. The first header that is on
//!    a disk commits the change: its sector is written whole or not at all, and readers
//!    take the newest text of all copies.
//!
//! Each step gives a value that only the next one takes. A failure before the third step ends
//! the change with the old text in force; in it, one copy that was reached is enough, as with
//! lvm2: the others are behind and the next commit brings them up to date.

use std::io;
use std::sync::Arc;

use crate::dev::Dev;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::name::VgName;

use super::mda::Mda;
use super::ring::{Placed, Ring, RingText};
use super::scan::{Content, CopyRole, Group, Member, TextId};

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

/// What a commit promises, as switches that only tests turn off: each must be missed when it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    /// Places a text behind the live one.
    pub(crate) sound_ring: bool,
    /// Syncs at the end of precommit and commit.
    pub(crate) synced: [bool; 2],
    /// Precommits before it commits.
    pub(crate) precommit_first: bool,
}

impl Protocol {
    /// The one that is used.
    pub(crate) const SOUND: Self =
        Self { sound_ring: true, synced: [true; 2], precommit_first: true };
}

/// A metadata area that takes part.
#[derive(Clone)]
struct Target {
    dev: Arc<dyn Dev>,
    /// Which of the group's members and which of its areas.
    place: (usize, usize),
    old: Mda,
    placed: Placed,
}

impl Target {
    fn write_header(&self, header: &Mda) -> io::Result<()> {
        self.dev.write_at(&header.encode(), self.old.area().offset)
    }

    fn precommitted(&self) -> Mda {
        self.old.with_precommitted(self.placed.slot)
    }

    fn committed(&self) -> Mda {
        self.old.with_committed(self.placed.slot)
    }

    /// As if the change had not been begun.
    fn reverted(&self) -> Mda {
        self.old.with_committed(self.old.committed())
    }
}

/// All areas that take part, and what is said when they do not.
struct Change {
    vg: VgName,
    id: TextId,
    targets: Vec<Target>,
    protocol: Protocol,
}

/// The text is in every ring, durable or not; nothing points at it.
#[must_use = "a text that was written is not in force before it is committed"]
pub(crate) struct Written(Change);

/// Slot 1 of every header points at the text.
#[must_use = "a precommitted text is not in force before it is committed"]
pub(crate) struct Precommitted(Change);

/// The new text is in force.
#[must_use = "copies that are behind are to be told"]
pub(crate) struct Committed {
    id: TextId,
    /// The headers that were reached, by member and area.
    reached: Vec<((usize, usize), Mda)>,
    /// What was not reached; the next commit will.
    pub(crate) warnings: Vec<Error>,
}

/// Writes `text` (without its NUL) into every ring of `group`.
///
/// Nothing is written before it is known that the text fits all of them.
///
/// # Errors
/// [`NoSpace`](ErrorKind::NoSpace) naming the smallest area; [`Unsupported`](ErrorKind::Unsupported)
/// where the group has no area in use; [`Io`](ErrorKind::Io). The old text is in force then.
pub(crate) fn write(group: &Group, text: &str, seqno: u64, protocol: Protocol) -> Result<Written> {
    let text = RingText::of(text);
    let targets = targets(group, &text, protocol).map_err(|e| kept(e, group.vg.seqno))?;
    let first = targets.first().ok_or_else(|| no_area(group))?;
    let (size, checksum) = (first.placed.slot.size, first.placed.slot.checksum);
    let id = TextId { vg: group.vg.id, seqno, size, checksum };
    let change = Change { vg: group.vg.name.clone(), id, targets, protocol };
    let written = change.all("write the metadata text", |target| {
        for (offset, sectors) in target.placed.sectors(&text) {
            target.dev.write_at(sectors, target.old.at(offset))?;
        }
        Ok(())
    });
    match written {
        Ok(()) => Ok(Written(change)),
        Err(error) => Err(kept(error, group.vg.seqno)),
    }
}

/// Fails where `text` does not fit all rings of `group`, as [`write`].
#[cfg(feature = "liblvm")]
pub(crate) fn check_room(group: &Group, text: &str) -> Result<()> {
    let targets = targets(group, &RingText::of(text), Protocol::SOUND);
    targets.map(drop).map_err(|error| kept(error, group.vg.seqno))
}

impl Written {
    /// Announces the text in slot 1 of every header, and makes both durable.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io); the headers are put back as far as they can be, and the old text
    /// is in force in any case.
    pub(crate) fn precommit(self) -> Result<Precommitted> {
        let change = self.0;
        let written = change.all("precommit the metadata", |target| {
            let header = if change.protocol.precommit_first {
                target.precommitted()
            } else {
                target.committed()
            };
            target.write_header(&header)
        });
        match written.and_then(|()| change.sync()) {
            Ok(()) => Ok(Precommitted(change)),
            Err(error) => {
                // Slot 1 binds nobody: a failure to empty it changes nothing.
                let _ = change.revert();
                Err(kept(error, change.old_seqno()))
            }
        }
    }
}

impl Precommitted {
    /// Puts the text in force.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) where no header was reached and all were put back: the old text is
    /// in force. [`NeedsRecovery`](ErrorKind::NeedsRecovery) where that failed too: either may
    /// be, and this process must not go on.
    ///
    /// # Commit point
    /// The first header that is on a disk.
    pub(crate) fn commit(self) -> Result<Committed> {
        let change = self.0;
        let mut results: Vec<Result<()>> = change
            .targets
            .iter()
            .map(|target| {
                let header = if change.protocol.precommit_first {
                    target.committed()
                } else {
                    target.precommitted()
                };
                let at = target.place_name();
                target.write_header(&header).context("commit the metadata", at)
            })
            .collect();
        change.sync_reached(&mut results);
        let reached: Vec<_> = change
            .targets
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.is_ok())
            .map(|(target, _)| (target.place, target.committed()))
            .collect();
        let warnings = results.into_iter().filter_map(Result::err).collect();
        if reached.is_empty() {
            return Err(change.failed(warnings));
        }
        Ok(Committed { id: change.id, reached, warnings })
    }

    /// Ends the change; the old text stays in force.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) where slot 1 could not be emptied, which binds nobody.
    pub(crate) fn abort(self) -> Result<()> {
        self.0.revert()
    }
}

impl Committed {
    /// Tells `group` what its areas hold now.
    pub(crate) fn apply(&self, group: &mut Group, vg: Arc<super::Vg>) {
        group.vg = vg;
        group.current = self.id;
        for ((member, area), header) in &self.reached {
            let copy = group.members.get_mut(*member).and_then(|m| m.mdas.get_mut(*area));
            if let Some(copy) = copy {
                copy.header = Some(*header);
                copy.content = Content::Text(self.id);
            }
        }
        group.refresh_copy_problems();
    }
}

/// Lets each header that points to a lost text point to the one before it again: what the newest
/// text of `group` is. What a lost text was to replace is whole and stays where it is.
///
/// # Errors
/// [`Io`](ErrorKind::Io): some headers are as they were.
pub(crate) fn put_back(group: &Group) -> Result<()> {
    for member in &group.members {
        for copy in &member.mdas {
            let Content::Lost { before, slot, .. } = &copy.content else { continue };
            let Some(header) = copy.header.filter(|_| *before == group.current) else { continue };
            let place = format!("{}, byte {}", member.path.display(), copy.area.offset.get());
            let sector = header.with_committed(*slot).encode();
            let written = member.dev.write_at(&sector, copy.area.offset);
            let written = written.and_then(|()| member.dev.sync());
            written.context("put the text before a lost one in force", place)?;
        }
    }
    Ok(())
}

impl Target {
    fn place_name(&self) -> String {
        format!("{}, byte {}", self.dev.name(), self.old.area().offset.get())
    }
}

impl Change {
    fn old_seqno(&self) -> u64 {
        self.id.seqno.saturating_sub(1)
    }

    /// Does `what` to each area; ends at the first failure.
    fn all(&self, op: &'static str, what: impl Fn(&Target) -> io::Result<()>) -> Result<()> {
        for target in &self.targets {
            what(target).context(op, target.place_name())?;
        }
        Ok(())
    }

    /// One of the targets for each device.
    fn devices(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().enumerate().filter_map(|(i, target)| {
            let before = self.targets.get(..i).unwrap_or_default();
            (!before.iter().any(|other| other.place.0 == target.place.0)).then_some(target)
        })
    }

    /// Makes text and precommit durable, each device once; ends at the first failure.
    fn sync(&self) -> Result<()> {
        if !self.protocol.synced[0] {
            return Ok(());
        }
        for target in self.devices() {
            target.dev.sync().context("make the metadata durable", target.dev.name())?;
        }
        Ok(())
    }

    /// Makes the commit durable. A device that fails takes all its areas with it; no sync is
    /// tried twice.
    fn sync_reached(&self, results: &mut [Result<()>]) {
        if !self.protocol.synced[1] {
            return;
        }
        for device in self.devices() {
            let Err(error) = device.dev.sync() else {
                continue;
            };
            for (target, result) in self.targets.iter().zip(results.iter_mut()) {
                if target.place.0 == device.place.0 && result.is_ok() {
                    let error = io::Error::new(error.kind(), error.to_string());
                    *result = Err(error).context("make the commit durable", target.place_name());
                }
            }
        }
    }

    /// Puts every header back; goes on after a failure and tells the first one.
    fn revert(&self) -> Result<()> {
        let mut first = Ok(());
        for target in &self.targets {
            let result = target.write_header(&target.reverted());
            first = first.and(result.context("put the header back", target.place_name()));
        }
        for target in self.devices() {
            first = first.and(target.dev.sync().context("put the header back", target.dev.name()));
        }
        first
    }

    /// No header was reached as far as the devices say.
    fn failed(&self, warnings: Vec<Error>) -> Error {
        let unknown = || Error::new(ErrorKind::Io, "no metadata area could be written");
        let error = warnings.into_iter().next().unwrap_or_else(unknown);
        let (old, new) = (self.old_seqno(), self.id.seqno);
        match self.revert() {
            Ok(()) => kept(error, old),
            Err(_) => error
                .with_kind(ErrorKind::NeedsRecovery)
                .kept(format!("metadata of {} at seqno {old} or {new}, nobody knows", self.vg)),
        }
    }
}

fn kept(error: Error, seqno: u64) -> Error {
    error.kept(format!("metadata still at seqno {seqno}"))
}

fn no_area(group: &Group) -> Error {
    Error::new(ErrorKind::Unsupported, "none of its physical volumes has a metadata area in use")
        .op("write the metadata")
        .at(&group.vg.name)
}

/// All areas that take the text, with its place in each.
fn targets(group: &Group, text: &RingText, protocol: Protocol) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    let mut full: Option<Error> = None;
    for (m, member) in group.members.iter().enumerate() {
        for (a, copy) in member.mdas.iter().enumerate() {
            let used = matches!(group.role(copy), CopyRole::Current | CopyRole::Behind);
            let Some(old) = copy.header.filter(|_| used) else {
                continue;
            };
            match place(member, &old, text, protocol) {
                Ok(placed) => {
                    let dev = Arc::clone(&member.dev);
                    targets.push(Target { dev, place: (m, a), old, placed });
                }
                Err(error) if have(&error) < full.as_ref().map_or(u64::MAX, have) => {
                    full = Some(error);
                }
                Err(_) => {}
            }
        }
    }
    full.map_or(Ok(targets), Err)
}

/// How much room a [`NoSpace`](ErrorKind::NoSpace) says there is; none for another error.
fn have(error: &Error) -> u64 {
    match error.kind() {
        ErrorKind::NoSpace { have, .. } => have.get(),
        _ => 0,
    }
}

fn place(member: &Member, old: &Mda, text: &RingText, protocol: Protocol) -> Result<Placed> {
    let ring = Ring::of(old);
    let live = old.text();
    let placed = if protocol.sound_ring {
        ring.place(text, ring.start_after(live.as_ref()), live.as_ref())
    } else {
        ring.place(text, super::mda::MDA_HEADER_SIZE, None)
    };
    placed.map_err(|error| {
        error.op("write the metadata").at_byte(member.path.display(), old.area().offset)
    })
}
