//! Stands in for the parser and the editor until they are merged: then this file goes.

use crate::error::{Error, ErrorKind, Result};
use crate::name::LvmId;
use crate::units::{Extents, Sectors};

use super::model::{Pv, Vg};
use super::text::Document;

fn bad(why: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, why).op("read the metadata text")
}

fn value<'t>(line: &'t str, key: &str) -> Option<&'t str> {
    line.strip_prefix(key)?.strip_prefix(" = ").map(|value| value.trim_matches('"'))
}

impl Vg {
    /// Name, id, seqno and physical volumes; nothing else.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let name = lines.next().and_then(|line| line.strip_suffix(" {")).ok_or(bad("no name"))?;
        let mut vg = Self {
            name: name.parse()?,
            id: LvmId::from_bytes([b'a'; 32])?,
            seqno: 0,
            status: Vec::new(),
            flags: Vec::new(),
            tags: Vec::new(),
            system_id: None,
            lock_type: None,
            extent_size: Sectors::new(8192),
            max_lv: 0,
            pvs: Vec::new(),
            lvs: Vec::new(),
            text: Document::default(),
        };
        let mut label = None;
        let mut have_id = false;
        for line in lines {
            if line.starts_with("logical_volumes") {
                break;
            }
            if let Some(section) = line.strip_suffix(" {") {
                label = Some(section);
            } else if let Some(id) = value(line, "id") {
                match label.filter(|_| have_id) {
                    None => vg.id = id.parse()?,
                    Some(label) => vg.pvs.push(pv(label, id.parse()?)),
                }
                have_id = true;
            } else if let Some(seqno) = value(line, "seqno") {
                vg.seqno = seqno.parse().map_err(|_| bad("no seqno"))?;
            } else if let (Some(flags), Some(pv)) = (value(line, "flags"), vg.pvs.last_mut()) {
                pv.flags =
                    flags.contains("MISSING").then(|| "MISSING".into()).into_iter().collect();
            }
        }
        if have_id { Ok(vg) } else { Err(bad("no id")) }
    }
}

fn pv(label: &str, id: LvmId) -> Pv {
    Pv {
        label: label.into(),
        id,
        device: None,
        status: Vec::new(),
        flags: Vec::new(),
        tags: Vec::new(),
        dev_size: None,
        pe_start: Sectors::new(2048),
        pe_count: Extents::new(10),
    }
}

/// A checked text that may be committed.
#[derive(Debug, Clone)]
pub struct NewVg {
    vg: Vg,
    text: String,
}

impl NewVg {
    /// For tests.
    #[cfg(test)]
    pub(crate) fn of_text(text: String) -> Result<Self> {
        Ok(Self { vg: Vg::parse(&text)?, text })
    }

    /// What the text says.
    pub fn vg(&self) -> &Vg {
        &self.vg
    }

    /// The group, once it is committed.
    pub fn into_vg(self) -> Vg {
        self.vg
    }

    /// The text, without the final NUL.
    pub fn text(&self) -> &str {
        &self.text
    }
}
