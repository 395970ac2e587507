//! A group as it was seen, to be looked for first where it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dev::Dev;
use crate::error::Result;
use crate::units::Bytes;

use super::super::label::PvLabel;
use super::super::model::Vg;
use super::device::{Scanner, Source};
use super::group::again_of;
use super::{Group, Member, MetadataCopy, TextId};

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
        let devices =
            self.places.iter().map(|place| place.open(open)).collect::<Option<Vec<_>>>()?;
        let sources = devices.iter().map(|dev| Source::open(dev.as_ref()).ok());
        let sources = sources.collect::<Option<Vec<_>>>()?;
        let places = || self.places.iter().zip(&devices).zip(&sources);
        if !places().all(|((place, _), source)| place.has_label(source)) {
            return None;
        }
        let same = places().map(|((place, dev), source)| place.as_it_was(dev, source));
        let (vg, current) = (Arc::clone(&self.vg), self.current);
        if let Some(members) = same.collect() {
            return Some(Group { vg, current, members, problems: Vec::new() });
        }
        let mut scanner = Scanner::again(&vg);
        for ((place, dev), source) in places() {
            scanner.look_at_head(source, &place.path, dev);
        }
        let group = again_of(&vg, scanner)?;
        group.problems.is_empty().then_some(group)
    }
}

impl Place {
    fn open(&self, open: &dyn Fn(&Path) -> Result<Arc<dyn Dev>>) -> Option<Arc<dyn Dev>> {
        open(&self.path).ok().filter(|dev| dev.size() == self.size)
    }

    fn has_label(&self, source: &Source<'_>) -> bool {
        source.label().is_ok_and(|label| label.as_ref() == Some(&self.label))
    }

    /// The physical volume, where the texts in force in its metadata areas are those that were.
    fn as_it_was(&self, dev: &Arc<dyn Dev>, source: &Source<'_>) -> Option<Member> {
        let copies = self.mdas.iter().map(|copy| same_text(copy, source));
        let mdas = copies.collect::<Option<_>>()?;
        let (path, label) = (self.path.clone(), self.label.clone());
        Some(Member { path, dev: Arc::clone(dev), label, mdas })
    }
}

/// The metadata area as it is now, where the text in force in it is the one that was.
fn same_text(copy: &MetadataCopy, source: &Source<'_>) -> Option<MetadataCopy> {
    let now = source.header(copy.area).ok()?;
    let same = copy.header.is_some_and(|seen| now.committed() == seen.committed());
    same.then(|| MetadataCopy { header: Some(now), ..copy.clone() })
}
