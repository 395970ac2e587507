//! systemd-boot.
//!
//! No entry file is ever written over: another text is a file of another name, and then the old
//! one goes. So FAT, which keeps no order, cannot lose an entry.
//!
//! A layer on trial has a file whose name begins with that of the entry that it falls back to, and
//! ends in the loader's counter; the default is then a pattern that these two alone meet. The trial
//! is sorted first until its tries are used up: then it is sorted last, and the fallback boots.
//! An exact default would be booted with no tries left (before systemd 260).

mod conf;
mod pick;
mod settings;

use super::entry::Entry;
use super::folder::BootFolder;
use super::loader::{Loader, OnTrial};
use super::name::{Counter, EntryName, Pair};
use super::shelf::Shelf;
use super::state::{BootState, Found, LoaderKind, Once, Own, Trial};
use super::vars::EfiVars;
use crate::error::{Error, ErrorKind, Result};
use crate::name::VgName;
use crate::order;
use settings::Place;

/// Where entries are.
const ENTRIES: &str = "loader/entries";

/// Says in a new folder of what sort the entries are.
const SORT: &str = "type1\n";

/// What entries of ours are sorted by.
pub(super) const SORT_KEY: &str = "imgbase-layer";

/// The same of one on trial, with a number behind: the newer, the lower.
const TRIAL_KEY: &str = "imgbase-0-";

const HIGHEST: u32 = 999_999;

/// systemd-boot's folder and variables.
pub(super) struct SystemdBoot<'b> {
    shelf: Shelf<'b>,
    /// The EFI partition's entries, where that is another folder.
    esp: Option<Shelf<'b>>,
    place: Place<'b>,
}

impl<'b> SystemdBoot<'b> {
    pub(super) fn new(
        boot: &'b dyn BootFolder,
        esp: Option<&'b dyn BootFolder>,
        vars: Option<&'b dyn EfiVars>,
        vg: &VgName,
    ) -> Self {
        let place = Place { folder: esp.unwrap_or(boot), vars };
        let shelf = |folder| Shelf::new(folder, ENTRIES, vg);
        Self { shelf: shelf(boot), esp: esp.map(shelf), place }
    }

    fn entries(&self) -> Result<Vec<Found>> {
        let mut all = self.shelf.read()?;
        if let Some(esp) = &self.esp {
            // We write to the other folder alone.
            all.extend(esp.read()?.into_iter().map(|found| Found { own: None, ..found }));
        }
        all.retain(|found| !found.path.name().starts_with("auto-"));
        order::sort_by(&mut all, pick::compare);
        Ok(all)
    }

    /// The file of an entry that is not on trial, made where there is none.
    fn plain(&self, now: &mut Now<'_>, found: &Found) -> Result<EntryName> {
        let own = own(found)?;
        if own.name.fallback.is_none() {
            return Ok(own.name.clone());
        }
        if let Some(name) = now.plain(&own.name.pair) {
            return Ok(name.clone());
        }
        // Without a counter, another program has found it good.
        let entry =
            if found.counter.is_none() { found.entry.blessed() } else { found.entry.clone() };
        let name = self.add_plain(now.entries, &own.name.pair, &entry)?;
        now.added.push(name.clone());
        Ok(name)
    }

    fn add_plain(&self, all: &[Found], pair: &Pair, entry: &Entry) -> Result<EntryName> {
        let name = self.shelf.free_name(all, &EntryName::plain(pair.clone(), 0))?;
        self.shelf.create(&name, &entry.with_sort_key(SORT_KEY))?;
        Ok(name)
    }

    /// Puts a layer on trial; gives the name of its file, and what the default must be.
    fn begin_trial(
        &self,
        seen: &BootState,
        now: &mut Now<'_>,
        to: &Found,
        trial: &OnTrial<'_>,
    ) -> Result<(EntryName, String)> {
        let back = self.plain(now, trial.fallback)?.pair;
        let pattern = back.pattern();
        let counter = Counter { left: trial.tries.get(), done: 0 };
        let pair = own(to)?.name.pair.clone();
        let wanted = EntryName { pair, fallback: Some(back), revision: 0, counter: Some(counter) };
        let name = self.shelf.free_name(&seen.entries, &wanted)?;
        self.shelf.create(&name, &to.entry.unblessed().with_sort_key(&trial_key(seen)))?;
        Ok((name, pattern))
    }

    /// Removes what a choice has left: the chosen entry's other files, trials that are over, and what
    /// was to boot once.
    fn tidy(&self, seen: &BootState, mut now: Now<'_>, kept: &EntryName) -> Result<()> {
        let mut gone = Vec::new();
        for (found, own) in
            seen.entries.iter().filter_map(|found| Some((found, found.own.as_ref()?)))
        {
            let failed = matches!(found.counter, Some(Counter { left: 0, .. }));
            let on_trial = own.name.fallback.is_some();
            if own.name.pair == kept.pair {
                if own.name != *kept {
                    gone.push(found);
                }
            } else if on_trial && (!failed || Some(&own.name.pair) == kept.fallback.as_ref()) {
                self.plain(&mut now, found)?;
                gone.push(found);
            }
        }
        self.shelf.remove(gone)?;
        if seen.once.is_some() { self.place.set_once(None) } else { Ok(()) }
    }

    /// Puts a file in place of all others of its layer and kernel. Where the default means one of
    /// them by its name, it becomes the one.
    fn replace_all(&self, seen: &BootState, new: &EntryName, is_default: bool) -> Result<()> {
        let settings = self.place.read()?;
        let in_force = settings.in_force(&seen.entries).map(|(value, _)| value);
        let is_other = |found: &&Found| {
            found.own.as_ref().is_some_and(|own| own.name.pair == new.pair && own.name != *new)
        };
        let by_name = |own: &Own| {
            let value = in_force.as_deref();
            value == Some(&own.name.file()) || value == Some(&own.name.systemd_id())
        };
        let old: Vec<&Found> = seen.entries.iter().filter(is_other).collect();
        let is_meant = old.iter().any(|found| found.own.as_ref().is_some_and(by_name));
        if is_default || is_meant {
            self.set_default(seen, new, &new.systemd_id())?;
        }
        self.shelf.remove(old)?;
        // systemd-bless-boot may have renamed one since they were read.
        let now = self.shelf.read()?;
        self.shelf.remove(now.iter().filter(is_other))
    }
}

/// The entries that were read, and plain files that were made since.
struct Now<'s> {
    entries: &'s [Found],
    added: Vec<EntryName>,
}

impl Now<'_> {
    /// The file of a layer and kernel that is not on trial.
    fn plain(&self, pair: &Pair) -> Option<&EntryName> {
        let read = self.entries.iter().filter_map(|found| Some(&found.own.as_ref()?.name));
        let mut all = read.chain(&self.added);
        all.find(|name| name.pair == *pair && name.fallback.is_none())
    }
}

fn own(found: &Found) -> Result<&Own> {
    found.own.as_ref().ok_or_else(|| {
        let why = "it is no layer's entry: entries of others stay as they are";
        Error::new(ErrorKind::Invalid, why).at(&found.path)
    })
}

/// A sort key before those of all other trials.
fn trial_key(seen: &BootState) -> String {
    let numbers = seen
        .entries
        .iter()
        .filter_map(|found| found.entry.sort_key()?.strip_prefix(TRIAL_KEY)?.parse::<u32>().ok());
    let next = numbers.min().map_or(HIGHEST, |lowest| lowest.saturating_sub(1));
    format!("{TRIAL_KEY}{:06}", next.min(HIGHEST))
}

fn trials(entries: &[Found], in_force: Option<&str>) -> Vec<Trial> {
    let all = entries.iter().enumerate();
    all.filter_map(|(entry, found)| {
        let back = found.own.as_ref()?.name.fallback.as_ref()?;
        let is_back = |found: &Found| {
            let own = found.own.as_ref();
            own.is_some_and(|own| own.name.pair == *back && own.name.fallback.is_none())
        };
        let fallback = entries.iter().position(|found| is_back(found) && found.is_bootable());
        let left = found.counter.map(|counter| counter.left);
        let done = found.counter.map_or(0, |counter| counter.done);
        let current = in_force == Some(back.pattern().as_str());
        Some(Trial { entry, fallback, left, done, current })
    })
    .collect()
}

impl Loader for SystemdBoot<'_> {
    fn kind(&self) -> LoaderKind {
        LoaderKind::SystemdBoot
    }

    fn observe(&self) -> Result<BootState> {
        let (entries, settings) = (self.entries()?, self.place.read()?);
        let in_force = settings.in_force(&entries);
        let first = entries.iter().position(Found::is_bootable);
        let default = in_force.as_ref().map(|(_, place)| *place).or(first);
        let trials = trials(&entries, in_force.as_ref().map(|(value, _)| value.as_str()));
        let once = settings.once.clone().map(|name| {
            let entry = pick::find(&entries, &name);
            Once { name, entry }
        });
        let mut problems = self.shelf.problems(&entries);
        problems.extend(settings.problems(&entries));
        let (kind, counted) = (self.kind(), settings.counted);
        Ok(BootState { kind, entries, default, once, trials, counted, problems })
    }

    fn outside(&self, path: &super::folder::BootPath) -> String {
        self.shelf.outside(path)
    }

    fn add(&self, seen: &BootState, pair: &Pair, entry: &Entry) -> Result<()> {
        self.shelf.prepare(Some(SORT))?;
        if !seen.entries.is_empty() {
            self.place.hold_default(seen)?;
        }
        self.add_plain(&seen.entries, pair, entry).map(drop)
    }

    fn change(&self, seen: &BootState, old: &Found, entry: &Entry) -> Result<()> {
        let own = own(old)?;
        let name = self.shelf.free_name(&seen.entries, &own.name)?;
        let key = if own.name.fallback.is_some() { trial_key(seen) } else { SORT_KEY.to_owned() };
        self.shelf.create(&name, &entry.with_sort_key(&key))?;
        if seen.once.as_ref().is_some_and(|once| once.name == own.name.systemd_id()) {
            self.place.set_once(Some(&name.systemd_id()))?;
        }
        self.replace_all(seen, &name, false)
    }

    fn withdraw(&self, _seen: &BootState, gone: &[&Found]) -> Result<()> {
        self.shelf.remove(gone.iter().copied())
    }

    fn choose(&self, seen: &BootState, to: &Found, trial: Option<&OnTrial<'_>>) -> Result<()> {
        self.place.hold_default(seen)?;
        let mut now = Now { entries: &seen.entries, added: Vec::new() };
        let Some(trial) = trial else {
            let name = self.plain(&mut now, to)?;
            self.place.set_default(seen, &name.file())?;
            return self.tidy(seen, now, &name);
        };
        let (name, pattern) = self.begin_trial(seen, &mut now, to, trial)?;
        self.set_default(seen, &name, &pattern)?;
        self.tidy(seen, now, &name)
    }

    fn once(&self, _seen: &BootState, to: Option<&Found>) -> Result<()> {
        let id = to.map(|found| own(found).map(|own| own.name.systemd_id())).transpose()?;
        self.place.set_once(id.as_deref())
    }

    fn bless(&self, seen: &BootState, found: &Found) -> Result<()> {
        let (settings, own) = (self.place.read()?, own(found)?);
        let in_force = settings.in_force(&seen.entries).map(|(value, _)| value);
        let tried = own.name.fallback.as_ref().is_some_and(|back| in_force == Some(back.pattern()));
        let entry = found.entry.blessed().with_sort_key(SORT_KEY);
        let name = match seen.entries.iter().find(|found| found.entry == entry && is_plain(found)) {
            Some(Found { own: Some(same), .. }) => same.name.clone(),
            _ => self.add_plain(&seen.entries, &own.name.pair, &entry)?,
        };
        self.replace_all(seen, &name, tried)
    }
}

fn is_plain(found: &Found) -> bool {
    found.own.as_ref().is_some_and(|own| own.name.fallback.is_none())
}

impl SystemdBoot<'_> {
    /// Sets the default to what `new` is for; where that fails, `new` is taken away again.
    fn set_default(&self, seen: &BootState, new: &EntryName, value: &str) -> Result<()> {
        let Err(error) = self.place.set_default(seen, value) else { return Ok(()) };
        let settings = self.place.read().unwrap_or_default();
        let entries = self.entries().unwrap_or_default();
        if settings.in_force(&entries).is_none_or(|(in_force, _)| in_force != value) {
            let file = self.shelf.place.join(&new.file())?;
            let _ = super::files::remove(self.shelf.folder, &file);
        }
        Err(error)
    }
}
