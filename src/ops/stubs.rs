//! Stand-ins for verbs that are being written: each answers Unsupported.

use std::path::{Path, PathBuf};

use super::{AddBase, Imgbase, Init, Watch};
use crate::diff::Change;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{BaseName, ImageName, LayerName};
use crate::report::{
    Activation, BaseAdded, FreeSpaceReport, HealthReport, InitReport, LayerAdded, LayoutReport,
    MountReport, Removed,
};

fn none<T>(verb: &'static str) -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, "this verb is not built yet").op(verb))
}

#[allow(missing_docs, clippy::missing_errors_doc)]
impl Imgbase<'_> {
    pub fn init(&self, _request: &Init, _watch: &mut dyn Watch) -> Result<InitReport> {
        none("make the layout")
    }
    pub fn layout(&self) -> Result<LayoutReport> {
        none("read the layout")
    }
    pub fn free_space(&self) -> Result<FreeSpaceReport> {
        none("read the free space")
    }
    pub fn add_base(&self, _request: &AddBase, _watch: &mut dyn Watch) -> Result<BaseAdded> {
        none("add the base")
    }
    pub fn latest_base(&self) -> Result<BaseName> {
        none("find the latest base")
    }
    pub fn base_of_layer(&self, _layer: &LayerName) -> Result<BaseName> {
        none("find the base")
    }
    pub fn remove_base(&self, _base: &BaseName, _watch: &mut dyn Watch) -> Result<Removed> {
        none("remove the base")
    }
    pub fn pin_base(&self, _base: &BaseName, _pinned: bool) -> Result<bool> {
        none("pin the base")
    }
    pub fn add_layer(&self, _on: Option<&ImageName>, _watch: &mut dyn Watch) -> Result<LayerAdded> {
        none("add the layer")
    }
    pub fn latest_layer(&self) -> Result<LayerName> {
        none("find the latest layer")
    }
    pub fn current_layer(&self) -> Result<LayerName> {
        none("find the current layer")
    }
    pub fn volume_path(&self, _image: &ImageName) -> Result<PathBuf> {
        none("find the volume")
    }
    pub fn remove_layer(&self, _layer: &LayerName, _watch: &mut dyn Watch) -> Result<Removed> {
        none("remove the layer")
    }
    pub fn mount(&self, _image: &ImageName, _dir: &Path, _ro: bool) -> Result<MountReport> {
        none("mount the image")
    }
    pub fn umount(&self, _dir: &Path) -> Result<MountReport> {
        none("unmount the image")
    }
    pub fn activate(&self, _images: &[ImageName]) -> Result<Activation> {
        none("activate")
    }
    pub fn deactivate(&self, _images: &[ImageName]) -> Result<Activation> {
        none("deactivate")
    }
    pub fn diff(
        &self,
        _a: Option<&ImageName>,
        _b: Option<&ImageName>,
        _each: &mut dyn FnMut(&Change) -> Result<()>,
    ) -> Result<()> {
        none("compare the images")
    }
    pub fn check(&self, _watch: &mut dyn Watch) -> Result<HealthReport> {
        none("check")
    }
}
