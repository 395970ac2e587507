//! The command line of QEMU.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Doing, Fail, Result};
use crate::vm::monitor::Monitor;
use crate::vm::{Host, Spec};
use crate::wire::PORT;

const KERNEL_ARGS: &str = "root=/dev/nvme0n1 rw console=ttyS0 loglevel=5 panic=-1 \
    mitigations=off nokaslr no_timer_check init=/harness-init --";

/// The log of what is written to the first disk.
pub(super) const WRITE_LOG: &str = "writes.log";

/// QEMU, and the ends on this side of what leads into it.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) channel: UnixStream,
    pub(super) monitor: Monitor,
    /// Where one types at the console.
    pub(super) console: Option<UnixStream>,
}

/// Where a console leads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Console<'a> {
    /// What it says is written to a file.
    File(&'a Path),
    /// Somebody listens and types.
    Typed,
}

/// Starts a machine that gets the guest's kernel and root from QEMU.
pub(super) fn start(host: &Host, spec: &Spec, folder: &Path, console: &Path) -> Result<Process> {
    spawn(host, folder, Console::File(console), |command| {
        size(command, spec.processors, spec.memory);
        kernel(command, host, spec);
        namespaces(command, host);
        disks(command, spec, folder);
    })
}

/// Starts QEMU with what `fill` adds to the machine, and connects to it.
pub(super) fn spawn(
    host: &Host,
    folder: &Path,
    console: Console<'_>,
    fill: impl FnOnce(&mut Command),
) -> Result<Process> {
    let [channel, monitor, typed] = [socket_path(), socket_path(), socket_path()];
    // A machine must not outlive the harness, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(&host.emulator);
    machine(&mut command);
    fill(&mut command);
    match console {
        Console::File(path) => {
            command.args(["-serial", &format!("file:{}", path.display())]);
        }
        Console::Typed => {
            socket(&mut command, "console", &typed);
            command.args(["-serial", "chardev:console"]);
        }
    }
    serial(&mut command, &channel);
    socket(&mut command, "monitor", &monitor);
    command.args(["-mon", "chardev=monitor,mode=control"]);
    let log = File::options().create(true).append(true).open(folder.join("qemu.log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn().doing(format!("setpriv {}", host.emulator.display()))?;
    let ends = [&channel, &monitor].map(|socket| connect(socket, &mut child, folder));
    let console = match console {
        Console::File(_) => None,
        Console::Typed => Some(connect(&typed, &mut child, folder)?),
    };
    let [channel, monitor] = ends;
    Ok(Process { child, channel: channel?, monitor: Monitor::new(monitor?)?, console })
}

/// Not in the cache: paths there may be long.
fn socket_path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("imgbase-vm-{}-{n}", std::process::id()))
}

/// Processors, and memory in MiB.
pub(super) fn size(command: &mut Command, processors: u32, memory: u32) {
    command.args(["-smp", &processors.to_string(), "-m", &memory.to_string()]);
}

fn machine(command: &mut Command) {
    // Emulation takes `rep movsb` byte by byte: without ERMS the kernel copies pages 3 times as
    // fast. One with FSRM alone hangs at its start. A fifth level of page tables, and checks of who
    // may look where, are work for emulation and nothing to the cases.
    let (acceleration, cpu) = if has_kvm() {
        ("kvm", "max")
    } else {
        ("tcg,thread=multi", "max,-erms,-fsrm,-la57,-smap,-smep,-umip,-pku")
    };
    command.args(["-machine", "q35", "-accel", acceleration, "-cpu", cpu]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command.args(["-object", "rng-random,id=rng,filename=/dev/urandom"]);
    command.args(["-device", "virtio-rng-pci,rng=rng"]);
}

/// Without the processor's own support /dev/kvm may be there and hang every guest.
fn has_kvm() -> bool {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flag = cpus.split_whitespace().any(|word| word == "vmx" || word == "svm");
    flag && File::options().read(true).write(true).open("/dev/kvm").is_ok()
}

fn kernel(command: &mut Command, host: &Host, spec: &Spec) {
    let flavour = if spec.udev { "udev" } else { "plain" };
    command.arg("-kernel").arg(&host.kernel);
    command.args(["-append", &format!("{KERNEL_ARGS} {flavour}")]);
}

/// The first is written to a temporary overlay, the rest are read only.
fn namespaces(command: &mut Command, host: &Host) {
    command.args(["-device", "nvme,id=nvme,serial=harness"]);
    for (n, image) in (1..).zip(&host.namespaces) {
        let how = if n == 1 { "snapshot=on" } else { "readonly=on" };
        let file = escape(image);
        let drive = format!("id=ns{n},if=none,format=raw,cache=unsafe,{how},file={file}");
        command.args(["-drive", &drive]);
        command.args(["-device", &format!("nvme-ns,bus=nvme,nsid={n},drive=ns{n}")]);
    }
}

fn disks(command: &mut Command, spec: &Spec, folder: &Path) {
    for (n, name) in spec.disk_names().enumerate() {
        let file = escape(&folder.join(format!("{name}.img")));
        if spec.logged && n == 0 {
            logged(command, &name, &file, &escape(&folder.join(WRITE_LOG)));
        } else {
            let cache = if spec.durable { "writeback" } else { "unsafe" };
            let drive =
                format!("id={name},if=none,format=raw,cache={cache},discard=unmap,file={file}");
            command.args(["-drive", &drive]);
        }
        command.args(["-device", &format!("virtio-blk-pci,drive={name},serial={name}")]);
    }
}

/// A disk and the log of what is written to it. The log knows what was synced; nothing else needs
/// to.
fn logged(command: &mut Command, name: &str, disk: &str, log: &str) {
    for (node, file) in [("disk", disk), ("log", log)] {
        let raw = format!("driver=raw,node-name={name}-{node},discard=unmap");
        let file = format!("file.driver=file,file.cache.no-flush=on,file.filename={file}");
        command.args(["-blockdev", &format!("{raw},file.discard=unmap,{file}")]);
    }
    let below = format!("file={name}-disk,log={name}-log,log-sector-size=512");
    let node = format!("driver=blklogwrites,node-name={name},discard=unmap,{below}");
    command.args(["-blockdev", &node]);
}

fn serial(command: &mut Command, channel: &Path) {
    command.args(["-device", "virtio-serial-pci"]);
    socket(command, "channel", channel);
    command.args(["-device", &format!("virtserialport,chardev=channel,name={PORT}")]);
}

fn socket(command: &mut Command, id: &str, path: &Path) {
    let path = escape(path);
    command.args(["-chardev", &format!("socket,id={id},server=on,wait=off,path={path}")]);
}

/// In QEMU's options a comma is written twice.
pub(super) fn escape(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// The connection outlives the socket's name.
fn connect(socket: &Path, child: &mut Child, folder: &Path) -> Result<UnixStream> {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            fs::remove_file(socket)?;
            return Ok(stream);
        }
        if child.try_wait()?.is_some() || Instant::now() > end {
            let said = fs::read_to_string(folder.join("qemu.log")).unwrap_or_default();
            return Err(Fail::new(format!("QEMU does not start: {said}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
