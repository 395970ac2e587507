//! The state of a layer carried over to the next, in trees of the real machine.

use std::io::{self, Read};
use std::path::Path;

use super::accounts::IdMap;
use super::apply::{self, Target};
use super::rules::Treatment;
use super::side::Side;
use super::{
    Action, Carried, Identity, Labelling, LateEdit, MACHINE_ID, OURS_BESIDE, OnConflict, Pattern,
    Plan, Rules, Step, Wishes, late_edits, merge, selinux,
};
use crate::diff::{Mounted, Trust};
use crate::error::{Error, ErrorKind, Result};
use crate::tree::{Folder, Kind, Part, TreePath};

/// What is merged on any host, with all that is in it.
const MERGED: [&str; 2] = ["/etc", "/root"];

/// What makes a host be itself: ours, also where the image brings its own.
const IDENTITY: [&str; 3] = [MACHINE_ID, "/etc/iscsi/initiatorname.iscsi", "/etc/ssh/ssh_host_*"];

/// What programs make of other files and of what is in the image, or keep as a copy: the image's. And
/// what is no layer's on any host.
const LEFT: [&str; 19] = [
    "/dev",
    "/etc/.pwd.lock",
    "/etc/.updated",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/ld.so.cache",
    "/etc/passwd-",
    "/etc/selinux/*/active",
    "/etc/selinux/*/contexts/files/*.bin",
    "/etc/selinux/*/contexts/files/file_contexts",
    "/etc/selinux/*/contexts/files/file_contexts.homedirs",
    "/etc/selinux/*/policy",
    "/etc/shadow-",
    "/etc/subgid-",
    "/etc/subuid-",
    "/etc/udev/hwdb.bin",
    "/proc",
    "/run",
    "/sys",
];

/// More than this of a table of accounts or contexts is not read.
const READ_MOST: u64 = 16 << 20;

/// Carries over to the tree at `new` what was changed from the one at `base` to the one at `ours`, a
/// snapshot of it; what the line of the root in fstab names is no change, `root` is what it is to
/// name. `wishes` add to what is carried over. Nothing is durable before the file system is synced.
///
/// # Errors
/// Those of the file systems, naming the path; [`Exists`](ErrorKind::Exists) for what is in conflict,
/// where the wishes allow none. The new tree is of no use then.
///
/// # Commit point
/// None: the new tree belongs to nothing yet.
pub fn carry(trees: [&Path; 3], root: &str, wishes: &Wishes) -> Result<Carried> {
    let [_, ours, new] = trees;
    let trees = open(trees)?;
    let rules = rules([&trees[1], &trees[2]], root, wishes)?;
    let plan = plan(trees, &rules, wishes)?;
    let mut carried = Carried::default();
    // All is planned before the first change. Owners first: what is copied has ours already.
    if !rules.ids.is_empty() {
        carried.owners_changed = apply::map_ids(new, &rules.ids)?;
    }
    Target { root: new, ours }.apply(&plan)?;
    let paths = changed(&plan);
    let theirs = open_at(new)?;
    let policy = selinux::other_policy([&open_at(ours)?, &theirs])?;
    carried.note(plan, policy.is_some());
    if let Some(contexts) = policy.filter(|_| carried.relabels) {
        // In any case, for as long as nothing is labelled.
        let (marked, program) = (selinux::mark(new)?, selinux::program(&theirs)?);
        carried.to_label = program.map(|program| Labelling { program, contexts, paths, marked });
    }
    Ok(carried)
}

/// What [`carry`] would do with a new tree of which only a part is there, what
/// [`is_carried`] wants: nothing is changed. Owners that would change are not counted.
///
/// # Errors
/// Those of the file systems.
pub fn preview(
    [base, ours]: [&Path; 2],
    image: &Part<'_>,
    root: &str,
    wishes: &Wishes,
) -> Result<Carried> {
    let [base, ours] = [base, ours].map(|tree| open_at(tree).map(Side::Mounted));
    let trees = [base?, ours?, Side::Part(image.root())];
    let rules = rules([&trees[1], &trees[2]], root, wishes)?;
    let policy = selinux::other_policy([&trees[1], &trees[2]])?;
    let mut carried = Carried::default();
    carried.note(plan(trees, &rules, wishes)?, policy.is_some());
    Ok(carried)
}

/// What is to be done; refused where there is a conflict and none is to be.
fn plan<F: Folder>(trees: [F; 3], rules: &Rules, wishes: &Wishes) -> Result<Plan> {
    // The layer began as a snapshot of its base.
    let plan = merge(trees, Trust::SameInode, rules)?;
    if wishes.on_conflict != OnConflict::Fail || plan.conflicts.is_empty() {
        return Ok(plan);
    }
    let paths: Vec<String> = plan.conflicts.iter().map(|at| at.path.to_string()).collect();
    let why = format!("changed here and otherwise in the image: {}", paths.join(", "));
    Err(Error::new(ErrorKind::Exists, why).op("carry over without a conflict"))
}

/// Whether a path may be carried over, or leads to one that may be.
pub fn is_carried(wishes: &Wishes) -> impl Fn(&TreePath) -> bool {
    let rules = rules_for(wishes);
    move |path| rules.treatment(path, false) != Treatment::Left
}

/// What was changed in the tree at `old`, of which [`carry`] has made the one at `now`, at `since` or
/// later, in seconds since 1970: see [`late_edits`]. `before` is what both began as.
///
/// # Errors
/// Those of the file systems.
pub fn changed_late(
    [before, old, now]: [&Path; 3],
    since: i64,
    root: &str,
    wishes: &Wishes,
) -> Result<Vec<LateEdit>> {
    let trees = open([before, old, now])?;
    let rules = rules([&trees[1], &trees[2]], root, wishes)?;
    late_edits(trees, since, &rules)
}

fn open(trees: [&Path; 3]) -> Result<[Mounted; 3]> {
    let [base, old, new] = trees.map(open_at);
    Ok([base?, old?, new?])
}

pub(super) fn open_at(tree: &Path) -> Result<Mounted> {
    Mounted::open(tree).map_err(|error| Error::io(error).op("open the tree").at(tree.display()))
}

/// What is carried over from a layer to a new tree, on any host and by its owner's wishes.
fn rules<F: Folder>([ours, new]: [&F; 2], root: &str, wishes: &Wishes) -> Result<Rules> {
    let (ids, root) = (id_map(ours, new)?, Some(root.to_owned()));
    Ok(Rules { ids, root, ..rules_for(wishes) })
}

fn rules_for(wishes: &Wishes) -> Rules {
    let patterns = |paths: &[&str]| paths.iter().flat_map(|path| Pattern::parse(path)).collect();
    let merged: Vec<Pattern> = patterns(&MERGED);
    let (identity, renewed) = match wishes.identity {
        Identity::Keep => (patterns(&IDENTITY), Vec::new()),
        Identity::New => (Vec::new(), patterns(&IDENTITY)),
    };
    Rules {
        merged: [merged, wishes.rebase.clone()].concat(),
        taken: wishes.files.clone(),
        identity,
        renewed,
        left: patterns(&LEFT),
        mounts: wishes.mounts.clone(),
        image_stands: wishes.on_conflict == OnConflict::Image,
        ..Rules::default()
    }
}

impl Carried {
    fn note(&mut self, plan: Plan, is_another_policy: bool) {
        for step in &plan.steps {
            match step.action {
                Action::Remove => self.removed = self.removed.saturating_add(1),
                Action::SetAside => {}
                _ => self.taken = self.taken.saturating_add(1),
            }
        }
        self.merged.extend(plan.merged);
        self.conflicts.extend(plan.conflicts);
        self.skipped.extend(plan.skipped);
        self.relabels = self.taken > 0 && is_another_policy;
    }
}

/// What a plan makes, or makes otherwise, but for folders of the image that stay folders: what labels
/// one labels all that is in it.
fn changed(plan: &Plan) -> Vec<TreePath> {
    let comes = |step: &&Step| match step.action {
        Action::Remove | Action::SetAside => false,
        Action::Meta(_) | Action::Content(_) => step.entry != Kind::Folder,
        Action::Copy | Action::HardLink(_) | Action::Beside => true,
    };
    let path = |step: &Step| match (&step.action, &step.path) {
        (Action::Beside, path) => path.with(OURS_BESIDE),
        (_, path) => path.clone(),
    };
    plan.steps.iter().filter(comes).map(path).collect()
}

/// There is nothing of that name, or no folder.
fn is_none(error: &io::Error) -> bool {
    let is_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    is_link || matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn id_map<F: Folder>(ours: &F, new: &F) -> Result<IdMap> {
    let tables = |root| Ok::<_, Error>([table(root, "passwd")?, table(root, "group")?]);
    let (ours, theirs) = (tables(ours)?, tables(new)?);
    let [passwd, group] = &ours;
    let [their_passwd, their_group] = &theirs;
    Ok(IdMap::new([passwd, group], [their_passwd, their_group]))
}

fn table<F: Folder>(root: &F, name: &str) -> Result<Vec<u8>> {
    read(root, &["etc", name])
}

/// A file of a tree, no link followed; nothing where there is none.
pub(super) fn read<F: Folder>(root: &F, names: &[&str]) -> Result<Vec<u8>> {
    match read_in(root, names) {
        Err(error) if !is_none(&error) => {
            Err(Error::io(error).op("read").at(format_args!("/{}", names.join("/"))))
        }
        read => Ok(read.unwrap_or_default()),
    }
}

fn read_in<F: Folder>(folder: &F, names: &[&str]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match names {
        [] => {}
        [name] => {
            folder.file(name.as_bytes())?.take(READ_MOST).read_to_end(&mut bytes)?;
        }
        [name, inside @ ..] => return read_in(&folder.folder(name.as_bytes())?, inside),
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    struct Trees {
        _folder: tempfile::TempDir,
        base: PathBuf,
        ours: PathBuf,
        new: PathBuf,
    }

    /// Three trees: the layer begins as its base is.
    fn trees(base: &[(&str, &str)], new: &[(&str, &str)]) -> Trees {
        let folder = tempfile::tempdir().expect("a folder");
        let [base_at, ours, new_at] = ["base", "ours", "new"].map(|name| folder.path().join(name));
        for (root, files) in [(&base_at, base), (&ours, base), (&new_at, new)] {
            fs::create_dir_all(root.join("etc")).expect("made");
            files.iter().for_each(|(path, content)| write(root, path, content));
        }
        Trees { _folder: folder, base: base_at, ours, new: new_at }
    }

    fn over(all: &Trees) -> Result<Carried> {
        wished(all, &Wishes::default())
    }

    fn wished(all: &Trees, wishes: &Wishes) -> Result<Carried> {
        carry([&all.base, &all.ours, &all.new], "/dev/mapper/HostVG-N", wishes)
    }

    fn write(root: &Path, path: &str, content: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(path, content).expect("written");
    }

    fn read(root: &Path, path: &str) -> String {
        fs::read_to_string(root.join(path)).unwrap_or_else(|error| format!("{path}: {error}"))
    }

    #[test]
    fn changes_come_along_with_all_that_belongs_to_them() {
        let base = [("etc/conf", "a\nb\nc\nd\ne\n"), ("etc/gone", "1"), ("etc/d/x", "1")];
        let all =
            trees(&base, &[("etc/conf", "a\nb\nc\nd\nE\n"), ("etc/gone", "1"), ("etc/d/x", "2")]);
        write(&all.ours, "etc/conf", "A\nb\nc\nd\ne\n");
        fs::remove_file(all.ours.join("etc/gone")).expect("removed");
        write(&all.ours, "etc/deep/er/file", "mine");
        let mine = all.ours.join("etc/deep/er/file");
        fs::set_permissions(&mine, fs::Permissions::from_mode(0o4751)).expect("set");
        fs::hard_link(&mine, all.ours.join("etc/deep/other")).expect("linked");
        symlink("/nowhere", all.ours.join("etc/link")).expect("linked");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            all.ours.join("etc/pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o620),
            0,
        )
        .expect("made");
        write(&all.ours, "root/.profile", "mine");
        let carried = over(&all).expect("it is done");
        assert_eq!(read(&all.new, "etc/conf"), "A\nb\nc\nd\nE\n");
        assert_eq!(read(&all.new, "etc/d/x"), "2");
        assert!(!all.new.join("etc/gone").exists());
        assert_eq!(read(&all.new, "root/.profile"), "mine");
        let [old, copy, other] = [
            all.ours.join("etc/deep/er/file"),
            all.new.join("etc/deep/er/file"),
            all.new.join("etc/deep/other"),
        ]
        .map(|path| fs::metadata(path).expect("there"));
        assert_eq!((copy.mode(), copy.mtime(), copy.ino()), (old.mode(), old.mtime(), other.ino()));
        assert_eq!(fs::read_link(all.new.join("etc/link")).expect("a link"), Path::new("/nowhere"));
        let [one, other] = [&all.ours, &all.new]
            .map(|root| fs::symlink_metadata(root.join("etc/pipe")).expect("there").mode());
        assert_eq!(one, other);
        assert_eq!(carried.conflicts, []);
        assert_eq!((carried.merged.len(), carried.removed), (1, 1));
        // Nothing is left behind, and the second time there is nothing to do but what merges again.
        assert!(!all.new.join("etc/.imgbase-new").exists());
        let after = all.new.join("etc/deep");
        let names: Vec<_> =
            fs::read_dir(after).expect("there").map(|e| e.expect("one").file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn the_image_s_may_stand_or_nothing_is_done() {
        let base = [("etc/motd", "1\n"), ("etc/sort", "1")];
        let all = trees(&base, &[("etc/motd", "3\n"), ("etc/sort", "3")]);
        write(&all.ours, "etc/motd", "2\n");
        fs::set_permissions(all.ours.join("etc/motd"), fs::Permissions::from_mode(0o600))
            .expect("set");
        fs::remove_file(all.ours.join("etc/sort")).expect("removed");
        write(&all.ours, "etc/sort/deep/x", "2");
        let wishes = |on_conflict| Wishes { on_conflict, ..Wishes::default() };
        let error = wished(&all, &wishes(OnConflict::Fail)).expect_err("two");
        assert_eq!(error.kind(), ErrorKind::Exists);
        assert!(error.to_string().contains("/etc/motd, /etc/sort"), "{error}");
        assert_eq!(fs::read_dir(all.new.join("etc")).expect("there").count(), 2, "as it was");
        let carried = wished(&all, &wishes(OnConflict::Image)).expect("it is done");
        assert_eq!(carried.conflicts.len(), 2);
        assert!(carried.conflicts.iter().all(|conflict| conflict.image_stands));
        assert_eq!([read(&all.new, "etc/motd"), read(&all.new, "etc/sort")], ["3\n", "3"]);
        assert_eq!(read(&all.new, "etc/motd.imgold"), "2\n");
        assert_eq!(read(&all.new, "etc/sort.imgold/deep/x"), "2");
        let mode = |name: &str| fs::metadata(all.new.join(name)).expect("there").mode() & 0o7777;
        assert_eq!(mode("etc/motd.imgold"), 0o600);
        assert_eq!(fs::read_dir(all.new.join("etc")).expect("there").count(), 4);
    }

    #[test]
    fn what_is_ours_inherits_no_rights_from_the_image_s_folder() {
        let all = trees(&[("etc/d/x", "1")], &[("etc/d/x", "1")]);
        let folder = all.new.join("etc/d");
        let acl = [2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 6, 0, 49, 212, 0, 0];
        let more = [4, 0, 5, 0, 255, 255, 255, 255, 16, 0, 7, 0, 255, 255, 255, 255];
        let acl = [&acl[..], &more, &[32, 0, 0, 0, 255, 255, 255, 255]].concat();
        let (name, how) = ("system.posix_acl_default", rustix::fs::XattrFlags::empty());
        rustix::fs::lsetxattr(&folder, name, &acl, how).expect("set");
        write(&all.ours, "etc/d/mine", "mine");
        write(&all.ours, "etc/d/deep/mine", "mine");
        over(&all).expect("it is done");
        for path in ["etc/d/mine", "etc/d/deep", "etc/d/deep/mine"] {
            let mut names = [0; 256];
            let path = all.new.join(path);
            let len = rustix::fs::llistxattr(&path, &mut names[..]).expect("there");
            assert_eq!(len, 0, "{}", path.display());
        }
    }

    #[test]
    fn no_link_leads_out_of_a_tree() {
        let all = trees(&[("etc/d/x", "1")], &[]);
        let outside = all.new.parent().expect("it has one").join("outside");
        fs::create_dir(&outside).expect("made");
        // In the image the folder is a link to the outside; in the layer what was in it changed.
        symlink(&outside, all.new.join("etc/d")).expect("linked");
        write(&all.ours, "etc/d/x", "2");
        write(&all.ours, "etc/d/y", "3");
        let carried = over(&all).expect("it is done");
        assert_eq!(fs::read_dir(&outside).expect("there").count(), 0);
        assert_eq!(
            (read(&all.new, "etc/d/x"), read(&all.new, "etc/d/y")),
            ("2".into(), "3".into())
        );
        assert_eq!(fs::read_link(all.new.join("etc/d.imgnew")).expect("aside"), outside);
        assert_eq!(carried.conflicts.len(), 1, "{:?}", carried.conflicts);
        // A whole /etc that is a link is none.
        let odd = trees(&[("etc/x", "1")], &[]);
        fs::remove_dir(odd.new.join("etc")).expect("empty");
        symlink(&outside, odd.new.join("etc")).expect("linked");
        write(&odd.ours, "etc/x", "2");
        let error = over(&odd);
        assert_eq!(fs::read_dir(&outside).expect("there").count(), 0, "{error:?}");
    }

    #[test]
    fn a_root_that_is_named_by_imgbase_is_no_change() {
        let table = |root: &str, rest: &str| format!("{root} / ext4 defaults 0 1\n{rest}");
        let (old, new) = ("UUID=1", "UUID=2");
        let image = [("etc/fstab", &*table(new, "tmp /tmp tmpfs rw 0 0\n"))];
        let all = trees(&[("etc/fstab", &table(old, ""))], &image);
        // Nothing was changed but by us.
        write(&all.ours, "etc/fstab", &table("/dev/mapper/HostVG-Base--1--0+1", ""));
        let carried = over(&all).expect("it is done");
        assert_eq!((carried.conflicts, carried.merged, carried.taken), (vec![], vec![], 0));
        assert_eq!(read(&all.new, "etc/fstab"), table(new, "tmp /tmp tmpfs rw 0 0\n"));
        // The root's own line has other options here, and another line is new in the image.
        let rest = "# a\n# b\n# c\n";
        let image = table(new, &format!("{rest}tmp /tmp tmpfs rw 0 0\n"));
        let all = trees(&[("etc/fstab", &table(old, rest))], &[("etc/fstab", &image)]);
        let mine = table("/dev/mapper/HostVG-Base--1--0+1", rest);
        write(&all.ours, "etc/fstab", &mine.replace("defaults", "noatime"));
        let carried = over(&all).expect("it is done");
        assert_eq!((carried.conflicts, carried.merged.len()), (vec![], 1));
        let wanted = image.replace("defaults", "noatime").replace(new, "/dev/mapper/HostVG-N");
        assert_eq!(read(&all.new, "etc/fstab"), wanted);
    }

    #[test]
    fn what_is_listed_comes_along() {
        let base = [
            ("opt/app/bin", "1"),
            ("opt/app/data", "1"),
            ("opt/lib/x", "1"),
            ("usr/local/etc/conf", "a\nb\nc\nd\ne\n"),
            ("var/log/x", "1"),
        ];
        let image = [
            ("opt/app/bin", "2"),
            ("opt/app/new", "2"),
            ("opt/lib/x", "2"),
            ("usr/local/etc/conf", "a\nb\nc\nd\nE\n"),
            ("var/log/x", "2"),
        ];
        let all = trees(&base, &image);
        let outside = all.new.parent().expect("it has one").join("outside");
        fs::create_dir(&outside).expect("made");
        write(&outside, "file", "1");
        for (path, content) in [
            ("opt/app/data", "mine"),
            ("opt/only/deep/file", "mine"),
            ("usr/local/etc/conf", "A\nb\nc\nd\ne\n"),
            ("var/log/x", "mine"),
            ("var/lib/unlisted", "mine"),
            ("srv/moved/file", "mine"),
        ] {
            write(&all.ours, path, content);
        }
        symlink(&outside, all.ours.join("opt/out")).expect("linked");
        fs::create_dir_all(all.new.join("srv")).expect("made");
        symlink(&outside, all.new.join("srv/moved")).expect("linked");
        let pattern = |text: &str| Pattern::parse(text).expect("a pattern");
        let wishes = Wishes {
            files: ["/opt/a*", "/opt/lib", "/opt/only/deep", "/var/log/x", "/opt/out/file"]
                .map(pattern)
                .into(),
            rebase: ["/usr/local/etc", "/srv/moved/file"].map(pattern).into(),
            mounts: vec![TreePath::from_text("/var/log").expect("a path")],
            ..Wishes::default()
        };
        let carried = wished(&all, &wishes).expect("it is done");
        let has = |path: &str| read(&all.new, path);
        // Changed here: ours, as it is here. Not changed here: the image's.
        assert_eq!((has("opt/app/bin"), has("opt/app/data")), ("1".into(), "mine".into()));
        assert!(!all.new.join("opt/app/new").exists());
        assert_eq!(has("opt/lib/x"), "2");
        assert_eq!(has("opt/only/deep/file"), "mine");
        assert_eq!(has("usr/local/etc/conf"), "A\nb\nc\nd\nE\n");
        assert_eq!(has("var/log/x"), "2");
        assert!(!all.new.join("var/lib/unlisted").exists());
        // Nobody follows a link.
        assert_eq!(fs::read_dir(&outside).expect("there").count(), 1);
        assert_eq!(read(&outside, "file"), "1");
        let skipped: Vec<String> = carried.skipped.iter().map(ToString::to_string).collect();
        let begins = |text: &str| skipped.iter().any(|told| told.starts_with(text));
        assert!(skipped.len() == 3 && begins("/var/log: a file system of its own"), "{skipped:?}");
        assert!(begins("/opt/out: a link") && begins("/srv/moved: no folder"), "{skipped:?}");
        assert_eq!(carried.conflicts, []);
    }

    #[test]
    fn a_host_stays_who_it_is() {
        let made = [("etc/machine-id", ""), ("etc/ld.so.cache", "1"), ("etc/hostname", "image\n")];
        let all = trees(
            &made,
            &[
                ("etc/machine-id", "uninitialized\n"),
                ("etc/ssh/ssh_host_rsa_key", "image"),
                ("etc/ld.so.cache", "3"),
                ("etc/hostname", "image\n"),
            ],
        );
        for (path, content) in [
            ("etc/machine-id", "abc\n"),
            ("etc/ssh/ssh_host_rsa_key", "host"),
            ("etc/ld.so.cache", "2"),
            ("etc/hostname", "host\n"),
        ] {
            write(&all.ours, path, content);
        }
        let carried = over(&all).expect("it is done");
        assert_eq!(carried.conflicts, []);
        let has = |path: &str| read(&all.new, path);
        assert_eq!(has("etc/machine-id"), "abc\n");
        assert_eq!(has("etc/ssh/ssh_host_rsa_key"), "host");
        assert_eq!(has("etc/ld.so.cache"), "3");
        assert_eq!(has("etc/hostname"), "host\n");
        // The same layer, once more, to become another host.
        fs::remove_file(all.new.join("etc/machine-id")).expect("removed");
        let wishes = Wishes { identity: Identity::New, ..Wishes::default() };
        let carried = wished(&all, &wishes).expect("it is done");
        assert_eq!(carried.conflicts, []);
        assert_eq!((has("etc/machine-id"), has("etc/hostname")), ("".into(), "host\n".into()));
        assert!(!all.new.join("etc/ssh/ssh_host_rsa_key").exists());
        wished(&all, &wishes).expect("it is done");
        assert_eq!(has("etc/machine-id"), "");
    }

    /// A second in which nothing of a tree was changed yet.
    fn next_second(root: &Path) -> i64 {
        write(root, "clock", "");
        let since = fs::metadata(root.join("clock")).expect("there").ctime() + 1;
        while fs::metadata(root.join("clock")).expect("there").ctime() < since {
            std::thread::sleep(std::time::Duration::from_millis(20));
            write(root, "clock", "");
        }
        since
    }

    #[test]
    fn what_is_changed_after_it_was_carried_over_is_found() {
        let table = |root: &str| format!("{root} / ext4 defaults 0 1\n");
        let (old_root, new_root) = (table("UUID=1"), table("UUID=2"));
        let base = [
            ("etc/a", "1"),
            ("etc/back", "1"),
            ("etc/both", "1"),
            ("etc/d/x", "1"),
            ("etc/early", "1"),
            ("etc/gone", "1"),
            ("etc/ld.so.cache", "1"),
            ("etc/fstab", &old_root),
            ("srv/listed/x", "1"),
            ("var/x", "1"),
        ];
        let all = trees(&base, &[("etc/a", "2"), ("etc/fstab", &new_root), ("etc/new", "2")]);
        for (path, _) in base.iter().filter(|(path, _)| !matches!(*path, "etc/a" | "etc/fstab")) {
            write(&all.new, path, "1");
        }
        write(&all.ours, "etc/back", "mine");
        write(&all.ours, "etc/early", "mine");
        fs::remove_file(all.ours.join("etc/d/x")).expect("removed");
        let wishes = Wishes {
            files: Pattern::parse("/srv/listed").into_iter().collect(),
            ..Wishes::default()
        };
        wished(&all, &wishes).expect("it is done");
        let since = next_second(&all.ours);
        let find = || {
            let trees = [&*all.base, &*all.ours, &*all.new];
            let found = changed_late(trees, since, "/dev/mapper/HostVG-N", &wishes);
            found.expect("it is done").iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(find(), [""; 0]);
        for (path, content) in [
            ("etc/a", "late"),
            ("etc/back", "1"),
            ("etc/both", "same"),
            ("etc/late/file", "late"),
            ("etc/ld.so.cache", "late"),
            ("etc/early", "mine"),
            ("etc/fstab", &old_root),
            ("srv/listed/x", "late"),
            ("var/x", "late"),
        ] {
            write(&all.ours, path, content);
        }
        write(&all.new, "etc/both", "same");
        fs::remove_file(all.ours.join("etc/gone")).expect("removed");
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(all.ours.join("etc/d"), mode).expect("set");
        let wanted = ["/etc/a", "/etc/back", "/etc/d", "/etc/gone (removed)"];
        let inside = ["/etc/late", "/etc/late/file", "/srv/listed/x"];
        assert_eq!(find(), [&wanted[..], &inside].concat());
        // The same here: there is nothing to be told any more.
        fs::remove_file(all.new.join("etc/gone")).expect("removed");
        write(&all.new, "etc/a", "late");
        assert_eq!(find().len(), 5, "{:?}", find());
    }

    #[test]
    fn labels_of_another_policy_are_made_anew() {
        let config = "# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n";
        let files = |config: &'static str, contexts: &'static str| {
            [
                ("etc/selinux/config", config),
                ("etc/selinux/targeted/contexts/files/file_contexts", contexts),
                ("etc/selinux/targeted/policy/policy.33", contexts),
            ]
        };
        for (new, edit, wanted) in [
            (files(config, "2"), true, true),
            // Nothing was carried over, the same policy, none in force.
            (files(config, "2"), false, false),
            (files(config, "1"), true, false),
            (files("SELINUX=disabled\nSELINUXTYPE=targeted\n", "2"), true, false),
        ] {
            let all = trees(&files(config, "1"), &new);
            if edit {
                write(&all.ours, "etc/mine", "mine");
            }
            let carried = over(&all).expect("it is done");
            assert_eq!((carried.relabels, all.new.join(".autorelabel").exists()), (wanted, wanted));
            assert_eq!(carried.to_label, None);
        }
        // Where the image can do it, it is asked to; the mark is the image's own where it has one.
        for marked in [true, false] {
            let new = [&files(config, "2")[..], &[("usr/sbin/setfiles", "program")]].concat();
            let all = trees(&files(config, "1"), &new);
            write(&all.ours, "etc/d/mine", "mine");
            if !marked {
                write(&all.new, ".autorelabel", "");
            }
            let wanted = Labelling {
                program: "/usr/sbin/setfiles",
                contexts: "/etc/selinux/targeted/contexts/files/file_contexts".to_owned(),
                paths: ["/etc/d", "/etc/d/mine"]
                    .iter()
                    .flat_map(|path| TreePath::from_text(path))
                    .collect(),
                marked,
            };
            let carried = over(&all).expect("it is done");
            assert_eq!((carried.to_label, carried.relabels), (Some(wanted), true));
        }
        // The policy is the image's, whatever was built here.
        let all = trees(&files(config, "1"), &files(config, "2"));
        write(&all.ours, "etc/selinux/targeted/policy/policy.33", "3");
        write(&all.ours, "etc/selinux/targeted/contexts/files/file_contexts.local", "mine");
        let carried = over(&all).expect("it is done");
        assert_eq!((read(&all.new, "etc/selinux/targeted/policy/policy.33")), "2");
        let local = "etc/selinux/targeted/contexts/files/file_contexts.local";
        assert_eq!((read(&all.new, local).as_str(), carried.conflicts.len()), ("mine", 0));
    }

    #[test]
    fn a_tree_without_labels_for_its_policy_is_marked() {
        let of = |config: &str| {
            let folder = "etc/selinux/ours/contexts/files/file_contexts";
            trees(&[], &[("etc/selinux/config", config), (folder, "1")])
        };
        let all = of("SELINUX=enforcing\nSELINUXTYPE=ours\n");
        assert!(selinux::mark_unlabelled(&all.new).expect("readable"));
        assert!(all.new.join(".autorelabel").exists());
        // What it has already is enough.
        assert!(!selinux::mark_unlabelled(&all.new).expect("readable"));
        let all = of("SELINUX=enforcing\nSELINUXTYPE=ours\n");
        let how = rustix::fs::XattrFlags::empty();
        let label = b"system_u:object_r:etc_t:s0\0";
        rustix::fs::lsetxattr(all.new.join("etc"), "security.selinux", label, how).expect("set");
        assert!(!selinux::mark_unlabelled(&all.new).expect("readable"));
        assert!(!all.new.join(".autorelabel").exists(), "it is labelled");
        for config in ["SELINUX=disabled\nSELINUXTYPE=ours\n", "SELINUX=enforcing\nSELINUXTYPE=x\n"]
        {
            let all = of(config);
            assert!(!selinux::mark_unlabelled(&all.new).expect("readable"), "{config}");
            assert!(!all.new.join(".autorelabel").exists(), "{config}: none is in force");
        }
        let bare = trees(&[], &[("usr/x", "1")]);
        assert!(!selinux::mark_unlabelled(&bare.new).expect("readable"));
    }

    #[test]
    fn accounts_keep_their_ids_and_files_follow() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n_apt:x:100:65534::/:/bin/false\n";
        let theirs = "root:x:0:0:root:/root:/bin/sh\n_apt:x:42:65534::/:/bin/false\n\
            new:x:101:101::/:/bin/false\n";
        let all = trees(&[("etc/passwd", passwd)], &[("etc/passwd", theirs), ("var/file", "1")]);
        write(&all.ours, "etc/passwd", &format!("{passwd}bob:x:101:1000::/:/bin/sh\n"));
        let file = all.new.join("var/file");
        // Who may not give files away has none to be changed.
        let may = std::os::unix::fs::chown(&file, Some(42), None).is_ok();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o4755)).expect("set");
        let link = all.new.join("var/link");
        symlink("/etc/passwd", &link).expect("linked");
        assert_eq!(std::os::unix::fs::lchown(&link, Some(101), None).is_ok(), may);
        let carried = over(&all).expect("it is done");
        assert_eq!(carried.owners_changed, if may { 2 } else { 0 });
        if may {
            let meta = fs::metadata(&file).expect("there");
            assert_eq!((meta.uid(), meta.mode() & 0o7777), (100, 0o4755));
            assert_eq!(fs::symlink_metadata(&link).expect("there").uid(), 999);
        }
        let wanted = "root:x:0:0:root:/root:/bin/sh\n_apt:x:100:65534::/:/bin/false\n\
            bob:x:101:1000::/:/bin/sh\nnew:x:999:101::/:/bin/false\n";
        assert_eq!(read(&all.new, "etc/passwd"), wanted);
    }

    #[test]
    fn a_table_gets_the_ids_that_files_get_also_where_only_the_image_has_changed_it() {
        let (passwd, group) = ("a:x:100:100::/:/\n", "a:x:100:\n");
        let theirs = [
            ("etc/passwd", "a:x:42:42::/:/\nnew:x:100:43::/:/\n"),
            ("etc/group", "a:x:42:\nnew:x:43:\n"),
        ];
        let all = trees(&[("etc/passwd", passwd), ("etc/group", group)], &theirs);
        over(&all).expect("it is done");
        assert_eq!(read(&all.new, "etc/passwd"), format!("{passwd}new:x:999:43::/:/\n"));
        assert_eq!(read(&all.new, "etc/group"), format!("{group}new:x:43:\n"));
    }

    /// The layer as it is: what was not written to is the base's file itself.
    fn snapshot(all: &Trees, paths: &[&str]) {
        for path in paths {
            fs::remove_file(all.ours.join(path)).expect("it is a copy");
            fs::hard_link(all.base.join(path), all.ours.join(path)).expect("linked");
        }
    }

    #[test]
    fn what_was_not_touched_is_the_image_s_but_for_ids() {
        let base = [
            ("etc/passwd", "a:x:100:100::/:/\n"),
            ("etc/group", "a:x:100:\n"),
            ("etc/conf", "1"),
            ("etc/gone", "1"),
            ("etc/mine", "1"),
            ("etc/machine-id", "1"),
        ];
        let new = [
            ("etc/passwd", "a:x:42:42::/:/\nnew:x:100:43::/:/"),
            ("etc/group", "a:x:42:\nnew:x:43:\n"),
            ("etc/conf", "2"),
            ("etc/mine", "1"),
            ("etc/machine-id", "2"),
        ];
        for files in [&[][..], &["/etc/passwd", "/etc/conf"]] {
            let all = trees(&base, &new);
            write(&all.ours, "etc/mine", "2");
            let untouched = base.map(|(path, _)| path).into_iter().filter(|at| *at != "etc/mine");
            snapshot(&all, &untouched.collect::<Vec<_>>());
            let files = files.iter().flat_map(|path| Pattern::parse(path)).collect();
            let carried = wished(&all, &Wishes { files, ..Wishes::default() }).expect("it is done");
            assert_eq!((carried.conflicts, carried.merged), (vec![], vec![]));
            let passwd = "a:x:100:100::/:/\nnew:x:999:43::/:/";
            assert_eq!(read(&all.new, "etc/passwd"), passwd);
            assert_eq!(read(&all.new, "etc/group"), "a:x:100:\nnew:x:43:\n");
            let is = ["conf", "mine", "machine-id"].map(|at| read(&all.new, &format!("etc/{at}")));
            assert_eq!(is, ["2", "2", "1"]);
            assert!(!all.new.join("etc/gone").exists());
        }
    }

    #[test]
    fn a_table_that_the_image_left_as_it_was_gets_its_new_groups() {
        let passwd = "u:x:120:120::/:/\n";
        let base = [("etc/passwd", passwd), ("etc/group", "p:x:120:\n")];
        let all = trees(&base, &[("etc/passwd", passwd), ("etc/group", "n:x:120:\n")]);
        // What makes it differ here is another account.
        write(&all.ours, "etc/passwd", &format!("{passwd}bob:x:1000:100::/:/\n"));
        over(&all).expect("it is done");
        assert_eq!(read(&all.new, "etc/group"), "n:x:999:\n");
        let merged = "u:x:120:999::/:/\nbob:x:1000:100::/:/\n";
        assert_eq!(read(&all.new, "etc/passwd"), merged);
    }

    /// A list of access rights as an attribute: the owner, a user, the group, a group, the mask, others.
    fn acl(user: u32, group: u32) -> Vec<u8> {
        let none = u32::MAX;
        let entries =
            [(1, 6, none), (2, 4, user), (4, 4, none), (8, 4, group), (16, 4, none), (32, 0, none)];
        let mut bytes = vec![2, 0, 0, 0];
        for (tag, rights, id) in entries {
            bytes.extend([tag, 0, rights, 0]);
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    fn xattr(path: &Path, name: &str) -> Vec<u8> {
        let mut value = [0; 256];
        let len = rustix::fs::lgetxattr(path, name, &mut value);
        value[..len.unwrap_or_default()].to_vec()
    }

    #[test]
    fn access_rights_and_capabilities_follow_the_accounts() {
        use rustix::fs::{XattrFlags, lsetxattr};
        let table = |id: &str, other: &str| format!("_apt:x:{id}:0::/:/\nnet:x:{other}:0::/:/\n");
        let (ours, theirs) = (table("100", "101"), table("42", "100"));
        let here = [("etc/passwd", &*ours), ("etc/group", &ours), ("etc/mine", "1")];
        let there = [("etc/passwd", &*theirs), ("etc/group", &theirs), ("etc/mine", "1")];
        let all = trees(&here, &[&there[..], &[("var/d/file", "1"), ("var/own", "1")]].concat());
        let set = |path: &Path, name: &str, value: &[u8]| {
            lsetxattr(path, name, value, XattrFlags::empty()).is_ok()
        };
        let (access, default) = ("system.posix_acl_access", "system.posix_acl_default");
        let [folder, file, own, mine] =
            ["var/d", "var/d/file", "var/own", "etc/mine"].map(|path| all.new.join(path));
        let mut may = set(&folder, default, &acl(42, 7)) && set(&file, access, &acl(42, 100));
        // In the layer and its base as in the image, but by the ids of each.
        may &= [&all.base, &all.ours].iter().all(|root| {
            let path = root.join("etc/mine");
            set(&path, access, &acl(100, 0))
        });
        may &= set(&mine, access, &acl(42, 0));
        // A second name, for which nothing is changed a second time.
        fs::hard_link(&file, all.new.join("var/d/other")).expect("linked");
        // What a link leads to is none of the image's.
        let outside = all.new.parent().expect("it has one").join("outside");
        fs::write(&outside, "1").expect("written");
        may &= set(&outside, access, &acl(42, 42));
        symlink(&outside, all.new.join("var/link")).expect("linked");
        let capability = [0, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        may &= std::os::unix::fs::chown(&own, Some(42), None).is_ok();
        may &= set(&own, "security.capability", &capability);
        // Who may not give files away, or whose file system knows no rights, has none to be changed.
        if !may {
            return;
        }
        assert!(set(&all.ours.join("etc/mine"), access, &acl(100, 5)));
        let carried = over(&all).expect("it is done");
        assert_eq!(carried.conflicts, []);
        assert_eq!(xattr(&folder, default), acl(100, 7));
        assert_eq!(xattr(&file, access), acl(100, 101));
        assert_eq!(xattr(&mine, access), acl(100, 5), "what was changed here");
        assert_eq!(xattr(&outside, access), acl(42, 42));
        assert_eq!(fs::metadata(&own).expect("there").uid(), 100);
        assert_eq!(xattr(&own, "security.capability"), capability);
        assert_eq!(carried.owners_changed, 4);
    }
}
