//! A group as it was seen, to be looked for first where it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dev::Dev;
use crate::error::Result;
use crate::units::Bytes;

use super::super::label::PvLabel;
use super::super::model::Vg;
use super::device::Source;
use super::{Group, Member, MetadataCopy, Reread, TextId};

/// A whole group without its devices. It proves nothing: [`again`](Self::again) holds it against
/// the disks.
#[derive(Clone, Debug)]
pub struct Remembered {
    vg: Arc<Vg>,
    current: TextId,
    places: Vec<Place>,
}

/// A physical volume as it was.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    size: Bytes,
    label: PvLabel,
    mdas: Vec<MetadataCopy>,
}

impl Group {
    /// What is to be remembered of it; nothing where anything is odd about it.
    pub fn remember(&self) -> Option<Remembered> {
        let place = |member: &Member| Place {
            path: member.path.clone(),
            size: member.dev.size(),
            label: member.label.clone(),
            mdas: member.mdas.clone(),
        };
        self.problems.is_empty().then(|| Remembered {
            vg: Arc::clone(&self.vg),
            current: self.current,
            places: self.members.iter().map(place).collect(),
        })
    }
}

impl Remembered {
    /// The group as it is on the disks, where the same labels are on the same paths: what it was
    /// if each metadata area has the same text in force by offset, size and checksum (no text is
    /// read for that: one that is in force is never written over), else what its disks say now.
    /// Nothing where it is on other disks now, or anything is odd about it.
    pub fn again(&self, open: &dyn Fn(&Path) -> Result<Arc<dyn Dev>>) -> Option<Group> {
        let mut is_same = true;
        let mut find = |place: &Place| {
            let (member, same) = place.again(open)?;
            is_same &= same;
            Some(member)
        };
        let members = self.places.iter().map(&mut find).collect::<Option<_>>()?;
        let (vg, current) = (Arc::clone(&self.vg), self.current);
        let mut group = Group { vg, current, members, problems: Vec::new() };
        if is_same {
            return Some(group);
        }
        let read = group.reread().ok()?;
        (read != Reread::ScanAgain && group.problems.is_empty()).then_some(group)
    }
}

impl Place {
    /// The physical volume, and whether the texts in force in its metadata areas are those that
    /// were; where they are not, its headers are as they were.
    fn again(&self, open: &dyn Fn(&Path) -> Result<Arc<dyn Dev>>) -> Option<(Member, bool)> {
        let dev = open(&self.path).ok().filter(|dev| dev.size() == self.size)?;
        let source = Source::open(dev.as_ref()).ok()?;
        let label = source.label().ok()??;
        let copies = self.mdas.iter().map(|copy| same_text(copy, &source));
        let now: Option<Vec<_>> = copies.collect();
        let is_same = now.is_some();
        let (path, mdas) = (self.path.clone(), now.unwrap_or_else(|| self.mdas.clone()));
        (label == self.label).then(|| (Member { path, dev, label, mdas }, is_same))
    }
}

/// The metadata area as it is now, where the text in force in it is the one that was.
fn same_text(copy: &MetadataCopy, source: &Source<'_>) -> Option<MetadataCopy> {
    let now = source.header(copy.area).ok()?;
    let same = copy.header.is_some_and(|seen| now.committed() == seen.committed());
    same.then(|| MetadataCopy { header: Some(now), ..copy.clone() })
}
