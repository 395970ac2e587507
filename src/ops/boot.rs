//! `boot` and `rollback`: which layer is started next, and with what.
//!
//! The group is locked for each of them, so that no layer goes away meanwhile; its metadata is not
//! written. Each commits with one step in the loader's folder.

use std::path::Path;

use super::entries::{BOOT, OwnInitrd};
use super::session::Session;
use super::{Imgbase, Watch};
use crate::boot::args::Args;
use crate::boot::state::Found;
use crate::boot::{Boot, BootState, Tries};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{ImageName, LayerName, Layout};
use crate::machine::BootAt;
use crate::name::LvName;
use crate::order::{self, Gather};
use crate::report::{
    ArgsReport, Blessed, BootChoice, BootReport, BootSetUp, EntryReport, TrialReport,
};

impl Imgbase<'_> {
    /// All boot entries, ours and others', in the loader's order.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no loader; what reading its folder gives.
    pub fn boot_entries(&self) -> Result<BootReport> {
        let session = Session::read(self)?;
        let boot = session.need_boot()?;
        let (state, current) = (boot.state()?, session.running()?);
        Ok(BootReport {
            loader: boot.kind().word().to_owned(),
            folder: session.boot_at()?.place.boot.name().to_owned(),
            entries: (0..)
                .zip(&state.entries)
                .map(|(n, entry)| told(&state, n, entry, &current))
                .collect(),
            default: state.default_layer().cloned(),
            once: state.once_layer().cloned(),
            trial: trial(&state),
            verdict: super::check::verdict(&state, current.as_ref()).map(|(_, text)| text),
            problems: state.problems.iter().map(ToString::to_string).collect(),
        })
    }

    /// The layer that boots next, leaving aside one that is to boot once.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no loader, or the default is no layer of
    /// this group.
    pub fn default_layer(&self) -> Result<LayerName> {
        let session = Session::read(self)?;
        let state = session.need_boot()?.state()?;
        state.default_layer().cloned().ok_or_else(|| {
            let why = format!("what boots next is no layer of {}", session.vg().name);
            Error::new(ErrorKind::NotFound, why)
        })
    }

    /// Makes a layer the default. One that was never found good is on trial: it is started so many
    /// times, and if nobody blesses it the layer before it boots again. `tries` says how often,
    /// also for one that was found good.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no such layer or no loader, or it cannot be
    /// started; [`Unsupported`](ErrorKind::Unsupported) where the loader cannot be told;
    /// [`Io`](ErrorKind::Io).
    ///
    /// # Commit point
    /// One change in the loader's folder: see [`crate::boot::loader::Loader::choose`].
    pub fn set_default_layer(&self, layer: &LayerName, tries: Option<Tries>) -> Result<BootChoice> {
        let session = Session::for_devices(self)?;
        let seen = session.look_at_boot()?;
        session.choose(&seen, layer, tries)
    }

    /// Lets a layer boot once; `None`: nothing is to boot once any more.
    ///
    /// # Errors
    /// As [`set_default_layer`](Self::set_default_layer).
    ///
    /// # Commit point
    /// The change of the loader's variable.
    pub fn boot_once(&self, layer: Option<&LayerName>) -> Result<()> {
        let session = Session::for_devices(self)?;
        if let Some(layer) = layer {
            session.layout()?.image(&ImageName::Layer(layer.clone()))?;
        }
        session.need_boot()?.set_once(layer)
    }

    /// Makes the layer that was made before the running one (before the default, on a host that
    /// does not run from a layer) the default, or the one that is named. Never the newest from the
    /// oldest.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is none before it, and as
    /// [`set_default_layer`](Self::set_default_layer).
    ///
    /// # Commit point
    /// As there.
    pub fn roll_back(&self, to: Option<&LayerName>) -> Result<BootChoice> {
        let session = Session::for_devices(self)?;
        let seen = session.look_at_boot()?;
        let target = match to {
            Some(layer) => layer.clone(),
            None => session.before_current(&seen)?,
        };
        session.choose(&seen, &target, None)
    }

    /// Finds the running layer good: it is no longer on trial, and starts without what it had
    /// beside until then. Tells [late edits](Self::late_edits) too, as far as it can.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where this host runs from no layer, there is no loader, or
    /// the layer has no entry; [`Io`](ErrorKind::Io).
    ///
    /// # Commit point
    /// See [`crate::boot::loader::Loader::bless`].
    pub fn bless(&self) -> Result<Blessed> {
        let session = Session::for_devices(self)?;
        let layer = session.running()?.ok_or_else(not_from_a_layer)?;
        let release = session.boot_at()?.release.and_then(|release| release.parse().ok());
        let changed = session.need_boot()?.bless(&layer, release.as_ref())?;
        let late = session.late_edits().unwrap_or_else(|error| {
            log::warn!("what was changed late where {layer} came from is not known: {error}");
            None
        });
        Ok(Blessed { nvr: layer, changed, late })
    }

    /// True where the running layer was not found good yet, and fails over to another.
    ///
    /// # Errors
    /// As [`bless`](Self::bless), but for a layer without an entry: it is on no trial.
    pub fn is_on_trial(&self) -> Result<bool> {
        let session = Session::read(self)?;
        let layer = session.running()?.ok_or_else(not_from_a_layer)?;
        Ok(is_on_trial(&session.need_boot()?.state()?, &layer))
    }

    /// A layer's own kernel arguments, as its entries have them.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no such layer or entry, or no loader.
    pub fn kernel_arguments(&self, layer: &LayerName) -> Result<ArgsReport> {
        let session = Session::read(self)?;
        session.layout()?.image(&ImageName::Layer(layer.clone()))?;
        let args = session.need_boot()?.args(layer)?;
        Ok(ArgsReport { nvr: layer.clone(), args: args.to_string(), changed: false })
    }

    /// Adds arguments to a layer's entries and removes others: `quiet`, `console=ttyS0`; a name
    /// alone removes it with any value.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for what is no word of a kernel's command line, or would
    /// name another root; and as [`kernel_arguments`](Self::kernel_arguments).
    ///
    /// # Commit point
    /// See [`crate::boot::loader::Loader::change`]: each kernel's entry has its own.
    pub fn edit_kernel_arguments(
        &self,
        layer: &LayerName,
        add: &[String],
        remove: &[String],
    ) -> Result<ArgsReport> {
        let session = Session::for_devices(self)?;
        session.layout()?.image(&ImageName::Layer(layer.clone()))?;
        let boot = session.need_boot()?;
        add.iter().chain(remove).try_for_each(|word| refuse_ours(word))?;
        let changed = boot.edit_args(layer, &|args: &mut Args| {
            for word in remove {
                args.remove(word);
            }
            // One that is there already is not added again: the call can be repeated.
            let new: Vec<&String> =
                add.iter().filter(|word| args.words().all(|old| old != word.as_str())).collect();
            new.into_iter().try_for_each(|word| args.add(word))
        })?;
        let args = boot.args(layer)?;
        Ok(ArgsReport { nvr: layer.clone(), args: args.to_string(), changed })
    }

    /// Makes the entries of a layer, or of all layers, anew from their trees: new kernels get
    /// entries, and what no entry names any more is removed. The default stays what it is. `own`
    /// says which kernels start by an initramfs of ours.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no such layer or no loader;
    /// [`NoSpace`](ErrorKind::NoSpace); [`Unsupported`](ErrorKind::Unsupported) where an initramfs
    /// is wanted and cannot be made; [`Io`](ErrorKind::Io). Entries made by then stay.
    ///
    /// # Commit point
    /// Each entry has its own: see [`crate::boot::loader::Loader::add`].
    pub fn set_up_boot(
        &self,
        layer: Option<&LayerName>,
        own: OwnInitrd,
        watch: &mut dyn Watch,
    ) -> Result<BootSetUp> {
        let mut session = Session::for_devices(self)?;
        let (boot, _alone) = session.boot_alone()?.ok_or_else(no_loader)?;
        let layers = match layer {
            Some(layer) => {
                session.layout()?.image(&ImageName::Layer(layer.clone()))?;
                vec![layer.clone()]
            }
            None => session.layout()?.layers().map(|layer| layer.name.clone()).collect(),
        };
        let before = session.active()?;
        session.pool_on()?;
        let mut report = BootSetUp::default();
        let done = layers.iter().try_for_each(|layer| {
            watch.step(&format!("look at the kernels of {layer}"));
            session.set_up(&boot, (layer, own), &mut report, watch)
        });
        let made: Vec<LvName> = layers.iter().map(LayerName::lv_name).collect();
        let made: Vec<&LvName> = made.iter().filter(|lv| !before.contains(*lv)).collect();
        let closed = session.deactivate(&made).and_then(|()| session.pool_as_before());
        done.and(closed)?;
        let left = boot.clean(&session.layer_names()?)?;
        report.cleaned = left.iter().map(ToString::to_string).collect();
        session.settle()?;
        Ok(report)
    }
}

/// What is known before a default is chosen.
struct BootSeen<'m> {
    boot: Boot<'m>,
    state: BootState,
    running: Option<LayerName>,
}

impl<'m> Session<'m> {
    fn look_at_boot(&self) -> Result<BootSeen<'m>> {
        let boot = self.need_boot()?;
        let (state, running) = (boot.state()?, self.running()?);
        Ok(BootSeen { boot, state, running })
    }

    fn boot_at(&self) -> Result<BootAt<'m>> {
        self.machine().boot.ok_or_else(no_loader)
    }

    fn need_boot(&self) -> Result<Boot<'m>> {
        self.boot()?.ok_or_else(no_loader)
    }

    /// The layer that this host runs from.
    pub(super) fn running(&self) -> Result<Option<LayerName>> {
        let Some(current) = self.current()? else { return Ok(None) };
        let layout = self.layout()?;
        let layer = layout.layers().find(|layer| layer.lv.name == current);
        Ok(layer.map(|layer| layer.name.clone()))
    }

    /// Fails while the running layer is on trial: what it may fall back to, and from, is to stay as
    /// it is until it was found good.
    pub(super) fn refuse_on_trial(&self) -> Result<()> {
        let (Some(layer), Some(state)) = (self.running()?, self.boot_state()?) else {
            return Ok(());
        };
        if !is_on_trial(&state, &layer) {
            return Ok(());
        }
        let why = "the running layer was not found good yet: run 'imgbase boot --bless' first, or \
                   give --force";
        Err(Error::new(ErrorKind::Busy, why).at(layer).kept("nothing was changed"))
    }

    /// The names of all layers, unfinished ones too.
    pub(super) fn layer_names(&self) -> Result<std::collections::BTreeSet<LayerName>> {
        let names = self.vg().lvs.iter().filter_map(|lv| lv.name.as_str().parse().ok());
        Ok(names.gather())
    }

    /// Makes a layer the default, from what was just read of the boot folder.
    fn choose(
        &self,
        BootSeen { boot, state, running }: &BootSeen<'_>,
        layer: &LayerName,
        tries: Option<Tries>,
    ) -> Result<BootChoice> {
        self.layout()?.image(&ImageName::Layer(layer.clone()))?;
        let at = self.boot_at()?;
        let tries = tries.or_else(|| (!state.is_blessed(layer)).then_some(at.tries));
        let same = state.default_layer() == Some(layer) && state.once.is_none();
        if same && (tries.is_none() || state.on_trial().is_some()) {
            return Ok(BootChoice {
                nvr: layer.clone(),
                fallback: None,
                tries: None,
                changed: false,
            });
        }
        let chosen = boot.set_default_in(state, layer, tries, running.as_ref())?;
        let tries = tries.filter(|_| chosen.fallback.is_some()).map(Tries::get);
        Ok(BootChoice { nvr: layer.clone(), fallback: chosen.fallback, tries, changed: true })
    }

    /// The layer that was made before the current one.
    fn before_current(&self, seen: &BootSeen<'_>) -> Result<LayerName> {
        let layout = self.layout()?;
        let current = seen.running.as_ref().or_else(|| seen.state.default_layer());
        let current = current.ok_or_else(|| {
            let why =
                "this host does not run from a layer, and none is the default: name one (--to)";
            Error::new(ErrorKind::NotFound, why)
        })?;
        let timeline = timeline(&layout);
        let place = timeline.iter().position(|layer| layer == current);
        let before = place.and_then(|place| place.checked_sub(1)).and_then(|n| timeline.get(n));
        before.cloned().ok_or_else(|| {
            let error = Error::new(ErrorKind::NotFound, "no layer was made before it").at(current);
            error.op("roll back").kept("nothing was changed")
        })
    }

    fn set_up(
        &self,
        boot: &Boot<'_>,
        (layer, own): (&LayerName, OwnInitrd),
        report: &mut BootSetUp,
        watch: &mut dyn Watch,
    ) -> Result<()> {
        let lv = layer.lv_name();
        self.activate(&[&lv])?;
        self.settle()?;
        let args = match boot.args(layer) {
            Ok(args) => Some(args),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.inherited_args(boot, &ImageName::Layer(layer.clone()))?
            }
            Err(error) => return Err(error),
        };
        match self.store_kernels(boot, (&lv, Path::new(BOOT)), args, own)? {
            Some(start) if self.put_entries(boot, layer, &start)? => {
                report.changed.push(layer.clone())
            }
            Some(_) => report.unchanged.push(layer.clone()),
            None => {
                watch.warn(&format!("{layer} has no boot entry: its tree holds no kernel"));
                report.unbootable.push(layer.clone());
            }
        }
        Ok(())
    }
}

/// True where a layer that runs was not found good yet, and fails over to another.
fn is_on_trial(state: &BootState, layer: &LayerName) -> bool {
    let place = state.on_trial().map(|trial| trial.entry);
    let on_trial = place.and_then(|place| state.entry(place)).and_then(Found::layer);
    // Where it is the default by itself, nothing else would be started.
    let comes_back = state.default_layer() == Some(layer);
    let waits = state.is_bootable(layer) && !state.is_blessed(layer);
    on_trial == Some(layer) || (waits && !comes_back)
}

/// All layers in the order in which they were made.
fn timeline(layout: &Layout<'_>) -> Vec<LayerName> {
    let mut layers: Vec<_> = layout.layers().collect();
    order::sort_by_key(&mut layers, |layer| layer.thin.device_id);
    layers.into_iter().map(|layer| layer.name.clone()).collect()
}

/// Arguments that lead to the layer's own volume.
const OURS: [&str; 2] = ["root", "img.bootid"];

fn refuse_ours(word: &str) -> Result<()> {
    let name = word.split('=').next().unwrap_or_default();
    if !OURS.contains(&name) {
        return Ok(());
    }
    let why = format!("'{name}' leads to the layer's own volume, and is not to be changed");
    Err(Error::new(ErrorKind::Invalid, why).kept("nothing was changed"))
}

fn no_loader() -> Error {
    let why =
        "no boot loader was found: name its folder with --boot-dir, or the loader with --loader";
    Error::new(ErrorKind::NotFound, why).kept("nothing was changed")
}

fn not_from_a_layer() -> Error {
    Error::new(ErrorKind::NotFound, "this host does not run from a layer").at("/")
}

fn told(
    state: &BootState,
    place: usize,
    found: &Found,
    current: &Option<LayerName>,
) -> EntryReport {
    let layer = found.layer().cloned();
    let own = found.own.as_ref();
    EntryReport {
        id: found.id.clone(),
        title: found.title.clone(),
        file: found.path.to_string(),
        kernel: own.map(|own| own.kernel.as_str().to_owned()),
        default: state.default == Some(place),
        once: state.once.as_ref().is_some_and(|once| once.entry == Some(place)),
        current: layer.is_some() && layer == *current,
        blessed: own.is_some() && !found.is_unblessed(),
        bootable: found.is_bootable(),
        tries_left: found.counter.map(|counter| counter.left),
        args: found.entry.args().to_string(),
        nvr: layer,
    }
}

fn trial(state: &BootState) -> Option<TrialReport> {
    let trial = state.on_trial()?;
    let layer = |place: usize| state.entry(place).and_then(Found::layer).cloned();
    Some(TrialReport {
        nvr: layer(trial.entry)?,
        fallback: trial.fallback.and_then(layer),
        tries_left: trial.left,
        tries_done: trial.done,
    })
}
