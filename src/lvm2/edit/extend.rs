//! Volumes that grow.

use super::create::linear_segments;
use super::*;
use crate::lvm2::alloc::{Allocator, Placement};
use crate::lvm2::model::{Area, SegmentKind};
use crate::lvm2::text::Item;
use crate::units::Extents;

/// What a volume is to others.
enum Role {
    Thin,
    Pool { data: LvName },
    Data { pool: LvName },
    Metadata,
    Linear,
}

impl VgEdit {
    /// Grows a volume to `extents`: a thin one only in name, a thin pool with its data volume, a
    /// pool's metadata with the spare, any other by linear segments behind its last one.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` where it would shrink; `Unsupported` where it is neither linear nor
    /// thin; `NoSpace`.
    pub fn extend_lv(&mut self, name: &LvName, extents: Extents) -> Result<()> {
        let have = self.lv(name)?.extents();
        if extents < have {
            return Err(self.error(ErrorKind::Invalid, name, Refused::Shrink(have.get())));
        }
        if u32::try_from(extents.get()).is_err() {
            return Err(self.error(ErrorKind::Invalid, name, Refused::Size(extents.get())));
        }
        let before = self.clone();
        self.grow(name, extents).inspect_err(|_| *self = before)
    }

    /// Grows a thin pool's metadata volume, and the spare where the group has one.
    ///
    /// # Errors
    /// As [`Self::extend_lv`].
    pub fn extend_pool_metadata(&mut self, pool: &LvName, extents: Extents) -> Result<()> {
        let metadata = self.pool(pool)?.metadata.clone();
        self.extend_lv(&metadata, extents)
    }

    fn grow(&mut self, name: &LvName, extents: Extents) -> Result<()> {
        match self.role(name)? {
            Role::Thin => self.change_lv(name, |lv| set_count(lv, 1, extents)),
            Role::Pool { data } => self.grow_pool(name, &data, extents),
            Role::Data { pool } => self.grow_pool(&pool, name, extents),
            Role::Metadata => {
                self.grow_linear(name, extents)?;
                match self.now.pmspare() {
                    Some(_) => self.provide_spare(extents, &Birth::default()),
                    None => Ok(()),
                }
            }
            Role::Linear => self.grow_linear(name, extents),
        }
    }

    fn role(&self, name: &LvName) -> Result<Role> {
        let lv = self.lv(name)?;
        if let Some(pool) = lv.thin_pool() {
            return Ok(Role::Pool { data: pool.data.clone() });
        }
        if lv.thin().is_some() {
            return Ok(Role::Thin);
        }
        let pools = self.now.lvs.iter().filter_map(|lv| Some((&lv.name, lv.thin_pool()?)));
        let role = pools.into_iter().find_map(|(pool, segment)| match name {
            _ if segment.data == *name => Some(Role::Data { pool: pool.clone() }),
            _ if segment.metadata == *name => Some(Role::Metadata),
            _ => None,
        });
        Ok(role.unwrap_or(Role::Linear))
    }

    /// The pool's size is its data volume's, in one change: between them the group is not whole.
    fn grow_pool(&mut self, pool: &LvName, data: &LvName, extents: Extents) -> Result<()> {
        let growth = self.growth(data, extents)?;
        self.change(|vg| {
            if let Some(lv) = lv_mut(vg, data) {
                growth.apply(lv);
            }
            if let Some(lv) = lv_mut(vg, pool) {
                set_count(lv, 1, extents);
            }
        })
    }

    pub(super) fn grow_linear(&mut self, name: &LvName, extents: Extents) -> Result<()> {
        let growth = self.growth(name, extents)?;
        self.change_lv(name, |lv| growth.apply(lv))
    }

    /// Finds the extents for a linear volume to grow to `extents`.
    fn growth(&self, name: &LvName, extents: Extents) -> Result<Growth> {
        let lv = self.lv(name)?;
        let not_linear = || self.error(ErrorKind::Unsupported, name, Refused::NotLinear);
        let last = lv.segments.last().ok_or_else(not_linear)?;
        let SegmentKind::Striped(striped) = &last.kind else { return Err(not_linear()) };
        let [area] = &*striped.areas else { return Err(not_linear()) };
        let behind = area.start.saturating_add(area.count);
        let wish = Placement { behind: Some((area.on.clone(), behind)), ..Placement::default() };
        let need = extents.saturating_sub(lv.extents());
        let mut areas = if need.is_zero() {
            Vec::new()
        } else {
            Allocator::new(&self.now).take(need, &wish)?
        };
        let joins = areas.first().is_some_and(|new| new.on == area.on && new.start == behind);
        let joined = if joins { areas.remove(0).count } else { Extents::ZERO };
        let count = last.count.saturating_add(joined);
        let end = lv.extents().saturating_add(joined);
        Growth::new(lv.segments.len(), count, &areas, end)
    }
}

/// A change to a linear volume's segments.
struct Growth {
    /// The last segment's number and its new size.
    last: usize,
    count: Extents,
    new: Vec<Item>,
}

impl Growth {
    fn new(last: usize, count: Extents, areas: &[Area], end: Extents) -> Result<Self> {
        let texts = linear_segments(areas, last.saturating_add(1), end);
        let new = texts.iter().map(|text| Item::parse(text)).collect::<Result<_>>()?;
        Ok(Self { last, count, new })
    }

    fn apply(self, lv: &mut Section) {
        set_count(lv, self.last, self.count);
        let segments = self.last.saturating_add(self.new.len());
        lv.set("segment_count", number(u64::try_from(segments).unwrap_or(u64::MAX)), &[]);
        lv.items_mut().extend(self.new);
    }
}

fn set_count(lv: &mut Section, segment: usize, extents: Extents) {
    if let Some(segment) = segment_mut(lv, segment) {
        segment.set("extent_count", number(extents.get()), &["start_extent", "extent_count"]);
    }
}
