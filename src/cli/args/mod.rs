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
use std::mem::ManuallyDrop;

use clap::{ArgMatches, Args, FromArgMatches, Parser, Subcommand};

pub(crate) use base::BaseArgs;
pub(crate) use boot::{BootArgs, RollbackArgs};
pub(crate) use export::ExportArgs;
#[cfg(feature = "liblvm")]
pub(crate) use global::MetadataBy;
pub(crate) use global::{GlobalArgs, Loader, WITH_VALUE};
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

/// A verb for the parser that knows no other.
struct Verb {
    name: &'static str,
    /// What it is to know.
    augment: fn(clap::Command) -> clap::Command,
    /// What it found.
    read: fn(&mut ArgMatches) -> Result<Command, clap::Error>,
}

macro_rules! verb {
    ($name:literal, $verb:ident($args:ty)) => {
        Verb {
            name: $name,
            augment: <$args>::augment_args,
            read: |matches| <$args>::from_arg_matches_mut(matches).map(Command::$verb),
        }
    };
}

const VERBS: [Verb; 21] = [
    verb!("layout", Layout(LayoutArgs)),
    verb!("base", Base(BaseArgs)),
    verb!("layer", Layer(LayerArgs)),
    verb!("boot", Boot(BootArgs)),
    verb!("rollback", Rollback(RollbackArgs)),
    verb!("update", Update(UpdateArgs)),
    verb!("mount", Mount(MountArgs)),
    verb!("umount", Umount(UmountArgs)),
    verb!("activate", Activate(ImagesArgs)),
    verb!("deactivate", Deactivate(ImagesArgs)),
    verb!("diff", Diff(DiffArgs)),
    verb!("export", Export(ExportArgs)),
    verb!("volume", Volume(VolumeArgs)),
    verb!("check", Check(CheckArgs)),
    verb!("recover", Recover(RecoverArgs)),
    verb!("gc", Gc(GcArgs)),
    verb!("watch", Watch(WatchArgs)),
    verb!("initrd", Initrd(InitrdArgs)),
    Verb { name: "w", augment: |parser| parser, read: |_| Ok(Command::W) },
    verb!("completions", Completions(CompletionsArgs)),
    verb!("man", Man(ManArgs)),
];

/// The place of the verb among the words, and what it is: behind the program's name and options
/// of every command.
fn verb(words: &[OsString]) -> Option<(usize, &'static Verb)> {
    let mut at = 1;
    loop {
        let word = words.get(at)?;
        if let Some(verb) = VERBS.iter().find(|verb| word == verb.name) {
            return Some((at, verb));
        }
        at += global::words_of(word)?;
    }
}

/// True where a verb has this name.
pub(crate) fn is_verb(name: &str) -> bool {
    VERBS.iter().any(|verb| verb.name == name)
}

impl Cli {
    /// What the words say, by a parser that knows the one verb that they name, and the options of
    /// every command only where there is one: the others are most of the time that parsing takes.
    /// What it accepts means the same to the whole parser; what it refuses, and all help, is for
    /// that one to say.
    pub(crate) fn of_one_verb(words: &[OsString]) -> Option<Self> {
        let (at, verb) = verb(words)?;
        let mut parser = (verb.augment)(clap::Command::new("imgbase"));
        let has_global = words.iter().any(|word| global::words_of(word).is_some());
        if has_global {
            parser = GlobalArgs::augment_args(parser);
        }
        let others = words.iter().enumerate().filter(|(place, _)| *place != at);
        // What clap knows is not taken apart again, which would take long.
        let mut parser = ManuallyDrop::new(parser);
        let mut matches = parser.try_get_matches_from_mut(others.map(|(_, word)| word)).ok()?;
        let global = match has_global {
            true => GlobalArgs::from_arg_matches_mut(&mut matches).ok()?,
            false => GlobalArgs::default(),
        };
        Some(Self { global, command: Some((verb.read)(&mut matches).ok()?) })
    }

    /// What the whole parser found.
    pub(crate) fn of_matches(mut matches: ArgMatches) -> Result<Self, clap::Error> {
        let global = GlobalArgs::from_arg_matches_mut(&mut matches)?;
        let command = matches.remove_subcommand().and_then(|(name, mut matches)| {
            let verb = VERBS.iter().find(|verb| verb.name == name)?;
            Some((verb.read)(&mut matches))
        });
        Ok(Self { global, command: command.transpose()? })
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
    use clap::CommandFactory;
    use proptest::prelude::*;
    use proptest::sample::select;

    /// Verbs, options of any, with and without a value, and other words.
    fn word() -> impl Strategy<Value = String> {
        let whole = Cli::command();
        let verbs: Vec<String> = VERBS.iter().map(|verb| verb.name.to_owned()).collect();
        let all = whole.get_subcommands().chain([&whole]).flat_map(clap::Command::get_arguments);
        let options: Vec<String> = all
            .filter_map(|option| option.get_long())
            .flat_map(|long| [format!("--{long}"), format!("--{long}=3")])
            .collect();
        let others = [
            "a-1-0",
            "a-1-0+1",
            "/mnt",
            "./x",
            "8G",
            "3",
            "bash",
            "none",
            "-",
            "--",
            "-q",
            "-yv",
            "-x",
            "-qh",
            "--help",
            "help",
            "--json",
            "--dry-run",
            "--vg",
            "--vg=x",
            "--lock-timeout=1",
            "",
        ];
        prop_oneof![select(verbs), select(options), select(others.map(str::to_owned).to_vec())]
    }

    proptest! {
        #[test]
        fn what_the_parser_of_one_verb_takes_means_the_same(
            before in prop::collection::vec(word(), 0..3),
            verb in select(VERBS.iter().map(|verb| verb.name.to_owned()).collect::<Vec<_>>()),
            after in prop::collection::vec(word(), 0..5),
        ) {
            let words = ["imgbase".to_owned()].into_iter().chain(before).chain([verb]).chain(after);
            let words: Vec<OsString> = words.map(OsString::from).collect();
            if let Some(alone) = Cli::of_one_verb(&words) {
                let whole = Cli::try_parse_from(&words).map(|cli| format!("{cli:?}"));
                prop_assert_eq!(Some(format!("{alone:?}")), whole.ok());
            }
        }
    }

    #[test]
    fn clap_finds_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_parser_of_one_verb_takes_nothing_else() {
        for line in [
            "",
            "--json",
            "help layer",
            "-- layer",
            "--vg layer",
            "--vg layer check --bad",
            "--latest layer",
            "a-1-0 layer --add",
            "layer --latest --json=x",
            "layer --latest --help",
            "layer --latest --vg a --vg b",
        ] {
            let words = format!("imgbase {line}");
            let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
            assert!(Cli::of_one_verb(&words).is_none(), "{line}");
        }
    }

    #[test]
    fn every_verb_knows_its_name() {
        let listed: Vec<String> =
            Cli::command().get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        assert_eq!(listed, VERBS.map(|verb| verb.name));
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
            for (before, after) in [
                ("", ""),
                ("--json --vg x", ""),
                ("-qy", "--lock-timeout=3"),
                ("", "--debug --loader none"),
            ] {
                let words = format!("imgbase {before} {verb} {rest} {after}");
                let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
                let cli = Cli::try_parse_from(&words).expect("a good command line");
                let alone = Cli::of_one_verb(&words).expect("as good");
                assert_eq!(format!("{alone:?}"), format!("{cli:?}"));
                assert_eq!(cli.command.expect("a command").name(), verb);
            }
            assert!(listed.iter().any(|name| name == verb));
        }
    }
}
