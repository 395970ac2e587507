//! A machine that comes up as a real one does: firmware, the loader on the disk, what that chooses.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Doing, Result};
use crate::vm::Host;
use crate::vm::qemu::{self, Console, Process, escape};

/// What starts a machine from a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firmware {
    /// UEFI. Its variables are kept until the case is over.
    Ovmf,
    /// A BIOS.
    SeaBios,
    /// None that matters: QEMU loads the bench's kernel, and no loader is asked.
    Kernel(Handed),
}

/// What a kernel gets that no loader has loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handed {
    /// An initramfs; empty where there is none.
    pub initrd: Vec<u8>,
    /// The kernel's command line.
    pub arguments: String,
}

/// A disk and how it is to be started.
#[derive(Debug, Clone)]
pub struct Start {
    pub(super) disk: String,
    firmware: Firmware,
    virtio: bool,
    systems: bool,
}

/// UEFI's variables, in the folder of the bench.
pub(super) const VARIABLES: &str = "vars.fd";

/// In MiB: a loader needs not much, and an initramfs of Debian's no more.
const MEMORY: u32 = 1024;

impl Start {
    /// The bench's disk of that name, as NVMe: the kernel needs no module for it.
    #[must_use]
    pub fn nvme(disk: &str, firmware: Firmware) -> Self {
        Self { disk: disk.to_owned(), firmware, virtio: false, systems: false }
    }

    /// The bench's disk of that name, as a virtio disk: the kernel needs modules for it.
    #[must_use]
    pub fn virtio(disk: &str, firmware: Firmware) -> Self {
        Self { virtio: true, ..Self::nvme(disk, firmware) }
    }

    /// The same with the systems that can be booted, as images on a file system of that label.
    #[must_use]
    pub fn with_systems(self) -> Self {
        Self { systems: true, ..self }
    }

    /// Starts QEMU on a disk in `folder`.
    pub(super) fn power_on(&self, host: &Host, folder: &Path, console: &Path) -> Result<Process> {
        let variables = folder.join(VARIABLES);
        if self.firmware == Firmware::Ovmf && !variables.exists() {
            fs::copy(host.ovmf.join(VARIABLES), &variables).doing(variables.display())?;
        }
        let initrd = folder.join("initrd.img");
        if let Firmware::Kernel(direct) = &self.firmware {
            fs::write(&initrd, &direct.initrd).doing(initrd.display())?;
        }
        qemu::spawn(host, folder, Console::File(console), |command| {
            qemu::size(command, 1, MEMORY);
            match &self.firmware {
                Firmware::Ovmf => {
                    flash(command, &host.ovmf.join("code.fd"), 0, "readonly=on");
                    flash(command, &variables, 1, "readonly=off");
                }
                Firmware::SeaBios => {}
                Firmware::Kernel(direct) => kernel(command, host, direct, &initrd),
            }
            self.disk(command, &folder.join(format!("{}.img", self.disk)));
            namespace(command, host, (TOOLS, 2), "tools");
            if self.systems {
                namespace(command, host, (SYSTEMS, 3), "systems");
            }
        })
    }

    /// The bench has the disk open, too.
    fn disk(&self, command: &mut Command, image: &Path) {
        let file = format!("file.driver=file,file.locking=off,file.filename={}", escape(image));
        let discard = "discard=unmap,file.discard=unmap,cache.no-flush=on";
        let node = format!("driver=raw,node-name=disk,{discard},{file}");
        command.args(["-blockdev", &node, "-device", "nvme,id=nvme,serial=harness"]);
        let device = if self.virtio { "virtio-blk-pci" } else { "nvme-ns,bus=nvme,nsid=1" };
        command.args(["-device", &format!("{device},drive=disk,bootindex=1")]);
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bus = if self.virtio { "virtio" } else { "NVMe" };
        let firmware = match self.firmware {
            Firmware::Ovmf => "OVMF",
            Firmware::SeaBios => "SeaBIOS",
            Firmware::Kernel(_) => "QEMU",
        };
        write!(f, "{} by {firmware}, {bus}", self.disk)
    }
}

fn kernel(command: &mut Command, host: &Host, direct: &Handed, initrd: &Path) {
    command.arg("-kernel").arg(&host.kernel).args(["-append", &direct.arguments]);
    if !direct.initrd.is_empty() {
        command.arg("-initrd").arg(initrd);
    }
}

fn flash(command: &mut Command, image: &Path, unit: u32, how: &str) {
    let file = escape(image);
    let drive = format!("if=pflash,format=raw,unit={unit},{how},file={file}");
    command.args(["-drive", &drive]);
}

/// A namespace of the bench, which the system on the other disk finds by its label: the harness's own
/// programs, say.
fn namespace(command: &mut Command, host: &Host, (place, nsid): (usize, u32), name: &str) {
    let Some(file) = host.namespaces.get(place).map(|image: &PathBuf| escape(image)) else {
        return;
    };
    let drive = format!("id={name},if=none,format=raw,readonly=on,cache=unsafe,file={file}");
    let device = format!("nvme-ns,bus=nvme,nsid={nsid},drive={name}");
    command.args(["-drive", &drive, "-device", &device]);
}

/// Their places among the namespaces of the bench.
const TOOLS: usize = 1;
const SYSTEMS: usize = 4;
