//! The static binaries, built anew for each run, and the disk that brings them into the guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Doing, Fail, Result};
use crate::setup::shell::{path, script};
use crate::setup::workspace;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Cargo's profile for the static binary.
const RELEASE: &str = "release";

/// What the guest gets.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The harness's half in the guest.
    pub guest: PathBuf,
    /// The command under test, where it was asked for.
    pub imgbase: Option<PathBuf>,
    /// The benchmark's half in the guest, where it was asked for.
    pub bench: Option<PathBuf>,
}

impl Binaries {
    /// Builds the guest's half only.
    ///
    /// # Errors
    /// Where cargo fails.
    pub fn guest_only() -> Result<Self> {
        Ok(Self { guest: of_the_harness("guest", RELEASE, &[])?, imgbase: None, bench: None })
    }

    /// Builds both; what `IMGBASE_BINARY` names is taken as it is.
    ///
    /// # Errors
    /// Where cargo fails.
    pub fn all() -> Result<Self> {
        let guest = Self::guest_only()?.guest;
        if let Some(ready) = std::env::var_os("IMGBASE_BINARY") {
            return Ok(Self { guest, imgbase: Some(ready.into()), bench: None });
        }
        eprintln!("set-up: cargo static");
        cargo(&["static"])?;
        Ok(Self { guest, imgbase: Some(built("imgbase", RELEASE)), bench: None })
    }

    /// Builds all, with the benchmark's half.
    ///
    /// # Errors
    /// Where cargo fails.
    pub fn for_benchmark() -> Result<Self> {
        let all = Self::all()?;
        eprintln!("set-up: the benchmark's half in the guest");
        Ok(Self {
            bench: Some(of_the_harness("bench-guest", "installer", &["--features", "guest"])?),
            ..all
        })
    }
}

fn of_the_harness(name: &str, profile: &str, features: &[&str]) -> Result<PathBuf> {
    let package =
        ["rustc", "--quiet", "--profile", profile, "-p", "imgbase-vm-tests", "--bin", name];
    let fixed = [
        "--target",
        TARGET,
        "--",
        "-C",
        "target-feature=+crt-static",
        "-C",
        "relocation-model=static",
    ];
    cargo(&[&package[..], features, &fixed].concat())?;
    Ok(built(name, profile))
}

fn built(name: &str, profile: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| workspace().join("target"));
    target.join(TARGET).join(profile).join(name)
}

fn cargo(args: &[&str]) -> Result<()> {
    let status =
        Command::new("cargo").args(args).current_dir(workspace()).status().doing("cargo")?;
    let failed = || Fail::new(format!("cargo {}: {status}", args.join(" ")));
    if status.success() { Ok(()) } else { Err(failed()) }
}

/// Makes the disk `tools.img` in `folder`.
///
/// # Errors
/// Where a binary is missing or mke2fs fails.
pub fn tools_disk(binaries: &Binaries, folder: &Path) -> Result<PathBuf> {
    let content = folder.join("tools");
    fs::create_dir_all(&content)?;
    fs::copy(&binaries.guest, content.join("guest")).doing(path(&binaries.guest))?;
    let rest = [("imgbase", &binaries.imgbase), ("bench-guest", &binaries.bench)];
    for (name, binary) in rest {
        if let Some(binary) = binary {
            fs::copy(binary, content.join(name)).doing(path(binary))?;
        }
    }
    script(folder, "mke2fs -q -t ext4 -O ^has_journal -d tools tools.img 64M; rm -r tools", &[])?;
    Ok(folder.join("tools.img"))
}
