//! Finds the volume groups on a set of devices.
//!
//! Labels first, then the metadata areas' headers and texts; the text with
//! the highest seqno of each group is the valid one. What is odd is kept as
//! [`Problem`]s: a listing shows them, a writer refuses on some.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::dev::Dev;
use crate::error::{Error, ErrorKind, Result};
use crate::name::{LvmId, VgName};

use super::label::{DiskLocn, PvLabel};
use super::mda::{Mda, RawLocn};
use super::model::Vg;

mod before;
mod device;
mod group;
mod problem;
mod remembered;

pub use group::{CopyRole, Group, Reread};
pub use problem::Problem;
pub use remembered::Remembered;

/// Which text a metadata area holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextId {
    /// The group's `id`.
    pub vg: LvmId,
    /// Its `seqno`.
    pub seqno: u64,
    /// Bytes with the final NUL.
    pub size: u64,
    /// Of those bytes.
    pub checksum: u32,
}

/// What was found in a metadata area.
#[derive(Clone, Debug)]
pub enum Content {
    /// No text: new, or its group was removed.
    Empty,
    /// The area is not in use, by its flag.
    Ignored,
    /// A valid text.
    Text(TextId),
    /// The header is valid and its text is damaged, as a power cut in a commit of lvm2's leaves it;
    /// the one before that is whole.
    Lost {
        /// The one before.
        before: TextId,
        /// Where that is.
        slot: RawLocn,
        /// What does not hold of the lost one.
        why: String,
    },
    /// A checksum, magic or bound does not hold; why.
    Bad(String),
    /// It could not be read; why.
    Unread(String),
    /// A valid text that this program does not understand; why.
    Unknown(String),
}

/// A metadata area of a physical volume.
#[derive(Clone, Debug)]
pub struct MetadataCopy {
    /// Where the label says that it is.
    pub area: DiskLocn,
    /// Its header, where that is valid.
    pub header: Option<Mda>,
    /// What it holds.
    pub content: Content,
}

/// A device with a valid label: a physical volume.
#[derive(Clone)]
pub struct Member {
    /// The device's path.
    pub path: PathBuf,
    /// The device.
    pub dev: Arc<dyn Dev>,
    /// Its label.
    pub label: PvLabel,
    /// Its metadata areas: none, one or two.
    pub mdas: Vec<MetadataCopy>,
}

impl Member {
    /// The physical volume's identifier.
    pub fn pv_id(&self) -> LvmId {
        self.label.id
    }

    /// The texts that it holds.
    fn texts(&self) -> impl Iterator<Item = TextId> + '_ {
        self.mdas.iter().filter_map(|copy| match copy.content {
            Content::Text(id) => Some(id),
            _ => None,
        })
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("path", &self.path).field("label", &self.label).finish()
    }
}

/// What a set of devices holds.
#[derive(Debug, Default)]
pub struct Scan {
    /// The volume groups, by identifier.
    pub groups: Vec<Group>,
    /// Physical volumes that no group lists and that hold no text.
    pub unassigned: Vec<Member>,
    /// What belongs to no group: devices that cannot be read, broken labels.
    pub problems: Vec<Problem>,
}

impl Scan {
    /// The group of that name.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); [`Diverged`](ErrorKind::Diverged) where two groups have
    /// the name.
    pub fn group(&self, name: &VgName) -> Result<&Group> {
        let mut named = self.groups.iter().filter(|group| group.vg.name == *name);
        let at = || format!("volume group {name}");
        match (named.next(), named.next()) {
            (Some(group), None) => Ok(group),
            (Some(a), Some(b)) => {
                let why = format!("two groups have this name: {} and {}", a.vg.id, b.vg.id);
                Err(Error::new(ErrorKind::Diverged, why).at(at()))
            }
            (None, _) => Err(Error::new(ErrorKind::NotFound, "there is no such group").at(at())),
        }
    }

    /// The group of that name, and nothing of the others.
    ///
    /// # Errors
    /// As [`group`](Self::group).
    pub fn into_group(mut self, name: &VgName) -> Result<Group> {
        let id = self.group(name)?.vg.id;
        let place = self.groups.iter().position(|group| group.vg.id == id);
        let place = place.expect("the group was found in this list");
        Ok(self.groups.swap_remove(place))
    }
}

/// Looks at each device once and puts together what belongs together.
///
/// Nothing fails: a device that cannot be read is a [`Problem`], and whatever the devices hold,
/// no more than one text at a time is in memory beside the newest of each group.
pub fn scan(devices: &[(PathBuf, Arc<dyn Dev>)]) -> Scan {
    let mut scanner = device::Scanner::default();
    for (path, dev) in devices {
        scanner.look_at(path, dev);
        log::trace!("{} is looked at", path.display());
    }
    group::assemble(scanner)
}

/// The newest text of each group seen so far.
type Newest = BTreeMap<LvmId, (TextId, Arc<Vg>)>;

#[cfg(test)]
mod tests;
