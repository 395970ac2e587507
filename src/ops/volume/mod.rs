//! `volume`: data that layers share, on volumes of its own.
//!
//! A volume is mounted by a line in the fstab of each layer that is to have it. Only layers that
//! nobody uses are changed: the running one never is.

mod create;
mod lines;
mod remove;

pub use create::AddVolume;

use super::Imgbase;
use super::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{ImageName, LayerName, VolumePath};
use crate::name::{DmName, LvName, VgName};
use crate::report::VolumeMount;

impl Imgbase<'_> {
    /// Lets a layer that nobody uses mount a volume that is there; without a name the latest one.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no such volume or layer,
    /// [`Busy`](ErrorKind::Busy) for a layer in use, [`Exists`](ErrorKind::Exists) where it mounts
    /// something else there; nothing is changed then.
    ///
    /// # Commit point
    /// The write of the layer's fstab.
    pub fn attach_volume(
        &self,
        path: &VolumePath,
        layer: Option<&LayerName>,
    ) -> Result<VolumeMount> {
        self.mount_in_layer(path, layer, true)
    }

    /// The reverse: the layer has what its own tree holds there again.
    ///
    /// # Errors
    /// As [`attach_volume`](Self::attach_volume), but the volume may be gone.
    ///
    /// # Commit point
    /// The write of the layer's fstab.
    pub fn detach_volume(
        &self,
        path: &VolumePath,
        layer: Option<&LayerName>,
    ) -> Result<VolumeMount> {
        self.mount_in_layer(path, layer, false)
    }

    fn mount_in_layer(
        &self,
        path: &VolumePath,
        layer: Option<&LayerName>,
        attached: bool,
    ) -> Result<VolumeMount> {
        let mut session = Session::for_devices(self)?;
        let name = match session.layout()?.volume(path) {
            Ok(volume) => volume.lv.name.clone(),
            Err(error) if attached => return Err(unchanged(error)),
            Err(_) => path.lv_name().clone(),
        };
        let layer = session.layer_at_rest(layer).map_err(unchanged)?;
        let names = VolumeNames::of(&session.vg().name, &name)?;
        let changed = session.awake(&[layer.lv_name()], |session| {
            if attached {
                session.attach(&layer, path, &names)
            } else {
                session.detach(&layer, path, &names)
            }
        })?;
        Ok(VolumeMount { path: path.clone(), layer, attached, changed })
    }
}

/// What a volume is called in an fstab, the usual name first.
struct VolumeNames([String; 2]);

impl VolumeNames {
    fn of(vg: &VgName, lv: &LvName) -> Result<Self> {
        let mapped = format!("/dev/mapper/{}", DmName::of_lv(vg, lv, None)?);
        Ok(Self([mapped, format!("/dev/{vg}/{lv}")]))
    }
}

impl Session<'_> {
    /// The layer of that name, or the latest, if nobody uses it.
    fn layer_at_rest(&self, asked: Option<&LayerName>) -> Result<LayerName> {
        let layout = self.layout()?;
        let layer = match asked {
            Some(layer) => {
                layout.image(&ImageName::Layer(layer.clone()))?;
                layer.clone()
            }
            None => layout.latest_layer().map(|layer| layer.name.clone()).ok_or_else(|| {
                let why = "there is no layer yet: make one with 'imgbase layer --add'";
                Error::new(ErrorKind::NotFound, why).at(&layout.vg.name)
            })?,
        };
        self.refuse_used_layer(&layer)?;
        Ok(layer)
    }

    fn refuse_used_layer(&self, layer: &LayerName) -> Result<()> {
        let Some(why) = self.in_use(&layer.lv_name())? else { return Ok(()) };
        let why = format!(
            "{why}, and only a layer at rest is changed: make a new one with 'imgbase layer --add', \
             or name another with --layer"
        );
        Err(Error::new(ErrorKind::Busy, why).at(layer))
    }

    /// Does something while these volumes are active; those that were not are not afterwards.
    fn awake<T>(&mut self, lvs: &[LvName], act: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let active = self.active()?;
        let asleep: Vec<&LvName> = lvs.iter().filter(|lv| !active.contains(*lv)).collect();
        let opened = self.pool_on().map(drop);
        let opened = opened.and_then(|()| self.activate(&lvs.iter().collect::<Vec<_>>()));
        let done = opened.and_then(|()| self.settle()).and_then(|()| act(self));
        let closed = self.deactivate(&asleep).and_then(|()| self.settle());
        let done = done?;
        closed.map(|()| done)
    }
}

fn unchanged(error: Error) -> Error {
    error.kept("nothing was changed")
}
