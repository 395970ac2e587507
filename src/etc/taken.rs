//! What is taken as a whole, and the way to it.

use std::io;

use super::walk::{BASE, Entry, OURS, Sides, THEIRS, Walk};
use super::{Action, MACHINE_ID, SkipReason, Skipped};
use crate::tree::{Folder, Kind};

impl Walk<'_> {
    /// Goes on to what is listed in an entry, which itself is the image's.
    pub(super) fn on_the_way<F: Folder>(&mut self, entry: &Entry<'_, F>) -> io::Result<bool> {
        let [ours, theirs] = [OURS, THEIRS].map(|side| entry.kind(side));
        match (ours, theirs) {
            (Some(Kind::Link), _) => self.skip(entry, SkipReason::Link),
            (Some(Kind::Folder), Some(kind)) if kind != Kind::Folder => {
                self.skip(entry, SkipReason::NoFolder);
            }
            (None | Some(Kind::Folder), _) => {
                let sides = [entry.inside(BASE)?, entry.inside(OURS)?, entry.inside(THEIRS)?];
                self.inside(entry, &sides, ours.is_some() && theirs.is_none())?;
            }
            _ => {}
        }
        Ok(false)
    }

    /// What is in a folder; one that is `missing` in the image is made for what is put there.
    pub(super) fn inside<F: Folder>(
        &mut self,
        entry: &Entry<'_, F>,
        sides: &Sides<F>,
        missing: bool,
    ) -> io::Result<()> {
        if missing {
            self.missing.push(entry.path.clone());
        }
        self.folder(entry.path, sides)?;
        if missing && self.missing.last() == Some(entry.path) {
            self.missing.pop();
        }
        Ok(())
    }

    /// What is listed to be taken: ours where anything of it was changed here.
    pub(super) fn unit<F: Folder>(&mut self, entry: &Entry<'_, F>) -> io::Result<bool> {
        let [in_base, in_ours, in_theirs] = entry.has();
        if !in_base && !in_ours || !self.tree_changed(entry, in_base)? {
            return Ok(!in_theirs);
        }
        self.mirror(entry)
    }

    /// Ours, whatever the image has there; true where nothing stays there.
    pub(super) fn mirror<F: Folder>(&mut self, entry: &Entry<'_, F>) -> io::Result<bool> {
        match (entry.kind(OURS), entry.kind(THEIRS)) {
            (None, None) => return Ok(true),
            (None, Some(Kind::Folder)) => return self.remove_all(entry).map(|()| true),
            (None, Some(kind)) => {
                self.step(entry, kind, Action::Remove);
                return Ok(true);
            }
            (Some(Kind::Folder), Some(Kind::Folder)) => {}
            (Some(_), Some(Kind::Folder)) => self.remove_all(entry)?,
            _ => {}
        }
        if !self.differs(entry, OURS, THEIRS)?.is_empty() {
            self.copy(entry);
        }
        if let Some(ours) = entry.inside(OURS)? {
            self.folder(entry.path, &[None, Some(ours), entry.inside(THEIRS)?])?;
        }
        Ok(false)
    }

    /// Takes away what the first start makes. A machine-id stays as an empty file: without one systemd
    /// would take the start for the first of all, and enable and disable units as they come.
    pub(super) fn renew<F: Folder>(&mut self, entry: &Entry<'_, F>) -> bool {
        let is_file = |side| entry.kind(side) == Some(Kind::File);
        if entry.path.bytes() == MACHINE_ID.as_bytes() {
            if !is_file(THEIRS) && is_file(OURS) {
                self.copy(entry);
            }
            if is_file(THEIRS) || is_file(OURS) {
                self.step(entry, Kind::File, Action::Content(Vec::new()));
            }
            return false;
        }
        if is_file(THEIRS) {
            self.step(entry, Kind::File, Action::Remove);
        }
        is_file(THEIRS) || entry.kind(THEIRS).is_none()
    }

    pub(super) fn skip<F>(&mut self, entry: &Entry<'_, F>, why: SkipReason) {
        self.plan.skipped.push(Skipped { path: entry.path.clone(), why });
    }
}
