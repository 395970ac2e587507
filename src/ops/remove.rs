//! `layer --remove` and `base --remove`.
//!
//! One transaction: the commit of the text without the volumes, with a delete
//! message for each, is the commit point; what comes after only finishes.

use std::collections::BTreeSet;

use super::gc::refuse_pinned;
use super::session::Session;
use super::{Imgbase, Watch, after_commit};
use crate::boot::BootState;
use crate::boot::state::Found;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{BaseName, ImageName, LayerName, Layout};
use crate::name::LvName;
use crate::order::Gather;
use crate::report::Removed;

impl Imgbase<'_> {
    /// Removes a layer.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is none,
    /// [`Busy`](ErrorKind::Busy) where it is mounted, open, what this host runs from, the default,
    /// what a trial falls back to, or the last that can be started; nothing is changed then.
    ///
    /// # Commit point
    /// The commit of the text without the layer.
    pub fn remove_layer(&self, layer: &LayerName, watch: &mut dyn Watch) -> Result<Removed> {
        let mut session = Session::change(self, "layer --remove")?;
        let image = ImageName::Layer(layer.clone());
        session.layout()?.image(&image)?;
        remove(&mut session, vec![image], watch)
    }

    /// Removes a base and all layers on it.
    ///
    /// # Errors
    /// As [`remove_layer`](Self::remove_layer); one layer in use keeps all.
    ///
    /// # Commit point
    /// The commit of the text without them.
    pub fn remove_base(&self, base: &BaseName, watch: &mut dyn Watch) -> Result<Removed> {
        let mut session = Session::change(self, "base --remove")?;
        let images = with_layers(&session.layout()?, base)?;
        remove(&mut session, images, watch)
    }

    /// The same, but for a base that is never to be collected.
    pub(super) fn remove_unless_pinned(
        &self,
        base: &BaseName,
        watch: &mut dyn Watch,
    ) -> Result<Removed> {
        let mut session = Session::change(self, "gc")?;
        refuse_pinned(&session, base)?;
        let images = with_layers(&session.layout()?, base)?;
        remove(&mut session, images, watch)
    }
}

/// The base and its layers, layers first.
fn with_layers(layout: &Layout<'_>, name: &BaseName) -> Result<Vec<ImageName>> {
    layout.image(&ImageName::Base(name.clone()))?;
    let layers = layout.base(name).map(|base| base.layers.as_slice()).unwrap_or_default();
    let layers = layers.iter().map(|layer| ImageName::Layer(layer.name.clone()));
    Ok(layers.chain([ImageName::Base(name.clone())]).collect())
}

fn remove(
    session: &mut Session<'_>,
    images: Vec<ImageName>,
    watch: &mut dyn Watch,
) -> Result<Removed> {
    let names: Vec<LvName> = images.iter().map(ImageName::lv_name).collect();
    refuse_in_use(session, &images)?;
    let boot = session.boot_alone()?;
    if let Some((boot, _)) = &boot {
        refuse_needed(session, &boot.state()?, &images)?;
    }
    session.refuse_unsound()?;
    session.deactivate(&names.iter().collect::<Vec<_>>())?;
    session.pool_on()?;
    session.remove_thins(&names)?;
    let list: Vec<String> = images.iter().map(ToString::to_string).collect();
    watch.committed(&format!("{} removed (seqno {})", list.join(", "), session.vg().seqno));
    if let Some((boot, _alone)) = &boot {
        // What has lost its layer goes, with the kernels that no other has.
        let cleaned = session.layer_names().and_then(|layers| boot.clean(&layers));
        after_commit(watch, cleaned.map(drop));
    }
    let tidied = session.pool_as_before().and_then(|()| session.settle());
    after_commit(watch, tidied);
    Ok(Removed { removed: images, vg_seqno: session.vg().seqno })
}

/// Looks at all before the first is touched.
fn refuse_in_use(session: &Session<'_>, images: &[ImageName]) -> Result<()> {
    let current = session.current()?;
    for image in images {
        let lv = image.lv_name();
        if current.as_ref() == Some(&lv) {
            return Err(busy(image, "this host runs from it".into()));
        }
        if let Some(why) = session.in_use(&lv)? {
            return Err(busy(image, why));
        }
    }
    Ok(())
}

/// Refuses layers that the machine may have to start.
fn refuse_needed(session: &Session<'_>, state: &BootState, images: &[ImageName]) -> Result<()> {
    let running = session.running()?;
    let going: BTreeSet<&LayerName> = images.iter().filter_map(ImageName::layer).gather();
    for layer in &going {
        if let Some(why) = state.why_kept(layer, running.as_ref()) {
            return Err(busy(&ImageName::Layer((*layer).clone()), why.into()));
        }
    }
    let stays = |found: &&Found| found.layer().is_none_or(|layer| !going.contains(layer));
    let starts = |found: &&Found| found.is_bootable();
    let last = state.entries.iter().any(|found| starts(&found) && !stays(&found))
        && !state.entries.iter().any(|found| starts(&found) && stays(&found));
    match images.first().filter(|_| last) {
        Some(image) => Err(busy(image, "nothing else could be started".into())),
        None => Ok(()),
    }
}

fn busy(image: &ImageName, why: String) -> Error {
    Error::new(ErrorKind::Busy, why).at(image).op("remove it").kept("nothing was changed")
}
