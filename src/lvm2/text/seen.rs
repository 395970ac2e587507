//! What was read or printed before and may come again: neither is done twice.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use rustc_hash::FxHashMap;

use super::Document;
use super::parse::PVS;
use super::slice::Slice;
use super::tree::{Item, Section};

/// What stands between a volume's braces, the closing one with it, where it was read or printed
/// before: most volumes are the same from one text of a group to the next.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// As it was read.
    pub(super) read: Option<Slice>,
    /// As it is printed on disk.
    pub(super) disk: OnceLock<Box<str>>,
    /// As it is printed in a backup of a group with extents of so many sectors.
    pub(super) backup: OnceLock<(u64, Box<str>)>,
}

impl Texts {
    /// As it stands on disk, or would: what was read, but for what has a tab or what could be a comment, as
    /// backups do.
    pub(super) fn on_disk(&self) -> Option<&str> {
        let read = self.read.as_ref().map(Slice::as_str);
        let plain = read.filter(|text| memchr::memchr2(b'#', b'\t', text.as_bytes()).is_none());
        plain.or_else(|| self.disk.get().map(AsRef::as_ref))
    }
}

/// Sections that were read before, in their order, by their keys.
#[derive(Default)]
pub(super) struct Known<'k> {
    sections: Vec<(Cow<'k, str>, &'k Section)>,
    /// The one behind that which was met last.
    next: usize,
    /// Places among them, once one was not met in order.
    places: Option<FxHashMap<Cow<'k, str>, usize>>,
}

impl<'k> Known<'k> {
    /// The volumes and the physical volumes.
    pub(super) fn of(document: &'k Document) -> Self {
        let vg = document.vg().map(|(_, vg)| vg);
        let all = vg.into_iter().flat_map(Section::sections);
        let mut sections = Vec::new();
        for (key, list) in all {
            match &*key {
                PVS => sections.push((key, list)),
                _ => sections.extend(list.sections()),
            }
        }
        Self { sections, ..Self::default() }
    }

    /// The known section of that key, if `text` begins with it, and its length.
    pub(super) fn take(&mut self, key: &str, text: &str) -> Option<(Section, usize)> {
        let index = if self.sections.get(self.next).is_some_and(|(known, _)| known == key) {
            self.next
        } else {
            *self.places().get(key)?
        };
        let (_, section) = self.sections.get(index)?;
        let found = ((*section).clone(), section.len_in(text)?);
        self.next = index.saturating_add(1);
        Some(found)
    }

    fn places(&mut self) -> &FxHashMap<Cow<'k, str>, usize> {
        let sections = &self.sections;
        self.places.get_or_insert_with(|| {
            let keys = sections.iter().enumerate();
            keys.map(|(index, (key, _))| (key.clone(), index)).collect()
        })
    }
}

/// The section that was read last at its depth: most lines of a volume are those of the one
/// before it.
#[derive(Default)]
pub(super) struct Sibling {
    section: Section,
    /// Where in the text each of its items stands.
    places: Vec<Range<usize>>,
}

impl Sibling {
    /// Puts a newer one in its place.
    pub(super) fn replace(&mut self, section: Section, places: impl Iterator<Item = Range<usize>>) {
        self.section = section;
        self.places.clear();
        self.places.extend(places);
    }

    /// The item number `index` and its length, where `text` goes on at `at` with the same bytes and
    /// a line end. What it means ends there, whatever followed it in the sibling. Sections are never
    /// the same: what is in them is.
    pub(super) fn item(&self, index: usize, text: &str, at: usize) -> Option<(&Item, usize)> {
        let place = self.places.get(index)?;
        let line = text.as_bytes().get(place.clone())?;
        let rest = text.as_bytes().get(at..)?;
        let is_same = rest.get(line.len()) == Some(&b'\n') && rest.starts_with(line);
        let item = self.section.items().get(index).filter(|_| is_same)?;
        item.section().is_none().then_some((item, line.len()))
    }
}
