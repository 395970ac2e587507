//! The walk through the three trees.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::accounts::Table;
use super::rules::{Rules, Treatment};
use super::{
    Action, BESIDE, Conflict, ConflictKind, MetaChange, OURS_BESIDE, Plan, SkipReason, Step, lines,
};
use crate::diff::{Comparer, Difference, Differences, Trust};
use crate::error::{Error, Result};
use crate::order;
use crate::root::with_root;
use crate::tree::{Folder, Kind, Meta, TreePath, Xattrs, find};

/// What of three sides there is.
pub(super) type Sides<T> = [Option<T>; 3];

pub(super) const BASE: usize = 0;
pub(super) const OURS: usize = 1;
pub(super) const THEIRS: usize = 2;

/// What has to be done to the last of three trees for it to have what was changed from the first,
/// which is its base, to the second, which is ours. `trust` says what of these two is the same without
/// a look into it.
///
/// # Errors
/// Those of the trees, naming the path.
pub fn merge<F: Folder>(trees: [F; 3], trust: Trust, rules: &Rules) -> Result<Plan> {
    let mut walk = Walk {
        rules,
        trust,
        compare: Comparer::new(Trust::Nothing),
        plan: Plan::default(),
        copied: BTreeMap::new(),
        missing: Vec::new(),
        aside: Vec::new(),
    };
    let (root, trees) = (TreePath::root(), trees.map(Some));
    let merged = walk.folder(&root, &trees);
    merged.map_err(|error| Error::io(error).op("merge").at("/"))?;
    let [_, _, theirs] = &trees;
    for name in [&b"passwd"[..], b"group"] {
        let renumbered = walk.renumber(name, theirs.as_ref());
        renumbered.map_err(|error| Error::io(error).op("merge").at(root.join(ETC).join(name)))?;
    }
    Ok(walk.plan)
}

const ETC: &[u8] = b"etc";

pub(super) struct Walk<'r> {
    rules: &'r Rules,
    /// Of the base and ours.
    trust: Trust,
    compare: Comparer,
    pub(super) plan: Plan,
    /// The first path of each file that is copied, by its place on the disk: others become links.
    copied: BTreeMap<(u64, u64), TreePath>,
    /// Folders that the image has no longer, to be made before anything is put into them.
    pub(super) missing: Vec<TreePath>,
    /// Names that the image's have been given: what we have there is of an update before.
    aside: Vec<Vec<u8>>,
}

/// An entry's sides.
pub(super) struct Entry<'e, F> {
    name: &'e [u8],
    pub(super) path: &'e TreePath,
    folders: &'e Sides<F>,
    metas: Sides<Meta>,
}

impl<F: Folder> Entry<'_, F> {
    fn meta(&self, side: usize) -> Option<&Meta> {
        self.metas.get(side).and_then(Option::as_ref)
    }

    pub(super) fn kind(&self, side: usize) -> Option<Kind> {
        self.meta(side).map(|meta| meta.kind)
    }

    pub(super) fn has(&self) -> [bool; 3] {
        [BASE, OURS, THEIRS].map(|side| self.meta(side).is_some())
    }

    fn folder(&self, side: usize) -> io::Result<&F> {
        self.folders
            .get(side)
            .and_then(Option::as_ref)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The entry as a folder, where it is one.
    pub(super) fn inside(&self, side: usize) -> io::Result<Option<F>> {
        match self.kind(side) {
            Some(Kind::Folder) => self.folder(side)?.folder(self.name).map(Some),
            _ => Ok(None),
        }
    }

    fn content(&self, side: usize) -> io::Result<Vec<u8>> {
        content(self.folder(side)?, self.name)
    }

    fn xattrs(&self, side: usize) -> io::Result<Xattrs> {
        match self.meta(side) {
            Some(_) => self.folder(side)?.xattrs(self.name),
            None => Ok(Xattrs::new()),
        }
    }
}

impl Walk<'_> {
    /// Merges what is in a folder; true where nothing of the image's stays in it.
    pub(super) fn folder<F: Folder>(
        &mut self,
        at: &TreePath,
        sides: &Sides<F>,
    ) -> io::Result<bool> {
        let mut names = Vec::new();
        for side in sides.iter().flatten() {
            names.append(&mut side.names()?);
        }
        order::sort(&mut names);
        names.dedup();
        let mut emptied = true;
        for name in &names {
            let path = at.join(name);
            let meta = |side: &Option<F>| find(side.as_ref(), name);
            let [base, ours, theirs] = sides;
            let (in_base, in_ours) = (meta(base)?, meta(ours)?);
            let is_folder = in_ours.as_ref().is_some_and(|ours| ours.kind == Kind::Folder);
            let treatment = self.rules.treatment(&path, is_folder);
            let is_taken = self.aside.iter().any(|aside| aside == path.bytes());
            let stays = treatment == Treatment::Merged
                && self.is_the_image_s(&path, in_base.as_ref(), in_ours.as_ref());
            if treatment == Treatment::Left || is_taken || stays {
                emptied = false;
                continue;
            }
            let in_theirs = meta(theirs)?.map(|theirs| Meta {
                uid: self.rules.ids.uid(theirs.uid),
                gid: self.rules.ids.gid(theirs.gid),
                ..theirs
            });
            let metas = [in_base, in_ours, in_theirs];
            let entry = Entry { name, path: &path, folders: sides, metas };
            emptied &= match treatment {
                Treatment::Merged => self.entry(&entry)?,
                Treatment::Renewed => self.renew(&entry),
                Treatment::Unit => self.unit(&entry)?,
                Treatment::Taken => self.mirror(&entry)?,
                Treatment::OnTheWay => self.on_the_way(&entry)?,
                Treatment::Left => false,
                Treatment::Mounted => {
                    self.skip(&entry, SkipReason::OwnFileSystem);
                    false
                }
            };
        }
        Ok(emptied)
    }

    /// Whether the image has its way with an entry, whatever it has there: nobody has touched it here, and
    /// it is not who the host is.
    fn is_the_image_s(&self, path: &TreePath, base: Option<&Meta>, ours: Option<&Meta>) -> bool {
        let (Some(base), Some(ours)) = (base, ours) else { return false };
        ours.kind != Kind::Folder
            && self.trust.takes_as_same(base, ours)
            && !self.rules.is_identity(path)
    }

    /// The table that lies there, where the image's accounts get other ids in it.
    fn renumbered(&self, path: &TreePath) -> Option<Table> {
        Table::at(path).filter(|table| table.has_ids(&self.rules.ids))
    }

    /// Gives a table in `/etc` that stands as the image has it the ids that the image's files get,
    /// whatever is carried over of it.
    fn renumber<F: Folder>(&mut self, name: &[u8], theirs: Option<&F>) -> io::Result<()> {
        let at = TreePath::root().join(ETC);
        let path = at.join(name);
        let (Some(table), Some(theirs)) = (self.renumbered(&path), theirs) else { return Ok(()) };
        let is_settled = self.plan.steps.iter().any(|step| match step.action {
            Action::Meta(_) | Action::Beside => false,
            Action::Copy if step.entry == Kind::Folder => false,
            _ => step.path == path || step.path == at,
        });
        if is_settled || !find(Some(theirs), ETC)?.is_some_and(|etc| etc.kind == Kind::Folder) {
            return Ok(());
        }
        let etc = theirs.folder(ETC)?;
        if !find(Some(&etc), name)?.is_some_and(|table| table.kind == Kind::File) {
            return Ok(());
        }
        let mut text = Vec::new();
        etc.file(name)?.read_to_end(&mut text)?;
        let renumbered = table.renumbered(&text, &self.rules.ids);
        if renumbered != text {
            let action = Action::Content(renumbered);
            self.plan.steps.push(Step { path, entry: Kind::File, action });
        }
        Ok(())
    }

    /// Merges an entry; true where nothing of the image's, and nothing of ours, stays there.
    fn entry<F: Folder>(&mut self, entry: &Entry<'_, F>) -> io::Result<bool> {
        match entry.has() {
            [_, false, false] => Ok(true),
            [false, false, true] => Ok(false),
            [true, false, true] => self.removed_here(entry),
            [base, true, false] => self.not_in_image(entry, base).map(|()| false),
            [base, true, true] => self.in_both(entry, base).map(|()| false),
        }
    }

    /// We have removed what the image has.
    fn removed_here<F: Folder>(&mut self, entry: &Entry<'_, F>) -> io::Result<bool> {
        if entry.kind(BASE) == Some(Kind::Folder) && entry.kind(THEIRS) == Some(Kind::Folder) {
            let sides = [entry.inside(BASE)?, None, entry.inside(THEIRS)?];
            let emptied = self.folder(entry.path, &sides)?;
            if emptied {
                self.step(entry, Kind::Folder, Action::Remove);
            }
            return Ok(emptied);
        }
        let kind = entry.kind(THEIRS).unwrap_or(Kind::File);
        if self.differs(entry, BASE, THEIRS)?.is_empty() {
            self.step(entry, kind, Action::Remove);
            return Ok(true);
        }
        if !self.rules.image_stands {
            self.step(entry, kind, Action::SetAside);
        }
        self.conflict(entry, ConflictKind::RemovedHere);
        Ok(false)
    }

    /// We have what the image has not (any more).
    fn not_in_image<F: Folder>(&mut self, entry: &Entry<'_, F>, in_base: bool) -> io::Result<()> {
        let same_folders =
            entry.kind(BASE) == Some(Kind::Folder) && entry.kind(OURS) == Some(Kind::Folder);
        let changed = !in_base || !self.differs(entry, BASE, OURS)?.is_empty();
        let is_identity = self.rules.is_identity(entry.path);
        let kept = changed || is_identity;
        if changed && in_base && !same_folders && self.rules.image_stands && !is_identity {
            self.beside(entry);
            self.conflict(entry, ConflictKind::RemovedInImage);
            return Ok(());
        }
        if kept {
            self.copy(entry);
            // A folder with another mode is not worth a word, what is in it is.
            if in_base && !same_folders {
                self.conflict(entry, ConflictKind::RemovedInImage);
            }
        }
        let Some(ours) = entry.inside(OURS)? else { return Ok(()) };
        let base = if same_folders { entry.inside(BASE)? } else { None };
        self.inside(entry, &[base, Some(ours), None], !kept)
    }

    fn in_both<F: Folder>(&mut self, entry: &Entry<'_, F>, in_base: bool) -> io::Result<()> {
        let apart = self.differs(entry, OURS, THEIRS)?;
        let folders =
            entry.kind(OURS) == Some(Kind::Folder) && entry.kind(THEIRS) == Some(Kind::Folder);
        if apart.is_empty() && !folders {
            return Ok(());
        }
        if self.rules.is_identity(entry.path) {
            return self.replace(entry, false);
        }
        if apart.contains(Difference::Type) {
            let here = self.tree_changed(entry, in_base)?;
            let there = !in_base || !self.differs(entry, BASE, THEIRS)?.is_empty();
            if !here {
                return Ok(());
            }
            if there {
                self.conflict(entry, ConflictKind::Type);
                if self.rules.image_stands {
                    self.beside(entry);
                    return Ok(());
                }
            }
            return self.replace(entry, there);
        }
        if !apart.is_empty() {
            self.attributes(entry, in_base, apart)?;
        }
        if folders {
            let base = entry.inside(BASE)?;
            self.folder(entry.path, &[base, entry.inside(OURS)?, entry.inside(THEIRS)?])?;
        }
        Ok(())
    }

    /// Whether anything of an entry was changed here: of a folder, in it too.
    pub(super) fn tree_changed<F: Folder>(
        &mut self,
        entry: &Entry<'_, F>,
        in_base: bool,
    ) -> io::Result<bool> {
        if !in_base || !self.differs(entry, BASE, OURS)?.is_empty() {
            return Ok(true);
        }
        let (Some(base), Some(ours)) = (entry.inside(BASE)?, entry.inside(OURS)?) else {
            return Ok(false);
        };
        let mut changes = crate::diff::Diff::new(base, ours, self.trust);
        changes.next().map_or(Ok(false), |change| change.map(|_| true).map_err(io::Error::other))
    }

    /// Ours in the place of the image's, with all that is in it.
    fn replace<F: Folder>(&mut self, entry: &Entry<'_, F>, aside: bool) -> io::Result<()> {
        let both = [entry.kind(OURS), entry.kind(THEIRS)];
        match both {
            [_, Some(kind)] if aside => self.step(entry, kind, Action::SetAside),
            [Some(Kind::Folder), Some(Kind::Folder)] => {}
            [_, Some(Kind::Folder)] => self.remove_all(entry)?,
            _ => {}
        }
        self.copy(entry);
        if let Some(ours) = entry.inside(OURS)? {
            self.folder(entry.path, &[None, Some(ours), None])?;
        }
        Ok(())
    }

    /// Takes a folder of the image's away, with all that is in it.
    pub(super) fn remove_all<F: Folder>(&mut self, entry: &Entry<'_, F>) -> io::Result<()> {
        let Some(folder) = entry.inside(THEIRS)? else { return Ok(()) };
        self.empty(entry.path, &folder)?;
        self.step(entry, Kind::Folder, Action::Remove);
        Ok(())
    }

    fn empty<F: Folder>(&mut self, at: &TreePath, folder: &F) -> io::Result<()> {
        let mut names = folder.names()?;
        order::sort(&mut names);
        for name in names {
            let (path, kind) = (at.join(&name), folder.meta(&name)?.kind);
            if kind == Kind::Folder {
                self.empty(&path, &folder.folder(&name)?)?;
            }
            self.plan.steps.push(Step { path, entry: kind, action: Action::Remove });
        }
        Ok(())
    }

    /// Content, target and metadata, each for itself; the sort is the same on both sides.
    fn attributes<F: Folder>(
        &mut self,
        entry: &Entry<'_, F>,
        in_base: bool,
        apart: Differences,
    ) -> io::Result<()> {
        let comparable = in_base && entry.kind(BASE) == entry.kind(OURS);
        let (here, mut there) = if comparable {
            (self.differs(entry, BASE, OURS)?, self.differs(entry, BASE, THEIRS)?)
        } else {
            // With nothing in common both sides have changed all.
            (apart, apart)
        };
        // The image's table, with other ids, is no longer what it was.
        there.note(Difference::Content, self.renumbered(entry.path).is_some());
        let (Some(kind), Some(ours), Some(theirs)) =
            (entry.kind(OURS), entry.meta(OURS), entry.meta(THEIRS))
        else {
            return Ok(());
        };
        let content = [Difference::Content, Difference::Target, Difference::Device];
        let content =
            content.into_iter().find(|what| apart.contains(*what) && here.contains(*what));
        let (mut copied, mut both_stay, yields) = (false, false, self.rules.image_stands);
        if let Some(what) = content {
            match there.contains(what) {
                false => copied = true,
                true => match self.both(entry, comparable)? {
                    Some(merged) => {
                        self.step(entry, kind, Action::Content(merged));
                        self.plan.merged.push(entry.path.clone());
                    }
                    None => {
                        self.conflict(entry, ConflictKind::BothChanged);
                        both_stay = true;
                        copied = !yields;
                        if yields {
                            self.beside(entry);
                        } else {
                            self.step(entry, kind, Action::SetAside);
                        }
                    }
                },
            }
        }
        if copied {
            self.copy(entry);
        }
        // What it has by then, and what it is to have.
        let (has, xattrs) = match copied {
            true => (ours, entry.xattrs(OURS)?),
            false => (theirs, self.their_xattrs(entry)?),
        };
        let base = entry.meta(BASE).filter(|_| comparable);
        let mut clash = false;
        let mut pick = |base: Option<u32>, ours: u32, theirs: u32| {
            if ours == theirs || base == Some(ours) {
                return theirs;
            }
            clash |= base != Some(theirs);
            if yields && base != Some(theirs) { theirs } else { ours }
        };
        let mode = pick(base.map(|meta| meta.mode), ours.mode, theirs.mode);
        let uid = pick(base.map(|meta| meta.uid), ours.uid, theirs.uid);
        let gid = pick(base.map(|meta| meta.gid), ours.gid, theirs.gid);
        let (wanted, odd) = self.wanted_xattrs(entry, comparable, yields)?;
        let change = MetaChange {
            mode: (mode != has.mode).then_some(mode),
            uid: (uid != has.uid).then_some(uid),
            gid: (gid != has.gid).then_some(gid),
            xattrs: changes(&xattrs, &wanted),
        };
        if !change.is_empty() {
            self.step(entry, kind, Action::Meta(change));
        }
        // Of what each side has added for itself all is another one, and that is told.
        if (clash || odd) && (comparable || !both_stay) {
            self.conflict(entry, ConflictKind::Metadata);
        }
        Ok(())
    }

    /// The image's attributes, with the ids that it gets here.
    fn their_xattrs<F: Folder>(&self, entry: &Entry<'_, F>) -> io::Result<Xattrs> {
        let mut xattrs = entry.xattrs(THEIRS)?;
        self.rules.ids.map_acls(&mut xattrs);
        Ok(xattrs)
    }

    fn wanted_xattrs<F: Folder>(
        &self,
        entry: &Entry<'_, F>,
        comparable: bool,
        yields: bool,
    ) -> io::Result<(Xattrs, bool)> {
        let base = if comparable { entry.xattrs(BASE)? } else { Xattrs::new() };
        let (ours, theirs) = (entry.xattrs(OURS)?, self.their_xattrs(entry)?);
        let (mut wanted, mut clash) = (theirs.clone(), false);
        for name in base.keys().chain(ours.keys()) {
            let [old, new, other] = [&base, &ours, &theirs].map(|side| side.get(name));
            if new == old || new == other {
                continue;
            }
            clash |= other != old;
            if yields && other != old {
                continue;
            }
            match new {
                Some(value) => drop(wanted.insert(name.clone(), value.clone())),
                None => drop(wanted.remove(name)),
            }
        }
        Ok((wanted, clash))
    }

    /// The content of a file that was changed on both sides, where the changes go together.
    fn both<F: Folder>(
        &self,
        entry: &Entry<'_, F>,
        comparable: bool,
    ) -> io::Result<Option<Vec<u8>>> {
        let sides = [BASE, OURS, THEIRS].into_iter().filter_map(|side| entry.meta(side));
        let is_small = sides.clone().all(|meta| meta.size.get() < lines::MOST);
        if entry.kind(OURS) != Some(Kind::File) || !is_small {
            return Ok(None);
        }
        let base = if comparable { self.content(entry, BASE)? } else { Vec::new() };
        let (ours, theirs) = (self.content(entry, OURS)?, self.content(entry, THEIRS)?);
        if let Some(table) = Table::at(entry.path) {
            return Ok(Some(table.merge([&base, &ours, &theirs], &self.rules.ids)));
        }
        if !comparable {
            return Ok(None);
        }
        Ok(lines::merge(&base, &ours, &theirs))
    }

    /// A file's content as it is compared and merged.
    fn content<F: Folder>(&self, entry: &Entry<'_, F>, side: usize) -> io::Result<Vec<u8>> {
        match self.rules.root_in(entry.path) {
            Some(root) => content_named(entry.folder(side)?, entry.name, root),
            None => entry.content(side),
        }
    }

    pub(super) fn differs<F: Folder>(
        &mut self,
        e: &Entry<'_, F>,
        a: usize,
        b: usize,
    ) -> io::Result<Differences> {
        let (Some(one), Some(other)) = (e.meta(a), e.meta(b)) else {
            return Ok(Differences::only(Difference::Type));
        };
        let root = self.rules.root_in(e.path);
        differing(&mut self.compare, root, e.name, [(e.folder(a)?, one), (e.folder(b)?, other)])
    }

    pub(super) fn copy<F: Folder>(&mut self, entry: &Entry<'_, F>) {
        let Some(meta) = entry.meta(OURS) else { return };
        let kind = meta.kind;
        if kind == Kind::Folder {
            return self.step(entry, kind, Action::Copy);
        }
        let place = (meta.fs, meta.ino);
        let first = self.copied.get(&place).cloned();
        let action = first.map_or(Action::Copy, Action::HardLink);
        self.copied.entry(place).or_insert_with(|| entry.path.clone());
        self.step(entry, kind, action);
    }

    pub(super) fn step<F>(&mut self, entry: &Entry<'_, F>, kind: Kind, action: Action) {
        for path in self.missing.drain(..) {
            self.plan.steps.push(Step { path, entry: Kind::Folder, action: Action::Copy });
        }
        if action == Action::SetAside {
            self.aside.push([entry.path.bytes(), BESIDE.as_bytes()].concat());
        }
        self.plan.steps.push(Step { path: entry.path.clone(), entry: kind, action });
    }

    /// Ours beside the image's; what has that name by now is of an update before.
    fn beside<F: Folder>(&mut self, entry: &Entry<'_, F>) {
        let Some(kind) = entry.kind(OURS) else { return };
        self.step(entry, kind, Action::Beside);
        self.aside.push([entry.path.bytes(), OURS_BESIDE.as_bytes()].concat());
    }

    fn conflict<F>(&mut self, entry: &Entry<'_, F>, kind: ConflictKind) {
        // Who a host is is not for the image to say.
        let image_stands = self.rules.image_stands && !self.rules.is_identity(entry.path);
        self.plan.conflicts.push(Conflict { path: entry.path.clone(), kind, image_stands });
    }
}

fn content<F: Folder>(folder: &F, name: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    folder.file(name)?.take(lines::MOST).read_to_end(&mut content)?;
    Ok(content)
}

/// How an entry that both folders have differs; of an fstab what it names as the root is no
/// difference, where `root` says what it is to name.
pub(super) fn differing<F: Folder>(
    compare: &mut Comparer,
    root: Option<&str>,
    name: &[u8],
    [a, b]: [(&F, &Meta); 2],
) -> io::Result<Differences> {
    let what = compare.entries(name, a, b)?;
    let Some(root) = root.filter(|_| what.contains(Difference::Content)) else { return Ok(what) };
    let same = content_named(a.0, name, root)? == content_named(b.0, name, root)?;
    Ok(if same { what.without(Difference::Content) } else { what })
}

/// The content of an fstab, as if it named `root` as the root.
fn content_named<F: Folder>(folder: &F, name: &[u8], root: &str) -> io::Result<Vec<u8>> {
    let content = content(folder, name)?;
    let named = with_root(&content, root);
    Ok(named.unwrap_or(content))
}

/// What has to be set and removed for one to become the other.
fn changes(has: &Xattrs, wanted: &Xattrs) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let gone = has.keys().filter(|name| !wanted.contains_key(*name));
    let gone = gone.map(|name| (name.clone(), None));
    let set = wanted.iter().filter(|(name, value)| has.get(*name) != Some(*value));
    gone.chain(set.map(|(name, value)| (name.clone(), Some(value.clone())))).collect()
}
