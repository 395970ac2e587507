//! Media types: what a part of an image is.

use super::shown;
use crate::error::{Error, ErrorKind, Result};
use crate::pack::Packing;

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    Index,
    Manifest,
}

const INDICES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// In front of how a layer is packed.
const LAYERS: [&str; 2] =
    ["application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"];

impl Document {
    pub(super) fn of(media_type: &str) -> Result<Self> {
        match media_type {
            _ if INDICES.contains(&media_type) => Ok(Self::Index),
            _ if MANIFESTS.contains(&media_type) => Ok(Self::Manifest),
            other => Err(unknown("it holds no image of a container, but", other)),
        }
    }
}

/// Refuses what is packed as an image and is none: charts, modules, signatures.
pub(super) fn check_config(media_type: &str) -> Result<()> {
    if CONFIGS.contains(&media_type) {
        return Ok(());
    }
    Err(unknown("it is no image of a container: its configuration is of the type", media_type))
}

/// How a layer says that it is packed.
pub(super) fn packing_of(media_type: &str) -> Result<Option<Packing>> {
    let rest = LAYERS.iter().find_map(|tar| media_type.strip_prefix(tar));
    match rest {
        Some("") => Ok(None),
        Some("+gzip" | ".gzip") => Ok(Some(Packing::Gzip)),
        Some("+zstd" | ".zstd") => Ok(Some(Packing::Zstd)),
        _ if media_type.ends_with("+encrypted") => {
            Err(unknown("a layer is encrypted, which is not read here:", media_type))
        }
        _ if media_type.contains(".foreign.") || media_type.contains(".nondistributable.") => {
            Err(unknown("a layer is not part of the image, but lies elsewhere:", media_type))
        }
        _ => Err(unknown("a layer is of a type that is not known here:", media_type)),
    }
}

fn unknown(why: &str, media_type: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{why} '{}'", shown(media_type)))
}
