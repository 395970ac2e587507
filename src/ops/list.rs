//! The verbs that only look.

use std::path::PathBuf;

use super::Imgbase;
use super::session::Session;
use crate::boot::BootState;
use crate::dm::status::PoolState;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{Base, BaseName, DataVolume, ImageName, LayerName, Layout, Volume};
use crate::lvm2::Vg;
use crate::lvm2::model::Lv;
use crate::report::{
    BaseReport, FreeSpaceReport, LayerReport, LayoutReport, OrphanReport, PoolReport, VolumeReport,
};
use crate::units::Bytes;

impl Imgbase<'_> {
    /// The whole layout: bases, layers under them, the pool, and what fits nowhere.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no group of ours or no pool in it;
    /// whatever reading the disks gives.
    pub fn layout(&self) -> Result<LayoutReport> {
        let session = Session::read(self)?;
        let layout = session.layout()?;
        let seen = Seen::of(&session, &layout)?;
        Ok(LayoutReport {
            vg: layout.vg.name.clone(),
            vg_seqno: layout.vg.seqno,
            pool: seen.pool(&layout),
            bases: layout.bases.iter().map(|base| seen.base(&layout, base)).collect(),
            volumes: layout.volumes.iter().map(|volume| seen.volume(&layout, volume)).collect(),
            orphans: layout.orphans.iter().map(orphan).collect(),
            pending: layout.pending.iter().map(|lv| lv.name.clone()).collect(),
        })
    }

    /// The volumes that layers share, by their paths.
    ///
    /// # Errors
    /// As [`layout`](Self::layout).
    pub fn volumes(&self) -> Result<Vec<VolumeReport>> {
        Ok(self.layout()?.volumes)
    }

    /// Free space of the pool.
    ///
    /// # Errors
    /// As [`layout`](Self::layout); [`Unsupported`](ErrorKind::Unsupported) while the pool is
    /// not active, since only the kernel knows then.
    pub fn free_space(&self) -> Result<FreeSpaceReport> {
        let session = Session::read(self)?;
        let layout = session.layout()?;
        let why = "it is not active, and only the kernel counts its free space: run 'imgbase \
                   activate'";
        let inactive = || Error::new(ErrorKind::Unsupported, why).at(&layout.pool.name);
        let state = session.pool_state()?.ok_or_else(inactive)?;
        Ok(FreeSpaceReport {
            data_free_bytes: state.data_free(layout.pool_segment.chunk_size).get(),
            metadata_free_bytes: state.metadata_free().get(),
        })
    }

    /// The base with the highest version.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no base.
    pub fn latest_base(&self) -> Result<BaseName> {
        let session = Session::read(self)?;
        let layout = session.layout()?;
        Ok(latest(&layout)?.base.name.clone())
    }

    /// The base that a layer stands on; both must exist.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), naming the one that is missing.
    pub fn base_of_layer(&self, layer: &LayerName) -> Result<BaseName> {
        let session = Session::read(self)?;
        let layout = session.layout()?;
        layout.image(&ImageName::Layer(layer.clone()))?;
        Ok(layer.base().clone())
    }

    /// The latest layer: the one made last on the latest base that has any.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no layer.
    pub fn latest_layer(&self) -> Result<LayerName> {
        let session = Session::read(self)?;
        let layout = session.layout()?;
        layout.latest_layer().map(|layer| layer.name.clone()).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no layer yet").at(&layout.vg.name)
        })
    }

    /// The layer that this host runs from.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where `/` is no layer of ours.
    pub fn current_layer(&self) -> Result<LayerName> {
        let session = Session::read(self)?;
        let layout = session.layout()?;
        let current = session.current()?;
        let layer = layout.layers().find(|layer| Some(&layer.lv.name) == current.as_ref());
        layer.map(|layer| layer.name.clone()).ok_or_else(|| {
            let why = format!("it is no layer of {}", layout.vg.name);
            Error::new(ErrorKind::NotFound, why).at("/")
        })
    }

    /// The path of an image's device, whether active or not: `/dev/VG/NAME`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no such image.
    pub fn volume_path(&self, image: &ImageName) -> Result<PathBuf> {
        let session = Session::read(self)?;
        let layout = session.layout()?;
        let lv = layout.image(image)?;
        Ok(PathBuf::from(format!("/dev/{}/{}", layout.vg.name, lv.name)))
    }
}

impl Imgbase<'_> {
    /// The devices of the group's physical volumes that are there.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no group of ours.
    pub fn disks(&self) -> Result<Vec<PathBuf>> {
        Ok(Session::read(self)?.member_disks())
    }
}

impl Session<'_> {
    /// The devices of the group's physical volumes that are there.
    pub(super) fn member_disks(&self) -> Vec<PathBuf> {
        let members = &self.disks.group().members;
        members.iter().map(|member| member.path.clone()).collect()
    }
}

/// The latest base of a layout.
pub(crate) fn latest<'a, 'v>(layout: &'a Layout<'v>) -> Result<&'a Base<'v>> {
    layout
        .latest_base()
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no base yet").at(&layout.vg.name))
}

/// What the kernel knows, asked once.
struct Seen {
    active: std::collections::BTreeSet<crate::name::LvName>,
    pool: Option<PoolState>,
    current: Option<crate::name::LvName>,
    /// Where volumes that layers share are mounted.
    mounted: std::collections::BTreeMap<crate::name::LvName, String>,
    boot: Option<BootState>,
}

impl Seen {
    fn of(session: &Session<'_>, layout: &Layout<'_>) -> Result<Self> {
        // A pool that the kernel has failed has no figures; `check` says so.
        let devices = session.devices()?;
        let pool = session.pool_state_among(&devices, &layout.pool.name).ok().flatten();
        let current = session.mounted_among(&devices, std::path::Path::new("/"))?;
        let mounted = mounted(session, layout, &devices)?;
        // The layout is told all the same where the loader's folder cannot be read.
        let boot = session.boot_state().unwrap_or_else(|error| {
            log::warn!("{error}");
            None
        });
        Ok(Self { active: session.active_among(&devices), pool, current, mounted, boot })
    }

    fn pool(&self, layout: &Layout<'_>) -> PoolReport {
        let segment = layout.pool_segment;
        let chunk = segment.chunk_size;
        let metadata = layout.vg.lv(&segment.metadata);
        PoolReport {
            name: layout.pool.name.clone(),
            data_bytes: size(layout.vg, layout.pool).get(),
            data_used_bytes: self.pool.as_ref().map(|used| used.data_used_bytes(chunk).get()),
            metadata_bytes: metadata.map_or(0, |lv| size(layout.vg, lv).get()),
            metadata_used_bytes: self.pool.as_ref().map(|used| used.metadata_used_bytes().get()),
            chunk_bytes: chunk.bytes().get(),
            transaction_id: segment.transaction_id,
            active: self.pool.is_some(),
        }
    }

    fn base(&self, layout: &Layout<'_>, base: &Base<'_>) -> BaseReport {
        BaseReport {
            nvr: base.base.name.clone(),
            size_bytes: size(layout.vg, base.base.lv).get(),
            read_only: !base.base.lv.is_writable(),
            active: self.active.contains(&base.base.lv.name),
            device_id: base.base.thin.device_id,
            digest: crate::layout::digest(base.base.lv),
            layers: base.layers.iter().map(|layer| self.layer(layout, layer)).collect(),
        }
    }

    fn volume(&self, layout: &Layout<'_>, volume: &DataVolume<'_>) -> VolumeReport {
        let name = &volume.lv.name;
        VolumeReport {
            path: volume.path.clone(),
            name: name.clone(),
            size_bytes: size(layout.vg, volume.lv).get(),
            active: self.active.contains(name),
            device_id: volume.thin.device_id,
            mounted: self.mounted.get(name).cloned(),
        }
    }

    fn layer(&self, layout: &Layout<'_>, layer: &Volume<'_, LayerName>) -> LayerReport {
        LayerReport {
            nvr: layer.name.clone(),
            size_bytes: size(layout.vg, layer.lv).get(),
            active: self.active.contains(&layer.lv.name),
            device_id: layer.thin.device_id,
            current: self.current.as_ref() == Some(&layer.lv.name),
            default: self.boot.as_ref().and_then(BootState::default_layer) == Some(&layer.name),
            bootable: self.boot.as_ref().is_some_and(|boot| boot.is_bootable(&layer.name)),
        }
    }
}

/// Where the group's data volumes are mounted.
fn mounted(
    session: &Session<'_>,
    layout: &Layout<'_>,
    devices: &crate::dm::Active,
) -> Result<std::collections::BTreeMap<crate::name::LvName, String>> {
    let mut found = std::collections::BTreeMap::new();
    if layout.volumes.is_empty() {
        return Ok(found);
    }
    let mounts = session.machine().mounts.list()?;
    for volume in &layout.volumes {
        let Some(device) = devices.volume(session.vg(), &volume.lv.name) else { continue };
        if let Some(mount) = mounts.iter().find(|mount| mount.number == device.number) {
            found.insert(volume.lv.name.clone(), mount.dir.display().to_string());
        }
    }
    Ok(found)
}

/// A volume's size in bytes.
pub(crate) fn size(vg: &Vg, lv: &Lv) -> Bytes {
    lv.extents().bytes(vg.extent_size)
}

fn orphan(orphan: &crate::layout::Orphan<'_>) -> OrphanReport {
    OrphanReport { name: orphan.lv.name.clone(), why: orphan.why.clone() }
}
