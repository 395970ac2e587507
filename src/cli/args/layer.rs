//! `imgbase layer`.

use clap::{ArgGroup, Args};
use imgbase::layout::{ImageName, LayerName};

const LONG_ABOUT: &str = "\
Adds, finds and removes layers.

A layer is a writable snapshot of a base, or of another layer, named BASE+N. With --add and no name \
it is made on the latest layer of the latest base, or on that base where it has none. A new layer \
is left active.";

const USAGE: &str = "\
imgbase layer --add [NVR] [OPTIONS]
       imgbase layer --latest | --current | --volume-path NVR [OPTIONS]
       imgbase layer --remove LAYER [OPTIONS]";

const AFTER: &str = "\
Examples:
  imgbase layer --add
  imgbase layer --add Debian-12-1
  imgbase layer --add Debian-12-1+2
  imgbase layer --latest
  imgbase layer --volume-path Debian-12-1+2
  imgbase layer --remove Debian-12-1+2";

/// Add, find and remove layers
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT, after_long_help = AFTER, override_usage = USAGE)]
#[command(group = ArgGroup::new("action").required(true)
    .args(["add", "latest", "current", "volume_path", "remove"]))]
pub(crate) struct LayerArgs {
    /// Add a layer on this base or layer, and print its name
    #[arg(long, value_name = "NVR", num_args = 0..=1)]
    pub(crate) add: Option<Option<ImageName>>,

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

    /// The base or layer to add it on
    #[arg(value_name = "NVR", requires = "add",
        conflicts_with_all = ["latest", "current", "volume_path", "remove"])]
    pub(crate) on: Option<ImageName>,
}

impl LayerArgs {
    /// True where it changes something.
    pub(crate) fn changes(&self) -> bool {
        self.add.is_some() || self.remove.is_some()
    }
}
