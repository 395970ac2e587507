//! `imgbase layout`.

use std::ffi::OsString;

use clap::{ArgGroup, Args, ValueEnum};
use imgbase::units::Bytes;

use super::{ImageArgs, Word};

const LONG_ABOUT: &str = "\
Shows, measures or makes the layout.

Without an option: each base with its layers under it, their sizes, and marks for the layer that \
runs (current) and the one that boots next (default).

With --init and devices it makes physical volumes, the volume group, the thin pool ImagePool and the \
Config volume. A device is taken only if its first and last MiB hold nothing but zeros; what else is \
found there is named, and --force wipes it. A device in use is refused always. A plain file becomes \
a loop device. With a name and --from the first base and its first layer are made too.

With --init and no device an installed system is adopted: one whose root is a thin volume, whoever \
made that (as installers do with a thin pool). A snapshot of it, taken while it is suspended for a \
moment, becomes the base, a snapshot of that the first layer, which boots next where there is a loader; \
nothing is copied. The system's own volume is tagged imgbased:init and stays as it is; what is changed \
in it from then on is not in the layer, so restart soon. Without a name the base is called as the \
system says in /etc/os-release, as debian-12-0. --from says which system: / by default, which is asked \
for, else a mount point, VG/LV or a device. Where that was done before nothing is changed.
A system that is no thin volume is copied instead: --from / with devices, which become the layout.

With --grow the pool's data grows by that size from what the group has free, and its metadata to the \
default for the group's size where it is smaller. Layers may be in use meanwhile.

A word with a slash is a device, any other a name.";

const USAGE: &str = "\
imgbase layout [OPTIONS]
       imgbase layout --bases | --layers | --free-space [--units UNIT] [OPTIONS]
       imgbase layout --init [NVR --from IMAGE] [OPTIONS] DEVICE...
       imgbase layout --init [NVR] [--from SOURCE] [OPTIONS]
       imgbase layout --grow SIZE [OPTIONS]";

const AFTER: &str = "\
Examples:
  imgbase layout
  imgbase layout --layers
  imgbase layout --free-space --units g
  imgbase layout --init /dev/sdb /dev/sdc
  imgbase layout --init --size 20G --config-size 0 /dev/sdb
  imgbase layout --init Debian-12-1 --from ./debian.ext4 /dev/sdb
  imgbase layout --init Debian-12-1 --from / /dev/sdb
  imgbase layout --init
  imgbase --yes layout --init Fedora-41-0 --from fedora/root
  imgbase --dry-run layout --init --from /mnt/other
  imgbase layout --grow 10G
  imgbase --dry-run layout --init /dev/sdb";

/// Unit of a printed size: powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unit {
    B,
    K,
    M,
    G,
}

impl Unit {
    /// Its letter.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::B => 'b',
            Self::K => 'k',
            Self::M => 'm',
            Self::G => 'g',
        }
    }

    /// Bytes in it.
    pub(crate) const fn bytes(self) -> u64 {
        match self {
            Self::B => 1,
            Self::K => 1 << 10,
            Self::M => 1 << 20,
            Self::G => 1 << 30,
        }
    }
}

/// Show, make or grow the layout
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT, after_long_help = AFTER, override_usage = USAGE)]
#[command(group = ArgGroup::new("action")
    .args(["bases", "layers", "free_space", "init", "init_nvr", "grow"]))]
#[command(group = ArgGroup::new("making").args(["init", "init_nvr"]).multiple(true))]
#[command(group = ArgGroup::new("how").multiple(true).requires("making")
    .args(["from", "partition", "image_ref", "digest", "signature", "size", "config_size", "metadata_size", "mda_size", "force", "words"])
    .conflicts_with_all(["bases", "layers", "free_space", "grow"]))]
pub(crate) struct LayoutArgs {
    /// Print the bases, one name a line, in order of creation
    #[arg(long)]
    pub(crate) bases: bool,

    /// Print the layers, one name a line, in order of creation
    #[arg(long)]
    pub(crate) layers: bool,

    /// Print the free space of the pool's data (with -v of its metadata too)
    #[arg(long)]
    pub(crate) free_space: bool,

    /// Unit of the free space, powers of 1024
    #[arg(long, value_name = "UNIT", value_enum, default_value = "m", requires = "free_space")]
    #[arg(conflicts_with_all = ["bases", "layers", "making", "grow"])]
    pub(crate) units: Unit,

    /// Make a layout on devices, with a first base of this name where --from is given; without a
    /// device adopt an installed system
    #[arg(long, value_name = "NVR", num_args = 0..=1, value_parser = Word::parser())]
    pub(crate) init: Option<Option<Word>>,

    /// The same, the first base's name given here
    #[arg(long, value_name = "NVR")]
    pub(crate) init_nvr: Option<String>,

    /// Make the pool's data larger by this size, in use or not
    #[arg(long, value_name = "SIZE")]
    pub(crate) grow: Option<Bytes>,

    /// The first base's image: a file, a block device, a folder with an OCI layout or with a system's files (/ too),
    /// oci://HOST/NAME:TAG, or - for standard input; without a DEVICE the system to adopt: a mount point, VG/LV or a block device
    #[arg(long, value_name = "IMAGE|SOURCE")]
    pub(crate) from: Option<OsString>,

    #[command(flatten)]
    pub(crate) of: ImageArgs,

    /// Size of the pool's data (default: leaves 5 % of the group and one more metadata volume)
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<Bytes>,

    /// Size of the Config volume, 0 for none (default: 64M)
    #[arg(long, value_name = "SIZE")]
    pub(crate) config_size: Option<Bytes>,

    /// Size of the pool's metadata (default: 64 MiB, 1 GiB where the group has 100 GiB)
    #[arg(long, value_name = "SIZE")]
    pub(crate) metadata_size: Option<Bytes>,

    /// Size of the metadata area on each device (default: the rest of its first MiB)
    #[arg(long, value_name = "SIZE")]
    pub(crate) mda_size: Option<Bytes>,

    /// Wipe devices that are not blank; never one in use
    #[arg(long)]
    pub(crate) force: bool,

    /// Whole disks, partitions or plain files
    #[arg(value_name = "DEVICE", value_parser = Word::parser())]
    pub(crate) words: Vec<Word>,
}

impl LayoutArgs {
    /// True where it makes or changes the layout.
    pub(crate) fn changes(&self) -> bool {
        self.init.is_some() || self.init_nvr.is_some() || self.grow.is_some()
    }
}
