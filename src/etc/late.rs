//! What was changed in a layer after the next one had taken over its state.

use std::fmt;
use std::io;

use serde::Serialize;

use super::rules::{Rules, Treatment};
use super::walk::differing;
use crate::diff::{Comparer, Trust};
use crate::error::{Error, Result};
use crate::order;
use crate::tree::{Folder, Kind, Meta, TreePath, find};

/// What has become of it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LateKind {
    /// It was changed or added.
    Changed,
    /// It was removed.
    Removed,
}

/// Something that was carried over, or would have been, and is another in the old layer by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LateEdit {
    /// Where.
    pub path: TreePath,
    /// What.
    pub kind: LateKind,
}

impl fmt::Display for LateEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            LateKind::Changed => write!(f, "{}", self.path),
            LateKind::Removed => write!(f, "{} (removed)", self.path),
        }
    }
}

/// What is another in the second of three trees than in the third, which took over its state, and
/// was changed at `since` or later (seconds since 1970); the first is what both began as. Only what
/// the rules carry over is looked at.
///
/// An entry's change time tells: nobody can set it. What was removed is told by its folder's. Of what
/// both trees have alike by now nothing is told, nor of what was added there and removed again.
///
/// # Errors
/// Those of the trees.
pub fn late_edits<F: Folder>(trees: [F; 3], since: i64, rules: &Rules) -> Result<Vec<LateEdit>> {
    let mut walk = Walk { rules, since, compare: Comparer::new(Trust::Nothing), found: Vec::new() };
    let [before, old, now] = trees;
    let looked =
        walk.folder(&TreePath::root(), &Sides { before: Some(before), old, now: Some(now) });
    looked.map_err(|error| Error::io(error).op("look for late edits").at("/"))?;
    Ok(walk.found)
}

struct Walk<'r> {
    rules: &'r Rules,
    since: i64,
    compare: Comparer,
    found: Vec<LateEdit>,
}

/// A folder of the old layer, and what the others have in its place.
struct Sides<F> {
    before: Option<F>,
    old: F,
    now: Option<F>,
}

impl Walk<'_> {
    fn folder<F: Folder>(&mut self, at: &TreePath, sides: &Sides<F>) -> io::Result<()> {
        let mut names = sides.old.names()?;
        if let (Some(before), true) = (&sides.before, sides.old.own_meta()?.mtime.0 >= self.since) {
            names.append(&mut before.names()?);
        }
        order::sort(&mut names);
        names.dedup();
        for name in &names {
            self.entry(&at.join(name), name, sides)?;
        }
        Ok(())
    }

    fn entry<F: Folder>(
        &mut self,
        path: &TreePath,
        name: &[u8],
        sides: &Sides<F>,
    ) -> io::Result<()> {
        let (old, now) = (find(Some(&sides.old), name)?, find(sides.now.as_ref(), name)?);
        let is_folder = old.as_ref().is_some_and(|meta| meta.kind == Kind::Folder);
        let is_carried = match self.rules.treatment(path, is_folder) {
            Treatment::Merged | Treatment::Unit | Treatment::Taken => true,
            Treatment::OnTheWay => false,
            Treatment::Left | Treatment::Mounted | Treatment::Renewed => return Ok(()),
        };
        let Some(old) = old else {
            if is_carried && now.is_some() {
                self.found.push(LateEdit { path: path.clone(), kind: LateKind::Removed });
            }
            return Ok(());
        };
        if is_carried && self.is_late(path, name, (&old, now.as_ref()), sides)? {
            self.found.push(LateEdit { path: path.clone(), kind: LateKind::Changed });
        }
        if !is_folder {
            return Ok(());
        }
        let inside = |folder: Option<&F>| match find(folder, name)? {
            Some(meta) if meta.kind == Kind::Folder => {
                folder.map(|folder| folder.folder(name)).transpose()
            }
            _ => Ok(None),
        };
        let (before, now) = (inside(sides.before.as_ref())?, inside(sides.now.as_ref())?);
        self.folder(path, &Sides { before, old: sides.old.folder(name)?, now })
    }

    fn is_late<F: Folder>(
        &mut self,
        path: &TreePath,
        name: &[u8],
        (old, now): (&Meta, Option<&Meta>),
        sides: &Sides<F>,
    ) -> io::Result<bool> {
        if old.ctime.0 < self.since {
            return Ok(false);
        }
        if !self.differs(path, name, (&sides.old, old), (sides.now.as_ref(), now))? {
            return Ok(false);
        }
        if old.kind != Kind::Folder {
            return Ok(true);
        }
        // A folder's time changes with what is in it.
        let before = find(sides.before.as_ref(), name)?;
        self.differs(path, name, (&sides.old, old), (sides.before.as_ref(), before.as_ref()))
    }

    fn differs<F: Folder>(
        &mut self,
        path: &TreePath,
        name: &[u8],
        (old, old_meta): (&F, &Meta),
        (other, other_meta): (Option<&F>, Option<&Meta>),
    ) -> io::Result<bool> {
        let (Some(other), Some(other_meta)) = (other, other_meta) else { return Ok(true) };
        let (root, sides) = (self.rules.root_in(path), [(old, old_meta), (other, other_meta)]);
        Ok(!differing(&mut self.compare, root, name, sides)?.is_empty())
    }
}
