//! `gc`: old bases go, with their layers.

use std::collections::BTreeSet;

use super::session::Session;
use super::{Imgbase, Watch};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Base, BaseName, Layout, tag};
use crate::name::LvName;
use crate::order::{self, Gather};
use crate::report::{Collected, KeptBase};

impl Imgbase<'_> {
    /// Removes old bases with their layers, until `keep` (at least one) of each name are left.
    ///
    /// The newest of a name stays, and those whose layers this host runs from or boots next; then
    /// newer ones before older ones. What is pinned or in use, what the machine may fall back to and
    /// the last that it could start stay in any case, and the report says so.
    ///
    /// While the running layer is [on trial](Self::is_on_trial) nothing is removed, unless `force`
    /// says so.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) where the running layer is on trial; those of
    /// [`remove_base`](Self::remove_base) but `Busy`;
    /// [`Interrupted`](ErrorKind::Interrupted) between two bases. What was removed before is gone.
    ///
    /// # Commit point
    /// That of each base's removal.
    pub fn collect(&self, keep: u32, force: bool, watch: &mut dyn Watch) -> Result<Collected> {
        let mut collected = Collected::default();
        for nvr in self.surplus(keep, force)? {
            if watch.cancelled() {
                let why = "it was stopped between two bases";
                let error = Error::new(ErrorKind::Interrupted, why).op("collect old bases");
                let removed = collected.removed.len();
                return Err(error.kept(format!("{removed} bases and layers were removed")));
            }
            match self.remove_unless_pinned(&nvr, watch) {
                Ok(removed) => collected.removed.extend(removed.removed),
                // A newer snapshot of the machine may say something else than the list did.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.kind() == ErrorKind::Busy => {
                    let why = why(&nvr, &error);
                    collected.kept.push(KeptBase { nvr, why });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(collected)
    }

    /// The bases beyond those that are to stay, the oldest first; none on trial, unless `force`
    /// says so.
    fn surplus(&self, keep: u32, force: bool) -> Result<Vec<BaseName>> {
        let session = Session::read(self)?;
        if !force {
            session.refuse_on_trial()?;
        }
        let layout = session.layout()?;
        let state = session.boot_state()?;
        let default = state.and_then(|state| Some(state.default_layer()?.base().clone()));
        let running = session.running()?.map(|layer| layer.base().clone());
        let stays: Vec<BaseName> = running.into_iter().chain(default).collect();
        Ok(surplus(&layout, &stays, keep))
    }
}

/// Of each name all but the newest, those that must stay, and as many more as make `keep`.
fn surplus(layout: &Layout<'_>, stays: &[BaseName], keep: u32) -> Vec<BaseName> {
    let mut bases: Vec<&Base<'_>> = layout.bases.iter().collect();
    order::sort_by(&mut bases, |a, b| b.base.compare(&a.base));
    let names: BTreeSet<&str> = bases.iter().map(|base| base.base.name.name()).gather();
    let mut surplus = Vec::new();
    for name in names {
        let of_name = || bases.iter().map(|base| &base.base.name).filter(|nvr| nvr.name() == name);
        let must: Vec<&BaseName> = of_name()
            .enumerate()
            .filter(|(at, nvr)| *at == 0 || stays.contains(nvr))
            .map(|(_, nvr)| nvr)
            .collect();
        let more = usize::try_from(keep).unwrap_or(usize::MAX).saturating_sub(must.len());
        surplus.extend(of_name().filter(|nvr| !must.contains(nvr)).skip(more).cloned());
    }
    surplus.reverse();
    surplus
}

/// Why a base stays, where perhaps one of its layers is the reason.
fn why(nvr: &BaseName, error: &Error) -> String {
    match error.object() {
        Some(object) if object != nvr.as_str() => format!("{object}: {}", error.reason()),
        _ => error.reason(),
    }
}

/// Fails where a base is never to be collected.
pub(super) fn refuse_pinned(session: &Session<'_>, base: &BaseName) -> Result<()> {
    let lv: LvName = base.lv_name();
    match session.vg().lv(&lv).is_some_and(|lv| lv.has_tag(tag::PIN)) {
        true => Err(Error::new(ErrorKind::Busy, "it is pinned").at(base)),
        false => Ok(()),
    }
}
