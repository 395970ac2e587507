//! The verbs, one file each, as functions over a [`Machine`].
//!
//! [`Imgbase`] is the handle that a program makes once. Each verb reads what it
//! needs, under lvm2's own locks where it changes something; all that the handle
//! keeps is where its group was last, to look there first.

mod activate;
mod add_base;
mod add_layer;
mod adopt;
mod boot;
mod check;
mod content;
mod devices;
#[cfg(feature = "host")]
mod diff;
mod entries;
#[cfg(feature = "host")]
mod export;
mod filesystem;
mod find;
mod gc;
mod grow;
mod init;
mod late;
mod list;
mod listed;
mod lost;
mod mount;
#[cfg(feature = "pack")]
mod oci;
mod pin;
#[cfg(feature = "host")]
mod plan;
mod recover;
mod remove;
mod room;
mod session;
mod share;
mod start;
mod thin;
mod transact;
mod update;
mod volume;
mod watch;
mod wishes;

pub use adopt::{Adopt, AdoptSource};
#[cfg(feature = "host")]
pub use diff::DiffWay;
pub use entries::OwnInitrd;
#[cfg(feature = "host")]
pub use export::{Export, ExportFormat};
pub use start::{NotStarted, Start, Started};
pub use update::Update;
pub use volume::AddVolume;
pub use watch::WatchPolicy;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::digest::Digest;
use crate::image::Signed;
#[cfg(feature = "pack")]
use crate::image::oci::Reference;
use crate::layout::BaseName;
use crate::lvm2::scan::Remembered;
use crate::machine::Machine;
use crate::name::VgName;
use crate::units::Bytes;

/// How far a long operation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the image dealt with.
    pub done: Bytes,
    /// Bytes of the image; `None` while not known (a stream).
    pub total: Option<Bytes>,
    /// Bytes written to the pool so far.
    pub written: Bytes,
}

/// Whoever started an operation, told how it goes. All of it is optional.
pub trait Watch {
    /// A step begins: `copy the image`.
    fn step(&mut self, _step: &str) {}

    /// The operation's commit point has been passed: `Base-1-0 exists (seqno 12)`.
    fn committed(&mut self, _what: &str) {}

    /// A long step goes on.
    fn progress(&mut self, _progress: Progress) {}

    /// Something that the user should know and that stops nothing.
    fn warn(&mut self, _warning: &str) {}

    /// True once the user wants it to stop: the operation undoes itself and returns
    /// [`Interrupted`](crate::ErrorKind::Interrupted).
    fn cancelled(&self) -> bool {
        false
    }
}

/// What fails after the commit point is told and no more: what was asked for is done.
fn after_commit(watch: &mut dyn Watch, result: crate::Result<()>) {
    if let Err(error) = result {
        watch.warn(&format!("it is done, but what follows failed: {error}"));
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// A file or a block device.
    Path(PathBuf),
    /// Standard input.
    Stdin,
    /// A registry.
    #[cfg(feature = "pack")]
    Registry(Reference),
}

/// What [`Imgbase::init`] makes.
#[derive(Clone, Debug)]
pub struct Init {
    /// Whole disks, partitions, or plain files (which become loop devices).
    pub devices: Vec<PathBuf>,
    /// The group's name; `HostVG` where not given.
    pub vg: VgName,
    /// The pool's data; `None` leaves 5 % of the group and one more metadata volume free.
    pub size: Option<Bytes>,
    /// The Config volume; zero for none.
    pub config_size: Bytes,
    /// The pool's metadata; `None`: by the size of the group.
    pub metadata_size: Option<Bytes>,
    /// Each physical volume's metadata area; `None`: the rest of the first MiB.
    pub mda_size: Option<Bytes>,
    /// Wipes devices that are not blank. Never one in use.
    pub force: bool,
    /// A base to make at once, with its first layer.
    pub base: Option<(BaseName, ImageRequest)>,
}

impl Init {
    /// A layout on these devices, everything else as by default: the group `HostVG`, a Config
    /// volume of 64 MiB.
    pub fn on(devices: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            devices: devices.into_iter().collect(),
            vg: "HostVG".parse().expect("it is the name of a volume group"),
            size: None,
            config_size: Bytes::mib(64),
            metadata_size: None,
            mda_size: None,
            force: false,
            base: None,
        }
    }
}

/// An image, and what of it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageRequest {
    /// Where it comes from.
    pub source: ImageSource,
    /// Of a disk with partitions the one that is meant, by its number or, in a GPT, its name;
    /// `None`: the only one that may hold a root.
    pub partition: Option<String>,
    /// Of several images in an OCI layout the one that is meant, by its name there; `None`: the only
    /// one for this machine.
    pub image_ref: Option<String>,
    /// What its bytes must be, as they come: packed where they are. Of an OCI layout in a folder and
    /// of an image in a registry its manifest's, or that of an index that leads to it.
    pub digest: Option<Digest>,
    /// What signature those must have.
    pub signed: Option<Signed>,
}

impl From<ImageSource> for ImageRequest {
    fn from(source: ImageSource) -> Self {
        Self { source, partition: None, image_ref: None, digest: None, signed: None }
    }
}

/// What [`Imgbase::add_base`] makes.
#[derive(Clone, Debug)]
pub struct AddBase {
    /// Its name.
    pub nvr: BaseName,
    /// Its image.
    pub image: ImageRequest,
    /// Its virtual size; `None`: the file system's.
    pub size: Option<Bytes>,
    /// Whether it may begin as a snapshot of the newest base of the same name that is no larger:
    /// only what differs is written then.
    pub share: bool,
}

/// The volume groups of a machine, worked on by verbs.
#[derive(Clone)]
pub struct Imgbase<'m> {
    pub(crate) machine: Machine<'m>,
    pub(crate) vg: Option<VgName>,
    seen: Seen,
}

/// What the last call on a named group knew of it in the end.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Option<Arc<Remembered>>>>);

impl Seen {
    fn get(&self) -> Option<Arc<Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, seen: Option<Remembered>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen.map(Arc::new);
    }
}

impl<'m> Imgbase<'m> {
    /// Works on this machine, in the one group that has our tag.
    pub fn new(machine: Machine<'m>) -> Self {
        Self { machine, vg: None, seen: Seen::default() }
    }

    /// Works in the group of this name.
    #[must_use]
    pub fn in_vg(mut self, vg: VgName) -> Self {
        self.vg = Some(vg);
        self.seen = Seen::default();
        self
    }
}
