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
use super::{Imgbase, Watch, after_commit, filesystem};
use crate::boot::Boot;
use crate::error::{Error, ErrorKind, Result};
use crate::etc::{Carried, Wishes};
use crate::layout::{BaseName, ImageName, LayerName, Layout};
use crate::machine::LockMode;
use crate::name::{LvName, VgName};
use crate::report::LayerAdded;
use crate::units::Bytes;

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
        self.add_planned(session, plan, watch).map(|(added, _)| added)
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
        self.add_planned(session, plan, watch).map(|(added, _)| added)
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
        self.add_planned(session, plan, watch)
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
        let layer = layout.next_layer(base)?;
        let plan = Plan { layer, origin, whose: Whose::System(system) };
        self.add_planned(session, plan, watch).map(|(added, _)| added)
    }

    fn add_planned(
        &self,
        mut session: Session<'_>,
        plan: Plan<'_>,
        watch: &mut dyn Watch,
    ) -> Result<(LayerAdded, Carried)> {
        let boot = session.boot()?;
        let pool = session.pool_on()?;
        session.check_room(&pool, Bytes::ZERO)?;
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
        let lv = plan.layer.lv_name();
        session.begin_thin(&plan.thin(), &pool)?;
        let (session, made) = match (&boot, &plan.whose) {
            (None, Whose::Origin | Whose::Anew) => at_once(session, &lv)?,
            (boot, _) => with_kernels(session, &plan, boot.as_ref(), watch)?,
        };
        watch.committed(&format!("{} exists (seqno {})", plan.layer, session.vg().seqno));
        after_commit(watch, session.settle());
        let bootable = session.publish(&plan.layer, boot.as_ref(), made.start.as_ref(), watch);
        let added = LayerAdded {
            nvr: plan.layer,
            origin: plan.origin,
            fs_uuid: made.fs_uuid,
            bootable,
            vg_seqno: session.vg().seqno,
        };
        Ok((added, made.carried))
    }
}

/// What became of the snapshot before it was a layer.
struct Made {
    fs_uuid: Option<String>,
    start: Option<Start>,
    carried: Carried,
}

/// Makes the layer of the snapshot. The kernel waits long in the new device's table load; all of
/// the last commit but its last step is done meanwhile.
fn at_once<'m>(mut session: Session<'m>, lv: &LvName) -> Result<(Session<'m>, Made)> {
    let mut fs_uuid = None;
    let finished = session.finish_thin((lv, Role::Layer), &mut |session| {
        session.activate(&[lv])?;
        log::trace!("{lv} is active");
        let (device, node) = (session.open_volume(lv)?, session.node(lv)?);
        let root = filesystem::root_source(session.vg(), lv)?;
        let volume = (node.as_path(), device.as_ref());
        fs_uuid = filesystem::make_own(session.machine(), Some(&root), volume, session.chunk()?)?;
        log::trace!("{lv} has a UUID of its own");
        Ok(())
    });
    match finished {
        Ok(()) => Ok((session, Made { fs_uuid, start: None, carried: Carried::default() })),
        Err(error) => Err(session.undo_thin(lv, error)),
    }
}

/// The same, and stores its kernels before it exists; the group is not locked meanwhile.
fn with_kernels<'m>(
    session: Session<'m>,
    plan: &Plan<'_>,
    boot: Option<&Boot<'m>>,
    watch: &mut dyn Watch,
) -> Result<(Session<'m>, Made)> {
    let lv = plan.layer.lv_name();
    let pending = session.into_pending(lv.clone())?;
    let made = match fit_out(&pending, plan, boot, watch) {
        Ok(made) => made,
        Err(error) => return Err(pending.undo(error)),
    };
    let mut session = pending.relock()?;
    let base = plan.origin.lv_name();
    let both = [(&lv, Role::Layer), (&base, Role::Base)];
    let finished = match &plan.whose {
        Whose::Origin | Whose::Anew => session.finish_filled(&[(&lv, Role::Layer)]),
        Whose::Layer(_) => session.finish_filled(&both),
        Whose::System(system) => session.finish_adopted(&both, &system.lv),
    };
    match finished {
        Ok(()) => Ok((session, made)),
        Err(error) => Err(session.undo_thin(&lv, error)),
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
    let fs_uuid = pending.make_own(plan.from().is_none())?;
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
    let start = match (boot, &fs_uuid) {
        (Some(boot), Some(_)) => {
            watch.step("store its kernels");
            pending
                .store_kernels(plan.model().as_ref(), boot, &plan.boot_dir())?
                .map(|start| plan.without_system(start))
        }
        // Whatever is on it, no tree can be looked into.
        _ => None,
    };
    go_on(watch)?;
    Ok(Made { fs_uuid, start, carried })
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
    layer: LayerName,
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
        let layer = layout.next_layer(origin.base())?;
        Ok(Self { layer, origin, whose: Whose::Origin })
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
        let layer = layout.next_layer(base)?;
        Ok(Self { layer, origin, whose: Whose::Layer(from) })
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

    fn thin(&self) -> NewThin {
        let from = self.from().map(|from| from.name.lv_name());
        let thin = NewThin::snapshot(self.layer.lv_name(), Role::Layer, self.origin.lv_name());
        NewThin { from, ..thin }
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
