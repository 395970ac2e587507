//! A group as it was seen, to be looked for first where it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dev::Dev;
use crate::error::Result;
use crate::units::Bytes;

use super::super::label::PvLabel;
use super::super::model::Vg;
use super::device::Source;
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
    /// The group as it is on the disks, where it is as it was: the same labels on the same paths,
    /// and in each metadata area the same text in force by offset, size and checksum. No text is
    /// read for that: one that is in force is never written over.
    pub fn again(&self, open: &dyn Fn(&Path) -> Result<Arc<dyn Dev>>) -> Option<Group> {
        let members = self.places.iter().map(|place| place.again(open)).collect::<Option<_>>()?;
        let (vg, current) = (Arc::clone(&self.vg), self.current);
        Some(Group { vg, current, members, problems: Vec::new() })
    }
}

impl Place {
    fn again(&self, open: &dyn Fn(&Path) -> Result<Arc<dyn Dev>>) -> Option<Member> {
        let dev = open(&self.path).ok().filter(|dev| dev.size() == self.size)?;
        let source = Source::open(dev.as_ref()).ok()?;
        let label = source.label().ok()??;
        let copies = self.mdas.iter().map(|copy| same_text(copy, &source));
        let mdas = copies.collect::<Option<_>>()?;
        let path = self.path.clone();
        (label == self.label).then(|| Member { path, dev, label, mdas })
    }
}

/// The metadata area as it is now, where the text in force in it is the one that was.
fn same_text(copy: &MetadataCopy, source: &Source<'_>) -> Option<MetadataCopy> {
    let now = source.header(copy.area).ok()?;
    let same = copy.header.is_some_and(|seen| now.committed() == seen.committed());
    same.then(|| MetadataCopy { header: Some(now), ..copy.clone() })
}
