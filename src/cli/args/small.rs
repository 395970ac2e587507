//! The commands with a few arguments each.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;
use imgbase::layout::ImageName;

const MOUNT_AFTER: &str = "\
Examples:
  imgbase mount Debian-12-1+2 /mnt
  imgbase mount --read-only Debian-12-1 /mnt";

/// Activate a base or layer and mount it
///
/// The folder must exist. Space that is freed in the mounted layer goes back to the pool. A base
/// is always mounted read-only.
#[derive(Args, Debug)]
#[command(after_long_help = MOUNT_AFTER)]
pub(crate) struct MountArgs {
    /// The base or layer
    #[arg(value_name = "NVR")]
    pub(crate) image: ImageName,

    /// Where
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Mount it read-only
    #[arg(long)]
    pub(crate) read_only: bool,
}

const UMOUNT_AFTER: &str = "\
Examples:
  imgbase umount /mnt";

/// End a mount
///
/// Waits until it has ended. The volume stays active: see imgbase deactivate.
#[derive(Args, Debug)]
#[command(after_long_help = UMOUNT_AFTER)]
pub(crate) struct UmountArgs {
    /// Where it is mounted
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

pub(crate) const ACTIVATE_AFTER: &str = "\
Examples:
  imgbase activate
  imgbase activate Debian-12-1+1 Debian-12-1+2";

pub(crate) const DEACTIVATE_AFTER: &str = "\
Examples:
  imgbase deactivate
  imgbase deactivate Debian-12-1+1";

/// Bases and layers, or all of them.
#[derive(Args, Debug)]
pub(crate) struct ImagesArgs {
    /// Bases and layers (default: all of ours)
    #[arg(value_name = "NVR")]
    pub(crate) images: Vec<ImageName>,
}

const DIFF_AFTER: &str = "\
Examples:
  imgbase diff
  imgbase diff Debian-12-1 Debian-12-1+2
  imgbase diff --walk Debian-12-1+2
  imgbase diff --blocks Debian-12-1+1 Debian-12-1+2
  imgbase --json diff Debian-12-1+1 Debian-12-1+2";

/// List the files that differ between two images
///
/// One line a file: + added, - removed, ~ changed (and what), going from A to B. Without names it
/// compares the base of the layer that this host runs from with that layer.
///
/// Two ext4 of one base that nobody has mounted are compared by the blocks that they have different,
/// which takes as long as there are differences; others by a walk through both. The list is the same.
#[derive(Args, Debug)]
#[command(after_long_help = DIFF_AFTER)]
pub(crate) struct DiffArgs {
    /// A base or layer
    #[arg(value_name = "A")]
    pub(crate) a: Option<ImageName>,

    /// Another
    #[arg(value_name = "B")]
    pub(crate) b: Option<ImageName>,

    /// Walk through both trees in any case
    #[arg(long)]
    pub(crate) walk: bool,

    /// Fail, and say why, where it cannot be done by blocks: of what is mounted, say
    #[arg(long, conflicts_with = "walk")]
    pub(crate) blocks: bool,
}

const CHECK_AFTER: &str = "\
Examples:
  imgbase check
  imgbase --json check";

/// Check the health of the layout
///
/// One line a check: ok, warning or failed, and what was found. Exit status 8 where one failed;
/// warnings alone are 0.
#[derive(Args, Debug)]
#[command(after_long_help = CHECK_AFTER)]
pub(crate) struct CheckArgs {}

const RECOVER_AFTER: &str = "\
Examples:
  imgbase recover --list     what a crash left
  imgbase recover            finishes or undoes it
  imgbase --json recover --list";

/// Finish or undo what a crash left
///
/// Works from what is on the disks and in the kernel alone, whoever left it, lvm2 included: devices
/// left suspended, a thin pool that is out of step with the metadata, volumes half made or half
/// removed, copies of the metadata that are behind, a text that a power cut has destroyed (the one
/// before it is put in force again). A volume that a living process still fills is left alone.
/// One line for each; nothing left over is exit status 0.
#[derive(Args, Debug)]
#[command(after_long_help = RECOVER_AFTER)]
pub(crate) struct RecoverArgs {
    /// Only tell
    #[arg(long)]
    pub(crate) list: bool,
}

const GC_AFTER: &str = "\
Examples:
  imgbase gc
  imgbase gc --keep 3
  imgbase --dry-run gc --keep 1";

/// Remove old bases and their layers
///
/// Of each name so many bases stay: the newest, those whose layers this host runs from or boots next,
/// then newer ones before older ones. What is pinned (imgbase base --pin) or in use, what a layer on
/// trial may fall back to and the last that could be started stay in any case, and are told on standard
/// error. What was removed is printed, one name a line. While the running layer is on trial nothing is
/// removed, unless --force is given: find it good first (imgbase boot --bless).
#[derive(Args, Debug)]
#[command(after_long_help = GC_AFTER)]
pub(crate) struct GcArgs {
    /// So many bases of each name stay
    #[arg(long, value_name = "N", default_value = "2")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep: u32,

    /// Remove them also while the running layer is on trial
    #[arg(long)]
    pub(crate) force: bool,
}

const WATCH_AFTER: &str = "\
Examples:
  imgbase watch                          until it is stopped, as a service
  imgbase watch --threshold 80 --step 10
  imgbase watch --once                   from a timer";

/// Grow the pool before it is full
///
/// When the pool's data or metadata reaches the threshold it grows by the step, from what the volume
/// group has free; where that is less, by that. Layers may be in use meanwhile. Each step is told on
/// standard error. Run one for each group, as a service: imgbase check tells whether somebody watches.
#[derive(Args, Debug)]
#[command(after_long_help = WATCH_AFTER)]
pub(crate) struct WatchArgs {
    /// From this share in use on, in percent
    #[arg(long, value_name = "PERCENT", default_value = "70")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=99))]
    pub(crate) threshold: u8,

    /// By this share of its size, in percent
    #[arg(long, value_name = "PERCENT", default_value = "20")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=200))]
    pub(crate) step: u8,

    /// Look at it at least so often
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) interval: u32,

    /// Look once and return
    #[arg(long)]
    pub(crate) once: bool,
}

pub(crate) const W_AFTER: &str = "\
Examples:
  imgbase w";

const INITRD_AFTER: &str = "\
Examples:
  imgbase initrd --output /boot/initrd-imgbase.img
  imgbase initrd --output ./initrd.img --kernel 6.1.0-30-amd64 --module virtio_console
  imgbase initrd --output ./initrd.img --root /mnt
  imgbase initrd --folder /small      for root=/dev/nvme0n1p2 init=/imgbase img.bootid=LAYER
  imgbase --dry-run initrd --output ./initrd.img

On the kernel's command line:
  img.bootid=LAYER or imgbase.root=VG/LV   what to start
  ro, rw, rootflags=, rootfstype=          how it is mounted (default: ro)
  init=PATH, imgbase.init=PATH             its first program (default: /sbin/init and the like)
  imgbase.timeout=SECONDS                  how long its disks are waited for (default: 30)
  imgbase.onfail=prompt|reboot             what follows a failure (default: prompt; with panic=N
                                           or rd.emergency=reboot: reboot)
  imgbase.debug                            tell each step";

/// Write the initramfs that starts a layer
///
/// It holds this program, which is all that stands between the kernel and the layer, and the modules
/// that it loads: those that the disks of the volume group need on this machine, the thin pool's and
/// the file system's, and for disks that are moved elsewhere those of usual ones. The same input
/// gives the same bytes. Without a volume group of ours the drivers of all usual disks are loaded.
#[derive(Args, Debug)]
#[command(after_long_help = INITRD_AFTER)]
pub(crate) struct InitrdArgs {
    /// The file to write; it is replaced whole or not at all
    #[arg(long, value_name = "FILE", required_unless_present = "folder")]
    pub(crate) output: Option<PathBuf>,

    /// Instead, put the program imgbase and its modules into this folder of a small partition, to be
    /// started from there by init= without any initramfs
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    pub(crate) folder: Option<PathBuf>,

    /// For this kernel (default: the running one; with --root the only one there)
    #[arg(long, value_name = "VERSION")]
    pub(crate) kernel: Option<String>,

    /// Load this module too; may be given several times
    #[arg(long = "module", value_name = "NAME")]
    pub(crate) modules: Vec<String>,

    /// Take the kernel's modules from the system in this folder
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,

    /// Put this build of imgbase into it, which must be static (default: the one that runs)
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
}

const COMPLETIONS_AFTER: &str = "\
Examples:
  imgbase completions bash > /usr/share/bash-completion/completions/imgbase
  imgbase completions zsh > /usr/share/zsh/site-functions/_imgbase";

/// Print completions for a shell
#[derive(Args, Debug)]
#[command(after_long_help = COMPLETIONS_AFTER)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: Shell,
}

const MAN_AFTER: &str = "\
Examples:
  imgbase man > /usr/share/man/man8/imgbase.8
  imgbase man | man -l -";

/// Print the manual page
#[derive(Args, Debug)]
#[command(after_long_help = MAN_AFTER)]
pub(crate) struct ManArgs {}
