//! Physical volumes put together to groups, and a group seen again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::name::LvmId;
use crate::order::{self, Gather};
use crate::units::Bytes;

use super::super::model::{Pv, Vg};
use super::device::{Scanner, header_now};
use super::{Content, Member, MetadataCopy, Problem, Scan, TextId};

/// What a metadata area is to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyRole {
    /// Holds the newest text.
    Current,
    /// Holds an older text, or none yet: the next commit brings it up to date.
    Behind,
    /// Not read and not written: ignored by its flag, or damaged, or of another group.
    Unused,
    /// Holds another text with the newest seqno, or nobody knows what.
    Doubtful,
}

/// A volume group with the devices that it is on.
#[derive(Clone, Debug)]
pub struct Group {
    /// What its newest text says.
    pub vg: Arc<Vg>,
    /// Which text that is.
    pub current: TextId,
    /// Its physical volumes that are there, in the text's order.
    pub members: Vec<Member>,
    /// What is odd about it.
    pub problems: Vec<Problem>,
}

/// What a second look at a group's headers said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reread {
    /// Nothing has changed.
    Same,
    /// The group was changed; it is now as it is on the disks.
    Changed,
    /// It was removed, or its set of physical volumes changed: scan all devices again.
    ScanAgain,
}

impl Group {
    /// The device of the physical volume with this identifier.
    pub fn member(&self, id: &LvmId) -> Option<&Member> {
        self.members.iter().find(|member| member.label.id == *id)
    }

    /// What that metadata area is to this group.
    pub fn role(&self, copy: &MetadataCopy) -> CopyRole {
        role(&self.current, copy)
    }

    /// The areas that a commit writes: all in use whose header is valid and whose text is the
    /// newest, an older one or none.
    pub fn writable_copies(&self) -> impl Iterator<Item = (&Member, &MetadataCopy)> {
        self.members.iter().flat_map(move |member| {
            let used = |copy: &&MetadataCopy| {
                matches!(self.role(copy), CopyRole::Current | CopyRole::Behind)
            };
            member.mdas.iter().filter(used).map(move |copy| (member, copy))
        })
    }

    /// The areas that are behind.
    pub fn stale(&self) -> impl Iterator<Item = (&Member, &MetadataCopy)> {
        self.writable_copies().filter(|(_, copy)| self.role(copy) == CopyRole::Behind)
    }

    /// Fails where this group must not be written to because of what was found on the disks.
    /// What its text forbids (exported, shared, foreign) is not looked at here.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for missing, duplicate or claimed physical
    /// volumes and texts that are not understood, [`Diverged`](crate::ErrorKind::Diverged) for
    /// two texts with one seqno, [`Corrupt`](crate::ErrorKind::Corrupt) for a device that shrank,
    /// [`Io`](crate::ErrorKind::Io) for a metadata area that cannot be read.
    pub fn check_writable(&self) -> Result<()> {
        for problem in &self.problems {
            if let Some(kind) = problem.refusal() {
                return Err(Error::new(kind, problem.to_string())
                    .op("change the volume group")
                    .at(&self.vg.name));
            }
        }
        Ok(())
    }

    /// Looks at the headers again, as is due once the group's lock is held: cheap where nothing
    /// has changed, else its members are read again.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) where a header cannot be read any more.
    pub fn reread(&mut self) -> Result<Reread> {
        if self.is_as_seen()? {
            return Ok(Reread::Same);
        }
        Ok(self.look_again())
    }

    /// Reads all of its members again, whatever their headers say.
    pub(in crate::lvm2) fn look_again(&mut self) -> Reread {
        let mut scanner = Scanner::again(&self.vg);
        for member in &self.members {
            scanner.look_at(&member.path, &member.dev);
        }
        let Some(group) = again_of(&self.vg, scanner) else {
            return Reread::ScanAgain;
        };
        // What lies on other devices is not seen this time, and not gone for that.
        let kept: Vec<_> = self.problems.drain(..).filter(Problem::is_of_others).collect();
        *self = group;
        self.problems.retain(|problem| !kept.contains(problem));
        self.problems.extend(kept);
        Reread::Changed
    }

    /// Tells the problems of the metadata areas anew, after they were written.
    pub(in crate::lvm2) fn refresh_copy_problems(&mut self) {
        self.problems.retain(|problem| !problem.is_of_copy());
        let current =
            Current { id: self.current, is_whole: is_whole(&self.current, &self.members) };
        for member in &self.members {
            for copy in &member.mdas {
                self.problems.extend(copy_problem(&current, member, copy));
            }
        }
    }

    /// True where slot 0 of every area is as it was.
    fn is_as_seen(&self) -> Result<bool> {
        for member in &self.members {
            for copy in &member.mdas {
                if !is_as_seen(member, copy)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// The group that was like `old`, as its disks say now; nothing where it is not on the same ones.
pub(super) fn again_of(old: &Vg, scanner: Scanner) -> Option<Group> {
    let group = assemble(scanner).groups.into_iter().find(|group| group.vg.id == old.id)?;
    let ids = |vg: &Vg| vg.pvs.iter().map(|pv| pv.id).gather::<BTreeSet<_>>();
    (ids(&group.vg) == ids(old)).then_some(group)
}

fn is_as_seen(member: &Member, copy: &MetadataCopy) -> Result<bool> {
    let now = header_now(member.dev.as_ref(), copy.area);
    match (copy.header, now) {
        (Some(seen), Ok(now)) => Ok(now.committed() == seen.committed()),
        // Seen while someone wrote it, or repaired since.
        (None, Ok(_)) => Ok(false),
        (None, Err(_)) => Ok(true),
        (Some(_), Err(error)) if error.kind() == crate::ErrorKind::Corrupt => Ok(false),
        (Some(_), Err(error)) => Err(error),
    }
}

fn role(current: &TextId, copy: &MetadataCopy) -> CopyRole {
    match &copy.content {
        Content::Text(id) if id == current => CopyRole::Current,
        Content::Text(id) if id.vg != current.vg => CopyRole::Unused,
        Content::Text(id) if id.seqno == current.seqno => CopyRole::Doubtful,
        Content::Lost { before, .. } if before.vg != current.vg => CopyRole::Unused,
        Content::Lost { before, .. } if before != current && before.seqno == current.seqno => {
            CopyRole::Doubtful
        }
        Content::Text(_) | Content::Lost { .. } | Content::Empty => CopyRole::Behind,
        Content::Ignored | Content::Bad(_) => CopyRole::Unused,
        Content::Unread(_) | Content::Unknown(_) => CopyRole::Doubtful,
    }
}

/// Puts the scanned physical volumes together.
pub(super) fn assemble(scanner: Scanner) -> Scan {
    let Scanner { pvs, newest, problems, .. } = scanner;
    let mut scan = Scan { problems, ..Scan::default() };
    let groups = newest.into_values().map(|(current, vg)| {
        let group = Group { vg, current, members: Vec::new(), problems: Vec::new() };
        (is_whole(&current, &pvs), fill(group, &pvs))
    });
    let (whole, before): (Vec<_>, Vec<_>) = groups.partition(|(is_whole, _)| *is_whole);
    scan.groups = whole.into_iter().map(|(_, group)| group).collect();
    // What only the text before a lost one says counts for nothing beside a text that is in force
    // for one of the same disks: such a disk has changed hands since.
    for (_, group) in before {
        let taken = |pv: &Pv| {
            scan.groups.iter().any(|whole| whole.vg.pvs.iter().any(|other| other.id == pv.id))
        };
        if !group.vg.pvs.iter().any(taken) {
            scan.groups.push(group);
        }
    }
    order::sort_by_key(&mut scan.groups, |group| group.vg.id);
    find_claimed(&mut scan.groups);
    find_same_names(&mut scan.groups);
    for pv in pvs {
        let listed = scan.groups.iter().any(|group| lists(group, &pv));
        if !listed && pv.texts().next().is_none() {
            if pv.label.is_used() {
                scan.problems.push(Problem::UsedByNone { path: pv.path.clone() });
            }
            scan.unassigned.push(pv);
        }
    }
    scan
}

fn lists(group: &Group, pv: &Member) -> bool {
    group.vg.pvs.iter().any(|listed| listed.id == pv.label.id)
}

/// Finds the group's members and what is odd about them.
fn fill(mut group: Group, pvs: &[Member]) -> Group {
    let vg = Arc::clone(&group.vg);
    let current = Current { id: group.current, is_whole: is_whole(&group.current, pvs) };
    for pv in &vg.pvs {
        let mut devices = pvs.iter().filter(|member| member.label.id == pv.id);
        let Some(member) = devices.next() else {
            let last_seen = pv.device.clone();
            group.problems.push(Problem::Missing { id: pv.id, last_seen });
            continue;
        };
        for other in devices {
            let (path, other) = (member.path.clone(), other.path.clone());
            group.problems.push(Problem::DuplicatePv { id: pv.id, path, other });
        }
        add_member(&mut group, &current, pv, member);
    }
    for pv in pvs {
        if !lists(&group, pv) && pv.texts().any(|text| text.vg == group.vg.id) {
            group.problems.push(Problem::Outdated { path: pv.path.clone() });
        }
    }
    group
}

/// The newest text that was found.
struct Current {
    id: TextId,
    /// True where a header points to it.
    is_whole: bool,
}

fn is_whole(text: &TextId, pvs: &[Member]) -> bool {
    pvs.iter().any(|pv| pv.texts().any(|other| other == *text))
}

fn add_member(group: &mut Group, current: &Current, pv: &Pv, member: &Member) {
    if pv.is_missing() {
        group.problems.push(Problem::MarkedMissing { path: member.path.clone() });
        return;
    }
    let (says, has) = (pv.dev_size.unwrap_or_default().bytes(), member.dev.size());
    if has < says {
        group.problems.push(Problem::Shrunk { path: member.path.clone(), says, has });
    }
    for copy in &member.mdas {
        group.problems.extend(copy_problem(current, member, copy));
    }
    group.members.push(member.clone());
}

fn copy_problem(current: &Current, member: &Member, copy: &MetadataCopy) -> Option<Problem> {
    let (path, at): (PathBuf, Bytes) = (member.path.clone(), copy.area.offset);
    let Current { id: current, is_whole } = current;
    match &copy.content {
        Content::Lost { before, why, .. } if before == current && !is_whole => {
            Some(Problem::LostText { path, at, seqno: before.seqno, why: why.clone() })
        }
        Content::Lost { before, why, .. } if before.vg != current.vg => {
            Some(Problem::BadCopy { path, at, why: why.clone() })
        }
        Content::Lost { before, .. } if before != current && before.seqno == current.seqno => {
            Some(Problem::DivergedCopy { path, at, seqno: before.seqno })
        }
        Content::Lost { before, .. } => Some(Problem::StaleCopy { path, at, seqno: before.seqno }),
        Content::Text(id) if id == current => None,
        Content::Text(id) if id.vg != current.vg => Some(Problem::Claimed { path }),
        Content::Text(id) if id.seqno == current.seqno => {
            Some(Problem::DivergedCopy { path, at, seqno: id.seqno })
        }
        Content::Text(id) => Some(Problem::StaleCopy { path, at, seqno: id.seqno }),
        Content::Empty | Content::Ignored => None,
        Content::Bad(why) => Some(Problem::BadCopy { path, at, why: why.clone() }),
        Content::Unread(why) => Some(Problem::UnreadCopy { path, at, why: why.clone() }),
        Content::Unknown(why) => Some(Problem::UnknownCopy { path, at, why: why.clone() }),
    }
}

/// A physical volume without a text of its own may be listed by two groups.
fn find_claimed(groups: &mut [Group]) {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for member in groups.iter().flat_map(|group| &group.members) {
        if !seen.insert(member.path.clone()) {
            twice.insert(member.path.clone());
        }
    }
    for group in groups {
        for member in &group.members {
            let problem = Problem::Claimed { path: member.path.clone() };
            if twice.contains(&member.path) && !group.problems.contains(&problem) {
                group.problems.push(problem);
            }
        }
    }
}

fn find_same_names(groups: &mut [Group]) {
    let names: Vec<_> = groups.iter().map(|group| (group.vg.name.clone(), group.vg.id)).collect();
    for group in groups {
        for (name, id) in &names {
            if *name == group.vg.name && *id != group.vg.id {
                group.problems.push(Problem::SameName { other: *id });
            }
        }
    }
}
