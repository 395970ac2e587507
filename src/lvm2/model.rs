//! A volume group as values: what the text says, typed and checked.

mod read;
mod refuse;
mod space;
#[cfg(test)]
mod tests;

pub use space::{PvMap, Run};

use std::borrow::Cow;
use std::sync::Arc;

use super::text::{Document, Style};
use crate::Result;
use crate::name::{LvName, LvmId, Tag, VgName};
use crate::units::{Extents, Sectors};

/// A word of a list that lvm2 writes: most are known to this program, and not copied.
pub type Word = Cow<'static, str>;

/// A volume group, as one text describes it.
///
/// Immutable: [`Vg::edit`] starts a change. It carries the text that it was
/// read from, so nothing that this program does not know is ever lost.
#[derive(Clone, Debug)]
pub struct Vg {
    /// Its name: the key of the text's first section.
    pub name: VgName,
    /// `id`.
    pub id: LvmId,
    /// `seqno`: goes up by exactly one with each commit.
    pub seqno: u64,
    /// `status`, as written.
    pub status: Vec<Word>,
    /// `flags`, as written.
    pub flags: Vec<Word>,
    /// `tags`.
    pub tags: Vec<Tag>,
    /// `system_id`, where set and not empty.
    pub system_id: Option<Box<str>>,
    /// `lock_type`, where set and not `none`.
    pub lock_type: Option<Box<str>>,
    /// `extent_size`.
    pub extent_size: Sectors,
    /// `max_lv`: 0 is unlimited.
    pub max_lv: u64,
    /// `max_pv`: 0 is unlimited.
    pub max_pv: u64,
    /// Physical volumes in the text's order.
    pub pvs: Vec<Pv>,
    /// Logical volumes in the text's order, hidden ones included. An edit shares those that it
    /// does not touch.
    pub lvs: Vec<Arc<Lv>>,
    pub(crate) text: Document,
}

/// A physical volume of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pv {
    /// The section's name, `pv0`: positional, lvm2 renumbers at each write. Never store it.
    pub label: Box<str>,
    /// `id`.
    pub id: LvmId,
    /// `device`: the path it was last seen at. A hint only.
    pub device: Option<Box<str>>,
    /// `status`, as written.
    pub status: Vec<Word>,
    /// `flags`, as written.
    pub flags: Vec<Word>,
    /// `tags`.
    pub tags: Vec<Tag>,
    /// `dev_size`: the whole device; absent in ancient texts.
    pub dev_size: Option<Sectors>,
    /// `pe_start`: where extent 0 begins.
    pub pe_start: Sectors,
    /// `pe_count`.
    pub pe_count: Extents,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lv {
    /// Its name.
    pub name: LvName,
    /// `id`.
    pub id: LvmId,
    /// `status`, as written: READ, WRITE, VISIBLE and so on.
    pub status: Vec<Word>,
    /// `flags`, as written: ACTIVATION_SKIP and so on.
    pub flags: Vec<Word>,
    /// `tags`.
    pub tags: Vec<Tag>,
    /// `creation_time`, in seconds since 1970.
    pub creation_time: Option<i64>,
    /// `major` and `minor`, where FIXED_MINOR is set.
    pub fixed_minor: Option<(u32, u32)>,
    /// Segments in order, contiguous from extent 0.
    pub segments: Vec<Segment>,
}

/// A run of a logical volume's extents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// `start_extent`.
    pub start: Extents,
    /// `extent_count`.
    pub count: Extents,
    /// `tags`.
    pub tags: Vec<Tag>,
    /// `type` and what belongs to it.
    pub kind: SegmentKind,
}

/// What a segment is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// `striped`; with one area it is lvm2's linear.
    Striped(Striped),
    /// `thin-pool`.
    ThinPool(ThinPool),
    /// `thin`.
    Thin(Thin),
    /// `error` or `zero`, or a type that this program knows of but does not drive
    /// (raid, mirror, cache, snapshot and the like).
    Known {
        /// The type's name, without flags.
        name: Box<str>,
        /// Extents of physical volumes that it holds.
        areas: Vec<Area>,
    },
    /// A type, or a `+FLAG` of one, that this program has never heard of: the group is not written.
    Unknown {
        /// As written.
        name: Box<str>,
        /// Extents of physical volumes that it seems to hold.
        areas: Vec<Area>,
    },
}

/// Where an area of a segment lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// The section name of a physical volume, or the name of a logical one.
    pub on: Box<str>,
    /// Its first extent there.
    pub start: Extents,
    /// How many extents.
    pub count: Extents,
}

/// `striped`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Striped {
    /// `stripe_size`; zero for a single area.
    pub stripe_size: Sectors,
    /// `stripes`: one area for each; never empty.
    pub areas: Vec<Area>,
}

/// `discards` of a thin pool. Absent in the text means [`Discards::Ignore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discards {
    /// `ignore`.
    Ignore,
    /// `nopassdown`.
    NoPassdown,
    /// `passdown`.
    Passdown,
}

/// `thin-pool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinPool {
    /// `metadata`: the volume that holds the pool's metadata.
    pub metadata: LvName,
    /// `pool`: the volume that holds its data.
    pub data: LvName,
    /// `transaction_id`.
    pub transaction_id: u64,
    /// `chunk_size`.
    pub chunk_size: Sectors,
    /// `discards`.
    pub discards: Discards,
    /// `zero_new_blocks`; absent means false.
    pub zero_new_blocks: bool,
    /// `crop_metadata`; absent means false.
    pub crop_metadata: bool,
    /// `messageN` sections: what the pool was still to be told when this text was written.
    pub messages: Vec<Message>,
}

/// A pending message of a thin pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// `create`: make the thin device of this volume (a snapshot where it has an origin).
    Create(LvName),
    /// `delete`: remove this thin device id.
    Delete(u32),
}

/// `thin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thin {
    /// `thin_pool`.
    pub pool: LvName,
    /// `transaction_id`: the pool's at creation, before the increment.
    pub transaction_id: u64,
    /// `device_id`: below 2^24.
    pub device_id: u32,
    /// `origin`: the volume that it is a snapshot of; informational.
    pub origin: Option<LvName>,
    /// `external_origin`: a read-only volume outside the pool.
    pub external_origin: Option<LvName>,
    /// `merge`: it waits to be merged into this volume.
    pub merge: Option<LvName>,
}

/// True where `list` holds `word`.
fn has(list: &[Word], word: &str) -> bool {
    list.iter().any(|entry| entry == word)
}

impl Vg {
    /// Reads a text, on disk or of a backup.
    ///
    /// # Errors
    /// `Corrupt`, with the place, where it is no text or lvm2 would not take it for a group.
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_document(Document::parse(text)?)
    }

    /// The same without a copy. Where much may be as in what was read before, that is shared.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(in crate::lvm2) fn parse_own(text: Box<str>, old: Option<&Self>) -> Result<Self> {
        let document = Document::read(text, old.map(|old| &old.text))?;
        match old {
            Some(old) => Self::from_changed(document, old),
            None => Self::from_document(document),
        }
    }

    /// The text, without a NUL: that which it was read from.
    pub fn to_text(&self, style: Style) -> String {
        self.text.print(style)
    }

    /// The text as a tree.
    pub fn document(&self) -> &Document {
        &self.text
    }

    /// The logical volume of that name.
    pub fn lv(&self, name: &LvName) -> Option<&Lv> {
        self.lvs.iter().map(Arc::as_ref).find(|lv| lv.name == *name)
    }

    /// The physical volume with that section name.
    pub fn pv(&self, label: &str) -> Option<&Pv> {
        self.pvs.iter().find(|pv| &*pv.label == label)
    }

    /// True where the group has this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|t| *t == tag)
    }

    /// True where `status` holds this word.
    pub fn has_status(&self, word: &str) -> bool {
        has(&self.status, word)
    }

    /// The thin pool segment of the volume of that name.
    pub fn thin_pool(&self, name: &LvName) -> Option<&ThinPool> {
        self.lv(name)?.thin_pool()
    }

    /// The spare for repairing the metadata of pools: at most one in a group, hidden.
    pub fn pmspare(&self) -> Option<&Lv> {
        self.lvs.iter().map(Arc::as_ref).find(|lv| lv.is_pmspare())
    }

    /// All thin volumes of that pool, with their segment.
    pub fn thins<'a>(&'a self, pool: &'a LvName) -> impl Iterator<Item = (&'a Lv, &'a Thin)> + 'a {
        self.lvs.iter().filter_map(move |lv| {
            let thin = lv.thin()?;
            (thin.pool == *pool).then_some((lv.as_ref(), thin))
        })
    }
}

impl Pv {
    /// True where the text calls it missing, in either place that lvm2 has used.
    pub fn is_missing(&self) -> bool {
        has(&self.flags, "MISSING") || has(&self.status, "MISSING")
    }

    /// True where new extents may be taken from it.
    pub fn is_allocatable(&self) -> bool {
        has(&self.status, "ALLOCATABLE")
    }
}

impl Lv {
    /// Its size.
    pub fn extents(&self) -> Extents {
        self.segments.iter().fold(Extents::ZERO, |sum, segment| sum.saturating_add(segment.count))
    }

    /// True where it may be written: WRITE, or WRITE_LOCKED, which lvm2 writes instead in a group
    /// with a system id.
    pub fn is_writable(&self) -> bool {
        has(&self.status, "WRITE") || has(&self.flags, "WRITE_LOCKED")
    }

    /// True where people see it; hidden ones are parts of others.
    pub fn is_visible(&self) -> bool {
        has(&self.status, "VISIBLE")
    }

    /// True where `flags` holds this word.
    pub fn has_flag(&self, word: &str) -> bool {
        has(&self.flags, word)
    }

    /// True where `status` holds this word.
    pub fn has_status(&self, word: &str) -> bool {
        has(&self.status, word)
    }

    /// True where it has this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|t| *t == tag)
    }

    /// True for the spare that lvm2 recognises by its name.
    pub fn is_pmspare(&self) -> bool {
        !self.is_visible() && self.name.as_str().contains("_pmspare")
    }

    /// Its thin pool segment, where it is a pool.
    pub fn thin_pool(&self) -> Option<&ThinPool> {
        match self.segments.first().map(|segment| &segment.kind) {
            Some(SegmentKind::ThinPool(pool)) => Some(pool),
            _ => None,
        }
    }

    /// Its thin segment, where it is a thin volume.
    pub fn thin(&self) -> Option<&Thin> {
        match self.segments.first().map(|segment| &segment.kind) {
            Some(SegmentKind::Thin(thin)) => Some(thin),
            _ => None,
        }
    }
}
