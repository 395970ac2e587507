//! From the tree to typed values.

mod segment;

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::*;
use crate::lvm2::text::{Body, Item, Scalar, Section};
use crate::lvm2::validate;
use crate::{Error, ErrorKind};

/// The section of the logical volumes.
const LVS: &str = "logical_volumes";
/// What a value must be.
const STRING: &str = "string";
const NUMBER: &str = "whole number";
/// lvm2 counts extents in 32 bits.
const MOST_EXTENTS: u64 = 0xffff_ffff;
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
    #[error("the section '{0}' is there twice")]
    TwoSections(String),
    #[error("the key '{0}' holds a slash")]
    Slash(String),
    #[error("it holds the section '{0}' out of its place among the segments")]
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

    fn text(&self, key: &'static str) -> Result<Cow<'a, str>> {
        self.given(key)?.ok_or_else(|| self.bad(Bad::Key(key, STRING)))
    }

    /// A string that may be absent.
    fn given(&self, key: &'static str) -> Result<Option<Cow<'a, str>>> {
        let Some(item) = self.section.get(key) else { return Ok(None) };
        let text = item.scalar().and_then(Scalar::as_str);
        text.map(Some).ok_or_else(|| self.bad(Bad::Key(key, STRING)))
    }

    fn number(&self, key: &'static str) -> Result<u64> {
        self.number_if(key)?.ok_or_else(|| self.bad(Bad::Key(key, NUMBER)))
    }

    /// A number that may be absent.
    fn number_if(&self, key: &'static str) -> Result<Option<u64>> {
        let Some(item) = self.section.get(key) else { return Ok(None) };
        let number = item.scalar().and_then(Scalar::as_int).and_then(|n| u64::try_from(n).ok());
        number.map(Some).ok_or_else(|| self.bad(Bad::Key(key, NUMBER)))
    }

    fn number_or(&self, key: &'static str, default: u64) -> Result<u64> {
        Ok(self.number_if(key)?.unwrap_or(default))
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
        let text = self.given(key)?;
        text.map(|text| text.parse().map_err(|bad| self.bad(Bad::Name(bad)))).transpose()
    }

    /// A string that may be absent, as it may where it is empty.
    fn text_if(&self, key: &'static str) -> Result<Option<Box<str>>> {
        Ok(self.given(key)?.filter(|text| !text.is_empty()).map(Into::into))
    }

    /// A list of strings; one string alone is a list too, and an absent one is empty.
    fn words(&self, key: &'static str) -> Result<Vec<Word>> {
        self.list(key, |scalar| scalar.to_word().map(Some))
    }

    /// A list of what `read` makes of each string: nothing, or `None` where it is none.
    fn list<T>(
        &self,
        key: &'static str,
        read: impl Fn(&Scalar) -> Option<Option<T>>,
    ) -> Result<Vec<T>> {
        let no_list = || self.bad(Bad::Key(key, "list of strings"));
        let scalars = match self.section.get(key).map(|item| item.body()) {
            None => &[],
            Some(Body::Array(array)) => array.scalars(),
            Some(Body::Scalar(scalar)) => std::slice::from_ref(scalar),
            Some(Body::Section(_)) => return Err(no_list()),
        };
        let mut list = Vec::with_capacity(scalars.len());
        for scalar in scalars {
            list.extend(read(scalar).ok_or_else(no_list)?);
        }
        Ok(list)
    }

    /// lvm2 does not check tags that it reads. One that it would not take from a user stays in the
    /// text and is not seen here.
    fn tags(&self) -> Result<Vec<Tag>> {
        self.list("tags", |scalar| Some(scalar.as_str()?.parse().ok()))
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
        Self::checked(text, &Known::default())
    }

    /// The same for a text that was made from that of `old`: what both share is not read again.
    pub(in crate::lvm2) fn from_changed(text: Document, old: &Self) -> Result<Self> {
        let known = Known::of(old, &text);
        Self::checked(text, &known)
    }

    fn checked(text: Document, known: &Known<'_>) -> Result<Self> {
        let vg = Self::read(&text, known)?;
        let vg = Self { text, ..vg };
        validate::structure(&vg).map_err(|e| e.with_kind(ErrorKind::Corrupt))?;
        Ok(vg)
    }

    fn read(text: &Document, known: &Known<'_>) -> Result<Self> {
        check_header(text)?;
        let (name, section) = text.vg().ok_or_else(|| corrupt(Bad::NoGroup))?;
        let name: VgName = name.parse().map_err(|bad| corrupt(Bad::Name(bad)))?;
        let place = format!("volume group {name}");
        let at = At { section, name: &place };
        check_group_keys(section).map_err(|bad| at.bad(bad))?;
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
            lvs: read_lvs(at, &name, &pvs, known)?,
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

/// Sections that lvm2 would merge, or make of a path, are not seen where this program looks: what
/// they hold would pass for free.
fn check_keys(section: &Section) -> std::result::Result<(), Bad> {
    check_own_keys(section)?;
    section.items().iter().filter_map(Item::section).try_for_each(check_keys)
}

/// All but those inside the logical volumes, which [`read_lvs`] checks one by one.
fn check_group_keys(group: &Section) -> std::result::Result<(), Bad> {
    check_own_keys(group)?;
    group.sections().try_for_each(|(key, inside)| match &*key {
        LVS => check_own_keys(inside),
        _ => check_keys(inside),
    })
}

fn check_own_keys(section: &Section) -> std::result::Result<(), Bad> {
    let mut sections = 0usize;
    for item in section.items() {
        if item.has_slash() {
            return Err(Bad::Slash(item.key().into_owned()));
        }
        sections = sections.saturating_add(usize::from(item.section().is_some()));
    }
    if sections < 2 {
        return Ok(());
    }
    // The names are anyone's: with a hash that is the same for all, chosen ones could all collide.
    let mut different = HashSet::with_capacity(sections);
    if section.sections().all(|(key, _)| different.insert(key)) {
        return Ok(());
    }
    let mut seen: Vec<Cow<'_, str>> = section.sections().map(|(key, _)| key).collect();
    seen.sort_unstable();
    let twice = seen.windows(2).find(|pair| pair.first() == pair.last());
    match twice.and_then(|pair| pair.first()) {
        Some(key) => Err(Bad::TwoSections(key.clone().into_owned())),
        None => Ok(()),
    }
}

/// What was read before, of a text that the new one was made from.
#[derive(Default)]
struct Known<'a> {
    lvs: Vec<(&'a Section, &'a Arc<Lv>)>,
}

impl<'a> Known<'a> {
    /// Nothing where the physical volumes differ: how a segment of an unknown type is read
    /// depends on their names.
    fn of(old: &'a Vg, new: &Document) -> Self {
        let pvs = |text: &'a Document| text.vg().and_then(|(_, vg)| vg.section("physical_volumes"));
        let new_pvs = new.vg().and_then(|(_, vg)| vg.section("physical_volumes"));
        let same = match (pvs(&old.text), new_pvs) {
            (Some(old), Some(new)) => old.is_shared_with(new),
            _ => false,
        };
        let sections = old.text.vg().and_then(|(_, vg)| vg.section(LVS)).filter(|_| same);
        let sections = sections.into_iter().flat_map(Section::sections).map(|(_, lv)| lv);
        Self { lvs: sections.zip(&old.lvs).collect() }
    }

    /// What was read of this section under this name. Sections keep their order, so what is
    /// looked for is mostly the first that is `left`.
    fn lv(&self, name: &str, section: &Section, left: &mut usize) -> Option<Arc<Lv>> {
        let rest = self.lvs.get(*left..).unwrap_or_default();
        let is_it = |(old, lv): &(&Section, &Arc<Lv>)| {
            old.is_shared_with(section) && lv.name.as_str() == name
        };
        let index = rest.iter().position(is_it)?;
        let (_, lv) = rest.get(index)?;
        *left = left.saturating_add(index).saturating_add(1);
        Some(Arc::clone(lv))
    }
}

fn read_pvs(vg: At<'_>, name: &VgName) -> Result<Vec<Pv>> {
    let sections = vg.sections("physical_volumes");
    let pvs = sections.map(|(label, section)| {
        let place = format!("{label} of volume group {name}");
        let at = At { section, name: &place };
        read_pv(at, &label)
    });
    pvs.collect()
}

fn read_pv(at: At<'_>, label: &str) -> Result<Pv> {
    let size = at.number_if("dev_size")?;
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

fn read_lvs(vg: At<'_>, name: &VgName, pvs: &[Pv], known: &Known<'_>) -> Result<Vec<Arc<Lv>>> {
    let labels: HashSet<&str> = pvs.iter().map(|pv| &*pv.label).collect();
    let mut left = 0;
    let lvs = vg.sections(LVS).map(|(key, section)| {
        if let Some(lv) = known.lv(&key, section, &mut left) {
            return Ok(lv);
        }
        let place = LvPlace { vg: name, lv: &key };
        let at = At { section, name: &place };
        check_keys(section).map_err(|bad| at.bad(bad))?;
        read_lv(at, &key, &labels).map(Arc::new)
    });
    lvs.collect()
}

/// What a volume is called in a message.
struct LvPlace<'a> {
    vg: &'a VgName,
    lv: &'a str,
}

impl fmt::Display for LvPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume {}/{}", self.vg, self.lv)
    }
}

fn read_lv(at: At<'_>, name: &str, labels: &HashSet<&str>) -> Result<Lv> {
    let time = at.number_if("creation_time")?;
    let status = at.words("status")?;
    Ok(Lv {
        name: name.parse().map_err(|bad| at.bad(Bad::Name(bad)))?,
        id: at.parsed("id")?,
        flags: at.words("flags")?,
        tags: at.tags()?,
        creation_time: time.and_then(|time| i64::try_from(time).ok()),
        fixed_minor: fixed_minor(at, &status)?,
        status,
        segments: segment::read_segments(at, labels)?,
    })
}

fn fixed_minor(at: At<'_>, status: &[Word]) -> Result<Option<(u32, u32)>> {
    if !has(status, "FIXED_MINOR") || at.section.get("minor").is_none() {
        return Ok(None);
    }
    let part = |key| {
        let number = at.section.int(key).unwrap_or(-1);
        u32::try_from(number).map_err(|_| at.bad(Bad::Range(key)))
    };
    Ok(Some((part("major")?, part("minor")?)))
}
