//! Images of containers: where their parts are, and what their layers hold.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::content::{Opened, progress, unchanged};
use super::{ImageRequest, ImageSource, Watch};
use crate::error::{Error, ErrorKind, Result};
use crate::image::oci::{Files, Layers, Layout, Store, Wanted};
use crate::machine::{Disks, Machine};
use crate::tree::{Measure, Tell};
use crate::units::Bytes;

/// A file that each folder with a layout has.
const MARK: &str = "oci-layout";

/// A layout in a folder.
struct Folder<'m> {
    disks: &'m dyn Disks,
    path: PathBuf,
}

impl Files for Folder<'_> {
    fn file(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>> {
        match self.disks.open_image(&self.path.join(path)) {
            Ok(file) => Ok(Some(Box::new(file.into_reader()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// True where an image is a folder with a layout.
pub(super) fn is_folder(machine: &Machine<'_>, request: &ImageRequest) -> bool {
    match &request.source {
        ImageSource::Path(path) => machine.disks.open_image(&path.join(MARK)).is_ok(),
        ImageSource::Stdin => false,
    }
}

/// Opens the image that is meant in a folder.
pub(super) fn open_folder<'m>(
    machine: &Machine<'m>,
    path: &Path,
    request: &ImageRequest,
    watch: &mut dyn Watch,
) -> Result<Opened<'m>> {
    let name = path.display().to_string();
    if let Some(word) = &request.partition {
        let why = format!("it has no partition '{word}': it is an OCI layout");
        return Err(unchanged(Error::new(ErrorKind::NotFound, why).at(name)));
    }
    if request.signed.is_some() {
        let why = "a folder has no bytes that a signature could be of: give an archive of it";
        return Err(unchanged(Error::new(ErrorKind::Unsupported, why).at(name)));
    }
    let files = Folder { disks: machine.disks, path: path.to_owned() };
    let wanted = Wanted { reference: request.image_ref.as_deref(), digest: request.digest };
    open_layers(Box::new(Layout::new(name, files)), &wanted, watch)
}

/// Opens the image that is meant, and reads its layers once for what they hold.
pub(super) fn open_layers<'m>(
    store: Box<dyn Store + 'm>,
    wanted: &Wanted<'_>,
    watch: &mut dyn Watch,
) -> Result<Opened<'m>> {
    let layers = Layers::open(store, wanted).map_err(unchanged)?;
    watch.step("read the layers");
    let tell: Tell<'_> = &mut |by_now: Measure| progress(watch, by_now, None, Bytes::ZERO);
    let measure = layers.measure(tell).map_err(unchanged)?;
    Ok(Opened::Layers(layers, measure))
}
