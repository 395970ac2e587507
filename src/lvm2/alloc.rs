//! Linear allocation: which extents a new or growing volume gets.
//!
//! First fit in the order of the physical volumes: at the place asked for, else in the first hole
//! that takes it whole, else spread over the holes in order.

use crate::name::VgName;
use crate::order;
use crate::units::{Extents, Sectors};
use crate::{Error, ErrorKind, Result};

use super::model::{Area, Vg};

/// Wishes for the place of new extents. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Take these extents first, where they are free: the physical volume's section name and the
    /// extent. For a volume that grows.
    pub behind: Option<(Box<str>, Extents)>,
    /// Section names of physical volumes to take last of all.
    pub avoid: Vec<Box<str>>,
    /// Fail rather than spread over several holes.
    pub contiguous: bool,
}

/// The free extents of a group, while a change takes them away.
#[derive(Clone, Debug)]
pub struct Allocator {
    vg: VgName,
    extent_size: Sectors,
    /// Physical volume, first extent, count; in order of the physical volumes.
    holes: Vec<Area>,
}

impl Allocator {
    /// All free extents of the group's open and present physical volumes.
    pub fn new(vg: &Vg) -> Self {
        let maps = vg.allocated().into_iter();
        let open = maps.filter(|map| map.pv.is_allocatable() && !map.pv.is_missing());
        let holes = open.flat_map(|map| {
            let on = &map.pv.label;
            let area = |(start, count)| Area { on: on.clone(), start, count };
            map.holes().into_iter().map(area).collect::<Vec<_>>()
        });
        Self { vg: vg.name.clone(), extent_size: vg.extent_size, holes: holes.collect() }
    }

    /// How many extents are free.
    pub fn free(&self) -> Extents {
        self.holes.iter().fold(Extents::ZERO, |sum, hole| sum.saturating_add(hole.count))
    }

    /// Takes `need` extents: areas in the order in which the volume shall use them.
    ///
    /// # Errors
    /// `NoSpace` in bytes, naming the group; then nothing is taken.
    pub fn take(&mut self, need: Extents, wish: &Placement) -> Result<Vec<Area>> {
        let order = self.order(need, wish);
        let mut left = need;
        let mut areas: Vec<Area> = Vec::new();
        for hole in order.into_iter().filter_map(|index| self.holes.get(index)) {
            let count = hole.count.min(left);
            if count.is_zero() || (wish.contiguous && count < need) {
                continue;
            }
            areas.push(Area { on: hole.on.clone(), start: hole.start, count });
            left = left.saturating_sub(count);
        }
        if !left.is_zero() {
            return Err(self.full(need, wish));
        }
        areas.iter().for_each(|area| self.carve(area));
        Ok(merged(areas))
    }

    /// The holes in the order of preference: one that takes all that is left over behind the
    /// wished place comes before any that do not.
    fn order(&self, need: Extents, wish: &Placement) -> Vec<usize> {
        let behind = self.hole_behind(wish);
        let first = behind.and_then(|index| self.holes.get(index)).map(|hole| hole.count);
        let left = need.saturating_sub(first.unwrap_or_default());
        let hole = |index: &usize| self.holes.get(*index);
        let avoided = |index: &usize| hole(index).is_some_and(|hole| wish.avoid.contains(&hole.on));
        let fits = |index: &usize| hole(index).is_some_and(|hole| hole.count >= left);
        let mut rest: Vec<usize> =
            (0..self.holes.len()).filter(|index| Some(*index) != behind).collect();
        // Stable: within each class the physical volumes' order stays.
        order::sort_by_key(&mut rest, |index| (!fits(index), avoided(index)));
        behind.into_iter().chain(rest).collect()
    }

    fn hole_behind(&self, wish: &Placement) -> Option<usize> {
        let (on, start) = wish.behind.as_ref()?;
        self.holes.iter().position(|hole| hole.on == *on && hole.start == *start)
    }

    /// Takes an area off the front of its hole.
    fn carve(&mut self, area: &Area) {
        for hole in &mut self.holes {
            if hole.on == area.on && hole.start == area.start {
                hole.start = hole.start.saturating_add(area.count);
                hole.count = hole.count.saturating_sub(area.count);
            }
        }
        self.holes.retain(|hole| !hole.count.is_zero());
    }

    fn full(&self, need: Extents, wish: &Placement) -> Error {
        let largest = self.holes.iter().map(|hole| hole.count).max().unwrap_or_default();
        let have = if wish.contiguous { largest } else { self.free() };
        let (need, have) = (need.bytes(self.extent_size), have.bytes(self.extent_size));
        let why = match wish.contiguous {
            true => format!("it has {have} free in one piece where {need} are needed"),
            false => format!("it has {have} free where {need} are needed"),
        };
        Error::new(ErrorKind::NoSpace { need, have }, why)
            .at(format_args!("volume group {}", self.vg))
    }
}

/// Joins areas that follow one another on the disk.
fn merged(areas: Vec<Area>) -> Vec<Area> {
    let mut out: Vec<Area> = Vec::with_capacity(areas.len());
    for area in areas {
        match out.last_mut() {
            Some(last)
                if last.on == area.on && last.start.saturating_add(last.count) == area.start =>
            {
                last.count = last.count.saturating_add(area.count);
            }
            _ => out.push(area),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hole(on: &str, start: u64, count: u64) -> Area {
        Area { on: on.into(), start: Extents::new(start), count: Extents::new(count) }
    }

    fn allocator() -> Allocator {
        Allocator {
            vg: "vg".parse().expect("a name"),
            extent_size: Sectors::new(8192),
            holes: vec![hole("pv0", 5, 3), hole("pv0", 20, 10), hole("pv1", 0, 10)],
        }
    }

    fn take(allocator: &mut Allocator, need: u64, wish: &Placement) -> Vec<Area> {
        allocator.take(Extents::new(need), wish).expect("fits")
    }

    #[test]
    fn the_first_hole_that_takes_it_whole_wins() {
        let mut allocator = allocator();
        let any = Placement::default();
        assert_eq!(take(&mut allocator, 4, &any), [hole("pv0", 20, 4)]);
        assert_eq!(take(&mut allocator, 3, &any), [hole("pv0", 5, 3)]);
        let spread = [hole("pv0", 24, 6), hole("pv1", 0, 5)];
        assert_eq!(take(&mut allocator, 11, &any), spread);
        assert_eq!(allocator.free(), Extents::new(5));
    }

    #[test]
    fn wishes_are_met_where_they_can_be() {
        let avoid = Placement { avoid: vec!["pv0".into()], ..Placement::default() };
        assert_eq!(take(&mut allocator(), 3, &avoid), [hole("pv1", 0, 3)]);
        let spread = [hole("pv1", 0, 10), hole("pv0", 20, 2)];
        let mut two = allocator();
        two.holes.remove(0);
        assert_eq!(take(&mut two, 12, &avoid), spread);
        let behind = Some(("pv0".into(), Extents::new(20)));
        let grow = Placement { behind, ..Placement::default() };
        assert_eq!(take(&mut allocator(), 2, &grow), [hole("pv0", 20, 2)]);
        let spread = [hole("pv0", 20, 10), hole("pv1", 0, 10)];
        assert_eq!(take(&mut allocator(), 20, &grow), spread);
    }

    #[test]
    fn no_space_tells_bytes_and_takes_nothing() {
        let mut allocator = allocator();
        let error = allocator.take(Extents::new(24), &Placement::default()).expect_err("full");
        let need = Extents::new(24).bytes(Sectors::new(8192));
        let have = Extents::new(23).bytes(Sectors::new(8192));
        assert_eq!(error.kind(), ErrorKind::NoSpace { need, have });
        let line = "volume group vg: it has 92 MiB free where 96 MiB are needed";
        assert_eq!(error.to_string(), line);
        let whole = Placement { contiguous: true, ..Placement::default() };
        assert!(allocator.take(Extents::new(11), &whole).is_err());
        assert_eq!(allocator.free(), Extents::new(23));
        assert_eq!(take(&mut allocator, 10, &whole), [hole("pv0", 20, 10)]);
    }
}
