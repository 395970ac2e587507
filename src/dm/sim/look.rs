//! What the simulated kernel tells of its devices, and what it is told from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Breakage;
use super::pool::{Pool, ThinDevice};
use super::state::{Device, Errno, State};
use crate::dev::Dev;
use crate::dm::kernel::{DmInfo, TargetStatus};
use crate::dm::status::{PoolMode, PoolState};
use crate::dm::table::{PoolTarget, Table, Target, ThinTarget};
use crate::dm::thin_metadata::{ChangedChunks, ThinDetails};
use crate::lvm2::model::Discards;
use crate::name::{DmName, LvName, VgName};
use crate::order::Gather;
use crate::units::Sectors;

impl State {
    pub(super) fn infos(&self) -> Vec<DmInfo> {
        let info = |(minor, device): (&u32, &Device)| DmInfo {
            name: device.name.clone(),
            uuid: device.uuid.clone(),
            number: self.number(*minor),
            open_count: self.open_count(*minor),
            suspended: device.suspended,
            read_only: device.read_only,
            live: device.live.is_some(),
            inactive: device.inactive.is_some(),
            event: 0,
        };
        self.devices.iter().map(info).collect()
    }

    pub(super) fn links(&self) -> BTreeMap<(VgName, LvName), DmName> {
        let live = self.devices.values().filter(|device| device.live.is_some());
        let link =
            |device: &Device| Some((device.seen.as_ref()?.link.clone()?, device.name.clone()));
        live.filter_map(link).gather()
    }

    pub(super) fn status(&mut self, name: &DmName) -> Result<Vec<TargetStatus>, Errno> {
        let table = self.table(name)?;
        let status = |target: &Target| {
            let params = match target {
                Target::ThinPool(pool) => self.pool_status(pool),
                Target::Thin(thin) => self.thin_status(thin),
                _ => String::new(),
            };
            TargetStatus { target: target.kind().into(), params }
        };
        Ok(table.lines.iter().map(|line| status(&line.target)).collect())
    }

    fn pool_status(&self, target: &PoolTarget) -> String {
        let Some(pool) = self.pools.get(&target.metadata) else { return "Error".to_owned() };
        if pool.failed {
            return "Fail".to_owned();
        }
        let blocks = self.size(target.metadata).unwrap_or_default().bytes().get() / 4096;
        let mode = match pool.mode {
            PoolMode::ReadWrite => "rw",
            PoolMode::ReadOnly => "ro",
            PoolMode::OutOfDataSpace => "out_of_data_space",
        };
        let discards = match target.features.discards {
            Discards::Ignore => "ignore_discard",
            Discards::NoPassdown => "no_discard_passdown",
            Discards::Passdown => "discard_passdown",
        };
        format!(
            "{} {}/{blocks} {}/{} {} {mode} {discards} {} {} {}",
            pool.transaction_id,
            if pool.full_at.is_some() { blocks } else { pool.metadata_used() },
            pool.used(),
            pool.chunks,
            if pool.held_root { "1" } else { "-" },
            if target.features.error_if_no_space {
                "error_if_no_space"
            } else {
                "queue_if_no_space"
            },
            if pool.needs_check { "needs_check" } else { "-" },
            blocks / 4,
        )
    }

    fn thin_status(&self, target: &ThinTarget) -> String {
        let pool = self.live_pool(target.pool);
        let Some(pool) = pool.and_then(|pool| self.pools.get(&pool.metadata)) else {
            return "Error".to_owned();
        };
        let Some(thin) = pool.thins.get(&target.id).filter(|_| !pool.failed) else {
            return "Fail".to_owned();
        };
        let mapped = u64::try_from(thin.map.len()).unwrap_or(u64::MAX).saturating_mul(pool.chunk);
        match thin.map.last_key_value() {
            None => format!("{mapped} -"),
            Some((last, _)) => {
                let end = last.saturating_add(1).saturating_mul(pool.chunk);
                format!("{mapped} {}", end.saturating_sub(1))
            }
        }
    }

    pub(super) fn adopt(&mut self, devices: Vec<(DmInfo, Table)>) {
        let open: Vec<_> =
            devices.iter().map(|(info, _)| (info.number.minor, info.open_count)).collect();
        devices.into_iter().for_each(|(info, table)| self.adopt_one(&info, table));
        // What holds them open beside one another.
        for (minor, count) in open {
            let others = count.saturating_sub(self.open_count(minor));
            if let Some(device) = self.devices.get_mut(&minor) {
                device.handles = others;
            }
        }
    }

    fn adopt_one(&mut self, info: &DmInfo, table: Table) {
        self.major = info.number.major;
        if let Some(target) = table.thin_pool() {
            let mut pool = Pool::new(target.data, target.chunk.get());
            (pool.adopted, pool.dirty) = (true, false);
            pool.chunks = table.len().get().checked_div(pool.chunk).unwrap_or_default();
            self.pools.insert(target.metadata, pool);
        }
        let mut device = Device::new(&info.name, &info.uuid, info.read_only);
        device.live = info.live.then_some(table);
        device.suspended = info.suspended;
        self.devices.insert(info.number.minor, device);
    }

    pub(super) fn adopt_pool(&mut self, name: &DmName, state: &PoolState) -> Result<(), Errno> {
        let pool = self.pool_of(name).map_err(|_| Errno::ENXIO)?;
        pool.transaction_id = state.transaction_id;
        pool.chunks = state.data_total;
        pool.used_before = (state.data_used, state.metadata_used);
        pool.mode = state.mode;
        pool.needs_check = state.needs_check;
        pool.held_root = state.held_root.is_some();
        Ok(())
    }

    pub(super) fn adopt_thin(
        &mut self,
        pool: &DmName,
        id: u32,
        content: Arc<dyn Dev>,
    ) -> Result<(), Errno> {
        let pool = self.pool_of(pool).map_err(|_| Errno::ENXIO)?;
        let device = ThinDevice { below: Some(content), ..ThinDevice::default() };
        pool.thins.insert(id, device);
        Ok(())
    }

    pub(super) fn break_pool(&mut self, name: &DmName, how: Breakage) -> Result<(), Errno> {
        self.pool_of(name).map_err(|_| Errno::ENXIO)?.break_it(how);
        Ok(())
    }

    pub(super) fn thin_details(
        &mut self,
        name: &DmName,
    ) -> Result<BTreeMap<u32, ThinDetails>, Errno> {
        let pool = self.pool_of(name).map_err(|_| Errno::ENXIO)?;
        let details = |thin: &ThinDevice| ThinDetails {
            mapped_chunks: u64::try_from(thin.map.len()).unwrap_or(u64::MAX),
            transaction_id: thin.created,
        };
        Ok(pool.thins.iter().map(|(id, thin)| (*id, details(thin))).gather())
    }

    pub(super) fn changed_chunks(
        &mut self,
        name: &DmName,
        (a, b): (u32, u32),
    ) -> Result<ChangedChunks, Errno> {
        let pool = self.pool_of(name).map_err(|_| Errno::ENXIO)?;
        let thin = |id| pool.thins.get(&id).ok_or(Errno::ENODATA);
        let (a, b) = (thin(a)?, thin(b)?);
        // What shows below has no mappings.
        if a.below.is_some() || b.below.is_some() {
            return Err(Errno::EOPNOTSUPP);
        }
        let chunks: BTreeSet<u64> = a.map.keys().chain(b.map.keys()).copied().gather();
        let differing = chunks.into_iter().filter(|chunk| a.map.get(chunk) != b.map.get(chunk));
        let ranges = differing.map(|chunk| chunk..chunk.saturating_add(1)).collect();
        Ok(ChangedChunks { chunk: Sectors::new(pool.chunk).bytes(), ranges })
    }

    pub(super) fn thin_ids(&mut self, name: &DmName) -> Result<Vec<u32>, Errno> {
        let pool = self.pool_of(name).map_err(|_| Errno::ENXIO)?;
        Ok(pool.thins.keys().copied().collect())
    }
}
