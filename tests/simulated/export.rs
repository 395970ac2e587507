//! Exports on a machine in memory: what they hold, what they leave.

use std::path::{Path, PathBuf};
use std::process::Command;

use imgbase::ErrorKind;
use imgbase::dev::Dev;
use imgbase::dm::Kernel;
use imgbase::dry::DryRun;
use imgbase::layout::ImageName;
use imgbase::machine::{FileTarget, MountEntry};
use imgbase::ops::{AddBase, Export, ExportFormat, ImageSource, Imgbase, Unwatched, Watch};
use imgbase::pack::Packing;
use imgbase::report::Exported;
use imgbase::units::Bytes;

use crate::support::world::check_sound;
use crate::support::{SimMachine, bytes_of};

const BASE: &str = "Base-1-0";
const LAYER: &str = "Base-1-0+1";

fn image(name: &str) -> ImageName {
    name.parse().expect("a name")
}

/// A base and a layer of it, which is active.
fn machine() -> SimMachine {
    let sim = SimMachine::with_disks(2);
    sim.init();
    sim.add_base(BASE).expect("the base is made");
    sim.imgbase().add_layer(None, &mut Unwatched).expect("a layer");
    sim
}

fn request(of: &str, to: &str, format: ExportFormat, packing: Option<Packing>) -> Export {
    Export { image: image(of), to: FileTarget::Path(to.into()), format, packing, force: false }
}

fn export(sim: &SimMachine, request: &Export) -> imgbase::Result<Exported> {
    sim.imgbase().export(request, &mut Unwatched)
}

/// What is in a file that was made.
fn made(sim: &SimMachine, path: &str) -> Option<Vec<u8>> {
    let images = sim.disks.images.lock().expect("not poisoned");
    images.get(Path::new(path)).map(|dev| dev.bytes())
}

/// The bytes of a volume, which becomes active for that.
fn volume(sim: &SimMachine, name: &str) -> Vec<u8> {
    sim.imgbase().activate(&[image(name)]).expect("it can be activated");
    let device = format!("HostVG-{}", name.replace('-', "--")).parse().expect("a name");
    bytes_of(sim.kernel.open(&device).expect("active").as_ref())
}

fn is_active(sim: &SimMachine, name: &str) -> bool {
    let device = format!("HostVG-{}", name.replace('-', "--")).parse().expect("a name");
    sim.kernel.info(&device).expect("readable").is_some()
}

#[test]
fn raw_is_the_volume_and_nothing_changes_for_it() {
    let sim = machine();
    let before = sim.bytes();
    let done = export(&sim, &request(BASE, "/out/base", ExportFormat::Raw, None)).expect("written");
    assert!(!is_active(&sim, BASE), "it was not active before");
    assert_eq!((done.size_bytes, done.format.as_str()), (16 << 20, "raw"));
    assert!(done.written_bytes < 8 << 20, "{done:?}");
    let packing = Some(Packing::Zstd);
    export(&sim, &request(LAYER, "/out/layer", ExportFormat::Raw, packing)).expect("written");
    assert!(sim.bytes() == before, "the group is as it was");
    assert!(made(&sim, "/out/base") == Some(volume(&sim, BASE)));
    let packed = made(&sim, "/out/layer").expect("there");
    let layer = imgbase::pack::unpack(packed, 32 << 20).expect("good");
    assert!(layer == volume(&sim, LAYER));
    let error = export(&sim, &request(BASE, "/out/base", ExportFormat::Raw, None));
    assert_eq!(error.expect_err("it is there").kind(), ErrorKind::Exists);
    let error = export(&sim, &request("Other-1-0", "/out/none", ExportFormat::Raw, None));
    assert_eq!(error.expect_err("it is not there").kind(), ErrorKind::NotFound);
    let xz = request(BASE, "/out/xz", ExportFormat::Raw, Some(Packing::Xz));
    assert_eq!(export(&sim, &xz).expect_err("only read").kind(), ErrorKind::Unsupported);
}

#[test]
fn a_qcow2_that_no_base_could_be_made_of_is_not_written() {
    let sim = machine();
    for packing in [Packing::Gzip, Packing::Zstd] {
        let error = export(&sim, &request(BASE, "/out/x", ExportFormat::Qcow2, Some(packing)));
        let error = error.expect_err("'base --add' would refuse it");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("nothing was changed"), "{error}");
        assert_eq!(made(&sim, "/out/x"), None);
    }
}

/// As if it ran from there.
fn mount(sim: &mut SimMachine, name: &str) -> Box<dyn Dev> {
    let device = format!("HostVG-{}", name.replace('-', "--")).parse().expect("a name");
    let open = sim.kernel.open(&device).expect("active");
    let number = sim.kernel.info(&device).expect("readable").expect("active").number;
    let (fs_type, options) = ("ext4".into(), Vec::new());
    sim.mounts.there = vec![MountEntry { number, dir: "/".into(), fs_type, options }];
    open
}

#[test]
fn a_layer_in_use_goes_out_as_it_was_and_leaves_no_snapshot() {
    let mut sim = machine();
    let held = mount(&mut sim, LAYER);
    held.write_at(b"what it was", Bytes::mib(10)).expect("writable");
    for format in [ExportFormat::Raw, ExportFormat::Qcow2] {
        let path = format!("/out/{}", format.word());
        export(&sim, &request(LAYER, &path, format, None)).expect("written");
        check_sound(&sim, &|| path.clone());
    }
    let raw = made(&sim, "/out/raw").expect("there");
    assert_eq!(raw.len(), 16 << 20);
    assert!(made(&sim, "/out/qcow2").expect("there").starts_with(b"QFI\xfb\0\0\0\x03"));
    assert_eq!(sim.imgbase().layout().expect("readable").bases[0].layers.len(), 1);
}

/// Wherever the kernel fails, neither a file nor a snapshot is left that recovery does not take.
#[test]
fn what_fails_leaves_nothing() {
    let mut sim = machine();
    sim.disks.room = 4096;
    let full = export(&sim, &request(BASE, "/out/full", ExportFormat::Raw, None));
    assert!(matches!(full.expect_err("no room").kind(), ErrorKind::NoSpace { .. }));
    let held = mount(&mut sim, LAYER);
    let full = export(&sim, &request(LAYER, "/out/full", ExportFormat::Raw, None));
    assert!(matches!(full.expect_err("no room").kind(), ErrorKind::NoSpace { .. }));
    assert_eq!(made(&sim, "/out/full"), None);
    check_sound(&sim, &|| "full".into());
    sim.disks.room = usize::MAX;
    sim.kernel.forget_calls();
    for nth in 0.. {
        assert!(nth < 300, "it is never passed");
        sim.kernel.fail_at(nth, ErrorKind::Io, true);
        let path = format!("/out/{nth}");
        let done = export(&sim, &request(LAYER, &path, ExportFormat::Raw, None));
        let reached = sim.kernel.calls().len() > nth;
        sim.kernel.heal();
        // After the rename a failure is a warning.
        assert_eq!(made(&sim, &path).is_some(), done.is_ok(), "call {nth}");
        sim.imgbase().recover(&mut Unwatched).expect("it can be mended");
        check_sound(&sim, &|| format!("call {nth}"));
        sim.kernel.forget_calls();
        if !reached {
            assert!(done.is_ok());
            break;
        }
    }
    drop(held);
}

struct Stop;

impl Watch for Stop {
    fn cancelled(&self) -> bool {
        true
    }
}

#[test]
fn who_stops_it_has_no_file() {
    let mut sim = machine();
    let out = |format| request(LAYER, "/out/x", format, None);
    let stopped = |sim: &SimMachine, format| {
        let error = sim.imgbase().export(&out(format), &mut Stop).expect_err("it was stopped");
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        assert_eq!(made(sim, "/out/x"), None);
        check_sound(sim, &|| format!("{format:?}"));
    };
    sim.mounts.tree = Some("/usr/include".into());
    for format in [ExportFormat::Raw, ExportFormat::Qcow2, ExportFormat::Tar] {
        stopped(&sim, format);
    }
    let _held = mount(&mut sim, LAYER);
    stopped(&sim, ExportFormat::Raw);
}

#[test]
fn a_dry_run_writes_nothing_and_looks_at_the_place() {
    let sim = machine();
    sim.imgbase().deactivate(&[]).expect("nothing is in use");
    let before = sim.bytes();
    for format in [ExportFormat::Raw, ExportFormat::Qcow2, ExportFormat::Tar] {
        let dry = DryRun::over(sim.machine()).expect("looks");
        let out = request(BASE, "/out/x", format, None);
        Imgbase::new(dry.machine()).export(&out, &mut Unwatched).expect("it would work");
        let lines = dry.lines();
        assert!(lines.iter().any(|line| line.contains("rename it to /out/x")), "{lines:#?}");
    }
    assert!(sim.bytes() == before && made(&sim, "/out/x").is_none());
    assert!(!is_active(&sim, BASE));
}

#[test]
fn a_qcow2_holds_the_volume_by_the_count_of_others_too() {
    let sim = machine();
    export(&sim, &request(BASE, "/out/q", ExportFormat::Qcow2, None)).expect("written");
    let (bytes, volume) = (made(&sim, "/out/q").expect("there"), volume(&sim, BASE));
    assert!(bytes.len() < volume.len() / 2, "{}", bytes.len());
    // As an image it is a base again, with the same bytes.
    let image = ImageSource::Path(PathBuf::from("/out/q")).into();
    let nvr = "Again-1-0".parse().expect("a name");
    let again = AddBase { nvr, image, size: None, share: true };
    sim.imgbase().add_base(&again, &mut Unwatched).expect("it can be read");
    assert!(self::volume(&sim, "Again-1-0") == volume);
    let dir = tempfile::tempdir().expect("a folder");
    let [qcow2, raw] = ["q", "r"].map(|name| dir.path().join(name));
    std::fs::write(&qcow2, bytes).expect("written");
    let run = |args: &[&str], paths: &[&Path]| {
        Command::new("qemu-img").args(args).args(paths).output().ok()
    };
    let Some(checked) = run(&["check", "-f", "qcow2"], &[&qcow2]) else { return };
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.contains("No errors were found"), "{said}");
    run(&["convert", "-f", "qcow2", "-O", "raw"], &[&qcow2, &raw]).expect("it runs");
    assert!(std::fs::read(&raw).expect("converted") == volume);
}

#[test]
fn a_tar_holds_the_files() {
    let mut sim = machine();
    let dir = tempfile::tempdir_in("/var/tmp").expect("a folder");
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("etc/deep")).expect("made");
    std::fs::write(tree.join("etc/hosts"), "localhost\n").expect("written");
    std::fs::hard_link(tree.join("etc/hosts"), tree.join("etc/deep/same")).expect("linked");
    std::os::unix::fs::symlink("/etc/hosts", tree.join("link")).expect("linked");
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("socket")).expect("made");
    sim.mounts.tree = Some(tree.clone());
    let packing = Some(Packing::Gzip);
    export(&sim, &request(LAYER, "/out/t", ExportFormat::Tar, packing)).expect("written");
    let file = dir.path().join("x.tar.gz");
    std::fs::write(&file, made(&sim, "/out/t").expect("there")).expect("written");
    let run = |args: &[&str]| {
        let ran = Command::new("tar").args(args).arg("-zf").arg(&file).output().expect("it runs");
        let said = [ran.stdout, ran.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert!(ran.status.success(), "{said:?}");
        said.concat()
    };
    let mut listed: Vec<String> = run(&["-t"]).lines().map(str::to_owned).collect();
    listed.sort();
    let wanted = ["./", "./etc/", "./etc/deep/", "./etc/deep/same", "./etc/hosts", "./link"];
    assert_eq!(listed, wanted);
    std::fs::remove_file(tree.join("socket")).expect("removed");
    assert_eq!(run(&["-d", "-C", tree.to_str().expect("UTF-8")]), "");
}
