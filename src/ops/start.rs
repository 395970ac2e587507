//! Starting a system from a volume: it is found, activated with what it needs and what it mounts,
//! and mounted. For the first process of a machine: no metadata is written.

use std::path::{Path, PathBuf};

use super::devices::refusal;
use super::session::Session;
use super::{Imgbase, filesystem, find};
use crate::dm::pool::{self, Decision};
use crate::dm::status::PoolState;
use crate::error::{Error, ErrorKind, Result};
use crate::first::request::Root;
use crate::layout::{self, Layout};
use crate::lvm2::scan::{Group, Problem};
use crate::machine::MountHow;
use crate::name::{LvName, VgName};

/// How a root is mounted.
#[derive(Clone, Debug)]
pub struct Start {
    /// The volume.
    pub root: Root,
    /// True for a read-only mount; what may not be written is mounted so in any case.
    pub read_only: bool,
    /// The file system's type; `None`: what is found, ext4 or XFS.
    pub fs_type: Option<String>,
    /// Options of the mount beyond the usual ones, comma-separated; what comes later counts.
    pub options: String,
    /// True to do without disks of the group that are not there, where the volume does not lie on
    /// them. They may hold newer metadata: wait for them first.
    pub without_missing: bool,
}

/// A root that was mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its group.
    pub vg: VgName,
    /// Its volume.
    pub lv: LvName,
    /// Its device's node.
    pub device: PathBuf,
    /// Its file system.
    pub fs_type: String,
    /// True for a read-only mount.
    pub read_only: bool,
}

/// Why a root was not mounted.
#[derive(Debug)]
pub enum NotStarted {
    /// A disk is missing: once it is there, all may be well.
    NotYet(Error),
    /// That will not change by itself.
    Failed(Error),
}

impl From<NotStarted> for Error {
    fn from(not: NotStarted) -> Self {
        match not {
            NotStarted::NotYet(error) | NotStarted::Failed(error) => error,
        }
    }
}

impl From<Error> for NotStarted {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Imgbase<'_> {
    /// Activates a volume and its pool, whatever is left of an unfinished change to the group, and
    /// mounts it; the volumes that layers share are activated too, for whoever mounts them. A pool that is a step behind its text, or ahead of it, serves all the same: the
    /// next change brings them together. So does the text before one that a power cut has
    /// destroyed: a pool that has gone on since does not fit it and is refused.
    ///
    /// Nothing is written to the metadata. Where it fails nothing of it stays active.
    ///
    /// # Errors
    /// [`NotStarted::NotYet`] where the group or one of its disks is not there. Else
    /// [`NotFound`](ErrorKind::NotFound) for an unknown volume,
    /// [`NeedsRecovery`](ErrorKind::NeedsRecovery) for one that is unfinished,
    /// [`Diverged`](ErrorKind::Diverged) where pool and text have nothing to do with each other,
    /// [`Unsupported`](ErrorKind::Unsupported) for a pool whose metadata needs a check or a file
    /// system that is not known, and whatever activating and mounting give.
    pub fn start(&self, start: &Start, dir: &Path) -> Result<Started, NotStarted> {
        let imgbase = self.clone().in_vg(self.group_with(&start.root)?);
        let mut session = match Session::for_start(&imgbase) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(NotStarted::NotYet(error));
            }
            session => session?,
        };
        session.check_complete(start.without_missing)?;
        let lv = session.startable(&start.root.lv)?;
        let mounted = session.activate_root(&lv).and_then(|()| session.mount_root(start, dir));
        if mounted.is_ok() {
            session.activate_shared();
        }
        mounted.map_err(|error| {
            let left = session.deactivate(&[&lv]).err();
            left.iter().for_each(|error| log::warn!("{error}"));
            NotStarted::Failed(error)
        })
    }

    /// Unmounts a root that was [started](Self::start) and deactivates it: it is of no use.
    ///
    /// # Errors
    /// As [`umount`](Self::umount).
    pub fn put_back(&self, started: &Started, dir: &Path) -> Result<()> {
        let session = Session::for_start(&self.clone().in_vg(started.vg.clone()))?;
        session.machine().mounts.unmount(dir)?;
        session.deactivate(&[&started.lv])?;
        if let Ok(layout) = session.layout() {
            let names: Vec<&LvName> = layout.volume_names().collect();
            session.deactivate(&names)?;
        }
        session.settle()
    }

    /// The layers that could be started: those of all groups of ours whose disks are there.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) where the disks cannot be listed.
    pub fn startable(&self) -> Result<Vec<Root>> {
        let scan = find::scan_all(self.machine.disks)?;
        let ours = scan.groups.iter().filter(|group| layout::is_ours(&group.vg));
        let whole = ours.filter(|group| missing(group).next().is_none());
        let layers = whole.filter_map(|group| {
            let names = Layout::of(&group.vg).ok()?.layer_names().into_iter();
            let vg = &group.vg.name;
            Some(names.map(|name| Root { vg: Some(vg.clone()), lv: name.lv_name() }))
        });
        Ok(layers.flatten().collect())
    }

    /// The group that a root is in: the one that is named, else the one of ours that has it.
    fn group_with(&self, root: &Root) -> Result<VgName, NotStarted> {
        if let Some(vg) = root.vg.as_ref().or(self.vg.as_ref()) {
            return Ok(vg.clone());
        }
        let scan = find::scan_all(self.machine.disks)?;
        let ours = scan.groups.iter().filter(|group| layout::is_ours(&group.vg));
        let ours: Vec<&Group> = ours.collect();
        let mut with = ours.iter().filter(|group| group.vg.lv(&root.lv).is_some());
        match (with.next(), with.next()) {
            (Some(group), None) => Ok(group.vg.name.clone()),
            (Some(_), Some(_)) => {
                let why = "several volume groups have it: name one, as imgbase.root=VG/LV";
                Err(Error::new(ErrorKind::Invalid, why).at(&root.lv).op("start").into())
            }
            (None, _) => Err(nowhere(&root.lv, &ours)),
        }
    }
}

/// No group has the volume: none that is there whole will get it.
fn nowhere(lv: &LvName, ours: &[&Group]) -> NotStarted {
    let names: Vec<_> = ours.iter().map(|group| group.vg.name.as_str()).collect();
    let complete = ours.iter().any(|group| missing(group).next().is_none());
    let why = match names.as_slice() {
        [] => format!("no disk here carries a volume group with the tag {}", layout::tag::VG),
        names => format!("there is no such volume in {}", names.join(", ")),
    };
    let error = Error::new(ErrorKind::NotFound, why).at(lv).op("start");
    if complete { NotStarted::Failed(error) } else { NotStarted::NotYet(error) }
}

/// What a group lacks.
fn missing(group: &Group) -> impl Iterator<Item = &Problem> {
    group.problems.iter().filter(|problem| matches!(problem, Problem::Missing { .. }))
}

impl Session<'_> {
    /// Fails where a disk of the group is missing, or tells of it.
    fn check_complete(&self, without_missing: bool) -> Result<(), NotStarted> {
        let problems = self.disks.problems();
        let mut lacks = problems.iter().filter(|it| matches!(it, Problem::Missing { .. }));
        let Some(problem) = lacks.next() else { return Ok(()) };
        if without_missing {
            log::warn!("{}: {problem}; it is tried without", self.vg().name);
            return Ok(());
        }
        let error = Error::new(ErrorKind::NotFound, problem.to_string());
        Err(NotStarted::NotYet(error.at(&self.vg().name).op("start")))
    }

    /// The volume of that name, if it can be started.
    fn startable(&self, name: &LvName) -> Result<LvName> {
        let vg = self.vg();
        let fail = |kind, why: String| Err(Error::new(kind, why).at(name).op("start"));
        match vg.lv(name) {
            None => fail(ErrorKind::NotFound, format!("there is no such volume in {}", vg.name)),
            Some(lv) if layout::is_unfinished(lv) => {
                let why = "it is unfinished; 'imgbase recover' finishes or undoes that";
                fail(ErrorKind::NeedsRecovery, why.to_owned())
            }
            Some(lv) => Ok(lv.name.clone()),
        }
    }

    fn activate_root(&mut self, lv: &LvName) -> Result<()> {
        if let Some(thin) = self.vg().lv(lv).and_then(|lv| lv.thin()) {
            let pool = thin.pool.clone();
            let active = self.open_pool_of(&pool)?;
            self.check_startable(&pool, &active.state)
                .map_err(|error| error.op("start").at(&active.name))?;
        }
        self.activate(&[lv])?;
        self.settle()
    }

    /// Activates the volumes that layers share: what is started mounts them, and may have nobody else
    /// who makes their devices. What fails is told.
    fn activate_shared(&self) {
        let Ok(layout) = self.layout() else { return };
        let names: Vec<&LvName> = layout.volume_names().collect();
        if names.is_empty() {
            return;
        }
        if let Err(error) = self.activate(&names).and_then(|()| self.settle()) {
            log::warn!("the volumes that layers share: {error}");
        }
    }

    /// Fails for a pool that could harm what lies in it, or that its text does not belong to.
    fn check_startable(&self, pool: &LvName, state: &PoolState) -> Result<()> {
        pool::check_writable(state).map_err(|error| {
            error.kept("nothing was changed; in a rescue system: lvconvert --repair")
        })?;
        let Some(segment) = self.vg().thin_pool(pool) else { return Ok(()) };
        let (text, kernel) = (segment.transaction_id, state.transaction_id);
        match pool::decide(kernel, text, !segment.messages.is_empty()) {
            Decision::Steady => Ok(()),
            Decision::Refuse { kernel, text } => Err(refusal((kernel, text), pool)),
            _ => {
                log::warn!("{pool} is at transaction {kernel}, its text at {text}");
                Ok(())
            }
        }
    }

    fn mount_root(&self, start: &Start, dir: &Path) -> Result<Started> {
        let name = &start.root.lv;
        let writable = self.vg().lv(name).is_some_and(|lv| lv.is_writable());
        let (fs_type, usual) = match &start.fs_type {
            Some(fs_type) => (fs_type.clone(), ""),
            None => {
                let found = filesystem::read(self.open_volume(name)?.as_ref())?;
                // Also where it is mounted read-only at first: some cannot get them later.
                (found.fs_type().to_owned(), filesystem::layer_options(&found))
            }
        };
        let options = [usual, start.options.as_str()].into_iter().filter(|part| !part.is_empty());
        let data = options.collect::<Vec<_>>().join(",");
        let read_only = start.read_only || !writable;
        let how = MountHow { fs_type: fs_type.clone(), read_only, data };
        let device = self.node(name)?;
        self.machine().mounts.mount(&device, dir, &how)?;
        Ok(Started { vg: self.vg().name.clone(), lv: name.clone(), device, fs_type, read_only })
    }
}
