//! The static binaries, built anew for each run, and the disk that brings them into the guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Doing, Fail, Result};
use crate::setup::shell::{path, script};
use crate::setup::workspace;

/// Named even where it is the host, or what is static for it would be for build scripts too.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";
/// How the tests are built: with what lvm2's library and registries add, and for the target that
/// static binaries need, so that both share their dependencies.
pub const FOR_TESTS: &[&str] = &["--target", TARGET, "--features", "liblvm,imgbase-sys/liblvm,oci"];
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
    /// The command and the program with lvm2's library, where they were asked for.
    pub library: Vec<PathBuf>,
}

impl Binaries {
    /// Builds the guest's half only.
    ///
    /// # Errors
    /// Where cargo fails.
    pub fn guest_only() -> Result<Self> {
        let guest = of_the_harness("guest", "guest", &[])?;
        Ok(Self { guest, imgbase: None, bench: None, library: Vec::new() })
    }

    /// Builds both; what `IMGBASE_BINARY` names is taken as it is.
    ///
    /// # Errors
    /// Where cargo fails.
    pub fn all() -> Result<Self> {
        let only = Self::guest_only()?;
        if let Some(ready) = std::env::var_os("IMGBASE_BINARY") {
            return Ok(Self { imgbase: Some(ready.into()), ..only });
        }
        eprintln!("set-up: cargo static");
        cargo(&["static"])?;
        Ok(Self { imgbase: Some(built("imgbase", RELEASE)), ..only })
    }

    /// The same with what the feature `liblvm` gives: as the tests build it, dynamic, as the library
    /// is.
    ///
    /// # Errors
    /// Where cargo fails.
    pub fn with_library(self) -> Result<Self> {
        eprintln!("set-up: the feature liblvm");
        // The tests' own: built for themselves their dependencies would have other features.
        let build = ["test", "--quiet", "--workspace", "--no-run"];
        cargo(&[&build[..], FOR_TESTS].concat())?;
        // No test has this one put in its place.
        let build = ["build", "--quiet", "-p", "imgbase-sys", "--bin", "imgbase-liblvm"];
        cargo(&[&build[..], &["--features", "liblvm", "--target", TARGET]].concat())?;
        let library = ["imgbase", "imgbase-liblvm"].map(|name| built(name, "debug"));
        Ok(Self { library: library.into(), ..self })
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

fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| workspace().join("target"))
}

fn built(name: &str, profile: &str) -> PathBuf {
    target().join(TARGET).join(profile).join(name)
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
    let library = content.join("liblvm");
    fs::create_dir_all(&library)?;
    let put = |file: &Path, into: &Path| {
        fs::copy(file, into.join(file.file_name().unwrap_or_default())).doing(path(file))
    };
    for binary in [Some(&binaries.guest), binaries.imgbase.as_ref(), binaries.bench.as_ref()] {
        binary.map_or(Ok(0), |binary| put(binary, &content))?;
    }
    for binary in &binaries.library {
        put(binary, &library)?;
    }
    script(
        folder,
        "if [ -e tools/liblvm/imgbase ]; then strip tools/liblvm/*; fi
        mke2fs -q -t ext4 -L tools -O ^has_journal -d tools tools.img 64M; rm -r tools",
        &[],
    )?;
    Ok(folder.join("tools.img"))
}
