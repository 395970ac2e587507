//! The text of a volume group: a lossless tree, a reader and two printers.
//!
//! Order, unknown keys and sections, the sort of each value and its quotes survive a parse and a
//! print. Comments inside a section are not kept: lvm2 generates them, and so does
//! [`Style::Backup`].

mod comment;
mod parse;
mod print;
mod seen;
mod slice;
#[cfg(test)]
mod tests;
mod trailer;
mod tree;

pub use trailer::Stamp;
pub(crate) use tree::quote;
pub use tree::{Array, Body, Item, Scalar, Section};

use crate::Result;
use slice::Slice;

/// How a text is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As in a metadata area: no indentation, no comments in the group, the group first. A volume that was read
    /// from such an area stays as it was there.
    Disk,
    /// As `vgcfgbackup` writes it: the trailer first, tabs, sizes and dates (in UTC) in comments.
    Backup,
}

/// A line of the top level, other than the group's section.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Empty,
    Comment(Slice),
    /// An item, and the comment behind it with the white space between.
    Item(Item, Option<Slice>),
}

/// A text as a tree: the first section, which is the volume group, and what stands around it.
///
/// A clone is cheap: sections are shared until one side changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    vg: Option<Item>,
    /// `contents`, `description` and so on: behind the group on disk, before it in a backup.
    trailer: Vec<Line>,
}

impl Document {
    /// Reads a text, up to a NUL where it has one. Also fit for lvm.conf, which has the same
    /// grammar.
    ///
    /// # Errors
    /// `Corrupt`, with the line and the byte.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text.into(), None)
    }

    /// The same without a copy. Where much may be as in an old text, that is shared with it then.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub(crate) fn read(text: Box<str>, old: Option<&Self>) -> Result<Self> {
        parse::document(text, old)
    }

    /// The text, without a NUL.
    pub fn print(&self, style: Style) -> String {
        print::document(self, style)
    }

    /// The volume group's section and its name: the first section of the text.
    pub fn vg(&self) -> Option<(std::borrow::Cow<'_, str>, &Section)> {
        let item = self.vg.as_ref()?;
        Some((item.key(), item.section()?))
    }

    /// The volume group's section, to be changed.
    pub(crate) fn vg_mut(&mut self) -> Option<&mut Section> {
        if let Body::Section(section) = &mut self.vg.as_mut()?.body { Some(section) } else { None }
    }

    /// The items of the top level, the group first.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        let trailer = self
            .trailer
            .iter()
            .filter_map(|line| if let Line::Item(item, _) = line { Some(item) } else { None });
        self.vg.iter().chain(trailer)
    }

    /// The first item at a path such as `global/locking_dir`, also where the text itself writes
    /// the path as its key.
    pub fn find(&self, path: &str) -> Option<&Item> {
        let (first, rest) = match path.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        let inside = |item: &Item| item.key() == first && item.section().is_some();
        let direct = self.items().find(|item| item.key() == path);
        direct.or_else(|| {
            let rest = rest?;
            let mut sections = self.items().filter(|item| inside(item));
            sections.find_map(|item| item.section()?.get(rest))
        })
    }
}

impl Item {
    /// Reads one item from a text that this program made.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        parse::item(text)
    }
}
