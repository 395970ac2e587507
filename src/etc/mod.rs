//! The state of a layer that the next one takes over: what was changed in its `/etc`, put into the
//! new image's.
//!
//! [`merge`] is a pure function of three trees, the base that the old layer was made of, that
//! layer, and the new image's, into a [`Plan`] of what has to be done to the new layer. Nothing
//! else is looked at: a merge does not depend on the merges before it.
//!
//! | in the old layer | in the new image | the new layer has |
//! |---|---|---|
//! | as in its base | anything | the image's |
//! | changed, added or removed | as in the old base | ours |
//! | the same change on both sides | | that |
//! | text changed in other places | | both changes |
//! | text changed in the same places, or no text | | ours, the image's beside it as `NAME.imgnew` |
//! | changed | removed | ours |
//! | removed | changed | nothing; the image's as `NAME.imgnew` |
//! | another sort of thing on each side | | ours, the image's as `NAME.imgnew` |
//! | mode, owner, group, an attribute, a link's target | | each for itself; ours where both differ |
//!
//! Each row from the fourth on but the one where both changes fit is a [`Conflict`], and told. Where
//! [`OnConflict`] says so, the image's stands instead and ours lies beside it as `NAME.imgold`, or
//! nothing is done at all.
//! Accounts are merged by entry: see [`accounts`]. [`Rules`] say where this is done, and where ours is
//! taken as a whole instead; [`Wishes`] are what the owner of the host adds to them.

pub mod accounts;
#[cfg(feature = "host")]
mod apply;
#[cfg(feature = "host")]
mod carry;
pub(crate) mod config;
pub(crate) mod hooks;
mod late;
mod lines;
mod pattern;
mod rules;
#[cfg(feature = "host")]
mod selinux;
#[cfg(feature = "host")]
mod side;
mod taken;
mod walk;
mod wishes;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;

use crate::tree::{Kind, TreePath};

#[cfg(feature = "host")]
pub use carry::{carry, changed_late, is_carried, preview};
pub use hooks::{HOOK_LIMIT, Hook, HookPlace, NEW_LAYER};
pub use late::{LateEdit, LateKind, late_edits};
pub use pattern::{Fit, Pattern};
pub use rules::Rules;
#[cfg(feature = "host")]
pub(crate) use selinux::{MARK, mark_unlabelled};
pub use walk::merge;
pub use wishes::{Identity, Wishes};

/// What the name of an image's file ends in where ours has its name.
pub const BESIDE: &str = ".imgnew";

/// What the name of ours ends in where the image's file has its name.
pub const OURS_BESIDE: &str = ".imgold";

/// What is done where both sides do not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Ours stands, the image's lies beside it.
    #[default]
    Keep,
    /// The image's stands, ours lies beside it.
    Image,
    /// Nothing is carried over.
    Fail,
}

/// Where a host has the number that is its own.
const MACHINE_ID: &str = "/etc/machine-id";

/// A change of an entry's metadata; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaChange {
    /// Permissions, set-id and sticky bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Attributes to set, or to remove.
    pub xattrs: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl MetaChange {
    /// True where nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is done to an entry of the new layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It becomes a copy of the old layer's, whatever stood there: content, target or number, and
    /// all metadata. A folder without what is in it.
    Copy,
    /// It becomes another name of the file that was copied to that path.
    HardLink(TreePath),
    /// It gets this content and keeps all else.
    Content(Vec<u8>),
    /// It gets other metadata.
    Meta(MetaChange),
    /// It goes; a folder is empty by then.
    Remove,
    /// It gets the name with [`BESIDE`], in the place of what has that name, with all that is in it.
    SetAside,
    /// What the old layer has there is copied to the name with [`OURS_BESIDE`], with all that is in
    /// it.
    Beside,
}

/// A step, in order: a folder is made before what is in it, and removed after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub path: TreePath,
    /// What of.
    pub entry: Kind,
    /// What.
    pub action: Action,
}

/// Why both sides do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictKind {
    /// Changed on both sides, or added on both.
    BothChanged,
    /// Changed here, removed in the image.
    RemovedInImage,
    /// Removed here, changed in the image.
    RemovedHere,
    /// Another sort of thing on each side.
    Type,
    /// Mode, owner, group or an attribute changed on both sides.
    Metadata,
}

/// Something of which one side alone was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Where.
    pub path: TreePath,
    /// Why.
    pub kind: ConflictKind,
    /// True where the image's was taken, and not ours.
    pub image_stands: bool,
}

impl Conflict {
    fn told_of_image(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        let what = match self.kind {
            ConflictKind::BothChanged => "changed here and in the image, whose stands",
            ConflictKind::RemovedInImage => "changed here, and no longer in the image",
            ConflictKind::RemovedHere => "removed here, changed in the image: it is there again",
            ConflictKind::Type => "something else in the image, which stands",
            ConflictKind::Metadata => {
                "mode, owner or attributes changed here and in the image; the image's"
            }
        };
        write!(f, "{path}: {what}")?;
        match self.kind {
            ConflictKind::RemovedHere | ConflictKind::Metadata => Ok(()),
            _ => write!(f, "; ours is {path}{OURS_BESIDE}"),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.kind {
            _ if self.image_stands => self.told_of_image(f),
            ConflictKind::BothChanged => {
                write!(f, "{path}: changed here and in the image; the image's is {path}{BESIDE}")
            }
            ConflictKind::RemovedInImage => {
                write!(f, "{path}: changed here, and no longer in the image; it is kept")
            }
            ConflictKind::RemovedHere => {
                write!(f, "{path}: removed here, changed in the image: {path}{BESIDE}")
            }
            ConflictKind::Type => {
                write!(f, "{path}: something else in the image, which is {path}{BESIDE}")
            }
            ConflictKind::Metadata => {
                write!(f, "{path}: mode, owner or attributes changed here and in the image; ours")
            }
        }
    }
}

/// Why something that was listed stays behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// Another file system is mounted there, which layers share.
    OwnFileSystem,
    /// A link in our layer leads elsewhere.
    Link,
    /// What is a folder here is none in the image.
    NoFolder,
}

/// Something that was listed and stays behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Where the way ends.
    pub path: TreePath,
    /// Why.
    pub why: SkipReason,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.why {
            SkipReason::OwnFileSystem => {
                write!(f, "{path}: a file system of its own, not the layer's: not carried over")
            }
            SkipReason::Link => {
                write!(f, "{path}: a link: list where it leads; what is there is not carried over")
            }
            SkipReason::NoFolder => {
                write!(
                    f,
                    "{path}: no folder in the image: what is listed in it is not carried over"
                )
            }
        }
    }
}

/// All that has to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// What people should look at.
    pub conflicts: Vec<Conflict>,
    /// Files whose changes on both sides went together.
    pub merged: Vec<TreePath>,
    /// What was listed and stays behind.
    pub skipped: Vec<Skipped>,
}

/// What the image's own program is to label, in the new tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelling {
    /// The program, as a path in the tree.
    pub program: &'static str,
    /// The file of the labels by the policy, as a path in the tree.
    pub contexts: String,
    /// What has come along.
    pub paths: Vec<TreePath>,
    /// Whether the tree was marked for a start that labels all, and was not before.
    pub marked: bool,
}

/// What was carried over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// Entries that were taken from the old layer, or changed as it had changed them.
    pub taken: u64,
    /// Entries that are gone as they were there.
    pub removed: u64,
    /// Files whose changes on both sides went together.
    pub merged: Vec<TreePath>,
    /// What people should look at.
    pub conflicts: Vec<Conflict>,
    /// What was listed and stays behind.
    pub skipped: Vec<Skipped>,
    /// Files of the image that have another owner now, since its ids were taken.
    pub owners_changed: u64,
    /// True where all files are labelled anew at the first start: the image's policy is another one.
    pub relabels: bool,
    /// Entries that the image's own program has labelled by its policy, which is another one: no
    /// start has to.
    pub labelled: u64,
    /// What that program is to label.
    #[serde(skip)]
    pub to_label: Option<Labelling>,
}
