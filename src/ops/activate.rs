//! `activate`, `deactivate`: devices for images, and their end.

use super::Imgbase;
use super::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{ImageName, Layout};
use crate::name::LvName;
use crate::report::Activation;

impl Imgbase<'_> {
    /// Activates images and the pool under them; without a name all layers, and the volumes that
    /// they share. A base comes up only when it is named: it is read-only and nothing needs it.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a name that is not there;
    /// [`Diverged`](ErrorKind::Diverged) where pool and text disagree. What was activated for
    /// this call is inactive again then.
    pub fn activate(&self, images: &[ImageName]) -> Result<Activation> {
        let mut session = Session::for_devices(self)?;
        let layout = session.layout()?;
        let wanted = choose(&layout, images, |layout| layout.layer_names())?;
        let active = session.active()?;
        let (unchanged, changed) = split(wanted, |lv| active.contains(lv));
        let mut volumes = shared(&layout, images);
        volumes.retain(|lv| !active.contains(lv));
        let names: Vec<LvName> = changed.iter().map(ImageName::lv_name).collect();
        session.pool_on()?;
        session.activate(&names.iter().chain(&volumes).collect::<Vec<_>>())?;
        session.settle()?;
        Ok(Activation { changed, unchanged, volumes })
    }

    /// Deactivates images, and the pool when nothing of it is left active; without a name all
    /// that is ours, the pool included unless something else uses it.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a name that is not there,
    /// [`Busy`](ErrorKind::Busy) for an image in use: none is deactivated then.
    pub fn deactivate(&self, images: &[ImageName]) -> Result<Activation> {
        let session = Session::for_devices(self)?;
        let layout = session.layout()?;
        let wanted = choose(&layout, images, |layout| layout.image_names())?;
        let active = session.active()?;
        let (changed, unchanged) = split(wanted, |lv| active.contains(lv));
        let mut volumes = shared(&layout, images);
        volumes.retain(|lv| active.contains(lv));
        let mut names: Vec<LvName> = changed.iter().map(ImageName::lv_name).collect();
        names.extend_from_slice(&volumes);
        refuse_in_use(&session, &names)?;
        session.deactivate(&names.iter().collect::<Vec<_>>())?;
        if images.is_empty() {
            session.pool_off()?;
        }
        session.settle()?;
        Ok(Activation { changed, unchanged, volumes })
    }

    /// Deactivates volumes that were needed for a while.
    pub(super) fn rest<'n>(&self, names: impl Iterator<Item = &'n LvName>) -> Result<()> {
        let names: Vec<&LvName> = names.collect();
        if names.is_empty() {
            return Ok(());
        }
        let session = Session::for_devices(self)?;
        session.deactivate(&names)?;
        session.settle()
    }
}

/// The volumes that layers share, where no image is named.
fn shared(layout: &Layout<'_>, images: &[ImageName]) -> Vec<LvName> {
    if images.is_empty() { layout.volume_names().cloned().collect() } else { Vec::new() }
}

type All = fn(&Layout<'_>) -> Vec<ImageName>;

/// The named images, each of which must exist, or all that `all` gives.
fn choose(layout: &Layout<'_>, images: &[ImageName], all: All) -> Result<Vec<ImageName>> {
    if images.is_empty() {
        return Ok(all(layout));
    }
    for image in images {
        layout.image(image)?;
    }
    Ok(images.to_vec())
}

fn split(
    images: Vec<ImageName>,
    first: impl Fn(&LvName) -> bool,
) -> (Vec<ImageName>, Vec<ImageName>) {
    images.into_iter().partition(|image| first(&image.lv_name()))
}

fn refuse_in_use(session: &Session<'_>, lvs: &[LvName]) -> Result<()> {
    for lv in lvs {
        if let Some(why) = session.in_use(lv)? {
            let error = Error::new(ErrorKind::Busy, why).at(lv).op("deactivate it");
            return Err(error.kept("nothing was deactivated"));
        }
    }
    Ok(())
}
