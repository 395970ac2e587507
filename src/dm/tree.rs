//! From a volume group to the devices that a volume needs, lowest first.
//!
//! Pure: nothing is asked of the kernel here. [`activate`](Stack::activate) carries a plan out.

use std::collections::BTreeMap;

use super::kernel::DevNo;
use super::names::{DeviceKey, Role};
use super::table::{Line, Place, PoolFeatures, PoolTarget, Table, Target, ThinTarget};
use crate::error::{Error, ErrorKind, Result};
use crate::lvm2::model::{Area, Lv, SegmentKind, Striped, Thin, ThinPool, Vg};
use crate::name::{LvName, LvmId};
use crate::units::{Extents, Sectors};

/// Where the physical volumes are: the device number of each, by identifier.
pub type PvNumbers = BTreeMap<LvmId, DevNo>;

/// Above this the kernel ignores the rest of a pool's metadata and lvm2 crops the device
/// (15.81 GiB); this program refuses instead.
const METADATA_MAX: Sectors = Sectors::new(33_161_216);

/// A volume group with all that its devices depend on.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a> {
    /// The group.
    pub vg: &'a Vg,
    /// Its physical volumes' device numbers.
    pub numbers: &'a PvNumbers,
    /// lvm2's `activation/thin_pool_autoextend_threshold` in percent; 100 is off.
    pub autoextend_threshold: u8,
}

/// What a planned device lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// A disk.
    Disk(DevNo),
    /// The device at this index of the plan, always an earlier one.
    Node(usize),
}

/// A device of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, UUID and visibility.
    pub key: DeviceKey,
    /// True where it may not be written.
    pub read_only: bool,
    /// The minor number that the text fixes.
    pub minor: Option<u32>,
    /// What it is made of.
    pub table: Table<Below>,
    /// For a thin pool: its name and the text's transaction id.
    pub pool: Option<(LvName, u64)>,
}

/// Devices in the order in which to make them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Each lies only on earlier ones.
    pub nodes: Vec<Node>,
}

impl Stack<'_> {
    /// What `wanted` needs: for a thin volume its pool's devices and itself, for a pool also the
    /// wrapper that lvm2 puts where people look for it, for a linear or striped volume itself.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a volume or a physical volume that is not there,
    /// [`Unsupported`](ErrorKind::Unsupported) for a kind of volume that this program does not
    /// drive, [`Corrupt`](ErrorKind::Corrupt) where the text contradicts itself.
    pub fn plan(&self, wanted: &[LvName]) -> Result<Plan> {
        let mut planner = Planner { stack: self, plan: Plan::default() };
        for name in wanted {
            planner.wanted(name).map_err(|error| error.op("plan the activation").at(name))?;
        }
        Ok(planner.plan)
    }

    /// What a pool itself needs, without its wrapper.
    pub(super) fn plan_pool(&self, pool: &LvName) -> Result<Plan> {
        let mut planner = Planner { stack: self, plan: Plan::default() };
        planner.pool(pool).map_err(|error| error.op("plan the activation").at(pool))?;
        Ok(planner.plan)
    }
}

fn unsupported(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, why.into())
}

fn corrupt(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, why.into())
}

struct Planner<'a> {
    stack: &'a Stack<'a>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn lv(&self, name: &LvName) -> Result<&'a Lv> {
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no volume {name}"));
        self.stack.vg.lv(name).ok_or_else(missing)
    }

    fn wanted(&mut self, name: &LvName) -> Result<()> {
        let lv = self.lv(name)?;
        if !lv.is_visible() {
            return Err(unsupported("an internal volume is not activated by itself"));
        }
        if let Some(thin) = lv.thin() {
            return self.thin(lv, thin);
        }
        match lv.thin_pool() {
            Some(pool) => {
                let below = self.pool(name)?;
                if pool.transaction_id > 0 { self.wrapper(lv, below) } else { Ok(()) }
            }
            None => self.mapped(lv, Role::Volume).map(drop),
        }
    }

    /// Adds a device, or finds it in the plan.
    fn add(&mut self, node: Node) -> usize {
        let same = self.plan.nodes.iter().position(|other| other.key.uuid == node.key.uuid);
        same.unwrap_or_else(|| {
            self.plan.nodes.push(node);
            self.plan.nodes.len().saturating_sub(1)
        })
    }

    fn size(&self, lv: &Lv) -> Sectors {
        lv.extents().sectors(self.stack.vg.extent_size)
    }

    fn node(&self, lv: &Lv, role: Role, table: Table<Below>) -> Result<Node> {
        let key = DeviceKey::of(self.stack.vg, lv, role)?;
        Ok(Node { key, read_only: false, minor: None, table, pool: None })
    }

    fn thin(&mut self, lv: &Lv, thin: &Thin) -> Result<()> {
        if let Some(origin) = &thin.external_origin {
            return Err(unsupported(format!("it shows through to {origin} outside its pool")));
        }
        if thin.merge.is_some() {
            return Err(unsupported("it waits to be merged into its origin"));
        }
        let pool = Below::Node(self.pool(&thin.pool)?);
        let target = ThinTarget { pool, id: thin.device_id, external_origin: None };
        let table = Table::single(self.size(lv), Target::Thin(target));
        let node = Node {
            read_only: !lv.is_writable(),
            minor: lv.fixed_minor.map(|(_, minor)| minor),
            ..self.node(lv, Role::Volume, table)?
        };
        self.add(node);
        Ok(())
    }

    fn pool(&mut self, name: &LvName) -> Result<usize> {
        let lv = self.lv(name)?;
        let pool = lv.thin_pool().ok_or_else(|| corrupt(format!("{name} is no thin pool")))?;
        let metadata = self.metadata(pool)?;
        let data = self.lv(&pool.data)?;
        if data.extents() < lv.extents() {
            return Err(corrupt(format!("{} is smaller than its pool", data.name)));
        }
        let data = self.mapped(data, Role::PoolData)?;
        let target = PoolTarget {
            metadata: Below::Node(metadata),
            data: Below::Node(data),
            chunk: pool.chunk_size,
            low_water: low_water(self.size(lv), pool, self.stack.autoextend_threshold),
            features: features(lv, pool),
        };
        let role = if pool.transaction_id == 0 { Role::NewPool } else { Role::Pool };
        let table = Table::single(self.size(lv), Target::ThinPool(target));
        let identity = Some((name.clone(), pool.transaction_id));
        let node = Node { pool: identity, ..self.node(lv, role, table)? };
        Ok(self.add(node))
    }

    fn metadata(&mut self, pool: &ThinPool) -> Result<usize> {
        let lv = self.lv(&pool.metadata)?;
        if self.size(lv) > METADATA_MAX {
            return Err(unsupported(format!("{} is larger than 15.81 GiB", lv.name)));
        }
        self.mapped(lv, Role::PoolMetadata)
    }

    fn wrapper(&mut self, lv: &Lv, below: usize) -> Result<()> {
        let whole = Place { on: Below::Node(below), start: Sectors::ZERO };
        let table = Table::single(self.size(lv), Target::Linear(whole));
        let node = Node { read_only: true, ..self.node(lv, Role::PoolWrapper, table)? };
        self.add(node);
        Ok(())
    }

    /// A volume that lies on physical volumes.
    fn mapped(&mut self, lv: &Lv, role: Role) -> Result<usize> {
        let extent = self.stack.vg.extent_size;
        let mut table = Table::default();
        for segment in &lv.segments {
            let target = match &segment.kind {
                SegmentKind::Striped(striped) => self.striped(striped)?,
                SegmentKind::Known { name, .. } if &**name == "error" => Target::Error,
                SegmentKind::Known { name, .. } if &**name == "zero" => Target::Zero,
                SegmentKind::Known { name, .. } | SegmentKind::Unknown { name, .. } => {
                    return Err(unsupported(format!("{} has a segment of type {name}", lv.name)));
                }
                SegmentKind::ThinPool(_) | SegmentKind::Thin(_) => {
                    return Err(corrupt(format!("{} mixes thin and other segments", lv.name)));
                }
            };
            let (start, len) = (segment.start.sectors(extent), segment.count.sectors(extent));
            table.lines.push(Line { start, len, target });
        }
        let visible = role == Role::Volume;
        let node = Node {
            read_only: visible && !lv.is_writable(),
            minor: lv.fixed_minor.map(|(_, minor)| minor),
            ..self.node(lv, role, table)?
        };
        Ok(self.add(node))
    }

    fn striped(&self, striped: &Striped) -> Result<Target<Below>> {
        let stripes = striped.areas.iter().map(|area| self.place(area));
        let stripes = stripes.collect::<Result<Vec<_>>>()?;
        match stripes.as_slice() {
            [] => Err(corrupt("a segment lies on nothing")),
            [one] => Ok(Target::Linear(*one)),
            _ => Ok(Target::Striped { chunk: striped.stripe_size, stripes }),
        }
    }

    /// `pe_start` plus the extent's place, on the physical volume's device.
    fn place(&self, area: &Area) -> Result<Place<Below>> {
        let Some(pv) = self.stack.vg.pv(&area.on) else {
            return Err(unsupported(format!("it lies on the volume {}", area.on)));
        };
        let number = self.stack.numbers.get(&pv.id).copied().filter(|_| !pv.is_missing());
        let missing = || {
            let (id, device) = (pv.id, pv.device.as_deref().unwrap_or("no known place"));
            let why = format!("the physical volume {id} (last seen at {device}) is missing");
            Error::new(ErrorKind::NotFound, why)
        };
        let start = place_on_disk(pv.pe_start, area.start, self.stack.vg.extent_size)
            .ok_or_else(|| corrupt(format!("an extent of {} lies beyond any disk", area.on)))?;
        Ok(Place { on: Below::Disk(number.ok_or_else(missing)?), start })
    }
}

fn place_on_disk(pe_start: Sectors, extent: Extents, size: Sectors) -> Option<Sectors> {
    size.checked_mul(extent.get())?.checked_add(pe_start)
}

fn features(lv: &Lv, pool: &ThinPool) -> PoolFeatures {
    PoolFeatures {
        zero_new_blocks: pool.zero_new_blocks,
        discards: pool.discards,
        error_if_no_space: lv.has_flag("ERROR_WHEN_FULL"),
        read_only: false,
    }
}

/// lvm2's low water mark in chunks: none without automatic growth, else what is left above the
/// threshold (which counts as 50 % at least).
fn low_water(size: Sectors, pool: &ThinPool, threshold: u8) -> u64 {
    let free = 100u64.saturating_sub(u64::from(threshold.max(50)));
    let chunks = size.get().checked_div(pool.chunk_size.get()).unwrap_or_default();
    chunks.saturating_mul(free) / 100
}

#[cfg(test)]
mod tests;
