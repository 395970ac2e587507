//! Images of containers: where their parts are, and what their layers hold.

use std::io::Read;
use std::path::PathBuf;

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

/// Where the parts of the image are, if it is one of a container and lies in no single file.
pub(super) fn store<'m>(
    machine: &Machine<'m>,
    request: &ImageRequest,
) -> Result<Option<Box<dyn Store + 'm>>> {
    let store: Box<dyn Store + 'm> = match &request.source {
        ImageSource::Path(path) => {
            if machine.disks.open_image(&path.join(MARK)).is_err() {
                return Ok(None);
            }
            let files = Folder { disks: machine.disks, path: path.clone() };
            Box::new(Layout::new(path.display().to_string(), files))
        }
        ImageSource::Registry(image) => machine.disks.open_remote(image).map_err(unchanged)?,
        ImageSource::Stdin => return Ok(None),
    };
    if request.signed.is_some() {
        let why = "it has no bytes that a signature could be of: give an archive of it";
        return Err(unchanged(Error::new(ErrorKind::Unsupported, why).at(store.name())));
    }
    let Some(word) = &request.partition else { return Ok(Some(store)) };
    let why = format!("it has no partition '{word}': it is the image of a container");
    Err(unchanged(Error::new(ErrorKind::NotFound, why).at(store.name())))
}

/// True for what is better not read twice.
pub(super) fn is_remote(request: &ImageRequest) -> bool {
    matches!(request.source, ImageSource::Registry(_))
}

/// Opens the image that is meant, and reads its layers once for what they hold, if they are to be
/// measured.
pub(super) fn open<'m>(
    store: Box<dyn Store + 'm>,
    wanted: &Wanted<'_>,
    measured: bool,
    watch: &mut dyn Watch,
) -> Result<Opened<'m>> {
    let layers = Layers::open(store, wanted).map_err(unchanged)?;
    if !measured {
        return Ok(Opened::Layers(layers, None));
    }
    watch.step("read the layers");
    let tell: Tell<'_> = &mut |by_now: Measure| progress(watch, by_now, None, Bytes::ZERO);
    let measure = layers.measure(tell).map_err(unchanged)?;
    Ok(Opened::Layers(layers, Some(measure)))
}

/// What layers that were not read hold, as they are packed: systems shrink to a third of their size
/// and seldom to less than a fifth. Room in a volume that is not used costs nothing.
pub(super) fn guessed(layers: &Layers<'_>) -> Measure {
    let data = Bytes::new(layers.packed_size().get().saturating_mul(5));
    Measure { entries: data.get() / ENTRY_MEAN, data }
}

/// What a file of a system has, as a rule.
const ENTRY_MEAN: u64 = 16 << 10;
