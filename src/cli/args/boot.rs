//! `imgbase boot` and `imgbase rollback`.

use clap::{ArgGroup, Args};
use imgbase::boot::Tries;
use imgbase::layout::LayerName;

const LONG_ABOUT: &str = "\
Shows and chooses what boots.

Each layer has one boot entry for each kernel in its own /boot. Kernels lie in the boot folder once, \
however many layers share them. Arguments belong to the layer and are inherited by those made from it.

A layer that was never found good is on trial when it becomes the default: the loader starts it three \
times at most (see --tries and below), then the layer before it again. What runs is found good by \
--bless, which a system calls once it is up: the unit imgbase-bless.service does.

With --boot-dir the folder is the one that the loader reads, as it is mounted now; else it is looked \
for at /boot, /efi and /boot/efi.

The host's /etc/imgbase.conf, or the file that --config names, may say so for good: loader =, dir = and \
tries = in the section [boot], as --loader, --boot-dir and --tries take them. Options count more, and \
/etc/kernel/tries counts where neither says how many tries there are.";

const USAGE: &str = "\
imgbase boot --list | --get-default [OPTIONS]
       imgbase boot --set-default LAYER [--tries N] [OPTIONS]
       imgbase boot --once LAYER | --no-once [OPTIONS]
       imgbase boot --setup [LAYER] [--own-initrd] [OPTIONS]
       imgbase boot --bless | --on-trial [OPTIONS]
       imgbase boot --args LAYER [--add WORD]... [--remove WORD]... [OPTIONS]";

const AFTER: &str = "\
Examples:
  imgbase boot --list
  imgbase boot --set-default Debian-12-2+1
  imgbase boot --once Debian-12-1+3
  imgbase boot --args Debian-12-2+1 --add console=ttyS0 --remove quiet
  imgbase boot --setup Debian-12-2+1      (after a kernel was installed in it)
  imgbase boot --bless
  imgbase --boot-dir /mnt/esp --loader systemd-boot boot --setup";

/// Show and choose what boots
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT, after_long_help = AFTER, override_usage = USAGE)]
#[command(group = ArgGroup::new("action").required(true).args(["list", "get_default",
    "set_default", "once", "no_once", "setup", "bless", "on_trial", "of"]))]
pub(crate) struct BootArgs {
    /// List all entries, ours and others'
    #[arg(long)]
    pub(crate) list: bool,

    /// Print the layer that boots next
    #[arg(long)]
    pub(crate) get_default: bool,

    /// Let this layer boot from now on
    #[arg(long, value_name = "LAYER")]
    pub(crate) set_default: Option<LayerName>,

    /// Start it so many times before the layer before it boots again (1 to 9)
    #[arg(long, value_name = "N", requires = "set_default", value_parser = tries)]
    pub(crate) tries: Option<Tries>,

    /// Let this layer boot once, then the default again
    #[arg(long, value_name = "LAYER")]
    pub(crate) once: Option<LayerName>,

    /// Let nothing boot once
    #[arg(long)]
    pub(crate) no_once: bool,

    /// Make the entries of this layer, or of all, anew from their trees
    #[arg(long, value_name = "LAYER", num_args = 0..=1)]
    pub(crate) setup: Option<Option<LayerName>>,

    /// Start by an initramfs that holds this program alone, in place of the tree's (one that the tree
    /// has none for is made in any case)
    #[arg(long, requires = "setup")]
    pub(crate) own_initrd: bool,

    /// Find the running layer good
    #[arg(long)]
    pub(crate) bless: bool,

    /// Exit with 0 where the running layer is on trial, else with 3
    #[arg(long)]
    pub(crate) on_trial: bool,

    /// Print the layer's kernel arguments, or change them
    #[arg(id = "of", long = "args", value_name = "LAYER")]
    pub(crate) of: Option<LayerName>,

    /// Add an argument: NAME or NAME=VALUE
    #[arg(long, value_name = "WORD", requires = "of", allow_hyphen_values = true)]
    pub(crate) add: Vec<String>,

    /// Remove an argument: NAME with any value, or NAME=VALUE
    #[arg(long, value_name = "WORD", requires = "of", allow_hyphen_values = true)]
    pub(crate) remove: Vec<String>,
}

fn tries(text: &str) -> Result<Tries, String> {
    let number = text.parse().map_err(|_| "it is no number from 1 to 9".to_owned())?;
    Tries::new(number).map_err(|error| error.to_string())
}

impl BootArgs {
    /// True where it changes something.
    pub(crate) fn changes(&self) -> bool {
        !(self.list || self.get_default || self.on_trial)
    }
}

const ROLLBACK_LONG_ABOUT: &str = "\
Lets the layer that was made before the running one boot from now on (before the default, on a host \
that does not run from a layer), or the one that --to names.

Nothing else is changed: both layers stay as they are. The oldest layer is never followed by the newest.";

const ROLLBACK_AFTER: &str = "\
Examples:
  imgbase rollback
  imgbase rollback --to Debian-12-1+2
  imgbase rollback --dry-run";

/// Let the layer before the running one boot
#[derive(Args, Debug)]
#[command(long_about = ROLLBACK_LONG_ABOUT, after_long_help = ROLLBACK_AFTER)]
pub(crate) struct RollbackArgs {
    /// The layer to boot
    #[arg(long, value_name = "LAYER")]
    pub(crate) to: Option<LayerName>,
}
