//! GRUB that reads entry files itself, as Fedora's does (`blscfg`).
//!
//! `saved_entry` in grubenv names the default, and its write is what changes what boots. How tries
//! are counted stands in a menu of ours, for what `saved_entry` names and for nothing else; so it may
//! be put in force before, and tidied up after.
//!
//! Source: Fedora's GRUB, `grub-core/commands/blscfg.c`, and its `08_fallback_counting`.

use std::cmp::Ordering;

use super::super::entry::Entry;
use super::super::folder::{BootFolder, BootPath};
use super::super::loader::{Loader, OnTrial, Tries};
use super::super::name::Pair;
use super::super::shelf::Shelf;
use super::super::state::{BootState, Found, LoaderKind, Once, Problem, Trial};
use super::env::GrubEnv;
use super::menu::{self, Menu, MenuTrial, TRIAL};
use super::switch::{COUNTER, SUCCESS, Switch};
use super::{Files, NEXT, by_id, create, others, own, read, take_back};
use crate::error::Result;
use crate::layout::compare_versions;
use crate::name::VgName;
use crate::order;

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
        order::sort_by(&mut all, |a, b| compare(&b.id, &a.id));
        Ok(all)
    }

    /// Writes what stands beside; nothing where no trial is or was.
    fn write(&self, trials: &[MenuTrial]) -> Result<()> {
        let before = self.files.in_force()?;
        if trials.is_empty() && before.bytes.is_none() {
            return Ok(());
        }
        let bytes = menu::beside(trials, self.files.cfg()?.counts);
        self.files.put_in_force(&before, &bytes, |menu| Switch { menu, ..Switch::default() })
    }

    /// Makes `id` the default, with those trials; `edit` changes grubenv further. Another trial goes on
    /// until then.
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
        let old = self.files.in_force()?.menu.trials;
        both.extend(old.into_iter().filter(|old| trials.iter().all(|new| new.id != old.id)));
        edit(&mut env)?;
        env.set(SAVED, id)?;
        self.write(&both)?;
        self.files.write_env(&env)?;
        self.write(trials)
    }

    /// Adds an entry's file, so that GRUB can read it. Its kernel is there for GRUB first.
    fn create(&self, seen: &BootState, pair: &Pair, entry: &Entry) -> Result<String> {
        self.files.folder.settle()?;
        let id = create(&self.shelf, &seen.entries, pair, entry)?;
        self.files.folder.settle()?;
        Ok(id)
    }

    /// A trial of a number that none had, and proof that GRUB has room to count.
    fn new_trial(&self, id: &str, on: &OnTrial<'_>) -> Result<MenuTrial> {
        let mut env = self.files.env()?;
        let named = env.get(TRIAL).and_then(|number| number.parse::<u32>().ok());
        let trials = self.files.in_force()?.menu.trials;
        let numbers = trials.iter().map(|trial| trial.number).chain(named);
        let number = numbers.max().unwrap_or(0).wrapping_add(1);
        begin_count(&mut env, number, on.tries)?;
        Ok(MenuTrial { number, tries: on.tries, id: id.into(), fallback: on.fallback.id.clone() })
    }

    /// Sees to it that what boots now is written down, so that a new entry does not change it.
    fn hold_default(&self, seen: &BootState) -> Result<()> {
        let mut env = self.files.env()?;
        let saved = env.get(SAVED).is_some_and(|saved| by_name(&seen.entries, &saved).is_some());
        let Some(first) = seen.entries.first().filter(|_| !saved) else { return Ok(()) };
        env.set(SAVED, &first.id)?;
        self.files.write_env(&env)
    }

    /// Takes an entry away where `done` failed and it is not the default.
    fn or_take_back(&self, id: &str, done: Result<()>) -> Result<()> {
        let is_saved = || {
            let saved = self.files.env().ok().and_then(|env| env.get(SAVED));
            saved.as_deref() == Some(id)
        };
        if done.is_err() && !is_saved() {
            take_back(&self.shelf, id);
        }
        done
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
        let mut trials = trials;
        let is_gone = |old: &String| gone.iter().any(|found| found.id == *old);
        let ids = trials.iter_mut().flat_map(|trial| [&mut trial.id, &mut trial.fallback]);
        ids.filter(|old| is_gone(old)).for_each(|old| id.clone_into(old));
        let saved = self.files.env()?.get(SAVED);
        let is_saved = |found: &&Found| saved.as_ref() == Some(&found.id);
        let is_default = saved.as_deref() == Some(id) || gone.iter().any(is_saved);
        let once = seen.once.as_ref().filter(|once| gone.iter().any(|old| old.id == once.name));
        if is_default {
            self.switch(id, &trials, |env| {
                if once.is_some() {
                    env.set(NEXT, id)?;
                }
                edit(env)
            })?;
        } else {
            self.write(&trials)?;
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

fn begin_count(env: &mut GrubEnv, number: u32, tries: Tries) -> Result<()> {
    env.set(TRIAL, &number.to_string())?;
    env.set(COUNTER, &tries.get().to_string())?;
    env.set(SUCCESS, "0")
}

/// Tries of a trial that are left. Until grubenv names it, all are.
fn left(trial: &MenuTrial, env: &GrubEnv) -> u32 {
    let number = |name| env.get(name).and_then(|text| text.parse::<i64>().ok());
    let tries = trial.tries.get();
    if number(TRIAL) != Some(i64::from(trial.number)) {
        return tries;
    }
    u32::try_from(number(COUNTER).unwrap_or(0)).unwrap_or(0).min(tries)
}

fn trials(entries: &[Found], menu: &Menu, env: &GrubEnv, default: Option<&str>) -> Vec<Trial> {
    let trial = |trial: &MenuTrial| {
        let left = left(trial, env);
        Some(Trial {
            entry: by_id(entries, &trial.id)?,
            fallback: by_id(entries, &trial.fallback),
            left: Some(left),
            done: trial.tries.get().saturating_sub(left),
            current: default == Some(trial.id.as_str()),
        })
    };
    menu.trials.iter().filter_map(trial).collect()
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
        let (menu, cfg) = (self.files.in_force()?.menu, self.files.cfg()?);
        let mut problems = Vec::new();
        let env = self.files.seen("grubenv", self.files.env(), &mut problems)?;
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
        if tried.is_some() {
            problems.extend(self.files.unread(&cfg)?);
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

    fn stale(&self) -> Result<Vec<BootPath>> {
        self.files.stale()
    }

    fn add(&self, seen: &BootState, pair: &Pair, entry: &Entry) -> Result<()> {
        self.shelf.prepare(Some(SORT))?;
        self.hold_default(seen)?;
        self.create(seen, pair, entry).map(drop)
    }

    fn change(&self, seen: &BootState, old: &Found, entry: &Entry) -> Result<()> {
        let pair = &own(old)?.name.pair;
        let id = self.create(seen, pair, entry)?;
        let trials = self.files.in_force()?.menu.trials;
        let done = self.replace_all(seen, (pair, &id), trials, |_| Ok(()));
        self.or_take_back(&id, done)
    }

    fn withdraw(&self, seen: &BootState, gone: &[&Found]) -> Result<()> {
        let is_gone = |id: &String| gone.iter().any(|found| found.id == *id);
        let (env, mut trials) = (self.files.env()?, self.files.in_force()?.menu.trials);
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
        let (mut id, mut trials) = (to.id.clone(), Vec::new());
        if let Some(on) = trial {
            let trial = self.new_trial(&id, on)?;
            if !to.is_unblessed() {
                id = self.create(seen, pair, &to.entry.unblessed())?;
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
                Some(trial) => begin_count(env, trial.number, trial.tries),
            }
        });
        if id == to.id {
            done?;
        } else {
            self.or_take_back(&id, done)?;
        }
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
            id = self.create(seen, pair, &found.entry.blessed())?;
        }
        let mut trials = self.files.in_force()?.menu.trials;
        let tried = |trial: &MenuTrial| {
            others(&seen.entries, pair, "").iter().any(|found| found.id == trial.id)
        };
        trials.retain(|trial| !tried(trial));
        let done = self.replace_all(seen, (pair, &id), trials, |env| end_trial(env, true));
        if id == found.id { done } else { self.or_take_back(&id, done) }
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
