//! Two ext4 compared by their blocks: the list must be that of a walk over everything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::{Diff, Trust};
use crate::ext4::testing::{Counted, FileDev, Sample, run};
use crate::ext4::{Apart, Entered, Extent, Pair, Plain, Tree};
use crate::tree::Folder;
use crate::units::Bytes;

const USUAL: &str =
    "-t ext4 -b 1024 -g 8192 -I 256 -O metadata_csum,64bit,extent,has_journal,ext_attr";
const CHUNK: usize = 64 << 10;

/// Folders with files that are all different.
fn fill(root: &Path) -> io::Result<()> {
    for folder in 0..14 {
        let path = root.join(format!("d{folder}/sub"));
        fs::create_dir_all(&path)?;
        for file in 0..12u32 {
            let text = format!("{folder} {file} ").repeat(1 + 300 * (file as usize % 4));
            fs::write(path.parent().expect("it has one").join(format!("f{file}")), text)?;
        }
        std::os::unix::fs::symlink(format!("../d{folder}"), path.join("link"))?;
        fs::write(path.join("s"), format!("sub {folder}"))?;
    }
    fs::hard_link(root.join("d3/f2"), root.join("d11/hard"))?;
    fs::write(root.join("large"), vec![7; 3_000_000])
}

/// A file system, and a copy of it that changes.
struct Layers {
    base: Sample,
    layer: PathBuf,
}

impl Layers {
    fn new(args: &str) -> Self {
        let base = Sample::of(args, "48M", fill);
        let layer = base.dir.path().join("layer.img");
        fs::copy(&base.path, &layer).expect("there is room");
        fs::write(base.dir.path().join("new"), "something new").expect("there is room");
        Self { base, layer }
    }

    /// Lets debugfs do all this to the copy. `NEW` is a file to write; `touch F` stands for what
    /// the kernel does to a folder that has changed.
    fn edit(&self, commands: &[String]) {
        let new = self.base.dir.path().join("new").display().to_string();
        let mut script = String::new();
        for (count, command) in commands.iter().enumerate() {
            let line = match command.strip_prefix("touch ") {
                Some(folder) => format!("set_inode_field {folder} version {}", count + 3),
                None => command.replace("NEW", &new),
            };
            script.push_str(&line);
            script.push('\n');
        }
        let file = self.base.dir.path().join("commands");
        fs::write(&file, script).expect("there is room");
        let (file, layer) = (file.display().to_string(), self.layer.display().to_string());
        run("debugfs", &["-w", "-f", &file, &layer]);
    }

    /// The chunks whose bytes differ, and some more.
    fn changed(&self, more: &[usize]) -> Vec<Extent> {
        let (a, b) =
            (fs::read(&self.base.path).expect("ours"), fs::read(&self.layer).expect("ours"));
        let chunks = a.chunks(CHUNK).zip(b.chunks(CHUNK)).enumerate();
        let differing = chunks.filter(|(index, (a, b))| a != b || more.contains(index));
        let byte = |index: usize| Bytes::new((index * CHUNK) as u64);
        differing.map(|(index, _)| byte(index)..byte(index + 1)).collect()
    }

    /// What comparing by blocks tells, and what a walk over everything does.
    fn both(&self, more: &[usize]) -> [Vec<String>; 2] {
        let (a, b) = (self.base.dev(), FileDev::open(&self.layer));
        let (a, b) = (Tree::open(&a).expect("clean"), Tree::open(&b).expect("clean"));
        let pair = Pair::new(&a, &b, self.changed(more)).expect("readable").expect("of one make");
        let (view_a, view_b) = pair.roots().expect("readable");
        let by_blocks = Diff::new(view_a, view_b, Trust::SameInode);
        [lines(by_blocks), by_walk(&a, &b)]
    }

    /// False where debugfs left what no kernel does, as it does where it refuses half-way.
    fn is_whole(&self) -> bool {
        run("e2fsck", &["-fn", &self.layer.display().to_string()]).0 == Some(0)
    }

    fn told(&self) -> Vec<String> {
        let [by_blocks, by_walk] = self.both(&[]);
        assert_eq!(by_blocks, by_walk);
        by_blocks
    }

    fn apart(&self) -> Apart {
        let (a, b) = (self.base.dev(), FileDev::open(&self.layer));
        let (a, b) = (Tree::open(&a).expect("clean"), Tree::open(&b).expect("clean"));
        Pair::new(&a, &b, self.changed(&[])).expect("readable").err().expect("not of one make")
    }
}

fn by_walk(a: &Tree<'_>, b: &Tree<'_>) -> Vec<String> {
    let entered = [Entered::default(), Entered::default()];
    let [a, b] = [(a, &entered[0]), (b, &entered[1])]
        .map(|(tree, entered)| Plain::root(tree, entered).expect("readable"));
    lines(Diff::new(a, b, Trust::SameInode))
}

fn lines<F: Folder>(diff: Diff<F>) -> Vec<String> {
    diff.map(|change| change.map_or_else(|e| format!("{e:?}"), |change| change.to_string()))
        .collect()
}

fn owned(commands: &[&str]) -> Vec<String> {
    commands.iter().map(|&command| command.to_owned()).collect()
}

#[test]
fn what_did_not_change_is_not_told() {
    let layers = Layers::new(USUAL);
    assert_eq!(layers.told(), [""; 0]);
    // The times at which things were read, as a mount without `noatime` leaves them.
    layers.edit(&owned(&[
        "set_inode_field d1/f1 atime 20300101",
        "set_inode_field d2 atime 20300101",
    ]));
    assert_eq!(layers.told(), [""; 0]);
}

#[test]
fn every_kind_of_change_is_told_once_for_each_name() {
    let layers = Layers::new(USUAL);
    layers.edit(&owned(&[
        "write NEW d1/added",
        "touch d1",
        "rm d2/f0",
        "touch d2",
        // Takes the inode that has just become free.
        "write NEW d2/again",
        "mkdir d4/folder",
        "touch d4",
        "set_inode_field d3/f2 uid 5",
        "set_inode_field d3/f2 ctime 20300101",
        "set_inode_field d5/sub mode 040700",
        "set_inode_field d6/sub/s mode 0100600",
        "ea_set d7/f3 user.x y",
        "set_inode_field d7/f3 ctime 20300101",
        "rm d8/sub/link",
        "symlink d8/sub/link elsewhere",
        "touch d8/sub",
    ]));
    let want = [
        "added /d1/added",
        "changed /d11/hard (owner)",
        "added /d2/again",
        "removed /d2/f0",
        "changed /d3/f2 (owner)",
        "added /d4/folder",
        "changed /d5/sub (mode)",
        "changed /d6/sub/s (mode)",
        "changed /d7/f3 (xattr)",
        "changed /d8/sub/link (target)",
    ];
    assert_eq!(layers.told(), want);
}

#[test]
fn content_is_compared_and_not_where_it_lies() {
    let layers = Layers::new(USUAL);
    let original = layers.base.source().join("d9/f3").display().to_string();
    layers.edit(&[
        "rm d9/f3".to_owned(),
        // Elsewhere, as the blocks are still taken by this when the other is written.
        "write NEW d9/between".to_owned(),
        format!("write {original} d9/f3"),
        "set_inode_field d9/f3 mode 0100644".to_owned(),
        "touch d9".to_owned(),
        "set_inode_field large ctime 20300101".to_owned(),
    ]);
    assert_eq!(layers.told(), ["added /d9/between"]);
    // One byte of the large file, in place.
    let mut bytes = fs::read(&layers.layer).expect("ours");
    let said = run("debugfs", &["-R", "bmap /large 2000", &layers.layer.display().to_string()]).1;
    let block: usize = said.lines().find_map(|line| line.trim().parse().ok()).expect("a block");
    bytes[block * 1024 + 77] = 8;
    fs::write(&layers.layer, bytes).expect("there is room");
    assert_eq!(layers.told(), ["added /d9/between", "changed /large (content)"]);
}

#[test]
fn a_folder_that_has_moved_is_told_with_all_in_it() {
    let layers = Layers::new(USUAL);
    layers.edit(&owned(&[
        "link d5 d6/moved",
        "unlink d5",
        "touch d6",
        "touch /",
        "touch d6/moved",
    ]));
    let told = layers.told();
    assert_eq!(told.iter().filter(|line| line.starts_with("removed /d5")).count(), 16, "{told:?}");
    assert_eq!(told.iter().filter(|line| line.starts_with("added /d6/moved")).count(), 16);
    assert_eq!(told.len(), 32);
}

#[test]
fn file_systems_that_cannot_be_compared_so_are_told_apart() {
    let layers = Layers::new(USUAL);
    let layer = layers.layer.display().to_string();
    let edit = |commands: &[&str]| layers.edit(&owned(commands));
    edit(&["set_super_value lastcheck 20300101"]);
    assert_eq!(layers.apart(), Apart::Checked);
    edit(&["set_super_value mkfs_time 20300101"]);
    assert_eq!(layers.apart(), Apart::Made);
    edit(&["feature encrypt"]);
    assert_eq!(layers.apart(), Apart::Feature);
    edit(&["set_super_value state 0"]);
    assert_eq!(layers.apart(), Apart::NotClean);
    fs::copy(&layers.base.path, &layer).expect("there is room");
    assert_eq!(run("resize2fs", &[&layer, "40M"]).0, Some(0));
    assert_eq!(layers.apart(), Apart::Layout);
}

#[test]
fn it_costs_what_changed_and_not_what_there_is() {
    let base = Sample::of(USUAL, "256M", |root| {
        for folder in 0..1500 {
            let path = root.join(format!("{}/{folder}", folder % 30));
            fs::create_dir_all(&path)?;
            (0..6).try_for_each(|file| {
                fs::write(path.join(format!("{file}")), format!("{folder}"))
            })?;
        }
        Ok(())
    });
    let layer = base.dir.path().join("layer.img");
    fs::copy(&base.path, &layer).expect("there is room");
    let layers = Layers { layer, base };
    layers.edit(&owned(&["set_inode_field 7/757/3 mode 0100600", "set_inode_field 9/9/0 uid 7"]));
    let changed = layers.changed(&[]);
    let devs = [layers.base.dev(), FileDev::open(&layers.layer)].map(|dev| Counted(dev, 0.into()));
    let read = || devs.iter().map(|dev| dev.1.swap(0, Ordering::Relaxed)).sum::<u64>();
    let open = || devs.each_ref().map(|dev| Tree::open(dev).expect("clean"));
    let [a, b] = open();
    let pair = Pair::new(&a, &b, changed).expect("readable").expect("of one make");
    let (view_a, view_b) = pair.roots().expect("readable");
    let told = lines(Diff::new(view_a, view_b, Trust::SameInode));
    assert_eq!(told, ["changed /7/757/3 (mode)", "changed /9/9/0 (owner)"]);
    let by_blocks = read();
    let [a, b] = open();
    assert_eq!(by_walk(&a, &b), told);
    let by_walk = read();
    assert!(by_blocks * 6 < by_walk, "{by_blocks} bytes, and {by_walk} by the walk");
}

/// Something that is done to the copy, by numbers that choose folders and files.
fn command() -> impl Strategy<Value = Vec<String>> {
    let folder = || {
        (0..14, prop_oneof![Just(""), Just("/sub"), Just("/n1")])
            .prop_map(|(number, below)| format!("d{number}{below}"))
    };
    let name = || {
        prop_oneof![
            4 => (0..12).prop_map(|number| format!("f{number}")),
            1 => (0..4).prop_map(|number| format!("n{number}")),
            1 => Just("s".to_owned()),
            1 => Just("link".to_owned()),
        ]
    };
    (folder(), name(), folder(), name(), 0..11).prop_map(|(folder, name, other, new, what)| {
        let (path, target) = (format!("{folder}/{name}"), format!("{other}/{new}"));
        let touch = |folder: &str| format!("touch {folder}");
        match what {
            0 => vec![format!("write NEW {path}"), touch(&folder)],
            1 | 2 => vec![format!("rm {path}"), touch(&folder)],
            3 => vec![format!("mkdir {path}"), touch(&folder)],
            4 => vec![format!("rmdir {path}"), touch(&folder)],
            // A rename.
            5 => vec![
                format!("link {path} {target}"),
                format!("unlink {path}"),
                touch(&folder),
                touch(&other),
            ],
            6 => vec![format!("set_inode_field {path} mode 0100600")],
            7 => vec![format!("set_inode_field {path} gid 44")],
            8 => vec![
                format!("ea_set {path} user.test {new}"),
                format!("set_inode_field {path} ctime 20310101"),
            ],
            9 => vec![format!("symlink {path} {target}"), touch(&folder)],
            _ => vec![format!("set_inode_field {path} mtime 20310101")],
        }
    })
}

fn same_lists(args: &str, cases: u32) {
    let layers = Layers::new(args);
    let config = ProptestConfig { cases, failure_persistence: None, ..Default::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let more = proptest::collection::vec(0usize..768, 0..20);
    let commands = proptest::collection::vec(command(), 1..9);
    let told = std::cell::Cell::new(0);
    let result = runner.run(&(commands, more), |(commands, more)| {
        fs::copy(&layers.base.path, &layers.layer).expect("there is room");
        layers.edit(&commands.concat());
        prop_assume!(layers.is_whole());
        let [by_blocks, by_walk] = layers.both(&more);
        told.set(told.get() + by_walk.len());
        prop_assert_eq!(by_blocks, by_walk);
        Ok(())
    });
    result.expect("both lists are the same");
    assert!(told.get() > cases as usize / 4, "the edits changed next to nothing");
}

#[test]
fn any_edits_give_the_list_of_a_walk_over_everything() {
    same_lists(USUAL, 60);
    same_lists("-t ext4 -b 4096 -I 256 -O ^metadata_csum,extent,inline_data,ext_attr", 40);
    same_lists("-t ext2 -b 1024 -I 128 -O ext_attr", 30);
}
