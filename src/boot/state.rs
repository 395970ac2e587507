//! What is found in the boot folder, as values: who boots next, who is on trial, what is wrong.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use super::entry::Entry;
use super::folder::BootPath;
use super::name::{Counter, EntryName, KernelVersion};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{LayerName, compare_versions};
use crate::order;

/// The loaders that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoaderKind {
    /// systemd-boot.
    SystemdBoot,
    /// GRUB that reads entry files itself (Fedora's `blscfg`).
    GrubBls,
    /// GRUB without that.
    Grub,
}

impl LoaderKind {
    /// The word for it on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SystemdBoot => "systemd-boot",
            Self::GrubBls => "grub-bls",
            Self::Grub => "grub",
        }
    }
}

/// A layer's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// The layer.
    pub layer: LayerName,
    /// Its kernel.
    pub kernel: KernelVersion,
    /// What the file's name says.
    pub name: EntryName,
}

/// An entry that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its file; of a menu entry of GRUB's the file that it stands in.
    pub path: BootPath,
    /// What the loader calls it, without a counter.
    pub id: String,
    /// What it says.
    pub entry: Entry,
    /// What people are shown.
    pub title: String,
    /// How often it may still be tried, where the loader counts in the file's name.
    pub counter: Option<Counter>,
    /// Where it is a layer's.
    pub own: Option<Own>,
    /// Files that it names and that are not there.
    pub missing: Vec<BootPath>,
    /// False for one that the loader does not show yet.
    pub listed: bool,
}

impl Found {
    /// True where the loader can start it.
    pub fn is_bootable(&self) -> bool {
        self.listed && self.missing.is_empty()
    }

    /// True for a layer's that nobody has found good yet; one whose counter another program has
    /// taken away was found good by it.
    pub fn is_unblessed(&self) -> bool {
        let Some(own) = &self.own else { return false };
        let by_others = own.name.fallback.is_some() && self.counter.is_none();
        self.entry.is_unblessed() && !by_others
    }

    /// True for a file of ours that a power cut has left without its bytes.
    pub fn is_remains(&self) -> bool {
        let is_ours = EntryName::parse(self.path.name()).is_some();
        is_ours && self.own.is_none() && !self.entry.has_kernel()
    }

    /// The layer.
    pub fn layer(&self) -> Option<&LayerName> {
        self.own.as_ref().map(|own| &own.layer)
    }

    fn is_of(&self, layer: &LayerName) -> bool {
        self.layer() == Some(layer)
    }
}

/// A layer that falls back to another until it is blessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its entry, by place in [`BootState::entries`].
    pub entry: usize,
    /// The entry that boots when all tries are used up.
    pub fallback: Option<usize>,
    /// Tries left; `None` where another program has found it good.
    pub left: Option<u32>,
    /// Tries done.
    pub done: u32,
    /// True for the one that the default means.
    pub current: bool,
}

/// What is to boot once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// As the loader has it.
    pub name: String,
    /// The entry, where there is one.
    pub entry: Option<usize>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A layer's entry names files that are not there.
    Missing {
        /// The entry's file.
        entry: BootPath,
        /// The files.
        files: Vec<BootPath>,
    },
    /// Two entries whose names differ in the counter alone.
    SameStem {
        /// One file.
        one: BootPath,
        /// The other.
        other: BootPath,
    },
    /// A file with a name like ours that leads to no layer of this group.
    Odd {
        /// The file.
        file: BootPath,
    },
    /// The default names no entry.
    NoSuchDefault {
        /// As the loader has it.
        name: String,
    },
    /// A setting that comes before another one that says otherwise.
    Contradiction {
        /// What counts.
        first: String,
        /// What is passed over.
        second: String,
    },
    /// A file that the loader reads is not as it must be.
    Malformed {
        /// The file.
        file: BootPath,
        /// What is wrong.
        why: String,
    },
    /// GRUB does not read what it is to read.
    Unread {
        /// The file that is not read.
        file: BootPath,
        /// The one that should lead to it.
        by: BootPath,
    },
}

impl Problem {
    /// True for what keeps a layer from being started.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::NoSuchDefault { .. }
                | Self::Malformed { .. }
                | Self::Unread { .. }
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { entry, files } => {
                let names: Vec<&str> = files.iter().map(BootPath::as_str).collect();
                write!(f, "{entry} names what is not there: {}", names.join(", "))
            }
            Self::SameStem { one, other } => {
                write!(f, "{one} and {other} are one entry to the loader")
            }
            Self::Odd { file } => write!(f, "{file} leads to no layer of this group"),
            Self::NoSuchDefault { name } => write!(f, "the default '{name}' is no entry"),
            Self::Contradiction { first, second } => write!(f, "{first} hides {second}"),
            Self::Malformed { file, why } => write!(f, "{file}: {why}"),
            Self::Unread { file, by } => write!(f, "{by} does not lead GRUB to {file}"),
        }
    }
}

/// All of it. A pure view: nothing is read when it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootState {
    /// The loader.
    pub kind: LoaderKind,
    /// All entries, in the loader's order where that is known.
    pub entries: Vec<Found>,
    /// The entry that boots next, leaving aside what is to boot once.
    pub default: Option<usize>,
    /// What is to boot once.
    pub once: Option<Once>,
    /// Layers on trial, and those that have failed it.
    pub trials: Vec<Trial>,
    /// The file whose counter the loader has moved for the system that runs.
    pub counted: Option<String>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// How the last trial went, as far as the running system can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is on trial.
    Nothing,
    /// A layer is on trial.
    OnTrial {
        /// It.
        layer: LayerName,
        /// Tries left.
        left: u32,
    },
    /// A layer used up its tries; the one before it boots.
    Failed {
        /// It.
        layer: LayerName,
        /// So often it was tried.
        done: u32,
    },
    /// The running layer is on trial and the loader did not count: it may not be able to write.
    NotCounted {
        /// It.
        layer: LayerName,
    },
}

impl BootState {
    /// An entry by its place.
    pub fn entry(&self, place: usize) -> Option<&Found> {
        self.entries.get(place)
    }

    /// The layer that boots next, leaving aside what is to boot once.
    pub fn default_layer(&self) -> Option<&LayerName> {
        self.default.and_then(|place| self.entry(place)).and_then(Found::layer)
    }

    /// The layer that boots once.
    pub fn once_layer(&self) -> Option<&LayerName> {
        self.once.as_ref()?.entry.and_then(|place| self.entry(place)).and_then(Found::layer)
    }

    /// A layer's entries, the one to be started first: that with the newest kernel, and of one
    /// kernel that which the default means, then the newest revision.
    pub fn of_layer<'s>(&'s self, layer: &LayerName) -> Vec<&'s Found> {
        let own = |place: usize| self.entry(place).filter(|found| found.is_of(layer));
        let mut all: Vec<(usize, &Found)> =
            (0..self.entries.len()).filter_map(|place| Some((place, own(place)?))).collect();
        order::sort_by(&mut all, |a, b| self.before(*a, *b));
        all.into_iter().map(|(_, found)| found).collect()
    }

    fn before(&self, (a, one): (usize, &Found), (b, other): (usize, &Found)) -> Ordering {
        let kernel = |found: &Found| found.own.as_ref().map(|own| own.kernel.clone());
        let newer = match (kernel(one), kernel(other)) {
            (Some(one), Some(other)) => compare_versions(other.as_str(), one.as_str()),
            _ => Ordering::Equal,
        };
        let revision = |found: &Found| found.own.as_ref().map_or(0, |own| own.name.revision);
        let tried =
            |found: &Found| found.own.as_ref().is_some_and(|own| own.name.fallback.is_some());
        one.is_bootable()
            .cmp(&other.is_bootable())
            .reverse()
            .then(newer)
            .then((self.default == Some(a)).cmp(&(self.default == Some(b))).reverse())
            .then(tried(one).cmp(&tried(other)))
            .then(revision(other).cmp(&revision(one)))
    }

    /// The first of a layer's entries for each of its kernels: the one that counts.
    pub fn by_kernel<'s>(&'s self, layer: &LayerName) -> Vec<&'s Found> {
        let mut seen = BTreeSet::new();
        let mut all = self.of_layer(layer);
        all.retain(|found| seen.insert(found.own.as_ref().map(|own| own.kernel.clone())));
        all
    }

    /// The entries that may boot next: by default, once, or when the one on trial fails.
    pub fn needed(&self) -> Vec<&Found> {
        let once = self.once.as_ref().and_then(|once| once.entry);
        let trial = self.on_trial().into_iter().flat_map(|t| [Some(t.entry), t.fallback]);
        let places = [self.default, once].into_iter().chain(trial).flatten();
        places.filter_map(|place| self.entry(place)).collect()
    }

    /// The layers that have entries.
    pub fn layers(&self) -> BTreeSet<&LayerName> {
        self.entries.iter().filter_map(Found::layer).collect()
    }

    /// True where a layer can be started.
    pub fn is_bootable(&self, layer: &LayerName) -> bool {
        self.entries.iter().any(|found| found.is_of(layer) && found.is_bootable())
    }

    /// True where a layer can be started and was found good.
    pub fn is_blessed(&self, layer: &LayerName) -> bool {
        let mut own = self.entries.iter().filter(|found| found.is_of(layer));
        own.any(|found| found.is_bootable() && !found.is_unblessed())
    }

    /// True for a layer that was never started, as far as the loader tells, and never found good.
    pub fn is_untried(&self, layer: &LayerName) -> bool {
        let was_tried = |counter: Counter| counter.done > 0;
        self.of_layer(layer)
            .into_iter()
            .all(|found| found.is_unblessed() && !found.counter.is_some_and(was_tried))
    }

    /// The trial that the default means, while it has tries left.
    pub fn on_trial(&self) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.current && trial.left != Some(0))
    }

    fn layer_at(&self, place: usize) -> Option<&LayerName> {
        self.entry(place).and_then(Found::layer)
    }

    /// The layer that a trial of `target` should fall back to: what boots now if it was found good,
    /// else the running one, else the newest that was; and where none was, the same among those that
    /// have not used up their own tries, and then among all.
    pub fn fallback_for(
        &self,
        target: &LayerName,
        running: Option<&LayerName>,
    ) -> Option<LayerName> {
        type Rank<'a> = &'a dyn Fn(&&LayerName) -> bool;
        let other: Rank<'_> = &|layer| *layer != target && self.is_bootable(layer);
        let untried: Rank<'_> = &|layer| other(layer) && !self.has_failed(layer);
        let good: Rank<'_> = &|layer| other(layer) && self.is_blessed(layer);
        let fallback = self.trials.iter().filter(|trial| trial.current);
        let fallback = fallback.filter_map(|trial| self.layer_at(trial.fallback?)).next();
        let newest = |a: &&LayerName, b: &&LayerName| {
            a.base().compare(b.base()).then(a.index().cmp(&b.index()))
        };
        let first = [self.default_layer(), fallback, running];
        let first = first.into_iter().flatten();
        let best = |rank: Rank<'_>| {
            let found = first.clone().find(rank);
            found.or_else(|| self.layers().into_iter().filter(rank).max_by(newest))
        };
        [good, untried, other].into_iter().find_map(best).cloned()
    }

    /// True where a layer has used up its tries and was not found good.
    fn has_failed(&self, layer: &LayerName) -> bool {
        let ended = self.trials.iter().filter(|trial| trial.left == Some(0));
        ended.filter_map(|trial| self.layer_at(trial.entry)).any(|failed| failed == layer)
    }

    /// Fails where a layer's entries must stay.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy), saying why.
    pub fn check_removable(&self, layer: &LayerName, running: Option<&LayerName>) -> Result<()> {
        let Some(why) = self.why_kept(layer, running) else { return Ok(()) };
        let error = Error::new(ErrorKind::Busy, why).op("remove its boot entry").at(layer);
        Err(error.kept("nothing was changed"))
    }

    /// Why a layer's entries must stay: it runs, it boots next, it is what a trial falls back to, or
    /// nothing else could be started.
    pub fn why_kept(&self, layer: &LayerName, running: Option<&LayerName>) -> Option<&'static str> {
        if running == Some(layer) {
            return Some("it is the running layer");
        }
        if self.once_layer() == Some(layer) {
            return Some("it is to boot once");
        }
        if self.default_layer() == Some(layer) {
            return Some("it is the default");
        }
        let is_part = |trial: &&Trial| trial.current && trial.left != Some(0);
        for trial in self.trials.iter().filter(is_part) {
            if self.layer_at(trial.entry) == Some(layer) {
                return Some("it is on trial");
            }
            if trial.fallback.and_then(|place| self.layer_at(place)) == Some(layer) {
                return Some("the layer on trial falls back to it");
            }
        }
        if running.is_some_and(|running| self.waits(running)) && self.is_blessed(layer) {
            return Some("the running layer is not blessed yet, and may have to fall back to it");
        }
        let other = |found: &&Found| !found.is_of(layer) && found.is_bootable();
        if self.is_bootable(layer) && !self.entries.iter().any(|found| other(&found)) {
            return Some("nothing else could be started");
        }
        None
    }

    /// True where a layer has entries and none of them was found good.
    fn waits(&self, layer: &LayerName) -> bool {
        self.layers().contains(layer) && !self.is_blessed(layer)
    }

    /// How the last trial went.
    pub fn verdict(&self, running: Option<&LayerName>) -> Verdict {
        let mut verdict = Verdict::Nothing;
        for trial in &self.trials {
            let (Some(layer), Some(left)) = (self.layer_at(trial.entry), trial.left) else {
                continue;
            };
            let (layer, runs, done) = (layer.clone(), running == Some(layer), trial.done);
            verdict = match (left, trial.current) {
                (_, true) if runs && done == 0 => Verdict::NotCounted { layer },
                (0, _) if !runs => Verdict::Failed { layer, done },
                (left, true) => Verdict::OnTrial { layer, left },
                _ => continue,
            };
            if trial.current {
                return verdict;
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::super::name::Pair;
    use super::*;

    fn layer(index: u32) -> LayerName {
        format!("Base-1-0+{index}").parse().expect("a name")
    }

    /// A layer's entry, found good by its own arguments or not.
    fn entry(index: u32, is_good: bool) -> Found {
        let (layer, kernel) = (layer(index), "6.1".parse().expect("a version"));
        let name = EntryName::plain(Pair::new(&layer, &kernel), 0);
        let until = if is_good { "" } else { "# imgbase-until-blessed panic=10\n" };
        Found {
            path: BootPath::default(),
            id: layer.to_string(),
            entry: Entry::parse(format!("{until}linux /vmlinuz\n").as_bytes()),
            title: String::new(),
            counter: None,
            own: Some(Own { layer, kernel, name }),
            missing: Vec::new(),
            listed: true,
        }
    }

    fn state(entries: Vec<Found>, trials: Vec<Trial>) -> BootState {
        BootState {
            kind: LoaderKind::SystemdBoot,
            entries,
            default: None,
            once: None,
            trials,
            counted: None,
            problems: Vec::new(),
        }
    }

    #[test]
    fn what_has_failed_is_fallen_back_to_last() {
        let ended = Trial { entry: 1, fallback: None, left: Some(0), done: 3, current: false };
        let none_good = |trials| state((1..=3).map(|n| entry(n, false)).collect(), trials);
        let fallback = |state: BootState| state.fallback_for(&layer(3), None);
        assert_eq!(fallback(none_good(vec![])), Some(layer(2)), "the newest");
        assert_eq!(fallback(none_good(vec![ended.clone()])), Some(layer(1)));
        // Better than nothing.
        let two = (2..=3).map(|n| entry(n, false)).collect();
        let ended = Trial { entry: 0, ..ended };
        assert_eq!(fallback(state(two, vec![ended])), Some(layer(2)));
        let one_good = vec![entry(1, true), entry(2, false), entry(3, false)];
        assert_eq!(fallback(state(one_good, vec![])), Some(layer(1)));
    }
}
