//! What our thin volumes are like while they are made and when they are done.

use crate::digest::Digest;
use crate::layout::{VolumePath, tag};
use crate::name::LvName;
use crate::units::Bytes;

/// What a volume is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Finished: read-only, activation skip set, inactive.
    Base,
    /// Finished: read-write, no skip, active.
    Layer,
    /// Finished: the same, for data that layers share.
    Data,
}

impl Role {
    /// The tag that says so.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Base => tag::BASE,
            Self::Layer => tag::LAYER,
            Self::Data => tag::VOLUME,
        }
    }

    /// True for a volume that is written in use.
    pub(super) fn is_writable(self) -> bool {
        self != Self::Base
    }
}

/// A thin volume to make.
#[derive(Clone, Debug)]
pub(super) struct NewThin {
    /// Its name.
    pub(super) name: LvName,
    /// What it is for.
    pub(super) role: Role,
    /// What it is a snapshot of.
    pub(super) origin: Option<LvName>,
    /// Its size; `None`: a snapshot has its origin's.
    pub(super) size: Option<Bytes>,
    /// What its image is.
    pub(super) digest: Option<Digest>,
    /// Where it is to be mounted.
    pub(super) at: Option<VolumePath>,
    /// Whose state it takes over.
    pub(super) from: Option<LvName>,
}

impl NewThin {
    /// A snapshot, as large as its origin.
    pub(super) fn snapshot(name: LvName, role: Role, origin: LvName) -> Self {
        Self { name, role, origin: Some(origin), size: None, digest: None, at: None, from: None }
    }
}
