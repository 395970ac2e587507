//! `cargo bench-vm`: imgbase beside the programs that it stands in for, in one machine.

mod figures;
mod groups;
mod json;
mod memory;
mod rows;
mod starts;
mod svg;
mod table;
mod targets;
mod wide;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use self::figures::Figures;
use self::groups::{BOOT_FOLDER, GROUPS, Group};
use crate::error::{Doing, Fail, Result};
use crate::runner::RunFolder;
use crate::setup::{self, Binaries};
use crate::vm::{Host, Spec, Vm};

const BASE: &str = "Debian-12-1";
const LAYERS: u32 = 10;
const LIMIT: Duration = Duration::from_secs(3600);

/// Physical volumes are large, the scratch disks beside them take texts alone; the spare one takes what
/// a group wants beside. MiB.
const PV: u64 = 6144;
const SCRATCH: u64 = 64;
const SPARE: u64 = 4096;

/// System calls of whole processes, each with the time since the one before.
const TRACE: &str = "
trace() { strace -f -r -o /tmp/trace imgbase \"$@\" >/dev/null; cat /tmp/trace; }
trace layer --add
imgbase boot --set-default Boot-1-1+2
trace rollback
";

/// Room for the texts of two thousand layers, and for their mappings.
const LARGE: &str = "--mda-size 8M --metadata-size 128M";

struct Options {
    json: Option<PathBuf>,
    /// A folder for the curves.
    svg: Option<PathBuf>,
    /// Rounds of what takes well under a second or two.
    rounds: u32,
    /// Rounds of `base --add`.
    base_rounds: u32,
    /// Rounds of starts of a layer.
    start_rounds: u32,
    /// The groups that are measured; all, where none is named.
    only: Vec<String>,
    /// Physical volumes.
    disks: usize,
    /// Whether syncs reach the disk below, which others may use too; else they end in this
    /// machine's memory, as on a disk whose cache outlives a power cut.
    durable: bool,
    /// Instead of measuring, shows where the time of single calls goes.
    profile: bool,
}

/// Measures, prints the table; that a target is missed is no failure.
pub(super) fn main(args: &[String]) -> Result<bool> {
    let options = parse(args)?;
    let assets = setup::assets()?;
    let binaries = Binaries::for_benchmark()?;
    let runs = RunFolder::new()?;
    // Figures are compared with those of other days: a newer one runs programs faster, but waits no less.
    let emulator = setup::INSTALLED_EMULATOR.into();
    let host = Host { emulator, ..runs.host(&assets, &binaries)? };
    let start = |spec: &Spec| -> Result<Vm> {
        let mut vm = Vm::start(&host, spec, &runs.next())?;
        vm.limit(LIMIT);
        Ok(vm)
    };
    if options.profile {
        return profile(&mut start(&machine(&options))?, &options);
    }
    let mut figures = Figures::default();
    let wanted = || GROUPS.iter().filter(|group| options.wants(group));
    if wanted().any(|group| !group.alone) {
        measure(&mut start(&machine(&options))?, &options, &mut figures)?;
    }
    for group in wanted().filter(|group| group.alone) {
        alone(group, &start, &options, &mut figures)?;
    }
    let imgbase = binaries.imgbase.ok_or_else(|| Fail::new("no static binary"))?;
    figures.binary = fs::metadata(&imgbase).doing(imgbase.display())?.len();
    let end =
        if options.durable { "on its disk" } else { "in its memory (--durable: on its disk)" };
    println!("a sync of the machine's disks ends {end}");
    print!("{}", table::render(&figures));
    if let Some(folder) = &options.svg {
        svg::write(folder, &figures)?;
    }
    if let Some(path) = &options.json {
        fs::write(path, json::render(&figures)).doing(path.display())?;
    }
    Ok(true)
}

fn machine(options: &Options) -> Spec {
    let disks = [vec![PV; options.disks], vec![SCRATCH; options.disks], vec![SPARE]].concat();
    Spec { durable: options.durable, ..Spec::plain(&disks).with_two_processors() }
}

fn profile(vm: &mut Vm, options: &Options) -> Result<bool> {
    prepare(vm, options.disks)?;
    println!("{}", vm.ok("bench-guest profile")?);
    println!("{}", vm.ok(&format!("set -e\n{BOOT_FOLDER}{TRACE}"))?);
    Ok(true)
}

impl Options {
    fn wants(&self, group: &Group) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == group.name)
    }
}

fn parse(args: &[String]) -> Result<Options> {
    let mut options = Options {
        json: None,
        svg: None,
        rounds: 9,
        base_rounds: 3,
        start_rounds: 5,
        only: Vec::new(),
        disks: 1,
        durable: false,
        profile: false,
    };
    let mut args = args.iter().filter(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--durable" => options.durable = true,
            "--profile" => options.profile = true,
            "--json" => options.json = Some(value(arg, args.next())?),
            "--svg" => options.svg = Some(value(arg, args.next())?),
            "--rounds" => options.rounds = value(arg, args.next())?,
            "--base-rounds" => options.base_rounds = value(arg, args.next())?,
            "--start-rounds" => options.start_rounds = value(arg, args.next())?,
            "--only" => options.only = groups(arg, args.next())?,
            "--disks" => options.disks = value(arg, args.next())?,
            _ => return Err(Fail::new(super::USAGE)),
        }
    }
    Ok(options)
}

/// Names of groups, with commas between them.
fn groups(option: &str, named: Option<&String>) -> Result<Vec<String>> {
    let named: String = value(option, named)?;
    let named: Vec<String> = named.split(',').map(str::to_owned).collect();
    if named.iter().any(|only| !GROUPS.iter().any(|group| group.name == only)) {
        let names: Vec<&str> = GROUPS.iter().map(|group| group.name).collect();
        return Err(Fail::new(format!("--only takes some of {}", names.join(","))));
    }
    Ok(named)
}

fn value<T: std::str::FromStr>(option: &str, value: Option<&String>) -> Result<T> {
    let value = value.and_then(|value| value.parse().ok());
    value.ok_or_else(|| Fail::new(format!("{option} takes a value\n{}", super::USAGE)))
}

/// A layout with a base and ten layers.
fn prepare(vm: &mut Vm, disks: usize) -> Result<()> {
    eprintln!("bench: a layout with {LAYERS} layers");
    let names: Vec<String> = vm.spec.disk_names().take(disks).collect();
    let devices: Vec<String> = names.iter().map(|name| format!("/dev/{name}")).collect();
    vm.ok(&format!("imgbase layout --init --size 5G {LARGE} {}", devices.join(" ")))?;
    vm.ok(&format!("imgbase base --add {BASE} /images/debian.ext4"))?;
    (0..LAYERS).try_for_each(|_| vm.ok(&format!("imgbase layer --add {BASE}")).map(drop))
}

fn measure(vm: &mut Vm, options: &Options, figures: &mut Figures) -> Result<()> {
    prepare(vm, options.disks)?;
    let here = |group: &&Group| !group.alone && options.wants(group);
    for group in GROUPS.iter().filter(here) {
        let rounds = group.rounds(options);
        eprintln!("bench: {}, {rounds} rounds", group.name);
        script(vm, group.before)?;
        match group.name {
            "memory" => memory::measure(vm, figures)?,
            name => guest(vm, name, rounds, figures)?,
        }
        script(vm, group.after)?;
    }
    Ok(())
}

fn alone(
    group: &Group,
    start: &dyn Fn(&Spec) -> Result<Vm>,
    options: &Options,
    figures: &mut Figures,
) -> Result<()> {
    let rounds = group.rounds(options);
    eprintln!("bench: {}, {rounds} rounds", group.name);
    if group.name == "wide" {
        return wide::measure(start, rounds, figures);
    }
    let mut vm = start(&machine(options))?;
    prepare(&mut vm, options.disks)?;
    match group.name {
        // It ends the machine. With thousands of layers Debian's initramfs does not find the one in
        // time.
        "starts" => starts::measure(&mut vm, options.disks, rounds, figures),
        name => guest(&mut vm, name, rounds, figures),
    }
}

/// What the half in the guest measures.
fn guest(vm: &mut Vm, group: &str, rounds: u32, figures: &mut Figures) -> Result<()> {
    figures.take(&vm.ok(&format!("bench-guest {group} {rounds}"))?)
}

fn script(vm: &mut Vm, script: &str) -> Result<()> {
    let spare = vm.spec.disk_names().last().unwrap_or_default();
    vm.ok(&format!("set -e\nspare=/dev/{spare}\n{script}")).map(drop)
}
