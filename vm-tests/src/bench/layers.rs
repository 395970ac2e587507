//! `layer --add` and `--remove`: the library's calls, the bare loop, and whole processes.

use imgbase::layout::LayerName;
use imgbase::ops::{Imgbase, Unwatched};

use super::contest::{BASE, BASE_LV, handle, host, origin};
use super::floor::Floor;
use super::meter::Meter;
use super::{ROW, in_a_row, process, sample};
use crate::error::{Doing, Result};

const RIVAL: &[&str] = &["lvcreate", "-q", "-s", "-kn", "-ay", "-n", "rival", BASE_LV];
const RIVAL_REMOVED: &[&str] = &["lvremove", "-q", "-q", "-f", "HostVG/rival"];

/// So many rounds of what is not timed, but weighed.
const WEIGHED: u32 = 3;

/// So many rounds; each layer is removed again, so that all meet the same group.
pub(super) fn run(rounds: u32) -> Result<()> {
    let host = host()?;
    let imgbase = handle(&host)?;
    let mut floor = Floor::find(&imgbase)?;
    for _ in 0..rounds.div_ceil(ROW) {
        // Side by side: whatever else this machine's host does burdens both alike.
        in_a_row(|| {
            let added = sample("layer.library", || add(&imgbase))?;
            sample("layer.remove", || remove(&imgbase, &added))?;
            floor.measure()
        })?;
        in_a_row(|| {
            sample("layer.process", || process(&["imgbase", "layer", "--add", BASE]))?;
            let latest = imgbase.latest_layer().doing("latest_layer")?.to_string();
            sample("layer.remove-process", || process(&["imgbase", "layer", "--remove", &latest]))
        })?;
        in_a_row(|| {
            sample("layer.lvcreate", || process(RIVAL))?;
            sample("layer.lvremove", || process(RIVAL_REMOVED))
        })?;
        in_a_row(|| sample("trivial.process", || process(&["guest", "true"])))?;
        in_a_row(|| sample("version.process", || process(&["imgbase", "--version"])))?;
    }
    (0..WEIGHED).try_for_each(|_| weigh(&imgbase))
}

/// The same once more, by what is written: the look at it would disturb the times.
fn weigh(imgbase: &Imgbase<'_>) -> Result<()> {
    let meter = Meter::find(imgbase)?;
    let added = meter.weigh("layer.library", || add(imgbase))?;
    meter.weigh("layer.remove", || remove(imgbase, &added))?;
    meter.weigh("layer.lvcreate", || process(RIVAL))?;
    meter.weigh("layer.lvremove", || process(RIVAL_REMOVED))
}

fn add(imgbase: &Imgbase<'_>) -> Result<LayerName> {
    let added = imgbase.add_layer(Some(&origin()?), &mut Unwatched).doing("add_layer")?;
    Ok(added.nvr)
}

fn remove(imgbase: &Imgbase<'_>, layer: &LayerName) -> Result<()> {
    imgbase.remove_layer(layer, &mut Unwatched).doing("remove_layer").map(drop)
}
