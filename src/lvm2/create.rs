//! Makes physical volumes, and the first text of a group on them.
//!
//! On each device, with a sync after each step: the first sectors are
//! emptied, so that no older label is left; the metadata area gets its header;
//! the label follows. Only then is the group's text committed as any other. A
//! power cut before that leaves a blank device or a physical volume of no
//! group.

use std::path::PathBuf;
use std::sync::Arc;

use crate::dev::Dev;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::name::LvmId;
use crate::units::{Bytes, Extents, Sectors};

use super::commit::Protocol;
use super::edit::NewVg;
use super::label::{DiskLocn, LABEL_SCAN, PvLabel};
use super::mda::Mda;
use super::ring::{Ring, RingText};
use super::scan::{Content, Group, Member, MetadataCopy, TextId};
use super::store::commit_to;

/// Where the first metadata area begins: behind the label, on a page.
const MDA_START: Bytes = Bytes::kib(4);
/// Smallest metadata area that lvm2 makes (eight pages).
const MDA_MIN: Bytes = Bytes::kib(32);
/// Largest that is made here: two of the longest texts.
const MDA_MAX: Bytes = Bytes::mib(128);
/// lvm2's `devices/pv_min_size`.
const PV_MIN: Bytes = Bytes::mib(2);
/// What is emptied at a new metadata area's start, the header's sector included.
const MDA_WIPE: usize = 4096;

/// How to lay out a new physical volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PvOptions {
    /// At least so large is the metadata area; it reaches up to the first extent.
    pub mda_size: Bytes,
    /// The first extent begins at a multiple of this.
    pub data_alignment: Bytes,
}

impl Default for PvOptions {
    /// lvm2's own: the first extent at 1 MiB, the metadata area fills what is before it.
    fn default() -> Self {
        Self { mda_size: MDA_MIN, data_alignment: Bytes::mib(1) }
    }
}

/// Where things lie on a new physical volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The device's size, in whole sectors.
    pub dev_size: Sectors,
    /// `pe_start`: where extent 0 begins.
    pub pe_start: Sectors,
    /// The one metadata area.
    pub mda: DiskLocn,
}

/// Why a device cannot be laid out so.
#[derive(Debug, thiserror::Error)]
enum Detail {
    #[error("a metadata area has 32 KiB to 128 MiB, not {0}")]
    MdaSize(Bytes),
    #[error("the alignment of {0} is not a multiple of 4 KiB")]
    Alignment(Bytes),
    #[error("the device has {have} bytes, a physical volume needs more than {need} bytes")]
    TooSmall { need: u64, have: u64 },
}

impl Geometry {
    /// Lays out a device of that size, as lvm2 does.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for sizes that lvm2 would not make;
    /// [`NoSpace`](ErrorKind::NoSpace) where the device is too small.
    pub fn new(dev_size: Bytes, options: &PvOptions) -> Result<Self> {
        let invalid = |detail| Error::new(ErrorKind::Invalid, detail);
        let PvOptions { mda_size, data_alignment } = *options;
        if mda_size < MDA_MIN || mda_size > MDA_MAX {
            return Err(invalid(Detail::MdaSize(mda_size)));
        }
        if data_alignment.is_zero() || data_alignment.round_down(MDA_START) != data_alignment {
            return Err(invalid(Detail::Alignment(data_alignment)));
        }
        let end = MDA_START.saturating_add(mda_size).round_up(data_alignment);
        let pe_start = end.ok_or_else(|| invalid(Detail::Alignment(data_alignment)))?;
        let need = if pe_start < PV_MIN { PV_MIN } else { pe_start };
        if dev_size < PV_MIN || dev_size <= pe_start {
            let detail = Detail::TooSmall { need: need.get(), have: dev_size.get() };
            return Err(Error::new(ErrorKind::NoSpace { need, have: dev_size }, detail));
        }
        let mda = DiskLocn { offset: MDA_START, size: pe_start.saturating_sub(MDA_START) };
        Ok(Self { dev_size: dev_size.sectors_down(), pe_start: pe_start.sectors_down(), mda })
    }

    /// `pe_count`: whole extents behind `pe_start`.
    pub fn pe_count(&self, extent_size: Sectors) -> Extents {
        self.dev_size.saturating_sub(self.pe_start).extents_down(extent_size)
    }
}

/// A physical volume to be made.
#[derive(Clone)]
pub struct PvPlan {
    /// The device's path.
    pub path: PathBuf,
    /// The device.
    pub dev: Arc<dyn Dev>,
    /// Its identifier to be.
    pub id: LvmId,
    /// Its layout to be.
    pub geometry: Geometry,
}

impl PvPlan {
    /// Plans a physical volume with a new identifier. Nothing is written.
    ///
    /// # Errors
    /// As [`Geometry::new`]; [`Io`](ErrorKind::Io) where the system gives no random bytes.
    pub fn new(path: PathBuf, dev: Arc<dyn Dev>, options: &PvOptions) -> Result<Self> {
        let name = path.display().to_string();
        let id = LvmId::random().context("make an identifier", &name)?;
        let geometry = Geometry::new(dev.size(), options)
            .map_err(|error| error.op("lay out a physical volume").at(name))?;
        Ok(Self { path, dev, id, geometry })
    }

    fn label(&self) -> PvLabel {
        let Geometry { dev_size, pe_start, mda } = self.geometry;
        PvLabel::new(self.id, dev_size.bytes(), pe_start.bytes(), mda)
    }

    /// Empties the start, then writes the header, then the label, each made durable.
    fn make(&self) -> Result<()> {
        empty_start(self.dev.as_ref(), self.geometry.mda)?;
        let name = self.dev.name();
        let mda = Mda::empty(self.geometry.mda);
        self.dev
            .write_at(&mda.encode(), mda.area().offset)
            .context("write the metadata area", name)?;
        self.dev.sync().context("make the metadata area durable", name)?;
        let label = self.label();
        self.dev.write_at(&label.encode()?, label.offset()).context("write the label", name)?;
        self.dev.sync().context("make the label durable", name)
    }

    /// Fails where the first text does not fit.
    fn check_room(&self, text: &RingText) -> Result<()> {
        let ring = Ring::of(&Mda::empty(self.geometry.mda));
        let placed = ring.place(text, ring.start_after(None), None);
        placed
            .map(drop)
            .map_err(|error| error.op("create the volume group").at(self.path.display()))
    }

    /// As a scan would find it.
    fn member(&self) -> Member {
        let area = self.geometry.mda;
        let copy = MetadataCopy { area, header: Some(Mda::empty(area)), content: Content::Empty };
        let (path, dev) = (self.path.clone(), Arc::clone(&self.dev));
        Member { path, dev, label: self.label(), mdas: vec![copy] }
    }
}

/// Zeros over the label's sectors and over the area's start; made durable.
fn empty_start(dev: &dyn Dev, mda: DiskLocn) -> Result<()> {
    let name = dev.name();
    let op = "empty the device's start";
    dev.write_at(&[0; LABEL_SCAN], Bytes::ZERO).context(op, name)?;
    dev.write_at(&[0; MDA_WIPE], mda.offset).context(op, name)?;
    dev.sync().context(op, name)
}

/// Takes back what [`create_group`] did to a device: no label and no metadata header is left, so
/// the device is blank to lvm2.
///
/// # Errors
/// [`Io`](ErrorKind::Io); each device is to be tried all the same.
pub fn wipe_pv(plan: &PvPlan) -> Result<()> {
    let name = plan.dev.name();
    let op = "wipe the label";
    // The label first: without it nothing finds the rest.
    plan.dev.write_at(&[0; LABEL_SCAN], Bytes::ZERO).context(op, name)?;
    plan.dev.sync().context(op, name)?;
    empty_start(plan.dev.as_ref(), plan.geometry.mda)
}

/// Makes the physical volumes and commits the group's first text, which must list just them.
///
/// What was on the devices is gone; whether it may is the caller's business, and so are the
/// locks.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) where the text and the plans do not fit each other, before
/// anything is written; [`NoSpace`](ErrorKind::NoSpace), [`Io`](ErrorKind::Io): the devices are
/// blank again then. [`NeedsRecovery`](ErrorKind::NeedsRecovery) where they could not be wiped.
///
/// # Commit point
/// The first header with the text that is on a disk.
pub fn create_group(plans: &[PvPlan], new: NewVg) -> Result<Group> {
    create_by(plans, new, first_commit)
}

/// The same with the text committed by lvm2's library, which must be able to see the devices.
///
/// # Errors
/// As [`create_group`]; [`Tool`](ErrorKind::Tool) where the library fails.
#[cfg(feature = "liblvm")]
pub fn create_group_by_library(
    plans: &[PvPlan],
    new: NewVg,
    library: &dyn super::store::Lvm2Library,
) -> Result<Group> {
    let commit =
        |plans: &[PvPlan], new: NewVg| super::store::library::first_commit(library, plans, &new);
    create_by(plans, new, commit)
}

fn create_by(
    plans: &[PvPlan],
    new: NewVg,
    first_commit: impl FnOnce(&[PvPlan], NewVg) -> Result<Group>,
) -> Result<Group> {
    check(plans, &new)?;
    let made = plans.iter().try_for_each(PvPlan::make);
    made.and_then(|()| first_commit(plans, new)).map_err(|error| undo(plans, error))
}

fn check(plans: &[PvPlan], new: &NewVg) -> Result<()> {
    let vg = new.vg();
    let fits = |plan: &PvPlan| {
        vg.pvs.iter().any(|pv| {
            let size = pv.dev_size.is_none_or(|size| size == plan.geometry.dev_size);
            pv.id == plan.id && pv.pe_start == plan.geometry.pe_start && size
        })
    };
    if vg.pvs.len() != plans.len() || plans.is_empty() || !plans.iter().all(fits) {
        let why = "the text lists other physical volumes than those to be made";
        return Err(Error::new(ErrorKind::Invalid, why).op("create the volume group").at(&vg.name));
    }
    let text = RingText::of(new.text());
    plans
        .iter()
        .try_for_each(|plan| plan.check_room(&text))
        .map_err(|e| e.kept("nothing was changed"))
}

fn first_commit(plans: &[PvPlan], new: NewVg) -> Result<Group> {
    let vg = Arc::new(new.vg().clone());
    // No area holds this: all are behind, and none is current.
    let current = TextId { vg: vg.id, seqno: 0, size: 0, checksum: 0 };
    let members = plans.iter().map(PvPlan::member).collect();
    let mut group = Group { vg, current, members, problems: Vec::new() };
    commit_to(&mut group, new, Protocol::SOUND, &mut |_| Ok(()))?;
    Ok(group)
}

/// Blanks all devices; the first error is the one that counts.
fn undo(plans: &[PvPlan], error: Error) -> Error {
    let mut wiped = true;
    for plan in plans {
        if let Err(failed) = wipe_pv(plan) {
            log::warn!("{failed}");
            wiped = false;
        }
    }
    if wiped {
        let kind = error.kind();
        let kind = if kind == ErrorKind::NeedsRecovery { ErrorKind::Io } else { kind };
        return error.with_kind(kind).kept("the devices are blank again");
    }
    error.with_kind(ErrorKind::NeedsRecovery).kept("not all devices could be made blank again")
}

#[cfg(test)]
mod tests;
