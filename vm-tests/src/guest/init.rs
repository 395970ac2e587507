//! The first process: mounts what a system needs, loads the modules, serves the channel.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};

use crate::error::{Doing, Fail, Result};
use crate::guest::serve;
use crate::wire;

/// In the order in which they may be inserted; modprobe adds what each stands on. File systems
/// and rarer targets the kernel asks for by itself.
const MODULES: &[&str] =
    &["virtio_pci", "virtio_blk", "virtio_console", "dm_mod", "dm_thin_pool", "loop"];

const MOUNTS: &[(&str, &str, &str)] = &[
    ("proc", "/proc", "proc"),
    ("sysfs", "/sys", "sysfs"),
    ("devtmpfs", "/dev", "devtmpfs"),
    ("devpts", "/dev/pts", "devpts"),
    ("tmpfs", "/run", "tmpfs"),
    ("tmpfs", "/tmp", "tmpfs"),
];

/// What shells expect, and devtmpfs does not make.
const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Serves until the host says `off`, then stops the machine, whatever happened.
pub(super) fn first_process(flavour: &str) -> ExitCode {
    serve_and_stop(start(flavour), flavour)
}

/// The same in a layer, whose first process somebody else was: what is mounted was handed on.
pub(super) fn first_of_layer() -> ExitCode {
    // When it began, for whoever measures; that nobody listens is no reason to stop.
    let _ = fs::write("/dev/kmsg", "<5>harness: the layer's init starts\n");
    let folders = ["/run/lock", "/run/harness"].iter().try_for_each(fs::create_dir_all);
    if find_port().is_none() {
        // Where the port's module is loaded, or no modprobe is there, that fails.
        let _ = run("modprobe", &["virtio_console"]);
    }
    serve_and_stop(folders.doing("/run").and_then(|()| open_port()), "layer")
}

/// The same as a service of a whole system.
pub(super) fn service() -> ExitCode {
    let folder = fs::create_dir_all("/run/harness").doing("/run/harness");
    let served = folder.and_then(|()| open_port()).and_then(|port| serve::serve(port, "service"));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            eprintln!("guest: {fail}");
            ExitCode::FAILURE
        }
    }
}

fn serve_and_stop(port: Result<File>, flavour: &str) -> ExitCode {
    if let Err(fail) = port.and_then(|port| serve::serve(port, flavour)) {
        eprintln!("guest: {fail}");
    }
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        eprintln!("guest: cannot power off: {error}");
    }
    ExitCode::FAILURE
}

fn start(flavour: &str) -> Result<File> {
    for (source, target, kind) in MOUNTS {
        mount_once(source, target, kind)?;
    }
    for (name, target) in LINKS {
        symlink(target, name).doing(name)?;
    }
    fs::create_dir_all("/run/lock")?;
    fs::create_dir_all("/run/harness")?;
    insert_modules()?;
    configure_lvm2(flavour)?;
    if flavour == "udev" {
        start_udev()?;
    }
    open_port()
}

fn mount_once(source: &str, target: &str, kind: &str) -> Result<()> {
    fs::create_dir_all(target).doing(target)?;
    match mount(source, target, kind, MountFlags::empty(), None) {
        Ok(()) | Err(rustix::io::Errno::BUSY) => Ok(()),
        Err(error) => Err(error).doing(format!("mounting {target}")),
    }
}

/// No daemon watches pools here: what it prints would differ from run to run. Without udevd lvm2
/// must make its device nodes itself, which Debian's configuration leaves to udevd.
fn configure_lvm2(flavour: &str) -> Result<()> {
    let always = "activation/monitoring = 0\nglobal/event_activation = 0\n";
    let alone = "activation/udev_sync = 0\nactivation/udev_rules = 0\n\
        devices/obtain_device_list_from_udev = 0\n";
    let settings = if flavour == "udev" { always.into() } else { format!("{always}{alone}") };
    fs::write("/etc/lvm/lvmlocal.conf", settings).doing("/etc/lvm/lvmlocal.conf")
}

fn insert_modules() -> Result<()> {
    run("modprobe", &[&["-a"], MODULES].concat())
}

fn start_udev() -> Result<()> {
    run("/lib/systemd/systemd-udevd", &["--daemon", "--resolve-names=never"])?;
    run("udevadm", &["trigger", "--action=add"])?;
    run("udevadm", &["settle", "--timeout=60"])
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let status = Command::new(program)
        .args(args)
        .env("PATH", serve::PATH)
        .stdin(Stdio::null())
        .status()
        .doing(program)?;
    if status.success() { Ok(()) } else { Err(Fail::new(format!("{program}: {status}"))) }
}

fn open_port() -> Result<File> {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(path) = find_port() {
            return OpenOptions::new().read(true).write(true).open(&path).doing(path.display());
        }
        if Instant::now() > end {
            return Err(Fail::new("no serial port of the harness"));
        }
        sleep(Duration::from_millis(10));
    }
}

fn find_port() -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    let name = |port: &Path| fs::read_to_string(port.join("name")).unwrap_or_default();
    let found = ports.flatten().find(|port| name(&port.path()).trim() == wire::PORT)?;
    Some(Path::new("/dev").join(found.file_name())).filter(|path| path.exists())
}
