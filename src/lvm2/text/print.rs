//! The printers: the text as on disk, and as vgcfgbackup writes it.

use super::comment;
use super::tree::{Array, Body, Gap, Item, Kind, Scalar, Section};
use super::{Document, Line, Style};

/// Comments start at this tab stop where the line is short enough.
const COMMENT_TAB: usize = 6;

/// Where an item stands; decides which comment belongs to it.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Top,
    Vg,
    PvList,
    Pv,
    LvList,
    Lv,
    PoolSegment,
    StripedSegment,
    OtherSegment,
    HistoryList,
    History,
    Other,
}

impl Place {
    /// The place inside the section `key` at this place.
    fn inside(self, key: &str, section: &Section) -> Self {
        match (self, key) {
            (Self::Vg, "physical_volumes") => Self::PvList,
            (Self::Vg, "logical_volumes") => Self::LvList,
            (Self::Vg, "historical_logical_volumes") => Self::HistoryList,
            (Self::PvList, _) => Self::Pv,
            (Self::LvList, _) => Self::Lv,
            (Self::HistoryList, _) => Self::History,
            (Self::Lv, _) => Self::segment(section),
            _ => Self::Other,
        }
    }

    fn segment(section: &Section) -> Self {
        let kind = section.str("type").unwrap_or_default();
        match kind.split('+').next() {
            Some("thin-pool") => Self::PoolSegment,
            Some("striped") => Self::StripedSegment,
            _ => Self::OtherSegment,
        }
    }

    const fn is_segment(self) -> bool {
        matches!(self, Self::PoolSegment | Self::StripedSegment | Self::OtherSegment)
    }
}

struct Printer {
    out: String,
    style: Style,
    depth: usize,
    extent_size: u64,
}

/// Prints a whole text.
pub(super) fn document(document: &Document, style: Style) -> String {
    let extent_size = document.vg().and_then(|(_, vg)| positive(vg.int("extent_size")));
    let mut printer = Printer {
        out: String::with_capacity(likely_len(document)),
        style,
        depth: 0,
        extent_size: extent_size.unwrap_or(0),
    };
    printer.document(document);
    printer.out
}

/// About as many bytes as a text will have: one that grows is copied again and again.
fn likely_len(document: &Document) -> usize {
    const OTHER: usize = 4096;
    const VOLUME: usize = 512;
    let lvs = document.vg().and_then(|(_, vg)| vg.section("logical_volumes"));
    let count = lvs.map_or(0, |lvs| lvs.items().len());
    count.saturating_mul(VOLUME).saturating_add(OTHER)
}

fn positive(number: Option<i64>) -> Option<u64> {
    number.and_then(|n| u64::try_from(n).ok())
}

/// What stands between two array elements, without the comma.
const fn separator(gap: Gap) -> &'static str {
    if matches!(gap, Gap::Space) { " " } else { "" }
}

impl Printer {
    fn document(&mut self, document: &Document) {
        let trailer = &document.trailer;
        // The group is the first section of all: any other stays behind it.
        let first = |line: &Line| matches!(line, Line::Item(item, _) if item.section().is_some());
        let split = match self.style {
            Style::Disk => 0,
            Style::Backup => trailer.iter().position(first).unwrap_or(trailer.len()),
        };
        trailer.iter().take(split).for_each(|line| self.line(line));
        if let Some(vg) = &document.vg {
            self.item(vg, Place::Top, None);
        }
        trailer.iter().skip(split).for_each(|line| self.line(line));
    }

    fn line(&mut self, line: &Line) {
        match line {
            Line::Empty => self.out.push('\n'),
            Line::Comment(text) => {
                self.out.push_str(text.as_str());
                self.out.push('\n');
            }
            Line::Item(item, comment) => {
                self.item(item, Place::Other, comment.as_ref().map(super::slice::Slice::as_str));
            }
        }
    }

    fn indent(&mut self) {
        if self.style == Style::Backup {
            self.tabs(self.depth);
        }
    }

    fn tabs(&mut self, count: usize) {
        const TABS: &str = "\t\t\t\t\t\t\t\t";
        let mut left = count;
        while left > 0 {
            let some = left.min(TABS.len());
            self.out.push_str(TABS.get(..some).unwrap_or(TABS));
            left = left.saturating_sub(some);
        }
    }

    fn blanks(&mut self, count: u16) {
        self.out.extend(std::iter::repeat_n('\n', usize::from(count)));
    }

    /// One item at `place`; `comment` is kept text behind it.
    fn item(&mut self, item: &Item, place: Place, comment: Option<&str>) {
        self.blanks(item.blanks);
        self.indent();
        let start = self.out.len();
        self.out.push_str(item.key.as_str());
        match &item.body {
            Body::Section(section) => self.section(item, section, place),
            Body::Scalar(scalar) => {
                self.equals(item);
                self.out.push_str(scalar.raw());
            }
            Body::Array(array) => {
                self.equals(item);
                self.array(array);
            }
        }
        self.out.push_str(comment.unwrap_or_default());
        if self.style == Style::Backup {
            self.generated(item, place, start);
        }
        self.out.push('\n');
    }

    fn equals(&mut self, item: &Item) {
        self.out.push_str(if item.tight { "=" } else { " = " });
    }

    fn section(&mut self, item: &Item, section: &Section, place: Place) {
        self.out.push_str(" {");
        let inside =
            if place == Place::Top { Place::Vg } else { place.inside(&item.key(), section) };
        if let (Place::Lv, Some(known)) = (inside, self.known(section)) {
            self.out.push_str(known);
            return;
        }
        let start = self.out.len();
        self.out.push('\n');
        self.depth = self.depth.saturating_add(1);
        for item in section.items() {
            self.item(item, inside, None);
        }
        self.depth = self.depth.saturating_sub(1);
        self.blanks(section.close_blanks);
        self.indent();
        self.out.push('}');
        if inside == Place::Lv {
            self.remember(section, start);
        }
    }

    /// A volume as it was read or printed before.
    fn known<'s>(&self, section: &'s Section) -> Option<&'s str> {
        let texts = section.texts();
        match self.style {
            Style::Disk => texts.on_disk(),
            Style::Backup => {
                let known = texts.backup.get().filter(|(size, _)| *size == self.extent_size);
                known.map(|(_, text)| text.as_ref())
            }
        }
    }

    fn remember(&self, section: &Section, start: usize) {
        let text = || self.out.get(start..).unwrap_or_default().into();
        match self.style {
            Style::Disk => {
                section.texts().disk.get_or_init(text);
            }
            Style::Backup => {
                section.texts().backup.get_or_init(|| (self.extent_size, text()));
            }
        }
    }

    fn array(&mut self, array: &Array) {
        self.out.push('[');
        self.depth = self.depth.saturating_add(1);
        let mut last = None;
        for scalar in array.scalars() {
            self.element(scalar, last);
            last = Some(scalar.kind);
        }
        self.depth = self.depth.saturating_sub(1);
        self.gap(array.close);
        self.out.push(']');
    }

    fn element(&mut self, scalar: &Scalar, last: Option<Kind>) {
        match last {
            None => (),
            // A bare word would take the comma with it.
            Some(Kind::Bare) => self.out.push_str(" ,"),
            Some(_) => self.out.push(','),
        }
        self.gap(scalar.gap);
        self.out.push_str(scalar.raw());
    }

    fn gap(&mut self, gap: Gap) {
        if gap == Gap::Line {
            self.out.push('\n');
            self.indent();
        }
        self.out.push_str(separator(gap));
    }

    /// The comment that lvm2 puts behind such an item, lined up as it does.
    fn generated(&mut self, item: &Item, place: Place, start: usize) {
        let Some(comment) = self.comment(item, place) else { return };
        let width =
            self.out.len().saturating_sub(start).saturating_add(self.depth.saturating_mul(8));
        let tabs = COMMENT_TAB.saturating_sub(width / 8).saturating_sub(1).max(1);
        self.tabs(tabs);
        self.out.push_str(&comment);
    }

    fn comment(&self, item: &Item, place: Place) -> Option<String> {
        let (key, scalar) = (item.key(), item.scalar()?);
        let number = scalar.as_int();
        let sectors = || positive(number).map(comment::size);
        let extents =
            || positive(number).map(|n| comment::size(n.saturating_mul(self.extent_size)));
        match (place, &*key) {
            (Place::Vg, "format") => Some("# informational".to_owned()),
            (Place::Pv, "device") => Some("# Hint only".to_owned()),
            (Place::Vg, "extent_size")
            | (Place::Pv, "dev_size" | "ba_size")
            | (Place::PoolSegment, "chunk_size")
            | (Place::StripedSegment, "stripe_size") => sectors(),
            (Place::Pv, "pe_count") => extents(),
            (at, "extent_count" | "reshape_count" | "extents_moved") if at.is_segment() => {
                extents()
            }
            (Place::StripedSegment, "stripe_count") if number == Some(1) => {
                Some("# linear".to_owned())
            }
            (Place::Lv | Place::History, "creation_time" | "removal_time") => {
                comment::date(number?)
            }
            (Place::Lv, "read_ahead") if number == Some(-1) => Some("# None".to_owned()),
            _ => None,
        }
    }
}
