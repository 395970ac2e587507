//! A registry of images, to run on this host for a test: unpacked, not installed.

use std::path::PathBuf;

use crate::error::Result;
use crate::setup::apt::update_lists;
use crate::setup::once;
use crate::setup::shell::script;

const BUILD: &str = "
apt-get -qq -o APT::Sandbox::User=root download docker-registry
dpkg -x docker-registry_*.deb .
rm docker-registry_*.deb
";

/// The program.
///
/// # Errors
/// Where the package cannot be fetched.
pub fn registry() -> Result<PathBuf> {
    let folder = once("registry", &[BUILD], |folder| {
        update_lists()?;
        script(folder, BUILD, &[]).map(drop)
    })?;
    Ok(folder.join("usr/bin/docker-registry"))
}
