//! `layer --add`: the library's call, the bare loop, and whole processes.

use imgbase::ops::{Imgbase, Unwatched};

use super::contest::{BASE, BASE_LV, handle, host, origin};
use super::floor::Floor;
use super::{ROW, in_a_row, process, sample};
use crate::error::{Doing, Result};

const RIVAL: &[&str] = &["lvcreate", "-q", "-s", "-kn", "-ay", "-n", "rival", BASE_LV];

/// So many rounds; each layer is removed again, so that all meet the same group.
pub(super) fn run(rounds: u32) -> Result<()> {
    let host = host()?;
    let imgbase = handle(&host)?;
    let mut floor = Floor::find(&imgbase)?;
    for _ in 0..rounds.div_ceil(ROW) {
        // Side by side: whatever else this machine's host does burdens both alike.
        in_a_row(|| {
            call(&imgbase)?;
            floor.measure()
        })?;
        in_a_row(|| {
            sample("layer.process", || process(&["imgbase", "layer", "--add", BASE]))?;
            remove_latest(&imgbase)
        })?;
        in_a_row(|| {
            sample("layer.lvcreate", || process(RIVAL))?;
            process(&["lvremove", "-q", "-q", "-f", "HostVG/rival"])
        })?;
        in_a_row(|| sample("trivial.process", || process(&["guest", "true"])))?;
    }
    Ok(())
}

fn call(imgbase: &Imgbase<'_>) -> Result<()> {
    let origin = origin()?;
    let add = || imgbase.add_layer(Some(&origin), &mut Unwatched).doing("add_layer");
    let added = sample("layer.library", add)?;
    imgbase.remove_layer(&added.nvr, &mut Unwatched).doing("remove_layer").map(drop)
}

fn remove_latest(imgbase: &Imgbase<'_>) -> Result<()> {
    let latest = imgbase.latest_layer().doing("latest_layer")?;
    imgbase.remove_layer(&latest, &mut Unwatched).doing("remove_layer").map(drop)
}
