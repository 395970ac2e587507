//! What was changed in the old layer once a new one had taken over its state.
//!
//! `update` reads the layer that runs; what is edited there until the next start is in nobody's plan.
//! So that it is not lost unseen, it is found once the new layer runs. Nothing is changed.

use super::Imgbase;
use super::filesystem::root_source;
use super::session::Session;
use crate::error::Result;
use crate::etc::LateEdit;
use crate::layout::{LayerName, Layout, is_unfinished, tag, taken_over};
use crate::lvm2::model::Lv;
use crate::machine::{CarryOver, LateLook};
use crate::name::LvName;
use crate::report::LateEdits;

/// Whose state a layer has, and since when.
struct Taken {
    /// The layer's volume.
    layer: LvName,
    /// The volume whose state it took over.
    from: LvName,
    /// What that had begun as.
    before: LvName,
    /// Seconds since 1970: what was changed there from then on was not taken over.
    since: i64,
}

impl Taken {
    /// `None` for a layer that has taken over nothing, or whose source is gone.
    fn of(layout: &Layout<'_>, layer: &LayerName) -> Option<Self> {
        let volume = layout.layer(layer)?.lv;
        let base = &layout.base(layer.base())?.base;
        if let Some(from) = taken_over(layout.vg, volume).filter(|from| !is_unfinished(from)) {
            let before = layout.layers().find(|there| there.name.lv_name() == from.name)?;
            let before = before.name.base().lv_name();
            return Self::new(volume, from, before, volume.creation_time);
        }
        let system = layout.vg.lv(base.thin.origin.as_ref()?).filter(|lv| lv.has_tag(tag::INIT))?;
        Self::new(volume, system, base.lv.name.clone(), base.lv.creation_time)
    }

    fn new(layer: &Lv, from: &Lv, before: LvName, since: Option<i64>) -> Option<Self> {
        let since = since.filter(|since| *since > 0)?;
        Some(Self { layer: layer.name.clone(), from: from.name.clone(), before, since })
    }
}

impl Imgbase<'_> {
    /// What was changed in the layer whose state the running one took over, or in the system that
    /// was adopted as it, after that, and is not so in the running layer; of the paths that are
    /// carried over. `None` where the running layer took over nothing, or its source is gone, or
    /// this host runs from no layer.
    ///
    /// Volumes that are not active are activated for the call, and mounted where no other process
    /// sees them.
    ///
    /// # Errors
    /// As [`diff`](Self::diff).
    pub fn late_edits(&self) -> Result<Option<LateEdits>> {
        Session::for_devices(self)?.late_edits()
    }
}

impl Session<'_> {
    /// What the running layer took over, and where from; `None` as for [`Imgbase::late_edits`].
    fn taken(&self) -> Result<Option<Taken>> {
        let Some(running) = self.running()? else { return Ok(None) };
        Ok(Taken::of(&self.layout()?, &running))
    }

    /// True where there may be late edits to look for.
    pub(super) fn has_taken_over(&self) -> Result<bool> {
        Ok(self.taken()?.is_some())
    }

    /// As [`Imgbase::late_edits`], in a session for devices.
    pub(super) fn late_edits(self) -> Result<Option<LateEdits>> {
        let Some(taken) = self.taken()? else { return Ok(None) };
        let config = self.config_volume().cloned();
        let mut volumes = vec![taken.layer.clone(), taken.from.clone(), taken.before.clone()];
        volumes.extend(config.clone());
        let edits =
            self.look_into(&volumes, |session| session.look_for_late(&taken, config.as_ref()))?;
        Ok(Some(LateEdits { from: taken.from, edits }))
    }

    fn look_for_late(&self, taken: &Taken, config: Option<&LvName>) -> Result<Vec<LateEdit>> {
        let mut wishes = self.read_wishes(config, &taken.from)?;
        wishes.mounts.extend(self.mounted_folders()?);
        let [before, ours, new] =
            [&taken.before, &taken.from, &taken.layer].map(|lv| self.mountable(lv));
        let ((before, before_fs), (ours, ours_fs), (new, new_fs)) = (before?, ours?, new?);
        self.machine().mounts.late_edits(LateLook {
            of: CarryOver {
                base: (&before, before_fs),
                ours: (&ours, ours_fs),
                new: (&new, new_fs),
                root: &root_source(self.vg(), &taken.layer)?,
                wishes: &wishes,
            },
            since: taken.since,
        })
    }
}
