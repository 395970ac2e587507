//! What the program needs of the global options, as opposed to what was typed.

use std::path::PathBuf;
use std::time::Duration;

use imgbase::boot::LoaderKind;
use imgbase::error::IoContext;
use imgbase::host::{self, HostConfig, Metadata};
use imgbase::name::VgName;
use imgbase::{Error, ErrorKind, Result};

use super::args::{GlobalArgs, Loader};
use super::render::Format;

/// How much is said on standard error, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loudness {
    /// Errors only.
    Quiet,
    /// Warnings and progress too.
    Normal,
    /// Steps too.
    Verbose,
    /// Every change of the machine too.
    Debug,
}

/// Settings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The group to work in.
    pub(crate) vg: Option<VgName>,
    /// How data is printed.
    pub(crate) format: Format,
    /// How much else is.
    pub(crate) loudness: Loudness,
    /// True to change nothing.
    pub(crate) dry_run: bool,
    /// The file of configuration that was named.
    pub(crate) config: Option<PathBuf>,
    /// How long a lock is waited for.
    pub(crate) lock_timeout: Duration,
    /// Where the loader reads its entries.
    pub(crate) boot_dir: Option<PathBuf>,
    /// The loader.
    pub(crate) loader: Option<Loader>,
    /// Who reads and writes texts.
    pub(crate) metadata: Metadata,
    /// True where nothing is to be asked.
    pub(crate) yes: bool,
}

impl From<GlobalArgs> for Settings {
    fn from(args: GlobalArgs) -> Self {
        Self {
            loudness: loudness(&args),
            metadata: metadata(&args),
            vg: args.vg,
            format: if args.json { Format::Json } else { Format::Text },
            dry_run: args.dry_run,
            config: args.config,
            lock_timeout: args.lock_timeout,
            boot_dir: args.boot_dir,
            loader: args.loader,
            yes: args.yes,
        }
    }
}

fn metadata(args: &GlobalArgs) -> Metadata {
    #[cfg(feature = "liblvm")]
    if args.metadata == super::args::MetadataBy::Liblvm {
        return Metadata::Liblvm;
    }
    let _ = args;
    Metadata::Native
}

fn loudness(args: &GlobalArgs) -> Loudness {
    match (args.debug, args.verbose, args.quiet) {
        (true, ..) => Loudness::Debug,
        (_, true, _) => Loudness::Verbose,
        (.., true) => Loudness::Quiet,
        _ => Loudness::Normal,
    }
}

impl Settings {
    /// Fails where a file that was named is not there.
    pub(crate) fn check(&self) -> Result<()> {
        log::debug!("yes {}", self.yes);
        let Some(config) = &self.config else { return Ok(()) };
        let shown = config.display().to_string();
        let file = std::fs::metadata(config).context("read the configuration", &shown)?;
        if file.is_dir() {
            let error = Error::new(ErrorKind::Invalid, "it is a folder");
            return Err(error.op("read the configuration").at(shown));
        }
        Ok(())
    }

    /// How the machine is to be used: what was typed counts more than what the configuration says.
    pub(crate) fn host(&self) -> Result<HostConfig> {
        let said = HostConfig::read(self.config.as_deref())?;
        Ok(HostConfig {
            lock_timeout: self.lock_timeout,
            metadata: self.metadata,
            loader: self.loader.map_or(said.loader, |loader| match loader {
                Loader::None => host::BootLoader::None,
                Loader::SystemdBoot => host::BootLoader::Known(LoaderKind::SystemdBoot),
                Loader::GrubBls => host::BootLoader::Known(LoaderKind::GrubBls),
                Loader::Grub => host::BootLoader::Known(LoaderKind::Grub),
            }),
            boot_dir: self.boot_dir.clone().or(said.boot_dir),
            program: Some(PathBuf::from("/proc/self/exe")),
            tries: said.tries,
            before_udev: said.before_udev,
        })
    }
}
