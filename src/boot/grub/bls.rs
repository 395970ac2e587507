//! GRUB that reads entry files itself, as Fedora's does (`blscfg`).
//!
//! `saved_entry` in grubenv names the default, and its write is what changes what boots. How tries
//! are counted stands in a file beside, for what `saved_entry` names and for nothing else; so it may
//! be written before, and tidied up after.
//!
//! Source: Fedora's GRUB, `grub-core/commands/blscfg.c`, and its `08_fallback_counting`.

use std::cmp::Ordering;

use super::super::entry::Entry;
use super::super::folder::{BootFolder, BootPath};
use super::super::loader::{Loader, OnTrial};
use super::super::name::Pair;
use super::super::shelf::Shelf;
use super::super::state::{BootState, Found, LoaderKind, Once, Problem};
use super::env::GrubEnv;
use super::menu::{self, COUNTER, Menu, MenuTrial, NEXT, SUCCESS, TRIAL};
use super::{Files, by_id, create, custom, left, others, own, read, trials};
use crate::error::Result;
use crate::layout::compare_versions;
use crate::name::VgName;

const ENTRIES: &str = "loader/entries";

/// Says in a new folder of what sort the entries are.
const SORT: &str = "type1\n";

/// The default's name in grubenv.
const SAVED: &str = "saved_entry";

/// GRUB's folder, and the entries that it reads.
pub(in crate::boot) struct GrubBls<'b> {
    files: Files<'b>,
    shelf: Shelf<'b>,
}

impl<'b> GrubBls<'b> {
    pub(in crate::boot) fn new(folder: &'b dyn BootFolder, place: BootPath, vg: &VgName) -> Self {
        Self { files: Files { folder, place }, shelf: Shelf::new(folder, ENTRIES, vg) }
    }

    fn entries(&self) -> Result<Vec<Found>> {
        let mut all = read(&self.shelf)?;
        all.sort_by(|a, b| compare(&b.id, &a.id));
        Ok(all)
    }

    /// Writes what stands beside; nothing where no trial is or was.
    fn write(&self, trials: &[MenuTrial]) -> Result<()> {
        let is_there = self.files.read(custom::MENU)?.is_some();
        if trials.is_empty() && !is_there {
            return Ok(());
        }
        let menu = Menu { trials: trials.to_vec(), ..Menu::default() };
        self.files.write_custom()?;
        self.files.write_menu(&menu::beside(&menu, self.files.cfg()?.counts))
    }

    /// Makes `id` the default, with those trials; `edit` changes grubenv further.
    ///
    /// # Commit point
    /// The write of grubenv.
    fn switch(
        &self,
        id: &str,
        trials: &[MenuTrial],
        edit: impl FnOnce(&mut GrubEnv) -> Result<()>,
    ) -> Result<()> {
        let mut env = self.files.env()?;
        let mut both = trials.to_vec();
        let old = self.files.menu()?.trials;
        both.extend(old.into_iter().filter(|old| trials.iter().all(|new| new.id != old.id)));
        edit(&mut env)?;
        env.set(SAVED, id)?;
        self.write(&both)?;
        self.files.write_env(&env)?;
        self.write(trials)
    }

    /// Sees to it that what boots now is written down, so that a new entry does not change it.
    fn hold_default(&self, seen: &BootState) -> Result<()> {
        let mut env = self.files.env()?;
        let saved = env.get(SAVED).is_some_and(|saved| by_name(&seen.entries, &saved).is_some());
        let Some(first) = seen.entries.first().filter(|_| !saved) else { return Ok(()) };
        env.set(SAVED, &first.id)?;
        self.files.write_env(&env)
    }

    fn take_back(&self, id: &str) {
        let saved = self.files.env().ok().and_then(|env| env.get(SAVED));
        if saved.as_deref() != Some(id)
            && let Ok(file) = self.shelf.place.join(&format!("{id}.conf"))
        {
            let _ = super::super::files::remove(self.files.folder, &file);
        }
    }

    /// Puts an entry of that id in place of all others of its layer and kernel.
    fn replace_all(
        &self,
        seen: &BootState,
        (pair, id): (&Pair, &str),
        trials: Vec<MenuTrial>,
        edit: impl FnOnce(&mut GrubEnv) -> Result<()>,
    ) -> Result<()> {
        let gone = others(&seen.entries, pair, id);
        let mut menu = Menu { trials, ..Menu::default() };
        menu.rename(&gone, id);
        let saved = self.files.env()?.get(SAVED);
        let is_saved = |found: &&Found| saved.as_ref() == Some(&found.id);
        let is_default = saved.as_deref() == Some(id) || gone.iter().any(|found| is_saved(&found));
        let once = seen.once.as_ref().filter(|once| gone.iter().any(|old| old.id == once.name));
        if is_default {
            self.switch(id, &menu.trials, |env| {
                if once.is_some() {
                    env.set(NEXT, id)?;
                }
                edit(env)
            })?;
        } else {
            self.write(&menu.trials)?;
            if once.is_some() {
                let mut env = self.files.env()?;
                env.set(NEXT, id)?;
                self.files.write_env(&env)?;
            }
        }
        self.shelf.remove(gone)
    }
}

/// The order in which entries are shown is that of their names as packages': name, version and
/// release, the newest first.
fn compare(a: &str, b: &str) -> Ordering {
    let parts = |id: &str| {
        let (rest, release) = id.rsplit_once('-').unwrap_or((id, ""));
        let (name, version) = rest.rsplit_once('-').unwrap_or((rest, ""));
        [name.to_owned(), version.to_owned(), release.to_owned()]
    };
    let all = parts(a).into_iter().zip(parts(b));
    all.fold(Ordering::Equal, |order, (a, b)| order.then_with(|| compare_versions(&a, &b)))
        .then_with(|| a.cmp(b))
}

/// What `saved_entry` means: an id, a title, or a place in the menu.
fn by_name(entries: &[Found], name: &str) -> Option<usize> {
    let title = || entries.iter().position(|found| found.title == name);
    let place = || name.parse().ok().filter(|place| *place < entries.len());
    by_id(entries, name).or_else(title).or_else(place)
}

fn end_trial(env: &mut GrubEnv, succeeded: bool) -> Result<()> {
    if env.get(TRIAL).is_none() {
        return Ok(());
    }
    env.unset(TRIAL);
    env.unset(COUNTER);
    env.set(SUCCESS, if succeeded { "1" } else { "0" })
}

impl Loader for GrubBls<'_> {
    fn kind(&self) -> LoaderKind {
        LoaderKind::GrubBls
    }

    fn observe(&self) -> Result<BootState> {
        let (menu, cfg) = (self.files.menu()?, self.files.cfg()?);
        let mut problems = Vec::new();
        let env = self.files.seen_env(&mut problems)?;
        let mut entries = self.entries()?;
        problems.extend(self.shelf.problems(&entries));
        entries.extend(cfg.found(&self.files.path("grub.cfg")));
        let saved = env.get(SAVED).filter(|saved| !saved.is_empty());
        let wanted = saved.as_deref().and_then(|saved| by_name(&entries, saved));
        if let (Some(name), None) = (&saved, wanted) {
            problems.push(Problem::NoSuchDefault { name: name.clone() });
        }
        let id = wanted.and_then(|place| entries.get(place)).map(|found| found.id.clone());
        let tried = id.as_deref().and_then(|id| menu.trial_of(id));
        if tried.is_some() && !self.files.reads_menu(&cfg)? {
            let (file, by) = (self.files.path(custom::MENU), self.files.path("grub.cfg"));
            problems.push(Problem::Unread { file, by });
        }
        let trials = trials(&entries, &menu, &env, id.as_deref());
        let default = match tried.filter(|trial| left(trial, &env) == 0) {
            Some(trial) => by_id(&entries, &trial.fallback),
            None => wanted.or_else(|| (!entries.is_empty()).then_some(0)),
        };
        let once = env.get(NEXT).filter(|name| !name.is_empty());
        let once = once.map(|name| Once { entry: by_name(&entries, &name), name });
        let (kind, counted) = (self.kind(), None);
        Ok(BootState { kind, entries, default, once, trials, counted, problems })
    }

    fn outside(&self, path: &BootPath) -> String {
        self.shelf.outside(path)
    }

    fn add(&self, seen: &BootState, pair: &Pair, entry: &Entry) -> Result<()> {
        self.shelf.prepare(Some(SORT))?;
        self.hold_default(seen)?;
        create(&self.shelf, &seen.entries, pair, entry).map(drop)
    }

    fn change(&self, seen: &BootState, old: &Found, entry: &Entry) -> Result<()> {
        let pair = &own(old)?.name.pair;
        let id = create(&self.shelf, &seen.entries, pair, entry)?;
        let trials = self.files.menu()?.trials;
        let done = self.replace_all(seen, (pair, &id), trials, |_| Ok(()));
        if done.is_err() {
            self.take_back(&id);
        }
        done
    }

    fn withdraw(&self, seen: &BootState, gone: &[&Found]) -> Result<()> {
        let is_gone = |id: &String| gone.iter().any(|found| found.id == *id);
        let (env, mut trials) = (self.files.env()?, self.files.menu()?.trials);
        trials.retain(|trial| !is_gone(&trial.id) && !is_gone(&trial.fallback));
        let boots = seen.default.and_then(|place| seen.entry(place));
        if env.get(SAVED).as_ref().is_some_and(is_gone)
            && let Some(boots) = boots.filter(|found| !is_gone(&found.id))
        {
            // It had used up its tries: what boots stays what it is.
            self.switch(&boots.id, &trials, |env| end_trial(env, false))?;
        }
        self.shelf.remove(gone.iter().copied())?;
        self.write(&trials)
    }

    fn choose(&self, seen: &BootState, to: &Found, trial: Option<&OnTrial<'_>>) -> Result<()> {
        let pair = &own(to)?.name.pair;
        let (old, mut id, mut trials) = (self.files.menu()?, to.id.clone(), Vec::new());
        if let Some(on) = trial {
            let trial = self.files.trial(&old, id.clone(), on)?;
            if !to.is_unblessed() {
                id = create(&self.shelf, &seen.entries, pair, &to.entry.unblessed())?;
            }
            trials.push(MenuTrial { id: id.clone(), ..trial });
        }
        let counts = self.files.cfg()?.counts;
        let done = self.switch(&id, &trials, |env| {
            if env.get(NEXT).is_some_and(|next| !next.is_empty()) {
                env.set(NEXT, "")?;
            }
            end_trial(env, false)?;
            match trials.first().filter(|_| counts) {
                None => Ok(()),
                Some(trial) => {
                    env.set(TRIAL, &trial.number.to_string())?;
                    env.set(COUNTER, &trial.tries.get().to_string())?;
                    env.set(SUCCESS, "0")
                }
            }
        });
        if done.is_err() && id != to.id {
            self.take_back(&id);
        }
        done?;
        self.shelf.remove(others(&seen.entries, pair, &id))
    }

    fn once(&self, _seen: &BootState, to: Option<&Found>) -> Result<()> {
        let mut env = self.files.env()?;
        env.set(NEXT, to.map_or("", |found| &found.id))?;
        self.files.write_env(&env)
    }

    fn bless(&self, seen: &BootState, found: &Found) -> Result<()> {
        let pair = &own(found)?.name.pair;
        let mut id = found.id.clone();
        if found.is_unblessed() {
            id = create(&self.shelf, &seen.entries, pair, &found.entry.blessed())?;
        }
        let mut trials = self.files.menu()?.trials;
        let tried = |trial: &MenuTrial| {
            others(&seen.entries, pair, "").iter().any(|found| found.id == trial.id)
        };
        trials.retain(|trial| !tried(trial));
        let done = self.replace_all(seen, (pair, &id), trials, |env| end_trial(env, true));
        if done.is_err() && id != found.id {
            self.take_back(&id);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_as_packages_are() {
        let ascending =
            ["abc-5.14.0-99.el9", "abc-5.14.0-100.el9", "abc-6.1-1", "abd-1-1", "1a-1-1"];
        for (place, low) in ascending.iter().enumerate() {
            for high in ascending.iter().skip(place + 1) {
                assert_eq!(compare(low, high), Ordering::Less, "{low} {high}");
            }
        }
    }
}
