//! `imgbase volume`.

use clap::{ArgGroup, Args};
use imgbase::layout::{LayerName, VolumePath};

const LONG_ABOUT: &str = "\
Keeps data that all layers share, as logs or home folders, on volumes of its own.

A volume is an ext4 on a thin volume of the pool, named for its place (/var/log is var_log), and mounted \
there by a line in a layer's fstab. --create makes it of the SIZE given (or of a usual one: 1G for /home and \
/tmp, 5G for /var, 8G for /var/log, 2G for /var/log/audit, 10G for /var/tmp and /var/crash; any other path \
needs one), copies into it what the layer has at PATH, and adds the line: all of it or, where something fails, nothing. What the layer has there itself \
stays, below the mount. Layers made of that one mount the volume too, and so do those that 'imgbase \
update' makes of it; --attach lets another layer, and --detach takes the line out.

The layer is the one that --layer names, else the latest. Only one that nobody uses is changed, never the \
running one: make a new one with 'imgbase layer --add' first, and let it boot then. Going back to a layer \
before it leaves what is on the volume as it is.

--remove deletes a volume and all that is on it. It is refused while the volume is mounted, and while the \
fstab of any layer names it, unless --force is given: such a layer waits for it in vain when it starts.";

const USAGE: &str = "\
imgbase volume --list [OPTIONS]
       imgbase volume --create PATH [SIZE] [--layer LAYER] [OPTIONS]
       imgbase volume --attach PATH | --detach PATH [--layer LAYER] [OPTIONS]
       imgbase volume --remove PATH [--force] [OPTIONS]";

const AFTER: &str = "\
Examples:
  imgbase volume --create /var/log 8G
  imgbase volume --create /var/crash
  imgbase volume --create /home 20G --layer Debian-12-1+3
  imgbase volume --attach /var/log --layer Debian-12-1+2
  imgbase volume --list
  imgbase volume --detach /home
  imgbase volume --remove /home
  imgbase --dry-run volume --create /srv 4G";

/// Keep data that layers share on volumes of its own
#[derive(Args, Debug)]
#[command(long_about = LONG_ABOUT, after_long_help = AFTER, override_usage = USAGE)]
#[command(group = ArgGroup::new("action").required(true)
    .args(["list", "create", "attach", "detach", "remove"]))]
pub(crate) struct VolumeArgs {
    /// List the volumes: place, size, name and where it is mounted
    #[arg(long)]
    pub(crate) list: bool,

    /// Make a volume for what is at this path, of that size or a usual one, and print its name
    #[arg(long, num_args = 1..=2, value_names = ["PATH", "SIZE"])]
    pub(crate) create: Option<Vec<String>>,

    /// Let a layer mount the volume that is there
    #[arg(long, value_name = "PATH")]
    pub(crate) attach: Option<VolumePath>,

    /// Let a layer mount it no more
    #[arg(long, value_name = "PATH")]
    pub(crate) detach: Option<VolumePath>,

    /// Remove the volume and all that is on it
    #[arg(long, value_name = "PATH")]
    pub(crate) remove: Option<VolumePath>,

    /// The layer that mounts it (default: the latest)
    #[arg(long, value_name = "LAYER", conflicts_with_all = ["list", "remove"])]
    pub(crate) layer: Option<LayerName>,

    /// Remove it also where the fstab of a layer names it
    #[arg(long, requires = "remove", conflicts_with_all = ["list", "create", "attach", "detach"])]
    pub(crate) force: bool,
}
