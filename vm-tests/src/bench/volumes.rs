//! The volumes that are filled: bases of ours, and the one that the others get.

use imgbase::host::Host;
use imgbase::ops::{AddBase, ImageSource, Imgbase, Unwatched};

use super::cold::forget_files;
use super::contest::{LVREMOVE, POOL_LV, RIVAL_LV, VG, handle};
use super::meter::Meter;
use super::{output, process, sample};
use crate::error::{Doing, Result};

/// The device of what others fill.
pub(super) const RIVAL: &str = "/dev/HostVG/rival";

/// What all are measured with: cold caches, time and what is written.
pub(super) struct Contest<'m> {
    pub(super) imgbase: Imgbase<'m>,
    meter: Meter,
}

impl<'m> Contest<'m> {
    /// On this machine.
    pub(super) fn on(host: &'m Host) -> Result<Self> {
        let imgbase = handle(host)?;
        let meter = Meter::find(&imgbase)?;
        Ok(Self { imgbase, meter })
    }

    /// Something that must succeed.
    pub(super) fn measure<T>(&self, name: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.meter.weigh(name, || {
            forget_files()?;
            sample(name, act)
        })
    }
}

/// A fresh thin volume, active.
#[must_use]
pub(super) struct Rival;

impl Rival {
    /// Of so many bytes.
    pub(super) fn of(bytes: u64) -> Result<Self> {
        let size = format!("{bytes}b");
        process(&["lvcreate", "-q", "-y", "-V", &size, "--thinpool", POOL_LV, "-n", "rival"])?;
        Ok(Self)
    }

    /// Says how much of it is mapped, and removes it.
    pub(super) fn remove(self, contestant: &str) -> Result<()> {
        weigh(contestant, RIVAL_LV)?;
        process(LVREMOVE)
    }
}

/// A base that shares nothing with others.
pub(super) fn add_base(imgbase: &Imgbase<'_>, name: &str, image: &str) -> Result<()> {
    let nvr = name.parse().doing(name)?;
    let image = ImageSource::Path(image.into()).into();
    let request = AddBase { nvr, image, size: None, share: false };
    imgbase.add_base(&request, &mut Unwatched).doing("add_base").map(drop)
}

/// Says how much of it is mapped, and removes it.
pub(super) fn remove_base(imgbase: &Imgbase<'_>, contestant: &str, name: &str) -> Result<()> {
    // A sealed base is not active, and only the kernel knows what is mapped.
    let lv = format!("{VG}/{name}");
    process(&["lvchange", "-q", "-ay", "-K", &lv])?;
    weigh(contestant, &lv)?;
    let base = name.parse().doing(name)?;
    imgbase.remove_base(&base, &mut Unwatched).doing("remove_base").map(drop)
}

fn weigh(contestant: &str, lv: &str) -> Result<()> {
    let percent = output(&["lvs", "--noheadings", "-o", "data_percent", lv])?;
    println!("mapped {contestant} {percent}");
    Ok(())
}
