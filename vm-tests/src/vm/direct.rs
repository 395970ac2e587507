//! A second machine, which starts from the first one's disks by a kernel that no loader has loaded:
//! an initramfs or none, and a command line. What it writes is thrown away, so that one layout
//! serves many starts; the first machine keeps running and must not have the disks in use.

use std::fs;
use std::io::{Read, Write};
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::error::{Doing, Fail, Result};
use crate::runner::lock;
use crate::vm::qemu::{self, Console};
use crate::vm::{Vm, append};
use crate::wire::text;

/// How long a start may take; other work may share the processors.
const LIMIT: Duration = Duration::from_secs(240);
/// In MiB.
const MEMORY: u32 = 1024;

/// What a disk is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// The kernel needs modules for it.
    Virtio,
    /// The kernel has all that it needs.
    Nvme,
    /// Virtio, and not there before it is [plugged in](Started::plug).
    Later,
}

/// How a machine starts.
#[derive(Debug, Clone, Default)]
pub struct Direct {
    /// Disks of the first machine, by name.
    pub disks: Vec<(String, Bus)>,
    /// The kernel; empty for the first machine's.
    pub kernel: Vec<u8>,
    /// The initramfs; empty for none.
    pub initrd: Vec<u8>,
    /// The kernel's command line beyond the console.
    pub arguments: String,
}

impl Direct {
    /// From one disk.
    #[must_use]
    pub fn from(disk: &str, bus: Bus) -> Self {
        Self::default().and(disk, bus)
    }

    /// The same with an initramfs.
    #[must_use]
    pub fn initrd(self, initrd: &[u8]) -> Self {
        Self { initrd: initrd.to_vec(), ..self }
    }

    /// The same with another kernel.
    #[must_use]
    pub fn kernel(self, kernel: &[u8]) -> Self {
        Self { kernel: kernel.to_vec(), ..self }
    }

    /// The same with these words on the command line.
    #[must_use]
    pub fn with(self, arguments: &str) -> Self {
        Self { arguments: format!("{} {arguments}", self.arguments), ..self }
    }

    /// The same with another disk.
    #[must_use]
    pub fn and(mut self, disk: &str, bus: Bus) -> Self {
        self.disks.push((disk.to_owned(), bus));
        self
    }
}

/// A machine that was started so.
#[derive(Debug)]
pub struct Started {
    vm: Vm,
    console: UnixStream,
    /// All that the console has said. Somebody must always listen, or the machine waits for that.
    said: Arc<Mutex<String>>,
}

const KERNEL_ARGS: &str =
    "console=ttyS0 loglevel=5 panic=-1 mitigations=off nokaslr no_timer_check";

impl Vm {
    /// Starts a second machine from disks of this one, which must not be in use.
    ///
    /// # Errors
    /// Where one is, or QEMU does not start.
    pub fn direct(&mut self, direct: &Direct) -> Result<Started> {
        let names: Vec<&str> = direct.disks.iter().map(|(name, _)| name.as_str()).collect();
        self.ok(&format!(
            "imgbase deactivate >/dev/null 2>&1; sync; for disk in {}; do
                ! grep ^/dev/$disk /proc/mounts || exit
                blockdev --flushbufs /dev/$disk || exit
            done",
            names.join(" ")
        ))?;
        self.note(&format!("--- start {:?} {}", direct.disks, direct.arguments));
        Started::new(self, direct)
    }
}

impl Started {
    fn new(bench: &Vm, direct: &Direct) -> Result<Self> {
        let folder = bench.folder.join("direct");
        fs::create_dir_all(&folder)?;
        for (name, content) in [("kernel", &direct.kernel), ("initrd.img", &direct.initrd)] {
            let file = folder.join(name);
            fs::write(&file, content).doing(file.display())?;
        }
        let mut qemu = qemu::spawn(&bench.host, &folder, Console::Typed, |command| {
            qemu::size(command, 1, MEMORY);
            fill(command, bench, direct, &folder);
        })?;
        let console = qemu.console.take().ok_or_else(|| Fail::new("one can type there"))?;
        let said = listen(console.try_clone()?);
        let mut vm = Vm::connected(qemu, (&bench.host, &bench.spec, &folder), PathBuf::new())?;
        vm.transcript = append(&bench.folder.join("transcript.log"))?;
        vm.limit(LIMIT);
        Ok(Self { vm, console, said })
    }

    /// Waits until the system serves the channel.
    ///
    /// # Errors
    /// Where it does not, with what the console has said.
    pub fn up(&mut self) -> Result<()> {
        match self.vm.receive() {
            Ok(fields) if fields.first().is_some_and(|verb| verb == b"hello") => Ok(()),
            Ok(_) => Err(self.failed("the system does not say hello")),
            Err(fail) => Err(self.failed(&format!("no system comes up: {fail}"))),
        }
    }

    /// Waits until the console has said that, and gives all that it has said so far.
    ///
    /// # Errors
    /// Where it has not in time, or the machine ends before.
    pub fn says(&mut self, wanted: &str) -> Result<String> {
        loop {
            let said = self.said();
            if said.contains(wanted) {
                return Ok(said);
            }
            if self.vm.qemu.child.try_wait()?.is_some() || self.vm.left().is_err() {
                return Err(self.failed(&format!("the console does not say '{wanted}'")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types a line at the console.
    ///
    /// # Errors
    /// Where the machine is gone.
    pub fn types(&mut self, line: &str) -> Result<()> {
        self.console.write_all(format!("{line}\r").as_bytes()).doing("the console")
    }

    /// Waits until the machine has ended, as it does where it would start again; gives all that the
    /// console has said.
    ///
    /// # Errors
    /// Where it goes on.
    pub fn ends(&mut self) -> Result<String> {
        while self.vm.qemu.child.try_wait()?.is_none() {
            if self.vm.left().is_err() {
                return Err(self.failed("the machine does not end"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // What it has said last may still be on its way.
        std::thread::sleep(Duration::from_millis(100));
        Ok(self.said())
    }

    /// Switches the machine off; gives all that the console has said.
    ///
    /// # Errors
    /// Where it does not stop.
    pub fn ends_quietly(&mut self) -> Result<String> {
        crate::wire::send(&mut self.vm.channel, &[b"off"]).doing("the channel")?;
        self.ends()
    }

    /// Plugs in a disk that is to come [later](Bus::Later).
    ///
    /// # Errors
    /// Where QEMU is gone.
    pub fn plug(&mut self, disk: &str) -> Result<()> {
        let fields = [("driver", "virtio-blk-pci"), ("drive", disk), ("serial", disk)];
        let fields = fields.map(|(name, value)| format!("\"{name}\":\"{value}\""));
        self.vm.qemu.monitor.plug(&format!("{},\"bus\":\"port-{disk}\"", fields.join(",")))
    }

    /// All that the console has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        lock(&self.said).clone()
    }

    fn failed(&mut self, why: &str) -> Fail {
        let said = self.said();
        self.vm.note(&format!("console:\n{said}"));
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(25)..].join("\n");
        Fail::new(format!("{why}; the console has said:\n{tail}"))
    }
}

/// Keeps what a console says, until it ends.
fn listen(mut console: UnixStream) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let keeper = Arc::clone(&said);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = console.read(&mut buffer) {
            lock(&keeper).push_str(&text(&buffer[..len]));
        }
    });
    said
}

impl Deref for Started {
    type Target = Vm;

    fn deref(&self) -> &Vm {
        &self.vm
    }
}

impl DerefMut for Started {
    fn deref_mut(&mut self) -> &mut Vm {
        &mut self.vm
    }
}

fn fill(command: &mut Command, bench: &Vm, direct: &Direct, folder: &Path) {
    let own = folder.join("kernel");
    command.arg("-kernel").arg(if direct.kernel.is_empty() { &bench.host.kernel } else { &own });
    command.args(["-append", &format!("{KERNEL_ARGS} {}", direct.arguments)]);
    if !direct.initrd.is_empty() {
        command.arg("-initrd").arg(folder.join("initrd.img"));
    }
    command.args(["-device", "nvme,id=nvme,serial=harness"]);
    for (n, (name, bus)) in direct.disks.iter().enumerate() {
        disk(command, (name, *bus, n + 1), &bench.folder.join(format!("{name}.img")));
    }
}

/// A disk whose writes go to a temporary overlay: the other machine has it open, too.
fn disk(command: &mut Command, (name, bus, n): (&str, Bus, usize), image: &Path) {
    let file = format!("file.driver=file,file.locking=off,file.filename={}", qemu::escape(image));
    let how = "if=none,cache=unsafe,snapshot=on,driver=raw";
    command.args(["-drive", &format!("id={name},{how},{file}")]);
    let device = match bus {
        Bus::Virtio => format!("virtio-blk-pci,drive={name},serial={name}"),
        Bus::Nvme => format!("nvme-ns,bus=nvme,nsid={n},drive={name}"),
        Bus::Later => format!("pcie-root-port,id=port-{name},chassis={n}"),
    };
    command.args(["-device", &device]);
}
