//! The boot entries of a volume group's layers, whatever the loader.

use std::collections::BTreeSet;
use std::fmt;

use super::args::Args;
use super::entry::{Entry, Text};
use super::files;
use super::folder::{BootFolder, BootPath, Kind, Room};
use super::grub::{Grub, GrubBls};
use super::loader::{Loader, OnTrial, Place, Tries, detect, grub_folder};
use super::name::{KernelVersion, Pair};
use super::own::{self, Whose};
use super::sdboot::{SORT_KEY, SystemdBoot};
use super::state::{BootState, Found, LoaderKind, Problem};
use super::store::{self, Artefacts, Plan, Stored};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::LayerName;
use crate::name::VgName;
use crate::order;
use crate::units::Bytes;

/// The boot folder of a machine, for the layers of one volume group.
pub struct Boot<'b> {
    place: Place<'b>,
    vg: VgName,
    loader: Box<dyn Loader + 'b>,
    /// So much room is left free.
    reserve: Bytes,
    /// True where somebody may be storing what no entry names yet.
    keep_unused: bool,
}

/// Where an entry's kernel comes from.
pub enum Files<'a> {
    /// These files.
    Given(Artefacts<'a>),
    /// Files that were stored before.
    Stored(&'a Stored),
    /// The files that an entry of this layer with the same kernel names.
    Of(&'a LayerName),
}

/// An entry to be made.
pub struct NewEntry<'a> {
    /// Of this layer.
    pub layer: &'a LayerName,
    /// With this kernel.
    pub kernel: &'a KernelVersion,
    /// And these files.
    pub files: Files<'a>,
    /// The arguments that it inherits; ours are reckoned anew.
    pub args: &'a Args,
    /// The boot file system's UUID, where the layer is to be told.
    pub boot_uuid: Option<&'a str>,
    /// The installation that the entry belongs to, as 32 hexadecimal digits.
    pub machine_id: Option<&'a str>,
}

/// What became of the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The layer that boots when this one fails; `None` where it is not on trial.
    pub fallback: Option<LayerName>,
}

/// Something in the boot folder that a crash, or a removal of volumes, has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// An entry of a layer that is gone.
    Entry {
        /// Its file.
        path: BootPath,
        /// The layer.
        layer: LayerName,
        /// Why it must stay for now.
        kept: Option<&'static str>,
    },
    /// An entry that was made and is not shown.
    Unlisted(BootPath),
    /// An entry for a layer and kernel that have another one, which counts.
    Double(BootPath),
    /// A kernel that no entry names.
    Unused(BootPath),
    /// A file that was never finished.
    Temporary(BootPath),
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { path, layer, kept: None } => {
                write!(f, "{path}: its layer {layer} is gone")
            }
            Self::Entry { path, layer, kept: Some(why) } => {
                write!(f, "{path}: its layer {layer} is gone, but {why}")
            }
            Self::Unlisted(path) => write!(f, "{path}: the loader does not show it"),
            Self::Unused(path) => write!(f, "{path}: no entry names it"),
            Self::Double(path) => write!(f, "{path}: another entry is the same"),
            Self::Temporary(path) => write!(f, "{path}: it was never finished"),
        }
    }
}

impl<'b> Boot<'b> {
    /// Looks which loader there is, or takes the one that is named. `None` where there is none.
    ///
    /// # Errors
    /// As [`detect`]; [`NotFound`](ErrorKind::NotFound) where the one that is named is not there;
    /// [`Unsupported`](ErrorKind::Unsupported) where it could not read the folder.
    pub fn open(place: Place<'b>, vg: &VgName, kind: Option<LoaderKind>) -> Result<Option<Self>> {
        let kind = match kind {
            Some(kind) => Some(kind),
            None => detect(place)?,
        };
        let Some(kind) = kind else { return Ok(None) };
        check_root(place, kind)?;
        let loader = loader(place, vg, kind)?;
        Ok(Some(Self { place, vg: vg.clone(), loader, reserve: Bytes::mib(2), keep_unused: false }))
    }

    /// Leaves so much room free in the boot folder; 2 MiB unless set.
    #[must_use]
    pub fn with_reserve(mut self, reserve: Bytes) -> Self {
        self.reserve = reserve;
        self
    }

    /// Keeps what no entry names: somebody may be storing it for one that is to come.
    #[must_use]
    pub fn keeping_unused(self) -> Self {
        Self { keep_unused: true, ..self }
    }

    /// The loader.
    pub fn kind(&self) -> LoaderKind {
        self.loader.kind()
    }

    /// What is there.
    ///
    /// # Errors
    /// What the folder or the variables give.
    pub fn state(&self) -> Result<BootState> {
        self.loader.observe()
    }

    fn folder(&self) -> &'b dyn BootFolder {
        self.place.boot
    }

    /// How much room storing these files takes, of which those that are there already take none.
    /// Fails where there is not so much, so that it can be asked before anything else is begun.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace) with both figures; [`Invalid`](ErrorKind::Invalid),
    /// [`Io`](ErrorKind::Io).
    pub fn check_room(&self, artefacts: &Artefacts<'_>) -> Result<Bytes> {
        self.check_room_beside(artefacts, Bytes::ZERO)
    }

    /// The same beside others that take so much.
    ///
    /// # Errors
    /// As [`check_room`](Self::check_room).
    pub fn check_room_beside(&self, artefacts: &Artefacts<'_>, others: Bytes) -> Result<Bytes> {
        let plan = Plan::make(self.folder(), artefacts)?;
        plan.check_room(self.folder(), self.reserve.saturating_add(others))
    }

    /// True where there is room whatever of it is there already: by the sizes alone, of the files of
    /// each kernel.
    pub(crate) fn has_room_for(&self, kernels: &[Vec<Bytes>]) -> Result<bool> {
        let Room { free, unit } = self.folder().room()?;
        let each = kernels.iter().map(|sizes| store::room_for(unit, sizes.iter().copied()));
        Ok(each.fold(self.reserve, Bytes::saturating_add) <= free)
    }

    /// Stores files that an entry is to name; until it does, whoever removes what no entry names may
    /// remove them.
    ///
    /// # Errors
    /// As [`check_room`](Self::check_room); [`Corrupt`](ErrorKind::Corrupt) where what was read back
    /// is not what was written.
    pub fn store(&self, artefacts: &Artefacts<'_>) -> Result<Stored> {
        let plan = Plan::make(self.folder(), artefacts)?;
        plan.check_room(self.folder(), self.reserve)?;
        plan.store(self.folder())
    }

    /// Makes a layer's entry, or another in its place. What boots next stays what it was, but for
    /// the very first entry. Tells whether anything changed.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace) before anything is written;
    /// [`NotFound`](ErrorKind::NotFound) where the entry whose files are to be used is not there;
    /// [`Exists`](ErrorKind::Exists) where another group's layer has such an entry;
    /// [`Invalid`](ErrorKind::Invalid), [`Corrupt`](ErrorKind::Corrupt), [`Io`](ErrorKind::Io).
    ///
    /// # Commit point
    /// See [`Loader::add`]: by then all files that the entry names are whole and durable.
    pub fn put(&self, new: &NewEntry<'_>) -> Result<bool> {
        let seen = self.state()?;
        let stored = self.files(&seen, new)?;
        let old = find(&seen, new.layer, new.kernel);
        let entry = self.compose(new, &stored)?;
        let Some(old) = old else {
            let pair = Pair::new(new.layer, new.kernel);
            self.loader.add(&seen, &pair, &entry.unblessed())?;
            return Ok(true);
        };
        let entry = if old.is_unblessed() { entry.unblessed() } else { entry };
        let key = old.entry.sort_key().unwrap_or(SORT_KEY);
        if old.entry == entry.with_sort_key(key) && old.is_bootable() {
            return Ok(false);
        }
        self.loader.change(&seen, old, &entry)?;
        self.sweep()?;
        Ok(true)
    }

    fn files(&self, seen: &BootState, new: &NewEntry<'_>) -> Result<Stored> {
        match &new.files {
            Files::Given(artefacts) => self.store(artefacts),
            Files::Stored(stored) => Ok((*stored).clone()),
            Files::Of(layer) => {
                let model = find(seen, layer, new.kernel).filter(|found| found.is_bootable());
                let model = model.ok_or_else(|| {
                    let why = format!("it has no entry with the kernel {}", new.kernel);
                    Error::new(ErrorKind::NotFound, why).at(layer)
                })?;
                self.stored(&model.entry)
            }
        }
    }

    /// The files that an entry names, as paths in the folder.
    fn stored(&self, entry: &Entry) -> Result<Stored> {
        let prefix = self.folder().facts().prefix;
        let path = |file: &str| -> Result<BootPath> {
            Ok(file.strip_prefix(&prefix).unwrap_or(file).trim_start_matches('/').parse()?)
        };
        Ok(Stored {
            linux: path(entry.linux().unwrap_or_default())?,
            initrds: entry.initrds().map(path).collect::<Result<_>>()?,
            devicetree: entry.devicetree().map(path).transpose()?,
        })
    }

    fn compose(&self, new: &NewEntry<'_>, stored: &Stored) -> Result<Entry> {
        let whose = Whose { vg: &self.vg, layer: new.layer, boot: new.boot_uuid };
        let outside = |path: &BootPath| self.loader.outside(path);
        let args = own::for_layer(new.args, whose)?;
        check_args(self.kind(), &args)?;
        let base = new.layer.base();
        let (index, kernel) = (new.layer.index(), new.kernel.as_str());
        Ok(Entry::of(&Text {
            title: &format!("{} ({kernel})", new.layer),
            version: &format!("{}-{}.l{index}-{kernel}", base.version(), base.release()),
            machine_id: new.machine_id,
            sort_key: SORT_KEY,
            kernel,
            linux: &outside(&stored.linux),
            initrds: &stored.initrds.iter().map(outside).collect::<Vec<_>>(),
            devicetree: stored.devicetree.as_ref().map(outside).as_deref(),
            args: &args,
        }))
    }

    /// Removes a layer's entries, and the kernels that no other entry names.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) where it must stay (see [`BootState::why_kept`]);
    /// [`Io`](ErrorKind::Io). What fails behind the commit point leaves kernels that nobody needs.
    ///
    /// # Commit point
    /// See [`Loader::withdraw`].
    pub fn remove(&self, layer: &LayerName, running: Option<&LayerName>) -> Result<bool> {
        let seen = self.state()?;
        let gone = seen.of_layer(layer);
        if gone.is_empty() {
            return Ok(false);
        }
        seen.check_removable(layer, running)?;
        self.loader.withdraw(&seen, &gone)?;
        self.sweep()?;
        Ok(true)
    }

    /// Removes a layer's entries for other kernels than these, and what they alone named. The entry
    /// that boots next, once or after a failed trial stays, and so does the last one. Gives the
    /// kernels whose entries went.
    ///
    /// # Errors
    /// What the folder or the variables give.
    ///
    /// # Commit point
    /// See [`Loader::withdraw`].
    pub fn keep_kernels(
        &self,
        layer: &LayerName,
        kept: &BTreeSet<KernelVersion>,
    ) -> Result<Vec<KernelVersion>> {
        let seen = self.state()?;
        let needed = seen.needed();
        let mut gone = seen.of_layer(layer);
        let all = gone.len();
        gone.retain(|found| {
            let is_kept = found.own.as_ref().is_some_and(|own| kept.contains(&own.kernel));
            let is_needed = needed.iter().any(|entry| entry.path == found.path);
            !is_kept && !is_needed
        });
        if gone.is_empty() || gone.len() == all {
            return Ok(Vec::new());
        }
        self.loader.withdraw(&seen, &gone)?;
        self.sweep()?;
        Ok(gone.iter().filter_map(|found| Some(found.own.as_ref()?.kernel.clone())).collect())
    }

    /// Makes a layer the default. With `tries` it is on trial, unless there is no other layer to
    /// fall back to. What was to boot once is dropped.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where it cannot be started: it has no entry, or a file that
    /// the entry names is not there; [`Unsupported`](ErrorKind::Unsupported),
    /// [`Io`](ErrorKind::Io).
    ///
    /// # Commit point
    /// See [`Loader::choose`].
    pub fn set_default(
        &self,
        layer: &LayerName,
        tries: Option<Tries>,
        running: Option<&LayerName>,
    ) -> Result<Chosen> {
        self.set_default_in(&self.state()?, layer, tries, running)
    }

    /// The same from a state that was [read](Self::state) a moment before, by whoever keeps all
    /// others from the folder.
    ///
    /// # Errors
    /// As [`set_default`](Self::set_default).
    ///
    /// # Commit point
    /// As there.
    pub fn set_default_in(
        &self,
        seen: &BootState,
        layer: &LayerName,
        tries: Option<Tries>,
        running: Option<&LayerName>,
    ) -> Result<Chosen> {
        let to = startable(seen, layer)?;
        let fallback = tries.and_then(|_| seen.fallback_for(layer, running));
        let back = fallback.as_ref().and_then(|layer| good_entry(seen, layer));
        let trial = match (tries, back) {
            (Some(tries), Some(fallback)) => Some(OnTrial { fallback, tries }),
            _ => None,
        };
        let fallback = fallback.filter(|_| trial.is_some());
        self.loader.choose(seen, to, trial.as_ref())?;
        Ok(Chosen { fallback })
    }

    /// Lets a layer boot once; `None`: nothing is to boot once any more.
    ///
    /// # Errors
    /// As [`set_default`](Self::set_default).
    ///
    /// # Commit point
    /// See [`Loader::once`].
    pub fn set_once(&self, layer: Option<&LayerName>) -> Result<()> {
        let seen = self.state()?;
        let to = layer.map(|layer| startable(&seen, layer)).transpose()?;
        self.loader.once(&seen, to)
    }

    /// Finds the layer that runs good, with the kernel that runs. Tells whether anything changed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where it has no entry; what the folder or the variables
    /// give.
    ///
    /// # Commit point
    /// See [`Loader::bless`].
    pub fn bless(&self, layer: &LayerName, kernel: Option<&KernelVersion>) -> Result<bool> {
        let seen = self.state()?;
        let Some(found) = booted(&seen, layer, kernel) else {
            return Err(no_entry(layer));
        };
        let tried =
            |found: &Found| found.own.as_ref().is_some_and(|own| own.name.fallback.is_some());
        let waits = seen.trials.iter().any(|trial| {
            trial.current && seen.entry(trial.entry).is_some_and(|entry| entry.path == found.path)
        });
        if !found.is_unblessed() && !tried(found) && !waits {
            return Ok(false);
        }
        self.loader.bless(&seen, found)?;
        Ok(true)
    }

    /// A layer's own arguments: without those that it has until it is blessed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where it has no entry.
    pub fn args(&self, layer: &LayerName) -> Result<Args> {
        let seen = self.state()?;
        let found = seen.of_layer(layer);
        found.first().map(|found| found.entry.lasting_args()).ok_or_else(|| no_entry(layer))
    }

    /// Changes the arguments of all entries of a layer. Tells whether anything changed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where it has no entry; what `edit` gives; what the folder
    /// or the variables give: entries for other kernels may then have changed.
    ///
    /// # Commit point
    /// Each entry has its own: see [`Loader::change`].
    pub fn edit_args(
        &self,
        layer: &LayerName,
        edit: &dyn Fn(&mut Args) -> Result<()>,
    ) -> Result<bool> {
        let seen = self.state()?;
        let entries = seen.by_kernel(layer);
        if entries.is_empty() {
            return Err(no_entry(layer));
        }
        let mut new = Vec::new();
        for found in entries {
            let mut args = found.entry.lasting_args();
            edit(&mut args)?;
            let whose = Whose { vg: &self.vg, layer, boot: None };
            let args = own::for_layer(&args, whose)?;
            check_args(self.kind(), &args)?;
            new.push((found, found.entry.with_args(&args)));
        }
        new.retain(|(found, entry)| found.entry != *entry);
        for (found, entry) in &new {
            // What was changed meanwhile has another name.
            let seen = self.state()?;
            let now = seen.entries.iter().find(|now| now.path == found.path);
            if let Some(now) = now {
                self.loader.change(&seen, now, entry)?;
            }
        }
        Ok(!new.is_empty())
    }

    /// What a crash or a removal of volumes has left, when these are all layers that there are.
    ///
    /// # Errors
    /// What the folder or the variables give.
    pub fn leftovers(&self, layers: &BTreeSet<LayerName>) -> Result<Vec<Leftover>> {
        let seen = self.state()?;
        let mut left = Vec::new();
        for found in seen.entries.iter().filter(|found| found.own.is_some()) {
            let Some(layer) = found.layer() else { continue };
            let path = found.path.clone();
            if !layers.contains(layer) {
                let kept = seen.why_kept(layer, None);
                left.push(Leftover::Entry { path, layer: layer.clone(), kept });
            } else if !found.listed && found.missing.is_empty() {
                left.push(Leftover::Unlisted(path));
            } else if !seen.by_kernel(layer).iter().any(|first| first.path == path) {
                left.push(Leftover::Double(path));
            }
        }
        if !self.keep_unused {
            left.extend(self.temporaries(&seen)?.into_iter().map(Leftover::Temporary));
        }
        left.extend(self.unused()?.into_iter().map(Leftover::Unused));
        Ok(left)
    }

    /// Removes what [`leftovers`](Self::leftovers) finds, as far as it need not stay. Gives what was
    /// removed.
    ///
    /// # Errors
    /// What the folder or the variables give. It can be repeated.
    ///
    /// # Commit point
    /// None: nothing that boots changes.
    pub fn clean(&self, layers: &BTreeSet<LayerName>) -> Result<Vec<Leftover>> {
        let (mut left, seen) = (self.leftovers(layers)?, self.state()?);
        left.retain(|left| !matches!(left, Leftover::Entry { kept: Some(_), .. }));
        let is_gone = |found: &&Found| {
            let path = &found.path;
            left.iter().any(|left| match left {
                Leftover::Entry { path: gone, .. }
                | Leftover::Unlisted(gone)
                | Leftover::Double(gone) => gone == path,
                _ => false,
            })
        };
        let gone: Vec<&Found> = seen.entries.iter().filter(is_gone).collect();
        let unread = |problem: &Problem| matches!(problem, Problem::Unread { .. });
        if !gone.is_empty() || seen.problems.iter().any(unread) {
            // This also leads GRUB to its menu again.
            self.loader.withdraw(&seen, &gone)?;
        }
        for left in &left {
            if let Leftover::Temporary(path) = left {
                files::remove(self.folder(), path)?;
            }
        }
        for place in self.unused()? {
            store::remove(self.folder(), &place)?;
            if !left.contains(&Leftover::Unused(place.clone())) {
                left.push(Leftover::Unused(place));
            }
        }
        Ok(left)
    }

    /// Removes the kernels that no entry names.
    fn sweep(&self) -> Result<()> {
        for place in self.unused()? {
            store::remove(self.folder(), &place)?;
        }
        Ok(())
    }

    /// The folders of the store that can go.
    fn unused(&self) -> Result<Vec<BootPath>> {
        if self.keep_unused {
            return Ok(Vec::new());
        }
        store::unused(self.folder(), &self.used()?)
    }

    /// The folders of the store that any file which a loader reads names.
    fn used(&self) -> Result<BTreeSet<String>> {
        let mut used = BTreeSet::new();
        for (folder, path) in self.read_by_loaders()? {
            if let Some(text) = folder.read(&path, Bytes::mib(4))? {
                store::named_in(&text, &mut used);
            }
        }
        Ok(used)
    }

    fn read_by_loaders(&self) -> Result<Vec<(&'b dyn BootFolder, BootPath)>> {
        let mut paths = Vec::new();
        for folder in [Some(self.place.boot), self.place.esp].into_iter().flatten() {
            for place in TEXTS {
                let place: BootPath = place.parse()?;
                for (name, kind) in folder.list(&place)? {
                    let text = name.ends_with(".conf") || name.ends_with(".cfg");
                    if text && matches!(kind, Kind::File(_)) {
                        paths.push((folder, place.join(&name)?));
                    }
                }
            }
        }
        Ok(paths)
    }

    /// Files that were never finished, or that nothing leads to.
    fn temporaries(&self, seen: &BootState) -> Result<Vec<BootPath>> {
        let folder = self.folder();
        let mut places: Vec<BootPath> = Vec::new();
        for place in TEXTS {
            places.push(place.parse()?);
        }
        places.push("loader".parse()?);
        let store: BootPath = "imgbase".parse()?;
        for (name, kind) in folder.list(&store)? {
            if kind == Kind::Folder {
                places.push(store.join(&name)?);
            }
        }
        let mut found = self.loader.stale()?;
        let remains = seen.entries.iter().filter(|entry| entry.is_remains());
        found.extend(remains.map(|entry| entry.path.clone()));
        for place in places {
            for (name, _) in folder.list(&place)? {
                if files::is_temporary(&name) {
                    found.push(place.join(&name)?);
                }
            }
        }
        order::sort(&mut found);
        found.dedup();
        Ok(found)
    }
}

/// Folders with texts that name kernels.
const TEXTS: [&str; 4] = ["loader/entries", "imgbase/entries", "grub", "grub2"];

fn loader<'b>(place: Place<'b>, vg: &VgName, kind: LoaderKind) -> Result<Box<dyn Loader + 'b>> {
    match kind {
        LoaderKind::SystemdBoot => {
            Ok(Box::new(SystemdBoot::new(place.boot, place.esp, place.vars, vg)))
        }
        LoaderKind::GrubBls | LoaderKind::Grub => {
            let folder = grub_folder(place.boot)?;
            let error = || {
                let error = Error::new(ErrorKind::NotFound, "there is no grub.cfg of GRUB's");
                error.op("find the loader").at(place.boot.name())
            };
            let folder = folder.ok_or_else(error)?;
            Ok(match kind {
                LoaderKind::GrubBls => Box::new(GrubBls::new(place.boot, folder, vg)),
                _ => Box::new(Grub::new(place.boot, folder, vg)),
            })
        }
    }
}

/// systemd-boot reads a partition of its own, from its root on.
fn check_root(place: Place<'_>, kind: LoaderKind) -> Result<()> {
    let prefix = place.boot.facts().prefix;
    if kind != LoaderKind::SystemdBoot || prefix.is_empty() {
        return Ok(());
    }
    let why =
        format!("systemd-boot reads no folder inside a file system, and this is {prefix} in one");
    Err(Error::new(ErrorKind::Unsupported, why).op("use the boot folder").at(place.boot.name()))
}

fn no_entry(layer: &LayerName) -> Error {
    Error::new(ErrorKind::NotFound, "it has no boot entry").at(layer)
}

/// Fails for arguments that the loader would hand over otherwise.
fn check_args(kind: LoaderKind, args: &Args) -> Result<()> {
    let line = args.to_string();
    let no = |word: &str, why| {
        let error = Error::new(ErrorKind::Unsupported, why).at(format_args!("'{word}'"));
        Err(error.kept("nothing was changed"))
    };
    if line.len() > 1 && line.starts_with('"') && line.ends_with('"') {
        return no(&line, "loaders take quotes off a line that begins and ends with one");
    }
    // Fedora's GRUB reads an entry's arguments as a piece of its script.
    let splits = |word: &&str| {
        let mut quoted = false;
        word.chars().any(|c| {
            quoted ^= c == '"';
            (!quoted && "{}|&;<>".contains(c)) || "'\\`".contains(c)
        })
    };
    match args.words().find(splits).filter(|_| kind == LoaderKind::GrubBls) {
        Some(word) => no(word, "GRUB would take it apart, as it reads entries as a script"),
        None => Ok(()),
    }
}

fn find<'s>(seen: &'s BootState, layer: &LayerName, kernel: &KernelVersion) -> Option<&'s Found> {
    let is = |found: &&Found| found.own.as_ref().is_some_and(|own| own.kernel == *kernel);
    seen.of_layer(layer).into_iter().find(is)
}

/// The entry that a layer is started by.
fn startable<'s>(seen: &'s BootState, layer: &LayerName) -> Result<&'s Found> {
    let all = seen.of_layer(layer);
    let first = all.first().ok_or_else(|| no_entry(layer))?;
    if first.is_bootable() {
        return Ok(first);
    }
    let missing = first.missing.first().map_or("its menu entry", BootPath::as_str);
    let why = format!("its entry cannot be started: {missing} is not there");
    Err(Error::new(ErrorKind::NotFound, why).at(layer).kept("nothing was changed"))
}

/// The entry that a trial falls back to: one that was found good, if there is one.
fn good_entry<'s>(seen: &'s BootState, layer: &LayerName) -> Option<&'s Found> {
    let all: Vec<_> = seen.of_layer(layer).into_iter().filter(|f| f.is_bootable()).collect();
    let good = all.iter().find(|found| !found.is_unblessed());
    good.or(all.first()).copied()
}

/// The entry that the running system was started by: the one whose counter the loader has moved,
/// else the one on trial, else the first.
fn booted<'s>(
    seen: &'s BootState,
    layer: &LayerName,
    kernel: Option<&KernelVersion>,
) -> Option<&'s Found> {
    let all = seen.of_layer(layer);
    let runs = |found: &&&Found| {
        kernel.is_none_or(|kernel| found.own.as_ref().is_some_and(|own| own.kernel == *kernel))
    };
    let counted = all.iter().find(|found| {
        seen.counted.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(found.path.name()))
    });
    let tried = all.iter().filter(runs).find(|found| {
        let on_trial = |trial: &super::state::Trial| {
            trial.current && seen.entry(trial.entry).is_some_and(|e| e.path == found.path)
        };
        seen.trials.iter().any(on_trial)
    });
    counted.or(tried).or_else(|| all.iter().find(runs)).or(all.first()).copied()
}
