//! One device: label, headers, texts.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dev::{AlignedBuf, Dev};
use crate::error::{Error, ErrorKind, Result};
use crate::units::Bytes;

use super::super::crc::crc;
use super::super::label::{DiskLocn, LABEL_SCAN, PvLabel};
use super::super::mda::{MDA_HEADER_SIZE, Mda, RawLocn, RawMda};
use super::super::model::Vg;
use super::super::ring::Ring;
use super::before::{Before, before};
use super::{Content, Member, MetadataCopy, Newest, Problem, TextId};

/// Read of each device in one go: the label and the usual first area's header. Of a device that
/// is no physical volume nothing else is read.
const HEAD: u64 = 8 << 10;

/// What was seen so far.
#[derive(Default)]
pub(super) struct Scanner {
    pub(super) pvs: Vec<Member>,
    pub(super) newest: Newest,
    pub(super) problems: Vec<Problem>,
    /// Texts that were parsed already, by checksum and size: copies are parsed once.
    known: BTreeMap<(u32, u64), TextId>,
    /// A group as it was: what its text has still is shared with it.
    old: Option<Arc<Vg>>,
}

/// A device with its first bytes in memory.
pub(super) struct Source<'d> {
    dev: &'d dyn Dev,
    head: AlignedBuf,
}

impl<'d> Source<'d> {
    pub(super) fn open(dev: &'d dyn Dev) -> std::io::Result<Self> {
        let len = usize::try_from(dev.size().get().min(HEAD)).unwrap_or(0);
        Ok(Self { dev, head: dev.read_new(len, Bytes::ZERO)? })
    }

    /// Its label, where it has one.
    pub(super) fn label(&self) -> Result<Option<PvLabel>> {
        PvLabel::find(self.head.get(..LABEL_SCAN).unwrap_or(&self.head))
    }

    /// The header of an area that lies on the device.
    pub(super) fn header(&self, area: DiskLocn) -> Result<Mda> {
        let mut header = [0; 512];
        debug_assert_eq!(u64::try_from(header.len()), Ok(MDA_HEADER_SIZE));
        self.read(&mut header, area.offset)?;
        RawMda::new(header).verify(area)
    }

    pub(super) fn read(&self, buf: &mut [u8], at: Bytes) -> Result<()> {
        let start = usize::try_from(at.get()).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(buf.len())?));
        if let Some(known) = range.and_then(|range| self.head.get(range)) {
            buf.copy_from_slice(known);
            return Ok(());
        }
        self.dev.read_at(buf, at).map_err(|source| {
            Error::io(source).with_kind(ErrorKind::Io).at_byte(self.dev.name(), at)
        })
    }
}

impl Scanner {
    /// For the disks of this group.
    pub(super) fn again(old: &Arc<Vg>) -> Self {
        Self { old: Some(Arc::clone(old)), ..Self::default() }
    }

    /// Adds what `dev` holds.
    pub(super) fn look_at(&mut self, path: &Path, dev: &Arc<dyn Dev>) {
        match Source::open(dev.as_ref()) {
            Ok(source) => self.look_at_head(&source, path, dev),
            Err(error) => {
                self.problems
                    .push(Problem::Unreadable { path: path.into(), why: error.to_string() });
            }
        }
    }

    pub(super) fn look_at_head(&mut self, source: &Source<'_>, path: &Path, dev: &Arc<dyn Dev>) {
        match source.label() {
            Ok(None) => {}
            Ok(Some(label)) => {
                let mdas = self.copies(source, &label);
                let (path, dev) = (PathBuf::from(path), Arc::clone(dev));
                self.pvs.push(Member { path, dev, label, mdas });
            }
            Err(error) => {
                self.problems.push(Problem::BadLabel { path: path.into(), why: error.reason() });
            }
        }
    }

    /// All the label's areas; one that overlaps an earlier one is bad.
    fn copies(&mut self, source: &Source<'_>, label: &PvLabel) -> Vec<MetadataCopy> {
        let mut copies: Vec<MetadataCopy> = Vec::new();
        for area in &label.metadata_areas {
            let copy = match misplaced(area, &copies, source.dev.size()) {
                Some(why) => {
                    MetadataCopy { area: *area, header: None, content: Content::Bad(why.into()) }
                }
                None => self.copy(source, label, *area),
            };
            copies.push(copy);
        }
        copies
    }

    fn copy(&mut self, source: &Source<'_>, label: &PvLabel, area: DiskLocn) -> MetadataCopy {
        let (header, content) = match source.header(area) {
            Ok(header) => (Some(header), self.content(source, label, &header)),
            Err(error) => (None, failed(&error)),
        };
        MetadataCopy { area, header, content }
    }

    fn content(&mut self, source: &Source<'_>, label: &PvLabel, header: &Mda) -> Content {
        if header.is_ignored() {
            return Content::Ignored;
        }
        let Some(slot) = header.text() else {
            return Content::Empty;
        };
        match read_text(source, header, &slot) {
            Ok(bytes) => self.text(&slot, bytes),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                match before(source, label, header, &slot) {
                    Ok(Some(found)) => self.lost(found, &error),
                    Ok(None) => failed(&error),
                    Err(error) => failed(&error),
                }
            }
            Err(error) => failed(&error),
        }
    }

    /// A text that is lost, with the one before it.
    fn lost(&mut self, Before { slot, vg }: Before, error: &Error) -> Content {
        let RawLocn { size, checksum, .. } = slot;
        let before = TextId { vg: vg.id, seqno: vg.seqno, size, checksum };
        self.keep_newest(before, vg);
        Content::Lost { before, slot, why: error.reason() }
    }

    /// A text whose checksum holds.
    fn text(&mut self, slot: &RawLocn, bytes: Vec<u8>) -> Content {
        let key = (slot.checksum, slot.size);
        if let Some(known) = self.known.get(&key) {
            return Content::Text(*known);
        }
        match parse(bytes, self.old.as_deref()) {
            Ok(vg) => {
                let (checksum, size) = key;
                let id = TextId { vg: vg.id, seqno: vg.seqno, size, checksum };
                self.known.insert(key, id);
                self.keep_newest(id, vg);
                Content::Text(id)
            }
            Err(error) => Content::Unknown(error.reason()),
        }
    }

    /// Of two texts with the same seqno the first one seen stays, as with lvm2.
    fn keep_newest(&mut self, id: TextId, vg: Vg) {
        let older = self.newest.get(&id.vg).is_none_or(|(have, _)| have.seqno < id.seqno);
        if older {
            self.newest.insert(id.vg, (id, Arc::new(vg)));
        }
    }
}

/// A failure to read is not a bad checksum: the next try may give a newer text.
fn failed(error: &Error) -> Content {
    match error.kind() {
        ErrorKind::Corrupt => Content::Bad(error.reason()),
        ErrorKind::Unsupported => Content::Unknown(error.reason()),
        _ => Content::Unread(error.reason()),
    }
}

/// Why no area can be there.
fn misplaced(area: &DiskLocn, others: &[MetadataCopy], size: Bytes) -> Option<&'static str> {
    let labels = u64::try_from(LABEL_SCAN).unwrap_or(u64::MAX);
    if area.offset.get() < labels {
        return Some("the metadata area is said to lie in the label's sectors");
    }
    if area.end().is_none_or(|end| end > size) {
        return Some("the metadata area is said to end behind the device's end");
    }
    if others.iter().any(|other| other.area.overlaps(area)) {
        return Some("the metadata area overlaps another one of the device");
    }
    None
}

/// The committed header as it is on the device now: for a cheap look whether it has changed.
pub(super) fn header_now(dev: &dyn Dev, area: DiskLocn) -> Result<Mda> {
    Source { dev, head: AlignedBuf::default() }.header(area)
}

/// The bytes of a text, NUL included, with the right checksum.
fn read_text(source: &Source<'_>, header: &Mda, slot: &RawLocn) -> Result<Vec<u8>> {
    let pieces = Ring::of(header).pieces(slot)?;
    let mut bytes = vec![0; usize::try_from(slot.size).unwrap_or(0)];
    let mut rest = bytes.as_mut_slice();
    for piece in pieces.iter() {
        let len = usize::try_from(piece.len).unwrap_or(usize::MAX).min(rest.len());
        let (part, after) = rest.split_at_mut(len);
        source.read(part, header.at(piece.offset))?;
        rest = after;
    }
    let found = crc(&bytes);
    if found != slot.checksum {
        let why = format!(
            "the text's checksum is {found:08x}, not {:08x} as its header says",
            slot.checksum
        );
        return Err(Error::new(ErrorKind::Corrupt, why));
    }
    Ok(bytes)
}

/// The text ends at the first NUL. What is as in an `old` one is shared with it.
pub(super) fn parse(mut bytes: Vec<u8>, old: Option<&Vg>) -> Result<Vg> {
    let end = CStr::from_bytes_until_nul(&bytes).map_or(bytes.len(), CStr::count_bytes);
    bytes.truncate(end);
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::new(ErrorKind::Unsupported, "the text is not UTF-8"))?;
    Vg::parse_own(text.into_boxed_str(), old)
}
