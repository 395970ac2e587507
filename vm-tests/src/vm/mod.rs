//! A virtual machine: QEMU, its disks, and the channel to its first process.

mod booted;
mod channel;
mod direct;
mod firmware;
mod monitor;
mod qemu;
mod reset;
mod script;
mod write_log;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Doing, Fail, Result};
pub use crate::vm::booted::{Boot, Booted, End, argument};
use crate::vm::channel::Channel;
pub use crate::vm::direct::{Bus, Direct, Started};
pub use crate::vm::firmware::{Firmware, Handed, Start};
use crate::vm::qemu::Process;
pub use crate::vm::write_log::{Replay, WriteLog};
use crate::wire::{Done, Hello, Run, text};

/// How long a machine may take from power to the channel; other work may share the processors.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
/// How long it may take to stop, with all services of a real system.
const STOP_LIMIT: Duration = Duration::from_secs(120);

/// What every machine of a run shares.
#[derive(Debug, Clone)]
pub struct Host {
    /// QEMU.
    pub emulator: PathBuf,
    /// The kernel image.
    pub kernel: PathBuf,
    /// The folder of OVMF's code and of its variables as they are when new.
    pub ovmf: PathBuf,
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
    /// Processors. Emulation makes two more than twice as slow as one where the host has no two
    /// to spare: one waits for the other at each change of a mapping, and each word that is changed
    /// atomically is so for both.
    pub processors: u32,
    /// Whether a disk's sync reaches the disk below: one that is shared with others is slow, and
    /// each time differently.
    pub durable: bool,
    /// Whether all that is written to the first disk is kept, in order: see [`Vm::write_log`].
    pub logged: bool,
}

impl Spec {
    /// A machine with one processor and no udev.
    #[must_use]
    pub fn plain(disks: &[u64]) -> Self {
        Self {
            udev: false,
            disks: disks.to_vec(),
            memory: 1024,
            processors: 1,
            durable: false,
            logged: false,
        }
    }

    /// The same with two processors, for what is to happen at once.
    #[must_use]
    pub fn with_two_processors(self) -> Self {
        Self { processors: 2, ..self }
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
    console: PathBuf,
    qemu: Process,
    channel: Channel,
    transcript: File,
    deadline: Instant,
    /// How many times a disk of it was booted since its last case.
    booted: u32,
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
        let console = folder.join("console.log");
        let qemu = qemu::start(host, spec, folder, &console)?;
        let mut vm = Self::connected(qemu, (host, spec, folder), console)?;
        vm.hello()?;
        Ok(vm)
    }

    /// A machine from which nothing was heard yet.
    fn connected(
        qemu: Process,
        (host, spec, folder): (&Host, &Spec, &Path),
        console: PathBuf,
    ) -> Result<Self> {
        let (host, spec, folder) = (host.clone(), spec.clone(), folder.to_path_buf());
        let transcript = append(&folder.join("transcript.log"))?;
        let channel = Channel::new(qemu.channel.try_clone()?);
        let deadline = Instant::now() + BOOT_LIMIT;
        Ok(Self { spec, host, folder, console, qemu, channel, transcript, deadline, booted: 0 })
    }

    /// Waits until the guest says what it is.
    fn hello(&mut self) -> Result<Hello> {
        let message = self.receive().map_err(|fail| {
            Fail::new(format!("the guest does not start: {fail}\n{}", self.console_tail()))
        })?;
        Hello::parse(&message).ok_or_else(|| Fail::new("the guest does not say hello"))
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
        self.ask_to_stop(b"off")
    }

    /// Asks for the end or a reset, either of which ends QEMU, and waits for that.
    fn ask_to_stop(&mut self, how: &[u8]) -> Result<()> {
        crate::wire::send(&mut self.channel, &[how]).doing("the channel")?;
        self.wait_for_the_end()
    }

    fn wait_for_the_end(&mut self) -> Result<()> {
        let end = Instant::now() + STOP_LIMIT;
        while self.qemu.child.try_wait()?.is_none() {
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
        self.channel.receive(self.deadline + Duration::from_secs(5), &mut self.qemu.child)
    }

    fn left(&self) -> Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Fail::new("the time limit is over")) } else { Ok(left) }
    }

    fn console_tail(&self) -> String {
        let console = fs::read(&self.console).unwrap_or_default();
        let console = text(&console);
        let lines: Vec<&str> = console.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Vm {
    fn kill(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.qemu.child.kill();
        let _ = self.qemu.child.wait();
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.kill();
    }
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).doing(path.display())
}
