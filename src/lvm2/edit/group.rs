//! A new volume group.

use super::*;
use crate::lvm2::text::quote;
use crate::name::{LvmId, Tag, VgName};
use crate::units::{Extents, Sectors};

/// A volume group to be made.
#[derive(Clone, Debug)]
pub struct GroupSpec {
    /// Its name.
    pub name: VgName,
    /// Its identifier.
    pub id: LvmId,
    /// The size of its extents: lvm2's default is 4 MiB.
    pub extent_size: Sectors,
    /// Its physical volumes, at least one.
    pub pvs: Vec<PvSpec>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The system id of this host, where lvm2 is configured to give one to new groups.
    pub system_id: Option<String>,
}

/// A physical volume of a new group.
#[derive(Clone, Debug)]
pub struct PvSpec {
    /// Its identifier, as in its label.
    pub id: LvmId,
    /// The path it is at now.
    pub device: String,
    /// The whole device.
    pub dev_size: Sectors,
    /// Where extent 0 begins.
    pub pe_start: Sectors,
    /// How many extents it has.
    pub pe_count: Extents,
}

impl PvSpec {
    /// Where its last extent ends.
    fn end(&self, extent_size: Sectors) -> Sectors {
        self.pe_start.saturating_add(self.pe_count.sectors(extent_size))
    }
}

impl NewVg {
    /// A new group with the sequence number 1, as lvm2's vgcreate writes it.
    ///
    /// # Errors
    /// `Invalid` where lvm2 would not take it.
    pub fn create(spec: &GroupSpec, stamp: &Stamp) -> Result<Self> {
        let refuse = |why| {
            Error::new(ErrorKind::Invalid, why).at(format_args!("volume group {}", spec.name))
        };
        let size = spec.extent_size.get();
        // Linux's smallest extent is 1 KiB; lvm2 takes powers of two and multiples of 128 KiB.
        if size < 2 || !(size.is_power_of_two() || size.is_multiple_of(256)) {
            return Err(refuse(Refused::ExtentSize));
        }
        if spec.pvs.is_empty() {
            return Err(refuse(Refused::NoPvs));
        }
        let beyond = spec.pvs.iter().find(|pv| pv.end(spec.extent_size) > pv.dev_size);
        if let Some(pv) = beyond {
            return Err(refuse(Refused::Beyond(pv.pe_count.get(), pv.device.clone())));
        }
        let mut text = Document::parse(&group_text(spec))?;
        text.set_trailer(stamp);
        Self::seal(Vg::from_document(text)?)
    }
}

/// `["a", "b"]`
pub(super) fn list<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<_> = texts.into_iter().map(|text| quote(text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

fn group_text(spec: &GroupSpec) -> String {
    let (status, flags) = match spec.system_id {
        // To programs that know of no system ids such a group shall be read-only.
        Some(_) => (r#"["RESIZEABLE", "READ"]"#, r#"["WRITE_LOCKED"]"#),
        None => (r#"["RESIZEABLE", "READ", "WRITE"]"#, "[]"),
    };
    let tags = match spec.tags.is_empty() {
        true => String::new(),
        false => format!("tags = {}\n", list(&spec.tags)),
    };
    let system_id = spec.system_id.as_ref().map(|id| format!("system_id = {}\n", quote(id)));
    let pvs: String = spec.pvs.iter().enumerate().map(|(n, pv)| pv_text(n, pv)).collect();
    format!(
        "{} {{\nid = \"{}\"\nseqno = 1\nformat = \"lvm2\"\nstatus = {status}\nflags = {flags}\n\
         {tags}{}extent_size = {}\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n\n\
         physical_volumes {{\n{pvs}}}\n\n\n}}\n",
        spec.name,
        spec.id,
        system_id.unwrap_or_default(),
        spec.extent_size.get(),
    )
}

fn pv_text(index: usize, pv: &PvSpec) -> String {
    format!(
        "\npv{index} {{\nid = \"{}\"\ndevice = {}\n\nstatus = [\"ALLOCATABLE\"]\nflags = []\n\
         dev_size = {}\npe_start = {}\npe_count = {}\n}}\n",
        pv.id,
        quote(&pv.device),
        pv.dev_size.get(),
        pv.pe_start.get(),
        pv.pe_count.get(),
    )
}
