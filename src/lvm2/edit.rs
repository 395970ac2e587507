//! Changes to a volume group: made on a copy, checked as a whole, given out once.
//!
//! Each change is made on the tree, so whatever it does not touch is printed as it was found. New
//! keys stand where lvm2 would print them.

mod change;
mod create;
mod extend;
mod group;
mod remove;
mod rename;
#[cfg(test)]
mod tests;

pub use create::{Birth, LinearSpec, PoolSpec, ThinSpec};
pub use group::{GroupSpec, PvSpec};

use super::model::{Lv, ThinPool, Vg};
use super::text::{Array, Body, Document, Scalar, Section, Stamp, Style};
use super::validate;
use crate::name::LvName;
use crate::{Error, ErrorKind, Result};

/// Keys of the group in lvm2's order.
const VG_KEYS: [&str; 6] = ["id", "seqno", "format", "status", "flags", "tags"];
/// Keys of a logical volume in lvm2's order.
const LV_KEYS: [&str; 4] = ["id", "status", "flags", "tags"];
/// What a volume's `status` may hold, in lvm2's order.
const LV_STATUS: [&str; 4] = ["READ", "WRITE", "FIXED_MINOR", "VISIBLE"];
/// What a volume's `flags` may hold, in lvm2's order.
const LV_FLAGS: [&str; 5] =
    ["WRITE_LOCKED", "ACTIVATION_SKIP", "NOAUTOACTIVATE", "ERROR_WHEN_FULL", "CACHE_VOL"];

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("there is no such volume")]
    NoVolume,
    #[error("it is no thin pool")]
    NoPool,
    #[error("there is no such physical volume")]
    NoPv,
    #[error("there is such a volume already")]
    Exists,
    #[error("it is a part of another volume")]
    Internal,
    #[error("it is used by volume {0}")]
    Used(String),
    #[error("the thin pool still has the volume {0}")]
    HasThins(LvName),
    #[error("its size cannot be {0} extents")]
    Size(u64),
    #[error("it cannot shrink: it has {0} extents")]
    Shrink(u64),
    #[error("a snapshot is no smaller than its origin, which has {0} extents")]
    SnapshotSize(u64),
    #[error("the origin is no thin volume of that pool")]
    Origin,
    #[error("chunks have 64 KiB to 1 GiB, in steps of 64 KiB")]
    Chunk,
    #[error("only linear and thin volumes can be extended")]
    NotLinear,
    #[error("'{0}' is no flag that can be set")]
    Flag(String),
    #[error("the sequence number is used up")]
    Seqno,
    #[error("an extent is a power of two of sectors, or a multiple of 128 KiB")]
    ExtentSize,
    #[error("a group has at least one physical volume")]
    NoPvs,
    #[error("{0} extents reach beyond the end of {1}")]
    Beyond(u64, String),
}

/// A volume group being changed. Each change is made whole or not at all.
#[derive(Clone, Debug)]
pub struct VgEdit {
    now: Vg,
}

/// A checked volume group and its text on disk: the only thing that can be committed.
#[derive(Clone, Debug)]
pub struct NewVg {
    vg: Vg,
    disk_text: String,
}

impl NewVg {
    /// Any text, for tests of what commits it.
    #[cfg(test)]
    pub(crate) fn of_text(disk_text: String) -> Result<Self> {
        Ok(Self { vg: Vg::parse(&disk_text)?, disk_text })
    }

    /// The group as it will be.
    pub fn vg(&self) -> &Vg {
        &self.vg
    }

    /// The text for the metadata areas, without the NUL that ends it there.
    pub fn text(&self) -> &str {
        &self.disk_text
    }

    /// The group, once it is committed.
    pub fn into_vg(self) -> Vg {
        self.vg
    }

    /// Checks what the structure does not say, and prints.
    fn seal(vg: Vg) -> Result<Self> {
        validate::whole(&vg)?;
        let disk_text = vg.to_text(Style::Disk);
        Ok(Self { vg, disk_text })
    }
}

impl Vg {
    /// Starts a change.
    pub fn edit(&self) -> VgEdit {
        VgEdit { now: self.clone() }
    }
}

impl VgEdit {
    /// The group as it is after the changes so far, with the old sequence number.
    pub fn vg(&self) -> &Vg {
        &self.now
    }

    /// Checks the whole group and raises its sequence number by one.
    ///
    /// # Errors
    /// `Invalid`, naming the volume, where a rule of lvm2's or of ours is broken; `Unsupported`
    /// where the group must not be written whoever owns it ([`Vg::why_not_writable`] also looks
    /// at the system id).
    pub fn finish(self, stamp: &Stamp) -> Result<NewVg> {
        if let Some(refusal) = self.now.why_never_writable() {
            return Err(refusal);
        }
        let seqno = self.now.seqno.checked_add(1).filter(|n| u32::try_from(*n).is_ok());
        let seqno = seqno.ok_or_else(|| self.vg_error(ErrorKind::Unsupported, Refused::Seqno))?;
        let mut text = self.now.text.clone();
        if let Some(vg) = text.vg_mut() {
            vg.set("seqno", number(seqno), &VG_KEYS);
        }
        text.set_trailer(stamp);
        // Nothing else has changed since the text was read last.
        NewVg::seal(Vg { seqno, text, ..self.now })
    }

    /// Makes one change to the group's section; on an error nothing has changed.
    fn change(&mut self, change: impl FnOnce(&mut Section)) -> Result<()> {
        let mut text = self.now.text.clone();
        if let Some(vg) = text.vg_mut() {
            change(vg);
        }
        self.now =
            Vg::from_changed(text, &self.now).map_err(|e| e.with_kind(ErrorKind::Invalid))?;
        Ok(())
    }

    /// Makes one change to a volume's section.
    fn change_lv(&mut self, name: &LvName, change: impl FnOnce(&mut Section)) -> Result<()> {
        self.lv(name)?;
        self.change(|vg| {
            if let Some(lv) = lv_mut(vg, name) {
                change(lv);
            }
        })
    }

    /// Makes one change to the only segment of a thin pool.
    fn change_pool(&mut self, name: &LvName, change: impl FnOnce(&mut Section)) -> Result<()> {
        self.pool(name)?;
        self.change_lv(name, |lv| {
            if let Some(segment) = segment_mut(lv, 1) {
                change(segment);
            }
        })
    }

    fn lv(&self, name: &LvName) -> Result<&Lv> {
        let found = self.now.lv(name);
        found.ok_or_else(|| self.error(ErrorKind::NotFound, name, Refused::NoVolume))
    }

    fn pool(&self, name: &LvName) -> Result<&ThinPool> {
        let pool = self.lv(name)?.thin_pool();
        pool.ok_or_else(|| self.error(ErrorKind::Invalid, name, Refused::NoPool))
    }

    fn error(&self, kind: ErrorKind, lv: &LvName, why: Refused) -> Error {
        Error::new(kind, why).at(format_args!("volume {}/{lv}", self.now.name))
    }

    fn vg_error(&self, kind: ErrorKind, why: Refused) -> Error {
        Error::new(kind, why).at(format_args!("volume group {}", self.now.name))
    }
}

fn lv_mut<'a>(vg: &'a mut Section, name: &LvName) -> Option<&'a mut Section> {
    vg.section_mut("logical_volumes")?.section_mut(name.as_str())
}

fn segment_mut(lv: &mut Section, index: usize) -> Option<&mut Section> {
    lv.section_mut(&format!("segment{index}"))
}

fn number(value: u64) -> Body {
    Body::Scalar(Scalar::number(value))
}

fn string(text: &str) -> Body {
    Body::Scalar(Scalar::string(text))
}

fn words<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Body {
    Body::Array(Array::strings(words))
}
