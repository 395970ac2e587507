//! Accounts: the tables of users and groups, merged by entry.
//!
//! An account that both have keeps the id that it has here, since files of it lie about; one that
//! is new in the image keeps its id where that is free here, and gets another one else. What the
//! image's ids become is an [`IdMap`], for the files of the new layer.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{ACL_ACCESS, ACL_DEFAULT, TreePath, Xattrs};

/// Ids below this are the system's (`SYS_UID_MAX` and `SYS_GID_MAX` of login.defs).
const FIRST_OF_PEOPLE: u32 = 1000;
/// Below this Debian and others give ids out for good.
const FIRST_OF_SYSTEM: u32 = 100;
/// The last one that people get.
const LAST: u32 = 59_999;

/// What the image's ids become. Those that are not named stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    /// Users.
    pub uids: BTreeMap<u32, u32>,
    /// Groups.
    pub gids: BTreeMap<u32, u32>,
}

impl IdMap {
    /// From the tables of the layer and of the image: `passwd` and `group` of each.
    pub fn new(ours: [&[u8]; 2], theirs: [&[u8]; 2]) -> Self {
        let [uids, gids] = [0, 1].map(|n| match (ours.get(n), theirs.get(n)) {
            (Some(ours), Some(theirs)) => map(&ids(ours), &ids(theirs)),
            _ => BTreeMap::new(),
        });
        Self { uids, gids }
    }

    /// True where all ids stay.
    pub fn is_empty(&self) -> bool {
        self.uids.is_empty() && self.gids.is_empty()
    }

    /// What a user's id becomes.
    pub fn uid(&self, uid: u32) -> u32 {
        self.uids.get(&uid).copied().unwrap_or(uid)
    }

    /// What a group's id becomes.
    pub fn gid(&self, gid: u32) -> u32 {
        self.gids.get(&gid).copied().unwrap_or(gid)
    }

    /// Changes the ids in lists of access rights; gives the names of those that were changed.
    ///
    /// Source: `linux/posix_acl_xattr.h`: a version, then entries of a tag, rights and an id.
    pub(super) fn map_acls(&self, xattrs: &mut Xattrs) -> Vec<&'static [u8]> {
        let mut changed = Vec::new();
        for name in [ACL_ACCESS, ACL_DEFAULT] {
            let Some((&mut [2, 0, 0, 0], entries)) =
                xattrs.get_mut(name).and_then(|acl| acl.split_first_chunk_mut())
            else {
                continue;
            };
            let before = entries.to_vec();
            for entry in entries.as_chunks_mut().0 {
                let [tag, 0, _, _, id @ ..]: &mut [u8; 8] = entry else { continue };
                let was = u32::from_le_bytes(*id);
                *id = match tag {
                    2 => self.uid(was),
                    8 => self.gid(was),
                    _ => was,
                }
                .to_le_bytes();
            }
            if *entries != before {
                changed.push(name);
            }
        }
        changed
    }
}

/// Names and their ids, in the order of the table.
fn ids(table: &[u8]) -> Vec<(&[u8], u32)> {
    let entries = table.split(|byte| *byte == b'\n').filter(|line| is_entry(line));
    entries
        .filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let (name, id) = (fields.next()?, fields.nth(1)?);
            Some((name, std::str::from_utf8(id).ok()?.parse().ok()?))
        })
        .collect()
}

fn map(ours: &[(&[u8], u32)], theirs: &[(&[u8], u32)]) -> BTreeMap<u32, u32> {
    let mut taken: BTreeSet<u32> = BTreeSet::new();
    taken.extend(ours.iter().chain(theirs).map(|(_, id)| *id));
    let mut map = BTreeMap::new();
    for (name, id) in theirs {
        if map.contains_key(id) {
            continue;
        }
        let here = ours.iter().find(|(other, _)| other == name).map(|(_, id)| *id);
        let becomes = match here {
            Some(here) => here,
            None if ours.iter().any(|(_, other)| other == id) => {
                let Some(free) = free(*id, &taken) else { continue };
                taken.insert(free);
                free
            }
            None => *id,
        };
        // Of names that share an id the first one decides.
        map.insert(*id, becomes);
    }
    map.retain(|from, to| from != to);
    map
}

fn free(id: u32, taken: &BTreeSet<u32>) -> Option<u32> {
    let is_free = |id: &u32| !taken.contains(id);
    if id < FIRST_OF_PEOPLE {
        (FIRST_OF_SYSTEM..FIRST_OF_PEOPLE).rev().find(is_free)
    } else {
        (FIRST_OF_PEOPLE..=LAST).find(is_free)
    }
}

/// True for an account's line: not for a comment, an empty line or one that brings NIS in.
fn is_entry(line: &[u8]) -> bool {
    line.contains(&b':') && !matches!(line.first(), Some(b'#' | b'+' | b'-'))
}

/// A table of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `/etc/passwd`.
    Passwd,
    /// `/etc/group`.
    Group,
    /// `/etc/shadow`.
    Shadow,
    /// `/etc/gshadow`.
    Gshadow,
    /// `/etc/subuid` and `/etc/subgid`: a name may have several lines.
    Subids,
}

impl Table {
    /// The one that lies there.
    pub fn at(path: &TreePath) -> Option<Self> {
        Some(match path.bytes() {
            b"/etc/passwd" => Self::Passwd,
            b"/etc/group" => Self::Group,
            b"/etc/shadow" => Self::Shadow,
            b"/etc/gshadow" => Self::Gshadow,
            b"/etc/subuid" | b"/etc/subgid" => Self::Subids,
            _ => return None,
        })
    }

    /// Whether ids in it become others.
    pub(super) fn has_ids(self, ids: &IdMap) -> bool {
        match self {
            Self::Passwd => !ids.is_empty(),
            Self::Group => !ids.gids.is_empty(),
            Self::Shadow | Self::Gshadow | Self::Subids => false,
        }
    }

    /// The image's table with the ids that its accounts have here.
    pub(super) fn renumbered(self, theirs: &[u8], ids: &IdMap) -> Vec<u8> {
        let lines = theirs.split(|byte| *byte == b'\n').map(|line| self.mapped(line, ids));
        lines.collect::<Vec<_>>().join(&b'\n')
    }

    /// The merged table. Each field is taken from the side that changed it, ours where both did;
    /// members of a group are added and removed as on either side. Ours keep their order, what is
    /// new in the image follows.
    pub fn merge(self, [base, ours, theirs]: [&[u8]; 3], ids: &IdMap) -> Vec<u8> {
        let (base, ours) = (self.lines(base), self.lines(ours));
        let theirs: Vec<Vec<u8>> =
            self.lines(theirs).into_iter().map(|line| self.mapped(&line, ids)).collect();
        let find =
            |all: &[Vec<u8>], key: &[u8]| all.iter().find(|line| self.key(line) == key).cloned();
        let mut merged = Vec::new();
        for line in &ours {
            let key = self.key(line);
            match (find(&base, key), find(&theirs, key)) {
                // Gone from the image, and as it was.
                (Some(old), None) if old == *line => {}
                (_, None) => merged.push(line.clone()),
                (old, Some(new)) => merged.push(self.fields(old.as_deref(), line, &new)),
            }
        }
        let is_new = |line: &&Vec<u8>| {
            let key = self.key(line);
            find(&ours, key).is_none() && find(&base, key).is_none()
        };
        // What brings NIS in stays last.
        let tail =
            merged.iter().rposition(|line| is_entry(line)).map_or(0, |last| last.saturating_add(1));
        let tail = merged.split_off(tail);
        merged.extend(theirs.iter().filter(is_new).cloned());
        merged.extend(tail);
        let mut text = merged.join(&b'\n');
        if !text.is_empty() {
            text.push(b'\n');
        }
        text
    }

    fn lines(self, text: &[u8]) -> Vec<Vec<u8>> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        if text.is_empty() {
            return Vec::new();
        }
        text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    /// What makes a line be the same on all sides.
    fn key(self, line: &[u8]) -> &[u8] {
        if self == Self::Subids || !is_entry(line) {
            return line;
        }
        line.split(|byte| *byte == b':').next().unwrap_or(line)
    }

    /// A line of the image's with the ids that it will have here.
    fn mapped(self, line: &[u8], ids: &IdMap) -> Vec<u8> {
        if !is_entry(line) {
            return line.to_vec();
        }
        let mut fields = split(line);
        let mut change = |place: usize, id: &dyn Fn(u32) -> u32| {
            if let Some(field) = fields.get_mut(place)
                && let Some(old) = std::str::from_utf8(field).ok().and_then(|old| old.parse().ok())
            {
                *field = id(old).to_string().into_bytes();
            }
        };
        match self {
            Self::Passwd => {
                change(2, &|id| ids.uid(id));
                change(3, &|id| ids.gid(id));
            }
            Self::Group => change(2, &|id| ids.gid(id)),
            Self::Shadow | Self::Gshadow | Self::Subids => {}
        }
        fields.join(&b':')
    }

    /// One entry, field by field.
    fn fields(self, base: Option<&[u8]>, ours: &[u8], theirs: &[u8]) -> Vec<u8> {
        if base == Some(ours) || ours == theirs {
            return theirs.to_vec();
        }
        if !is_entry(ours) || self == Self::Subids {
            return ours.to_vec();
        }
        let base = base.map(split).unwrap_or_default();
        let (ours, theirs) = (split(ours), split(theirs));
        let merged = ours.iter().enumerate().map(|(place, ours)| {
            let (base, Some(theirs)) = (base.get(place), theirs.get(place)) else {
                return ours.clone();
            };
            if self.is_list(place) {
                return members(base.map_or(&[], Vec::as_slice), ours, theirs);
            }
            // An id stays what it is here.
            let is_id = matches!((self, place), (Self::Passwd, 2) | (Self::Group, 2));
            if base == Some(ours) && !is_id { theirs.clone() } else { ours.clone() }
        });
        merged.collect::<Vec<_>>().join(&b':')
    }

    /// True for a field that lists members.
    fn is_list(self, place: usize) -> bool {
        matches!((self, place), (Self::Group, 3) | (Self::Gshadow, 2 | 3))
    }
}

fn split(line: &[u8]) -> Vec<Vec<u8>> {
    line.split(|byte| *byte == b':').map(<[u8]>::to_vec).collect()
}

/// Members of a group: ours, without those that the image removed, with those that it added.
fn members(base: &[u8], ours: &[u8], theirs: &[u8]) -> Vec<u8> {
    let list = |field: &[u8]| -> Vec<Vec<u8>> {
        let names = field.split(|byte| *byte == b',').filter(|name| !name.is_empty());
        names.map(<[u8]>::to_vec).collect()
    };
    let (base, ours, theirs) = (list(base), list(ours), list(theirs));
    let mut all: Vec<Vec<u8>> = Vec::new();
    let stays = |name: &&Vec<u8>| theirs.contains(name) || !base.contains(name);
    all.extend(ours.iter().filter(stays).cloned());
    let added = |name: &&Vec<u8>| !base.contains(name) && !ours.contains(name);
    all.extend(theirs.iter().filter(added).cloned());
    all.join(&b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &[u8] =
        b"root:x:0:0:root:/root:/bin/sh\n_apt:x:100:65534::/nonexistent:/bin/false\n";

    #[test]
    fn ids_here_stay_and_new_ones_give_way() {
        let ours = [BASE, b"bob:x:101:1000::/home/bob:/bin/sh\n"].concat();
        let theirs = b"root:x:0:0:root:/root:/bin/sh\n_apt:x:42:65534::/nonexistent:/bin/false\n\
            new:x:101:101::/:/bin/false\nfree:x:102:102::/:/bin/false\n";
        let map = IdMap::new([&ours, b""], [theirs, b""]);
        assert_eq!(map.uids, BTreeMap::from([(42, 100), (101, 999)]));
        assert_eq!((map.uid(42), map.uid(102), map.gid(7)), (100, 102, 7));
        let merged = Table::Passwd.merge([BASE, &ours, theirs], &map);
        let wanted = "root:x:0:0:root:/root:/bin/sh\n_apt:x:100:65534::/nonexistent:/bin/false\n\
            bob:x:101:1000::/home/bob:/bin/sh\nnew:x:999:101::/:/bin/false\n\
            free:x:102:102::/:/bin/false\n";
        assert_eq!(String::from_utf8_lossy(&merged), wanted);
    }

    #[test]
    fn each_field_is_taken_from_who_changed_it() {
        let base = b"root:x:0:0:root:/root:/bin/sh\ngone:x:5:5::/:/bin/sh\n+::::::\n";
        let ours = b"root:x:0:0:root:/root:/bin/zsh\ngone:x:5:5::/:/bin/sh\n+::::::\n";
        let theirs = b"root:x:0:0:Super User:/root:/bin/bash\nadded:x:6:6::/:/bin/sh\n+::::::\n";
        let merged = Table::Passwd.merge([base, ours, theirs], &IdMap::default());
        let wanted = "root:x:0:0:Super User:/root:/bin/zsh\nadded:x:6:6::/:/bin/sh\n+::::::\n";
        assert_eq!(String::from_utf8_lossy(&merged), wanted);
        // Removed here: it does not come back.
        let ours = b"root:x:0:0:root:/root:/bin/sh\n+::::::\n";
        let merged = Table::Passwd.merge([base, ours, base], &IdMap::default());
        assert_eq!(String::from_utf8_lossy(&merged), String::from_utf8_lossy(ours));
    }

    #[test]
    fn members_come_and_go_on_either_side() {
        let base = b"wheel:x:10:a,b,c\n";
        let ours = b"wheel:x:10:a,c,mine\n";
        let theirs = b"wheel:x:11:a,b,new\n";
        let ids = IdMap::new([b"", ours], [b"", theirs]);
        let merged = Table::Group.merge([base, ours, theirs], &ids);
        assert_eq!(String::from_utf8_lossy(&merged), "wheel:x:10:a,mine,new\n");
        let none = Table::Group.merge([b"", ours, theirs], &ids);
        assert_eq!(String::from_utf8_lossy(&none), "wheel:x:10:a,c,mine,b,new\n");
    }

    #[test]
    fn ranges_are_lines() {
        let (base, ours) = (b"a:100000:65536\n", b"a:100000:65536\na:300000:10\n");
        let theirs = b"a:100000:65536\nb:165536:65536\n";
        let merged = Table::Subids.merge([base, ours, theirs], &IdMap::default());
        let wanted = "a:100000:65536\na:300000:10\nb:165536:65536\n";
        assert_eq!(String::from_utf8_lossy(&merged), wanted);
    }

    #[test]
    fn passwords_and_admins_of_groups_too() {
        let base = b"wheel:!:boss:a,b\nold:!::\ngone:!::\n";
        let ours = b"wheel:secret:boss,me:a,b,mine\nold:!::\ngone:!::x\nown:!:me:\n";
        let theirs = b"wheel:!:chief,boss:a\nnew:!::n\n";
        let merged = Table::Gshadow.merge([base, ours, theirs], &IdMap::default());
        let wanted = "wheel:secret:boss,me,chief:a,mine\ngone:!::x\nown:!:me:\nnew:!::n\n";
        assert_eq!(String::from_utf8_lossy(&merged), wanted);
        let path = TreePath::from_text("/etc/gshadow").expect("a path");
        assert_eq!(Table::at(&path), Some(Table::Gshadow));
    }

    mod random {
        use proptest::collection::{btree_map, btree_set};
        use proptest::prelude::*;

        use super::*;

        /// By name an id of its own, and members.
        type Side = BTreeMap<String, (u32, BTreeSet<String>)>;

        fn side() -> impl Strategy<Value = Side> {
            let id = prop_oneof![0u32..6, 100u32..103, 997u32..1003];
            btree_map("[a-f]", (id, btree_set("[a-d]", 0..3)), 0..6).prop_map(|mut side: Side| {
                let mut seen = BTreeSet::new();
                side.retain(|_, (id, _)| seen.insert(*id));
                side
            })
        }

        fn members(of: &BTreeSet<String>) -> String {
            of.iter().cloned().collect::<Vec<_>>().join(",")
        }

        /// `passwd`, `group` and `gshadow`: each user has the group of its name and that id.
        fn tables(side: &Side) -> [Vec<u8>; 3] {
            let of = |line: &dyn Fn(&String, u32, &str) -> String| -> Vec<u8> {
                let lines = side.iter().map(|(name, (id, who))| line(name, *id, &members(who)));
                lines.collect::<String>().into_bytes()
            };
            [
                of(&|name, id, who| format!("{name}:x:{id}:{id}:{who}:/:/bin/sh\n")),
                of(&|name, id, who| format!("{name}:x:{id}:{who}\n")),
                of(&|name, _, who| format!("{name}:!:{who}:{who}\n")),
            ]
        }

        fn fields(table: &[u8]) -> Vec<Vec<String>> {
            let text = String::from_utf8_lossy(table).into_owned();
            text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
        }

        proptest! {
            #[test]
            fn no_account_is_lost_and_none_is_there_twice(
                base in side(),
                ours in side(),
                theirs in side(),
            ) {
                let all = [tables(&base), tables(&ours), tables(&theirs)];
                let two = |side: &[Vec<u8>; 3]| [side[0].clone(), side[1].clone()];
                let (here, there) = (two(&all[1]), two(&all[2]));
                let ids = IdMap::new([&here[0], &here[1]], [&there[0], &there[1]]);
                let sorts = [Table::Passwd, Table::Group, Table::Gshadow];
                let merged: Vec<Vec<Vec<String>>> = (0..3)
                    .map(|n| fields(&sorts[n].merge([&all[0][n], &all[1][n], &all[2][n]], &ids)))
                    .collect();
                for (n, table) in merged.iter().enumerate() {
                    let names: BTreeSet<&String> = table.iter().map(|line| &line[0]).collect();
                    prop_assert_eq!(names.len(), table.len(), "names of {:?}", table);
                    for (name, (id, _)) in &ours {
                        let as_it_was = base.get(name) == ours.get(name);
                        let line = table.iter().find(|line| line[0] == *name);
                        prop_assert!(line.is_some() || (as_it_was && !theirs.contains_key(name))
                            || (n == 2 && !theirs.contains_key(name)), "{} is lost", name);
                        if let Some(line) = line.filter(|_| n < 2) {
                            prop_assert_eq!(&line[2], &id.to_string(), "the id of {}", name);
                        }
                    }
                    for name in theirs.keys().filter(|name| !base.contains_key(*name)) {
                        prop_assert!(names.contains(name), "{} of the image is lost", name);
                    }
                    for name in base.keys().filter(|name| !ours.contains_key(*name)) {
                        prop_assert!(!names.contains(name), "{} is back", name);
                    }
                }
                for table in &merged[..2] {
                    let ids: BTreeSet<&String> = table.iter().map(|line| &line[2]).collect();
                    prop_assert_eq!(ids.len(), table.len(), "ids of {:?}", table);
                }
                // Members that were added here are there; who is new still has its own group.
                for (table, place) in [(1, 3), (2, 2), (2, 3)] {
                    for line in &merged[table] {
                        let of = |side: &Side| side.get(&line[0]).map(|is| is.1.clone()).unwrap_or_default();
                        let is: Vec<&str> = line[place].split(',').collect();
                        for member in of(&ours).difference(&of(&base)) {
                            prop_assert!(is.contains(&member.as_str()), "{} left {:?}", member, line);
                        }
                    }
                }
                for line in &merged[0] {
                    let is_new = !base.contains_key(&line[0]) && !ours.contains_key(&line[0]);
                    let group = merged[1].iter().find(|group| group[0] == line[0]);
                    if let Some(group) = group.filter(|_| is_new) {
                        prop_assert_eq!(&line[3], &group[2], "the group of {}", &line[0]);
                    }
                }
            }
        }
    }
}
