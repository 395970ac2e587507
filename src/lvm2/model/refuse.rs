//! Groups that this program reads but must not write.

use super::*;
use crate::{Error, ErrorKind};

const VG_STATUS: [&str; 7] =
    ["EXPORTED", "RESIZEABLE", "PVMOVE", "READ", "WRITE", "CLUSTERED", "SHARED"];
const PV_STATUS: [&str; 3] = ["ALLOCATABLE", "EXPORTED", "MISSING"];
const LV_STATUS: [&str; 9] = [
    "READ",
    "WRITE",
    "FIXED_MINOR",
    "VISIBLE",
    "PVMOVE",
    "LOCKED",
    "NOTSYNCED",
    "REBUILD",
    "WRITEMOSTLY",
];

/// Why a group is left alone.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it is exported")]
    Exported,
    #[error("it is clustered")]
    Clustered,
    #[error("it is shared by a lock manager ({0})")]
    Shared(Box<str>),
    #[error("it belongs to the system id '{0}', not to this host")]
    Foreign(Box<str>),
    #[error("it is read-only")]
    ReadOnly,
    #[error("its format is '{0}'")]
    Format(String),
    #[error("the physical volume is missing")]
    Missing,
    #[error("volumes are being moved or are locked")]
    Moving,
    #[error("it has the unknown status flag '{0}'")]
    Status(Word),
    #[error("it has a segment of the unknown type '{0}'")]
    Type(Box<str>),
}

/// The first of `status` that is none of `known`.
fn unknown(status: &[Word], known: &[&str]) -> Option<Refusal> {
    let word = status.iter().find(|word| !known.contains(&&***word))?;
    Some(Refusal::Status(word.clone()))
}

impl Vg {
    /// Why this group must not be written, as far as its text shows; `system_ids` are this host's
    /// own and its extra ones.
    ///
    /// The error is `Unsupported` and names the group or the volume.
    pub fn why_not_writable(&self, system_ids: &[String]) -> Option<Error> {
        self.foreign(system_ids).or_else(|| self.why_never_writable())
    }

    /// Why not even its volumes may become devices: the group is another host's, exported, or
    /// several hosts' at once.
    ///
    /// The error is `Unsupported` and names the group.
    pub fn why_not_activatable(&self, system_ids: &[String]) -> Option<Error> {
        let flagged = ["EXPORTED", "CLUSTERED", "SHARED"].iter().any(|flag| self.has_status(flag));
        let others = flagged || self.lock_type.is_some();
        self.foreign(system_ids).or_else(|| others.then(|| self.why_never_writable()).flatten())
    }

    fn foreign(&self, system_ids: &[String]) -> Option<Error> {
        let id = self.system_id.as_deref().filter(|id| system_ids.iter().all(|own| own != id))?;
        let at = format_args!("volume group {}", self.name);
        Some(self.error(Refusal::Foreign(id.into()), at))
    }

    /// The same, whoever's the group is.
    pub(crate) fn why_never_writable(&self) -> Option<Error> {
        let own = |refusal| self.error(refusal, format_args!("volume group {}", self.name));
        self.refusal().map(own).or_else(|| self.pv_refusal()).or_else(|| self.lv_refusal())
    }

    fn error(&self, refusal: Refusal, at: std::fmt::Arguments<'_>) -> Error {
        Error::new(ErrorKind::Unsupported, refusal).at(at)
    }

    fn refusal(&self) -> Option<Refusal> {
        let locked = self.system_id.is_some() && has(&self.flags, "WRITE_LOCKED");
        if self.has_status("EXPORTED") {
            Some(Refusal::Exported)
        } else if self.has_status("CLUSTERED") {
            Some(Refusal::Clustered)
        } else if let Some(kind) = &self.lock_type {
            Some(Refusal::Shared(kind.clone()))
        } else if self.has_status("SHARED") {
            Some(Refusal::Shared("SHARED".into()))
        } else if self.has_status("PVMOVE") {
            Some(Refusal::Moving)
        } else if !self.has_status("WRITE") && !locked {
            Some(Refusal::ReadOnly)
        } else {
            unknown(&self.status, &VG_STATUS).or_else(|| self.format_refusal())
        }
    }

    fn format_refusal(&self) -> Option<Refusal> {
        let (_, section) = self.text.vg()?;
        let format = section.str("format").filter(|format| format != "lvm2")?;
        Some(Refusal::Format(format.into_owned()))
    }

    fn pv_refusal(&self) -> Option<Error> {
        self.pvs.iter().find_map(|pv| {
            let missing = pv.is_missing().then_some(Refusal::Missing);
            let exported = has(&pv.status, "EXPORTED").then_some(Refusal::Exported);
            let refusal = missing.or(exported).or_else(|| unknown(&pv.status, &PV_STATUS))?;
            let device = pv.device.as_deref().unwrap_or("unknown device");
            Some(self.error(refusal, format_args!("{device} ({}) of {}", pv.id, self.name)))
        })
    }

    fn lv_refusal(&self) -> Option<Error> {
        self.lvs.iter().find_map(|lv| {
            let moving = lv.has_status("PVMOVE") || lv.has_status("LOCKED");
            let moving = moving.then_some(Refusal::Moving);
            let status = moving.or_else(|| unknown(&lv.status, &LV_STATUS));
            let refusal = status.or_else(|| lv.unknown_type())?;
            Some(self.error(refusal, format_args!("volume {}/{}", self.name, lv.name)))
        })
    }
}

impl Lv {
    fn unknown_type(&self) -> Option<Refusal> {
        self.segments.iter().find_map(|segment| match &segment.kind {
            SegmentKind::Unknown { name, .. } => Some(Refusal::Type(name.clone())),
            _ => None,
        })
    }
}
