//! `layer --add` and `--remove`: the library's calls, the bare loop, and whole processes.

use imgbase::ops::Imgbase;

use super::contest::{BASE, LVCREATE, LVREMOVE, add, handle, host, remove};
use super::floor::Floor;
use super::meter::Meter;
use super::{ROW, in_a_row, process, sample};
use crate::error::{Doing, Result};

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
            sample("layer.lvcreate", || process(LVCREATE))?;
            sample("layer.lvremove", || process(LVREMOVE))
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
    meter.weigh("layer.lvcreate", || process(LVCREATE))?;
    meter.weigh("layer.lvremove", || process(LVREMOVE))
}
