//! Volumes that go.

use std::collections::HashSet;

use super::rename::{each_name, names};
use super::*;
use crate::lvm2::model::SegmentKind;
use crate::lvm2::text::Item;

impl VgEdit {
    /// Removes a volume. The `origin` keys of its snapshots go with it; of a thin volume the
    /// device in the pool stays, which a message must delete. A thin pool goes with its metadata
    /// and data volumes, and with the spare where it was the last pool.
    ///
    /// # Errors
    /// `NotFound`; `Busy` where another volume needs it: its thin volumes, a volume that lies on
    /// it or has it as external origin, a pool of which it is a part.
    pub fn remove_lv(&mut self, name: &LvName) -> Result<()> {
        let gone = match self.lv(name)?.thin_pool() {
            Some(pool) => vec![name.clone(), pool.metadata.clone(), pool.data.clone()],
            None => vec![name.clone()],
        };
        if let Some((thin, _)) = self.now.thins(name).next() {
            let why = Refused::HasThins(thin.name.clone());
            return Err(self.error(ErrorKind::Busy, name, why));
        }
        self.remove_all(gone)
    }

    /// Removes a thin pool with all its volumes.
    ///
    /// # Errors
    /// `NotFound`; `Busy` where a volume outside the pool needs one of them.
    pub fn remove_pool(&mut self, name: &LvName) -> Result<()> {
        let pool = self.pool(name)?;
        let mut gone = vec![name.clone(), pool.metadata.clone(), pool.data.clone()];
        gone.extend(self.now.thins(name).map(|(lv, _)| lv.name.clone()));
        self.remove_all(gone)
    }

    fn remove_all(&mut self, mut gone: Vec<LvName>) -> Result<()> {
        self.check_unused(&gone)?;
        gone.extend(self.idle_spare(&gone));
        let names: HashSet<&str> = gone.iter().map(LvName::as_str).collect();
        self.change(|vg| {
            let Some(lvs) = vg.section_mut("logical_volumes") else { return };
            lvs.items_mut().retain(|item| !names.contains(&*item.key()));
            lvs.forget(&names);
            if lvs.items().is_empty() {
                vg.remove("logical_volumes");
                vg.settle_blanks();
            }
            if let Some(history) = vg.section_mut("historical_logical_volumes") {
                history.forget(&names);
            }
        })
    }

    /// Fails where a volume that stays names one of these other than as its origin.
    fn check_unused(&self, gone: &[LvName]) -> Result<()> {
        let Some((_, vg)) = self.now.text.vg() else { return Ok(()) };
        let set: HashSet<&str> = gone.iter().map(LvName::as_str).collect();
        let lvs = vg.section("logical_volumes").into_iter().flat_map(Section::sections);
        let user = lvs.filter(|(key, _)| !set.contains(&**key)).find(|(_, lv)| {
            let origin = |key: &str| key == "origin" && thin_segment(lv);
            names(lv, &|name| set.contains(name), &origin)
        });
        let (Some((user, lv)), [first, ..]) = (user, gone) else { return Ok(()) };
        let used = gone.iter().find(|name| names(lv, &|text| **name == *text, &|_| false));
        let why = Refused::Used(user.into_owned());
        Err(self.error(ErrorKind::Busy, used.unwrap_or(first), why))
    }

    /// The spare, where no pool is left that could need it.
    fn idle_spare(&self, gone: &[LvName]) -> Option<LvName> {
        let pools = self.now.lvs.iter().filter(|lv| has_spared_metadata(lv));
        let last = gone.iter().any(|name| self.now.thin_pool(name).is_some());
        let left = pools.into_iter().any(|lv| !gone.contains(&lv.name));
        let spare = self.now.pmspare().filter(|spare| !gone.contains(&spare.name));
        spare.filter(|_| last && !left).map(|spare| spare.name.clone())
    }
}

/// True for pools, whose metadata the spare can stand in for.
fn has_spared_metadata(lv: &Lv) -> bool {
    lv.segments.iter().any(|segment| match &segment.kind {
        SegmentKind::ThinPool(_) => true,
        SegmentKind::Known { name, .. } => matches!(&**name, "cache-pool" | "cache"),
        _ => false,
    })
}

fn thin_segment(lv: &Section) -> bool {
    lv.section("segment1").is_some_and(|segment| segment.str("type").as_deref() == Some("thin"))
}

impl Section {
    /// Drops the `origin` keys, of these volumes' segments or of historical ones, that name `gone`,
    /// and takes it out of lists of descendants.
    fn forget(&mut self, gone: &HashSet<&str>) {
        let is_gone = |scalar: &Scalar| scalar.as_str().is_some_and(|name| gone.contains(&*name));
        if !names(self, &|name| gone.contains(name), &|_| false) {
            return;
        }
        let named = |item: &Item| item.key() == "origin" && item.scalar().is_some_and(is_gone);
        for item in self.items_mut() {
            let Some(lv) = item.section_mut() else { continue };
            if !names(lv, &|name| gone.contains(name), &|_| false) {
                continue;
            }
            lv.items_mut().retain(|item| !named(item));
            if let Some(segment) = lv.section_mut("segment1") {
                segment.items_mut().retain(|item| !named(item));
            }
            each_name(lv, &|key| key != "descendants", &mut |scalar| {
                (!is_gone(scalar)).then(|| scalar.clone())
            });
        }
    }
}
