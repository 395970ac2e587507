//! Results of operations as values. Serialised they are the JSON that the
//! command prints, so fields are only ever added.

use std::fmt;

use serde::Serialize;

use crate::digest::Digest;
use crate::etc::{Carried, LateEdit};
use crate::layout::{BaseName, ImageName, LayerName, VolumePath};
use crate::name::{LvName, VgName};

/// The whole layout of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayoutReport {
    /// The group.
    pub vg: VgName,
    /// Its sequence number.
    pub vg_seqno: u64,
    /// The pool.
    pub pool: PoolReport,
    /// Bases in order of creation, their layers under them.
    pub bases: Vec<BaseReport>,
    /// Volumes with a tag of ours that fit nowhere.
    pub orphans: Vec<OrphanReport>,
    /// Volumes that are unfinished or going away.
    pub pending: Vec<LvName>,
    /// Volumes that layers share, by their paths.
    pub volumes: Vec<VolumeReport>,
}

/// A thin pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolReport {
    /// Its name.
    pub name: LvName,
    /// Size of its data.
    pub data_bytes: u64,
    /// Mapped data; `None` while the pool is not active.
    pub data_used_bytes: Option<u64>,
    /// Size of its metadata.
    pub metadata_bytes: u64,
    /// Metadata in use; `None` while the pool is not active.
    pub metadata_used_bytes: Option<u64>,
    /// Size of a chunk.
    pub chunk_bytes: u64,
    /// `transaction_id` in the text.
    pub transaction_id: u64,
    /// True while the pool is active.
    pub active: bool,
}

/// A base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BaseReport {
    /// Its name.
    pub nvr: BaseName,
    /// Its virtual size.
    pub size_bytes: u64,
    /// True where it may not be written.
    pub read_only: bool,
    /// True while it is active.
    pub active: bool,
    /// Its device id in the pool.
    pub device_id: u32,
    /// What its image was, where that was said when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its layers in order of creation.
    pub layers: Vec<LayerReport>,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerReport {
    /// Its name.
    pub nvr: LayerName,
    /// Its virtual size.
    pub size_bytes: u64,
    /// True while it is active.
    pub active: bool,
    /// Its device id in the pool.
    pub device_id: u32,
    /// True for the one that this host runs from.
    pub current: bool,
    /// True for the one that boots next.
    pub default: bool,
    /// True where it has a boot entry.
    pub bootable: bool,
}

/// A volume that layers share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeReport {
    /// Where layers mount it.
    pub path: VolumePath,
    /// Its name.
    pub name: LvName,
    /// Its virtual size.
    pub size_bytes: u64,
    /// True while it is active.
    pub active: bool,
    /// Its device id in the pool.
    pub device_id: u32,
    /// Where it is mounted now.
    pub mounted: Option<String>,
}

/// A volume of ours that fits nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrphanReport {
    /// The volume.
    pub name: LvName,
    /// What is wrong with it.
    pub why: String,
}

/// Free space of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FreeSpaceReport {
    /// Free data.
    pub data_free_bytes: u64,
    /// Free metadata.
    pub metadata_free_bytes: u64,
}

/// What `layout --init` made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InitReport {
    /// The group.
    pub vg: VgName,
    /// Its physical volumes' devices.
    pub devices: Vec<String>,
    /// The pool.
    pub pool: LvName,
    /// Size of the pool's data.
    pub data_bytes: u64,
    /// Size of the pool's metadata.
    pub metadata_bytes: u64,
    /// Size of the Config volume; `None` where there is none.
    pub config_bytes: Option<u64>,
    /// The base that was made with it.
    pub base: Option<BaseName>,
    /// Its first layer.
    pub layer: Option<LayerName>,
}

/// What `layout --init` made of an installed system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Adopted {
    /// The group.
    pub vg: VgName,
    /// The pool.
    pub pool: LvName,
    /// The volume that the system was installed on.
    pub source: LvName,
    /// The base that is a snapshot of it.
    pub base: BaseName,
    /// Its first layer.
    pub layer: Option<LayerName>,
    /// The layer's UUID, where it was made now.
    pub fs_uuid: Option<String>,
    /// True where the layer has a boot entry.
    pub bootable: bool,
    /// False where all was so already.
    pub changed: bool,
    /// The group's sequence number after it.
    pub vg_seqno: u64,
}

/// What `base --add` made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BaseAdded {
    /// The base.
    pub nvr: BaseName,
    /// Its virtual size.
    pub size_bytes: u64,
    /// `ext4` or `xfs`.
    pub fs_type: String,
    /// Bytes written to the pool.
    pub written_bytes: u64,
    /// The older base that it was made over: only what differs was written.
    pub shares_with: Option<BaseName>,
    /// The group's sequence number after it.
    pub vg_seqno: u64,
}

/// What `update` made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Updated {
    /// The new base.
    pub base: BaseName,
    /// The new layer.
    pub layer: LayerName,
    /// The layer whose state was carried over.
    pub from: LayerName,
    /// Bytes written to the pool for the base.
    pub written_bytes: u64,
    /// The older base that the new one was made over: only what differs was written.
    pub shares_with: Option<BaseName>,
    /// True where the layer has a boot entry.
    pub bootable: bool,
    /// True where it boots next.
    pub default: bool,
    /// How often it is tried; `null` where it is on no trial.
    pub tries: Option<u32>,
    /// The layer that boots where it does not come up.
    pub fallback: Option<LayerName>,
    /// What was carried over; `null` in a dry run of an image that cannot be looked into.
    pub carried: Option<Carried>,
    /// Old bases and layers that were removed, where that was asked for.
    pub collected: Collected,
    /// The group's sequence number after it.
    pub vg_seqno: u64,
}

/// What an update would carry over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CarryPlan {
    /// The layer whose state it would be.
    pub from: LayerName,
    /// What; `None` where the image cannot be looked into before it is unpacked.
    pub carried: Option<Carried>,
    /// Why not.
    pub why: Option<String>,
}

/// What `layer --add` made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerAdded {
    /// The layer.
    pub nvr: LayerName,
    /// The base or layer that it is a snapshot of.
    pub origin: ImageName,
    /// Its file system's UUID, where it has one that can be set.
    pub fs_uuid: Option<String>,
    /// True where it got a boot entry.
    pub bootable: bool,
    /// The group's sequence number after it.
    pub vg_seqno: u64,
}

/// A pool that has grown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolGrown {
    /// The pool.
    pub pool: LvName,
    /// The size of its data now.
    pub data_bytes: u64,
    /// The size of its metadata now.
    pub metadata_bytes: u64,
    /// The group's sequence number after it.
    pub vg_seqno: u64,
}

/// What `export` wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The base or layer.
    pub nvr: ImageName,
    /// The file; `None` for standard output.
    pub output: Option<String>,
    /// `raw`, `qcow2` or `tar`.
    pub format: String,
    /// `gzip` or `zstd`; `None` where it is not packed.
    pub packing: Option<String>,
    /// The volume's size.
    pub size_bytes: u64,
    /// Bytes that went into the file, holes left out.
    pub written_bytes: u64,
}

/// What a removal removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The volumes.
    pub removed: Vec<ImageName>,
    /// The group's sequence number after it.
    pub vg_seqno: u64,
}

/// A base that is old enough to go and stays all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptBase {
    /// The base.
    pub nvr: BaseName,
    /// Why it stays.
    pub why: String,
}

/// What `gc` did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Bases and layers that are gone, layers before their base.
    pub removed: Vec<ImageName>,
    /// What would have gone with them, but is needed.
    pub kept: Vec<KeptBase>,
}

/// What `volume --create` made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeAdded {
    /// Where it is mounted.
    pub path: VolumePath,
    /// Its name.
    pub name: LvName,
    /// Its virtual size.
    pub size_bytes: u64,
    /// The layer that mounts it.
    pub layer: LayerName,
    /// Files, folders and the like that were copied into it.
    pub copied: u64,
    /// False where the layer's fstab could not be changed.
    pub attached: bool,
    /// The group's sequence number after it.
    pub vg_seqno: u64,
}

/// What `volume --attach` and `--detach` did to a layer's fstab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeMount {
    /// Where it is mounted.
    pub path: VolumePath,
    /// The layer.
    pub layer: LayerName,
    /// True where it mounts the volume now.
    pub attached: bool,
    /// False where it was so already.
    pub changed: bool,
}

/// What `volume --remove` removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeRemoved {
    /// Where it was mounted.
    pub path: VolumePath,
    /// Its name.
    pub name: LvName,
    /// Layers whose fstab names it still.
    pub named_by: Vec<LayerName>,
    /// The group's sequence number after it.
    pub vg_seqno: u64,
}

/// What was activated or deactivated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Activation {
    /// The volumes that changed.
    pub changed: Vec<ImageName>,
    /// The ones that were so already.
    pub unchanged: Vec<ImageName>,
    /// Volumes that layers share and that changed, where all was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<LvName>,
}

/// A mount that was made or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MountReport {
    /// What is mounted.
    pub nvr: Option<ImageName>,
    /// Where.
    pub dir: String,
    /// True for a read-only mount.
    pub read_only: bool,
    /// False where it was so already.
    pub changed: bool,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Well.
    Ok,
    /// Worth a look.
    Warning,
    /// Not well.
    Failed,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// What was checked: `metadata`, `pool`, `base Base-1-0`.
    pub name: String,
    /// How it came out.
    pub health: Health,
    /// What was found.
    pub detail: String,
}

/// All checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// The worst of them.
    pub health: Health,
    /// Each.
    pub checks: Vec<CheckReport>,
}

/// What sort of thing a crash left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LeftoverKind {
    /// A suspended device.
    Suspended,
    /// A device that was made and never got a table in force.
    Unborn,
    /// Pool and metadata are at different transactions.
    Transaction,
    /// A volume that is half made or half removed.
    Unfinished,
    /// A copy of the metadata that is behind.
    Copy,
    /// A thin device of the pool that no volume stands for.
    Stray,
    /// Something in the boot folder that nothing needs.
    Boot,
    /// Something that only a person can mend.
    Problem,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is to be finished or undone.
    Pending,
    /// It was.
    Done,
    /// A living process is at it.
    LeftAlone,
    /// It is left to the user.
    ForYou,
}

/// Something that a crash left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// What sort.
    pub kind: LeftoverKind,
    /// The volume or device.
    pub object: String,
    /// What is wrong with it, and what is done about that.
    pub detail: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What `recover` found and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecoveryReport {
    /// In the order in which it was dealt with; empty where nothing was left over.
    pub found: Vec<Leftover>,
    /// The group's sequence number after it.
    pub vg_seqno: u64,
}

/// An initramfs that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InitrdReport {
    /// The file or the folder, where it was written to one.
    pub output: Option<String>,
    /// The version of the kernel that it is for.
    pub kernel: String,
    /// Modules that are loaded at once, in that order.
    pub modules: Vec<String>,
    /// Modules that are loaded where the disks do not come without them.
    pub spare_modules: Vec<String>,
    /// Its size.
    pub size_bytes: u64,
}

/// A boot entry, ours or somebody's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryReport {
    /// What the loader calls it.
    pub id: String,
    /// What people are shown.
    pub title: String,
    /// Its file in the boot folder.
    pub file: String,
    /// The layer, where it is one's.
    pub nvr: Option<LayerName>,
    /// The layer's kernel.
    pub kernel: Option<String>,
    /// True for the one that boots next.
    pub default: bool,
    /// True for the one that boots once, before the default.
    pub once: bool,
    /// True for the layer that this host runs from.
    pub current: bool,
    /// True for a layer that was found good.
    pub blessed: bool,
    /// True where all files that it names are there.
    pub bootable: bool,
    /// How often it is tried yet, where the loader counts.
    pub tries_left: Option<u32>,
    /// The kernel's arguments.
    pub args: String,
}

/// A layer on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrialReport {
    /// The layer.
    pub nvr: LayerName,
    /// The layer that boots when its tries are used up.
    pub fallback: Option<LayerName>,
    /// How often it is tried yet.
    pub tries_left: Option<u32>,
    /// How often it was.
    pub tries_done: u32,
}

/// What the loader has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootReport {
    /// `systemd-boot`, `grub-bls`, `grub`.
    pub loader: String,
    /// The folder that it reads.
    pub folder: String,
    /// All entries, in its order where that is known.
    pub entries: Vec<EntryReport>,
    /// The layer that boots next.
    pub default: Option<LayerName>,
    /// The layer that boots once, before the default.
    pub once: Option<LayerName>,
    /// What is on trial.
    pub trial: Option<TrialReport>,
    /// How the last trial went, where there is something to say.
    pub verdict: Option<String>,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// What boots next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootChoice {
    /// The layer.
    pub nvr: LayerName,
    /// The layer that boots when this one fails; `None` where it is not on trial.
    pub fallback: Option<LayerName>,
    /// How often it is tried; `None` where it is not on trial.
    pub tries: Option<u32>,
    /// False where it was so already.
    pub changed: bool,
}

/// A layer that was found good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blessed {
    /// The layer.
    pub nvr: LayerName,
    /// False where it was so already.
    pub changed: bool,
    /// What was changed late where it took over its state; `None` where that is gone, or could not be
    /// looked at.
    pub late: Option<LateEdits>,
}

/// What was changed in a layer, or in an adopted system, after another had taken over its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LateEdits {
    /// Its volume.
    pub from: LvName,
    /// What is another there, by path.
    pub edits: Vec<LateEdit>,
}

/// So many of them a sentence names.
const NAMED: usize = 8;

impl fmt::Display for LateEdits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = self.edits.iter().take(NAMED).map(ToString::to_string).collect();
        let more = self.edits.len().saturating_sub(named.len());
        write!(f, "{}", named.join(", "))?;
        if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
    }
}

/// A layer's kernel arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArgsReport {
    /// The layer.
    pub nvr: LayerName,
    /// The arguments, in order.
    pub args: String,
    /// True where this call changed them.
    pub changed: bool,
}

/// What `boot --setup` did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BootSetUp {
    /// Layers whose entries were made or changed.
    pub changed: Vec<LayerName>,
    /// Layers whose entries were right.
    pub unchanged: Vec<LayerName>,
    /// Layers that hold no kernel.
    pub unbootable: Vec<LayerName>,
    /// What was removed, as nothing needs it.
    pub cleaned: Vec<String>,
}
