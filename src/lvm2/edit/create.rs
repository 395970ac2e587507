//! New volumes.

use std::collections::BTreeSet;

use super::change::{message_items, put_announcement};
use super::group::list;
use super::*;
use crate::lvm2::alloc::{Allocator, Placement};
use crate::lvm2::model::{Area, Discards, Message};
use crate::lvm2::text::{Item, quote};
use crate::name::{DmName, LvmId, Tag};
use crate::units::{Bytes, Extents, Sectors};

/// When and where a volume is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Birth {
    /// `creation_time`: seconds since 1970. Zero leaves both keys out.
    pub time: i64,
    /// `creation_host`.
    pub host: String,
}

/// A linear volume to be made.
#[derive(Clone, Debug)]
pub struct LinearSpec {
    /// Its name.
    pub name: LvName,
    /// Its size.
    pub extents: Extents,
    /// Where it shall lie.
    pub placement: Placement,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When and where.
    pub birth: Birth,
}

/// A thin pool to be made, with its metadata and data volumes.
#[derive(Clone, Debug)]
pub struct PoolSpec {
    /// Its name.
    pub name: LvName,
    /// Its size.
    pub data: Extents,
    /// The size of its metadata.
    pub metadata: Extents,
    /// `chunk_size`.
    pub chunk_size: Sectors,
    /// `discards`.
    pub discards: Discards,
    /// `zero_new_blocks`.
    pub zero: bool,
    /// ERROR_WHEN_FULL: writes fail at once when it is full.
    pub error_when_full: bool,
    /// Make or grow the group's spare metadata volume too.
    pub spare: bool,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When and where.
    pub birth: Birth,
}

/// A thin volume to be made. Its segment gets the pool's present transaction id; raising that and
/// adding the message is up to the caller.
#[derive(Clone, Debug)]
pub struct ThinSpec {
    /// Its name.
    pub name: LvName,
    /// Its pool.
    pub pool: LvName,
    /// Its size; of a snapshot, the origin's or more.
    pub extents: Extents,
    /// The volume that it is a snapshot of.
    pub origin: Option<LvName>,
    /// Its device id in the pool: [`Vg::next_device_id`].
    pub device_id: u32,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Whether it may be written.
    pub writable: bool,
    /// ACTIVATION_SKIP: activated only on demand.
    pub activation_skip: bool,
    /// When and where.
    pub birth: Birth,
}

/// The parts that all volumes have.
struct Common<'a> {
    name: &'a LvName,
    visible: bool,
    writable: bool,
    flags: Vec<&'static str>,
    tags: &'a [Tag],
    birth: &'a Birth,
}

impl<'a> Common<'a> {
    fn new(name: &'a LvName, birth: &'a Birth) -> Self {
        Self { name, visible: true, writable: true, flags: Vec::new(), tags: &[], birth }
    }

    fn hidden(name: &'a LvName, birth: &'a Birth) -> Self {
        Self { visible: false, ..Self::new(name, birth) }
    }
}

/// The largest spare that lvm2 makes.
const LARGEST_SPARE: Bytes = Bytes::gib(16);

impl VgEdit {
    /// Makes a linear volume. Its extents hold what lay there before: wiping is up to the caller.
    ///
    /// # Errors
    /// `Invalid` or `Exists` for the name, `Invalid` for no size, `NoSpace`.
    pub fn create_linear(&mut self, spec: &LinearSpec) -> Result<()> {
        self.check_new(&spec.name, None)?;
        self.check_size(&spec.name, spec.extents)?;
        let areas = Allocator::new(&self.now).take(spec.extents, &spec.placement)?;
        let common = Common { tags: &spec.tags, ..Common::new(&spec.name, &spec.birth) };
        let item = self.item(&common, &linear_segments(&areas, 1, Extents::ZERO))?;
        self.change(|vg| insert(vg, item, true))
    }

    /// Makes a thin pool of transaction id 0, its volumes `_tmeta` and `_tdata`, and the group's
    /// spare where asked for. The first block of the metadata must be zero before this is
    /// committed, or the kernel takes it for a pool that exists.
    ///
    /// # Errors
    /// `Invalid` or `Exists` for the name, `Invalid` for the sizes, `NoSpace`.
    pub fn create_pool(&mut self, spec: &PoolSpec) -> Result<()> {
        self.check_new(&spec.name, Some("tpool"))?;
        self.check_size(&spec.name, spec.data)?;
        self.check_size(&spec.name, spec.metadata)?;
        let chunk = spec.chunk_size.get();
        if !(128..=2_097_152).contains(&chunk) || !chunk.is_multiple_of(128) {
            return Err(self.error(ErrorKind::Invalid, &spec.name, Refused::Chunk));
        }
        let before = self.clone();
        let made = self.make_pool(spec);
        made.inspect_err(|_| *self = before)
    }

    fn make_pool(&mut self, spec: &PoolSpec) -> Result<()> {
        let (meta, data) = (spec.name.internal("_tmeta")?, spec.name.internal("_tdata")?);
        self.check_free(&meta)?;
        self.check_free(&data)?;
        if spec.spare {
            self.provide_spare(spec.metadata, &spec.birth)?;
        }
        let mut free = Allocator::new(&self.now);
        let data_areas = free.take(spec.data, &Placement::default())?;
        let avoid = data_areas.iter().map(|area| area.on.clone()).collect();
        let apart = Placement { avoid, ..Placement::default() };
        let meta_areas = free.take(spec.metadata, &apart)?;
        let hidden = |name, areas: &[Area]| {
            self.item(&Common::hidden(name, &spec.birth), &linear_segments(areas, 1, Extents::ZERO))
        };
        let parts = [hidden(&meta, &meta_areas)?, hidden(&data, &data_areas)?];
        let flags = if spec.error_when_full { vec!["ERROR_WHEN_FULL"] } else { Vec::new() };
        let common = Common { flags, tags: &spec.tags, ..Common::new(&spec.name, &spec.birth) };
        let pool = self.item(&common, &pool_segment(spec, &meta, &data))?;
        self.change(|vg| {
            insert(vg, pool, true);
            parts.into_iter().for_each(|part| insert(vg, part, false));
        })
    }

    /// Makes a thin volume, or a snapshot of one.
    ///
    /// # Errors
    /// `Invalid` or `Exists` for the name, `NotFound` for the pool or the origin, `Invalid` for
    /// the size or an origin of another pool.
    pub fn create_thin(&mut self, spec: &ThinSpec) -> Result<()> {
        let item = self.thin_item(spec)?;
        self.change(|vg| insert(vg, item, true))
    }

    /// Makes several in one pool, none of them of another, and the messages that tell the pool, whose
    /// transaction id is raised by one.
    ///
    /// # Errors
    /// As [`Self::create_thin`], and `Exists` for a name that is given twice.
    pub fn create_thins_announced(&mut self, pool: &LvName, specs: &[ThinSpec]) -> Result<()> {
        let mut names = BTreeSet::new();
        if let Some(twice) = specs.iter().find(|spec| !names.insert(&spec.name)) {
            return Err(self.error(ErrorKind::Exists, &twice.name, Refused::Exists));
        }
        let items = specs.iter().map(|spec| self.thin_item(spec)).collect::<Result<Vec<_>>>()?;
        let messages: Vec<_> =
            specs.iter().map(|spec| Message::Create(spec.name.clone())).collect();
        let messages = message_items(&messages)?;
        let id = self.pool(pool)?.transaction_id.saturating_add(1);
        self.change(|vg| {
            items.into_iter().for_each(|item| insert(vg, item, true));
            let pool = lv_mut(vg, pool);
            if let Some(segment) = pool.and_then(|pool| segment_mut(pool, 1)) {
                put_announcement(segment, messages, id);
            }
        })
    }

    fn thin_item(&self, spec: &ThinSpec) -> Result<Item> {
        self.check_new(&spec.name, None)?;
        self.check_size(&spec.name, spec.extents)?;
        let transaction_id = self.pool(&spec.pool)?.transaction_id;
        let external = self.check_origin(spec)?;
        let flags = if spec.activation_skip { vec!["ACTIVATION_SKIP"] } else { Vec::new() };
        let common = Common { flags, tags: &spec.tags, ..Common::new(&spec.name, &spec.birth) };
        let common = Common { writable: spec.writable, ..common };
        self.item(&common, &thin_segment(spec, transaction_id, external.as_ref()))
    }

    /// Fails where the origin does not fit; its external origin, which a snapshot shares.
    fn check_origin(&self, spec: &ThinSpec) -> Result<Option<LvName>> {
        let Some(name) = &spec.origin else { return Ok(None) };
        let origin = self.lv(name)?;
        let refuse = |why| Err(self.error(ErrorKind::Invalid, &spec.name, why));
        match origin.thin() {
            Some(_) if origin.extents() > spec.extents => {
                refuse(Refused::SnapshotSize(origin.extents().get()))
            }
            Some(thin) if thin.pool == spec.pool => Ok(thin.external_origin.clone()),
            _ => refuse(Refused::Origin),
        }
    }

    /// Fails where a user may not give this name to a new volume.
    pub(super) fn check_new(&self, name: &LvName, layer: Option<&str>) -> Result<()> {
        name.check_choosable()?;
        DmName::of_lv(&self.now.name, name, layer)?;
        self.check_free(name)
    }

    pub(super) fn check_free(&self, name: &LvName) -> Result<()> {
        DmName::of_lv(&self.now.name, name, None)?;
        if self.now.lv(name).is_some() {
            return Err(self.error(ErrorKind::Exists, name, Refused::Exists));
        }
        Ok(())
    }

    fn check_size(&self, name: &LvName, extents: Extents) -> Result<()> {
        let size = extents.get();
        if size == 0 || u32::try_from(size).is_err() {
            return Err(self.error(ErrorKind::Invalid, name, Refused::Size(size)));
        }
        Ok(())
    }

    /// Makes or grows the spare, so that it takes the place of `metadata` extents.
    pub(super) fn provide_spare(&mut self, metadata: Extents, birth: &Birth) -> Result<()> {
        let most = LARGEST_SPARE.sectors_down().extents_up(self.now.extent_size);
        let need = metadata.min(most);
        if let Some(spare) = self.now.pmspare() {
            let name = spare.name.clone();
            let grows = spare.extents() < need;
            return if grows { self.grow_linear(&name, need) } else { Ok(()) };
        }
        let areas = Allocator::new(&self.now).take(need, &Placement::default())?;
        let name = self.spare_name()?;
        let segments = linear_segments(&areas, 1, Extents::ZERO);
        let item = self.item(&Common::hidden(&name, birth), &segments)?;
        self.change(|vg| insert(vg, item, false))
    }

    fn spare_name(&self) -> Result<LvName> {
        let taken = |number: &usize| {
            let plain = format!("lvol{number}");
            let spare = format!("{plain}_pmspare");
            self.now.lvs.iter().any(|lv| lv.name == *plain || lv.name == *spare)
        };
        let number = (0..=self.now.lvs.len()).find(|number| !taken(number)).unwrap_or_default();
        Ok(format!("lvol{number}_pmspare").parse()?)
    }

    /// The section of a new volume, with an identifier of its own.
    fn item(&self, common: &Common<'_>, segments: &[String]) -> Result<Item> {
        let id = LvmId::random().map_err(Error::io)?;
        let (status, flags) = self.access(common);
        let mut text =
            format!("{} {{\nid = \"{id}\"\nstatus = {status}\nflags = {flags}\n", common.name);
        if !common.tags.is_empty() {
            text.push_str(&format!("tags = {}\n", list(common.tags)));
        }
        if common.birth.time > 0 {
            let (time, host) = (common.birth.time, quote(&common.birth.host));
            text.push_str(&format!("creation_time = {time}\ncreation_host = {host}\n"));
        }
        text.push_str(&format!("segment_count = {}\n\n{}}}\n", segments.len(), segments.concat()));
        Ok(Item::parse(&text)?.behind_blanks(1))
    }

    /// `status` and `flags`: in a group with a system id, WRITE is kept from programs that know of
    /// none.
    fn access(&self, common: &Common<'_>) -> (String, String) {
        let locked = self.now.system_id.is_some();
        let mut status = vec!["READ"];
        let mut flags = Vec::new();
        match (common.writable, locked) {
            (true, false) => status.push("WRITE"),
            (true, true) => flags.push("WRITE_LOCKED"),
            (false, _) => (),
        }
        if common.visible {
            status.push("VISIBLE");
        }
        flags.extend(&common.flags);
        (list(status), list(flags))
    }
}

/// Puts a volume where lvm2 prints it: a visible one behind the last visible one, a hidden one at
/// the end.
fn insert(vg: &mut Section, item: Item, visible: bool) {
    if vg.section("logical_volumes").is_none() {
        add_list(vg);
    }
    let Some(lvs) = vg.section_mut("logical_volumes") else { return };
    let shown = |item: &Item| {
        let status = item.section().and_then(|lv| lv.get("status")?.array());
        status.is_some_and(|words| {
            words.scalars().iter().any(|w| w.as_str().as_deref() == Some("VISIBLE"))
        })
    };
    let place = match visible {
        true => lvs.items().iter().rposition(shown).map_or(0, |last| last.saturating_add(1)),
        false => lvs.items().len(),
    };
    let place = place.min(lvs.items().len());
    lvs.items_mut().insert(place, item);
}

/// Adds the empty list of volumes behind that of the physical ones.
fn add_list(vg: &mut Section) {
    let pvs = vg.items().iter().position(|item| item.key() == "physical_volumes");
    let place = pvs.map_or(vg.items().len(), |index| index.saturating_add(1));
    let list = Item::new("logical_volumes", Body::Section(Section::default())).behind_blanks(1);
    vg.items_mut().insert(place, list);
    vg.settle_blanks();
}

/// Linear segments over the areas: the first is number `number` and starts at `start`.
pub(super) fn linear_segments(areas: &[Area], number: usize, start: Extents) -> Vec<String> {
    let mut at = start;
    let segment = |(index, area): (usize, &Area)| {
        let text = format!(
            "segment{} {{\nstart_extent = {}\nextent_count = {}\n\ntype = \"striped\"\n\
             stripe_count = 1\n\nstripes = [\n{}, {}\n]\n}}\n",
            number.saturating_add(index),
            at.get(),
            area.count.get(),
            quote(&area.on),
            area.start.get(),
        );
        at = at.saturating_add(area.count);
        text
    };
    areas.iter().enumerate().map(segment).collect()
}

fn pool_segment(spec: &PoolSpec, meta: &LvName, data: &LvName) -> [String; 1] {
    let discards = match spec.discards {
        Discards::Ignore => "ignore",
        Discards::NoPassdown => "nopassdown",
        Discards::Passdown => "passdown",
    };
    let zero = if spec.zero { "zero_new_blocks = 1\n" } else { "" };
    [format!(
        "segment1 {{\nstart_extent = 0\nextent_count = {}\n\ntype = \"thin-pool\"\n\
         metadata = \"{meta}\"\npool = \"{data}\"\ntransaction_id = 0\nchunk_size = {}\n\
         discards = \"{discards}\"\n{zero}}}\n",
        spec.data.get(),
        spec.chunk_size.get(),
    )]
}

fn thin_segment(spec: &ThinSpec, transaction_id: u64, external: Option<&LvName>) -> [String; 1] {
    let external = external.map(|name| format!("external_origin = \"{name}\"\n"));
    let origin = spec.origin.as_ref().map(|name| format!("origin = \"{name}\"\n"));
    [format!(
        "segment1 {{\nstart_extent = 0\nextent_count = {}\n\ntype = \"thin\"\n\
         thin_pool = \"{}\"\ntransaction_id = {transaction_id}\ndevice_id = {}\n{}{}}}\n",
        spec.extents.get(),
        spec.pool,
        spec.device_id,
        external.unwrap_or_default(),
        origin.unwrap_or_default(),
    )]
}
