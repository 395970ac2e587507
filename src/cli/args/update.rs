//! `imgbase update`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use imgbase::layout::BaseName;
use imgbase::units::Bytes;

use super::ImageArgs;

const LONG_ABOUT: &str = "\
Makes a base of an image and a layer of it that takes over the state of the running layer (else of the \
default, else of the latest), and lets it boot next, on trial: where it does not come up, the layer \
before it boots again.

What was changed in /etc and /root since the old layer's base comes along: what only one side changed is \
taken from there, texts that both changed are merged by lines, accounts by entry. Where both do not fit, \
ours stays, the image's lies beside it as NAME.imgnew, and a warning names it; with --on-conflict image it is \
the other way round, ours being NAME.imgold, and with --on-conflict fail the update is stopped, all of them \
are named, and nothing is left of it. machine-id, host keys and \
the like are the host's. The old layer is only read; nothing of an update that fails is left. With --dry-run \
it is told how many changes would come along, what would be merged, and what is in conflict. What is edited in \
the old layer afterwards is told by 'imgbase boot --bless' and 'imgbase check' in the new one.

The new base shares what it has in common with an older one of its name, see 'imgbase base --help'. With \
--keep, old bases go afterwards as by 'imgbase gc'. While the running layer is on trial itself there is no \
update, unless --force is given: find it good first, by 'imgbase boot --bless'.
What else comes along is listed on the volume Config: paths, with * and the like, a line each, in files and \
files.d/* (taken as a whole where anything of it was changed) and in rebase.d/* (merged as /etc is); or in \
/etc/imgbase.conf, as 'paths =' in the sections [files] and [rebase]. Programs in hooks.d/ there, or in \
/etc/imgbase/hooks.d/, are run as NAME new-layer-added OLD_ROOT NEW_ROOT before the new layer exists, for 60 \
seconds at most ('timeout =' in [hooks]); one that fails stops the update.

The image is told by its content, as for 'imgbase base --add'; so is its name, where it has one.";

const AFTER: &str = "\
Examples:
  imgbase update ./debian-12.2.ext4.zst --nvr Debian-12-2
  imgbase update ./node.ext4
  imgbase update ./debian-12.3.ext4 --nvr Debian-12-3 --keep 2
  ssh store cat debian.raw.xz | imgbase update - --nvr Debian-12-2
  imgbase --dry-run update ./debian.qcow2 --nvr Debian-12-2";

/// Which side stands where both do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stands {
    /// Ours; the image's lies beside it as NAME.imgnew
    Keep,
    /// The image's; ours lies beside it as NAME.imgold
    Image,
    /// Neither: the update is stopped, and nothing is left of it
    Fail,
}

/// Make a layer of a new image that takes over the state of this one, and boots next
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT, after_long_help = AFTER)]
pub(crate) struct UpdateArgs {
    /// The image: a file, a block device, a folder with an OCI layout or a system's files, oci://HOST/NAME:TAG, or - for standard input
    #[arg(value_name = "IMAGE")]
    pub(crate) image: OsString,

    /// The new base's name, where the image does not say it
    #[arg(long, value_name = "NVR")]
    pub(crate) nvr: Option<BaseName>,

    /// Virtual size of the new base, at least its file system's, which grows to it, or of the one
    /// that is made for files
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<Bytes>,

    /// Write all of it, also what an older base of the same name has
    #[arg(long)]
    pub(crate) no_share: bool,

    /// Remove old bases and their layers afterwards, until so many of a name are left
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep: Option<u32>,

    /// What stands where both sides do not fit: ours, the image's, or nothing of the update
    #[arg(long, value_name = "WHICH", value_enum, default_value = "keep")]
    pub(crate) on_conflict: Stands,

    /// Update also while the running layer is on trial
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) of: ImageArgs,
}
