//! `layer --add`: a writable snapshot of a base or a layer.
//!
//! Order: the text with the volume, tagged pending, and the message for the
//! pool; the message; the device and its file system's own UUID; the text
//! without tag and message, which is the commit point.

use super::list::latest;
use super::session::Session;
use super::thin::{NewThin, Role};
use super::{Imgbase, Watch, after_commit, filesystem};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{ImageName, LayerName, Layout};
use crate::name::LvName;
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
    /// [`NoSpace`](ErrorKind::NoSpace) where the pool has no room for a snapshot's metadata,
    /// [`Unsupported`](ErrorKind::Unsupported) where the group must not be changed. Everything
    /// is as before then.
    ///
    /// # Commit point
    /// The metadata commit that drops the tag `imgbased:pending` from the layer.
    pub fn add_layer(&self, on: Option<&ImageName>, watch: &mut dyn Watch) -> Result<LayerAdded> {
        let mut session = Session::change(self, "layer --add")?;
        let plan = Plan::make(&session.layout()?, on)?;
        let pool = session.pool_on()?;
        session.check_room(&pool, Bytes::ZERO)?;
        let lv = plan.layer.lv_name();
        session.begin_thin(&plan.thin(), &pool)?;
        let fs_uuid = match finish(&mut session, &lv) {
            Ok(fs_uuid) => fs_uuid,
            Err(error) => return Err(session.undo_thin(&lv, error)),
        };
        watch.committed(&format!("{} exists (seqno {})", plan.layer, session.vg().seqno));
        after_commit(watch, session.settle());
        Ok(LayerAdded {
            nvr: plan.layer,
            origin: plan.origin,
            fs_uuid,
            bootable: false,
            vg_seqno: session.vg().seqno,
        })
    }
}

/// Makes the layer of the snapshot and returns its file system's UUID. The kernel waits long in
/// the new device's table load; all of the last commit but its last step is done meanwhile.
fn finish(session: &mut Session<'_>, lv: &LvName) -> Result<Option<String>> {
    let mut fs_uuid = None;
    session.finish_thin((lv, Role::Layer), &mut |session| {
        session.activate(&[lv])?;
        log::trace!("{lv} is active");
        let (device, node) = (session.open_volume(lv)?, session.node(lv)?);
        fs_uuid = filesystem::give_own_uuid(session.machine(), &node, device.as_ref())?;
        log::trace!("{lv} has a UUID of its own");
        Ok(())
    })?;
    Ok(fs_uuid)
}

/// What will be made of what.
struct Plan {
    layer: LayerName,
    origin: ImageName,
}

impl Plan {
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
        Ok(Self { layer: layout.next_layer(origin.base())?, origin })
    }

    fn thin(&self) -> NewThin {
        NewThin {
            name: self.layer.lv_name(),
            role: Role::Layer,
            origin: Some(self.origin.lv_name()),
            size: None,
        }
    }
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
