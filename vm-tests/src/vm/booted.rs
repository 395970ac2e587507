//! A disk of the bench that firmware boots in a machine of its own.
//!
//! The bench stays as it is meanwhile and gets the disk back: what is partitioned, installed and
//! judged there takes no boot. A reset ends QEMU, whoever asks for it, and the harness starts it
//! anew with the same disk and the same UEFI variables; so does its watchdog where nothing comes any
//! more.
//!
//! ```text
//! let mut booted = vm.boot(Start::nvme("vda", Firmware::Ovmf))?;
//! booted.says("cat /etc/marker", "Small-1-1+1")?;
//! booted.reboot()?;
//! booted.fall("echo c >/proc/sysrq-trigger; sleep 60")?;
//! must(booted.ends_since(1) == [End::Up, End::Reset, End::Up], "not as told")?;
//! booted.power_off()?;
//! vm.ok("mount /dev/vda2 /boot")?;
//! ```

mod watchdog;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::error::{Fail, Result};
use crate::vm::booted::watchdog::Watchdog;
use crate::vm::firmware::Start;
use crate::vm::{Hello, Vm};

/// Boots that come to nothing, one after the other, are no more than this.
const MOST_BOOTS: usize = 10;

/// How a boot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A system serves the channel.
    Up,
    /// The guest asked for a reset, as a kernel does after a panic.
    Reset,
    /// The guest switched the machine off.
    Off,
    /// Nothing came any more: the watchdog ended it.
    Hung,
}

/// A boot, from power to its end.
#[derive(Debug, Clone, Copy)]
pub struct Boot {
    /// How it ended.
    pub end: End,
    /// From power to that.
    pub took: Duration,
    /// From the kernel's start to the channel, where it came up.
    pub kernel: Duration,
}

/// The machine. It holds the bench, which must not touch the disk until it is given back.
#[derive(Debug)]
pub struct Booted<'bench> {
    bench: &'bench mut Vm,
    vm: Vm,
    start: Start,
    boots: Vec<Boot>,
    hello: Hello,
}

/// Nothing may have the disk open, and all that was written must be in it.
const HAND_OVER: &str = "grep ^/dev/$disk /proc/mounts && exit 1
    [ \"$(dmsetup ls)\" = 'No devices found' ] || { dmsetup ls; exit 1; }
    sync && blockdev --flushbufs --rereadpt /dev/$disk";

/// New partitions begin with no page; all that the machine has in memory is too much to forget.
const FORGET: &str = "blockdev --flushbufs --rereadpt /dev/$disk && \
    { [ ! -d /run/udev ] || udevadm settle; }";

impl Vm {
    /// Lets firmware boot a disk, and waits until a system on it serves the channel.
    ///
    /// # Errors
    /// Where the disk is in use, or nothing comes up.
    pub fn boot(&mut self, start: Start) -> Result<Booted<'_>> {
        self.ok(&format!("disk={}\n{HAND_OVER}", start.disk))?;
        let vm = power_on(self, &start)?;
        let (boots, hello) = (Vec::new(), Hello::default());
        let mut booted = Booted { bench: self, vm, start, boots, hello };
        booted.come_up()?;
        Ok(booted)
    }

    /// A disk has changed behind the kernel's back: what it remembers of it is forgotten.
    ///
    /// # Errors
    /// Where a partition of it is in use.
    pub fn forget_pages(&mut self, disk: &str) -> Result<()> {
        self.ok(&format!("disk={disk}\n{FORGET}")).map(drop)
    }

    pub(super) fn console_of_boot(&self, n: u32) -> PathBuf {
        self.folder.join(format!("boot-{n}.log"))
    }
}

fn power_on(bench: &mut Vm, start: &Start) -> Result<Vm> {
    bench.booted += 1;
    bench.note(&format!("--- boot {} of {start}", bench.booted));
    let console = bench.console_of_boot(bench.booted);
    let qemu = start.power_on(&bench.host, &bench.folder, &console)?;
    let mut vm = Vm::connected(qemu, (&bench.host, &bench.spec, &bench.folder), console)?;
    vm.deadline = bench.deadline;
    Ok(vm)
}

impl Booted<'_> {
    /// All boots since the disk was handed over, the one that is up last.
    #[must_use]
    pub fn boots(&self) -> &[Boot] {
        &self.boots
    }

    /// How those boots ended that were begun since the first `before`.
    #[must_use]
    pub fn ends_since(&self, before: usize) -> Vec<End> {
        self.boots.iter().skip(before).map(|boot| boot.end).collect()
    }

    /// The kernel's command line.
    #[must_use]
    pub fn cmdline(&self) -> &str {
        &self.hello.cmdline
    }

    /// The value of an argument `NAME=VALUE` of the kernel, the last where there are several.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&str> {
        argument(self.cmdline(), name)
    }

    /// Lets the system reboot, and waits for whatever is up next.
    ///
    /// # Errors
    /// Where it does not stop, or nothing comes up.
    pub fn reboot(&mut self) -> Result<()> {
        self.vm.ask_to_stop(b"reboot")?;
        self.again()
    }

    /// Runs a script that takes the machine down, as a panic does, and waits for whatever is up next.
    ///
    /// # Errors
    /// Where the machine stays, or nothing comes up.
    pub fn fall(&mut self, script: &str) -> Result<()> {
        if let Ok(done) = self.vm.sh(script) {
            return Err(Fail::new(format!("`{script}` is survived: {done:?}")));
        }
        self.vm.wait_for_the_end()?;
        self.again()
    }

    /// Cuts the power, or resets the machine as its watchdog does, and waits for whatever is up next.
    ///
    /// # Errors
    /// Where nothing comes up.
    pub fn cut(&mut self) -> Result<()> {
        self.vm.kill();
        self.again()
    }

    /// Stops the system in order and gives the disk back.
    ///
    /// # Errors
    /// Where it does not stop.
    pub fn power_off(mut self) -> Result<()> {
        self.vm.ask_to_stop(b"off")?;
        self.give_back()
    }

    /// Cuts the power and gives the disk back.
    ///
    /// # Errors
    /// Those of the bench.
    pub fn cut_off(mut self) -> Result<()> {
        self.vm.kill();
        self.give_back()
    }

    fn give_back(self) -> Result<()> {
        let boots: Vec<String> = self.boots.iter().map(Boot::to_string).collect();
        println!("     {}: {}", self.start, boots.join(", "));
        self.bench.forget_pages(&self.start.disk)
    }

    fn again(&mut self) -> Result<()> {
        self.vm = power_on(self.bench, &self.start)?;
        self.come_up()
    }

    fn come_up(&mut self) -> Result<()> {
        for _ in 1..MOST_BOOTS {
            match self.watch()? {
                End::Up => return Ok(()),
                End::Off => break,
                End::Reset | End::Hung => self.vm = power_on(self.bench, &self.start)?,
            }
        }
        let boots: Vec<String> = self.boots.iter().map(Boot::to_string).collect();
        let tail = self.vm.console_tail();
        Err(Fail::new(format!("{} does not come up: {}\n{tail}", self.start, boots.join(", "))))
    }

    /// Waits for the end of a boot.
    fn watch(&mut self) -> Result<End> {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(&self.vm.console, self.vm.qemu.child.id());
        let end = loop {
            self.vm.left()?;
            if self.vm.channel.has_something()? {
                self.hello = self.vm.hello()?;
                break End::Up;
            }
            if self.vm.qemu.child.try_wait()?.is_some() {
                break if self.vm.qemu.monitor.was_reset() { End::Reset } else { End::Off };
            }
            if watchdog.barks() {
                self.vm.kill();
                break End::Hung;
            }
        };
        let boot = Boot { end, took: start.elapsed(), kernel: self.hello.uptime };
        let told = if end == End::Up { self.hello.cmdline.clone() } else { String::new() };
        self.vm.note(&format!("--- {boot} {told}"));
        self.boots.push(boot);
        Ok(end)
    }
}

impl Deref for Booted<'_> {
    type Target = Vm;

    fn deref(&self) -> &Vm {
        &self.vm
    }
}

impl DerefMut for Booted<'_> {
    fn deref_mut(&mut self) -> &mut Vm {
        &mut self.vm
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.took.as_secs_f64();
        match self.end {
            End::Up => write!(f, "up {took:.1} s (kernel {:.1})", self.kernel.as_secs_f64()),
            End::Reset => write!(f, "reset {took:.1} s"),
            End::Off => write!(f, "off {took:.1} s"),
            End::Hung => write!(f, "hung {took:.1} s"),
        }
    }
}

/// The value of an argument `NAME=VALUE` in a command line, the last where there are several.
#[must_use]
pub fn argument<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let words = line.split(' ').filter_map(|word| word.split_once('='));
    words.filter(|(left, _)| *left == name).map(|(_, value)| value).next_back()
}
