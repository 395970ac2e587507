//! Words into images and names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use imgbase::host::signature_of;
use imgbase::image::oci::SCHEME;
use imgbase::layout::BaseName;
use imgbase::ops::{ImageRequest, ImageSource, Imgbase, Watch};
use imgbase::{Error, Result};

use super::{invalid, unsupported};
use crate::cli::args::{ImageArgs, Word};

/// Positional words, sorted.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Names, not yet checked.
    pub(super) names: Vec<String>,
    /// Images or devices.
    pub(super) places: Vec<OsString>,
}

impl Sorted {
    /// Sorts words, in the order in which they were typed.
    pub(super) fn of<'w>(words: impl IntoIterator<Item = &'w Word>) -> Self {
        let mut sorted = Self::default();
        for word in words {
            match word {
                Word::Name(name) => sorted.names.push(name.clone()),
                Word::Place(place) => sorted.places.push(place.clone()),
            }
        }
        sorted
    }

    /// The one name there may be.
    ///
    /// # Errors
    /// [`Invalid`](imgbase::ErrorKind::Invalid) for two, or for one that is no base's.
    pub(super) fn base_name(&self) -> Result<Option<BaseName>> {
        match self.names.as_slice() {
            [] => Ok(None),
            [name] => base_name(name).map(Some),
            [one, other, ..] => Err(invalid(format!(
                "'{one}' and '{other}' are two names: write a path with a slash, as ./{other}"
            ))),
        }
    }
}

/// Reads a base's name; a file's name without a slash gets a hint.
fn base_name(text: &str) -> Result<BaseName> {
    text.parse().map_err(|bad| {
        if std::fs::exists(text).unwrap_or(false) {
            return invalid(format!("{bad}; if the file is meant, write ./{text}"));
        }
        Error::from(bad)
    })
}

/// Where an image comes from.
///
/// # Errors
/// [`Invalid`](imgbase::ErrorKind::Invalid) for an empty word and for a terminal as standard
/// input, [`Unsupported`](imgbase::ErrorKind::Unsupported) for a URL.
pub(super) fn source(place: &OsStr, stdin_is_terminal: bool) -> Result<ImageSource> {
    if place.is_empty() {
        return Err(invalid("the image's path is empty"));
    }
    if place == "-" {
        return stdin(stdin_is_terminal);
    }
    if let Some(reference) = place.to_str().filter(|place| place.starts_with(SCHEME)) {
        return Ok(ImageSource::Registry(reference.parse()?));
    }
    if is_url(place) {
        let error = unsupported("from the network only oci://HOST/NAME:TAG is read");
        return Err(error.at(place.display()));
    }
    Ok(ImageSource::Path(PathBuf::from(place)))
}

/// What of an image is meant, and what it has to be.
///
/// # Errors
/// As [`signature_of`].
pub(super) fn request(source: ImageSource, of: &ImageArgs) -> Result<ImageRequest> {
    let signed = signature_of(&source, of.signature.as_deref())?;
    let digest = match &source {
        ImageSource::Registry(image) => image.digest(),
        _ => None,
    };
    let mut request = ImageRequest::from(source);
    request.signed = signed;
    request.partition.clone_from(&of.partition);
    request.image_ref.clone_from(&of.image_ref);
    request.digest = of.digest.or(digest);
    Ok(request)
}

/// Standard input as an image.
///
/// # Errors
/// [`Invalid`](imgbase::ErrorKind::Invalid) where it is a terminal.
pub(super) fn stdin(is_terminal: bool) -> Result<ImageSource> {
    if is_terminal {
        return Err(invalid(
            "no image is given and standard input is a terminal: name a file, or redirect one",
        ));
    }
    Ok(ImageSource::Stdin)
}

/// The error for a layout whose base has to be named.
pub(super) fn no_name() -> Error {
    invalid("the base of a new layout has to be named: give NAME-VERSION-RELEASE")
}

/// The name that was given, else the one that the image gives itself.
///
/// # Errors
/// As [`name_of_image`](Imgbase::name_of_image).
pub(super) fn name(
    imgbase: &Imgbase<'_>,
    given: Option<&BaseName>,
    image: &ImageRequest,
    watch: &mut dyn Watch,
) -> Result<BaseName> {
    given.map_or_else(|| imgbase.name_of_image(image, watch), |name| Ok(name.clone()))
}

/// True for a word with a `://`.
pub(super) fn is_url(place: &OsStr) -> bool {
    place.as_bytes().windows(3).any(|three| three == b"://")
}
