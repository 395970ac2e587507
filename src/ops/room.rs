//! Room in the pool: reckoned before the first write, and where it is missing, what would make it.

use super::session::Session;
use crate::dm::pool::Need;
use crate::dm::status::PoolState;
use crate::dm::{ActivePool, pool};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Base, tag};
use crate::name::LvName;
use crate::units::Bytes;

impl Session<'_> {
    /// Fails unless the pool has room for what is needed, and for the metadata of a new volume.
    /// The error says how to make room.
    pub(super) fn check_room(&self, pool: &ActivePool, need: impl Into<Need>) -> Result<()> {
        let chunk = self.pool_segment()?.chunk_size;
        pool::check_room(&pool.state, chunk, need, 100).map_err(|error| {
            let way = match error.kind() {
                ErrorKind::NoSpace { .. } => self.way_out(&error, &pool.state),
                _ => String::new(),
            };
            let error = error.at(format!("{}/{}", self.vg.name, pool.lv));
            error.kept(format!("nothing was changed{way}"))
        })
    }

    /// What makes room, as commands; nothing where this host has no way to it.
    fn way_out(&self, error: &Error, state: &PoolState) -> String {
        let ways = [self.removal(), self.growth(error, state)].into_iter().flatten();
        let ways: Vec<String> = ways.map(|way| format!("'imgbase {way}'")).collect();
        match ways.is_empty() {
            true => "; add a disk to the group (vgextend)".to_owned(),
            false => format!("; make room by {}", ways.join(" or ")),
        }
    }

    /// The removal of the oldest base that nobody needs, or of the oldest such layer.
    fn removal(&self) -> Option<String> {
        let layout = self.layout().ok()?;
        let latest = layout.latest_base()?.base.name.clone();
        let others = || layout.bases.iter().filter(|base| base.base.name != latest);
        if let Some(base) = others().find(|base| self.is_dispensable(base)) {
            return Some(format!("base --remove {}", base.base.name));
        }
        let old = |base: &Base<'_>| base.layers.len().saturating_sub(1);
        let mut layers = layout.bases.iter().flat_map(|base| base.layers.iter().take(old(base)));
        let layer = layers.find(|layer| self.is_idle(&layer.lv.name))?;
        Some(format!("layer --remove {}", layer.name))
    }

    fn is_dispensable(&self, base: &Base<'_>) -> bool {
        let idle = base.layers.iter().all(|layer| self.is_idle(&layer.lv.name));
        !base.base.lv.has_tag(tag::PIN) && idle && self.is_idle(&base.base.lv.name)
    }

    fn is_idle(&self, lv: &LvName) -> bool {
        matches!(self.in_use(lv), Ok(None))
    }

    /// The growth that is enough, where the group has so much free.
    fn growth(&self, error: &Error, state: &PoolState) -> Option<String> {
        let short = pool::metadata_short_of(state);
        let free = self.vg.free_extents().bytes(self.vg.extent_size);
        let (by, beside) = match error.kind() {
            // Metadata grows with the data, and lvm2's spare with that.
            _ if !short.is_zero() => (self.vg.extent_size.bytes(), short.saturating_add(short)),
            ErrorKind::NoSpace { need, have } => (need.saturating_sub(have), Bytes::ZERO),
            _ => return None,
        };
        let by = Bytes::mib(by.get().div_ceil(Bytes::mib(1).get()));
        let fits = by.saturating_add(beside) <= free;
        fits.then(|| format!("layout --grow {}M", by.get() / Bytes::mib(1).get()))
    }
}
