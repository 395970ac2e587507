//! GRUB without entry files: `imgbase/entries` has them, and a menu is made of them.

use super::super::entry::Entry;
use super::super::folder::{BootFolder, BootPath};
use super::super::loader::{Loader, OnTrial};
use super::super::name::Pair;
use super::super::shelf::Shelf;
use super::super::state::{BootState, Found, LoaderKind, Once, Problem, Trial};
use super::cfg::GrubCfg;
use super::menu::{self, Item, Menu, Search};
use super::switch::{self, Switch};
use super::{Files, InForce, NEXT, by_id, create, env, others, own, read, take_back};
use crate::error::Result;
use crate::name::VgName;

/// No other loader looks here.
const ENTRIES: &str = "imgbase/entries";

/// GRUB's folder, and the entries that its menu is made of.
pub(in crate::boot) struct Grub<'b> {
    files: Files<'b>,
    shelf: Shelf<'b>,
}

/// How ids of the menu that was in force are called in the next one.
struct Renamed<'a> {
    old: Vec<&'a Found>,
    new: &'a str,
}

impl Renamed<'_> {
    fn id<'i>(&'i self, id: &'i str) -> &'i str {
        if self.old.iter().any(|found| found.id == id) { self.new } else { id }
    }
}

impl<'b> Grub<'b> {
    pub(in crate::boot) fn new(folder: &'b dyn BootFolder, place: BootPath, vg: &VgName) -> Self {
        Self { files: Files { folder, place }, shelf: Shelf::new(folder, ENTRIES, vg) }
    }

    /// The entries, and which of them GRUB shows.
    fn entries(&self, menu: &Menu, cfg: &GrubCfg) -> Result<Vec<Found>> {
        let (mut all, leads) = (read(&self.shelf)?, self.files.leads(cfg)?);
        for found in &mut all {
            found.listed &= leads && menu.entries.contains(&found.id);
        }
        Ok(all)
    }

    /// Makes the menu of all entries that are there but `gone`, and puts it in force. `choose` is
    /// given it, and what was in force, in its numbers.
    fn write(
        &self,
        gone: &Renamed<'_>,
        choose: impl FnOnce(&Menu, Switch) -> Switch,
    ) -> Result<()> {
        let mut all = read(&self.shelf)?;
        all.retain(|found| found.own.is_some() && found.listed);
        all.retain(|found| gone.old.iter().all(|old| old.path != found.path));
        let item = |found: Found| Item { id: found.id, title: found.title, entry: found.entry };
        let items: Vec<Item> = all.into_iter().map(item).collect();
        let facts = self.files.folder.facts();
        let search = facts.uuid.as_deref().map_or(Search::File, Search::Uuid);
        let (before, bytes) = (self.files.in_force()?, menu::whole(&items, &search));
        let menu = Menu::parse(&bytes);
        let moved = moved(&before, &menu, gone);
        let chosen = choose(&menu, moved);
        self.files.put_in_force(&before, &bytes, |menu| Switch { menu, ..chosen })
    }

    /// Adds an entry and lets `write` bring it into force; takes it away again where that fails.
    fn with_new(
        &self,
        all: &[Found],
        (pair, entry): (&Pair, &Entry),
        write: impl FnOnce(&str) -> Result<()>,
    ) -> Result<()> {
        let id = create(&self.shelf, all, pair, entry)?;
        let done = write(&id);
        let is_in_force = || self.files.in_force().is_ok_and(|now| now.menu.number(&id) > 0);
        if done.is_err() && !is_in_force() {
            take_back(&self.shelf, &id);
        }
        done
    }
}

/// What was in force, in the numbers of another menu.
fn moved(before: &InForce, menu: &Menu, renamed: &Renamed<'_>) -> Switch {
    let number = |old: u32| {
        let id = before.menu.id(old).map(|id| renamed.id(id));
        id.map_or(0, |id| menu.number(id))
    };
    let Switch { default, fallback, once, .. } = before.switch;
    let (default, fallback, once) = (number(default), number(fallback), number(once));
    Switch { default, fallback, once, ..before.switch }
}

impl Loader for Grub<'_> {
    fn kind(&self) -> LoaderKind {
        LoaderKind::Grub
    }

    fn observe(&self) -> Result<BootState> {
        let (now, cfg) = (self.files.in_force()?, self.files.cfg()?);
        let mut problems = Vec::new();
        let grubenv = self.files.seen("grubenv", self.files.env(), &mut problems)?;
        let block = env::read(self.files.folder, &self.files.path(switch::FILE));
        self.files.seen(switch::FILE, block, &mut problems)?;
        let mut entries = self.entries(&now.menu, &cfg)?;
        problems.extend(self.shelf.problems(&entries));
        if now.bytes.is_some() {
            problems.extend(self.files.unread(&cfg)?);
        }
        entries.extend(cfg.found(&self.files.path("grub.cfg")));
        let place = |number: u32| {
            let place = now.menu.id(number).and_then(|id| by_id(&entries, id))?;
            entries.get(place).is_some_and(|found| found.listed).then_some(place)
        };
        let (wanted, back) = (place(now.switch.default), place(now.switch.fallback));
        if let (Some(id), None) = (now.menu.id(now.switch.default), wanted) {
            problems.push(Problem::NoSuchDefault { name: id.to_owned() });
        }
        let trials = trial(&now.switch, wanted, back);
        let used_up = now.switch.fallback > 0 && now.switch.left == 0;
        let default = if used_up { back } else { wanted };
        let next = grubenv.get(NEXT).filter(|name| !name.is_empty());
        let ours = now.menu.id(now.switch.once).map(str::to_owned);
        let once = next.or(ours).map(|name| Once { entry: by_id(&entries, &name), name });
        let (kind, counted) = (self.kind(), None);
        Ok(BootState { kind, entries, default, once, trials, counted, problems })
    }

    fn outside(&self, path: &BootPath) -> String {
        self.shelf.outside(path)
    }

    fn stale(&self) -> Result<Vec<BootPath>> {
        self.files.stale()
    }

    fn add(&self, seen: &BootState, pair: &Pair, entry: &Entry) -> Result<()> {
        self.shelf.prepare(None)?;
        self.with_new(&seen.entries, (pair, entry), |id| {
            self.write(&Renamed { old: Vec::new(), new: id }, |_, moved| moved)
        })
    }

    fn change(&self, seen: &BootState, old: &Found, entry: &Entry) -> Result<()> {
        self.replace(seen, old, Some(entry), |_, _, moved| moved)
    }

    fn withdraw(&self, seen: &BootState, gone: &[&Found]) -> Result<()> {
        // What had used up its tries may go: what boots stays what it is.
        let boots = seen.default.and_then(|place| seen.entry(place)).map(|found| found.id.clone());
        self.write(&Renamed { old: gone.to_vec(), new: "" }, |menu, moved| {
            if moved.default > 0 && (moved.fallback > 0 || seen.trials.is_empty()) {
                return moved;
            }
            let entry = boots.as_deref().map_or(0, |id| menu.number(id));
            let once = moved.once;
            Switch { once, ..moved.with_default(entry, moved.success) }
        })?;
        self.shelf.remove(gone.iter().copied())
    }

    fn choose(&self, seen: &BootState, to: &Found, trial: Option<&OnTrial<'_>>) -> Result<()> {
        let switch = |id: &str, menu: &Menu, moved: Switch| match trial {
            None => moved.with_default(menu.number(id), false),
            Some(on) => moved.on_trial(menu.number(id), menu.number(&on.fallback.id), on.tries),
        };
        let anew = (trial.is_some() && !to.is_unblessed()).then(|| to.entry.unblessed());
        self.replace(seen, to, anew.as_ref(), switch)?;
        self.files.drop_next()
    }

    fn once(&self, _seen: &BootState, to: Option<&Found>) -> Result<()> {
        if to.is_none() && self.files.in_force()?.bytes.is_none() {
            return self.files.drop_next();
        }
        let renamed = Renamed { old: Vec::new(), new: "" };
        self.write(&renamed, |menu, moved| Switch {
            once: to.map_or(0, |found| menu.number(&found.id)),
            ..moved
        })?;
        self.files.drop_next()
    }

    fn bless(&self, seen: &BootState, found: &Found) -> Result<()> {
        let pair = &own(found)?.name.pair;
        let before = self.files.in_force()?;
        let default = before.menu.id(before.switch.default).map(str::to_owned);
        let is_default = |found: &Found| default.as_deref() == Some(found.id.as_str());
        let is_default = others(&seen.entries, pair, "").into_iter().any(is_default);
        let switch = |id: &str, menu: &Menu, moved: Switch| {
            if !is_default {
                return moved;
            }
            Switch { once: moved.once, ..moved.with_default(menu.number(id), true) }
        };
        let anew = found.is_unblessed().then(|| found.entry.blessed());
        self.replace(seen, found, anew.as_ref(), switch)
    }
}

impl Grub<'_> {
    /// Lets an entry, or `anew` in a file of its own, stand for its layer and kernel in place of all
    /// others of theirs, and moves the switch as `switch` says of its id.
    fn replace(
        &self,
        seen: &BootState,
        found: &Found,
        anew: Option<&Entry>,
        switch: impl Fn(&str, &Menu, Switch) -> Switch,
    ) -> Result<()> {
        let pair = &own(found)?.name.pair;
        let mut gone = Vec::new();
        let mut write = |id: &str| {
            gone = others(&seen.entries, pair, id);
            let renamed = Renamed { old: gone.clone(), new: id };
            self.write(&renamed, |menu, moved| switch(id, menu, moved))
        };
        match anew {
            Some(entry) => self.with_new(&seen.entries, (pair, entry), &mut write)?,
            None => write(&found.id)?,
        }
        self.shelf.remove(gone)
    }
}

fn trial(switch: &Switch, entry: Option<usize>, fallback: Option<usize>) -> Vec<Trial> {
    let Some(entry) = entry.filter(|_| switch.fallback > 0) else { return Vec::new() };
    let (left, done) = (Some(switch.left), switch.tries.saturating_sub(switch.left));
    vec![Trial { entry, fallback, left, done, current: true }]
}
