//! `cargo demo`: the main job for real, here or in a throwaway machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing, Fail, Result};
use crate::runner::RunFolder;
use crate::setup::{self, Binaries, shell};
use crate::vm::{Spec, Vm};
use crate::wire::text;

/// What is told, and what is done; `$IMAGE` is the sample, the working folder is empty.
const STEPS: &[(&str, &str)] = &[
    (
        "A blank disk: an empty file, which imgbase attaches to a loop device.",
        "truncate -s 3G disk.img",
    ),
    ("A volume group on it, with a thin pool.", "imgbase --vg Demo layout --init ./disk.img"),
    ("What is to be kept: the root file system of a real Debian.", "ls -sh --block-size=M $IMAGE"),
    ("It becomes a read-only base.", "imgbase --vg Demo base --add Debian-12-1 $IMAGE"),
    ("A writable layer on that base, and another one.", "imgbase --vg Demo layer --add"),
    ("", "imgbase --vg Demo layer --add Debian-12-1"),
    ("A file is changed in the first, and one is added.", "mkdir mnt"),
    ("", "imgbase --vg Demo mount Debian-12-1+1 ./mnt"),
    ("", "echo 'Welcome to the first layer' | tee mnt/etc/motd mnt/etc/new-file"),
    ("", "imgbase --vg Demo umount ./mnt"),
    ("Here is the tree,", "imgbase --vg Demo layout"),
    (
        "the difference between that layer and its base,",
        "imgbase --vg Demo diff Debian-12-1 Debian-12-1+1",
    ),
    ("the health of it all,", "imgbase --vg Demo check"),
    ("and what lvm2 says of it, which had no part in it.", "lvs -a Demo && vgck Demo"),
];

/// Undoes everything here; a throwaway machine is thrown away.
const CLEAN_UP: &str = "umount mnt; vgchange -q -an Demo; \
    losetup -j disk.img -O NAME -n | xargs -r losetup -d; rm -rf disk.img mnt";

/// Runs it, and says where.
pub(super) fn main() -> Result<bool> {
    setup::packages()?;
    if let Some(why) = why_not_here() {
        println!("This host {why}: a virtual machine does it.");
        return in_a_machine();
    }
    println!("This host has device-mapper: it is done here, on a loop device.");
    here()
}

fn why_not_here() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("lets only root do it");
    }
    let modules = shell::output("modprobe", &["-a", "dm_mod", "dm_thin_pool", "loop"]);
    let devices = fs::read_to_string("/proc/devices").unwrap_or_default();
    let both = ["device-mapper", "loop"].iter().all(|name| devices.contains(name));
    (modules.is_err() && !both).then_some("has no device-mapper")
}

fn in_a_machine() -> Result<bool> {
    let assets = setup::assets()?;
    let runs = RunFolder::new()?;
    let host = runs.host(&assets, &Binaries::all()?)?;
    let mut vm = Vm::start(&host, &Spec::plain(&[]), &runs.next())?;
    vm.limit(Duration::from_secs(600));
    vm.ok("mkdir /var/tmp/demo")?;
    tell(|step| {
        let set_up = "cd /var/tmp/demo; IMAGE=/images/debian.ext4";
        let done = vm.sh(&format!("{set_up}; exec 2>&1; {step}"))?;
        Ok((done.status, done.stdout))
    })
}

fn here() -> Result<bool> {
    setup::install(&["lvm2"])?;
    let sample = setup::assets()?.sample;
    let binary = Binaries::all()?.imgbase.ok_or_else(|| Fail::new("no static binary"))?;
    let runs = RunFolder::new()?;
    let work = runs.next();
    fs::create_dir_all(&work)?;
    let place = Place { work, sample, binary };
    let told = tell(|step| place.run(step));
    let (_, said) = place.run(CLEAN_UP)?;
    told.inspect_err(|_| eprintln!("{said}"))
}

/// A folder of this host, and what is found there.
struct Place {
    work: PathBuf,
    sample: PathBuf,
    binary: PathBuf,
}

impl Place {
    fn run(&self, step: &str) -> Result<(i32, String)> {
        let path = std::env::var("PATH").unwrap_or_default();
        let tools =
            self.binary.parent().map(Path::display).ok_or_else(|| Fail::new("no folder"))?;
        let done = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {step}")])
            .env("PATH", format!("{tools}:{path}"))
            .env("IMAGE", &self.sample)
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .current_dir(&self.work)
            .output()
            .doing("sh")?;
        Ok((done.status.code().unwrap_or(1), text(&done.stdout)))
    }
}

/// Runs the steps until one fails.
fn tell(mut run: impl FnMut(&str) -> Result<(i32, String)>) -> Result<bool> {
    for (title, step) in STEPS {
        if !title.is_empty() {
            println!("\n{title}");
        }
        println!("  $ {step}");
        let (status, said) = run(step)?;
        said.lines().for_each(|line| println!("  {line}"));
        if status != 0 {
            println!("\nThat failed with exit status {status}.");
            return Ok(false);
        }
    }
    println!("\nDone, and everything is taken away again.");
    Ok(true)
}
