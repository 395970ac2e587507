//! Programs of the host's owner that are run over a new layer.

use std::time::Duration;

use super::wishes::named_in;
use crate::error::{Error, ErrorKind, Result};
use crate::root::RootFiles;

/// What a hook is told has happened: a layer has what is carried over, and does not exist yet.
pub const NEW_LAYER: &str = "new-layer-added";

/// How long a hook may take where nothing else was said.
pub const HOOK_LIMIT: Duration = Duration::from_secs(60);

/// Where hooks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookPlace {
    /// On the Config volume.
    Config,
    /// In the layer whose state is carried over.
    Layer,
}

impl HookPlace {
    /// Their folder there.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Config => "/hooks.d",
            Self::Layer => "/etc/imgbase/hooks.d",
        }
    }
}

/// A program of the host's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Where it is.
    pub place: HookPlace,
    /// Its name there.
    pub name: String,
}

/// The hooks in a tree, in the order of their names: files that may be run.
pub(super) fn hooks_in(files: &dyn RootFiles, place: HookPlace) -> Result<Vec<Hook>> {
    let mut hooks = Vec::new();
    for path in named_in(files, place.folder())? {
        let Some(access) = files.access(&path)? else { continue };
        if access.mode & 0o111 == 0 {
            continue;
        }
        if !access.is_roots_alone() {
            return Err(not_roots(&path));
        }
        let name = path.rsplit_once('/').map_or(path.as_str(), |(_, name)| name).to_owned();
        hooks.push(Hook { place, name });
    }
    Ok(hooks)
}

/// The error for a hook that others than root may change.
pub(crate) fn not_roots(path: &str) -> Error {
    let why = "it is run as root, and others may change it: chown root:root, chmod go-w";
    Error::new(ErrorKind::Denied, why).at(format_args!("the hook {path}"))
}
