//! The walk through two trees at once.

use std::io;

use super::change::{Change, ChangeKind, Differences};
use super::same::{Comparer, Trust};
use crate::error::{Error, Result};
use crate::tree::{Folder, Kind, Meta, TreePath, find};

/// The differences of two trees in order: a folder before what is in it, names by their bytes. Holds
/// the names of one folder per level and no more. Each error names its path; the walk goes on
/// behind it. Entries that go while it looks count as not there.
///
/// Where another file system is mounted in either tree, the walk does not enter and compares nothing.
pub struct Diff<F> {
    comparer: Comparer,
    roots: Option<(F, F)>,
    /// The numbers of the two roots' file systems.
    fs: [u64; 2],
    levels: Vec<Level<F>>,
}

/// A folder under way in one tree or in both.
struct Level<F> {
    path: TreePath,
    sides: [Option<F>; 2],
    names: std::vec::IntoIter<Vec<u8>>,
}

type Step = Option<Result<Change>>;

impl<F: Folder> Diff<F> {
    /// What has to change for `a` to become `b`.
    pub fn new(a: F, b: F, trust: Trust) -> Self {
        let comparer = Comparer::new(trust);
        Self { comparer, roots: Some((a, b)), fs: [0; 2], levels: Vec::new() }
    }

    fn start(&mut self, a: F, b: F) -> io::Result<Step> {
        self.fs = [a.own_meta()?.fs, b.own_meta()?.fs];
        let what = self.comparer.folders(&a, &b)?;
        self.enter(TreePath::root(), [Some(a), Some(b)])?;
        Ok(changed(TreePath::root(), Kind::Folder, what))
    }

    fn enter(&mut self, path: TreePath, sides: [Option<F>; 2]) -> io::Result<()> {
        let mut names = Vec::new();
        for side in sides.iter().flatten() {
            names.append(&mut side.names()?);
        }
        names.sort_unstable();
        names.dedup();
        self.levels.push(Level { path, sides, names: names.into_iter() });
        Ok(())
    }

    /// Looks at one name of the innermost folder.
    fn look(&mut self, name: &[u8], path: &TreePath) -> io::Result<Step> {
        let Some(level) = self.levels.last() else { return Ok(None) };
        let [a, b] = &level.sides;
        if let (Some(a), Some(b)) = (a, b)
            && a.is_same(b, name)
        {
            return Ok(None);
        }
        let metas = [find(a.as_ref(), name)?, find(b.as_ref(), name)?];
        if (0..2).any(|side| self.foreign(&metas, side)) && metas.iter().all(Option::is_some) {
            return Ok(None);
        }
        let step = match (a, b, &metas) {
            (Some(a), Some(b), [Some(a_meta), Some(b_meta)]) => {
                let what = self.comparer.entries(name, (a, a_meta), (b, b_meta))?;
                changed(path.clone(), b_meta.kind, what)
            }
            (_, _, [Some(meta), None]) => told(path, meta.kind, ChangeKind::Removed),
            (_, _, [None, Some(meta)]) => told(path, meta.kind, ChangeKind::Added),
            _ => None,
        };
        self.enter_entry(name, path, &metas)?;
        Ok(step)
    }

    fn foreign(&self, metas: &[Option<Meta>; 2], side: usize) -> bool {
        match (metas.get(side), self.fs.get(side)) {
            (Some(Some(meta)), Some(fs)) => meta.fs != *fs,
            _ => false,
        }
    }

    /// Goes into what is a folder in either tree.
    fn enter_entry(
        &mut self,
        name: &[u8],
        path: &TreePath,
        metas: &[Option<Meta>; 2],
    ) -> io::Result<()> {
        let Some(level) = self.levels.last() else { return Ok(()) };
        let [a, b] = [0, 1].map(|side| {
            let own = !self.foreign(metas, side);
            let is_folder = |meta: &&Meta| own && meta.kind == Kind::Folder;
            metas.get(side).and_then(Option::as_ref).is_some_and(|meta| is_folder(&meta))
        });
        let [in_a, in_b] = &level.sides;
        let open = |folder: &Option<F>, is_folder: bool| {
            folder.as_ref().filter(|_| is_folder).map(|folder| folder.folder(name)).transpose()
        };
        let sides = [open(in_a, a)?, open(in_b, b)?];
        if sides.iter().all(Option::is_none) { Ok(()) } else { self.enter(path.clone(), sides) }
    }
}

fn told(path: &TreePath, entry: Kind, kind: ChangeKind) -> Step {
    Some(Ok(Change { path: path.clone(), entry, kind }))
}

fn changed(path: TreePath, entry: Kind, what: Differences) -> Step {
    let kind = ChangeKind::Changed(what);
    (!what.is_empty()).then(|| Ok(Change { path, entry, kind }))
}

fn failed(error: io::Error, path: &TreePath) -> Step {
    let error = error.downcast().unwrap_or_else(Error::io);
    Some(Err(error.op("compare the trees").at(path)))
}

impl<F: Folder> Iterator for Diff<F> {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((a, b)) = self.roots.take() {
            let first = self.start(a, b).unwrap_or_else(|e| failed(e, &TreePath::root()));
            if first.is_some() {
                return first;
            }
        }
        loop {
            let level = self.levels.last_mut()?;
            let Some(name) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let path = level.path.join(&name);
            let step = self.look(&name, &path).unwrap_or_else(|error| failed(error, &path));
            if step.is_some() {
                return step;
            }
        }
    }
}
