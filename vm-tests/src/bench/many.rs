//! Many layers: made in one call and one by one, their devices made and removed.

use imgbase::ops::Unwatched;

use super::contest::{VG, grow, handle, host, origin, remove};
use super::{process, sample};
use crate::error::{Doing, Result};

/// So many layers are there while devices are made and removed.
const LAYERS: usize = 250;
/// So many are made in one call.
const BATCH: u32 = 100;

/// So many rounds of each.
pub(super) fn run(rounds: u32) -> Result<()> {
    let host = host()?;
    let imgbase = handle(&host)?;
    let origin = origin()?;
    for _ in 0..rounds {
        let batch = || imgbase.add_layers(Some(&origin), BATCH, &mut Unwatched).doing("add_layers");
        let added = sample("many.batch", batch)?;
        added.iter().try_for_each(|added| remove(&imgbase, &added.nvr))?;
        let singly = || {
            let add = |_| imgbase.add_layer(Some(&origin), &mut Unwatched).doing("add_layer");
            (0..BATCH).map(add).collect::<Result<Vec<_>>>()
        };
        let added = sample("many.singly", singly)?;
        added.iter().try_for_each(|added| remove(&imgbase, &added.nvr))?;
    }
    let layers = grow(&imgbase, LAYERS)?;
    imgbase.deactivate(&[]).doing("deactivate")?;
    for _ in 0..rounds {
        sample("many.activate", || imgbase.activate(&layers).doing("activate"))?;
        sample("many.deactivate", || imgbase.deactivate(&[]).doing("deactivate"))?;
        sample("many.vgchange-ay", || process(&["vgchange", "-q", "-ay", "-K", VG]))?;
        sample("many.vgchange-an", || process(&["vgchange", "-q", "-an", VG]))?;
    }
    Ok(())
}
