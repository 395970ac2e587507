//! Layers and what boots: the verbs over a machine in memory, with systemd-boot's folder.

use imgbase::ErrorKind;
use imgbase::boot::Tries;
use imgbase::boot::folder::BootFolder;
use imgbase::boot::sim::Fault;
use imgbase::dm::Kernel;
use imgbase::etc::{LateEdit, LateKind, OnConflict};
use imgbase::ext4::Tree;
use imgbase::layout::{ImageName, LayerName};
use imgbase::machine::MountEntry;
use imgbase::ops::{ImageSource, OwnInitrd, Unwatched, Update, Watch};
use imgbase::report::Health;
use imgbase::tree::TreePath;
use imgbase::units::Bytes;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::world::update_with;
use crate::support::{SimBootAt, SimMachine, ext4_of, strange_ext4, tar_of};

const BASE: &str = "Base-1-0";
const KERNEL: &str = "/boot/vmlinuz-6.1.0-9-amd64";

fn layer(name: &str) -> LayerName {
    name.parse().expect("a layer")
}

const FILES: [(&str, &str); 4] = [
    (KERNEL, "a kernel"),
    ("/boot/initrd.img-6.1.0-9-amd64", "an initramfs"),
    ("/etc/kernel/cmdline", "quiet console=ttyS0\n"),
    ("/etc/fstab", "# root\nUUID=1-2 / ext4 errors=remount-ro 0 1\n"),
];

/// A machine with a boot folder.
fn empty() -> SimMachine {
    let mut sim = SimMachine::with_disks(1);
    sim.boot = Some(SimBootAt::systemd_boot());
    sim.init();
    sim
}

/// One with a base whose tree holds a kernel, which a mount shows.
fn machine() -> SimMachine {
    let sim = empty();
    *sim.mounts.files.lock().expect("not poisoned") =
        FILES.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into();
    let image = sim.put_bytes(BASE, strange_ext4("16M"));
    sim.add_base_of(BASE, image).expect("the base is made");
    sim
}

fn boot(sim: &SimMachine) -> &SimBootAt {
    sim.boot.as_ref().expect("it has one")
}

/// Warnings.
#[derive(Default)]
struct Warned(Vec<String>);

impl Watch for Warned {
    fn warn(&mut self, warning: &str) {
        self.0.push(warning.to_owned());
    }
}

fn add_layer(sim: &SimMachine, on: &str) -> LayerName {
    let on: ImageName = on.parse().expect("a name");
    let mut warned = Warned::default();
    let added = sim.imgbase().add_layer(Some(&on), &mut warned).expect("a layer");
    assert!(added.bootable && warned.0.is_empty(), "{:?}", warned.0);
    added.nvr
}

/// As if the machine ran from that layer.
fn run_from(sim: &mut SimMachine, layer: &LayerName) {
    sim.imgbase().activate(&[ImageName::Layer(layer.clone())]).expect("it can be activated");
    let name = format!("HostVG-{}", layer.to_string().replace('-', "--"));
    let name = name.parse().expect("a device's name");
    let device = sim.kernel.info(&name).expect("readable").expect("active");
    sim.mounts.there = vec![MountEntry {
        number: device.number,
        dir: "/".into(),
        fs_type: "ext4".into(),
        options: Vec::new(),
    }];
}

/// An update to a base of that name.
fn update_to(sim: &SimMachine, nvr: &str) -> Update {
    update_with(sim, nvr, strange_ext4("16M"))
}

/// Folders of the store.
fn stored(sim: &SimMachine) -> usize {
    let files = boot(sim).sim.files();
    let mut folders: Vec<&str> = files
        .keys()
        .filter_map(|path| path.strip_prefix("imgbase/")?.split_once('/'))
        .filter(|(folder, _)| folder.len() == 32)
        .map(|(folder, _)| folder)
        .collect();
    folders.dedup();
    folders.len()
}

#[test]
fn each_layer_gets_an_entry_and_the_first_is_the_default() {
    let sim = machine();
    let first = add_layer(&sim, BASE);
    let second = add_layer(&sim, &first.to_string());
    let report = sim.imgbase().boot_entries().expect("readable");
    assert_eq!((report.loader.as_str(), report.entries.len()), ("systemd-boot", 2));
    assert_eq!(report.default, Some(first.clone()));
    assert!(report.problems.is_empty() && report.entries.iter().all(|entry| entry.bootable));
    assert_eq!(stored(&sim), 2, "one kernel and one initramfs, whoever has them");
    let args = sim.imgbase().kernel_arguments(&second).expect("it has an entry").args;
    assert_eq!(
        args,
        "quiet console=ttyS0 root=/dev/mapper/HostVG-Base--1--0+2 ro rd.lvm.lv=HostVG/Base-1-0+2 \
         rootflags=discard img.bootid=Base-1-0+2"
    );
    let table = sim.mounts.files.lock().expect("not poisoned")["/etc/fstab"].clone();
    let wanted = "# root\n/dev/mapper/HostVG-Base--1--0+2 / ext4 errors=remount-ro 0 1\n";
    assert_eq!(String::from_utf8(table).expect("text"), wanted);
    let layout = sim.imgbase().layout().expect("readable");
    let flags: Vec<_> = layout.bases[0].layers.iter().map(|it| (it.default, it.bootable)).collect();
    assert_eq!(flags, [(true, true), (false, true)]);
}

#[test]
fn several_layers_have_one_kernel_and_entries_of_their_own() {
    let sim = machine();
    let first = add_layer(&sim, BASE);
    let on = ImageName::Layer(first.clone());
    let added = sim.imgbase().add_layers(Some(&on), 3, &mut Unwatched).expect("they are made");
    assert!(added.len() == 3 && added.iter().all(|added| added.bootable));
    let report = sim.imgbase().boot_entries().expect("readable");
    assert_eq!((report.entries.len(), stored(&sim)), (4, 2));
    assert_eq!(report.default, Some(first));
    for added in &added {
        let args = sim.imgbase().kernel_arguments(&added.nvr).expect("it has an entry").args;
        assert!(args.contains(&format!("img.bootid={}", added.nvr)), "{args}");
    }
}

#[test]
fn an_ext4_needs_no_mount() {
    let mut sim = empty();
    let image = sim.put_bytes(BASE, ext4_of("metadata_csum", "16M", &FILES));
    sim.add_base_of(BASE, image).expect("the base is made");
    // Whoever mounts now finds another tree.
    sim.mounts.refuse_once = true;
    let first = add_layer(&sim, BASE);
    let second = add_layer(&sim, &first.to_string());
    for layer in [&first, &second] {
        sim.imgbase().activate(&[ImageName::Layer(layer.clone())]).expect("it can be activated");
        let name = format!("HostVG-{}", layer.to_string().replace('-', "--"));
        let device = sim.kernel.open(&name.parse().expect("a name")).expect("active");
        let tree = Tree::open(device.as_ref()).expect("an ext4");
        let table = tree.read_file("etc/fstab", Bytes::mib(1)).expect("readable").expect("there");
        let root = format!("/dev/mapper/HostVG-{}", layer.to_string().replace('-', "--"));
        let wanted = format!("# root\n{root} / ext4 errors=remount-ro 0 1\n");
        assert_eq!(String::from_utf8(table).expect("text"), wanted);
        let args = sim.imgbase().kernel_arguments(layer).expect("it has an entry").args;
        assert!(args.starts_with(&format!("quiet console=ttyS0 root={root} ")), "{args}");
    }
    assert_eq!(stored(&sim), 2, "one kernel and one initramfs, whoever has them");
}

#[test]
fn arguments_belong_to_a_layer_and_are_inherited() {
    let sim = machine();
    let first = add_layer(&sim, BASE);
    let (add, remove) = (["panic=60".to_owned(), "debug".to_owned()], ["quiet".to_owned()]);
    let edited = sim.imgbase().edit_kernel_arguments(&first, &add, &remove).expect("edited");
    assert!(edited.changed && edited.args.starts_with("console=ttyS0 root="), "{}", edited.args);
    let second = add_layer(&sim, &first.to_string());
    let args = sim.imgbase().kernel_arguments(&second).expect("it has an entry").args;
    assert!(args.ends_with("img.bootid=Base-1-0+2 panic=60 debug"), "{args}");
    let again = sim.imgbase().edit_kernel_arguments(&first, &add, &remove).expect("edited");
    assert!(!again.changed);
    for word in ["root=/dev/sda1", "img.bootid=x", "two words", ""] {
        let error = sim.imgbase().edit_kernel_arguments(&first, &[word.to_owned()], &[]);
        assert_eq!(error.expect_err(word).kind(), ErrorKind::Invalid);
    }
}

#[test]
fn a_reset_has_its_bases_arguments_and_boots_when_it_is_told_to() {
    let mut sim = machine();
    let first = add_layer(&sim, BASE);
    run_from(&mut sim, &first);
    let add = ["panic=60".to_owned()];
    sim.imgbase().edit_kernel_arguments(&first, &add, &[]).expect("edited");
    let heir = add_layer(&sim, BASE);
    let args = sim.imgbase().kernel_arguments(&heir).expect("it has an entry").args;
    assert!(args.ends_with("panic=60"), "{args}");
    let mut warned = Warned::default();
    let reset = sim.imgbase().reset_layer(&first, &mut warned).expect("a layer");
    assert_eq!(
        (reset.nvr.to_string(), reset.origin.to_string()),
        (format!("{BASE}+3"), BASE.into())
    );
    assert!(reset.bootable && warned.0.is_empty(), "{:?}", warned.0);
    let args = sim.imgbase().kernel_arguments(&reset.nvr).expect("it has an entry").args;
    assert!(args.starts_with("quiet console=ttyS0 root=") && !args.contains("panic"), "{args}");
    assert_eq!(sim.imgbase().default_layer().expect("a layer"), first, "nobody said so");
    assert_eq!(sim.imgbase().roll_back(Some(&reset.nvr)).expect("it can boot").nvr, reset.nvr);
    let error = sim.imgbase().reset_layer(&layer("Base-1-0+9"), &mut Unwatched);
    assert_eq!(error.expect_err("there is none").kind(), ErrorKind::NotFound);
}

#[test]
fn a_new_default_is_on_trial_until_it_is_blessed() {
    let mut sim = machine();
    let first = add_layer(&sim, BASE);
    run_from(&mut sim, &first);
    assert!(sim.imgbase().bless().expect("it runs").changed);
    assert!(!sim.imgbase().bless().expect("it runs").changed);
    let second = add_layer(&sim, &first.to_string());
    let chosen = sim.imgbase().set_default_layer(&second, None).expect("it can be started");
    assert_eq!((chosen.fallback, chosen.tries), (Some(first.clone()), Some(3)));
    assert_eq!(sim.imgbase().default_layer().expect("a layer"), second);
    // What may be needed stays.
    for (layer, why) in [(&second, "default"), (&first, "runs from it")] {
        let error = sim.imgbase().remove_layer(layer, &mut Unwatched).expect_err(why);
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains(why), "{error}");
    }
    run_from(&mut sim, &second);
    assert!(sim.imgbase().is_on_trial().expect("it runs from a layer"));
    let error = sim.imgbase().remove_layer(&first, &mut Unwatched).expect_err("the fallback");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(sim.imgbase().bless().expect("it runs").changed);
    assert!(!sim.imgbase().is_on_trial().expect("it runs from a layer"));
    sim.imgbase().remove_layer(&first, &mut Unwatched).expect("nobody needs it now");
    let left = sim.imgbase().boot_entries().expect("readable");
    assert_eq!((left.entries.len(), left.default), (1, Some(second)));
}

#[test]
fn a_rollback_goes_back_in_time_and_never_round() {
    let mut sim = machine();
    let first = add_layer(&sim, BASE);
    let second = add_layer(&sim, &first.to_string());
    let third = add_layer(&sim, BASE);
    run_from(&mut sim, &third);
    let back = sim.imgbase().roll_back(None).expect("there is one before it");
    assert_eq!(back.nvr, second);
    run_from(&mut sim, &first);
    let error = sim.imgbase().roll_back(None).expect_err("it is the oldest");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(sim.imgbase().default_layer().expect("a layer"), second, "nothing was changed");
    assert_eq!(sim.imgbase().roll_back(Some(&third)).expect("named").nvr, third);
    let error = sim.imgbase().roll_back(Some(&layer("Base-1-0+9"))).expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn what_boots_once_is_told_and_forgotten() {
    let sim = machine();
    let first = add_layer(&sim, BASE);
    let second = add_layer(&sim, BASE);
    sim.imgbase().boot_once(Some(&second)).expect("it can be started");
    let report = sim.imgbase().boot_entries().expect("readable");
    assert_eq!((report.once, report.default), (Some(second), Some(first)));
    sim.imgbase().boot_once(None).expect("forgotten");
    assert_eq!(sim.imgbase().boot_entries().expect("readable").once, None);
}

#[test]
fn a_layer_that_starts_in_some_other_way_is_no_news() {
    let mut sim = SimMachine { boot: None, ..machine() };
    for (needs_no_entries, warnings) in [(false, 1), (true, 0)] {
        sim.needs_no_entries = needs_no_entries;
        let mut warned = Warned::default();
        let added = sim.imgbase().add_layer(None, &mut warned).expect("a layer");
        assert!(!added.bootable);
        assert_eq!(warned.0.len(), warnings, "{:?}", warned.0);
    }
}

#[test]
fn a_tree_without_a_kernel_gets_no_entry() {
    let sim = machine();
    sim.mounts.files.lock().expect("not poisoned").remove(KERNEL);
    let mut warned = Warned::default();
    let added = sim.imgbase().add_layer(None, &mut warned).expect("a layer");
    assert!(!added.bootable);
    assert_eq!(warned.0, [format!("{} has no boot entry: its tree holds no kernel", added.nvr)]);
    let error = sim.imgbase().set_default_layer(&added.nvr, None).expect_err("no entry");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // Once there is one, it can be set up.
    sim.mounts.files.lock().expect("not poisoned").insert(KERNEL.to_owned(), b"new".to_vec());
    let set_up =
        sim.imgbase().set_up_boot(None, OwnInitrd::WhereNone, &mut Unwatched).expect("set up");
    assert_eq!(set_up.changed, std::slice::from_ref(&added.nvr));
    assert_eq!(sim.imgbase().default_layer().expect("the only one"), added.nvr);
    let again =
        sim.imgbase().set_up_boot(None, OwnInitrd::WhereNone, &mut Unwatched).expect("set up");
    assert_eq!((again.changed.len(), again.unchanged), (0, vec![added.nvr]));
}

/// What the boot folder holds of initramfs.
fn initramfs(sim: &SimMachine) -> Vec<String> {
    let files = boot(sim).sim.files().into_iter();
    let text = |(_, bytes): (String, Vec<u8>)| String::from_utf8(bytes).expect("text");
    files.filter(|(path, _)| path.ends_with(".img") || path.contains("initrd")).map(text).collect()
}

#[test]
fn a_kernel_without_an_initramfs_gets_ours() {
    let sim = machine();
    let without = |version: &str| {
        let files = FILES.iter().filter(|(path, _)| !path.starts_with("/boot"));
        let kernel = (format!("/boot/vmlinuz-{version}"), b"a kernel".to_vec());
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), text.as_bytes().to_vec());
        *sim.mounts.files.lock().expect("not poisoned") = files.map(own).chain([kernel]).collect();
    };
    without("6.1");
    let first = add_layer(&sim, BASE);
    assert_eq!(initramfs(&sim), ["ours for 6.1 and 1 disks"]);
    let entry = sim.imgbase().boot_entries().expect("readable").entries.remove(0);
    assert!(entry.bootable && entry.nvr == Some(first), "{entry:?}");
    // Where it cannot be made the kernel is started without.
    without(crate::support::NO_MODULES);
    let second = add_layer(&sim, BASE);
    assert_eq!(initramfs(&sim).len(), 1);
    let always = |layer| sim.imgbase().set_up_boot(Some(layer), OwnInitrd::Always, &mut Unwatched);
    let error = always(&second).expect_err("it is asked for");
    assert!(error.to_string().contains("modules.dep"), "{error}");
}

#[test]
fn ours_takes_the_place_of_the_tree_s_where_that_is_asked_for() {
    let sim = machine();
    let layer = add_layer(&sim, BASE);
    assert_eq!(initramfs(&sim), ["an initramfs"]);
    let set_up = |own| {
        let done = sim.imgbase().set_up_boot(Some(&layer), own, &mut Unwatched).expect("set up");
        done.changed.len()
    };
    assert_eq!((set_up(OwnInitrd::Always), set_up(OwnInitrd::Always)), (1, 0));
    assert_eq!(initramfs(&sim), ["ours for 6.1.0-9-amd64 and 1 disks"]);
    assert_eq!(set_up(OwnInitrd::WhereNone), 1);
    assert_eq!(initramfs(&sim), ["an initramfs"]);
}

#[test]
fn the_last_that_can_be_started_stays() {
    let sim = machine();
    let first = add_layer(&sim, BASE);
    let base = BASE.parse().expect("a base");
    let error = sim.imgbase().remove_base(&base, &mut Unwatched).expect_err("its layer boots");
    assert_eq!(error.kind(), ErrorKind::Busy);
    let error = sim.imgbase().remove_layer(&first, &mut Unwatched).expect_err("it boots");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(sim.imgbase().layout().expect("readable").bases[0].layers.len() == 1);
}

#[test]
fn no_room_in_the_boot_folder_leaves_everything_as_it_was() {
    let sim = machine();
    let first = add_layer(&sim, BASE);
    let big = vec![7; 3 << 20];
    sim.mounts.files.lock().expect("not poisoned").insert(KERNEL.to_owned(), big);
    boot(&sim).sim.set_capacity(imgbase::units::Bytes::mib(4));
    let before = boot(&sim).sim.files();
    let error = sim.imgbase().add_layer(None, &mut Unwatched).expect_err("no room");
    assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
    assert_eq!(boot(&sim).sim.files(), before);
    let layout = sim.imgbase().layout().expect("readable");
    assert_eq!(layout.bases[0].layers.iter().map(|it| &it.nvr).collect::<Vec<_>>(), [&first]);
    assert!(layout.pending.is_empty());
}

/// A file system that needs no mount to be read, with that kernel.
fn plain(kernel: &str) -> Vec<u8> {
    let mut files = FILES;
    files[0].1 = kernel;
    ext4_of("metadata_csum", "16M", &files)
}

/// Fails for want of room, and not a byte of the group is another one.
fn without_a_commit(sim: &SimMachine, change: &dyn Fn(&SimMachine) -> imgbase::Result<()>) {
    let seen = |sim: &SimMachine| {
        (sim.bytes(), boot(sim).sim.files(), sim.imgbase().layout().expect("readable"))
    };
    let before = seen(sim);
    let error = change(sim).expect_err("no room");
    assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
    assert!(error.to_string().ends_with("; nothing was changed"), "{error}");
    assert!(seen(sim) == before, "{error}");
}

#[test]
fn a_full_boot_folder_stops_a_layer_before_anything_is_made() {
    let sim = empty();
    for (nvr, kernel) in [(BASE, "a kernel"), ("Base-2-0", "another")] {
        let image = sim.put_bytes(nvr, plain(kernel));
        sim.add_base_of(nvr, image).expect("the base is made");
    }
    let add = |on: &'static str| {
        move |sim: &SimMachine| {
            sim.imgbase().add_layer(Some(&on.parse().expect("a name")), &mut Unwatched).map(drop)
        }
    };
    let full = || boot(&sim).sim.set_capacity(Bytes::mib(1));
    let empty = || boot(&sim).sim.set_capacity(Bytes::mib(64));
    full();
    without_a_commit(&sim, &add(BASE));
    empty();
    let first = add_layer(&sim, BASE);
    full();
    // The origin is active; it is not; and as it was.
    without_a_commit(&sim, &add("Base-1-0+1"));
    without_a_commit(&sim, &add("Base-2-0"));
    without_a_commit(&sim, &|sim| sim.imgbase().reset_layer(&first, &mut Unwatched).map(drop));
    // Room for a kernel that is there, and for no other.
    empty();
    let free = boot(&sim).sim.folder().room().expect("known").free;
    let used = Bytes::mib(64).saturating_sub(free);
    boot(&sim).sim.set_capacity(used.saturating_add(Bytes::kib(2048 + 36)));
    without_a_commit(&sim, &add("Base-2-0"));
    add_layer(&sim, BASE);
}

#[test]
fn a_full_boot_folder_stops_an_update_before_anything_is_made() {
    let mut sim = empty();
    let image = sim.put_bytes(BASE, plain("a kernel"));
    sim.add_base_of(BASE, image).expect("the base is made");
    let first = add_layer(&sim, BASE);
    run_from(&mut sim, &first);
    let update = |image: Vec<u8>| {
        let update = update_with(&sim, "Base-1-1", image);
        move |sim: &SimMachine| sim.imgbase().update(&update, &mut Unwatched).map(drop)
    };
    boot(&sim).sim.set_capacity(Bytes::mib(1));
    without_a_commit(&sim, &update(plain("another")));
    // What only a mount shows is found out once it is copied, and taken back.
    let files = FILES.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
    *sim.mounts.files.lock().expect("not poisoned") = files.into();
    let seqno = sim.imgbase().layout().expect("readable").vg_seqno;
    let error = update(strange_ext4("16M"))(&sim).expect_err("no room");
    assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
    assert!(error.to_string().contains("undone: everything is as before"), "{error}");
    let layout = sim.imgbase().layout().expect("readable");
    assert!(layout.bases.len() == 1 && layout.pending.is_empty() && layout.vg_seqno > seqno);
}

#[test]
fn check_tells_what_boots() {
    let sim = machine();
    let first = add_layer(&sim, BASE);
    let check = |sim: &SimMachine, name: &str| {
        let report = sim.imgbase().check(&mut Unwatched).expect("looked at");
        let found = report.checks.into_iter().find(|check| check.name == name);
        found.unwrap_or_else(|| panic!("there is no check '{name}'"))
    };
    assert_eq!(check(&sim, "entries").health, Health::Ok);
    let boots = check(&sim, "boot");
    assert!(boots.health == Health::Ok && boots.detail.contains(&first.to_string()), "{boots:?}");
    // Its kernel is gone.
    let kernel = boot(&sim).sim.files().into_keys().find(|path| path.contains("vmlinuz"));
    boot(&sim).sim.take(&kernel.expect("it was stored"));
    assert_eq!(check(&sim, "boot").health, Health::Failed);
    assert_eq!(check(&sim, "entries").health, Health::Warning);
}

/// What became of a verb whose call of that number on the boot folder failed, and whether there was one.
fn failing<T>(sim: &SimMachine, call: usize, verb: impl FnOnce() -> T) -> (T, bool) {
    let (folder, kind) = (&boot(sim).sim, ErrorKind::Io);
    let call = folder.calls() + call;
    folder.fail(Fault { call, kind, late: false, lasting: false });
    let result = verb();
    let reached = folder.calls() > call;
    folder.heal();
    (result, reached)
}

/// Whichever step in the boot folder fails, what is said is true, and one recovery ends in a state
/// in which all is told and the default boots.
#[test]
fn whichever_call_on_the_boot_folder_fails() {
    let prepared = || {
        let sim = machine();
        let first = add_layer(&sim, BASE);
        (sim, first)
    };
    let mut outcomes = [0; 3];
    for call in 0.. {
        assert!(call < 400, "the fault is never passed");
        let (sim, first) = prepared();
        sim.mounts.files.lock().expect("not poisoned").insert(KERNEL.to_owned(), b"2".to_vec());
        let mut warned = Warned::default();
        let add = || sim.imgbase().add_layer(None, &mut warned);
        let (result, reached) = failing(&sim, call, add);
        let when = format!("call {call}: {result:?}, {:?}", warned.0);
        let layers = sim.imgbase().layout().expect("readable").bases[0].layers.len();
        let outcome = match &result {
            Err(_) => {
                assert_eq!(layers, 1, "{when}");
                0
            }
            Ok(added) if added.bootable => {
                assert_eq!(layers, 2, "{when}");
                1
            }
            Ok(_) => {
                assert!(layers == 2 && warned.0.len() == 1, "{when}");
                2
            }
        };
        outcomes[outcome] += 1;
        sim.imgbase().recover(&mut Unwatched).unwrap_or_else(|error| panic!("{when}: {error}"));
        let left = sim.imgbase().leftovers().expect("readable").found;
        assert!(left.is_empty(), "{when}: {left:?}");
        assert_eq!(sim.imgbase().default_layer().expect("a layer"), first, "{when}");
        let report = sim.imgbase().boot_entries().expect("readable");
        assert!(report.problems.is_empty(), "{when}: {:?}", report.problems);
        if !reached {
            assert!(call > 10, "only {call} calls");
            break;
        }
    }
    crate::support::figures::figure(&format!(
        "faults in the boot folder under layer --add: {outcomes:?}"
    ));
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn what_was_edited_after_an_update_is_told_once_the_new_layer_runs() {
    let mut sim = machine();
    let first = add_layer(&sim, BASE);
    run_from(&mut sim, &first);
    let update = update_to(&sim, "Base-1-1");
    let updated = sim.imgbase().update(&update, &mut Unwatched).expect("it is made");
    run_from(&mut sim, &updated.layer);
    let none = sim.imgbase().late_edits().expect("readable").expect("it took over a state");
    assert_eq!((none.from, none.edits), (first.lv_name(), vec![]));
    let made =
        |text: &str, kind| LateEdit { path: TreePath::from_text(text).expect("a path"), kind };
    let edits = [made("/etc/hosts", LateKind::Changed), made("/etc/motd", LateKind::Removed)];
    // The simulated clock stands still: the one before it was carried over.
    let now = 1_795_321_697;
    sim.mounts.late = [now - 1, now, now]
        .into_iter()
        .zip([&edits[0], &edits[0], &edits[1]])
        .map(|(when, edit)| (when, edit.clone()))
        .collect();
    let active = sim.imgbase().layout().expect("readable");
    let blessed = sim.imgbase().bless().expect("it runs");
    let late = blessed.late.expect("it was looked at");
    assert_eq!(late.edits, edits);
    let health = sim.imgbase().check(&mut Unwatched).expect("readable");
    let told = health.checks.iter().find(|check| check.name == "late edits").expect("it is told");
    assert_eq!(told.health, Health::Warning);
    assert!(told.detail.ends_with("/etc/hosts, /etc/motd (removed)"), "{}", told.detail);
    // All sleeps that slept before.
    assert_eq!(sim.imgbase().layout().expect("readable"), active);
    // Nobody has what was not carried over once that layer is gone.
    sim.imgbase().remove_layer(&first, &mut Unwatched).expect("nobody needs it now");
    assert_eq!(sim.imgbase().late_edits().expect("readable"), None);
}

#[test]
fn tries_are_bounded() {
    assert!(Tries::new(0).is_err() && Tries::new(10).is_err());
    let sim = machine();
    add_layer(&sim, BASE);
    let second = add_layer(&sim, BASE);
    let tries = Some(Tries::new(5).expect("a number"));
    let chosen = sim.imgbase().set_default_layer(&second, tries).expect("it can be started");
    assert_eq!(chosen.tries, Some(5));
}

#[test]
fn a_dry_update_tells_what_it_cannot_know() {
    let mut sim = machine();
    let first = add_layer(&sim, BASE);
    run_from(&mut sim, &first);
    sim.imgbase().bless().expect("it runs");
    let large = vec![7; 25 << 20];
    for (image, why) in [
        (tar_of(&[("etc/large", &large)], &[]), "more than 24"),
        (tar_of(&[("usr/x", b"x")], &[("etc/x", "usr/x")]), "/etc/x is another name of /usr/x"),
    ] {
        let image = ImageSource::Path(sim.put_bytes("image", image)).into();
        let planned = sim.imgbase().plan_update(&image, OnConflict::Keep, &mut Unwatched);
        let planned = planned.expect("an update would work");
        assert!(planned.carried.is_none());
        assert!(planned.why.as_ref().is_some_and(|told| told.starts_with(why)), "{planned:?}");
    }
}

#[test]
fn an_update_boots_next_with_the_state_of_the_running_layer() {
    let mut sim = machine();
    let first = add_layer(&sim, BASE);
    let second = add_layer(&sim, BASE);
    run_from(&mut sim, &first);
    sim.imgbase().bless().expect("it runs");
    let update = update_to(&sim, "Base-1-1");
    // What cannot be carried over is no update at all.
    sim.mounts.refuse_carry = true;
    let error = sim.imgbase().update(&update, &mut Unwatched).expect_err("it fails");
    assert!(error.to_string().contains("undone: everything is as before"), "{error}");
    let layout = sim.imgbase().layout().expect("readable");
    assert_eq!((layout.bases.len(), layout.pending.len()), (1, 0));
    assert_eq!(sim.imgbase().default_layer().expect("as before"), first);
    assert!(sim.imgbase().leftovers().expect("readable").found.is_empty());
    // The same again.
    sim.mounts.refuse_carry = false;
    let mut warned = Warned::default();
    let updated = sim.imgbase().update(&update, &mut warned).expect("it is made");
    assert_eq!(warned.0, [""; 0]);
    assert_eq!((&updated.layer, &updated.from), (&layer("Base-1-1+1"), &first));
    assert_eq!((updated.tries, updated.fallback.as_ref()), (Some(3), Some(&first)));
    let taken = updated.carried.map(|carried| carried.taken);
    assert_eq!((taken, updated.default), (Some(1), true));
    assert_eq!(sim.imgbase().default_layer().expect("a layer"), updated.layer);
    let layout = sim.imgbase().layout().expect("readable");
    let active: Vec<String> =
        layout.bases.iter().filter(|base| base.active).map(|base| base.nvr.to_string()).collect();
    assert_eq!(active, [""; 0], "bases sleep again");
    assert!(second != first && layout.pending.is_empty());
    assert_eq!(sim.imgbase().late_edits().expect("readable"), None, "the first took over nothing");
    assert!(
        sim.imgbase()
            .check(&mut Unwatched)
            .expect("readable")
            .checks
            .iter()
            .all(|c| c.health != Health::Failed)
    );
}

#[test]
fn nothing_is_updated_or_collected_while_the_running_layer_is_on_trial() {
    let mut sim = machine();
    let first = add_layer(&sim, BASE);
    run_from(&mut sim, &first);
    // The first layer was never found good, but nothing else would be started.
    let second = sim.imgbase().update(&update_to(&sim, "Base-1-1"), &mut Unwatched);
    let second = second.expect("it is made").layer;
    run_from(&mut sim, &second);
    let before = sim.bytes();
    let update = update_to(&sim, "Base-1-2");
    let refused = [
        sim.imgbase().update(&update, &mut Unwatched).map(drop),
        sim.imgbase().collect(1, false, &mut Unwatched).map(drop),
    ];
    for refused in refused {
        let error = refused.expect_err("it is on trial");
        assert_eq!(error.kind().exit_code(), 3, "{error}");
        let told = error.to_string();
        assert!(told.contains("imgbase boot --bless") && told.contains("--force"), "{told}");
    }
    assert!(sim.bytes() == before, "nothing was changed");
    let forced = Update { force: true, ..update };
    sim.imgbase().update(&forced, &mut Unwatched).expect("it is asked for");
    sim.imgbase().collect(1, true, &mut Unwatched).expect("it is asked for");
    // One that was found good is as good as any.
    sim.imgbase().bless().expect("it runs");
    sim.imgbase().collect(3, false, &mut Unwatched).expect("it is good");
    sim.imgbase().update(&update_to(&sim, "Base-1-3"), &mut Unwatched).expect("it is good");
}

#[test]
fn an_update_that_allows_no_conflict_leaves_nothing_where_there_is_one() {
    let mut sim = machine();
    let first = add_layer(&sim, BASE);
    run_from(&mut sim, &first);
    sim.mounts.conflict = true;
    let update = Update { on_conflict: OnConflict::Fail, ..update_to(&sim, "Base-1-1") };
    let error = sim.imgbase().update(&update, &mut Unwatched).expect_err("there is one");
    assert_eq!(error.kind().exit_code(), 3, "{error}");
    let told = error.to_string();
    assert!(told.contains("/etc/motd") && told.contains("everything is as before"), "{told}");
    let layout = sim.imgbase().layout().expect("readable");
    assert_eq!((layout.bases.len(), layout.pending.len()), (1, 0));
    let update = Update { on_conflict: OnConflict::Image, ..update };
    let mut warned = Warned::default();
    let updated = sim.imgbase().update(&update, &mut warned).expect("it is made");
    assert_eq!(updated.carried.map(|carried| carried.conflicts.len()), Some(1));
    assert_eq!(
        warned.0,
        ["/etc/motd: changed here and in the image, whose stands; ours is /etc/motd.imgold"]
    );
}

#[test]
fn an_update_may_take_old_bases_away() {
    let mut sim = machine();
    let first = add_layer(&sim, BASE);
    run_from(&mut sim, &first);
    sim.imgbase().bless().expect("it runs");
    for (nvr, left) in [
        // The running layer stays, and so does what boots next.
        ("Base-1-1", &["Base-1-0", "Base-1-1"][..]),
        ("Base-1-2", &["Base-1-0", "Base-1-2"]),
    ] {
        let update = Update { keep: Some(1), ..update_to(&sim, nvr) };
        let updated = sim.imgbase().update(&update, &mut Unwatched).expect("it is made");
        let layout = sim.imgbase().layout().expect("readable");
        let bases: Vec<String> = layout.bases.iter().map(|base| base.nvr.to_string()).collect();
        assert_eq!(bases, left);
        assert_eq!(sim.imgbase().default_layer().expect("a layer"), updated.layer);
        assert_eq!(updated.fallback, Some(first.clone()));
    }
    let newest = sim.imgbase().default_layer().expect("a layer");
    run_from(&mut sim, &newest);
    sim.imgbase().bless().expect("it runs");
    let gone = sim.imgbase().collect(1, false, &mut Unwatched).expect("it works").removed;
    let gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
    assert_eq!(gone, ["Base-1-0+1", "Base-1-0"]);
}

#[test]
fn lists_and_hooks_of_the_host_are_part_of_an_update() {
    let mut sim = machine();
    let first = add_layer(&sim, BASE);
    run_from(&mut sim, &first);
    let put = |sim: &SimMachine, path: &str, text: &str| {
        let mut files = sim.mounts.files.lock().expect("not poisoned");
        files.insert(path.into(), text.into());
    };
    let update = update_to(&sim, "Base-1-1");
    // What cannot be understood is told before anything is made.
    put(&sim, "/etc/imgbase.conf", "[files]\npaths = /opt/app\n  opt/more\n");
    let before = sim.bytes();
    let error = sim.imgbase().update(&update, &mut Unwatched).expect_err("no path");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let told = error.to_string();
    assert!(told.contains("line 3") && told.contains("nothing was changed"), "{told}");
    assert!(sim.bytes() == before, "nothing was changed");
    // A hook that fails is no update at all.
    put(&sim, "/etc/imgbase.conf", "[files]\npaths = /opt/app\n  /opt/more\n");
    put(&sim, "/etc/imgbase/hooks.d/20-second", "");
    put(&sim, "/etc/imgbase/hooks.d/10-first", "");
    sim.tools.fail = true;
    let error = sim.imgbase().update(&update, &mut Unwatched).expect_err("a hook fails");
    let told = error.to_string();
    assert!(
        told.contains("10-first") && told.contains("undone: everything is as before"),
        "{told}"
    );
    let layout = sim.imgbase().layout().expect("readable");
    assert_eq!((layout.bases.len(), layout.pending.len()), (1, 0));
    assert_eq!(sim.imgbase().default_layer().expect("as before"), first);
    sim.tools.fail = false;
    sim.tools.hooks.lock().expect("not poisoned").clear();
    let updated = sim.imgbase().update(&update, &mut Unwatched).expect("it is made");
    assert_eq!(updated.carried.map(|carried| carried.taken), Some(3));
    let old = "/dev/mapper/HostVG-Base--1--0+1 /dev/mapper/HostVG-Base--1--1+1";
    let run = sim.tools.hooks.lock().expect("not poisoned").clone();
    let told = |name: &str| format!("{name} new-layer-added {old}");
    assert_eq!(run, [told("10-first"), told("20-second")]);
}

#[test]
fn an_update_needs_a_layer_to_take_over_from() {
    let sim = machine();
    let before = sim.bytes();
    let update = update_to(&sim, "Base-1-1");
    let error = sim.imgbase().update(&update, &mut Unwatched).expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(sim.bytes() == before, "nothing was changed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whichever layers there are, and whatever is known of them, no base goes that this host runs
    /// from, boots next or once, may fall back to, has pinned or has open.
    #[test]
    fn what_must_stay_is_never_collected(
        layers in proptest::collection::vec(0_usize..4, 1..6),
        [running, once, open] in proptest::array::uniform3(any::<Option<Index>>()),
        default in any::<Index>(),
        blessed in proptest::collection::vec(any::<Index>(), 0..3),
        pinned in proptest::collection::btree_set(0_usize..4, 0..2),
        keep in 1_u32..5,
    ) {
        let mut sim = machine();
        let bases: Vec<String> = (0..4).map(|n| format!("Base-1-{n}")).collect();
        for base in &bases[1..] {
            let image = sim.put_bytes(base, strange_ext4("16M"));
            sim.add_base_of(base, image).expect("the base is made");
        }
        let layers: Vec<LayerName> =
            layers.iter().map(|base| add_layer(&sim, &bases[*base])).collect();
        let [running, once, open] =
            [running, once, open].map(|which| which.map(|which| which.get(&layers).clone()));
        for layer in blessed.iter().map(|which| which.get(&layers)) {
            run_from(&mut sim, layer);
            sim.imgbase().bless().expect("it runs");
        }
        sim.mounts.there.clear();
        sim.imgbase().set_default_layer(default.get(&layers), None).expect("it can be started");
        if let Some(layer) = &running {
            run_from(&mut sim, layer);
        }
        if let Some(layer) = &once {
            sim.imgbase().boot_once(Some(layer)).expect("it can be started");
        }
        for base in &pinned {
            sim.imgbase().pin_base(&bases[*base].parse().expect("a name"), true).expect("pinned");
        }
        let held = open.as_ref().map(|layer| {
            sim.imgbase().activate(&[ImageName::Layer(layer.clone())]).expect("it is there");
            let name = format!("HostVG-{}", layer.to_string().replace('-', "--"));
            sim.kernel.open(&name.parse().expect("a device's name")).expect("active")
        });
        let before = sim.imgbase().boot_entries().expect("readable");
        let trial = before.trial.iter().flat_map(|trial| [Some(&trial.nvr), trial.fallback.as_ref()]);
        let must: Vec<String> = [&running, &once, &open, &before.default, &before.once]
            .into_iter()
            .map(Option::as_ref)
            .chain(trial)
            .flatten()
            .map(|layer| layer.base().to_string())
            .chain(pinned.iter().map(|base| bases[*base].clone()))
            .chain([bases[3].clone()])
            .collect();
        let collected = sim.imgbase().collect(keep, true, &mut Unwatched).expect("it works");
        let layout = sim.imgbase().layout().expect("readable");
        let left: Vec<String> = layout.bases.iter().map(|base| base.nvr.to_string()).collect();
        for base in &must {
            prop_assert!(left.contains(base), "{} is gone: {:?}", base, collected);
        }
        prop_assert!(left.len() >= bases.len().min(keep as usize), "{:?}", left);
        let after = sim.imgbase().boot_entries().expect("readable");
        prop_assert_eq!((&after.default, &after.once), (&before.default, &before.once));
        prop_assert_eq!(after.problems, before.problems);
        prop_assert!(after.entries.iter().any(|entry| entry.bootable));
        let again = sim.imgbase().collect(keep, true, &mut Unwatched).expect("it works");
        prop_assert_eq!(again.removed.len(), 0);
        drop(held);
    }
}

/// Whichever step in the boot folder fails under an update, the same update again ends in what was
/// asked for: its layer boots next.
#[test]
fn an_update_that_was_cut_short_is_finished_by_the_same_update() {
    let mut outcomes = [0; 3];
    for call in 0.. {
        assert!(call < 400, "the fault is never passed");
        let mut sim = machine();
        let first = add_layer(&sim, BASE);
        run_from(&mut sim, &first);
        sim.imgbase().bless().expect("it runs");
        let update = update_to(&sim, "Base-1-1");
        let mut warned = Warned::default();
        let (result, reached) = failing(&sim, call, || sim.imgbase().update(&update, &mut warned));
        let when = format!("call {call}: {result:?}, {:?}", warned.0);
        let seqno = sim.imgbase().layout().expect("readable").vg_seqno;
        match &result {
            Err(_) => {
                outcomes[0] += 1;
                let again = sim.imgbase().update(&update, &mut warned);
                assert!(again.unwrap_or_else(|error| panic!("{when}: {error}")).default, "{when}");
            }
            Ok(updated) if updated.default => {
                outcomes[1] += 1;
                sim.imgbase().update(&update, &mut warned).expect("there is nothing left to do");
            }
            Ok(_) => {
                outcomes[2] += 1;
                let again = sim.imgbase().update(&update, &mut warned);
                let again = again.unwrap_or_else(|error| panic!("{when}: {error}"));
                assert!(again.default, "{when}: {again:?}");
                assert_eq!((again.written_bytes, &again.from), (0, &first), "{when}");
                assert_eq!(sim.imgbase().layout().expect("readable").vg_seqno, seqno, "{when}");
            }
        }
        let default = sim.imgbase().default_layer().expect("a layer");
        assert_eq!(default, layer("Base-1-1+1"), "{when}");
        let trial = sim.imgbase().boot_entries().expect("readable").trial;
        let tries = trial.map(|trial| (trial.nvr, trial.tries_left, trial.fallback));
        assert_eq!(tries, Some((default, Some(3), Some(first))), "{when}");
        assert_eq!(sim.imgbase().layout().expect("readable").bases.len(), 2, "{when}");
        if !reached {
            break;
        }
    }
    crate::support::figures::figure(&format!(
        "faults in the boot folder under update: {outcomes:?}"
    ));
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

/// What was started once is there, and no update that was cut short.
#[test]
fn an_update_whose_layer_was_started_is_not_made_again() {
    let mut sim = machine();
    let first = add_layer(&sim, BASE);
    run_from(&mut sim, &first);
    sim.imgbase().bless().expect("it runs");
    let update = update_to(&sim, "Base-1-1");
    let updated = sim.imgbase().update(&update, &mut Unwatched).expect("it is made");
    sim.imgbase().roll_back(Some(&first)).expect("it is there");
    let again = sim.imgbase().update(&update, &mut Unwatched).expect("it was never started");
    assert!(again.default && sim.imgbase().default_layer().expect("a layer") == updated.layer);
    run_from(&mut sim, &updated.layer);
    sim.imgbase().bless().expect("it runs");
    sim.imgbase().roll_back(Some(&first)).expect("it is there");
    let error = sim.imgbase().update(&update, &mut Unwatched).expect_err("it is there");
    let told = error.to_string();
    assert!(
        error.kind() == ErrorKind::Exists && told.contains("--set-default Base-1-1+1"),
        "{told}"
    );
    assert_eq!(sim.imgbase().default_layer().expect("a layer"), first);
}
