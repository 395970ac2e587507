//! `update`: a new image becomes a base and a layer that takes over the state of the one before,
//! and boots next.
//!
//! All work is done on the new layer before it exists; the layer that runs is only read. One commit
//! makes base and layer exist: what fails or is interrupted before it leaves neither.

use super::add_layer::OldLayer;
use super::content::Opened;
use super::entries::{OwnInitrd, check_boot_room, only_room};
use super::session::Session;
use super::{AddBase, ImageRequest, Imgbase, Watch, after_commit};
use crate::boot::BootState;
use crate::error::{Error, ErrorKind, Result};
use crate::etc::OnConflict;
use crate::ext4::Tree;
use crate::layout::{BaseName, ImageName, LayerName, digest, taken_over};
use crate::name::LvName;
use crate::report::{Collected, Updated};
use crate::units::Bytes;

/// What [`Imgbase::update`] makes.
#[derive(Clone, Debug)]
pub struct Update {
    /// The new base's name.
    pub nvr: BaseName,
    /// Its image.
    pub image: ImageRequest,
    /// Its virtual size; `None`: the file system's.
    pub size: Option<Bytes>,
    /// Whether the new base may share chunks with an older one: see [`AddBase::share`].
    pub share: bool,
    /// So many bases of each name are left in the end, where that is said: see
    /// [`Imgbase::collect`].
    pub keep: Option<u32>,
    /// What becomes of what was changed here and in the image, where both do not fit.
    pub on_conflict: OnConflict,
    /// Make it also while the running layer is [on trial](Imgbase::is_on_trial).
    pub force: bool,
}

impl Imgbase<'_> {
    /// Makes a base of an image and a layer of it, carries over what was changed in `/etc`,
    /// `/root` and what the host lists (see [`Wishes`](crate::etc::Wishes)) of the running layer
    /// (else the default, else the latest) since its own base, and lets the new layer boot next, on
    /// trial.
    ///
    /// # Errors
    /// Those of [`add_base`](Self::add_base) and [`add_layer`](Self::add_layer);
    /// [`NotFound`](ErrorKind::NotFound) where there is no layer to take over from;
    /// [`Busy`](ErrorKind::Busy) while the running layer is on trial; [`Exists`](ErrorKind::Exists)
    /// for conflicts, where none are to be. Nothing of the
    /// update is left then, or the error says what is.
    ///
    /// # Commit point
    /// Base and layer exist with the commit that drops the tag `imgbased:pending` from both; the
    /// layer boots next with what [`set_default_layer`](Self::set_default_layer) says. What fails
    /// after they exist is told as a warning. The same call again, until the layer was started, does
    /// what is left, after a crash too.
    pub fn update(&self, request: &Update, watch: &mut dyn Watch) -> Result<Updated> {
        if let Some(left) = self.left_undone(request)? {
            return self.finish_update(left, request.keep, watch);
        }
        let (from, awake) = self.update_from()?;
        let mut wishes = self.wishes(&from).map_err(|error| error.kept("nothing was changed"))?;
        wishes.on_conflict = request.on_conflict;
        watch.step("look at the image");
        let mut opened = Opened::open(&self.machine, &request.image, watch)?;
        self.check_boot_room(&opened)?;
        let mut content = opened.content(&self.machine)?;
        let add = AddBase {
            nvr: request.nvr.clone(),
            image: request.image.clone(),
            size: request.size,
            share: request.share,
        };
        let filled = self.fill_base(&mut content, &add, watch)?;
        let old = OldLayer { name: &from, wishes: &wishes };
        let made = self.add_layer_after(&filled.nvr, old, watch);
        let sources = [ImageName::Base(from.base().clone()), ImageName::Layer(from.clone())];
        let mut woken: Vec<ImageName> =
            sources.into_iter().filter(|image| !awake.contains(&image.lv_name())).collect();
        let (base, written) = (filled.nvr.clone(), filled.written);
        let shares_with = filled.shares_with.clone();
        let made = match made {
            Ok(made) => {
                // Its device was open until now.
                drop(filled);
                woken.push(ImageName::Base(base.clone()));
                Ok(made)
            }
            Err(error) => Err(filled.undo(error)),
        };
        let rested = if woken.is_empty() { Ok(()) } else { self.deactivate(&woken).map(drop) };
        let rested = rested.and_then(|()| self.rest_config(&wishes, &awake));
        let (layer, carried) = made?;
        after_commit(watch, rested);
        for conflict in &carried.conflicts {
            watch.warn(&conflict.to_string());
        }
        for skipped in &carried.skipped {
            watch.warn(&skipped.to_string());
        }
        let updated = Updated {
            base,
            layer: layer.nvr,
            from,
            written_bytes: written.get(),
            shares_with,
            bootable: layer.bootable,
            default: false,
            tries: None,
            fallback: None,
            carried: Some(carried),
            collected: Collected::default(),
            vg_seqno: layer.vg_seqno,
        };
        Ok(self.boot_next(updated, request.keep, watch))
    }

    /// Lets the layer of an update boot next, where it can, and removes old bases: what follows the
    /// commit.
    fn boot_next(&self, made: Updated, keep: Option<u32>, watch: &mut dyn Watch) -> Updated {
        let chosen = if made.bootable {
            self.set_default_layer(&made.layer, None).map(Some)
        } else {
            Ok(None)
        };
        let chosen = chosen.unwrap_or_else(|error| {
            let way = format!("try again with 'imgbase boot --set-default {}'", made.layer);
            watch.warn(&format!("{} does not boot next: {error}; {way}", made.layer));
            None
        });
        let collected = self.collect_after(keep, watch);
        let tries = chosen.as_ref().and_then(|chosen| chosen.tries);
        let (default, fallback) = (chosen.is_some(), chosen.and_then(|chosen| chosen.fallback));
        Updated { default, tries, fallback, collected, ..made }
    }

    /// The layer that the same update has made, which was not started yet, and whose state it has.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) while the running layer is on trial, unless that is forced;
    /// [`Exists`](ErrorKind::Exists) where the base is there and nothing of the kind.
    fn left_undone(&self, request: &Update) -> Result<Option<(LayerName, LayerName)>> {
        let session = Session::read(self)?;
        if !request.force {
            session.refuse_on_trial()?;
        }
        let layout = session.layout()?;
        let Some(base) = layout.base(&request.nvr) else { return Ok(None) };
        let layers = &base.layers;
        let found = layers.iter().find_map(|layer| {
            let from = taken_over(session.vg(), layer.lv)?.name.as_str().parse().ok()?;
            Some((layer.name.clone(), from))
        });
        let wanted = request.image.digest.filter(|_| digest(base.base.lv).is_some());
        let is_same = wanted.is_none() || wanted == digest(base.base.lv);
        let state = session.boot_state()?;
        let running = session.running()?;
        let is_new = |state: BootState| match &found {
            Some((layer, _)) => running.as_ref() != Some(layer) && state.is_untried(layer),
            None => false,
        };
        if is_same && state.is_some_and(is_new) {
            return Ok(found);
        }
        let why = match layers.iter().max_by_key(|layer| layer.name.index()) {
            Some(layer) => format!(
                "it is there already: 'imgbase boot --set-default {}' lets its layer boot",
                layer.name
            ),
            None => "it is there already: 'imgbase layer --add' makes a layer of it".to_owned(),
        };
        Err(Error::new(ErrorKind::Exists, why).at(&request.nvr).kept("nothing was changed"))
    }

    /// Does what is left of an update whose layer exists.
    fn finish_update(
        &self,
        (layer, from): (LayerName, LayerName),
        keep: Option<u32>,
        watch: &mut dyn Watch,
    ) -> Result<Updated> {
        watch.warn(&format!("{layer} was made by this update before: what was left of it is done"));
        let set_up = self.set_up_boot(Some(&layer), OwnInitrd::WhereNone, watch)?;
        let updated = Updated {
            base: layer.base().clone(),
            bootable: set_up.unbootable.is_empty(),
            layer,
            from,
            written_bytes: 0,
            shares_with: None,
            default: false,
            tries: None,
            fallback: None,
            carried: None,
            collected: Collected::default(),
            vg_seqno: Session::read(self)?.vg().seqno,
        };
        Ok(self.boot_next(updated, keep, watch))
    }

    /// Fails where the boot folder has no room for the image's kernels, before anything is made; where
    /// the image is no ext4 that can be read as it lies there, that is told once it is copied.
    fn check_boot_room(&self, image: &Opened<'_>) -> Result<()> {
        let Opened::File(file) = image else { return Ok(()) };
        let Some(boot) = Session::read(self)?.boot()? else { return Ok(()) };
        let tree = Tree::open(file.dev.as_ref());
        only_room(tree.and_then(|tree| check_boot_room(&boot, &tree)))
    }

    /// Old bases go once the new one is there; what fails is told and no more.
    fn collect_after(&self, keep: Option<u32>, watch: &mut dyn Watch) -> Collected {
        let Some(keep) = keep else { return Collected::default() };
        watch.step("remove old bases");
        self.collect(keep, true, watch).unwrap_or_else(|error| {
            watch.warn(&format!("{error}; try again with 'imgbase gc --keep {keep}'"));
            Collected::default()
        })
    }

    /// The layer whose state is carried over, and what is active by now.
    pub(super) fn update_from(&self) -> Result<(LayerName, Vec<LvName>)> {
        let session = Session::for_devices(self)?;
        let active = session.active()?.into_iter().collect();
        let default = session.boot_state()?.and_then(|state| state.default_layer().cloned());
        let is_there = |layer: &LayerName| {
            session.layout().is_ok_and(|layout| layout.layers().any(|there| there.name == *layer))
        };
        if let Some(layer) = session.running()?.or(default).filter(is_there) {
            return Ok((layer, active));
        }
        drop(session);
        let latest = self.latest_layer().map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let why = "there is no layer whose state could be carried over: make the first one \
                           with 'base --add' and 'layer --add'";
                Error::new(ErrorKind::NotFound, why).kept("nothing was changed")
            }
            _ => error,
        })?;
        Ok((latest, active))
    }
}
