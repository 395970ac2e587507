//! A virtual machine: QEMU, its disks, and the channel to its first process.

mod channel;
mod direct;
mod qemu;
mod reset;
mod script;
mod write_log;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::error::{Doing, Fail, Result};
use crate::vm::channel::Channel;
pub use crate::vm::direct::{Bus, Direct, Started};
pub use crate::vm::write_log::{Replay, WriteLog};
use crate::wire::{Done, Run, text};

/// How long a machine may take from power to the channel; other work may share the processors.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// What every machine of a run shares.
#[derive(Debug, Clone)]
pub struct Host {
    /// The kernel image.
    pub kernel: PathBuf,
    /// NVMe namespaces 1 and on; the first is the root and only seems writable.
    pub namespaces: Vec<PathBuf>,
}

/// What a machine is like; cases with equal ones may share a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Whether a real udevd runs.
    pub udev: bool,
    /// Sizes in MiB of the virtio disks `vda`, `vdb` and on; serials are their names.
    pub disks: Vec<u64>,
    /// Memory in MiB.
    pub memory: u32,
    /// Whether a disk's sync reaches the disk below: one that is shared with others is slow, and
    /// each time differently.
    pub durable: bool,
    /// Whether all that is written to the first disk is kept, in order: see [`Vm::write_log`].
    pub logged: bool,
}

impl Spec {
    /// A machine with no udev.
    #[must_use]
    pub fn plain(disks: &[u64]) -> Self {
        Self { udev: false, disks: disks.to_vec(), memory: 1024, durable: true, logged: false }
    }

    /// The same with systemd's udevd.
    #[must_use]
    pub fn with_udev(self) -> Self {
        Self { udev: true, ..self }
    }

    /// The same with a log of what is written to the first disk.
    #[must_use]
    pub fn logged(self) -> Self {
        Self { logged: true, ..self }
    }

    /// The names of its disks.
    pub fn disk_names(&self) -> impl Iterator<Item = String> + use<> {
        (b'a'..=b'z').take(self.disks.len()).map(|letter| format!("vd{}", char::from(letter)))
    }
}

/// A running machine.
#[derive(Debug)]
pub struct Vm {
    /// What it was made from.
    pub spec: Spec,
    host: Host,
    folder: PathBuf,
    qemu: Child,
    channel: Channel,
    transcript: File,
    deadline: Instant,
}

impl Vm {
    /// Makes sparse disks in `folder`, boots and waits for the channel.
    ///
    /// # Errors
    /// Where QEMU does not start or the guest does not answer in time.
    pub fn start(host: &Host, spec: &Spec, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).doing(folder.display())?;
        if spec.logged {
            File::create(folder.join(qemu::WRITE_LOG))?;
        }
        for (name, mib) in spec.disk_names().zip(&spec.disks) {
            let disk = File::create(folder.join(format!("{name}.img")))?;
            disk.set_len(mib << 20)?;
        }
        Self::boot(host, spec, folder)
    }

    /// Boots with the disks that an earlier machine left in `folder`.
    ///
    /// # Errors
    /// As for [`Vm::start`].
    pub fn boot(host: &Host, spec: &Spec, folder: &Path) -> Result<Self> {
        let transcript = append(&folder.join("transcript.log"))?;
        let deadline = Instant::now() + BOOT_LIMIT;
        let (qemu, stream) = qemu::start(host, spec, folder)?;
        let channel = Channel::new(stream);
        let (spec, folder) = (spec.clone(), folder.to_path_buf());
        let host = host.clone();
        let mut vm = Self { spec, host, folder, qemu, channel, transcript, deadline };
        vm.hello()?;
        Ok(vm)
    }

    fn hello(&mut self) -> Result<()> {
        let message = self.receive().map_err(|fail| {
            Fail::new(format!("the guest does not start: {fail}\n{}", self.console_tail()))
        })?;
        match message.first().map(Vec::as_slice) {
            Some(b"hello") => Ok(()),
            _ => Err(Fail::new("the guest does not say hello")),
        }
    }

    /// Everything that follows must be over in `time`.
    pub fn limit(&mut self, time: Duration) {
        self.deadline = Instant::now() + time;
    }

    /// Runs a command, whatever comes of it.
    ///
    /// # Errors
    /// Only those of the harness: the guest is gone, or the time limit is over.
    pub fn run(&mut self, argv: &[&str], stdin: &[u8]) -> Result<Done> {
        let limit = self.left()?;
        let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
        let run = Run { argv, stdin: stdin.to_vec(), limit };
        self.note(&format!("$ {}", run.argv.join(" ")));
        run.send(&mut self.channel).doing("the channel")?;
        let done = self.answer(b"done")?;
        let done = Done::parse(&done).ok_or_else(|| Fail::new("the channel: malformed"))?;
        self.note(&format!("{}{}[{}]", done.stdout, done.stderr, done.figures()));
        if done.timed_out { Err(Fail::new("the time limit is over")) } else { Ok(done) }
    }

    /// Writes a file in the guest.
    ///
    /// # Errors
    /// Those of the guest.
    pub fn put(&mut self, path: &str, mode: &str, data: &[u8]) -> Result<()> {
        let fields = [b"put", path.as_bytes(), mode.as_bytes(), data];
        crate::wire::send(&mut self.channel, &fields).doing("the channel")?;
        self.answer(b"ok").map(drop)
    }

    /// Reads a file of the guest.
    ///
    /// # Errors
    /// Those of the guest.
    pub fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        crate::wire::send(&mut self.channel, &[b"get", path.as_bytes()]).doing("the channel")?;
        Ok(self.answer(b"ok")?.into_iter().next().unwrap_or_default())
    }

    /// Stops the machine in order; the disks stay.
    ///
    /// # Errors
    /// Where it does not stop in time.
    pub fn power_off(mut self) -> Result<()> {
        crate::wire::send(&mut self.channel, &[b"off"]).doing("the channel")?;
        let end = Instant::now() + Duration::from_secs(60);
        while self.qemu.try_wait()?.is_none() {
            if Instant::now() > end {
                return Err(Fail::new("the machine does not stop"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Where its disks, console and transcript are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was written to the first disk since the machine was started.
    ///
    /// # Errors
    /// Where none is kept.
    pub fn write_log(&self) -> Result<WriteLog> {
        WriteLog::open(&self.folder.join(qemu::WRITE_LOG))
    }

    /// Something that is to be replayed to the disk of that name, which nobody uses.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn replay_to(&self, disk: &str) -> Result<Replay> {
        Replay::new(&self.folder.join(format!("{disk}.img")), &self.folder.join("replay.img"))
    }

    /// Adds a line to the transcript.
    pub fn note(&mut self, line: &str) {
        let written = writeln!(self.transcript, "{}", line.trim_end());
        written.unwrap_or_else(|error| eprintln!("transcript: {error}"));
    }

    fn answer(&mut self, wanted: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut message = self.receive()?;
        if message.first().is_some_and(|verb| verb == wanted) {
            return Ok(message.split_off(1));
        }
        let words: Vec<String> = message.iter().map(|field| text(field)).collect();
        Err(Fail::new(words.join(": ")))
    }

    fn receive(&mut self) -> Result<Vec<Vec<u8>>> {
        // The guest stops a command by itself and then still has to say so.
        self.channel.receive(self.deadline + Duration::from_secs(5), &mut self.qemu)
    }

    fn left(&self) -> Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Fail::new("the time limit is over")) } else { Ok(left) }
    }

    fn console_tail(&self) -> String {
        let console = fs::read(self.folder.join("console.log")).unwrap_or_default();
        let console = text(&console);
        let lines: Vec<&str> = console.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).doing(path.display())
}
