//! `update` from one image to the next, by time and by what is written: the first base of a name, an image
//! that has changed a little, one that has not changed at all.

use imgbase::etc::OnConflict;
use imgbase::layout::{BaseName, ImageName};
use imgbase::ops::{ImageSource, Imgbase, Unwatched, Update};

use super::contest::{IMAGE, host};
use super::volumes::{Contest, add_base};
use crate::error::{Doing, Result};

const FIRST: &str = "Update-1-1";
/// What they are called, their images and their bases: each takes over from the one before.
const UPDATES: [(&str, &str, &str); 2] = [
    ("update.same", IMAGE, "Update-1-2"),
    ("update.changed", "/mnt/spare/second.ext4", "Update-1-3"),
];

/// So many rounds.
pub(super) fn run(rounds: u32) -> Result<()> {
    let host = host()?;
    let contest = Contest::on(&host)?;
    for _ in 0..rounds {
        contest.measure("update.first", || add_base(&contest.imgbase, FIRST, IMAGE))?;
        let first = ImageName::Base(base(FIRST)?);
        contest.imgbase.add_layer(Some(&first), &mut Unwatched).doing("add_layer")?;
        for (name, image, nvr) in UPDATES {
            let request = update(nvr, image)?;
            let update = || contest.imgbase.update(&request, &mut Unwatched).doing("update");
            contest.measure(name, update)?;
        }
        remove(&contest.imgbase)?;
    }
    Ok(())
}

fn base(name: &str) -> Result<BaseName> {
    name.parse().doing(name)
}

fn update(nvr: &str, image: &str) -> Result<Update> {
    Ok(Update {
        nvr: base(nvr)?,
        image: ImageSource::Path(image.into()).into(),
        size: None,
        share: true,
        keep: None,
        on_conflict: OnConflict::Keep,
        force: false,
    })
}

/// All bases and layers of this name.
fn remove(imgbase: &Imgbase<'_>) -> Result<()> {
    let names = UPDATES.into_iter().map(|(_, _, nvr)| nvr).rev().chain([FIRST]);
    for name in names {
        let layer = format!("{name}+1").parse().doing(name)?;
        imgbase.remove_layer(&layer, &mut Unwatched).doing("remove_layer")?;
        imgbase.remove_base(&base(name)?, &mut Unwatched).doing("remove_base")?;
    }
    Ok(())
}
