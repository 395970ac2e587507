//! The guest's kernel: Debian's own for cloud machines, which is small and starts fast.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Doing, Fail, Result};
use crate::setup::shell::{output, path, script};
use crate::setup::{apt, once};

const META: &str = "linux-image-cloud-amd64";

/// Fetches and unpacks the package named by `$1`.
const UNPACK: &str = r#"
apt-get -qq -o APT::Sandbox::User=root download "$1"
dpkg -x ./*.deb unpacked
mv unpacked/boot/vmlinuz-* vmlinuz
mv unpacked/lib/modules modules
rm -r unpacked ./*.deb
"#;

/// A kernel and the folder of its modules.
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    pub(super) modules: PathBuf,
}

pub(super) fn kernel() -> Result<Kernel> {
    let folder = once("kernel", &[META, UNPACK], |folder| {
        apt::update_lists()?;
        script(folder, UNPACK, &[&real_package()?]).map(drop)
    })?;
    Ok(Kernel { image: folder.join("vmlinuz"), modules: only_entry(&folder.join("modules"))? })
}

/// The package that the meta package depends on.
fn real_package() -> Result<String> {
    let depends = output("apt-cache", &["depends", "--no-recommends", META])?;
    let found = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image"));
    found
        .map(|rest| format!("linux-image{rest}"))
        .ok_or_else(|| Fail::new(format!("{META}: no kernel in apt's lists")))
}

fn only_entry(folder: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(folder).doing(path(folder))?;
    let first = entries.next().ok_or_else(|| Fail::new(format!("{}: empty", path(folder))))??;
    Ok(first.path())
}
