//! `cargo bench-vm`: imgbase beside the programs that it stands in for, in one machine.

mod figures;
mod json;
mod starts;
mod table;
mod targets;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use self::figures::Figures;
use crate::error::{Doing, Fail, Result};
use crate::runner::RunFolder;
use crate::setup::{self, Binaries};
use crate::vm::{Host, Spec, Vm};

const BASE: &str = "Debian-12-1";
const LAYERS: u32 = 10;
const LIMIT: Duration = Duration::from_secs(3600);

/// Physical volumes are large, the scratch disks beside them take texts alone. MiB.
const PV: u64 = 4096;
const SCRATCH: u64 = 64;

/// System calls of whole processes, each with the time since the one before.
const TRACE: &str = "
trace() { strace -f -r -o /tmp/trace imgbase \"$@\" >/dev/null; cat /tmp/trace; }
trace layer --add
imgbase boot --set-default Boot-1-1+2
trace rollback
";

/// systemd-boot's folder, and two layers with entries in it.
const BOOT_FOLDER: &str = "
truncate -s 128M /tmp/esp
mkfs.vfat /tmp/esp >/dev/null
mount -o loop /tmp/esp /boot
mkdir -p /boot/EFI/systemd
echo >/boot/EFI/systemd/systemd-bootx64.efi
imgbase base --add Boot-1-1 /systems/small.ext4
imgbase layer --add Boot-1-1
imgbase layer --add Boot-1-1
";

/// Room for the texts of two thousand layers, and for their mappings.
const LARGE: &str = "--mda-size 8M --metadata-size 128M";

/// What can be measured alone.
const GROUPS: [&str; 8] =
    ["lists", "layers", "bases", "memory", "boots", "many", "scale", "starts"];

struct Options {
    json: Option<PathBuf>,
    /// Rounds of what takes well under a second or two.
    rounds: u32,
    /// Rounds of `base --add`.
    base_rounds: u32,
    /// Rounds of starts of a layer.
    start_rounds: u32,
    /// The one group that is measured, instead of all.
    only: Option<String>,
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
    let disks = [vec![PV; options.disks], vec![SCRATCH; options.disks]].concat();
    let spec = Spec { durable: options.durable, ..Spec::plain(&disks).with_two_processors() };
    let mut vm = Vm::start(&host, &spec, &runs.next())?;
    vm.limit(LIMIT);
    prepare(&mut vm, options.disks)?;
    if options.profile {
        println!("{}", vm.ok("bench-guest profile")?);
        println!("{}", vm.ok(&format!("set -e\n{BOOT_FOLDER}{TRACE}"))?);
        return Ok(true);
    }
    let mut figures = measure(&mut vm, &options)?;
    let imgbase = binaries.imgbase.ok_or_else(|| Fail::new("no static binary"))?;
    figures.binary = fs::metadata(&imgbase).doing(imgbase.display())?.len();
    let end =
        if options.durable { "on its disk" } else { "in its memory (--durable: on its disk)" };
    println!("a sync of the machine's disks ends {end}");
    print!("{}", table::render(&figures));
    if let Some(path) = &options.json {
        fs::write(path, json::render(&figures)).doing(path.display())?;
    }
    Ok(true)
}

fn parse(args: &[String]) -> Result<Options> {
    let mut options = Options {
        json: None,
        rounds: 9,
        base_rounds: 3,
        start_rounds: 5,
        only: None,
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
            "--rounds" => options.rounds = value(arg, args.next())?,
            "--base-rounds" => options.base_rounds = value(arg, args.next())?,
            "--start-rounds" => options.start_rounds = value(arg, args.next())?,
            "--only" => options.only = Some(value(arg, args.next())?),
            "--disks" => options.disks = value(arg, args.next())?,
            _ => return Err(Fail::new(super::USAGE)),
        }
    }
    if options.only.as_ref().is_some_and(|only| !GROUPS.contains(&only.as_str())) {
        return Err(Fail::new(format!("--only takes one of {}", GROUPS.join(", "))));
    }
    Ok(options)
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
    vm.ok(&format!("imgbase layout --init --size 3G {LARGE} {}", devices.join(" ")))?;
    vm.ok(&format!("imgbase base --add {BASE} /images/debian.ext4"))?;
    (0..LAYERS).try_for_each(|_| vm.ok(&format!("imgbase layer --add {BASE}")).map(drop))
}

fn measure(vm: &mut Vm, options: &Options) -> Result<Figures> {
    let mut figures = Figures::default();
    let wanted = |group: &str| options.only.as_ref().is_none_or(|only| only == group);
    let groups =
        [("lists", options.rounds), ("layers", options.rounds), ("bases", options.base_rounds)];
    let run = |vm: &mut Vm, (group, rounds), figures: &mut Figures| {
        eprintln!("bench: {group}, {rounds} rounds");
        figures.take(&vm.ok(&format!("bench-guest {group} {rounds}"))?)
    };
    for group in groups.into_iter().filter(|(group, _)| wanted(group)) {
        run(vm, group, &mut figures)?;
    }
    if wanted("memory") {
        eprintln!("bench: memory");
        weigh_processes(vm, &mut figures)?;
    }
    if wanted("boots") {
        eprintln!("bench: boots, {} rounds", options.rounds);
        vm.ok(&format!("set -e\n{BOOT_FOLDER}"))?;
        figures.take(&vm.ok(&format!("bench-guest boots {}", options.rounds))?)?;
        vm.ok("umount /boot")?;
    }
    // The group grows from here on.
    for group in ["many", "scale"].into_iter().filter(|group| wanted(group)) {
        run(vm, (group, options.base_rounds), &mut figures)?;
    }
    if wanted("starts") {
        eprintln!("bench: starts, {} rounds", options.start_rounds);
        starts::measure(vm, options.disks, options.start_rounds, &mut figures)?;
    }
    Ok(figures)
}

/// The peak of memory of each program, run once more for that.
fn weigh_processes(vm: &mut Vm, figures: &mut Figures) -> Result<()> {
    let runs: &[(&str, &[&str])] = &[
        ("imgbase layout", &["imgbase", "layout"]),
        ("imgbase layer --add", &["imgbase", "layer", "--add", BASE]),
        ("imgbase base --add", &["imgbase", "base", "--add", "Weigh-1-1", "/images/debian.ext4"]),
        ("imgbase base --remove", &["imgbase", "base", "--remove", "Weigh-1-1"]),
        ("imgbase check", &["imgbase", "check"]),
        ("lvs", &["lvs"]),
        ("lvcreate", &["lvcreate", "-s", "-kn", "-ay", "-n", "rival", "HostVG/Debian-12-1"]),
    ];
    for (name, argv) in runs {
        let done = vm.run(argv, b"")?;
        if done.status != 0 {
            return Err(Fail::new(format!("{name} exits {}: {}", done.status, done.stderr)));
        }
        figures.memory.push(((*name).to_owned(), done.max_rss_kib));
    }
    Ok(())
}
