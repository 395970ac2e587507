//! From the tree to typed values.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use super::*;
use crate::lvm2::text::{Body, Scalar, Section};
use crate::lvm2::validate;
use crate::{Error, ErrorKind};

/// lvm2 counts extents in 32 bits.
const MOST_EXTENTS: u64 = 0xffff_ffff;
/// Device ids of a thin pool have 24 bits.
const MOST_DEVICE_ID: u64 = (1 << 24) - 1;
/// The chunks that the thin pool target takes: 64 KiB to 1 GiB.
const CHUNKS: std::ops::RangeInclusive<u64> = 128..=2_097_152;

/// Types that this program knows of but does not drive.
const KNOWN_TYPES: [&str; 31] = [
    "error",
    "zero",
    "free",
    "snapshot",
    "mirror",
    "raid0",
    "raid0_meta",
    "raid1",
    "raid4",
    "raid5",
    "raid5_n",
    "raid5_la",
    "raid5_ra",
    "raid5_ls",
    "raid5_rs",
    "raid6",
    "raid6_zr",
    "raid6_nr",
    "raid6_nc",
    "raid6_n_6",
    "raid6_la_6",
    "raid6_ra_6",
    "raid6_ls_6",
    "raid6_rs_6",
    "raid10",
    "raid10_near",
    "cache",
    "cache-pool",
    "writecache",
    "vdo",
    "vdo-pool",
];

/// What may follow a type's name after a plus sign.
const KNOWN_TYPE_FLAGS: [&str; 8] = [
    "RESHAPE",
    "RESHAPE_DATA_OFFSET",
    "RESHAPE_DELTA_DISKS_PLUS",
    "RESHAPE_DELTA_DISKS_MINUS",
    "REMOVE_AFTER_RESHAPE",
    "METADATA_FORMAT",
    "CROP_METADATA",
    "CACHE_USES_CACHEVOL",
];

#[derive(Debug, thiserror::Error)]
enum Bad {
    #[error("the text holds no volume group")]
    NoGroup,
    #[error("the text's '{0}' is not what lvm2 writes")]
    Header(&'static str),
    #[error("'{0}' is missing or is no {1}")]
    Key(&'static str, &'static str),
    #[error("'{0}' is out of range")]
    Range(&'static str),
    #[error("{0}")]
    Name(crate::name::BadName),
    #[error("the name is used twice")]
    Twice,
    #[error("it holds the section '{0}', which is no segment")]
    Section(String),
    #[error("it has {found} segments where 'segment_count' says {said}")]
    SegmentCount { found: u64, said: u64 },
    #[error("it starts at extent {found}, the one before ends at {end}")]
    Gap { found: u64, end: u64 },
    #[error("'stripes' does not match the other keys")]
    Stripes,
    #[error("'{0}' is no message to a thin pool")]
    Message(String),
}

/// A section and what to call it in a message.
#[derive(Clone, Copy)]
struct At<'a> {
    section: &'a Section,
    name: &'a dyn fmt::Display,
}

impl<'a> At<'a> {
    fn bad(&self, bad: Bad) -> Error {
        Error::new(ErrorKind::Corrupt, bad).at(self.name)
    }

    fn scalar(&self, key: &'static str) -> Option<&'a Scalar> {
        self.section.get(key)?.scalar()
    }

    fn text(&self, key: &'static str) -> Result<Cow<'a, str>> {
        let text = self.scalar(key).and_then(Scalar::as_str);
        text.ok_or_else(|| self.bad(Bad::Key(key, "string")))
    }

    fn number(&self, key: &'static str) -> Result<u64> {
        let number = self.scalar(key).and_then(Scalar::as_int);
        let number = number.and_then(|n| u64::try_from(n).ok());
        number.ok_or_else(|| self.bad(Bad::Key(key, "whole number")))
    }

    /// A number that may be absent.
    fn number_or(&self, key: &'static str, default: u64) -> Result<u64> {
        if self.section.get(key).is_some() { self.number(key) } else { Ok(default) }
    }

    fn in_range(&self, key: &'static str, range: impl std::ops::RangeBounds<u64>) -> Result<u64> {
        let number = self.number(key)?;
        if range.contains(&number) { Ok(number) } else { Err(self.bad(Bad::Range(key))) }
    }

    fn parsed<T: FromStr<Err = crate::name::BadName>>(&self, key: &'static str) -> Result<T> {
        self.text(key)?.parse().map_err(|bad| self.bad(Bad::Name(bad)))
    }

    /// A name that may be absent.
    fn name_if(&self, key: &'static str) -> Result<Option<LvName>> {
        self.section.get(key).map(|_| self.parsed(key)).transpose()
    }

    /// A string that may be absent, as it may where it is empty.
    fn text_if(&self, key: &'static str) -> Result<Option<Box<str>>> {
        let text = self.section.get(key).map(|_| self.text(key)).transpose()?;
        Ok(text.filter(|text| !text.is_empty()).map(|text| text.into()))
    }

    /// A list of strings; one string alone is a list too, and an absent one is empty.
    fn words(&self, key: &'static str) -> Result<Vec<Box<str>>> {
        let scalars = match self.section.get(key).map(|item| item.body()) {
            None => &[],
            Some(Body::Array(array)) => array.scalars(),
            Some(Body::Scalar(scalar)) => std::slice::from_ref(scalar),
            Some(Body::Section(_)) => return Err(self.bad(Bad::Key(key, "list of strings"))),
        };
        let words = scalars.iter().map(|scalar| scalar.as_str().map(Into::into));
        words.collect::<Option<_>>().ok_or_else(|| self.bad(Bad::Key(key, "list of strings")))
    }

    /// lvm2 does not check tags that it reads. One that it would not take from a user stays in the
    /// text and is not seen here.
    fn tags(&self) -> Result<Vec<Tag>> {
        Ok(self.words("tags")?.iter().filter_map(|tag| tag.parse().ok()).collect())
    }

    /// The section of that key; an absent one has no sections.
    fn sections(&self, key: &'static str) -> impl Iterator<Item = (Cow<'a, str>, &'a Section)> {
        self.section.section(key).into_iter().flat_map(Section::sections)
    }
}

fn extents(number: u64) -> Extents {
    Extents::new(number)
}

impl Vg {
    /// The typed view of a tree.
    ///
    /// # Errors
    /// As [`Vg::parse`].
    pub fn from_document(text: Document) -> Result<Self> {
        let vg = Self::read(&text)?;
        let vg = Self { text, ..vg };
        validate::structure(&vg).map_err(|e| e.with_kind(ErrorKind::Corrupt))?;
        Ok(vg)
    }

    fn read(text: &Document) -> Result<Self> {
        check_header(text)?;
        let (name, section) = text.vg().ok_or_else(|| corrupt(Bad::NoGroup))?;
        let name: VgName = name.parse().map_err(|bad| corrupt(Bad::Name(bad)))?;
        let place = format!("volume group {name}");
        let at = At { section, name: &place };
        let pvs = read_pvs(at, &name)?;
        Ok(Self {
            id: at.parsed("id")?,
            seqno: at.in_range("seqno", ..=MOST_EXTENTS)?,
            status: at.words("status")?,
            flags: at.words("flags")?,
            tags: at.tags()?,
            system_id: at.text_if("system_id")?,
            lock_type: at.text_if("lock_type")?.filter(|kind| &**kind != "none"),
            extent_size: Sectors::new(at.in_range("extent_size", 1..=MOST_EXTENTS)?),
            max_lv: at.number_or("max_lv", 0)?,
            max_pv: at.number_or("max_pv", 0)?,
            lvs: read_lvs(at, &name, &pvs)?,
            pvs,
            name,
            text: Document::default(),
        })
    }
}

fn corrupt(bad: Bad) -> Error {
    Error::new(ErrorKind::Corrupt, bad).op("read the metadata text")
}

/// What lvm2 demands before it looks at the group.
fn check_header(text: &Document) -> Result<()> {
    let value = |key| text.find(key).and_then(|item| item.scalar());
    let contents = value("contents").and_then(Scalar::as_str);
    if contents.as_deref() != Some("Text Format Volume Group") {
        return Err(corrupt(Bad::Header("contents")));
    }
    if value("version").and_then(Scalar::as_int) != Some(1) {
        return Err(corrupt(Bad::Header("version")));
    }
    Ok(())
}

fn read_pvs(vg: At<'_>, name: &VgName) -> Result<Vec<Pv>> {
    let mut seen = HashSet::new();
    let sections = vg.sections("physical_volumes");
    let pvs = sections.map(|(label, section)| {
        let place = format!("{label} of volume group {name}");
        let at = At { section, name: &place };
        let pv = read_pv(at, &label)?;
        if seen.insert(pv.label.clone()) { Ok(pv) } else { Err(at.bad(Bad::Twice)) }
    });
    pvs.collect()
}

fn read_pv(at: At<'_>, label: &str) -> Result<Pv> {
    let size = at.section.get("dev_size").map(|_| at.number("dev_size")).transpose()?;
    Ok(Pv {
        label: label.into(),
        id: at.parsed("id")?,
        device: at.text_if("device")?,
        status: at.words("status")?,
        flags: at.words("flags")?,
        tags: at.tags()?,
        dev_size: size.map(Sectors::new),
        pe_start: Sectors::new(at.number("pe_start")?),
        pe_count: extents(at.in_range("pe_count", ..=MOST_EXTENTS)?),
    })
}

fn read_lvs(vg: At<'_>, name: &VgName, pvs: &[Pv]) -> Result<Vec<Lv>> {
    let labels: HashSet<&str> = pvs.iter().map(|pv| &*pv.label).collect();
    let mut seen = HashSet::new();
    let sections = vg.sections("logical_volumes");
    let lvs = sections.map(|(key, section)| {
        let place = format!("volume {name}/{key}");
        let at = At { section, name: &place };
        let lv = read_lv(at, &key, &labels)?;
        if seen.insert(lv.name.clone()) { Ok(lv) } else { Err(at.bad(Bad::Twice)) }
    });
    lvs.collect()
}

fn read_lv(at: At<'_>, name: &str, labels: &HashSet<&str>) -> Result<Lv> {
    let time = at.section.get("creation_time").map(|_| at.number("creation_time")).transpose()?;
    Ok(Lv {
        name: name.parse().map_err(|bad| at.bad(Bad::Name(bad)))?,
        id: at.parsed("id")?,
        status: at.words("status")?,
        flags: at.words("flags")?,
        tags: at.tags()?,
        creation_time: time.and_then(|time| i64::try_from(time).ok()),
        fixed_minor: fixed_minor(at)?,
        segments: read_segments(at, labels)?,
    })
}

fn fixed_minor(at: At<'_>) -> Result<Option<(u32, u32)>> {
    if !has(&at.words("status")?, "FIXED_MINOR") || at.section.get("minor").is_none() {
        return Ok(None);
    }
    let part = |key| {
        let number = at.section.int(key).unwrap_or(-1);
        u32::try_from(number).map_err(|_| at.bad(Bad::Range(key)))
    };
    Ok(Some((part("major")?, part("minor")?)))
}

fn read_segments(lv: At<'_>, labels: &HashSet<&str>) -> Result<Vec<Segment>> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut end = 0u64;
    for (index, (key, section)) in lv.section.sections().enumerate() {
        if key.strip_prefix("segment").and_then(|n| n.parse::<usize>().ok()).is_none() {
            return Err(lv.bad(Bad::Section(key.into_owned())));
        }
        let place = format!("{}, segment {}", lv.name, index.saturating_add(1));
        let segment = read_segment(At { section, name: &place }, end, labels)?;
        end = end.saturating_add(segment.count.get());
        segments.push(segment);
    }
    let found = u64::try_from(segments.len()).unwrap_or(u64::MAX);
    let said = lv.number("segment_count")?;
    if found != said || found == 0 {
        return Err(lv.bad(Bad::SegmentCount { found, said }));
    }
    Ok(segments)
}

fn read_segment(at: At<'_>, end: u64, labels: &HashSet<&str>) -> Result<Segment> {
    let start = at.number("start_extent")?;
    let count = at.in_range("extent_count", 1..=MOST_EXTENTS)?;
    if start != end {
        return Err(at.bad(Bad::Gap { found: start, end }));
    }
    if start.saturating_add(count) > MOST_EXTENTS {
        return Err(at.bad(Bad::Range("extent_count")));
    }
    let kind = read_kind(at, extents(count), labels)?;
    Ok(Segment { start: extents(start), count: extents(count), tags: at.tags()?, kind })
}

fn read_kind(at: At<'_>, count: Extents, labels: &HashSet<&str>) -> Result<SegmentKind> {
    let text = at.text("type")?;
    let mut parts = text.split('+');
    let name = parts.next().unwrap_or_default();
    if !parts.all(|flag| KNOWN_TYPE_FLAGS.contains(&flag)) {
        return Ok(SegmentKind::Unknown { name: (*text).into(), areas: areas(at, count, labels) });
    }
    match name {
        "striped" | "linear" => Ok(SegmentKind::Striped(striped(at, count)?)),
        "thin-pool" => Ok(SegmentKind::ThinPool(thin_pool(at)?)),
        "thin" => Ok(SegmentKind::Thin(thin(at)?)),
        _ if KNOWN_TYPES.contains(&name) => {
            Ok(SegmentKind::Known { name: name.into(), areas: areas(at, count, labels) })
        }
        _ => Ok(SegmentKind::Unknown { name: (*text).into(), areas: areas(at, count, labels) }),
    }
}

/// Pairs of a name and a number, as areas of `count` extents.
fn pairs(scalars: &[Scalar], count: Extents) -> impl Iterator<Item = Option<Area>> {
    scalars.chunks(2).map(move |pair| {
        let [on, start] = pair else { return None };
        let (on, start) = (on.as_str()?, u64::try_from(start.as_int()?).ok()?);
        Some(Area { on: on.into(), start: extents(start), count })
    })
}

/// What a segment of another type seems to hold: each pair of a physical volume's name and a
/// number is taken for a whole copy, so that nothing in use is ever taken for free.
fn areas(at: At<'_>, count: Extents, labels: &HashSet<&str>) -> Vec<Area> {
    let arrays = at.section.items().iter().filter_map(|item| item.array());
    let on_pv = |area: &Area| labels.contains(&*area.on);
    arrays.flat_map(|array| pairs(array.scalars(), count).flatten()).filter(on_pv).collect()
}

fn striped(at: At<'_>, count: Extents) -> Result<Striped> {
    let stripes = at.in_range("stripe_count", 1..=128)?;
    let size = if stripes == 1 { 0 } else { at.in_range("stripe_size", 1..=MOST_EXTENTS)? };
    let each = count.get().checked_div(stripes).unwrap_or(0);
    let array = at.section.get("stripes").and_then(|item| item.array());
    let array = array.ok_or_else(|| at.bad(Bad::Key("stripes", "list")))?;
    let areas: Option<Vec<_>> = pairs(array.scalars(), extents(each)).collect();
    let areas = areas.ok_or_else(|| at.bad(Bad::Stripes))?;
    let whole = each.checked_mul(stripes) == Some(count.get());
    if !whole || u64::try_from(areas.len()) != Ok(stripes) {
        return Err(at.bad(Bad::Stripes));
    }
    Ok(Striped { stripe_size: Sectors::new(size), areas })
}

fn thin_pool(at: At<'_>) -> Result<ThinPool> {
    let chunk = at.in_range("chunk_size", CHUNKS)?;
    if chunk % 128 != 0 {
        return Err(at.bad(Bad::Range("chunk_size")));
    }
    Ok(ThinPool {
        metadata: at.parsed("metadata")?,
        data: at.parsed("pool")?,
        transaction_id: at.number("transaction_id")?,
        chunk_size: Sectors::new(chunk),
        discards: discards(at)?,
        zero_new_blocks: at.number_or("zero_new_blocks", 0)? != 0,
        crop_metadata: at.number_or("crop_metadata", 0)? != 0,
        messages: messages(at)?,
    })
}

fn discards(at: At<'_>) -> Result<Discards> {
    match at.text_if("discards")?.as_deref() {
        None | Some("ignore") => Ok(Discards::Ignore),
        Some("nopassdown") => Ok(Discards::NoPassdown),
        Some("passdown") => Ok(Discards::Passdown),
        Some(_) => Err(at.bad(Bad::Range("discards"))),
    }
}

fn messages(pool: At<'_>) -> Result<Vec<Message>> {
    let message = |(key, section): (Cow<'_, str>, _)| {
        let at = At { section, name: pool.name };
        if section.get("create").is_some() {
            Ok(Message::Create(at.parsed("create")?))
        } else if section.get("delete").is_some() {
            Ok(Message::Delete(device_id(at, "delete")?))
        } else {
            Err(at.bad(Bad::Message(key.into_owned())))
        }
    };
    pool.section.sections().map(message).collect()
}

fn device_id(at: At<'_>, key: &'static str) -> Result<u32> {
    let id = at.in_range(key, ..=MOST_DEVICE_ID)?;
    u32::try_from(id).map_err(|_| at.bad(Bad::Range(key)))
}

fn thin(at: At<'_>) -> Result<Thin> {
    Ok(Thin {
        pool: at.parsed("thin_pool")?,
        transaction_id: at.number("transaction_id")?,
        device_id: device_id(at, "device_id")?,
        origin: at.name_if("origin")?,
        external_origin: at.name_if("external_origin")?,
        merge: at.name_if("merge")?,
    })
}
