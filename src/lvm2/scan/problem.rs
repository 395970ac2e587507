//! What is odd about devices and groups, and whether a writer may go on.

use std::fmt;
use std::path::PathBuf;

use crate::error::ErrorKind;
use crate::name::LvmId;
use crate::units::Bytes;

/// Something that a listing shows and that may keep a writer from writing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A device cannot be read.
    Unreadable {
        /// The device.
        path: PathBuf,
        /// As the system said it.
        why: String,
    },
    /// A device begins as a physical volume, but its label is broken: to lvm2 it is none.
    BadLabel {
        /// The device.
        path: PathBuf,
        /// What does not hold.
        why: String,
    },
    /// A physical volume says that it belongs to a group, but none lists it.
    UsedByNone {
        /// The device.
        path: PathBuf,
    },
    /// A physical volume of the group is on no device.
    Missing {
        /// Which one.
        id: LvmId,
        /// Where it was last seen.
        last_seen: Option<Box<str>>,
    },
    /// The text has marked a physical volume as missing; its device is there.
    MarkedMissing {
        /// The device.
        path: PathBuf,
    },
    /// Two devices carry the same physical volume.
    DuplicatePv {
        /// Which one.
        id: LvmId,
        /// One device.
        path: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A device's own text names the group, which lists it no more.
    Outdated {
        /// The device.
        path: PathBuf,
    },
    /// The group lists a physical volume that belongs to another group as well.
    Claimed {
        /// The device.
        path: PathBuf,
    },
    /// Another group has the same name.
    SameName {
        /// The other's identifier.
        other: LvmId,
    },
    /// The device is smaller than the text says.
    Shrunk {
        /// The device.
        path: PathBuf,
        /// As the text says.
        says: Bytes,
        /// As it is.
        has: Bytes,
    },
    /// A metadata area holds an older text. The next commit brings it up to date.
    StaleCopy {
        /// The device.
        path: PathBuf,
        /// The area's first byte.
        at: Bytes,
        /// The seqno that it holds.
        seqno: u64,
    },
    /// The newest text is lost: a metadata area's header points to one that is damaged, as a power
    /// cut in a commit of lvm2's leaves it, and no area has it whole. The one before it is what is
    /// shown; `recover` puts that in force again.
    LostText {
        /// The device.
        path: PathBuf,
        /// The area's first byte.
        at: Bytes,
        /// The seqno of the one before.
        seqno: u64,
        /// What does not hold of the lost one.
        why: String,
    },
    /// A metadata area holds another text with the same seqno.
    DivergedCopy {
        /// The device.
        path: PathBuf,
        /// The area's first byte.
        at: Bytes,
        /// The seqno of both.
        seqno: u64,
    },
    /// A metadata area's header or text is damaged. It is left alone, as lvm2 does
    /// (`vgck --updatemetadata` repairs it).
    BadCopy {
        /// The device.
        path: PathBuf,
        /// The area's first byte.
        at: Bytes,
        /// What does not hold.
        why: String,
    },
    /// A metadata area could not be read: it might hold a newer text.
    UnreadCopy {
        /// The device.
        path: PathBuf,
        /// The area's first byte.
        at: Bytes,
        /// As the system said it.
        why: String,
    },
    /// A metadata area holds a valid text that this program does not understand: it might be newer.
    UnknownCopy {
        /// The device.
        path: PathBuf,
        /// The area's first byte.
        at: Bytes,
        /// What is not understood.
        why: String,
    },
}

impl Problem {
    /// Why a writer must not go on, or `None` where it may.
    pub fn refusal(&self) -> Option<ErrorKind> {
        match self {
            Self::Unreadable { .. }
            | Self::BadLabel { .. }
            | Self::UsedByNone { .. }
            | Self::Outdated { .. }
            | Self::StaleCopy { .. }
            | Self::BadCopy { .. } => None,
            Self::Missing { .. }
            | Self::MarkedMissing { .. }
            | Self::DuplicatePv { .. }
            | Self::Claimed { .. }
            | Self::SameName { .. }
            | Self::UnknownCopy { .. } => Some(ErrorKind::Unsupported),
            Self::LostText { .. } => Some(ErrorKind::NeedsRecovery),
            Self::Shrunk { .. } => Some(ErrorKind::Corrupt),
            Self::DivergedCopy { .. } => Some(ErrorKind::Diverged),
            Self::UnreadCopy { .. } => Some(ErrorKind::Io),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, why } => {
                write!(f, "{}: cannot be read: {why}", path.display())
            }
            Self::BadLabel { path, why } => {
                write!(
                    f,
                    "{}: its label is broken, it counts as no physical volume: {why}",
                    path.display()
                )
            }
            Self::UsedByNone { path } => write!(
                f,
                "{}: belongs to a volume group whose metadata is not there",
                path.display()
            ),
            Self::Missing { id, last_seen } => write!(
                f,
                "physical volume {id} is missing (last seen at {})",
                last_seen.as_deref().unwrap_or("no known place")
            ),
            Self::MarkedMissing { path } => write!(
                f,
                "{}: marked as missing though it is there (vgextend --restoremissing takes it back)",
                path.display()
            ),
            Self::DuplicatePv { id, path, other } => write!(
                f,
                "{} and {} are both physical volume {id}",
                path.display(),
                other.display()
            ),
            Self::Outdated { path } => {
                write!(f, "{}: was once in the group and is not listed any more", path.display())
            }
            Self::Claimed { path } => {
                write!(f, "{}: belongs to another volume group as well", path.display())
            }
            Self::SameName { other } => write!(f, "volume group {other} has the same name"),
            Self::Shrunk { path, says, has } => {
                write!(f, "{}: has {has}, the metadata says {says}", path.display())
            }
            copy => copy.fmt_copy(f),
        }
    }
}

impl Problem {
    /// True where it is about devices or groups beside the group's own.
    pub(crate) fn is_of_others(&self) -> bool {
        matches!(
            self,
            Self::SameName { .. }
                | Self::Outdated { .. }
                | Self::DuplicatePv { .. }
                | Self::Claimed { .. }
        )
    }

    /// True where it is about what a single metadata area holds.
    pub(super) fn is_of_copy(&self) -> bool {
        matches!(
            self,
            Self::StaleCopy { .. }
                | Self::LostText { .. }
                | Self::DivergedCopy { .. }
                | Self::BadCopy { .. }
                | Self::UnreadCopy { .. }
                | Self::UnknownCopy { .. }
        )
    }

    fn fmt_copy(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = |path: &PathBuf, at: &Bytes, what: fmt::Arguments<'_>| {
            write!(f, "{}, byte {}: the metadata area {what}", path.display(), at.get())
        };
        match self {
            Self::StaleCopy { path, at, seqno } => {
                copy(path, at, format_args!("is behind, at seqno {seqno}"))
            }
            Self::LostText { path, at, seqno, why } => copy(
                path,
                at,
                format_args!(
                    "has lost its text ({why}); the one before it, seqno {seqno}, is whole: \
                     'imgbase recover' puts that in force again"
                ),
            ),
            Self::DivergedCopy { path, at, seqno } => {
                copy(path, at, format_args!("holds another text with the same seqno {seqno}"))
            }
            Self::BadCopy { path, at, why } => copy(path, at, format_args!("is damaged: {why}")),
            Self::UnreadCopy { path, at, why } => {
                copy(path, at, format_args!("cannot be read: {why}"))
            }
            Self::UnknownCopy { path, at, why } => {
                copy(path, at, format_args!("is not understood: {why}"))
            }
            _ => Ok(()),
        }
    }
}
