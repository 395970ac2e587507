//! What the user typed, checked as far as the words alone allow.
//!
//! Names and sizes are parsed here, so nothing after the parser meets a bad
//! one. What the words mean together is the business of `commands`.

mod base;
mod boot;
mod export;
mod global;
mod image;
mod layer;
mod layout;
mod small;
mod update;
mod volume;
mod word;

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

pub(crate) use base::BaseArgs;
pub(crate) use boot::{BootArgs, RollbackArgs};
pub(crate) use export::ExportArgs;
#[cfg(feature = "liblvm")]
pub(crate) use global::MetadataBy;
pub(crate) use global::{GlobalArgs, Loader};
pub(crate) use image::ImageArgs;
pub(crate) use layer::LayerArgs;
pub(crate) use layout::{LayoutArgs, Unit};
pub(crate) use small::{
    CheckArgs, CompletionsArgs, DiffArgs, GcArgs, ImagesArgs, InitrdArgs, ManArgs, MountArgs,
    RecoverArgs, UmountArgs, WatchArgs,
};
pub(crate) use update::{Stands, UpdateArgs};
pub(crate) use volume::VolumeArgs;
pub(crate) use word::Word;

/// Version, with the git revision where the build knew it.
pub(crate) const VERSION: &str = match option_env!("IMGBASE_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

const ABOUT: &str = "Read-only base images and writable layers in an LVM thin pool";

const LONG_ABOUT: &str = "\
Keeps read-only operating system images (bases) and writable snapshots of them (layers) in an LVM \
thin pool. It reads and writes LVM2's metadata and drives device-mapper by itself; lvm2 need not be \
installed, and where it is, both see the same volumes.

Data goes to standard output, everything for people to standard error.";

const AFTER: &str = "\
Examples:
  imgbase layout --init Debian-12-1 --from ./debian.ext4 /dev/sdb
  imgbase layer --add
  imgbase layout
  imgbase mount Debian-12-1+2 /mnt
  imgbase --json check

Exit status: 0 done, 1 reading, writing or a helper program failed, 2 bad arguments,
  3 not found, exists, busy or not permitted, 4 no space, 5 unsupported, 6 corrupt,
  7 needs recovery, 8 a check failed, 130 interrupted.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "imgbase", version = VERSION, about = ABOUT, long_about = LONG_ABOUT)]
#[command(after_long_help = AFTER, override_usage = "imgbase [OPTIONS] COMMAND")]
#[command(subcommand_help_heading = "Commands")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Layout(LayoutArgs),
    Base(BaseArgs),
    Layer(LayerArgs),
    Boot(BootArgs),
    Rollback(RollbackArgs),
    Update(UpdateArgs),
    Mount(MountArgs),
    Umount(UmountArgs),
    /// Activate bases and layers
    #[command(after_long_help = small::ACTIVATE_AFTER)]
    Activate(ImagesArgs),
    /// Deactivate bases and layers
    #[command(after_long_help = small::DEACTIVATE_AFTER)]
    Deactivate(ImagesArgs),
    Diff(DiffArgs),
    Export(ExportArgs),
    Volume(VolumeArgs),
    Check(CheckArgs),
    Recover(RecoverArgs),
    Gc(GcArgs),
    Watch(WatchArgs),
    Initrd(InitrdArgs),
    /// Say which layer this host runs from
    ///
    /// Prints `You are on LAYER`, or fails with exit status 3 where / is not a layer.
    #[command(after_long_help = small::W_AFTER)]
    W,
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// What the parser of a verb is to know.
type Augment = fn(clap::Command) -> clap::Command;

const VERBS: [(&str, Augment); 21] = [
    ("layout", LayoutArgs::augment_args),
    ("base", BaseArgs::augment_args),
    ("layer", LayerArgs::augment_args),
    ("boot", BootArgs::augment_args),
    ("rollback", RollbackArgs::augment_args),
    ("update", UpdateArgs::augment_args),
    ("mount", MountArgs::augment_args),
    ("umount", UmountArgs::augment_args),
    ("activate", ImagesArgs::augment_args),
    ("deactivate", ImagesArgs::augment_args),
    ("diff", DiffArgs::augment_args),
    ("export", ExportArgs::augment_args),
    ("volume", VolumeArgs::augment_args),
    ("check", CheckArgs::augment_args),
    ("recover", RecoverArgs::augment_args),
    ("gc", GcArgs::augment_args),
    ("watch", WatchArgs::augment_args),
    ("initrd", InitrdArgs::augment_args),
    ("w", |verb| verb),
    ("completions", CompletionsArgs::augment_args),
    ("man", ManArgs::augment_args),
];

impl Cli {
    /// A parser that knows the first verb among the words and no other, which is most of the time
    /// that parsing takes. What it accepts means the same to the whole parser; what it refuses, and
    /// all help, is for that one to say.
    pub(crate) fn of_one_verb(words: &[OsString]) -> Option<clap::Command> {
        let mut words = words.iter().skip(1);
        let is_verb = |word: &OsString| VERBS.iter().find(|(name, _)| word == name);
        let (name, augment) = words.find_map(is_verb)?;
        let root = GlobalArgs::augment_args(clap::Command::new("imgbase"));
        Some(root.subcommand(augment(clap::Command::new(*name))))
    }
}

impl Command {
    /// As typed.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Layout(_) => "layout",
            Self::Base(_) => "base",
            Self::Layer(_) => "layer",
            Self::Boot(_) => "boot",
            Self::Rollback(_) => "rollback",
            Self::Update(_) => "update",
            Self::Mount(_) => "mount",
            Self::Umount(_) => "umount",
            Self::Activate(_) => "activate",
            Self::Deactivate(_) => "deactivate",
            Self::Diff(_) => "diff",
            Self::Export(_) => "export",
            Self::Volume(_) => "volume",
            Self::Check(_) => "check",
            Self::Recover(_) => "recover",
            Self::Gc(_) => "gc",
            Self::Watch(_) => "watch",
            Self::Initrd(_) => "initrd",
            Self::W => "w",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }

    /// True where a stop has to be a clean one: something may be half done. The others may end
    /// at any moment.
    pub(crate) fn must_stop_cleanly(&self) -> bool {
        match self {
            Self::Layout(layout) => layout.changes(),
            Self::Base(base) => base.changes(),
            Self::Layer(layer) => layer.changes(),
            Self::Boot(boot) => boot.changes(),
            Self::Rollback(_) | Self::Update(_) | Self::Gc(_) => true,
            Self::Mount(_) | Self::Umount(_) | Self::Activate(_) | Self::Deactivate(_) => true,
            Self::Diff(_) | Self::Check(_) | Self::Recover(_) | Self::Watch(_) => true,
            Self::Export(_) | Self::Initrd(_) => true,
            Self::Volume(volume) => !volume.list,
            Self::W | Self::Completions(_) | Self::Man(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches};

    #[test]
    fn clap_finds_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_knows_its_name() {
        let listed: Vec<String> =
            Cli::command().get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        assert_eq!(listed, VERBS.map(|(name, _)| name));
        for (verb, rest) in [
            ("layout", ""),
            ("base", "--latest"),
            ("layer", "--latest"),
            ("boot", "--list"),
            ("rollback", ""),
            ("update", "image"),
            ("mount", "a-1-0 /mnt"),
            ("umount", "/mnt"),
            ("activate", ""),
            ("deactivate", ""),
            ("diff", ""),
            ("export", "a-1-0 ./x --format tar"),
            ("volume", "--create /var/log 8G --layer a-1-0+1"),
            ("check", ""),
            ("recover", "--list"),
            ("gc", "--keep 3"),
            ("watch", "--once --threshold 80"),
            ("initrd", "--output /boot/x --kernel 6.1.0 --module a --module b --root /mnt"),
            ("w", ""),
            ("completions", "bash"),
            ("man", ""),
        ] {
            let words = ["imgbase", verb].into_iter().chain(rest.split_whitespace());
            let words: Vec<OsString> = words.map(OsString::from).collect();
            let cli = Cli::try_parse_from(&words).expect("a good command line");
            let alone = Cli::of_one_verb(&words).expect("a verb");
            let mut alone = alone.try_get_matches_from(&words).expect("as good");
            let alone = Cli::from_arg_matches_mut(&mut alone).expect("all that is needed");
            assert_eq!(format!("{alone:?}"), format!("{cli:?}"));
            assert_eq!(cli.command.expect("a command").name(), verb);
            assert!(listed.iter().any(|name| name == verb));
        }
    }
}
