//! Segments and what they are made of.

use super::*;

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

pub(super) fn read_segments(lv: At<'_>, labels: &HashSet<&str>) -> Result<Vec<Segment>> {
    // A vector that grows would begin with room for four, where most need one.
    let mut segments: Vec<Segment> = Vec::with_capacity(1);
    let mut end = 0u64;
    for (index, (key, section)) in lv.section.sections().enumerate() {
        let number = index.saturating_add(1);
        if !is_segment(&key, number) {
            return Err(lv.bad(Bad::Section(key.into_owned())));
        }
        let place = SegmentPlace { lv: lv.name, number };
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

/// True for `segment1` and 1.
fn is_segment(key: &str, number: usize) -> bool {
    let digits = key.strip_prefix("segment").filter(|digits| !digits.starts_with(['0', '+']));
    digits.and_then(|digits| digits.parse().ok()) == Some(number)
}

/// What a segment is called in a message.
struct SegmentPlace<'a> {
    lv: &'a dyn fmt::Display,
    number: usize,
}

impl fmt::Display for SegmentPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, segment {}", self.lv, self.number)
    }
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
    let end = text.bytes().position(|byte| byte == b'+').unwrap_or(text.len());
    let (name, flags) = text.split_at_checked(end).unwrap_or_default();
    if !flags.split('+').skip(1).all(|flag| KNOWN_TYPE_FLAGS.contains(&flag)) {
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
