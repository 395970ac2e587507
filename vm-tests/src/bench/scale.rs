//! The same calls as there are more and more layers.

use imgbase::host::Host;
use imgbase::ops::Imgbase;

use super::contest::{LVCREATE, LVREMOVE, add, grow_idle, handle, host, remove};
use super::{ROW, in_a_row, process, sample};
use crate::error::{Doing, Result};

/// So many layers are there.
const SIZES: [usize; 4] = [10, 100, 500, 2000];

/// So many rounds with each number of layers; one of them is active.
pub(super) fn run(rounds: u32) -> Result<()> {
    let host = host()?;
    let imgbase = handle(&host)?;
    for size in SIZES {
        grow_idle(&imgbase, size)?;
        for _ in 0..rounds.div_ceil(ROW) {
            measure(&host, &imgbase, size)?;
        }
    }
    Ok(())
}

fn measure(host: &Host, imgbase: &Imgbase<'_>, size: usize) -> Result<()> {
    let name = |what: &str| format!("scale.{what}.{size}");
    let new = || handle(host)?.layout().doing("layout");
    in_a_row(|| sample(&name("layout-new"), new).map(drop))?;
    imgbase.layout().doing("layout")?;
    let again = || imgbase.layout().doing("layout");
    in_a_row(|| sample(&name("layout"), again).map(drop))?;
    in_a_row(|| sample(&name("lvs"), || process(&["lvs"])))?;
    in_a_row(|| {
        let added = sample(&name("add"), || add(imgbase))?;
        sample(&name("remove"), || remove(imgbase, &added))
    })?;
    in_a_row(|| {
        sample(&name("lvcreate"), || process(LVCREATE))?;
        sample(&name("lvremove"), || process(LVREMOVE))
    })
}
