//! `imgbase layer`.

use clap::{ArgGroup, Args};
use imgbase::layout::{ImageName, LayerName};

const LONG_ABOUT: &str = "\
Adds, finds, resets and removes layers.

A layer is a writable snapshot of a base, or of another layer, named BASE+N. With --add and no name \
it is made on the latest layer of the latest base, or on that base where it has none. A new layer \
is left active. With --count so many are made, 100 at the most, of the same image and in one \
transaction: all or none.

--reset is the way back to factory settings: a new layer on the base of LAYER that has nothing of its \
state, and the kernel arguments that the image itself names, where --add hands on those in use. Data \
volumes are not mounted in it. LAYER stays as it is, and so does what boots: 'imgbase rollback --to' \
with the new name lets that boot, on trial.";

const USAGE: &str = "\
imgbase layer --add [NVR] [--count N] [OPTIONS]
       imgbase layer --reset LAYER [OPTIONS]
       imgbase layer --latest | --current | --volume-path NVR [OPTIONS]
       imgbase layer --remove LAYER [OPTIONS]";

const AFTER: &str = "\
Examples:
  imgbase layer --add
  imgbase layer --add Debian-12-1
  imgbase layer --add Debian-12-1+2
  imgbase layer --add Debian-12-1 --count 20
  imgbase rollback --to $(imgbase layer --reset Debian-12-1+2)
  imgbase layer --latest
  imgbase layer --volume-path Debian-12-1+2
  imgbase layer --remove Debian-12-1+2";

/// Add, find, reset and remove layers
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT, after_long_help = AFTER, override_usage = USAGE)]
#[command(group = ArgGroup::new("action").required(true)
    .args(["add", "reset", "latest", "current", "volume_path", "remove"]))]
pub(crate) struct LayerArgs {
    /// Add a layer on this base or layer, and print its name
    #[arg(long, value_name = "NVR", num_args = 0..=1)]
    pub(crate) add: Option<Option<ImageName>>,

    /// Add a layer on this one's base that has nothing of its state, and print its name
    #[arg(long, value_name = "LAYER")]
    pub(crate) reset: Option<LayerName>,

    /// Print the latest layer
    #[arg(long)]
    pub(crate) latest: bool,

    /// Print the layer that this host runs from
    #[arg(long)]
    pub(crate) current: bool,

    /// Print the path of a base's or layer's volume
    #[arg(long, value_name = "NVR")]
    pub(crate) volume_path: Option<ImageName>,

    /// Remove this layer
    #[arg(long, value_name = "LAYER")]
    pub(crate) remove: Option<LayerName>,

    /// Add so many, all or none, and print their names
    #[arg(long, value_name = "N", requires = "add",
        value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with_all = ["reset", "latest", "current", "volume_path", "remove"])]
    pub(crate) count: Option<u32>,

    /// The base or layer to add it on
    #[arg(value_name = "NVR", requires = "add",
        conflicts_with_all = ["reset", "latest", "current", "volume_path", "remove"])]
    pub(crate) on: Option<ImageName>,
}

impl LayerArgs {
    /// True where it changes something.
    pub(crate) fn changes(&self) -> bool {
        self.add.is_some() || self.reset.is_some() || self.remove.is_some()
    }
}
