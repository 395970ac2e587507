//! `rollback`: the library's call and the whole process, with systemd-boot's folder at `/boot`, a FAT.

use imgbase::layout::LayerName;

use super::contest::{handle, host};
use super::{ROW, in_a_row, process, sample};
use crate::error::{Doing, Result};

/// So many rounds, each from the newer of two layers to the older.
pub(super) fn run(rounds: u32) -> Result<()> {
    let host = host()?;
    let imgbase = handle(&host)?;
    let newer: LayerName = "Boot-1-1+2".parse().doing("a layer")?;
    let forward = || imgbase.set_default_layer(&newer, None).doing("set_default_layer").map(drop);
    for _ in 0..rounds.div_ceil(ROW) {
        in_a_row(|| {
            forward()?;
            sample("rollback.library", || imgbase.roll_back(None).doing("roll_back")).map(drop)
        })?;
        in_a_row(|| {
            forward()?;
            sample("rollback.process", || process(&["imgbase", "rollback"]))
        })?;
    }
    Ok(())
}
