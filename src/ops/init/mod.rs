//! `layout --init`: a volume group, a thin pool and a Config volume on blank
//! devices.
//!
//! Everything before the first commit is invisible to LVM: zeros where the
//! pool's metadata will be, a file system where the Config volume will be,
//! labels of a group that no text describes yet. One commit makes it all.

mod devices;
mod sizes;

use std::path::Path;

use self::sizes::{CHUNK, EXTENT, Sizes, Wish, divide};
use super::add_base::check_fits_layout;
use super::content::{Content, Opened};
use super::{AddBase, Imgbase, Init, Watch, after_commit, filesystem, find, session};
use crate::dm::{self, PvNumbers, Stack};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layout::{BaseName, CONFIG, ImageName, LayerName, tag};
use crate::lvm2::alloc::Placement;
#[cfg(feature = "liblvm")]
use crate::lvm2::create::create_group_by_library;
use crate::lvm2::create::{PvPlan, create_group};
use crate::lvm2::edit::{Birth, GroupSpec, LinearSpec, PoolSpec, PvSpec};
use crate::lvm2::model::{Discards, SegmentKind};
use crate::lvm2::{NewVg, Vg};
use crate::machine::{LockMode, Machine, NewPv, Tool};
use crate::name::{DmName, LvName, LvmId, VgName};
use crate::report::InitReport;
use crate::units::{Bytes, Extents};

/// The thin pool's name (imgbased's).
const POOL: &str = "ImagePool";
/// Zeroed at the front of the pool's metadata: the kernel formats a pool whose first block is zero.
const POOL_HEAD: usize = 64 << 10;

impl Imgbase<'_> {
    /// Makes the layout on blank devices, and a base with its first layer where one is asked for.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) for a device in use, [`Exists`](ErrorKind::Exists) for one that
    /// is not blank or a group of that name, [`NoSpace`](ErrorKind::NoSpace) for too small ones,
    /// [`Tool`](ErrorKind::Tool) where mke2fs is missing and Config wants it. Nothing was written
    /// then.
    ///
    /// # Commit point
    /// The first commit of the group's metadata. Where something fails before it, the labels are
    /// wiped again. A base asked for has its own, later.
    pub fn init(&self, request: &Init, watch: &mut dyn Watch) -> Result<InitReport> {
        let machine = &self.machine;
        machine.lvm2.check_writable()?;
        if !request.config_size.is_zero() {
            machine.tools.require(Tool::Mke2fs)?;
        }
        let Some((nvr, image)) = &request.base else {
            return Ok(self.make_group(request, watch)?.report(request));
        };
        // Looked at before the group is made; a stream can be read once only.
        let mut opened = Opened::open(machine, image, watch)?;
        let mut content = opened.content(machine)?;
        check_fits_layout(&content, request)?;
        let mut report = self.make_group(request, watch)?.report(request);
        let base = AddBase { nvr: nvr.clone(), image: image.clone(), size: None, share: false };
        let made = self.clone().in_vg(request.vg.clone()).first_images(&mut content, &base, watch);
        let (base, layer) = made.map_err(|error| made_without(error, request))?;
        (report.base, report.layer) = (Some(base), Some(layer));
        Ok(report)
    }

    /// The group itself, under its locks.
    fn make_group(&self, request: &Init, watch: &mut dyn Watch) -> Result<Making> {
        let machine = &self.machine;
        let _global = machine.lvm2.lock_global(LockMode::Exclusive)?;
        let _lock = machine.lvm2.lock_vg(&request.vg, LockMode::Exclusive)?;
        let others = self.refuse_taken(request)?;
        let plans = devices::plan(machine, request)?;
        let sizes = sizes(request, &plans)?;
        refuse_without_device_mapper(machine, request)?;
        let plans = devices::attach(machine, request, plans)?;
        let making = Making::plan(machine, request, plans, sizes)?;
        watch.step("prepare the devices");
        if request.force {
            devices::wipe_ends(&making.plans)?;
        }
        making.zero_pool_head()?;
        making.format_config(machine)?;
        watch.step("write the volume group");
        making.commit(machine)?;
        watch.committed(&format!("{} exists (seqno {})", request.vg, making.vg().seqno));
        for name in others {
            watch.warn(&format!("{name} has our tag too: from now on choose one with --vg"));
        }
        machine.lvm2.devices_changed(&making.new_pvs());
        after_commit(watch, making.activate_pool(machine));
        Ok(making)
    }

    /// Refuses a name that is taken; gives the groups that are ours already.
    fn refuse_taken(&self, request: &Init) -> Result<Vec<VgName>> {
        let scan = find::scan_all(self.machine.disks)?;
        if let Some(taken) = scan.groups.iter().find(|group| group.vg.name == request.vg) {
            let on: Vec<String> =
                taken.members.iter().map(|member| member.path.display().to_string()).collect();
            let why = format!("there is a volume group of that name already, on {}", on.join(", "));
            return Err(exists(&request.vg, why));
        }
        if self.machine.disks.is_in_dev(request.vg.as_str()) {
            return Err(exists(&request.vg, "/dev has an entry of that name".to_owned()));
        }
        let ours = scan.groups.iter().filter(|group| crate::layout::is_ours(&group.vg));
        Ok(ours.map(|group| group.vg.name.clone()).collect())
    }

    /// The base that was asked for, and its first layer.
    fn first_images(
        &self,
        content: &mut Content<'_>,
        base: &AddBase,
        watch: &mut dyn Watch,
    ) -> Result<(BaseName, LayerName)> {
        let added = self.add_base_from(content, base, watch)?.nvr;
        let layer = self.add_layer(Some(&ImageName::Base(added.clone())), watch)?.nvr;
        Ok((added, layer))
    }
}

/// Asks device-mapper for the pool's device, before anything is written: without device-mapper
/// the group would be made, or the disks wiped, and no pool come of it.
fn refuse_without_device_mapper(machine: &Machine<'_>, request: &Init) -> Result<()> {
    let name = DmName::of_lv(&request.vg, &POOL.parse()?, None)?;
    let untouched = |error: Error| error.kept("nothing was written");
    match machine.kernel.info(&name).map_err(untouched)? {
        Some(_) => {
            let why = "device-mapper has a device of that name already: remove it";
            Err(untouched(Error::new(ErrorKind::Exists, why).at(name)))
        }
        None => Ok(()),
    }
}

fn made_without(error: Error, request: &Init) -> Error {
    error.kept(format!("the volume group {} was made and stays", request.vg))
}

fn exists(vg: &VgName, why: String) -> Error {
    Error::new(ErrorKind::Exists, why).at(vg).kept("nothing was written")
}

/// The metadata that a pool gets by default in a group of that size.
pub(super) fn metadata_rule(group: Bytes) -> Bytes {
    sizes::metadata_rule(group)
}

/// The largest metadata that the kernel uses.
pub(super) const METADATA_MAX: Bytes = sizes::METADATA_MAX;

/// The size of a chunk in the pools that are made here.
pub(super) fn chunk() -> Bytes {
    CHUNK.bytes()
}

/// How the room on these devices is divided.
fn sizes(request: &Init, plans: &[PvPlan]) -> Result<Sizes> {
    let total = plans.iter().map(|plan| plan.geometry.pe_count(EXTENT));
    let total = total.fold(Extents::ZERO, Extents::saturating_add);
    let wish =
        Wish { data: request.size, metadata: request.metadata_size, config: request.config_size };
    divide(total, wish)
}

/// A group that is being made: all of it planned before the first write.
struct Making {
    plans: Vec<PvPlan>,
    new: NewVg,
    sizes: Sizes,
}

impl Making {
    fn plan(
        machine: &Machine<'_>,
        request: &Init,
        plans: Vec<PvPlan>,
        sizes: Sizes,
    ) -> Result<Self> {
        let stamp = session::stamp(machine, "layout --init");
        let birth = Birth { time: stamp.time, host: stamp.host.clone() };
        let empty = NewVg::create(&group_spec(machine, request, &plans)?, &stamp)?;
        let mut edit = empty.vg().edit();
        edit.create_pool(&pool_spec(sizes, &birth)?)?;
        if !sizes.config.is_zero() {
            edit.create_linear(&config_spec(sizes.config, birth)?)?;
        }
        Ok(Self { plans, new: edit.finish(&stamp)?, sizes })
    }

    fn vg(&self) -> &Vg {
        self.new.vg()
    }

    /// Labels the devices and commits the first text: natively, or by lvm2's library where texts
    /// go through that.
    fn commit(&self, machine: &Machine<'_>) -> Result<()> {
        #[cfg(feature = "liblvm")]
        if let Some(library) = machine.lvm2.library() {
            return create_group_by_library(&self.plans, self.new.clone(), library).map(drop);
        }
        let _ = machine;
        create_group(&self.plans, self.new.clone()).map(drop)
    }

    /// Zeros where the pool's metadata begins, so that the kernel formats it.
    fn zero_pool_head(&self) -> Result<()> {
        let pool = self.vg().thin_pool(&POOL.parse()?);
        let metadata = pool.and_then(|pool| self.vg().lv(&pool.metadata));
        let area = metadata.and_then(|lv| match &lv.segments.first()?.kind {
            SegmentKind::Striped(striped) => striped.areas.first(),
            _ => None,
        });
        let area = area.expect("a pool that was just planned has linear metadata");
        let pv = self.vg().pv(&area.on).expect("an area that was just planned lies on a volume");
        let plan = self.plans.iter().find(|plan| plan.id == pv.id);
        let plan = plan.expect("the group was planned on these devices");
        let start = pv.pe_start.bytes().saturating_add(area.start.bytes(EXTENT));
        let zeroed = plan.dev.write_at(&[0; POOL_HEAD], start).and_then(|()| plan.dev.sync());
        zeroed.context("zero the pool's metadata", plan.dev.name())
    }

    /// Makes the Config volume's file system, on a device that is there before the group is: a
    /// failure here leaves nothing that LVM knows of.
    fn format_config(&self, machine: &Machine<'_>) -> Result<()> {
        if self.sizes.config.is_zero() {
            return Ok(());
        }
        let name: LvName = CONFIG.parse()?;
        self.stack(machine)?.activate(machine.kernel, std::slice::from_ref(&name))?;
        let made = machine.kernel.settle().and_then(|()| self.run_mke2fs(machine, &name));
        made.inspect_err(|error| {
            let undone = dm::deactivate(machine.kernel, self.vg(), std::slice::from_ref(&name));
            if let Err(second) = undone.and_then(|_| machine.kernel.settle()) {
                log::warn!("after '{error}' the device of {name} stays: {second}");
            }
        })
    }

    fn activate_pool(&self, machine: &Machine<'_>) -> Result<()> {
        self.stack(machine)?.open_pool(machine.kernel, &POOL.parse()?)?;
        machine.kernel.settle()
    }

    fn run_mke2fs(&self, machine: &Machine<'_>, lv: &LvName) -> Result<()> {
        let device = DmName::of_lv(&self.vg().name, lv, None)?;
        let node = Path::new("/dev/mapper").join(device.as_str());
        filesystem::mke2fs(machine, &["-L", CONFIG], &node)
            .map_err(|error| error.op("make the Config volume"))
    }

    fn stack<'a>(&'a self, machine: &Machine<'_>) -> Result<OwnedStack<'a>> {
        let mut numbers = PvNumbers::new();
        for plan in &self.plans {
            if let Some(number) = machine.disks.number(&plan.path)? {
                numbers.insert(plan.id, number);
            }
        }
        Ok(OwnedStack { vg: self.vg(), numbers, threshold: machine.lvm2.autoextend_threshold() })
    }

    fn new_pvs(&self) -> Vec<NewPv> {
        self.plans.iter().map(|plan| NewPv { path: plan.path.clone(), id: plan.id }).collect()
    }

    fn report(&self, request: &Init) -> InitReport {
        let config = (!self.sizes.config.is_zero()).then(|| self.sizes.config.bytes(EXTENT).get());
        InitReport {
            vg: request.vg.clone(),
            devices: self.plans.iter().map(|plan| plan.path.display().to_string()).collect(),
            pool: POOL.parse().expect("the pool's name is one"),
            data_bytes: self.sizes.data.bytes(EXTENT).get(),
            metadata_bytes: self.sizes.metadata.bytes(EXTENT).get(),
            config_bytes: config,
            base: None,
            layer: None,
        }
    }
}

/// A [`Stack`] with the numbers that it is over.
struct OwnedStack<'a> {
    vg: &'a Vg,
    numbers: PvNumbers,
    threshold: u8,
}

impl OwnedStack<'_> {
    fn borrow(&self) -> Stack<'_> {
        Stack { vg: self.vg, numbers: &self.numbers, autoextend_threshold: self.threshold }
    }

    fn activate(&self, kernel: &dyn dm::Kernel, names: &[LvName]) -> Result<()> {
        self.borrow().activate(kernel, names).map(drop)
    }

    fn open_pool(&self, kernel: &dyn dm::Kernel, pool: &LvName) -> Result<()> {
        self.borrow().open_pool(kernel, pool).map(drop)
    }
}

fn group_spec(machine: &Machine<'_>, request: &Init, plans: &[PvPlan]) -> Result<GroupSpec> {
    let pvs = plans.iter().map(|plan| PvSpec {
        id: plan.id,
        device: plan.path.display().to_string(),
        dev_size: plan.geometry.dev_size,
        pe_start: plan.geometry.pe_start,
        pe_count: plan.geometry.pe_count(EXTENT),
    });
    Ok(GroupSpec {
        name: request.vg.clone(),
        id: LvmId::random().context("make an identifier", &request.vg)?,
        extent_size: EXTENT,
        pvs: pvs.collect(),
        tags: vec![tag::VG.try_into()?],
        system_id: machine.lvm2.system_ids().into_iter().next(),
    })
}

fn pool_spec(sizes: Sizes, birth: &Birth) -> Result<PoolSpec> {
    Ok(PoolSpec {
        name: POOL.parse()?,
        data: sizes.data,
        metadata: sizes.metadata,
        chunk_size: CHUNK,
        discards: Discards::Passdown,
        zero: true,
        error_when_full: true,
        spare: true,
        tags: vec![tag::POOL.try_into()?],
        birth: birth.clone(),
    })
}

fn config_spec(extents: Extents, birth: Birth) -> Result<LinearSpec> {
    let tags = Vec::new();
    Ok(LinearSpec { name: CONFIG.parse()?, extents, placement: Placement::default(), tags, birth })
}
