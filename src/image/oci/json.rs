//! What the documents of an image say, as far as it is of use here.
//!
//! Sources: the OCI image specification 1.1, "Image Index", "Image Manifest", "Content Descriptors",
//! "Image Configuration"; the Docker image manifest, version 2, schema 2.

use serde_json::Value;

use super::shown;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// No document is longer. What becomes of it in memory is some ten times as much at the worst.
pub(super) const MOST: u64 = 2 << 20;

/// More images in an index, or layers in an image, than anybody has.
const LISTED_MOST: usize = 1024;

/// Notes of two that name images.
const NAMES: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];

/// What refers to a part of an image.
#[derive(Clone, Debug)]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    digest: String,
    pub(super) size: u64,
    pub(super) platform: Option<Platform>,
    pub(super) names: Vec<String>,
}

impl Descriptor {
    fn of(value: &Value) -> Option<Self> {
        let annotations = value.get("annotations");
        let name = |key: &&str| text(annotations?, key);
        Some(Self {
            media_type: text(value, "mediaType").unwrap_or_default(),
            digest: text(value, "digest")?,
            size: value.get("size")?.as_u64()?,
            platform: value.get("platform").map(Platform::of),
            names: NAMES.iter().filter_map(name).collect(),
        })
    }

    pub(super) fn digest(&self) -> Result<Digest> {
        self.digest.parse().map_err(|_| {
            let why = format!("its digest '{}' is no SHA-256", shown(&self.digest));
            Error::new(ErrorKind::Unsupported, why)
        })
    }

    /// As it is called in a list.
    pub(super) fn word(&self) -> String {
        let platform = self.platform.as_ref().map(|platform| shown(&platform.to_string()));
        let name = self.names.first().map(|name| shown(name));
        let digest = || shown(self.digest.get(..23).unwrap_or(&self.digest));
        match (name, platform) {
            (Some(name), Some(platform)) => format!("{name} ({platform})"),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => digest(),
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// What an image is to run on.
#[derive(Clone, Debug)]
pub(super) struct Platform {
    pub(super) os: String,
    pub(super) architecture: String,
    pub(super) variant: Option<String>,
}

impl Platform {
    fn of(value: &Value) -> Self {
        Self {
            os: text(value, "os").unwrap_or_default(),
            architecture: text(value, "architecture").unwrap_or_default(),
            variant: text(value, "variant"),
        }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// The images that an index lists.
pub(super) fn index(bytes: &[u8]) -> Result<Vec<Descriptor>> {
    let what = "index";
    let index = parse(bytes, what)?;
    check_version(&index, what)?;
    if index.get("config").is_some() || index.get("layers").is_some() {
        return Err(damaged(what, "it is an image as well"));
    }
    match index.get("manifests") {
        Some(listed) => descriptors(listed, what),
        None => Ok(Vec::new()),
    }
}

/// One image.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

impl Manifest {
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let what = "manifest";
        let manifest = parse(bytes, what)?;
        check_version(&manifest, what)?;
        if manifest.get("manifests").is_some() {
            return Err(damaged(what, "it is an index as well"));
        }
        let config = manifest.get("config").and_then(Descriptor::of);
        Ok(Self {
            config: config.ok_or_else(|| damaged(what, "it names no configuration"))?,
            layers: descriptors(manifest.get("layers").unwrap_or(&Value::Null), what)?,
        })
    }
}

/// What an image says of itself.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) platform: Platform,
    /// The digests of its layers, unpacked.
    pub(super) unpacked: Vec<String>,
}

impl Config {
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let what = "configuration";
        let config = parse(bytes, what)?;
        let listed = config.get("rootfs").and_then(|tree| tree.get("diff_ids"));
        let listed = listed.and_then(Value::as_array);
        let listed = listed.ok_or_else(|| damaged(what, "it does not know its layers"))?;
        let unpacked = listed.iter().map(|id| id.as_str().unwrap_or_default().to_owned()).collect();
        Ok(Self { platform: Platform::of(&config), unpacked })
    }
}

/// Fails for a layout of another version than 1.
pub(super) fn check_layout(bytes: &[u8]) -> Result<()> {
    let version = text(&parse(bytes, "oci-layout")?, "imageLayoutVersion").unwrap_or_default();
    if version.starts_with("1.") {
        return Ok(());
    }
    let version = shown(&version);
    let why = format!("its layout is of the version '{version}', and only 1 is known here");
    Err(Error::new(ErrorKind::Unsupported, why))
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

fn descriptors(listed: &Value, what: &str) -> Result<Vec<Descriptor>> {
    let listed = listed.as_array().ok_or_else(|| damaged(what, "it has no list"))?;
    if listed.len() > LISTED_MOST {
        let why = format!("its {what} lists more than {LISTED_MOST} parts");
        return Err(Error::new(ErrorKind::Unsupported, why));
    }
    let found: Option<_> = listed.iter().map(Descriptor::of).collect();
    found.ok_or_else(|| damaged(what, "a part has no digest or no size"))
}

fn parse(bytes: &[u8], what: &str) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| damaged(what, &error.to_string()))
}

fn check_version(value: &Value, what: &str) -> Result<()> {
    if value.get("schemaVersion").and_then(Value::as_u64) == Some(2) {
        return Ok(());
    }
    let why = format!("its {what} is of another version than 2, the only one known here");
    Err(Error::new(ErrorKind::Unsupported, why))
}

fn damaged(what: &str, why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("its {what} cannot be read: {why}"))
}
