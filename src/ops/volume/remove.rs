//! `volume --remove`. As for images: the commit of the text without it, with a delete message, is the
//! commit point.

use super::{VolumeNames, unchanged};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{LayerName, VolumePath};
use crate::name::LvName;
use crate::ops::session::Session;
use crate::ops::{Imgbase, Watch, after_commit};
use crate::report::VolumeRemoved;
use crate::root::fstab_lines;

impl Imgbase<'_> {
    /// Removes a volume and all that is on it. With `force` also one that layers mount, which then
    /// wait for it in vain when they are started.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is none; [`Busy`](ErrorKind::Busy) where it is
    /// mounted or open, or, without `force`, the fstab of a layer names it; nothing is changed then.
    ///
    /// # Commit point
    /// The commit of the text without it.
    pub fn remove_volume(
        &self,
        path: &VolumePath,
        force: bool,
        watch: &mut dyn Watch,
    ) -> Result<VolumeRemoved> {
        let mut session = Session::change(self, "volume --remove")?;
        let lv = session.layout()?.volume(path).map_err(unchanged)?.lv.name.clone();
        let busy = |why: String| {
            unchanged(Error::new(ErrorKind::Busy, why).at(path).op("remove the volume"))
        };
        if let Some(why) = session.in_use(&lv)? {
            return Err(busy(why));
        }
        let named_by = session.layers_with(path, &lv)?;
        let list: Vec<String> = named_by.iter().map(ToString::to_string).collect();
        let list = list.join(", ");
        if !named_by.is_empty() && !force {
            return Err(busy(format!(
                "the fstab of {list} names it: 'imgbase volume --detach' takes that out, --force \
                 removes it all the same"
            )));
        }
        session.refuse_unsound()?;
        session.deactivate(&[&lv])?;
        session.pool_on()?;
        session.remove_thins(std::slice::from_ref(&lv))?;
        watch.committed(&format!("{lv} removed (seqno {})", session.vg().seqno));
        if !named_by.is_empty() {
            watch.warn(&format!("the fstab of {list} still names {path}"));
        }
        let tidied = session.pool_as_before().and_then(|()| session.settle());
        after_commit(watch, tidied);
        let vg_seqno = session.vg().seqno;
        Ok(VolumeRemoved { path: path.clone(), name: lv, named_by, vg_seqno })
    }
}

impl Session<'_> {
    /// The layers whose fstab names a volume, or mounts something at its path.
    fn layers_with(&mut self, path: &VolumePath, lv: &LvName) -> Result<Vec<LayerName>> {
        let VolumeNames(names) = VolumeNames::of(&self.vg().name, lv)?;
        let layers: Vec<LayerName> =
            self.layout()?.layers().map(|layer| layer.name.clone()).collect();
        let mut found = Vec::new();
        for layer in layers {
            let lv = layer.lv_name();
            let table = self.awake(std::slice::from_ref(&lv), |session| session.fstab(&lv))?;
            let mut lines = fstab_lines(&table).into_iter();
            if lines.any(|line| names.contains(&line.source) || line.target == path.as_str()) {
                found.push(layer);
            }
        }
        Ok(found)
    }
}
