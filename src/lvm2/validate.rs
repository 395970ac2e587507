//! What must hold in a group before it is written: what lvm2 would reject, and what it does not
//! check although it destroys data.

use std::cell::Cell;

use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use super::model::{Area, Lv, Message, Pv, SegmentKind, Thin, ThinPool, Vg};
use crate::name::{DmName, LvName, LvmId};
use crate::{Error, ErrorKind, Result};

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the identifier {0} is used twice")]
    Id(LvmId),
    #[error("it uses '{0}', which does not exist")]
    Dangling(String),
    #[error("it uses '{0}', which is no thin pool")]
    NoPool(LvName),
    #[error("it uses extents {start} to {end} of '{on}', which has {has}")]
    Outside { on: Box<str>, start: u64, end: u64, has: u64 },
    #[error("it and volume {other} both hold extent {extent} of {pv}")]
    Overlap { other: LvName, extent: u64, pv: Box<str> },
    #[error("a thin pool and a thin volume have exactly one segment")]
    Segments,
    #[error("its metadata volume '{0}' is not called so that lvm2 finds it")]
    MetadataName(LvName),
    #[error("it has {pool} extents, its data volume has {data}")]
    PoolSize { pool: u64, data: u64 },
    #[error("its volume '{0}' is a part of another one already")]
    Shared(LvName),
    #[error("device id {0} is used twice in the thin pool")]
    DeviceId(u32),
    #[error("its transaction id {thin} is not below the thin pool's, {pool}")]
    Transaction { thin: u64, pool: u64 },
    #[error("it is the external origin of a thin volume and can be written")]
    WritableOrigin,
    #[error("a message to the thin pool would delete device {0}, which a volume uses")]
    Delete(u32),
    #[error("there are two spare metadata volumes")]
    Spares,
    #[error("it may have {most} {what}")]
    TooMany { most: u64, what: &'static str },
    #[error("{0}")]
    Name(crate::name::BadName),
}

/// The group with its volumes by name.
struct Check<'a> {
    vg: &'a Vg,
    lvs: FxHashMap<&'a str, &'a Lv>,
    pvs: FxHashMap<&'a str, &'a Pv>,
    /// The thin pool that was asked for last: mostly it is the next one too.
    pool: Cell<Option<(&'a LvName, &'a ThinPool)>>,
}

/// What lvm2 checks when it reads a text: references, and what each type of segment demands.
///
/// # Errors
/// `Invalid`, naming the volume.
pub(crate) fn structure(vg: &Vg) -> Result<()> {
    let check = Check::new(vg);
    vg.lvs.iter().try_for_each(|lv| check.references(lv).map_err(|b| check.at(lv, b)))
}

/// All that must hold before a group may be written.
///
/// # Errors
/// `Invalid`, naming the volume or the group.
pub fn validate(vg: &Vg) -> Result<()> {
    structure(vg)?;
    whole(vg)
}

/// The same for a group that was read, whose [`structure`] is right.
pub(crate) fn whole(vg: &Vg) -> Result<()> {
    let check = Check::new(vg);
    check
        .group()
        .map_err(|broken| check.error(broken).at(format_args!("volume group {}", vg.name)))?;
    check.extents()?;
    check.device_ids()?;
    check.parts()?;
    vg.lvs.iter().try_for_each(|lv| check.volume(lv).map_err(|b| check.at(lv, b)))
}

impl<'a> Check<'a> {
    fn new(vg: &'a Vg) -> Self {
        let lvs = vg.lvs.iter().map(|lv| (lv.name.as_str(), lv.as_ref())).collect();
        let pvs = vg.pvs.iter().map(|pv| (&*pv.label, pv)).collect();
        Self { vg, lvs, pvs, pool: Cell::new(None) }
    }

    fn error(&self, broken: Broken) -> Error {
        Error::new(ErrorKind::Invalid, broken)
    }

    fn at(&self, lv: &Lv, broken: Broken) -> Error {
        self.error(broken).at(format_args!("volume {}/{}", self.vg.name, lv.name))
    }

    fn lv(&self, name: &LvName) -> Result<&'a Lv, Broken> {
        let found = self.lvs.get(name.as_str()).copied();
        found.ok_or_else(|| Broken::Dangling(name.to_string()))
    }

    fn pool(&self, name: &LvName) -> Result<&'a ThinPool, Broken> {
        if let Some((_, pool)) = self.pool.get().filter(|(last, _)| *last == name) {
            return Ok(pool);
        }
        let lv = self.lv(name)?;
        let pool = lv.thin_pool().ok_or_else(|| Broken::NoPool(name.clone()))?;
        self.pool.set(Some((&lv.name, pool)));
        Ok(pool)
    }

    fn references(&self, lv: &Lv) -> Result<(), Broken> {
        let single = lv.segments.len() == 1;
        for segment in &lv.segments {
            match &segment.kind {
                SegmentKind::ThinPool(_) | SegmentKind::Thin(_) if !single => {
                    return Err(Broken::Segments);
                }
                SegmentKind::ThinPool(pool) => self.pool_parts(lv, pool)?,
                SegmentKind::Thin(thin) => self.thin_parts(thin)?,
                SegmentKind::Striped(striped) => {
                    striped.areas.iter().try_for_each(|area| self.area(area))?;
                }
                // What their numbers mean is not known well enough to call them wrong.
                SegmentKind::Known { .. } | SegmentKind::Unknown { .. } => (),
            }
        }
        Ok(())
    }

    /// Physical volumes are looked up first, as lvm2 does.
    fn area(&self, area: &Area) -> Result<(), Broken> {
        let has = match self.pvs.get(&*area.on) {
            Some(pv) => pv.pe_count,
            None => match self.lvs.get(&*area.on) {
                Some(lv) => lv.extents(),
                None => return Err(Broken::Dangling(area.on.to_string())),
            },
        };
        let end = area.start.saturating_add(area.count);
        if end <= has {
            return Ok(());
        }
        let (start, end, has) = (area.start.get(), end.get().saturating_sub(1), has.get());
        Err(Broken::Outside { on: area.on.clone(), start, end, has })
    }

    fn pool_parts(&self, lv: &Lv, pool: &ThinPool) -> Result<(), Broken> {
        self.lv(&pool.metadata)?;
        if !pool.metadata.as_str().contains("_tmeta") {
            return Err(Broken::MetadataName(pool.metadata.clone()));
        }
        let (pool, data) = (lv.extents().get(), self.lv(&pool.data)?.extents().get());
        if pool == data { Ok(()) } else { Err(Broken::PoolSize { pool, data }) }
    }

    fn thin_parts(&self, thin: &Thin) -> Result<(), Broken> {
        self.pool(&thin.pool)?;
        let origins = [&thin.origin, &thin.external_origin, &thin.merge];
        origins.into_iter().flatten().try_for_each(|name| self.lv(name).map(drop))
    }

    fn group(&self) -> Result<(), Broken> {
        let mut ids = room_for(self.vg.pvs.len().saturating_add(self.vg.lvs.len()));
        ids.insert(self.vg.id);
        let all = self.vg.pvs.iter().map(|pv| pv.id).chain(self.vg.lvs.iter().map(|lv| lv.id));
        if let Some(id) = all.into_iter().find(|id| !ids.insert(*id)) {
            return Err(Broken::Id(id));
        }
        if self.vg.lvs.iter().filter(|lv| lv.is_pmspare()).count() > 1 {
            return Err(Broken::Spares);
        }
        let visible = self.vg.lvs.iter().filter(|lv| lv.is_visible()).count();
        limit(visible, self.vg.max_lv, "volumes")?;
        limit(self.vg.pvs.len(), self.vg.max_pv, "physical volumes")
    }

    /// No extent belongs to two.
    fn extents(&self) -> Result<()> {
        for map in self.vg.allocated() {
            for pair in map.runs.windows(2) {
                let [first, second] = pair else { continue };
                if second.start < first.end() {
                    let (extent, pv) = (second.start.get(), map.pv.label.clone());
                    let broken = Broken::Overlap { other: first.lv.clone(), extent, pv };
                    let place = format_args!("volume {}/{}", self.vg.name, second.lv).to_string();
                    return Err(self.error(broken).at(place));
                }
            }
        }
        Ok(())
    }

    fn device_ids(&self) -> Result<()> {
        let mut seen = room_for(self.vg.lvs.len());
        for lv in &self.vg.lvs {
            let Some(thin) = lv.thin() else { continue };
            if !seen.insert((&thin.pool, thin.device_id)) {
                return Err(self.at(lv, Broken::DeviceId(thin.device_id)));
            }
        }
        for lv in &self.vg.lvs {
            let messages = lv.thin_pool().map(|pool| &*pool.messages).unwrap_or_default();
            let used = messages.iter().find_map(|message| match message {
                Message::Delete(id) if seen.contains(&(&lv.name, *id)) => Some(*id),
                _ => None,
            });
            used.map_or(Ok(()), |id| Err(self.at(lv, Broken::Delete(id))))?;
        }
        Ok(())
    }

    /// A part of a pool is a part of nothing else.
    fn parts(&self) -> Result<()> {
        let mut seen = FxHashSet::default();
        for lv in &self.vg.lvs {
            let Some(pool) = lv.thin_pool() else { continue };
            if let Some(part) = [&pool.metadata, &pool.data].into_iter().find(|p| !seen.insert(*p))
            {
                return Err(self.at(lv, Broken::Shared(part.clone())));
            }
        }
        Ok(())
    }

    fn volume(&self, lv: &Lv) -> Result<(), Broken> {
        let layer = lv.thin_pool().map(|_| "tpool");
        DmName::check_lv(&self.vg.name, &lv.name, layer).map_err(Broken::Name)?;
        if let Some(pool) = lv.thin_pool() {
            self.messages(lv, pool)?;
        }
        lv.thin().map_or(Ok(()), |thin| self.thin(thin))
    }

    fn messages(&self, lv: &Lv, pool: &ThinPool) -> Result<(), Broken> {
        pool.messages.iter().try_for_each(|message| match message {
            Message::Delete(_) => Ok(()),
            Message::Create(name) => match self.lv(name)?.thin() {
                Some(thin) if thin.pool == lv.name => Ok(()),
                _ => Err(Broken::Dangling(name.to_string())),
            },
        })
    }

    fn thin(&self, thin: &Thin) -> Result<(), Broken> {
        let (own, pool) = (thin.transaction_id, self.pool(&thin.pool)?.transaction_id);
        if own >= pool {
            return Err(Broken::Transaction { thin: own, pool });
        }
        match &thin.external_origin {
            Some(name) if self.lv(name)?.is_writable() => Err(Broken::WritableOrigin),
            _ => Ok(()),
        }
    }
}

/// An empty set with room: one that grows hashes all that it has again.
fn room_for<T>(count: usize) -> FxHashSet<T> {
    FxHashSet::with_capacity_and_hasher(count, FxBuildHasher)
}

fn limit(have: usize, most: u64, what: &'static str) -> Result<(), Broken> {
    let fits = most == 0 || u64::try_from(have).is_ok_and(|have| have <= most);
    if fits { Ok(()) } else { Err(Broken::TooMany { most, what }) }
}
