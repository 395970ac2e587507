//! GRUB without entry files: `imgbase/entries` has them, and a menu is made of them.

use super::super::entry::Entry;
use super::super::folder::{BootFolder, BootPath};
use super::super::loader::{Loader, OnTrial};
use super::super::name::Pair;
use super::super::shelf::Shelf;
use super::super::state::{BootState, Found, LoaderKind, Once, Problem};
use super::cfg::GrubCfg;
use super::menu::{self, Item, Menu, NEXT, Search};
use super::{Files, by_id, create, custom, left, others, own, read, trials};
use crate::error::Result;
use crate::name::VgName;

/// No other loader looks here.
const ENTRIES: &str = "imgbase/entries";

/// GRUB's folder, and the entries that its menu is made of.
pub(in crate::boot) struct Grub<'b> {
    files: Files<'b>,
    shelf: Shelf<'b>,
}

impl<'b> Grub<'b> {
    pub(in crate::boot) fn new(folder: &'b dyn BootFolder, place: BootPath, vg: &VgName) -> Self {
        Self { files: Files { folder, place }, shelf: Shelf::new(folder, ENTRIES, vg) }
    }

    /// The entries, and which of them GRUB shows.
    fn entries(&self, menu: &Menu, cfg: &GrubCfg) -> Result<Vec<Found>> {
        let (mut all, reads) = (read(&self.shelf)?, self.files.reads_menu(cfg)?);
        for found in &mut all {
            found.listed &= reads && menu.entries.contains(&found.id);
        }
        Ok(all)
    }

    /// Makes the menu of all entries that are there but `gone`, and puts it in force.
    fn write(&self, menu: &mut Menu, gone: &[&Found]) -> Result<()> {
        let mut all = read(&self.shelf)?;
        all.retain(|found| found.own.is_some() && !gone.iter().any(|old| old.path == found.path));
        all.retain(|found| found.listed);
        menu.entries = all.iter().map(|found| found.id.clone()).collect();
        let item = |found: &'_ Found| (found.id.clone(), found.title.clone(), found.entry.clone());
        let parts: Vec<_> = all.iter().map(item).collect();
        let items: Vec<Item<'_>> =
            parts.iter().map(|(id, title, entry)| Item { id, title, entry }).collect();
        let facts = self.files.folder.facts();
        let search = facts.uuid.as_deref().map_or(Search::File, Search::Uuid);
        self.files.write_custom()?;
        self.files.write_menu(&menu::whole(menu, &items, &search))
    }

    /// Undoes the creation of an entry that did not come into force.
    fn or_take_back(&self, id: &str, done: Result<()>) -> Result<()> {
        let Err(error) = done else { return Ok(()) };
        let in_force = self.files.menu().is_ok_and(|menu| menu.entries.iter().any(|e| e == id));
        if !in_force && let Ok(file) = self.shelf.place.join(&format!("{id}.conf")) {
            let _ = super::super::files::remove(self.files.folder, &file);
        }
        Err(error)
    }
}

impl Loader for Grub<'_> {
    fn kind(&self) -> LoaderKind {
        LoaderKind::Grub
    }

    fn observe(&self) -> Result<BootState> {
        let (menu, cfg) = (self.files.menu()?, self.files.cfg()?);
        let mut problems = Vec::new();
        let env = self.files.seen_env(&mut problems)?;
        let mut entries = self.entries(&menu, &cfg)?;
        problems.extend(self.shelf.problems(&entries));
        let has_menu = !menu.entries.is_empty();
        if has_menu && !cfg.reads_custom {
            let (file, by) = (self.files.path("custom.cfg"), self.files.path("grub.cfg"));
            problems.push(Problem::Unread { file, by });
        } else if has_menu && !self.files.reads_menu(&cfg)? {
            let (file, by) = (self.files.path(custom::MENU), self.files.path("custom.cfg"));
            problems.push(Problem::Unread { file, by });
        }
        entries.extend(cfg.found(&self.files.path("grub.cfg")));
        let wanted = menu.default.clone().filter(|id| {
            by_id(&entries, id).and_then(|place| entries.get(place)).is_some_and(|e| e.listed)
        });
        if let (Some(name), None) = (&menu.default, &wanted) {
            problems.push(Problem::NoSuchDefault { name: name.clone() });
        }
        let trials = trials(&entries, &menu, &env, wanted.as_deref());
        let tried = wanted.as_deref().and_then(|id| menu.trial_of(id));
        let default = match tried.filter(|trial| left(trial, &env) == 0) {
            Some(trial) => by_id(&entries, &trial.fallback),
            None => wanted.as_deref().and_then(|id| by_id(&entries, id)),
        };
        let once = env.get(NEXT).filter(|name| !name.is_empty());
        let once = once.map(|name| Once { entry: by_id(&entries, &name), name });
        let (kind, counted) = (self.kind(), None);
        Ok(BootState { kind, entries, default, once, trials, counted, problems })
    }

    fn outside(&self, path: &BootPath) -> String {
        self.shelf.outside(path)
    }

    fn add(&self, seen: &BootState, pair: &Pair, entry: &Entry) -> Result<()> {
        self.shelf.prepare(None)?;
        let id = create(&self.shelf, &seen.entries, pair, entry)?;
        let done = self.files.menu().and_then(|mut menu| self.write(&mut menu, &[]));
        self.or_take_back(&id, done)
    }

    fn change(&self, seen: &BootState, old: &Found, entry: &Entry) -> Result<()> {
        let pair = &own(old)?.name.pair;
        let id = create(&self.shelf, &seen.entries, pair, entry)?;
        let gone = others(&seen.entries, pair, &id);
        let done = self.files.menu().and_then(|mut menu| {
            menu.rename(&gone, &id);
            self.write(&mut menu, &gone)
        });
        self.or_take_back(&id, done)?;
        if seen.once.as_ref().is_some_and(|once| gone.iter().any(|old| old.id == once.name)) {
            let mut env = self.files.env()?;
            env.set(NEXT, &id)?;
            self.files.write_env(&env)?;
        }
        self.shelf.remove(gone)
    }

    fn withdraw(&self, seen: &BootState, gone: &[&Found]) -> Result<()> {
        let mut menu = self.files.menu()?;
        let is_gone = |id: &String| gone.iter().any(|found| found.id == *id);
        if menu.default.as_ref().is_some_and(is_gone) {
            // It had used up its tries: what boots stays what it is.
            let boots = seen.default.and_then(|place| seen.entry(place));
            menu.default = boots.map(|found| found.id.clone()).filter(|id| !is_gone(id));
        }
        menu.trials.retain(|trial| !is_gone(&trial.id) && !is_gone(&trial.fallback));
        self.write(&mut menu, gone)?;
        self.shelf.remove(gone.iter().copied())
    }

    fn choose(&self, seen: &BootState, to: &Found, trial: Option<&OnTrial<'_>>) -> Result<()> {
        let pair = &own(to)?.name.pair;
        let (old, mut id) = (self.files.menu()?, to.id.clone());
        let mut menu = Menu::default();
        if let Some(on) = trial {
            let trial = self.files.trial(&old, id.clone(), on)?;
            if !to.is_unblessed() {
                id = create(&self.shelf, &seen.entries, pair, &to.entry.unblessed())?;
            }
            menu.trials.push(super::MenuTrial { id: id.clone(), ..trial });
        }
        menu.default = Some(id.clone());
        let gone = others(&seen.entries, pair, &id);
        let done = self.write(&mut menu, &gone);
        if id == to.id {
            done?
        } else {
            self.or_take_back(&id, done)?
        }
        self.shelf.remove(gone)?;
        match trial {
            Some(_) if seen.once.is_none() => Ok(()),
            Some(_) => self.once(seen, None),
            // What GRUB cannot read says nothing to it.
            None if !self.files.has_env()? => Ok(()),
            None => self.files.end_trial(false, true),
        }
    }

    fn once(&self, _seen: &BootState, to: Option<&Found>) -> Result<()> {
        let mut env = self.files.env()?;
        env.set(NEXT, to.map_or("", |found| &found.id))?;
        self.files.write_env(&env)
    }

    fn bless(&self, seen: &BootState, found: &Found) -> Result<()> {
        let pair = &own(found)?.name.pair;
        let (mut menu, mut id) = (self.files.menu()?, found.id.clone());
        let tried = menu.default.as_ref().is_some_and(|default| {
            others(&seen.entries, pair, "").iter().any(|found| found.id == *default)
        });
        if found.is_unblessed() {
            id = create(&self.shelf, &seen.entries, pair, &found.entry.blessed())?;
        }
        let gone = others(&seen.entries, pair, &id);
        menu.rename(&gone, &id);
        menu.trials.retain(|trial| trial.id != id);
        let done = self.write(&mut menu, &gone);
        if id == found.id {
            done?
        } else {
            self.or_take_back(&id, done)?
        }
        self.shelf.remove(gone)?;
        if tried { self.files.end_trial(true, false) } else { Ok(()) }
    }
}
