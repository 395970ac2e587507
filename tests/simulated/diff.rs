//! Images compared on a machine in memory, whose mounts fail: what is told was found by blocks.
#![cfg(feature = "host")]

use std::path::Path;
use std::process::Command;

use imgbase::dev::Dev;
use imgbase::dm::Kernel;
use imgbase::layout::ImageName;
use imgbase::ops::{DiffWay, Unwatched};
use imgbase::units::Bytes;
use imgbase::{ErrorKind, Result};

use crate::support::{SimMachine, bytes_of};

const BASE: &str = "Base-1-0";
const CHUNK: usize = 64 << 10;

/// A base with two layers.
fn with_layers() -> SimMachine {
    let sim = SimMachine::with_disks(1);
    sim.init();
    sim.add_base(BASE).expect("the base is made");
    for _ in 0..2 {
        sim.imgbase().add_layer(None, &mut Unwatched).expect("a layer");
    }
    sim
}

fn open(sim: &SimMachine, device: &str) -> Box<dyn Dev> {
    sim.kernel.open(&device.parse().expect("a name")).expect("it is active")
}

/// Lets debugfs change what is on a volume, chunk by chunk as a mount would.
fn edit(sim: &SimMachine, device: &str, commands: &str) {
    let device = open(sim, device);
    let folder = tempfile::tempdir().expect("a folder");
    let (image, script) = (folder.path().join("image"), folder.path().join("script"));
    let old = bytes_of(device.as_ref());
    std::fs::write(&image, &old).expect("there is room");
    std::fs::write(&script, commands).expect("there is room");
    debugfs(&script, &image);
    let new = std::fs::read(&image).expect("it is ours");
    for (index, (old, new)) in old.chunks(CHUNK).zip(new.chunks(CHUNK)).enumerate() {
        if old != new {
            device.write_at(new, Bytes::new((index * CHUNK) as u64)).expect("there is room");
        }
    }
}

fn debugfs(script: &Path, image: &Path) {
    let done = Command::new("debugfs").arg("-w").arg("-f").arg(script).arg(image).output();
    assert!(done.expect("debugfs is installed").status.success());
}

fn diff(sim: &SimMachine, a: &str, b: &str, way: DiffWay) -> Result<Vec<String>> {
    let name = |name: &str| name.parse::<ImageName>().expect("a name");
    let mut told = Vec::new();
    sim.imgbase().diff(Some(&name(a)), Some(&name(b)), way, &mut |change| {
        told.push(change.to_string());
        Ok(())
    })?;
    Ok(told)
}

#[test]
fn what_layers_have_different_is_found_without_a_mount() {
    let sim = with_layers();
    let all = ["Base-1-0", "Base-1-0+1", "Base-1-0+2"];
    for (a, b) in all.iter().zip(all.iter().skip(1)) {
        assert_eq!(diff(&sim, a, b, DiffWay::Blocks).expect("comparable"), [""; 0]);
    }
    let one = "set_inode_field hello mode 0100600\nmkdir new\nset_inode_field / version 3\n";
    edit(&sim, "HostVG-Base--1--0+1", one);
    edit(&sim, "HostVG-Base--1--0+2", "set_inode_field hello uid 7\n");
    let told = |a, b| diff(&sim, a, b, DiffWay::Blocks).expect("comparable");
    assert_eq!(told(BASE, "Base-1-0+1"), ["changed /hello (mode)", "added /new"]);
    assert_eq!(told(BASE, "Base-1-0+2"), ["changed /hello (owner)"]);
    let both = ["changed /hello (mode, owner)", "removed /new"];
    assert_eq!(told("Base-1-0+1", "Base-1-0+2"), both);
    // The base was active for the calls alone.
    let devices = sim.kernel.list("").expect("lists");
    assert!(devices.iter().all(|device| device.name != "HostVG-Base--1--0"), "{devices:?}");
    assert!(
        devices.iter().all(|device| device.open_count == 0 || !device.name.as_str().contains('+'))
    );
}

/// Each read fails once: the list is whole, or the error is the read's.
#[test]
fn a_read_that_fails_leaves_nothing_out() {
    let sim = with_layers();
    edit(&sim, "HostVG-Base--1--0+1", "set_inode_field hello mode 0100600\nmkdir new\n");
    let diff = |way| diff(&sim, BASE, "Base-1-0+1", way);
    let whole = diff(DiffWay::Blocks).expect("comparable");
    let (mut failed, mut late, mut nth) = (0, 0, 0);
    let fail = |nth| sim.kernel.fail_io_at(nth, std::io::ErrorKind::Other);
    loop {
        fail(nth);
        let told = diff(DiffWay::Blocks);
        if !sim.kernel.heal() {
            break;
        }
        match told {
            Ok(told) => assert_eq!(told, whole),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                let (told, places) = (error.to_string(), ["HostVG", "/hello", "/new"]);
                assert!(places.iter().any(|place| told.contains(place)), "{told}");
                failed += 1;
                if told.contains("compare the trees") {
                    // It was begun: nothing is told a second time by a walk.
                    fail(nth);
                    let again = diff(DiffWay::Auto).expect_err("the same read fails");
                    assert_eq!(again.to_string(), told);
                    late += 1;
                }
            }
        }
        nth += 1;
    }
    assert!(late > 0 && failed > late && nth > failed, "{late}, {failed} of {nth}");
}

/// The walk needs a mount, which this machine does not have: that it is tried shows by its error.
#[test]
fn what_cannot_be_compared_by_blocks_is_walked_through() {
    let mut sim = with_layers();
    sim.mounts.refuse_once = true;
    let walks = |a: &str, b: &str, way| {
        let error = diff(&sim, a, b, way).expect_err("no mount");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains("/dev/mapper/HostVG-"), "{error}");
    };
    walks(BASE, "Base-1-0+1", DiffWay::Walk);
    let held = open(&sim, "HostVG-Base--1--0+1");
    walks(BASE, "Base-1-0+1", DiffWay::Auto);
    drop(held);
    assert_eq!(diff(&sim, BASE, "Base-1-0+1", DiffWay::Auto).expect("comparable"), [""; 0]);
    edit(&sim, "HostVG-Base--1--0+1", "feature needs_recovery\n");
    walks(BASE, "Base-1-0+1", DiffWay::Auto);
    edit(&sim, "HostVG-Base--1--0+2", "set_super_value lastcheck 20300101\n");
    walks(BASE, "Base-1-0+2", DiffWay::Auto);
    sim.add_base("Base-1-1").expect("the base is made");
    walks(BASE, "Base-1-1", DiffWay::Auto);
}
