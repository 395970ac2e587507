//! What an update would carry over, told before anything is made.

use super::content::Opened;
use super::filesystem::root_source;
use super::session::Session;
use super::{ImageRequest, ImageSource, Imgbase, Watch};
use crate::error::Result;
use crate::etc::{Carried, OnConflict, Wishes, is_carried};
use crate::layout::LayerName;
use crate::machine::Preview;
use crate::name::LvName;
use crate::report::CarryPlan;
use crate::tree::Part;

impl Imgbase<'_> {
    /// What [`update`](Self::update) with this image would carry over. Nothing is changed; the old
    /// layer and its base are activated for the call where they are not active.
    ///
    /// # Errors
    /// As [`update`](Self::update) before its first change.
    pub fn plan_update(
        &self,
        image: &ImageRequest,
        on_conflict: OnConflict,
        watch: &mut dyn Watch,
    ) -> Result<CarryPlan> {
        let (from, _) = self.update_from()?;
        if image.source == ImageSource::Stdin {
            let why = Some("it comes as a stream".to_owned());
            return Ok(CarryPlan { from, carried: None, why });
        }
        let mut wishes = self.wishes(&from)?;
        wishes.on_conflict = on_conflict;
        let wanted = is_carried(&wishes);
        let mut part = Part::new(&wanted);
        watch.step("look at the image");
        let mut opened = Opened::open(&self.machine, image, watch)?;
        if let Err(why) = opened.read_part(&mut part, watch)? {
            return Ok(CarryPlan { from, carried: None, why: Some(why) });
        }
        drop(opened);
        watch.step(&format!("compare with {from}"));
        let carried = self.preview(&from, &part, &wishes)?;
        Ok(CarryPlan { from, carried: Some(carried), why: None })
    }

    fn preview(&self, from: &LayerName, part: &Part<'_>, wishes: &Wishes) -> Result<Carried> {
        let session = Session::for_devices(self)?;
        session.layout()?.image(&from.clone().into())?;
        let volumes: [LvName; 2] = [from.base().lv_name(), from.lv_name()];
        session.look_into(&volumes, |session| {
            let [base, ours] = volumes.each_ref().map(|lv| session.mountable(lv));
            let ((base, base_fs), (ours, ours_fs)) = (base?, ours?);
            session.machine().mounts.preview(Preview {
                base: (&base, base_fs),
                ours: (&ours, ours_fs),
                image: part,
                root: &root_source(session.vg(), &from.lv_name())?,
                wishes,
            })
        })
    }
}
