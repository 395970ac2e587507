//! What everything here works on: the layout that the host has made.

use imgbase::host::{Host, HostConfig};
use imgbase::layout::{BaseName, ImageName, LayerName};
use imgbase::ops::{Imgbase, Unwatched};

use crate::error::{Doing, Result};

/// The volume group.
pub(super) const VG: &str = "HostVG";
/// What is made beside ours, as lvm2 calls it.
pub(super) const RIVAL_LV: &str = "HostVG/rival";
/// What would be used for a layer instead.
pub(super) const LVCREATE: &[&str] =
    &["lvcreate", "-q", "-s", "-kn", "-ay", "-n", "rival", BASE_LV];
/// What removes it.
pub(super) const LVREMOVE: &[&str] = &["lvremove", "-q", "-q", "-f", RIVAL_LV];
/// The base that layers are made of.
pub(super) const BASE: &str = "Debian-12-1";
/// The same as lvm2 calls it.
const BASE_LV: &str = "HostVG/Debian-12-1";
/// The pool's device that takes messages.
pub(super) const POOL_DEVICE: &str = "HostVG-ImagePool-tpool";
/// The pool as lvm2 calls it.
pub(super) const POOL_LV: &str = "HostVG/ImagePool";
/// So many layers are made in one call at the most.
const AT_ONCE: usize = 100;
/// The sample image.
pub(super) const IMAGE: &str = "/images/debian.ext4";

/// This machine.
pub(super) fn host() -> Result<Host> {
    Host::new(HostConfig::default()).doing("the library")
}

/// The library's handle, as an installer would hold it.
pub(super) fn handle(host: &Host) -> Result<Imgbase<'_>> {
    Ok(Imgbase::new(host.machine()).in_vg(VG.parse().doing(VG)?))
}

pub(super) fn base() -> Result<BaseName> {
    BASE.parse().doing(BASE)
}

pub(super) fn origin() -> Result<ImageName> {
    Ok(ImageName::Base(base()?))
}

/// Makes a layer of that base.
pub(super) fn add(imgbase: &Imgbase<'_>) -> Result<LayerName> {
    let added = imgbase.add_layer(Some(&origin()?), &mut Unwatched).doing("add_layer")?;
    Ok(added.nvr)
}

/// Removes one.
pub(super) fn remove(imgbase: &Imgbase<'_>, layer: &LayerName) -> Result<()> {
    imgbase.remove_layer(layer, &mut Unwatched).doing("remove_layer").map(drop)
}

/// The layers that are there.
pub(super) fn layers(imgbase: &Imgbase<'_>) -> Result<Vec<ImageName>> {
    let layout = imgbase.layout().doing("layout")?;
    let layers = layout.bases.iter().flat_map(|base| &base.layers);
    Ok(layers.map(|layer| ImageName::Layer(layer.nvr.clone())).collect())
}

/// Makes the layers that are missing.
pub(super) fn grow(imgbase: &Imgbase<'_>, size: usize) -> Result<Vec<ImageName>> {
    let origin = origin()?;
    loop {
        let layers = layers(imgbase)?;
        if layers.len() >= size {
            return Ok(layers);
        }
        let missing = (size - layers.len()).min(AT_ONCE).try_into().doing("missing layers")?;
        imgbase.add_layers(Some(&origin), missing, &mut Unwatched).doing("add_layers")?;
    }
}

/// The same, and one of them is active then.
pub(super) fn grow_idle(imgbase: &Imgbase<'_>, size: usize) -> Result<()> {
    let layers = grow(imgbase, size)?;
    imgbase.deactivate(&[]).doing("deactivate")?;
    imgbase.activate(layers.get(..1).unwrap_or_default()).doing("activate").map(drop)
}
