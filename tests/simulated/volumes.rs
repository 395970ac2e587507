//! Volumes that layers share, on a machine in memory: what is made, what mounts it, what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use imgbase::ErrorKind;
use imgbase::dev::MemDev;
use imgbase::dm::Kernel;
use imgbase::dry::DryRun;
use imgbase::first::request::Root;
use imgbase::layout::{ImageName, LayerName, VolumePath};
use imgbase::machine::MountEntry;
use imgbase::ops::{AddVolume, Imgbase, Start, Unwatched, Watch};
use imgbase::report::VolumeAdded;
use imgbase::tree::Measure;
use imgbase::units::Bytes;

use crate::support::world::check_sound;
use crate::support::{SimMachine, bytes_of, ext4, strange_ext4};

const BASE: &str = "Base-1-0";
const TABLE: &str = "# mine\nUUID=1 / ext4 defaults 0 1\n";
const LINE: &str = "/dev/mapper/HostVG-var_log /var/log ext4 defaults,discard 0 2\n";

fn path(text: &str) -> VolumePath {
    text.parse().expect("a path")
}

fn layer(name: &str) -> LayerName {
    name.parse().expect("a layer")
}

/// Two layers, whose tree a mount shows.
fn machine() -> SimMachine {
    let mut sim = SimMachine { in_order: true, ..SimMachine::with_disks(2) };
    sim.init();
    sim.mounts.holds = Some(Measure { entries: 7, data: Bytes::mib(1) });
    sim.add_base_of(BASE, sim.put_bytes(BASE, strange_ext4("16M"))).expect("the base is made");
    for _ in 0..2 {
        sim.imgbase().add_layer(None, &mut Unwatched).expect("a layer");
    }
    sim.mounts.files.lock().expect("not poisoned").insert("/etc/fstab".into(), TABLE.into());
    sim
}

fn table(sim: &SimMachine) -> String {
    let files = sim.mounts.files.lock().expect("not poisoned");
    String::from_utf8(files["/etc/fstab"].clone()).expect("text")
}

fn request(at: &str) -> AddVolume {
    AddVolume { path: path(at), size: Bytes::mib(64), layer: None }
}

fn add(sim: &SimMachine, at: &str) -> imgbase::Result<VolumeAdded> {
    sim.imgbase().add_volume(&request(at), &mut Unwatched)
}

fn volumes(sim: &SimMachine) -> Vec<String> {
    let volumes = sim.imgbase().volumes().expect("readable").into_iter();
    volumes.map(|volume| format!("{} {}", volume.path, volume.name)).collect()
}

fn is_active(sim: &SimMachine, device: &str) -> bool {
    sim.kernel.info(&device.parse().expect("a name")).expect("readable").is_some()
}

#[test]
fn a_volume_gets_what_a_layer_has_there_and_is_mounted_by_it() {
    let sim = machine();
    sim.imgbase().deactivate(&[]).expect("nothing is in use");
    let added = add(&sim, "/var/log/").expect("made");
    assert_eq!((added.name.as_str(), added.layer.to_string()), ("var_log", "Base-1-0+2".into()));
    assert!(added.attached && added.copied == 7 && added.size_bytes == 64 << 20, "{added:?}");
    assert_eq!(table(&sim), format!("{TABLE}{LINE}"));
    let copied = sim.mounts.copied.lock().expect("not poisoned").clone();
    assert_eq!(copied, ["/dev/mapper/HostVG-Base--1--0+2:/var/log to /dev/mapper/HostVG-var_log"]);
    assert!(is_active(&sim, "HostVG-var_log") && !is_active(&sim, "HostVG-Base--1--0+2"));
    check_sound(&sim, &|| "made".into());
    let layout = sim.imgbase().layout().expect("readable");
    assert!(layout.orphans.is_empty() && layout.bases[0].layers.len() == 2);
    assert_eq!(volumes(&sim), ["/var/log var_log"]);

    let again = add(&sim, "/var/log").expect_err("it is there");
    assert_eq!(again.kind(), ErrorKind::Exists);
    let twin = add(&sim, "/var_log").expect_err("its name is taken");
    assert_eq!(twin.kind(), ErrorKind::Exists);
    let odd = add(&sim, "/srv/my_data").expect("made");
    assert_eq!(odd.name.as_str(), "srv_my_data");
    assert_eq!(volumes(&sim), ["/srv/my_data srv_my_data", "/var/log var_log"]);

    // All of ours goes and comes with them.
    let off = sim.imgbase().deactivate(&[]).expect("nothing is in use");
    assert_eq!(off.volumes.len(), 2);
    assert!(!is_active(&sim, "HostVG-var_log"));
    sim.imgbase().activate(&[]).expect("all come up");
    assert!(is_active(&sim, "HostVG-var_log"));
}

#[test]
fn what_is_started_finds_its_volumes() {
    let sim = machine();
    add(&sim, "/var/log").expect("made");
    sim.imgbase().deactivate(&[]).expect("nothing is in use");
    let root = Root { vg: None, lv: "Base-1-0+2".parse().expect("a volume") };
    let start = Start {
        root,
        read_only: true,
        fs_type: None,
        options: String::new(),
        without_missing: false,
    };
    let dir = Path::new("/nowhere");
    let started = sim.imgbase().start(&start, dir).expect("it is there");
    assert!(is_active(&sim, "HostVG-var_log") && is_active(&sim, "HostVG-Base--1--0+2"));
    sim.imgbase().put_back(&started, dir).expect("nobody uses it");
    assert!(!is_active(&sim, "HostVG-var_log") && !is_active(&sim, "HostVG-Base--1--0+2"));
}

#[test]
fn what_lies_on_another_volume_comes_from_there() {
    let sim = machine();
    add(&sim, "/var").expect("made");
    // The program that makes file systems makes none here.
    let var = sim.kernel.open(&"HostVG-var".parse().expect("a name")).expect("active");
    var.write_at(&ext4("16M"), Bytes::ZERO).expect("it fits");
    drop(var);
    add(&sim, "/var/log").expect("made");
    let copied = sim.mounts.copied.lock().expect("not poisoned").clone();
    assert_eq!(copied[1], "/dev/mapper/HostVG-var:/log to /dev/mapper/HostVG-var_log");
    let foreign = "/dev/sda3 /home ext4 defaults 0 2\n";
    let both = format!("{}{foreign}", table(&sim));
    sim.mounts.files.lock().expect("not poisoned").insert("/etc/fstab".into(), both.into());
    for (at, kind) in [("/home", ErrorKind::Exists), ("/home/x", ErrorKind::Unsupported)] {
        let error = add(&sim, at).expect_err("another's");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("/dev/sda3"), "{error}");
    }
    assert_eq!(volumes(&sim), ["/var var", "/var/log var_log"]);
}

/// As if the machine ran from that device.
fn run_from(sim: &mut SimMachine, device: &str, dir: &str) -> Box<dyn imgbase::dev::Dev> {
    let device = device.parse().expect("a name");
    let open = sim.kernel.open(&device).expect("active");
    let number = sim.kernel.info(&device).expect("readable").expect("active").number;
    let (fs_type, options) = ("ext4".into(), Vec::new());
    sim.mounts.there = vec![MountEntry { number, dir: dir.into(), fs_type, options }];
    open
}

#[test]
fn a_layer_in_use_is_never_changed() {
    let mut sim = machine();
    let _held = run_from(&mut sim, "HostVG-Base--1--0+2", "/");
    let before = sim.bytes();
    let error = add(&sim, "/var/log").expect_err("it runs");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("layer --add"), "{error}");
    assert!(sim.bytes() == before && table(&sim) == TABLE);
    let other = AddVolume { layer: Some(layer("Base-1-0+1")), ..request("/var/log") };
    sim.imgbase().add_volume(&other, &mut Unwatched).expect("that one does not");
    let error = sim.imgbase().attach_volume(&path("/var/log"), None).expect_err("it runs");
    assert_eq!(error.kind(), ErrorKind::Busy);
}

#[test]
fn layers_mount_it_and_mount_it_no_more() {
    let sim = machine();
    add(&sim, "/var/log").expect("made");
    let attach = || sim.imgbase().attach_volume(&path("/var/log"), Some(&layer("Base-1-0+1")));
    assert!(!attach().expect("all layers have one fstab here").changed);
    let detach = || sim.imgbase().detach_volume(&path("/var/log"), None);
    assert!(detach().expect("it is there").changed && !detach().expect("no more").changed);
    assert_eq!(table(&sim), TABLE);
    assert!(attach().expect("it may").changed);
    assert_eq!(table(&sim), format!("{TABLE}{LINE}"));
    let none = sim.imgbase().attach_volume(&path("/home"), None).expect_err("there is none");
    assert_eq!(none.kind(), ErrorKind::NotFound);
    // A tree without a table gets one.
    sim.mounts.files.lock().expect("not poisoned").clear();
    assert!(attach().expect("it may").changed);
    assert_eq!(table(&sim), LINE);
}

#[test]
fn only_what_nobody_needs_is_removed() {
    let mut sim = machine();
    add(&sim, "/var/log").expect("made");
    let at = path("/var/log");
    let remove = |sim: &SimMachine, force| sim.imgbase().remove_volume(&at, force, &mut Unwatched);
    let error = remove(&sim, false).expect_err("layers name it");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("Base-1-0+1, Base-1-0+2"), "{error}");
    let held = run_from(&mut sim, "HostVG-var_log", "/var/log");
    assert_eq!(remove(&sim, true).expect_err("mounted").kind(), ErrorKind::Busy);
    assert_eq!(sim.imgbase().volumes().expect("one")[0].mounted.as_deref(), Some("/var/log"));
    drop(held);
    sim.mounts.there.clear();
    let removed = remove(&sim, true).expect("by force");
    assert_eq!((removed.name.as_str(), removed.named_by.len()), ("var_log", 2));
    assert!(volumes(&sim).is_empty());
    check_sound(&sim, &|| "removed".into());
    assert_eq!(remove(&sim, true).expect_err("gone").kind(), ErrorKind::NotFound);
    // The line that is left serves a new one, or is taken out.
    add(&sim, "/var/log").expect("made again");
    assert_eq!(table(&sim), format!("{TABLE}{LINE}"));
    remove(&sim, true).expect("by force");
    assert!(sim.imgbase().detach_volume(&at, None).expect("the line is there").changed);
    add(&sim, "/var/log").expect("and again");
    sim.imgbase().detach_volume(&at, None).expect("the line is there");
    remove(&sim, false).expect("no layer names it");
}

#[test]
fn a_request_that_cannot_be_met_changes_nothing() {
    let mut sim = machine();
    let before = sim.bytes();
    let small = AddVolume { size: Bytes::mib(4), ..request("/srv") };
    let small = sim.imgbase().add_volume(&small, &mut Unwatched).expect_err("too small");
    assert_eq!(small.kind(), ErrorKind::Invalid);
    sim.mounts.holds = Some(Measure { entries: 7, data: Bytes::mib(60) });
    assert_eq!(add(&sim, "/srv").expect_err("too much").kind(), ErrorKind::Invalid);
    sim.mounts.holds = Some(Measure { entries: 7, data: Bytes::gib(1) });
    let large = AddVolume { size: Bytes::gib(2), ..request("/srv") };
    let large = sim.imgbase().add_volume(&large, &mut Unwatched).expect_err("more than the pool");
    assert!(matches!(large.kind(), ErrorKind::NoSpace { .. }), "{large}");
    let none = AddVolume { layer: Some(layer("Base-1-0+9")), ..request("/srv") };
    let none = sim.imgbase().add_volume(&none, &mut Unwatched).expect_err("no such layer");
    assert_eq!(none.kind(), ErrorKind::NotFound);
    assert!(sim.bytes() == before && table(&sim) == TABLE);
    // A folder that is not there is an empty volume.
    sim.mounts.holds = None;
    let least = AddVolume { size: Bytes::mib(16), ..request("/srv") };
    let least = sim.imgbase().add_volume(&least, &mut Unwatched).expect("it is large enough");
    assert_eq!(least.copied, 0);
}

struct Stop;

impl Watch for Stop {
    fn cancelled(&self) -> bool {
        true
    }
}

/// Whatever stops it, there is a volume and what mounts it, or neither; what a crash leaves is taken
/// away.
#[test]
fn it_is_all_or_nothing() {
    let mut sim = machine();
    let stopped = sim.imgbase().add_volume(&request("/srv"), &mut Stop).expect_err("stopped");
    check_sound(&sim, &|| stopped.to_string());
    sim.tools.fail = true;
    assert_eq!(add(&sim, "/srv").expect_err("no file system").kind(), ErrorKind::Tool);
    sim.tools.fail = false;
    assert!(volumes(&sim).is_empty() && table(&sim) == TABLE);
    check_sound(&sim, &|| "undone".into());
    let mut ends = BTreeSet::new();
    for nth in 0.. {
        assert!(nth < 400, "it is never passed");
        let sim = machine();
        sim.kernel.forget_calls();
        sim.kernel.fail_at(nth, ErrorKind::Io, true);
        let done = add(&sim, "/srv");
        let reached = sim.kernel.calls().len() > nth;
        sim.kernel.heal();
        sim.imgbase().recover(&mut Unwatched).unwrap_or_else(|error| panic!("{nth}: {error}"));
        check_sound(&sim, &|| format!("call {nth}"));
        let there = !volumes(&sim).is_empty();
        let mounted = table(&sim) != TABLE;
        assert!(there || !mounted, "call {nth}: a layer waits for what is not there");
        assert!(done.is_err() || there, "call {nth}");
        ends.insert((there, mounted));
        if !reached {
            assert!(done.expect("it is passed").attached);
            break;
        }
    }
    assert!(ends.contains(&(false, false)) && ends.contains(&(true, true)), "{ends:?}");
}

/// The same of its removal, where one call fails or all from there on.
#[test]
fn a_removal_is_all_or_nothing() {
    let at = path("/var/log");
    for forever in [false, true] {
        let mut ends = BTreeMap::new();
        for nth in 0.. {
            assert!(nth < 400, "it is never passed");
            let sim = machine();
            add(&sim, "/var/log").expect("made");
            sim.kernel.forget_calls();
            sim.kernel.fail_at(nth, ErrorKind::Io, forever);
            let removed = sim.imgbase().remove_volume(&at, true, &mut Unwatched);
            let reached = sim.kernel.calls().len() > nth;
            sim.kernel.heal();
            let when = format!("call {nth}, and all after it: {forever}: {removed:?}");
            let done = sim.imgbase().recover(&mut Unwatched);
            done.unwrap_or_else(|error| panic!("{when}: {error}"));
            check_sound(&sim, &|| when.clone());
            let is_there = !volumes(&sim).is_empty();
            let end = match &removed {
                Ok(_) => "done",
                Err(error) if error.kind() == ErrorKind::NeedsRecovery => "to recover",
                Err(_) => "as before",
            };
            match (end, &removed) {
                ("done", _) => assert!(!is_there, "{when}"),
                ("to recover", Err(error)) => {
                    let said = error.to_string();
                    assert!(said.contains("HostVG") || said.contains("var_log"), "{when}");
                }
                _ => assert!(is_there, "{when}"),
            }
            *ends.entry(end).or_insert(0) += 1;
            if !reached {
                break;
            }
        }
        assert_eq!(ends.len(), 3, "{ends:?}");
    }
}

/// A dry run reads the devices that are there.
fn show_devices(sim: &SimMachine) {
    for device in sim.kernel.list("LVM-").expect("lists") {
        let path = format!("/dev/mapper/{}", device.name);
        let Ok(open) = sim.kernel.open(&device.name) else { continue };
        let dev = MemDev::new(path.clone(), bytes_of(open.as_ref()));
        sim.disks.images.lock().expect("not poisoned").insert(path.into(), Arc::new(dev));
    }
}

#[test]
fn a_dry_run_tells_all_and_changes_nothing() {
    let sim = machine();
    show_devices(&sim);
    let before = sim.bytes();
    let dry = DryRun::over(sim.machine()).expect("looks");
    Imgbase::new(dry.machine()).add_volume(&request("/var/log"), &mut Unwatched).expect("it would");
    let lines = dry.lines();
    for part in ["mke2fs", "copy what is in /var/log", "to change it", "create_thin"] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:#?}");
    }
    assert!(sim.bytes() == before && table(&sim) == TABLE);
    add(&sim, "/var/log").expect("made");
    show_devices(&sim);
    let before = sim.bytes();
    let dry = DryRun::over(sim.machine()).expect("looks");
    let at = path("/var/log");
    Imgbase::new(dry.machine()).remove_volume(&at, true, &mut Unwatched).expect("it would");
    assert!(sim.bytes() == before && !dry.lines().is_empty());
}

#[test]
fn a_volume_outlives_the_layers() {
    let sim = machine();
    add(&sim, "/var/log").expect("made");
    // Here all layers show one tree: what counts is that both can be made beside a volume.
    let on: ImageName = "Base-1-0+2".parse().expect("a name");
    sim.imgbase().add_layer(Some(&on), &mut Unwatched).expect("a layer");
    sim.imgbase().reset_layer(&layer("Base-1-0+2"), &mut Unwatched).expect("a layer");
    check_sound(&sim, &|| "four layers".into());
    let all = sim.imgbase().remove_base(&BASE.parse().expect("a name"), &mut Unwatched);
    assert_eq!(all.expect("all go").removed.len(), 5);
    assert_eq!(volumes(&sim), ["/var/log var_log"], "it outlives them");
}
