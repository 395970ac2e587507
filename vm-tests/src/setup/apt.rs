//! The packages of Debian that building and testing take.

use std::path::Path;
use std::sync::Mutex;

use crate::error::{Doing, Fail, Result};
use crate::runner::lock;
use crate::setup::shell::output;

/// What is needed beyond git, a C compiler and the Rust toolchain.
const PACKAGES: &[&str] = &[
    "e2fsprogs",
    "fdisk",
    "grub-common",
    "kmod",
    "libclang-dev",
    "libdevmapper-dev",
    "liblvm2-dev",
    "mmdebstrap",
    "pkg-config",
    "qemu-system-x86",
    "qemu-utils",
    "squashfs-tools",
    "xz-utils",
    "zstd",
];

/// Installs what is missing, and says so.
///
/// # Errors
/// Where apt-get fails, or is needed and this is not root.
pub fn packages() -> Result<()> {
    install(PACKAGES)
}

/// Installs those that are missing, and says so.
///
/// # Errors
/// As [`packages`].
pub fn install(names: &[&str]) -> Result<()> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("set-up: apt-get install {}", missing.join(" "));
    if !rustix::process::geteuid().is_root() {
        return Err(Fail::new("installing packages takes root: run this once as root"));
    }
    update_lists()?;
    let quietly = ["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y"];
    let install = ["--no-install-recommends", "install"];
    output("env", &[&quietly[..], &install, &missing].concat()).doing("apt-get install")?;
    Ok(())
}

fn installed(package: &str) -> bool {
    let query = output("dpkg-query", &["-W", "-f=${db:Status-Status}", package]);
    query.is_ok_and(|status| status == "installed")
}

/// Fetches the lists of packages, once: with old ones apt asks for versions that are gone, or finds
/// that what is installed is newer than what it knows. Where they cannot be fetched, those that are
/// there must do.
pub(super) fn update_lists() -> Result<()> {
    static DONE: Mutex<bool> = Mutex::new(false);
    let mut done = lock(&DONE);
    if !*done {
        match output("apt-get", &["-qq", "update"]) {
            Err(_) if Path::new("/var/lib/apt/lists").read_dir().is_ok_and(has_a_list) => {}
            result => result.map(drop).doing("apt-get update")?,
        }
    }
    *done = true;
    Ok(())
}

fn has_a_list(entries: std::fs::ReadDir) -> bool {
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
}
