//! What can be wrong with the content of a file system, or is beyond this reader.

use super::features::{Features, incompat};
use crate::error::{Error, ErrorKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Detail {
    #[error("its journal must be replayed first (feature needs_recovery)")]
    NotReplayed,
    #[error("it has features that this reader does not know (incompat {0:#x})")]
    Unknown(u32),
    #[error("the device ends before the file system does")]
    Short,
    #[error("block {0} lies outside of the file system")]
    Outside(u64),
    #[error("group {0}'s descriptor has a wrong checksum")]
    Group(u64),
    #[error("there is no inode {0}")]
    NoInode(u32),
    #[error("inode {0} {1}")]
    Inode(u32, &'static str),
    #[error("inode {0} needs the feature {1}, which this reader does not have")]
    Feature(u32, &'static str),
}

impl From<Detail> for Error {
    fn from(detail: Detail) -> Self {
        let kind = match detail {
            Detail::NotReplayed | Detail::Unknown(_) | Detail::Feature(..) => {
                ErrorKind::Unsupported
            }
            _ => ErrorKind::Corrupt,
        };
        Self::new(kind, detail)
    }
}

/// `DIRDATA`, of which the kernel knows no more than its number.
const DIRDATA: u32 = 0x1000;

/// Fails where folders or files may look in ways unknown here. What only a writer must know
/// (`ro_compat`) is no hindrance.
pub(super) fn check_readable(features: Features) -> Result<(), Detail> {
    let unknown = features.incompat & (!incompat::KNOWN | DIRDATA);
    if unknown != 0 {
        Err(Detail::Unknown(unknown))
    } else if features.incompat(incompat::RECOVER) {
        Err(Detail::NotReplayed)
    } else {
        Ok(())
    }
}
