//! What a command answers: values, for the printers in [`render`](super::render).

use imgbase::layout::{BaseName, ImageName, LayerName};
use imgbase::report::{
    Activation, Adopted, ArgsReport, BaseAdded, Blessed, BootChoice, BootReport, BootSetUp,
    Collected, Exported, FreeSpaceReport, HealthReport, InitReport, InitrdReport, LayerAdded,
    LayoutReport, MountReport, PoolGrown, RecoveryReport, Removed, Updated, VolumeAdded,
    VolumeMount, VolumeRemoved, VolumeReport,
};

use super::args::Unit;

/// A command's answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// `layout`
    Layout(LayoutReport),
    /// `layout --bases`
    Bases(Vec<BaseName>),
    /// `layout --layers`
    Layers(Vec<LayerName>),
    /// `layout --free-space`
    FreeSpace(FreeSpaceReport, Unit),
    /// `layout --init`
    Init(InitReport),
    /// `layout --init` of an installed system
    Adopted(Adopted),
    /// `layout --grow`
    Grown(PoolGrown),
    /// `base --add`
    BaseAdded(BaseAdded),
    /// `update`
    Updated(Updated),
    /// `layer --add`
    LayerAdded(LayerAdded),
    /// `layer --add --count`
    LayersAdded(Vec<LayerAdded>),
    /// `layer --reset`
    LayerReset(LayerAdded),
    /// `--latest`, `--current`, `--of-layer`
    Name(ImageName),
    /// `w`
    Here(LayerName),
    /// `layer --volume-path`
    VolumePath(ImageName, String),
    /// `base --pin`, `--unpin`
    Pin(Pin),
    /// `--remove`
    Removed(Removed),
    /// `activate`
    Activated(Activation),
    /// `deactivate`
    Deactivated(Activation),
    /// `mount`
    Mounted(MountReport),
    /// `umount`
    Unmounted(MountReport),
    /// `boot --list`
    Boot(BootReport),
    /// `boot --set-default`, `rollback`
    BootChoice(BootChoice),
    /// `boot --once`, `--no-once`
    Once(Option<LayerName>),
    /// `boot --setup`
    BootSetUp(BootSetUp),
    /// `boot --bless`
    Blessed(Blessed),
    /// `boot --on-trial`
    OnTrial,
    /// `boot --args`
    Args(ArgsReport),
    /// `export`
    Exported(Exported),
    /// `volume --list`
    Volumes(Vec<VolumeReport>),
    /// `volume --create`
    VolumeAdded(VolumeAdded),
    /// `volume --attach`, `--detach`
    VolumeMount(VolumeMount),
    /// `volume --remove`
    VolumeRemoved(VolumeRemoved),
    /// `check`
    Health(HealthReport),
    /// `recover`
    Recovered(RecoveryReport),
    /// `gc`
    Collected(Collected),
    /// `initrd`
    Initrd(InitrdReport),
    /// `watch`, in the end
    Watched,
    /// `completions`, `man`
    Document(Document),
    /// Any verb with `--dry-run`
    Plan(Plan),
}

/// A base was pinned or unpinned.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Pin {
    /// The base.
    pub(crate) nvr: BaseName,
    /// True where it is pinned now.
    pub(crate) pinned: bool,
    /// False where it was so already.
    pub(crate) changed: bool,
}

/// A text that is for a program.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Document {
    /// `roff`, `bash`, `zsh`.
    pub(crate) format: String,
    /// The text.
    pub(crate) text: String,
}

/// What a run would do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Each change, in order.
    pub(crate) steps: Vec<String>,
    /// The commit points, each after so many steps.
    pub(crate) commits: Vec<Commit>,
    /// Bytes that would be written to the pool.
    pub(crate) needed_bytes: u64,
    /// What the verb would answer.
    pub(crate) result: Box<Answer>,
}

/// A commit point of a plan.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Commit {
    /// What is true from there on.
    pub(crate) what: String,
    /// How many steps come before it.
    pub(crate) after_steps: usize,
}
