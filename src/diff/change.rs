//! A difference, as a value.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::tree::{Kind, TreePath};

/// What about an entry differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Difference {
    /// It is another sort of thing; nothing else is compared then.
    Type,
    /// A file's bytes.
    Content,
    /// A link's target.
    Target,
    /// A device node's number.
    Device,
    /// Permissions, set-id or sticky bits.
    Mode,
    /// Owner or group.
    Owner,
    /// Extended attributes, access control lists among them.
    Xattr,
}

impl Difference {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::Type,
        Self::Content,
        Self::Target,
        Self::Device,
        Self::Mode,
        Self::Owner,
        Self::Xattr,
    ];

    /// A word for it: `content`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Content => "content",
            Self::Target => "target",
            Self::Device => "device",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Xattr => "xattr",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Type => 1,
            Self::Content => 2,
            Self::Target => 4,
            Self::Device => 8,
            Self::Mode => 16,
            Self::Owner => 32,
            Self::Xattr => 64,
        }
    }
}

/// A set of [`Difference`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Differences(u8);

impl Differences {
    /// None.
    pub const NONE: Self = Self(0);

    /// This one alone.
    pub const fn only(difference: Difference) -> Self {
        Self(difference.bit())
    }

    /// Adds one where `differs` says so.
    pub fn note(&mut self, difference: Difference, differs: bool) {
        if differs {
            self.0 |= difference.bit();
        }
    }

    /// All but this one.
    #[must_use]
    pub const fn without(self, difference: Difference) -> Self {
        Self(self.0 & !difference.bit())
    }

    /// True where this one is among them.
    pub const fn contains(self, difference: Difference) -> bool {
        self.0 & difference.bit() != 0
    }

    /// True for none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Difference> {
        Difference::ALL.into_iter().filter(move |difference| self.contains(*difference))
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, difference) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}", difference.word())?;
        }
        Ok(())
    }
}

impl Serialize for Differences {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(Difference::word))
    }
}

/// What became of an entry from the first tree to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// Both have it, and it differs.
    Changed(Differences),
}

impl ChangeKind {
    /// A word for it: `added`, `removed`, `changed`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed(_) => "changed",
        }
    }
}

/// An entry that differs between two trees.
///
/// In JSON: `{"path": "/etc/motd", "type": "file", "change": "changed", "what": ["content"]}`, with
/// `what` for a changed one only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: TreePath,
    /// What it is: in the second tree, or in the first where it was removed.
    pub entry: Kind,
    /// What became of it.
    pub kind: ChangeKind,
}

impl fmt::Display for Change {
    /// `changed /etc/motd (content, mode)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.path)?;
        match self.kind {
            ChangeKind::Changed(what) => write!(f, " ({what})"),
            _ => Ok(()),
        }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_struct("Change", 4)?;
        object.serialize_field("path", &self.path)?;
        object.serialize_field("type", &self.entry)?;
        object.serialize_field("change", self.kind.word())?;
        match self.kind {
            ChangeKind::Changed(what) => object.serialize_field("what", &what)?,
            _ => object.skip_field("what")?,
        }
        object.end()
    }
}
