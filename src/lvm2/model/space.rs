//! Which extents of the physical volumes are taken.

use std::collections::HashMap;

use super::*;
use crate::order;

/// A physical volume and the extents of it that are in use.
#[derive(Clone, Debug)]
pub struct PvMap<'a> {
    /// The physical volume.
    pub pv: &'a Pv,
    /// What is taken, by first extent. Runs overlap only in a group that is no longer whole.
    pub runs: Vec<Run<'a>>,
}

/// Extents of a physical volume that a logical one holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// The first.
    pub start: Extents,
    /// How many.
    pub count: Extents,
    /// Whose.
    pub lv: &'a LvName,
}

impl Run<'_> {
    /// The first extent behind it.
    pub fn end(&self) -> Extents {
        self.start.saturating_add(self.count)
    }
}

impl PvMap<'_> {
    /// The holes between the runs: first extent and how many.
    pub fn holes(&self) -> Vec<(Extents, Extents)> {
        let (mut holes, mut at) = (Vec::new(), Extents::ZERO);
        let starts = self.runs.iter().map(|run| (run.start, run.end()));
        for (start, end) in starts.chain([(self.pv.pe_count, self.pv.pe_count)]) {
            let count = start.min(self.pv.pe_count).saturating_sub(at);
            if !count.is_zero() {
                holes.push((at, count));
            }
            at = at.max(end);
        }
        holes
    }
}

impl SegmentKind {
    /// The areas that it lies on, of physical volumes or of logical ones.
    pub fn areas(&self) -> &[Area] {
        match self {
            Self::Striped(striped) => &striped.areas,
            Self::Known { areas, .. } | Self::Unknown { areas, .. } => areas,
            Self::ThinPool(_) | Self::Thin(_) => &[],
        }
    }
}

impl Vg {
    /// What is taken, for each physical volume in the text's order.
    pub fn allocated(&self) -> Vec<PvMap<'_>> {
        let mut maps: Vec<_> = self.pvs.iter().map(|pv| PvMap { pv, runs: Vec::new() }).collect();
        let places: HashMap<&str, usize> =
            self.pvs.iter().enumerate().map(|(index, pv)| (&*pv.label, index)).collect();
        for lv in &self.lvs {
            for area in lv.segments.iter().flat_map(|segment| segment.kind.areas()) {
                let map = places.get(&*area.on).and_then(|index| maps.get_mut(*index));
                let run = Run { start: area.start, count: area.count, lv: &lv.name };
                map.into_iter().for_each(|map| map.runs.push(run));
            }
        }
        maps.iter_mut().for_each(|map| order::sort_by_key(&mut map.runs, |run| run.start));
        maps
    }

    /// Extents that new volumes may take: those of missing and closed physical volumes do not
    /// count.
    pub fn free_extents(&self) -> Extents {
        let open = |map: &PvMap<'_>| map.pv.is_allocatable() && !map.pv.is_missing();
        let maps = self.allocated().into_iter().filter(open);
        let holes = maps.flat_map(|map| map.holes());
        holes.fold(Extents::ZERO, |sum, (_, count)| sum.saturating_add(count))
    }

    /// The device id for the next thin volume of that pool: one above the highest in the text, so
    /// that holes are never filled. A hole's id may still exist in a pool whose text was restored.
    ///
    /// # Errors
    /// `NotFound` where it is no pool, `Unsupported` where the 24 bits are used up.
    pub fn next_device_id(&self, pool: &LvName) -> Result<u32> {
        let Some(segment) = self.thin_pool(pool) else {
            let error = crate::Error::new(crate::ErrorKind::NotFound, "there is no such thin pool");
            return Err(error.at(format_args!("{}/{pool}", self.name)));
        };
        // An id that is still to be deleted is in use until then.
        let dying = segment
            .messages
            .iter()
            .filter_map(|message| if let Message::Delete(id) = message { Some(*id) } else { None });
        let highest = self.thins(pool).map(|(_, thin)| thin.device_id).chain(dying).max();
        let next = highest.unwrap_or(0).checked_add(1).filter(|id| *id < 1 << 24);
        next.ok_or_else(|| {
            let why = "all 2^24 device ids of the thin pool are used";
            crate::Error::new(crate::ErrorKind::Unsupported, why)
                .at(format_args!("{}/{pool}", self.name))
        })
    }
}
