//! Names of volumes within the text, and their change.

use super::*;
use crate::lvm2::text::Item;
use crate::name::VgName;

/// Keys whose values are never names of volumes.
const NO_NAMES: [&str; 12] = [
    "id",
    "type",
    "discards",
    "tags",
    "status",
    "flags",
    "creation_host",
    "lock_args",
    "allocation_policy",
    "profile",
    "cache_mode",
    "policy",
];

/// True where a value in the section, or in one inside it, is one that `hit` holds for; keys that
/// `except` holds for are not looked at.
pub(super) fn names(
    section: &Section,
    hit: &dyn Fn(&str) -> bool,
    except: &dyn Fn(&str) -> bool,
) -> bool {
    let is = |scalar: &Scalar| scalar.as_str().is_some_and(|text| hit(&text));
    section.items().iter().any(|item| match item.body() {
        Body::Section(inside) => names(inside, hit, except),
        _ if NO_NAMES.contains(&&*item.key()) || except(&item.key()) => false,
        Body::Scalar(scalar) => is(scalar),
        Body::Array(array) => array.scalars().iter().any(is),
    })
}

/// Puts each value through `map`, sections within included; in an array, `None` takes it out.
pub(super) fn each_name(
    section: &mut Section,
    except: &dyn Fn(&str) -> bool,
    map: &mut dyn FnMut(&Scalar) -> Option<Scalar>,
) {
    for item in section.items_mut() {
        let skip = NO_NAMES.contains(&&*item.key()) || except(&item.key());
        match item.body_mut() {
            Body::Section(inside) => each_name(inside, except, map),
            _ if skip => (),
            Body::Scalar(scalar) => *scalar = map(scalar).unwrap_or_else(|| scalar.clone()),
            Body::Array(array) => array.map(map),
        }
    }
}

/// Puts `new` in the place of `old` wherever the section names it.
fn replace(section: &mut Section, old: &str, new: &str) {
    if !names(section, &|name| name == old, &|_| false) {
        return;
    }
    each_name(section, &|_| false, &mut |scalar| {
        let same = scalar.as_str().as_deref() == Some(old);
        Some(if same { scalar.renamed(new) } else { scalar.clone() })
    });
}

impl VgEdit {
    /// Renames a volume, and with a thin pool its metadata and data volumes. The spare keeps its
    /// name.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a part of another volume or a name that users may not choose;
    /// `Exists`.
    pub fn rename_lv(&mut self, old: &LvName, new: &LvName) -> Result<()> {
        let lv = self.lv(old)?;
        if !lv.is_visible() {
            return Err(self.error(ErrorKind::Invalid, old, Refused::Internal));
        }
        self.check_new(new, lv.thin_pool().map(|_| "tpool"))?;
        let mut pairs = vec![(old.clone(), new.clone())];
        if let Some(pool) = lv.thin_pool() {
            for part in [&pool.metadata, &pool.data] {
                let Some(suffix) = part.as_str().strip_prefix(old.as_str()) else { continue };
                pairs.push((part.clone(), new.internal(suffix)?));
            }
        }
        pairs.iter().try_for_each(|(_, new)| self.check_free(new))?;
        self.change(|vg| pairs.iter().for_each(|(old, new)| rename(vg, old, new)))
    }

    /// The group's name, for messages.
    pub fn name(&self) -> &VgName {
        &self.now.name
    }
}

fn rename(vg: &mut Section, old: &LvName, new: &LvName) {
    for list in ["logical_volumes", "historical_logical_volumes"] {
        let Some(lvs) = vg.section_mut(list) else { continue };
        if names(lvs, &|name| *old == *name, &|_| false) {
            let lvs = lvs.items_mut().iter_mut().filter_map(Item::section_mut);
            lvs.for_each(|lv| replace(lv, old.as_str(), new.as_str()));
        }
    }
    let lvs = vg.section_mut("logical_volumes");
    let item =
        lvs.and_then(|lvs| lvs.items_mut().iter_mut().find(|item| item.key() == *old.as_str()));
    item.into_iter().for_each(|item| item.set_key(new.as_str()));
}
