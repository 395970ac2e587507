//! An installed system on a thin volume of another's making is adopted, on a machine in memory: what
//! that leaves, and what a power cut or a failing call leaves of it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use imgbase::dev::Dev;
use imgbase::dev::overlay::Overlay;
use imgbase::dev::record::{Bound, Recorder};
use imgbase::dm::sim::Call;
use imgbase::dm::{Kernel, PvNumbers, Stack};
use imgbase::dry::DryRun;
use imgbase::ext4::Tree;
use imgbase::layout::tag;
use imgbase::lvm2::Vg;
use imgbase::lvm2::edit::VgEdit;
use imgbase::lvm2::scan::{Group, scan};
use imgbase::lvm2::store::{MetadataStore, NativeStore};
use imgbase::lvm2::text::Stamp;
use imgbase::machine::{Disks, MountEntry};
use imgbase::name::{DmName, LvName, VgName};
use imgbase::ops::{Adopt, AdoptSource, Imgbase, Init, Unwatched, Watch};
use imgbase::report::Adopted;
use imgbase::units::Bytes;
use imgbase::{ErrorKind, Result};

use crate::support::figures::figure;
use crate::support::world::{DiskBytes, boot_on, disk_bytes};
use crate::support::{SimBootAt, SimMachine, bytes_of, ext4_of};

const VG: &str = "onn";
const BASE: &str = "Node-4-1";
const LAYER: &str = "Node-4-1+1";
const RELEASE: (&str, &str) = ("/etc/os-release", "ID=node\nVERSION_ID=\"4\"\n");
const TABLE: (&str, &str) =
    ("/etc/fstab", "/dev/mapper/onn-root / ext4 discard 1 1\nUUID=1 /boot ext4 defaults 1 2\n");

fn vg() -> VgName {
    VG.parse().expect("a name")
}

fn lv(name: &str) -> LvName {
    name.parse().expect("a name")
}

/// The group, read off the disks.
fn group(sim: &SimMachine) -> Group {
    let paths = sim.disks.candidates().expect("lists");
    let open = |path: PathBuf| {
        let dev = sim.disks.open(&path).expect("there");
        (path, dev)
    };
    let devices: Vec<_> = paths.into_iter().map(open).collect();
    scan(&devices).into_group(&vg()).expect("one group")
}

/// Changes the group's text as another program would.
fn change(sim: &SimMachine, how: impl FnOnce(&mut VgEdit) -> Result<()>) {
    let store = Arc::new(NativeStore::new(group(sim)));
    let mut edit = store.read().expect("readable").edit();
    how(&mut edit).expect("it can be changed");
    let stamp = Stamp {
        description: "of another".into(),
        host: "sim".into(),
        uname: "Linux".into(),
        time: 1_795_321_000,
        system_id: None,
    };
    let new = edit.finish(&stamp).expect("a sound text");
    store.commit(new, &mut |_| Ok(())).expect("memory does not fail");
}

/// A group as an installer leaves it: no tag of ours, a pool, and a system on a thin volume.
fn installed(image: &[u8]) -> DiskBytes {
    let sim = SimMachine { in_order: true, ..SimMachine::with_small_disks(2) };
    let init = Init { vg: vg(), ..sim.layout() };
    sim.imgbase().init(&init, &mut Unwatched).expect("the layout is made");
    let path = sim.put_bytes("seed", image.to_vec());
    sim.add_base_of("Seed-1-1", path).expect("the volume is made");
    sim.imgbase().deactivate(&[]).expect("nothing is in use");
    change(&sim, |edit| {
        edit.remove_vg_tag(&tag::VG.try_into()?)?;
        edit.remove_tag(&lv("ImagePool"), &tag::POOL.try_into()?)?;
        edit.remove_tag(&lv("Seed-1-1"), &tag::BASE.try_into()?)?;
        edit.set_writable(&lv("Seed-1-1"), true)?;
        edit.set_activation_skip(&lv("Seed-1-1"), false)?;
        edit.rename_lv(&lv("Seed-1-1"), &lv("root"))?;
        edit.rename_lv(&lv("ImagePool"), &lv("pool00"))
    });
    disk_bytes(&sim)
}

/// The usual one.
fn disks() -> &'static DiskBytes {
    static DISKS: OnceLock<DiskBytes> = OnceLock::new();
    DISKS.get_or_init(|| installed(&ext4_of("", "1M", &[RELEASE, TABLE, ("/hello", "hello")])))
}

fn devices(of: &DiskBytes) -> Vec<Arc<dyn Dev>> {
    let overlay = |(name, bytes): &(String, Arc<[u8]>)| -> Arc<dyn Dev> {
        Arc::new(Overlay::new(name.clone(), Arc::clone(bytes)))
    };
    of.iter().map(overlay).collect()
}

/// Activates the system's volume as whoever started the machine did.
fn wake(sim: &SimMachine) {
    let group = group(sim);
    let mut numbers = PvNumbers::new();
    for member in &group.members {
        let number = sim.disks.number(&member.path).expect("there");
        numbers.insert(member.pv_id(), number.expect("a disk has one"));
    }
    let stack = Stack { vg: &group.vg, numbers: &numbers, autoextend_threshold: 100 };
    stack.activate(&sim.kernel, &[lv("root")]).expect("it can be activated");
}

fn mount(sim: &SimMachine, name: &str, dir: &str) -> MountEntry {
    let info = sim.kernel.info(&device(name)).expect("lists").expect("it is active");
    MountEntry { number: info.number, dir: dir.into(), fs_type: "ext4".into(), options: Vec::new() }
}

fn device(name: &str) -> DmName {
    format!("{VG}-{}", name.replace('-', "--")).parse().expect("a name")
}

/// A machine that runs from the volume.
fn running(devices: Vec<Arc<dyn Dev>>) -> SimMachine {
    let mut sim = boot_on(devices);
    wake(&sim);
    sim.mounts.there = vec![mount(&sim, "root", "/")];
    sim
}

fn machine() -> SimMachine {
    running(devices(disks()))
}

fn request(source: &str) -> Adopt {
    let source = AdoptSource::Place(source.into());
    Adopt { nvr: Some(BASE.parse().expect("a name")), source }
}

fn adopt(sim: &SimMachine) -> Result<Adopted> {
    sim.imgbase().adopt(&request("/"), &mut Unwatched)
}

fn read(sim: &SimMachine, name: &str) -> Vec<u8> {
    bytes_of(sim.kernel.open(&device(name)).expect("it is active").as_ref())
}

fn file(sim: &SimMachine, name: &str, path: &str) -> String {
    let dev = sim.kernel.open(&device(name)).expect("it is active");
    let bytes = Tree::open(dev.as_ref()).expect("an ext4").read_file(path, Bytes::mib(1));
    String::from_utf8(bytes.expect("readable").expect("there")).expect("text")
}

fn tags(vg: &Vg, name: &str) -> Vec<String> {
    vg.lv(&lv(name)).expect("there").tags.iter().map(ToString::to_string).collect()
}

#[test]
fn a_system_becomes_a_base_and_a_layer() {
    let sim = machine();
    let before = read(&sim, "root");
    sim.kernel.forget_calls();
    let done = adopt(&sim).expect("it is adopted");
    assert_eq!(
        (done.vg.as_str(), done.pool.as_str(), done.source.as_str()),
        (VG, "pool00", "root")
    );
    assert_eq!((done.base.as_str(), done.changed), (BASE, true));
    assert_eq!(done.layer.as_ref().map(ToString::to_string).as_deref(), Some(LAYER));

    let layout = sim.imgbase().layout().expect("the group is ours");
    let base = &layout.bases[0];
    assert!(base.read_only && !base.active && base.layers[0].active, "{layout:?}");
    assert!(layout.pending.is_empty() && layout.orphans.is_empty());
    let vg = group(&sim).vg;
    assert!(vg.has_tag(tag::VG));
    assert_eq!(tags(&vg, "pool00"), [tag::POOL]);
    assert_eq!(tags(&vg, "root"), [tag::INIT]);
    assert_eq!(
        (tags(&vg, BASE), tags(&vg, LAYER)),
        (vec![tag::BASE.into()], vec![tag::LAYER.into()])
    );
    let base = vg.lv(&lv(BASE)).expect("there");
    assert!(base.has_flag("ACTIVATION_SKIP") && !base.is_writable());
    assert_eq!(base.thin().and_then(|thin| thin.origin.clone()), Some(lv("root")));

    assert!(read(&sim, "root") == before, "the system's volume was written to");
    assert_eq!(file(&sim, LAYER, "hello"), "hello");
    let table = TABLE.1.replace("onn-root", "onn-Node--4--1+1");
    assert_eq!(file(&sim, LAYER, "etc/fstab"), table);
    assert_eq!(file(&sim, "root", "etc/fstab"), TABLE.1);
}

/// The snapshot is taken between the suspend and the resume of the system's volume.
#[test]
fn a_system_in_use_is_frozen_for_its_snapshot_alone() {
    let sim = machine();
    sim.kernel.forget_calls();
    adopt(&sim).expect("it is adopted");
    let calls = sim.kernel.calls();
    let of_root = |call: &Call| match call {
        Call::Suspend(name, _) | Call::Resume(name, _) => *name == device("root"),
        _ => false,
    };
    let places: Vec<usize> =
        (0..).zip(&calls).filter(|(_, it)| of_root(it)).map(|(n, _)| n).collect();
    assert_eq!(places.len(), 2, "{calls:?}");
    let between = &calls[places[0] + 1..places[1]];
    assert!(matches!(between, [Call::Message(_, text)] if text.starts_with("create_snap")));
}

#[test]
fn what_is_done_is_not_done_again() {
    let sim = machine();
    let first = adopt(&sim).expect("it is adopted");
    sim.disks.fuse.set(0);
    for source in ["/", "/dev/mapper/nothing"] {
        let again = sim.imgbase().adopt(&request(source), &mut Unwatched);
        match source {
            "/" => {
                let again = again.expect("it is said");
                assert_eq!(
                    (again.changed, &again.base, &again.layer),
                    (false, &first.base, &first.layer)
                );
            }
            _ => assert_eq!(again.expect_err("nothing is there").kind(), ErrorKind::Invalid),
        }
    }
    let nameless = Adopt { nvr: None, ..request("/") };
    assert!(!sim.imgbase().adopt(&nameless, &mut Unwatched).expect("it is said").changed);
    let other = Adopt { nvr: Some("Node-5-1".parse().expect("a name")), ..request("/") };
    let error = sim.imgbase().adopt(&other, &mut Unwatched).expect_err("it has a name");
    assert_eq!(error.kind(), ErrorKind::Exists);
    // A system that runs from a layer is what it would become.
    let of_layer = Adopt { source: AdoptSource::Volume(vg(), lv(LAYER)), nvr: None };
    assert!(!sim.imgbase().adopt(&of_layer, &mut Unwatched).expect("it is said").changed);
    assert!(!sim.disks.fuse.replace(), "something was written");
}

#[test]
fn a_volume_that_sleeps_sleeps_again() {
    let sim = boot_on(devices(disks()));
    let by_name = Adopt { source: AdoptSource::Volume(vg(), lv("root")), nvr: None };
    let done = sim.imgbase().adopt(&by_name, &mut Unwatched).expect("it is adopted");
    assert_eq!(done.base.as_str(), "node-4-0", "the system says what it is");
    let names: Vec<String> =
        sim.kernel.list("").expect("lists").iter().map(|it| it.name.to_string()).collect();
    assert!(names.contains(&"onn-node--4--0+1".to_owned()), "{names:?}");
    assert!(
        !names.contains(&"onn-root".to_owned()) && !names.contains(&"onn-node--4--0".to_owned()),
        "{names:?}"
    );
    assert!(sim.kernel.list("").expect("lists").iter().all(|it| !it.suspended));
}

#[test]
fn what_is_no_such_system_is_refused_and_nothing_changes() {
    let sim = machine();
    change(&sim, |edit| edit.add_tag(&lv("root"), &"theirs".parse()?));
    let before = sim.bytes();
    let try_it =
        |sim: &SimMachine, imgbase: Imgbase<'_>, request: &Adopt, kind: ErrorKind, why: &str| {
            let error = imgbase.adopt(request, &mut Unwatched).expect_err(why);
            assert!(error.kind() == kind && error.to_string().contains(why), "{error}");
            assert!(sim.bytes() == before, "{why}: something was written");
        };
    let volume = |vg: &str, name: &str| Adopt {
        source: AdoptSource::Volume(vg.parse().expect("a name"), lv(name)),
        nvr: None,
    };
    let invalid = ErrorKind::Invalid;
    try_it(&sim, sim.imgbase(), &request("/nowhere"), invalid, "neither a mount point");
    try_it(&sim, sim.imgbase(), &request("/dev/sim0"), ErrorKind::Unsupported, "no thin volume");
    try_it(&sim, sim.imgbase(), &volume("onn", "pool00"), ErrorKind::Unsupported, "no thin volume");
    try_it(&sim, sim.imgbase(), &volume("onn", "home"), ErrorKind::NotFound, "no such volume");
    try_it(&sim, sim.imgbase(), &volume("other", "root"), ErrorKind::NotFound, "other");
    let elsewhere = sim.imgbase().in_vg("other".parse().expect("a name"));
    try_it(&sim, elsewhere, &request("/"), invalid, "in the volume group onn, not in other");
    let root = Adopt { nvr: None, ..request("/") };
    let mut nameless = machine();
    nameless.mounts.folders.insert("/".into(), Default::default());
    let error = nameless.imgbase().adopt(&root, &mut Unwatched).expect_err("it says no name");
    assert!(error.kind() == invalid && error.to_string().contains("/etc/os-release"), "{error}");
}

#[test]
fn another_file_system_or_a_taken_name_is_refused() {
    let sim = running(devices(&installed(&ext4_of("", "1M", &[]))));
    let dev = sim.kernel.open(&device("root")).expect("active");
    dev.write_at(&[0; 4096], Bytes::ZERO).expect("it is writable");
    drop(dev);
    let before = sim.bytes();
    let error = adopt(&sim).expect_err("there is no file system");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(sim.bytes() == before);
    let sim = machine();
    change(&sim, |edit| edit.rename_lv(&lv("root"), &lv(BASE)));
    let by_name = Adopt { source: AdoptSource::Volume(vg(), lv(BASE)), ..request("/") };
    let before = sim.bytes();
    let error = sim.imgbase().adopt(&by_name, &mut Unwatched).expect_err("that is its own name");
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    assert!(sim.bytes() == before);
}

#[test]
fn a_dry_run_says_it_and_changes_nothing() {
    // As on a mounted device, where the kernel says that its journal is in use.
    let mut mounted = ext4_of("^metadata_csum", "4M", &[RELEASE, TABLE]);
    mounted[1024 + 0x60] |= 4;
    let sim = running(devices(&installed(&ext4_of("", "4M", &[RELEASE, TABLE]))));
    let dev = sim.kernel.open(&device("root")).expect("active");
    dev.write_at(&mounted, Bytes::ZERO).expect("it is writable");
    drop(dev);
    sim.put_bytes("/dev/mapper/onn-root", read(&sim, "root"));
    let before = (sim.bytes(), sim.kernel.list("").expect("lists"));
    let dry = DryRun::over(sim.machine()).expect("it can be observed");
    let done = Imgbase::new(dry.machine()).adopt(&request("/"), &mut Unwatched);
    assert_eq!(done.expect("it would work").base.as_str(), BASE);
    let lines = dry.lines().join("\n");
    for part in ["suspend onn-root", "create_snap", "resume onn-root", "privately to replay it"] {
        assert!(lines.contains(part), "no {part} in\n{lines}");
    }
    assert!(before == (sim.bytes(), sim.kernel.list("").expect("lists")));
}

/// What was tagged before is tagged still, and no more than that.
#[test]
fn a_failure_takes_off_the_tags_that_it_put_on() {
    let state = |sim: &SimMachine| {
        let vg = group(sim).vg;
        let names: Vec<String> = vg.lvs.iter().map(|lv| lv.name.to_string()).collect();
        (vg.has_tag(tag::VG), tags(&vg, "pool00"), tags(&vg, "root"), names)
    };
    let disks = installed(&ext4_of("^metadata_csum", "1M", &[RELEASE, TABLE]));
    for ours in [false, true] {
        let mut sim = running(devices(&disks));
        if ours {
            change(&sim, |edit| edit.add_vg_tag(&tag::VG.try_into()?));
        }
        let before = state(&sim);
        // It is in use, and without a journal needs a mount for that.
        let dev = sim.kernel.open(&device("root")).expect("active");
        dev.write_at(&[0], Bytes::new(1024 + 0x3a)).expect("it is writable");
        drop(dev);
        sim.mounts.refuse_once = true;
        let error = adopt(&sim).expect_err("it cannot be mounted");
        assert!(error.to_string().contains("undone: everything is as before"), "{error}");
        assert_eq!(state(&sim), before);
        assert!(sim.kernel.list("").expect("lists").iter().all(|it| !it.suspended));
    }
}

/// Warnings.
#[derive(Default)]
struct Warned(Vec<String>);

impl Watch for Warned {
    fn warn(&mut self, warning: &str) {
        self.0.push(warning.to_owned());
    }
}

/// Kernels are on a partition of their own, as installers make it; what else boots stays.
#[test]
fn the_layer_boots_next_and_other_entries_stay() {
    let theirs = "title the old system\nlinux /vmlinuz-6.1\noptions root=/dev/mapper/onn-root\n";
    let files = [
        TABLE,
        (
            "/etc/kernel/cmdline",
            "root=/dev/mapper/onn-root ro rd.lvm.lv=onn/root rd.lvm.lv=onn/swap quiet\n",
        ),
        ("/usr/lib/modules/6.1/modules.dep", "x"),
    ];
    let mut sim = running(devices(&installed(&ext4_of("", "1M", &files))));
    let boot = SimBootAt::systemd_boot();
    boot.sim.put("loader/entries/old.conf", theirs);
    sim.boot = Some(boot);
    let partition = MountEntry {
        number: imgbase::dm::DevNo { major: 8, minor: 77 },
        dir: "/boot".into(),
        ..sim.mounts.there[0].clone()
    };
    sim.mounts.there.push(partition);
    let kernels = [
        ("/vmlinuz-6.1", "a kernel"),
        ("/initramfs-6.1.img", "an initramfs"),
        ("/vmlinuz-6.0", "x"),
    ];
    let kernels = kernels.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
    sim.mounts.folders.insert("/boot".into(), std::sync::Mutex::new(kernels.into()));
    let mut warned = Warned::default();
    let done = sim.imgbase().adopt(&request("/"), &mut warned).expect("it is adopted");
    assert!(done.bootable && warned.0.is_empty(), "{:?}", warned.0);
    let layer = done.layer.expect("there is one");
    assert_eq!(sim.imgbase().default_layer().expect("it boots next"), layer);
    let args = sim.imgbase().kernel_arguments(&layer).expect("it has an entry").args;
    assert_eq!(
        args,
        "root=/dev/mapper/onn-Node--4--1+1 ro rd.lvm.lv=onn/swap quiet rd.lvm.lv=onn/Node-4-1+1 \
         rootflags=discard img.bootid=Node-4-1+1"
    );
    let report = sim.imgbase().boot_entries().expect("readable");
    let of_layer: Vec<_> = report.entries.iter().filter(|entry| entry.nvr.is_some()).collect();
    assert_eq!((of_layer.len(), of_layer[0].kernel.as_deref()), (1, Some("6.1")));
    let files = sim.boot.as_ref().expect("there").sim.files();
    assert_eq!(files["loader/entries/old.conf"], theirs.as_bytes());
    // A layer of that layer finds its kernel in the same place.
    let next = sim.imgbase().add_layer(None, &mut Unwatched).expect("a layer");
    assert!(next.bootable);
}

/// Nothing is half there: the tags alone, or all of it.
fn check_states(sim: &SimMachine, when: &dyn Fn() -> String) -> bool {
    let vg = group(sim).vg;
    let there = vg.lvs.iter().map(|lv| lv.name.as_str()).collect::<BTreeSet<_>>();
    let (base, layer) = (there.contains(BASE), there.contains(LAYER));
    assert_eq!(base, layer, "{}: {there:?}", when());
    assert_eq!(tags(&vg, "root").contains(&tag::INIT.to_owned()), base, "{}", when());
    assert!(vg.thin_pool(&lv("pool00")).expect("there").messages.is_empty(), "{}", when());
    base
}

/// The layer has the system's files, and the system has them still.
fn check_content(sim: &SimMachine, before: &[u8], when: &dyn Fn() -> String) {
    wake(sim);
    assert!(read(sim, "root") == before, "{}: the system was changed", when());
    let images = [BASE, LAYER].map(|name| name.parse().expect("a name"));
    sim.imgbase().activate(&images).unwrap_or_else(|error| panic!("{}: {error}", when()));
    for name in [BASE, LAYER] {
        assert_eq!(file(sim, name, "hello"), "hello", "{}", when());
    }
    let ids = sim.kernel.thin_ids(&"onn-pool00-tpool".parse().expect("a name")).expect("active");
    assert_eq!(ids.len(), 3, "{}: {ids:?}", when());
    assert!(
        sim.kernel.list("").expect("lists").iter().all(|it| !it.suspended && it.live),
        "{}",
        when()
    );
}

/// Whatever was left: one recovery, where there is something of ours, and the same call again.
fn finish(sim: &SimMachine, before: &[u8], when: &dyn Fn() -> String) {
    if group(sim).vg.has_tag(tag::VG) {
        let done = sim.imgbase().recover(&mut Unwatched);
        done.unwrap_or_else(|error| panic!("{}: {error}", when()));
        check_states(sim, when);
        let again = sim.imgbase().recover(&mut Unwatched).expect("nothing is left");
        assert!(again.found.is_empty(), "{}: {again:?}", when());
    }
    let by_name = Adopt { source: AdoptSource::Volume(vg(), lv("root")), ..request("/") };
    let done = sim.imgbase().adopt(&by_name, &mut Unwatched);
    done.unwrap_or_else(|error| panic!("{}: {error}", when()));
    assert!(check_states(sim, when), "{}", when());
    check_content(sim, before, when);
}

#[test]
fn a_power_cut_leaves_all_or_nothing() {
    const DONE: &str = "done";
    let before = read(&machine(), "root");
    let recorder = Recorder::new(disks().clone());
    let sim = running(recorder.devices());
    adopt(&sim).expect("it is adopted");
    recorder.mark(DONE);
    let (mut seen, cuts) = (BTreeSet::new(), recorder.cuts());
    let bound = Bound { all_up_to: 1 << 6, drawn: 40, seed: 3 };
    for cut in &cuts {
        for image in cut.images(bound) {
            if !seen.insert((image.hash(), cut.is_after(DONE))) {
                continue;
            }
            let when = || format!("after {:?}, image {:x}", cut.marks, image.hash());
            let sim = boot_on(image.devices());
            let ours = group(&sim).vg.has_tag(tag::VG);
            assert!(ours || !cut.is_after(DONE), "{}: it was done, and is gone", when());
            finish(&sim, &before, &when);
        }
    }
    figure(&format!("power cuts in an adoption: {} states of {} moments", seen.len(), cuts.len()));
    assert!(seen.len() > 100, "only {} states", seen.len());
}

#[test]
fn whichever_call_fails_what_is_said_is_true() {
    let before = read(&machine(), "root");
    let mut outcomes = [0, 0, 0];
    for disks in [true, false] {
        for nth in 0_u32.. {
            assert!(nth < 400, "the fault is never passed");
            let sim = machine();
            sim.kernel.forget_calls();
            let place = usize::try_from(nth).expect("small");
            match disks {
                true => sim.disks.fuse.fail_once(nth, std::io::ErrorKind::Other),
                false => sim.kernel.fail_at(place, ErrorKind::Io, false),
            }
            let result = adopt(&sim);
            let blown = sim.disks.fuse.replace();
            sim.kernel.heal();
            if !(if disks { blown } else { sim.kernel.calls().len() > place }) {
                break;
            }
            let when = || format!("disks {disks}, call {nth}, {result:?}");
            let live = sim.kernel.list("").expect("lists");
            assert!(live.iter().all(|it| !it.suspended), "{}: {live:?}", when());
            match &result {
                Ok(_) => {
                    assert!(check_states(&sim, &when), "{}", when());
                    outcomes[0] += 1;
                }
                Err(error) if error.kind() == ErrorKind::NeedsRecovery => outcomes[2] += 1,
                Err(_) => {
                    assert!(!check_states(&sim, &when), "{}", when());
                    outcomes[1] += 1;
                }
            }
            finish(&sim, &before, &when);
        }
    }
    figure(&format!("faults in an adoption: done, undone, to recover: {outcomes:?}"));
    assert!(outcomes[1] > 30, "{outcomes:?}");
}

#[test]
fn a_group_of_imgbaseds_is_taken_as_it_is() {
    let sim = machine();
    adopt(&sim).expect("it is adopted");
    // imgbased tags the base of an adopted system as a layer, and leaves it writable.
    change(&sim, |edit| {
        edit.remove_tag(&lv(BASE), &tag::BASE.try_into()?)?;
        edit.add_tag(&lv(BASE), &tag::LAYER.try_into()?)?;
        edit.set_writable(&lv(BASE), true)
    });
    let done = sim.imgbase().adopt(&Adopt { nvr: None, ..request("/") }, &mut Unwatched);
    let done = done.expect("it is said");
    assert_eq!((done.base.as_str(), done.changed), (BASE, false));
    let next = sim.imgbase().add_layer(None, &mut Unwatched).expect("a layer");
    assert_eq!(next.nvr.to_string(), "Node-4-1+2");
}
