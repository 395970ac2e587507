//! `layer --add`: a writable snapshot of a base or a layer.
//!
//! Order: room in the boot folder is reckoned, as far as it can be; the text
//! with the volume, tagged pending, and the message for the pool; the message;
//! the device, its file system's own UUID, its own root in its fstab, its
//! kernels in the boot folder; the text without tag and message, which is the
//! commit point; its boot entries.

use std::path::PathBuf;

use super::entries::{BOOT, Start};
use super::list::latest;
use super::session::Session;
use super::thin::{NewThin, Role};
use super::transact::Pending;
use super::{Imgbase, Watch, after_commit};
use crate::boot::Boot;
use crate::dm::pool::Need;
use crate::error::{Error, ErrorKind, Result};
use crate::etc::{Carried, Wishes};
use crate::layout::{BaseName, ImageName, LayerName, Layout};
use crate::machine::LockMode;
use crate::name::{LvName, VgName};
use crate::report::LayerAdded;

/// So many layers are made by one transaction at the most: each is a commit of the pool and has an open
/// device, and others wait for the group meanwhile.
const MOST: usize = 100;

impl Imgbase<'_> {
    /// Adds a layer: a snapshot of `on`, or of the latest layer of the latest base, or of that
    /// base if it has none. The layer and the pool are active afterwards.
    ///
    /// An origin that is active is suspended (its file system frozen) for as long as the kernel
    /// takes to make the snapshot.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where the origin is not there,
    /// [`NoSpace`](ErrorKind::NoSpace) where the pool has no room for a snapshot's metadata, or the
    /// boot folder none for its kernels,
    /// [`Unsupported`](ErrorKind::Unsupported) where the group must not be changed. Everything
    /// is as before then.
    ///
    /// # Commit point
    /// The metadata commit that drops the tag `imgbased:pending` from the layer.
    pub fn add_layer(&self, on: Option<&ImageName>, watch: &mut dyn Watch) -> Result<LayerAdded> {
        let session = Session::change(self, "layer --add")?;
        let plan = Plan::make(&session.layout()?, on)?;
        self.add_one(session, plan, watch).map(|(added, _)| added)
    }

    /// Adds several layers as [`add_layer`](Self::add_layer) does, all snapshots of one origin: in one
    /// transaction of the pool, so all or none, and much faster than one after the other.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for none or more than 100, and as
    /// [`add_layer`](Self::add_layer).
    ///
    /// # Commit point
    /// The one metadata commit that drops the tag `imgbased:pending` from all of them.
    pub fn add_layers(
        &self,
        on: Option<&ImageName>,
        count: u32,
        watch: &mut dyn Watch,
    ) -> Result<Vec<LayerAdded>> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > MOST {
            let why = format!("no more than {MOST} layers are made at once");
            return Err(Error::new(ErrorKind::Invalid, why).kept("nothing was changed"));
        }
        let session = Session::change(self, "layer --add")?;
        let layout = session.layout()?;
        let plan = Plan::make(&layout, on)?;
        let next = layout.next_layers(plan.origin.base());
        let layers: Vec<LayerName> = next.take(count).collect();
        if layers.len() < count {
            let why = format!("no {count} layer indices are left");
            return Err(Error::new(ErrorKind::Unsupported, why).at(plan.origin.base()));
        }
        self.add_planned(session, Plan { layers, ..plan }, watch).map(|(added, _)| added)
    }

    /// Resets a layer to what its image was: adds a layer as [`add_layer`](Self::add_layer) does on
    /// its base, which has nothing of the layer's state and the kernel arguments that its own tree
    /// names. The layer itself stays as it is, and so does what boots next.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no such layer, or its base is gone; and as
    /// [`add_layer`](Self::add_layer).
    ///
    /// # Commit point
    /// As there.
    pub fn reset_layer(&self, layer: &LayerName, watch: &mut dyn Watch) -> Result<LayerAdded> {
        let session = Session::change(self, "layer --reset")?;
        let plan = Plan::reset(&session.layout()?, layer)?;
        self.add_one(session, plan, watch).map(|(added, _)| added)
    }

    /// Adds the first layer of a base that is filled and not finished, and carries over the state of
    /// the layer `from`; that and its base are active afterwards, also where it fails.
    ///
    /// # Commit point
    /// The metadata commit that drops the tag `imgbased:pending` from base and layer.
    pub(super) fn add_layer_after(
        &self,
        base: &BaseName,
        from: OldLayer<'_>,
        watch: &mut dyn Watch,
    ) -> Result<(LayerAdded, Carried)> {
        let session = Session::change(self, "update")?;
        let plan = Plan::after(&session.layout()?, base, from)?;
        self.add_one(session, plan, watch)
    }

    /// Adds the first layer of a base that is a snapshot of an installed system's volume, and not
    /// finished.
    ///
    /// # Commit point
    /// The metadata commit that drops the tag `imgbased:pending` from base and layer, and tags that
    /// volume.
    pub(super) fn add_layer_of(
        &self,
        base: &BaseName,
        system: System,
        watch: &mut dyn Watch,
    ) -> Result<LayerAdded> {
        let session = Session::change(self, "layout --init")?;
        let layout = session.layout()?;
        let origin = pending_base(&layout, base)?;
        let layers = vec![layout.next_layer(base)?];
        let plan = Plan { layers, origin, whose: Whose::System(system) };
        self.add_one(session, plan, watch).map(|(added, _)| added)
    }

    fn add_one(
        &self,
        session: Session<'_>,
        plan: Plan<'_>,
        watch: &mut dyn Watch,
    ) -> Result<(LayerAdded, Carried)> {
        let (added, carried) = self.add_planned(session, plan, watch)?;
        let none = || Error::new(ErrorKind::Invalid, "no layer was asked for");
        added.into_iter().next().map(|added| (added, carried)).ok_or_else(none)
    }

    fn add_planned(
        &self,
        mut session: Session<'_>,
        plan: Plan<'_>,
        watch: &mut dyn Watch,
    ) -> Result<(Vec<LayerAdded>, Carried)> {
        let Some((first, others)) = plan.layers.split_first() else {
            return Err(Error::new(ErrorKind::Invalid, "no layer was asked for"));
        };
        let boot = session.boot()?;
        let pool = session.pool_on()?;
        session.check_room(&pool, Need::of_snapshots(plan.layers.len(), session.chunk()?))?;
        if let (Some(boot), Whose::Origin | Whose::Anew) = (&boot, &plan.whose) {
            let origin = plan.origin.lv_name();
            session.check_boot_room(boot, (&origin, &plan.boot_dir()), &pool)?;
        }
        if let Some(from) = plan.from() {
            let volumes = from.volumes();
            let config = session.hooks_volume(from.wishes);
            session.activate(&volumes.iter().chain(config).collect::<Vec<_>>())?;
        }
        // Nobody removes the kernels that are stored before the entry that is to name them.
        let _stored = match boot {
            Some(_) => self.machine.lvm2.lock_boot(LockMode::Shared)?,
            None => None,
        };
        go_on(watch)?;
        session.begin_thins(&plan.thins(), &pool)?;
        let (session, made) = match (&boot, &plan.whose) {
            (None, Whose::Origin | Whose::Anew) => at_once(session, &plan.volumes(), watch)?,
            (boot, _) => with_kernels(session, &plan, boot.as_ref(), watch)?,
        };
        let what = match others.last() {
            Some(last) => format!("{first} to {last} exist"),
            None => format!("{first} exists"),
        };
        watch.committed(&format!("{what} (seqno {})", session.vg().seqno));
        after_commit(watch, session.settle());
        let mut added = Vec::new();
        for (layer, fs_uuid) in plan.layers.into_iter().zip(made.fs_uuids) {
            let bootable = session.publish(&layer, boot.as_ref(), made.start.as_ref(), watch);
            let (origin, vg_seqno) = (plan.origin.clone(), session.vg().seqno);
            added.push(LayerAdded { nvr: layer, origin, fs_uuid, bootable, vg_seqno });
        }
        Ok((added, made.carried))
    }
}

/// What became of the snapshots before they were layers.
struct Made {
    /// Of each.
    fs_uuids: Vec<Option<String>>,
    start: Option<Start>,
    carried: Carried,
}

/// Makes layers of the snapshots. The kernel waits long in the new devices' table loads; all of the
/// last commit but its last step is done meanwhile.
fn at_once<'m>(
    mut session: Session<'m>,
    lvs: &[LvName],
    watch: &dyn Watch,
) -> Result<(Session<'m>, Made)> {
    let mut fs_uuids = Vec::new();
    let finished = session.finish_thins(&all(lvs, Role::Layer), &mut |session| {
        session.activate(&lvs.iter().collect::<Vec<_>>())?;
        log::trace!("{} are active", lvs.len());
        go_on(watch)?;
        let devices = lvs.iter().map(|lv| session.open_volume(lv)).collect::<Result<Vec<_>>>()?;
        let devices = devices.iter().map(AsRef::as_ref);
        fs_uuids = session.make_own(&lvs.iter().zip(devices).collect::<Vec<_>>(), true)?;
        Ok(())
    });
    match finished {
        Ok(()) => Ok((session, Made { fs_uuids, start: None, carried: Carried::default() })),
        Err(error) => Err(session.undo_thins(lvs, error)),
    }
}

fn all(lvs: &[LvName], role: Role) -> Vec<(&LvName, Role)> {
    lvs.iter().map(|lv| (lv, role)).collect()
}

/// The same, and stores their kernels before they exist; the group is not locked meanwhile.
fn with_kernels<'m>(
    session: Session<'m>,
    plan: &Plan<'_>,
    boot: Option<&Boot<'m>>,
    watch: &mut dyn Watch,
) -> Result<(Session<'m>, Made)> {
    let lvs = plan.volumes();
    let mut others = lvs.clone();
    let lv = others.remove(0);
    let pending = session.into_pending_beside(lv, others)?;
    let made = match fit_out(&pending, plan, boot, watch) {
        Ok(made) => made,
        Err(error) => return Err(pending.undo(error)),
    };
    let mut session = pending.relock()?;
    let base = plan.origin.lv_name();
    let mut volumes = all(&lvs, Role::Layer);
    if let Whose::Layer(_) | Whose::System(_) = &plan.whose {
        volumes.push((&base, Role::Base));
    }
    let finished = match &plan.whose {
        Whose::System(system) => session.finish_adopted(&volumes, &system.lv),
        _ => session.finish_filled(&volumes),
    };
    match finished {
        Ok(()) => Ok((session, made)),
        Err(error) => Err(session.undo_thins(&lvs, error)),
    }
}

/// All that a layer is to have before it exists.
fn fit_out(
    pending: &Pending<'_>,
    plan: &Plan<'_>,
    boot: Option<&Boot<'_>>,
    watch: &mut dyn Watch,
) -> Result<Made> {
    // What is carried over is the fstab too.
    let fs_uuids = pending.make_own(plan.from().is_none())?;
    let mut carried = Carried::default();
    if let Some(from) = plan.from() {
        watch.step(&format!("carry over the state of {}", from.name));
        carried = pending.carry_over(&from.volumes(), from.wishes)?;
        go_on(watch)?;
        if carried.to_label.is_some() {
            watch.step("label what came along");
            pending.label(&mut carried, &|| watch.cancelled())?;
            go_on(watch)?;
        }
        if !from.wishes.hooks.is_empty() {
            watch.step("run hooks");
            pending.run_hooks(&from.name.lv_name(), from.wishes, &|| watch.cancelled())?;
        }
    }
    go_on(watch)?;
    let start = match (boot, fs_uuids.first()) {
        (Some(boot), Some(Some(_))) => {
            watch.step("store its kernels");
            pending
                .store_kernels(plan.model().as_ref(), boot, &plan.boot_dir())?
                .map(|start| plan.without_system(start))
        }
        // Whatever is on it, no tree can be looked into.
        _ => None,
    };
    go_on(watch)?;
    Ok(Made { fs_uuids, start, carried })
}

/// Fails once nobody wants it any more.
fn go_on(watch: &dyn Watch) -> Result<()> {
    if !watch.cancelled() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Interrupted, "it was stopped before the layer existed"))
}

/// A layer whose state is carried over, and how.
#[derive(Clone, Copy)]
pub(super) struct OldLayer<'o> {
    pub(super) name: &'o LayerName,
    pub(super) wishes: &'o Wishes,
}

impl OldLayer<'_> {
    /// Its volume, and that of its base, which comes first.
    fn volumes(self) -> [LvName; 2] {
        [self.name.base().lv_name(), self.name.lv_name()]
    }
}

/// An installed system that is adopted.
pub(super) struct System {
    /// Its group.
    pub(super) vg: VgName,
    /// Its volume.
    pub(super) lv: LvName,
    /// Where that is mounted.
    pub(super) dir: Option<PathBuf>,
}

/// Whose state a layer is to have.
enum Whose<'p> {
    /// Its origin's.
    Origin,
    /// Its origin's, and no kernel arguments are inherited.
    Anew,
    /// That layer's; the origin is then a base that becomes one with the layer.
    Layer(OldLayer<'p>),
    /// An installed system's, of which the origin is a snapshot that becomes a base with the layer.
    System(System),
}

/// What will be made of what.
struct Plan<'p> {
    /// At least one.
    layers: Vec<LayerName>,
    origin: ImageName,
    whose: Whose<'p>,
}

impl<'p> Plan<'p> {
    fn make(layout: &Layout<'_>, on: Option<&ImageName>) -> Result<Self> {
        let origin = match on {
            Some(image) => image.clone(),
            None => default_origin(layout)?,
        };
        layout.image(&origin)?;
        if layout.base(origin.base()).is_none() {
            let why = format!("its base {} is not there", origin.base());
            return Err(Error::new(ErrorKind::NotFound, why).at(&origin));
        }
        let layers = vec![layout.next_layer(origin.base())?];
        Ok(Self { layers, origin, whose: Whose::Origin })
    }

    /// The base of a layer, as if no layer of it had ever been started.
    fn reset(layout: &Layout<'_>, layer: &LayerName) -> Result<Self> {
        layout.image(&ImageName::Layer(layer.clone()))?;
        let base = ImageName::Base(layer.base().clone());
        Ok(Self { whose: Whose::Anew, ..Self::make(layout, Some(&base))? })
    }

    /// The first layer of an unfinished base.
    fn after(layout: &Layout<'_>, base: &BaseName, from: OldLayer<'p>) -> Result<Self> {
        layout.image(&ImageName::Layer(from.name.clone()))?;
        layout.image(&ImageName::Base(from.name.base().clone()))?;
        let origin = pending_base(layout, base)?;
        let layers = vec![layout.next_layer(base)?];
        Ok(Self { layers, origin, whose: Whose::Layer(from) })
    }

    /// The layer whose state is carried over.
    fn from(&self) -> Option<OldLayer<'p>> {
        match &self.whose {
            Whose::Layer(from) => Some(*from),
            _ => None,
        }
    }

    /// Whose kernel arguments it inherits.
    fn model(&self) -> Option<ImageName> {
        match &self.whose {
            Whose::Anew => None,
            Whose::Layer(from) => Some(ImageName::Layer(from.name.clone())),
            _ => Some(self.origin.clone()),
        }
    }

    /// Where its kernels are mounted, if they are on a file system of their own.
    fn boot_dir(&self) -> PathBuf {
        match &self.whose {
            Whose::System(System { dir: Some(dir), .. }) => dir.join(BOOT.trim_start_matches('/')),
            _ => PathBuf::from(BOOT),
        }
    }

    /// Takes the adopted volume out of the arguments: an initramfs would wait for it for ever once
    /// it is gone.
    fn without_system(&self, mut start: Start) -> Start {
        if let Whose::System(System { vg, lv, .. }) = &self.whose {
            start.args.remove(&format!("rd.lvm.lv={vg}/{lv}"));
        }
        start
    }

    fn volumes(&self) -> Vec<LvName> {
        self.layers.iter().map(LayerName::lv_name).collect()
    }

    fn thins(&self) -> Vec<NewThin> {
        let from = self.from().map(|from| from.name.lv_name());
        let origin = self.origin.lv_name();
        let thin = |lv| NewThin {
            from: from.clone(),
            ..NewThin::snapshot(lv, Role::Layer, origin.clone())
        };
        self.volumes().into_iter().map(thin).collect()
    }
}

/// A base that is there and not finished.
fn pending_base(layout: &Layout<'_>, base: &BaseName) -> Result<ImageName> {
    let (origin, lv) = (ImageName::Base(base.clone()), base.lv_name());
    if layout.pending.iter().any(|pending| pending.name == lv) {
        return Ok(origin);
    }
    let why = "somebody has taken it away meanwhile";
    Err(Error::new(ErrorKind::NotFound, why).at(&origin))
}

/// The latest layer of the latest base, or that base if it has none.
fn default_origin(layout: &Layout<'_>) -> Result<ImageName> {
    let base = latest(layout)?;
    let layer = base.layers.iter().max_by_key(|layer| layer.name.index());
    Ok(match layer {
        Some(layer) => ImageName::Layer(layer.name.clone()),
        None => ImageName::Base(base.base.name.clone()),
    })
}
