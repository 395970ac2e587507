//! The first process: mounts what a system needs, loads the modules, serves the channel.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount, mount_remount};
use rustix::system::{RebootCommand, reboot};

use crate::error::{Doing, Fail, Result};
use crate::guest::serve::{self, Stop};
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

/// What a layer needs that its initramfs may not have loaded.
const LAYER_MODULES: &[&str] = &["virtio_pci", "virtio_console"];

const EFI_VARIABLES: &str = "/sys/firmware/efi/efivars";

/// Serves until the host says what is to come, then does that, whatever happened.
pub(super) fn first_process(flavour: &str) -> ExitCode {
    serve_and_stop(start(flavour), flavour)
}

/// The same in a layer, whose first process somebody else was: what is mounted was handed on.
pub(super) fn first_of_layer() -> ExitCode {
    // When it began, for whoever measures; that nobody listens is no reason to stop.
    let _ = fs::write("/dev/kmsg", "<5>harness: the layer's init starts\n");
    let folders = ["/run/lock", serve::FOLDER].iter().try_for_each(fs::create_dir_all);
    if find_port().is_none() {
        // Where the port's module is loaded, or no modprobe is there, that fails.
        let _ = run("modprobe", &["virtio_console"]);
    }
    serve_and_stop(folders.doing("/run").and_then(|()| open_port()), "layer")
}

fn serve_and_stop(port: Result<File>, flavour: &str) -> ExitCode {
    let served = port.and_then(|port| serve::serve(port, flavour));
    let next = served.unwrap_or_else(|fail| {
        eprintln!("guest: {fail}");
        Stop::Off
    });
    rustix::fs::sync();
    let command = match next {
        Stop::Off => RebootCommand::PowerOff,
        Stop::Reboot => RebootCommand::Restart,
    };
    if let Err(error) = reboot(command) {
        eprintln!("guest: cannot stop: {error}");
    }
    ExitCode::FAILURE
}

/// Serves from a system that has a first process of its own.
pub(super) fn service() -> Result<()> {
    fs::create_dir_all(serve::FOLDER)?;
    let next = serve::serve(open_port()?, "service")?;
    let verb = if next == Stop::Off { "poweroff" } else { "reboot" };
    run("systemctl", &[verb])
}

fn start(flavour: &str) -> Result<File> {
    if flavour == "layer" {
        mount_remount("/", MountFlags::empty(), "").doing("/")?;
    }
    for (source, target, kind) in MOUNTS {
        mount_once(source, target, kind)?;
    }
    for (name, target) in LINKS {
        if !Path::new(name).is_symlink() {
            symlink(target, name).doing(name)?;
        }
    }
    fs::create_dir_all("/run/lock")?;
    fs::create_dir_all(serve::FOLDER)?;
    if flavour == "layer" {
        start_layer()?
    } else {
        start_bench(flavour)?
    }
    open_port()
}

fn start_bench(flavour: &str) -> Result<()> {
    run("modprobe", &[&["-a"], MODULES].concat())?;
    configure_lvm2(flavour)?;
    if flavour == "udev" { start_udev() } else { Ok(()) }
}

fn start_layer() -> Result<()> {
    run("modprobe", &[&["-a"], LAYER_MODULES].concat())?;
    if Path::new(EFI_VARIABLES).exists() {
        mount_once("efivarfs", EFI_VARIABLES, "efivarfs")?;
    }
    Ok(())
}

/// An initramfs may have left some.
fn mount_once(source: &str, target: &str, kind: &str) -> Result<()> {
    fs::create_dir_all(target).doing(target)?;
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    if mounts.lines().any(|line| line.split(' ').nth(1) == Some(target)) {
        return Ok(());
    }
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
