//! What lvm2's configuration lets be activated on this host: `activation/volume_list`, as lvm.conf(5)
//! describes it.

use crate::error::{Error, ErrorKind};
use crate::lvm2::model::Vg;
use crate::name::{LvName, Tag};

/// True where an entry matches the volume: `VG`, `VG/LV`, or `@TAG` with a tag of either. Tags of the host
/// (`@*`) are not known here, and match nothing.
pub(super) fn lets(list: &[String], vg: &Vg, name: &LvName) -> bool {
    let tags = vg.lvs.iter().find(|lv| lv.name == *name).map(|lv| lv.tags.as_slice());
    let tagged = |tag: &str| has(&vg.tags, tag) || tags.is_some_and(|tags| has(tags, tag));
    list.iter().any(|entry| match (entry.strip_prefix('@'), entry.split_once('/')) {
        (Some(tag), _) => tagged(tag),
        (None, Some((group, lv))) => group == vg.name.as_str() && lv == name.as_str(),
        (None, None) => entry == vg.name.as_str(),
    })
}

/// True where a volume of the group may be matched, one that is not there yet too.
pub(super) fn may_let(list: &[String], vg: &Vg) -> bool {
    list.iter().any(|entry| {
        let group = entry.split_once('/').map_or(entry.as_str(), |(group, _)| group);
        group == vg.name.as_str() || entry.starts_with('@')
    })
}

fn has(tags: &[Tag], tag: &str) -> bool {
    tags.iter().any(|one| one.as_str() == tag)
}

/// The error for what is kept off.
pub(super) fn refusal(what: impl std::fmt::Display) -> Error {
    let why = "lvm2's configuration keeps it off this host: nothing in activation/volume_list matches it; \
        add its group there";
    Error::new(ErrorKind::Unsupported, why).op("activate").at(what).kept("nothing was changed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lvm2::edit::NewVg;
    use crate::lvm2::model::Lv;
    use crate::lvm2::testing::{id, text};

    fn tags(tag: &str) -> Vec<Tag> {
        vec![tag.parse().expect("a tag")]
    }

    #[test]
    fn entries_match_groups_volumes_and_tags() {
        let mut vg = NewVg::of_text(text(1, 1, 0)).expect("a valid text").vg().clone();
        let name: LvName = "layer".parse().expect("a name");
        let (status, flags, segments) = (Vec::new(), Vec::new(), Vec::new());
        let (creation_time, fixed_minor) = (None, None);
        let lv = Lv {
            name: name.clone(),
            id: id('l', 1),
            status,
            flags,
            tags: tags("mine"),
            creation_time,
            fixed_minor,
            segments,
        };
        vg.lvs.push(lv.into());
        vg.tags = tags("host");
        let matching = ["vg", "vg/layer", "@mine", "@host"];
        let others = ["other", "@*", "@other", "other/layer", "vg/x", "layer", ""];
        for (entry, is_let) in
            matching.map(|e| (e, true)).into_iter().chain(others.map(|e| (e, false)))
        {
            assert_eq!(lets(&[entry.to_owned()], &vg, &name), is_let, "{entry}");
        }
        assert!(!lets(&[], &vg, &name));
        let may = |entry: &str| may_let(&[entry.to_owned()], &vg);
        assert!(may("vg") && may("vg/x") && may("@x") && !may("other/x") && !may("other"));
    }
}
