use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use proptest::prelude::*;

use super::*;
use crate::diff::Trust;
use crate::tree::{Folder, Meta, Xattrs};
use crate::units::Bytes;

/// Paths, and what is there: sort, mode, owner, content, attributes.
type List = BTreeMap<String, (Kind, u32, u32, Vec<u8>, Xattrs)>;

/// An entry of a tree in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    kind: Kind,
    mode: u32,
    uid: u32,
    ino: u64,
    data: Vec<u8>,
    xattrs: Xattrs,
    inside: BTreeMap<Vec<u8>, Node>,
}

fn node(kind: Kind, data: &[u8]) -> Node {
    let (data, xattrs, inside) = (data.to_vec(), Xattrs::new(), BTreeMap::new());
    Node { kind, mode: 0o644, uid: 0, ino: 0, data, xattrs, inside }
}

fn file(data: &str) -> Node {
    node(Kind::File, data.as_bytes())
}

fn link(target: &str) -> Node {
    node(Kind::Link, target.as_bytes())
}

fn folder<const N: usize>(inside: [(&str, Node); N]) -> Node {
    let inside = inside.map(|(name, node)| (name.as_bytes().to_vec(), node)).into();
    Node { inside, mode: 0o755, ..node(Kind::Folder, b"") }
}

impl Node {
    fn get(&self, name: &[u8]) -> io::Result<&Self> {
        self.inside.get(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn at(&mut self, path: &[u8]) -> Option<&mut Self> {
        let mut at = self;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            at = at.inside.get_mut(name)?;
        }
        Some(at)
    }

    fn tells(&self) -> Meta {
        Meta {
            kind: self.kind,
            mode: self.mode,
            uid: self.uid,
            gid: 0,
            size: Bytes::new(self.data.len() as u64),
            held: Bytes::new(self.data.len() as u64),
            rdev: (0, 0),
            // Each is a file of its own, unless a test says otherwise.
            ino: if self.ino == 0 { std::ptr::from_ref(self).addr() as u64 } else { self.ino },
            fs: 1,
            mtime: (1, 0),
            links: 1,
            ctime: (1, 0),
        }
    }

    /// All paths and what they are, but for inode numbers.
    fn list(&self) -> List {
        let mut all = BTreeMap::new();
        self.gather_list("", &mut all);
        all
    }

    fn gather_list(&self, at: &str, all: &mut List) {
        let (data, xattrs) = (self.data.clone(), self.xattrs.clone());
        all.insert(at.to_owned(), (self.kind, self.mode, self.uid, data, xattrs));
        for (name, node) in &self.inside {
            node.gather_list(&format!("{at}/{}", String::from_utf8_lossy(name)), all);
        }
    }
}

impl<'n> Folder for &'n Node {
    fn own_meta(&self) -> io::Result<Meta> {
        Ok(self.tells())
    }

    fn own_xattrs(&self) -> io::Result<Xattrs> {
        Ok(self.xattrs.clone())
    }

    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        Ok(self.inside.keys().rev().cloned().collect())
    }

    fn meta(&self, name: &[u8]) -> io::Result<Meta> {
        self.get(name).map(Node::tells)
    }

    fn folder(&self, name: &[u8]) -> io::Result<&'n Node> {
        let node: &'n Node = self;
        node.get(name)
    }

    fn file(&self, name: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(Cursor::new(self.get(name)?.data.clone())))
    }

    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(self.get(name)?.data.clone())
    }

    fn xattrs(&self, name: &[u8]) -> io::Result<Xattrs> {
        Ok(self.get(name)?.xattrs.clone())
    }
}

fn split(path: &TreePath) -> (Vec<u8>, Vec<u8>) {
    let bytes = path.bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/').expect("a path has one");
    (bytes[..slash].to_vec(), bytes[slash + 1..].to_vec())
}

/// Does what a plan says, and fails where that cannot be done.
fn apply(plan: &Plan, ours: &mut Node, theirs: &Node) -> Node {
    let mut new = theirs.clone();
    for Step { path, entry, action } in &plan.steps {
        let (parent, name) = split(path);
        let there = ours.at(path.bytes()).cloned();
        let folder = new.at(&parent).unwrap_or_else(|| panic!("{path}: no folder for it"));
        assert_eq!(folder.kind, Kind::Folder, "{path}");
        match action {
            Action::Copy => {
                let mut copy = there.expect("it is copied from there");
                assert_eq!(copy.kind, *entry, "{path}");
                copy.inside = BTreeMap::new();
                if let Some(old) = folder.inside.get(&name) {
                    if (copy.kind, old.kind) == (Kind::Folder, Kind::Folder) {
                        copy.inside.clone_from(&old.inside);
                    }
                    let emptied = old.kind != Kind::Folder || copy.kind == Kind::Folder;
                    assert!(emptied, "{path}: a folder in the way");
                }
                folder.inside.insert(name, copy);
            }
            Action::HardLink(first) => {
                let first = new.at(first.bytes()).expect("it was copied before").clone();
                new.at(&parent).expect("there").inside.insert(name, first);
            }
            Action::Content(bytes) => {
                let node = folder.inside.get_mut(&name).expect("it is there");
                assert_eq!(node.kind, Kind::File);
                node.data.clone_from(bytes);
            }
            Action::Meta(change) => {
                let node = folder.inside.get_mut(&name).expect("it is there");
                node.mode = change.mode.unwrap_or(node.mode);
                node.uid = change.uid.unwrap_or(node.uid);
                for (name, value) in &change.xattrs {
                    match value {
                        Some(value) => drop(node.xattrs.insert(name.clone(), value.clone())),
                        None => assert!(node.xattrs.remove(name).is_some(), "{path}"),
                    }
                }
            }
            Action::Remove => {
                let gone = folder.inside.remove(&name).expect("it is there");
                assert!(gone.inside.is_empty(), "{path}: not empty");
            }
            Action::Beside => {
                let beside = [name.as_slice(), OURS_BESIDE.as_bytes()].concat();
                let copy = there.expect("it is copied from there");
                assert_eq!(copy.kind, *entry, "{path}");
                folder.inside.insert(beside, copy);
            }
            Action::SetAside => {
                let aside = [name.as_slice(), BESIDE.as_bytes()].concat();
                let node = folder.inside.remove(&name).expect("it is there");
                folder.inside.insert(aside, node);
            }
        }
    }
    new
}

/// Everything is merged.
fn all() -> Rules {
    Rules { merged: vec![Pattern::everything()], ..Rules::default() }
}

/// Numbers each entry, as a file system does.
fn numbered(tree: &mut Node, next: &mut u64) {
    *next += 1;
    tree.ino = *next;
    tree.inside.values_mut().for_each(|node| numbered(node, next));
}

/// Numbers each entry as a snapshot of the base that was changed: what is as it was has its number still.
fn numbered_after(base: Option<&Node>, ours: &mut Node, next: &mut u64) {
    let own = |node: &Node| Node { ino: 0, inside: BTreeMap::new(), ..node.clone() };
    let kept = base.filter(|base| own(base) == own(ours)).map(|base| base.ino);
    *next += 1;
    ours.ino = kept.unwrap_or(*next);
    for (name, node) in &mut ours.inside {
        numbered_after(base.and_then(|base| base.inside.get(name)), node, next);
    }
}

fn merged(base: &Node, ours: &Node, theirs: &Node, rules: &Rules) -> (Node, Plan) {
    let mut ours = ours.clone();
    numbered(&mut ours, &mut 0);
    let plan =
        merge([base, &ours, theirs], Trust::Nothing, rules).expect("nothing fails in memory");
    let new = apply(&plan, &mut ours, theirs);
    (new, plan)
}

/// The result, and the conflicts as they are told.
fn of(base: &Node, ours: &Node, theirs: &Node) -> (Node, Vec<String>) {
    let (new, plan) = merged(base, ours, theirs, &all());
    (new, plan.conflicts.iter().map(ToString::to_string).collect())
}

#[test]
fn each_row_of_the_table_holds() {
    let base = folder([
        ("same", file("1")),
        ("image", file("1")),
        ("here", file("1")),
        ("gone-here", file("1")),
        ("gone-there", file("1")),
        ("gone-both", file("1")),
        ("both-alike", file("1")),
    ]);
    let ours = folder([
        ("same", file("1")),
        ("image", file("1")),
        ("here", file("2")),
        ("gone-there", file("1")),
        ("both-alike", file("3")),
        ("added", folder([("deep", file("mine"))])),
    ]);
    let theirs = folder([
        ("same", file("1")),
        ("image", file("4")),
        ("here", file("1")),
        ("gone-here", file("1")),
        ("both-alike", file("3")),
        ("new", folder([("deep", file("theirs"))])),
    ]);
    let wanted = folder([
        ("same", file("1")),
        ("image", file("4")),
        ("here", file("2")),
        ("both-alike", file("3")),
        ("added", folder([("deep", file("mine"))])),
        ("new", folder([("deep", file("theirs"))])),
    ]);
    let (new, conflicts) = of(&base, &ours, &theirs);
    assert_eq!(new.list(), wanted.list());
    assert_eq!(conflicts, [""; 0]);
}

#[test]
fn texts_go_together_or_both_stay() {
    let lines = |change: [&str; 3]| {
        file(&format!("{}\nb\nc\nd\n{}\nf\ng\n{}\n", change[0], change[1], change[2]))
    };
    let base =
        folder([("text", lines(["a", "e", "h"])), ("clash", file("a\n")), ("bin", file("\0"))]);
    let ours =
        folder([("text", lines(["A", "e", "h"])), ("clash", file("b\n")), ("bin", file("\0\x01"))]);
    let theirs =
        folder([("text", lines(["a", "e", "H"])), ("clash", file("c\n")), ("bin", file("\0\x02"))]);
    let (new, conflicts) = of(&base, &ours, &theirs);
    let wanted = folder([
        ("text", lines(["A", "e", "H"])),
        ("clash", file("b\n")),
        ("clash.imgnew", file("c\n")),
        ("bin", file("\0\x01")),
        ("bin.imgnew", file("\0\x02")),
    ]);
    assert_eq!(new.list(), wanted.list());
    assert_eq!(
        conflicts,
        [
            "/bin: changed here and in the image; the image's is /bin.imgnew",
            "/clash: changed here and in the image; the image's is /clash.imgnew"
        ]
    );
}

#[test]
fn what_goes_on_one_side_and_changes_on_the_other() {
    let base = folder([
        ("here", file("1")),
        ("there", file("1")),
        ("d", folder([("kept", file("1")), ("gone", file("1"))])),
        ("e", folder([("same", file("1")), ("changed", file("1"))])),
    ]);
    let ours =
        folder([("there", file("2")), ("d", folder([("kept", file("2")), ("gone", file("1"))]))]);
    let theirs =
        folder([("here", file("2")), ("e", folder([("same", file("1")), ("changed", file("2"))]))]);
    let (new, conflicts) = of(&base, &ours, &theirs);
    let wanted = folder([
        ("here.imgnew", file("2")),
        ("there", file("2")),
        ("d", folder([("kept", file("2"))])),
        ("e", folder([("changed.imgnew", file("2"))])),
    ]);
    assert_eq!(new.list(), wanted.list());
    assert_eq!(
        conflicts,
        [
            "/d/kept: changed here, and no longer in the image; it is kept",
            "/e/changed: removed here, changed in the image: /e/changed.imgnew",
            "/here: removed here, changed in the image: /here.imgnew",
            "/there: changed here, and no longer in the image; it is kept",
        ]
    );
}

#[test]
fn sorts_that_differ() {
    let base = folder([("a", file("1")), ("b", folder([("x", file("1"))])), ("c", file("1"))]);
    let ours = folder([("a", link("t")), ("b", link("u")), ("c", file("1"))]);
    // Unchanged there, changed there, and changed there alone.
    let theirs = folder([
        ("a", file("1")),
        ("b", folder([("x", file("2"))])),
        ("c", folder([("y", file("1"))])),
    ]);
    let (new, conflicts) = of(&base, &ours, &theirs);
    let wanted = folder([("a", link("t")), ("b", link("u")), ("c", folder([("y", file("1"))]))]);
    assert_eq!(new.list(), wanted.list());
    assert_eq!(conflicts, [""; 0], "what is in a folder that gives way is not looked at");
    let theirs = folder([("a", folder([("x", file("1"))])), ("b", file("3")), ("c", link("v"))]);
    let (new, conflicts) = of(&base, &ours, &theirs);
    let wanted = folder([
        ("a", link("t")),
        ("a.imgnew", folder([("x", file("1"))])),
        ("b", link("u")),
        ("b.imgnew", file("3")),
        ("c", link("v")),
    ]);
    assert_eq!(new.list(), wanted.list());
    assert_eq!(conflicts.len(), 2, "{conflicts:?}");
}

#[test]
fn attributes_are_merged_each_for_itself() {
    let with = |mode: u32, uid: u32, xattrs: &[(&str, &str)]| {
        let xattrs =
            xattrs.iter().map(|(name, value)| (name.as_bytes().into(), value.as_bytes().into()));
        Node { mode, uid, xattrs: xattrs.collect(), ..file("1") }
    };
    let base = folder([("f", with(0o644, 0, &[("a", "1"), ("b", "1"), ("c", "1")]))]);
    let ours = folder([("f", with(0o600, 0, &[("a", "2"), ("b", "1")]))]);
    let theirs = folder([("f", with(0o644, 7, &[("a", "1"), ("b", "3"), ("c", "1")]))]);
    let (new, conflicts) = of(&base, &ours, &theirs);
    let wanted = folder([("f", with(0o600, 7, &[("a", "2"), ("b", "3")]))]);
    assert_eq!(new.list(), wanted.list());
    assert_eq!(conflicts, [""; 0]);
    let theirs = folder([("f", with(0o640, 0, &[("a", "9"), ("b", "1"), ("c", "1")]))]);
    let (new, conflicts) = of(&base, &ours, &theirs);
    assert_eq!(new.list(), ours.list());
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
}

#[test]
fn attributes_of_what_both_sides_have_added_are_told_where_they_differ() {
    let with = |data: &str, mode: u32, uid: u32, value: &str| {
        let xattrs = [(b"a".to_vec(), value.as_bytes().to_vec())].into();
        Node { mode, uid, xattrs, ..file(data) }
    };
    let folder_of = |mode: u32| Node { mode, ..folder([]) };
    let ours = folder([
        ("alike", with("1", 0o600, 7, "x")),
        ("attribute", with("1", 0o644, 0, "mine")),
        ("content", with("1", 0o600, 0, "x")),
        ("folder", folder_of(0o700)),
        ("mode", with("1", 0o600, 0, "x")),
        ("owner", with("1", 0o644, 7, "x")),
    ]);
    let theirs = folder([
        ("alike", with("1", 0o600, 7, "x")),
        ("attribute", with("1", 0o644, 0, "theirs")),
        ("content", with("2", 0o644, 0, "x")),
        ("folder", folder_of(0o755)),
        ("mode", with("1", 0o644, 0, "x")),
        ("owner", with("1", 0o644, 8, "x")),
    ]);
    let (new, conflicts) = of(&folder([]), &ours, &theirs);
    let mut wanted = ours.clone();
    wanted.inside.insert(b"content.imgnew".to_vec(), with("2", 0o644, 0, "x"));
    assert_eq!(new.list(), wanted.list());
    let told = |path: &str, whose: &str| {
        format!("{path}: mode, owner or attributes changed here and in the image; {whose}")
    };
    let attributes = ["/attribute", "/folder", "/mode", "/owner"];
    let mut all_told = attributes.map(|path| told(path, "ours")).to_vec();
    all_told.insert(
        1,
        "/content: changed here and in the image; the image's is /content.imgnew".to_owned(),
    );
    assert_eq!(conflicts, all_told);
    let (new, plan) = merged(&folder([]), &ours, &theirs, &Rules { image_stands: true, ..all() });
    let mut wanted = theirs.clone();
    wanted.inside.insert(b"content.imgold".to_vec(), with("1", 0o600, 0, "x"));
    assert_eq!(new.list(), wanted.list());
    let conflicts = plan.conflicts.iter().map(ToString::to_string);
    let conflicts: Vec<String> = conflicts.filter(|told| !told.contains("content")).collect();
    assert_eq!(conflicts, attributes.map(|path| told(path, "the image's")));
}

#[test]
fn who_the_host_is_stays_and_some_is_left() {
    let base = folder([("machine-id", file("")), ("policy", file("1"))]);
    let ours = folder([("machine-id", file("abc\n")), ("policy", file("2"))]);
    let theirs = folder([("machine-id", file("xyz\n")), ("policy", file("3"))]);
    let pattern = |text: &str| Pattern::parse(text).expect("a pattern");
    let rules =
        Rules { identity: vec![pattern("/machine-id")], left: vec![pattern("/policy")], ..all() };
    let (new, plan) = merged(&base, &ours, &theirs, &rules);
    let wanted = folder([("machine-id", file("abc\n")), ("policy", file("3"))]);
    assert_eq!(new.list(), wanted.list());
    assert_eq!(plan.conflicts, []);
}

#[test]
fn what_was_set_aside_before_gives_way() {
    let base = folder([("a", file("1")), ("b", file("1"))]);
    let ours = folder([
        ("a", file("2")),
        ("a.imgnew", file("of the update before")),
        ("b", file("1")),
        ("b.imgnew", file("kept")),
    ]);
    let theirs = folder([("a", folder([("x", file("3"))])), ("b", file("1"))]);
    let (new, conflicts) = of(&base, &ours, &theirs);
    let wanted = folder([
        ("a", file("2")),
        ("a.imgnew", folder([("x", file("3"))])),
        ("b", file("1")),
        ("b.imgnew", file("kept")),
    ]);
    assert_eq!(new.list(), wanted.list());
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
}

#[test]
fn the_image_s_may_stand_with_ours_beside_it() {
    let mode = |mode: u32| Node { mode, ..file("1") };
    let base = folder([
        ("clash", file("a\n")),
        ("here", file("1")),
        ("there", file("1")),
        ("d", folder([("deep", file("1")), ("same", file("1"))])),
        ("sort", file("1")),
        ("mode", mode(0o644)),
        ("mine", file("1")),
        ("id", file("1")),
        ("old", file("1")),
    ]);
    let ours = folder([
        ("clash", file("b\n")),
        ("there", file("2")),
        ("d", folder([("deep", file("2")), ("same", file("1"))])),
        ("sort", folder([("x", file("2"))])),
        ("mode", mode(0o600)),
        ("mine", file("2")),
        ("id", file("2")),
        ("old", file("2")),
        ("old.imgold", file("of the update before")),
    ]);
    let theirs = folder([
        ("clash", file("c\n")),
        ("here", file("3")),
        ("sort", link("t")),
        ("mode", mode(0o640)),
        ("mine", file("1")),
        ("id", file("3")),
        ("old", file("3")),
    ]);
    let rules = Rules {
        image_stands: true,
        identity: vec![Pattern::parse("/id").expect("a pattern")],
        ..all()
    };
    let (new, plan) = merged(&base, &ours, &theirs, &rules);
    let wanted = folder([
        ("clash", file("c\n")),
        ("clash.imgold", file("b\n")),
        ("here", file("3")),
        ("there.imgold", file("2")),
        ("d", folder([("deep.imgold", file("2"))])),
        ("sort", link("t")),
        ("sort.imgold", folder([("x", file("2"))])),
        ("mode", mode(0o640)),
        ("mine", file("2")),
        ("id", file("2")),
        ("old", file("3")),
        ("old.imgold", file("2")),
    ]);
    assert_eq!(new.list(), wanted.list());
    let told: Vec<String> = plan.conflicts.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "/clash: changed here and in the image, whose stands; ours is /clash.imgold",
            "/d/deep: changed here, and no longer in the image; ours is /d/deep.imgold",
            "/here: removed here, changed in the image: it is there again",
            "/mode: mode, owner or attributes changed here and in the image; the image's",
            "/old: changed here and in the image, whose stands; ours is /old.imgold",
            "/sort: something else in the image, which stands; ours is /sort.imgold",
            "/there: changed here, and no longer in the image; ours is /there.imgold",
        ]
    );
}

#[test]
fn names_of_one_file_stay_that() {
    let one = |data: &str| Node { ino: 5, ..file(data) };
    let base = folder([]);
    let mut ours = folder([("a", one("1")), ("b", one("1")), ("c", file("1"))]);
    ours.inside.get_mut(&b"c"[..]).expect("there").ino = 6;
    let plan = merge([&base, &ours, &base], Trust::Nothing, &all()).expect("in memory");
    let actions: Vec<&Action> = plan.steps.iter().map(|step| &step.action).collect();
    let first = TreePath::root().join(b"a");
    assert_eq!(actions, [&Action::Copy, &Action::HardLink(first), &Action::Copy]);
}

/// A tree, and twice what edits have made of it.
fn three_of_one() -> impl Strategy<Value = [Node; 3]> {
    let edits = || proptest::collection::vec(0_u32..16, 40);
    (any_tree(), edits(), edits()).prop_map(|(base, ours, theirs)| {
        let [ours, theirs] = [ours, theirs].map(|edits| {
            let mut tree = base.clone();
            edit(&mut tree, &mut edits.into_iter().cycle());
            tree
        });
        [base, ours, theirs]
    })
}

/// Changes what is in a folder, one number an entry: most of it stays.
fn edit(folder: &mut Node, edits: &mut impl Iterator<Item = u32>) {
    folder.inside.retain(|_, _| edits.next() != Some(0));
    for node in folder.inside.values_mut() {
        let line = |node: &mut Node, from: &str, to: &str| {
            if node.kind == Kind::File {
                let text = String::from_utf8_lossy(&node.data).replace(from, to);
                node.data = text.into_bytes();
            }
        };
        match edits.next() {
            Some(1) => *node = link("edited"),
            Some(2) => node.mode ^= 0o022,
            Some(3) => node.uid += 7,
            Some(4) => drop(node.xattrs.insert(b"w".to_vec(), b"edited".to_vec())),
            Some(5) => node.xattrs.clear(),
            Some(6 | 7 | 12) => line(node, "a", "a edited\na"),
            Some(8 | 9 | 13) => line(node, "i", "i edited\ni"),
            Some(10) => line(node, "e", "another e"),
            Some(11) if node.kind == Kind::Folder => {
                node.inside.insert(b"e".to_vec(), file("added\n"));
            }
            _ => {}
        }
        edit(node, edits);
    }
}

/// What it makes, with any mode, owner and attributes.
fn dressed(bare: impl Strategy<Value = Node>) -> impl Strategy<Value = Node> {
    let xattrs = proptest::collection::btree_map("[uv]", "[01]", 0..2);
    (bare, 0u32..3, 0u32..2, xattrs).prop_map(|(node, mode, uid, xattrs)| {
        let bytes = |(name, value): (String, String)| (name.into_bytes(), value.into_bytes());
        let xattrs = xattrs.into_iter().map(bytes).collect();
        Node { mode: (node.mode & 0o700) | mode, uid, xattrs, ..node }
    })
}

/// A text with lines far enough from one another for changes of them to go together.
fn any_text() -> impl Strategy<Value = Node> {
    (0u32..3, 0u32..2, 0u32..3).prop_map(|(first, middle, last)| {
        file(&format!("a{first}\nb\nc\nd\ne{middle}\nf\ng\nh\ni{last}\n"))
    })
}

fn any_tree() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        4 => dressed(any_text()),
        1 => (0u32..4).prop_map(|n| file(&format!("a\n{n}\nc\n"))),
        2 => dressed((0u32..2).prop_map(|n| link(&format!("t{n}")))),
    ];
    let inner = leaf.prop_recursive(3, 20, 4, |inside| {
        dressed(proptest::collection::btree_map("[abc]", inside, 0..4).prop_map(|inside| {
            let inside = inside.into_iter().map(|(name, node)| (name.into_bytes(), node)).collect();
            Node { inside, ..folder([]) }
        }))
    });
    proptest::collection::btree_map("[abcd]", inner, 0..4).prop_map(|inside| {
        let inside = inside.into_iter().map(|(name, node)| (name.into_bytes(), node)).collect();
        Node { inside, ..folder([]) }
    })
}

/// Modes, owners and attributes that were changed here are as they are here.
fn keeps_attributes([old, here, result]: [&List; 3]) -> Result<(), TestCaseError> {
    for (path, (kind, mode, uid, _, xattrs)) in here {
        let was = old.get(path).filter(|was| was.0 == *kind);
        let is = result.get(path).filter(|is| is.0 == *kind);
        if was.is_none_or(|was| was.1 != *mode) {
            prop_assert_eq!(is.map(|is| is.1), Some(*mode), "the mode of {}", path);
        }
        if was.is_some_and(|was| was.2 != *uid) {
            prop_assert_eq!(is.map(|is| is.2), Some(*uid), "the owner of {}", path);
        }
        let had = was.map(|was| was.4.clone()).unwrap_or_default();
        for name in had.keys().chain(xattrs.keys()) {
            if had.get(name) != xattrs.get(name) {
                let value = is.map(|is| is.4.get(name));
                prop_assert_eq!(value, Some(xattrs.get(name)), "an attribute of {}", path);
            }
        }
    }
    Ok(())
}

/// A text that went together has each line that either side has added.
fn holds_all_lines(
    plan: &Plan,
    [old, here, there, result]: [&List; 4],
) -> Result<(), TestCaseError> {
    let lines = |list: &List, path: &str| -> Vec<String> {
        let text = list.get(path).map(|what| String::from_utf8_lossy(&what.3).into_owned());
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    };
    for path in &plan.merged {
        let path = path.to_string();
        let (was, is) = (lines(old, &path), lines(result, &path));
        for line in lines(here, &path).iter().chain(&lines(there, &path)) {
            let is_old = was.contains(line);
            prop_assert!(is_old || is.contains(line), "{}: '{}' is lost", path, line);
        }
    }
    Ok(())
}

/// Whatever was changed here is there, with the content that it has here or one that went
/// together; and nothing is there that neither side has.
fn nothing_is_lost_or_invented([base, ours, theirs]: [&Node; 3]) -> Result<(), TestCaseError> {
    let (new, plan) = merged(base, ours, theirs, &all());
    let [old, here, there, result] = [base, ours, theirs, &new].map(Node::list);
    for (path, (kind, _, _, data, _)) in &here {
        let was = old.get(path).is_some_and(|(k, _, _, d, _)| (k, d) == (kind, data));
        let is_merged = plan.merged.iter().any(|merged| merged.to_string() == *path);
        if *kind != Kind::Folder && !was && !is_merged {
            let is = result.get(path).map(|(k, _, _, d, _)| (k, d));
            prop_assert_eq!(is, Some((kind, data)), "{}", path);
        }
    }
    keeps_attributes([&old, &here, &result])?;
    // What was removed here, and is as it was in the image, does not come back.
    for (path, what) in &old {
        if !here.contains_key(path) && there.get(path) == Some(what) && what.0 != Kind::Folder {
            prop_assert!(!result.contains_key(path), "{} is back", path);
        }
    }
    holds_all_lines(&plan, [&old, &here, &there, &result])?;
    for path in result.keys() {
        let told = path.trim_end_matches(BESIDE);
        let parts = path.split('/').map(|name| name.trim_end_matches(BESIDE));
        let plain = parts.collect::<Vec<_>>().join("/");
        let known = here.contains_key(path)
            || there.contains_key(path)
            || there.contains_key(told)
            || there.contains_key(&plain);
        prop_assert!(known, "{} comes from nowhere", path);
    }
    // What the image changed alone is the image's.
    for (path, what) in &there {
        // A folder of ours in its way may have been changed inside.
        let is_plain = |ours: &&(Kind, u32, u32, Vec<u8>, Xattrs)| ours.0 != Kind::Folder;
        let ours = here.get(path).filter(is_plain);
        let here_too = ours.is_some_and(|ours| old.get(path) == Some(ours));
        if here_too && what.0 != Kind::Folder {
            prop_assert_eq!(result.get(path), Some(what), "{}", path);
        }
    }
    Ok(())
}

/// The trees of the property tests do merge texts, whose changes go together.
#[test]
fn random_trees_have_texts_that_go_together() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut trees = || three_of_one().new_tree(&mut runner).expect("trees").current();
    let together = (0..200).filter(|_| {
        let [base, ours, theirs] = trees();
        !merged(&base, &ours, &theirs, &all()).1.merged.is_empty()
    });
    assert!(together.count() > 10);
}

proptest! {
    #[test]
    fn no_change_here_is_the_image(base in any_tree(), theirs in any_tree()) {
        let (new, conflicts) = of(&base, &base, &theirs);
        prop_assert_eq!(new.list(), theirs.list());
        prop_assert_eq!(conflicts, [""; 0]);
    }

    #[test]
    fn what_is_known_to_be_untouched_needs_no_look(all_three in three_of_one(), stands: bool) {
        let [mut base, mut ours, theirs] = all_three;
        let mut next = 0;
        numbered(&mut base, &mut next);
        numbered_after(Some(&base), &mut ours, &mut next);
        let identity = Pattern::parse("/a").into_iter().collect();
        let rules = Rules { image_stands: stands, identity, ..all() };
        let plan = |trust| merge([&base, &ours, &theirs], trust, &rules).expect("in memory");
        prop_assert_eq!(plan(Trust::SameInode), plan(Trust::Nothing));
    }

    #[test]
    fn no_change_there_is_ours(base in any_tree(), ours in any_tree()) {
        let (new, conflicts) = of(&base, &ours, &base);
        prop_assert_eq!(new.list(), ours.list());
        prop_assert_eq!(conflicts, [""; 0]);
    }

    #[test]
    fn the_same_change_on_both_sides_is_that(base in any_tree(), new in any_tree()) {
        let (merged, conflicts) = of(&base, &new, &new);
        prop_assert_eq!(merged.list(), new.list());
        prop_assert_eq!(conflicts, [""; 0]);
    }

    #[test]
    fn no_edit_is_lost_and_nothing_is_invented(
        base in any_tree(),
        ours in any_tree(),
        theirs in any_tree(),
    ) {
        nothing_is_lost_or_invented([&base, &ours, &theirs])?;
    }

    /// The same where most is alike on all sides, so that the same texts are changed.
    #[test]
    fn no_edit_of_a_tree_that_both_have_is_lost([base, ours, theirs] in three_of_one()) {
        nothing_is_lost_or_invented([&base, &ours, &theirs])?;
    }

    /// Where the image's stands, whatever was changed here is there, or beside it, or in a folder
    /// that is; and the conflicts are those that there are the other way round.
    #[test]
    fn no_edit_is_lost_where_the_image_s_stands(
        base in any_tree(),
        ours in any_tree(),
        theirs in any_tree(),
    ) {
        let rules = Rules { image_stands: true, ..all() };
        let (new, plan) = merged(&base, &ours, &theirs, &rules);
        let (_, kept) = merged(&base, &ours, &theirs, &all());
        let paths = |plan: &Plan| -> Vec<(TreePath, ConflictKind)> {
            plan.conflicts.iter().map(|at| (at.path.clone(), at.kind)).collect()
        };
        prop_assert_eq!(paths(&plan), paths(&kept));
        let [old, here, result] = [&base, &ours, &new].map(Node::list);
        for (path, (kind, _, _, data, _)) in &here {
            let was = old.get(path).is_some_and(|(k, _, _, d, _)| (k, d) == (kind, data));
            let is_merged = plan.merged.iter().any(|merged| merged.to_string() == *path);
            if *kind == Kind::Folder || was || is_merged {
                continue;
            }
            let ends = path.match_indices('/').skip(1).map(|(at, _)| at).chain([path.len()]);
            let beside = ends.map(|end| format!("{}{OURS_BESIDE}{}", &path[..end], &path[end..]));
            let places: Vec<String> = beside.chain([path.clone()]).collect();
            let is = |place: &String| {
                result.get(place).is_some_and(|(k, _, _, d, _)| (k, d) == (kind, data))
            };
            prop_assert!(places.iter().any(is), "{} is lost", path);
        }
    }

    /// What is listed to be taken is ours to the last entry where anything of it was changed, and the
    /// image's else; what is listed nowhere is the image's.
    #[test]
    fn what_is_taken_is_of_one_side(
        base in any_tree(),
        ours in any_tree(),
        theirs in any_tree(),
        same in any::<bool>(),
    ) {
        let mut ours = ours;
        if same {
            match base.inside.get(&b"a"[..]) {
                Some(node) => drop(ours.inside.insert(b"a".to_vec(), node.clone())),
                None => drop(ours.inside.remove(&b"a"[..])),
            }
        }
        let pattern = |text| Pattern::parse(text).expect("a pattern");
        let rules = Rules {
            merged: vec![pattern("/b")],
            taken: vec![pattern("/[a]"), pattern("/b/c")],
            ..Rules::default()
        };
        let (new, plan) = merged(&base, &ours, &theirs, &rules);
        let part = |tree: &Node, at: &str| {
            let mut all = tree.list();
            all.retain(|path, _| path == at || path.starts_with(&format!("{at}/")));
            all
        };
        let changed = part(&base, "/a") != part(&ours, "/a");
        prop_assert_eq!(part(&new, "/a"), part(if changed { &ours } else { &theirs }, "/a"));
        for left in ["/c", "/d"] {
            prop_assert_eq!(part(&new, left), part(&theirs, left));
        }
        let told = plan.conflicts.iter().map(|conflict| conflict.path.to_string());
        prop_assert!(told.into_iter().all(|path| path.starts_with("/b")));
    }

    /// Chains of edits and images: each edit is there until the next one of that file, nothing comes
    /// from nowhere, and the same image once more changes nothing.
    #[test]
    fn chains_lose_and_invent_nothing(
        base in any_tree(),
        steps in proptest::collection::vec(
            (any_tree(), proptest::collection::vec(("[xyz]", 0u32..5), 0..3)), 1..5,
        ),
    ) {
        let mut known: Vec<Vec<u8>> = Vec::new();
        let see = |known: &mut Vec<Vec<u8>>, tree: &Node| {
            known.extend(tree.list().into_values().map(|what| what.3));
        };
        see(&mut known, &base);
        let (mut old, mut ours) = (base.clone(), base);
        let mut edits: BTreeMap<Vec<u8>, Node> = BTreeMap::new();
        for (image, changes) in &steps {
            see(&mut known, image);
            for (name, number) in changes {
                let name = name.clone().into_bytes();
                // A file of our own goes again, or has another content, or is a link.
                match number {
                    0 => drop(edits.remove(&name)),
                    1 => drop(edits.insert(name, link("mine"))),
                    _ => drop(edits.insert(name, file(&format!("mine {number}\n")))),
                }
            }
            ours.inside.retain(|name, _| !matches!(name.as_slice(), b"x" | b"y" | b"z"));
            ours.inside.extend(edits.clone());
            see(&mut known, &ours);
            let (new, plan) = merged(&old, &ours, image, &all());
            for name in [b"x", b"y", b"z"] {
                let is = new.inside.get(&name[..]).map(Node::list);
                prop_assert_eq!(is, edits.get(&name[..]).map(Node::list));
            }
            for (path, (kind, _, _, data, _)) in new.list() {
                let went_together = plan.merged.iter().any(|merged| merged.to_string() == path);
                let is_known = kind == Kind::Folder || went_together || known.contains(&data);
                prop_assert!(is_known, "{} comes from nowhere", path);
                known.push(data);
            }
            let (again, plan) = merged(image, &new, image, &all());
            prop_assert_eq!(again.list(), new.list());
            prop_assert!(plan.conflicts.is_empty() && plan.merged.is_empty());
            (old, ours) = (image.clone(), new);
        }
    }

    /// Chains: what was changed once and never touched again by anybody is there at the end.
    #[test]
    fn edits_come_through_chains(base in any_tree(), images in proptest::collection::vec(any_tree(), 1..5)) {
        let mut ours = base.clone();
        ours.inside.insert(b"edited".to_vec(), file("mine"));
        let mut old = base;
        for image in &images {
            let (new, _) = merged(&old, &ours, image, &all());
            prop_assert_eq!(new.get(b"edited").ok().map(|node| node.data.clone()), Some(b"mine".to_vec()));
            (old, ours) = (image.clone(), new);
        }
    }
}
