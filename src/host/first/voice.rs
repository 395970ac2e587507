//! What the first process says: to the console and to the kernel's log, each line with its name.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;

use log::{Level, LevelFilter, Log, Metadata, Record};

const CONSOLE: &str = "/dev/console";
const KERNEL_LOG: &str = "/dev/kmsg";
/// The kernel shows on the console what is more urgent than the first number.
const SHOWN: &str = "/proc/sys/kernel/printk";

/// Whether the kernel drops lines that come too fast; a word of the command line on that counts more.
const LIMIT: &str = "/proc/sys/kernel/printk_devkmsg";

/// How urgent a line is, in the kernel's numbers (include/linux/kern_levels.h).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Failure = 3,
    Warning = 4,
    Progress = 6,
    Detail = 7,
}

/// The open console and log.
struct Voice {
    console: Option<File>,
    log: Option<File>,
    /// The kernel itself shows on the console what is more urgent than that.
    shown: u8,
}

static VOICE: OnceLock<Voice> = OnceLock::new();

impl Voice {
    fn open() -> Self {
        // As systemd does: nothing here may be lost. Where it cannot be had, few lines are. The kernel
        // takes the word with the end of its line alone (kernel/printk/printk.c).
        let _ = std::fs::write(LIMIT, "on\n");
        let open = |path| OpenOptions::new().write(true).open(path).ok();
        let shown = std::fs::read_to_string(SHOWN).unwrap_or_default();
        let shown = shown.split_whitespace().next().and_then(|number| number.parse().ok());
        Self { console: open(CONSOLE), log: open(KERNEL_LOG), shown: shown.unwrap_or(0) }
    }

    fn line(&self, urgency: Urgency, text: &str) {
        let number = urgency as u8;
        // One write is one record.
        let logged = self.log.as_ref().is_some_and(|mut log| {
            log.write_all(format!("<{number}>imgbase: {text}\n").as_bytes()).is_ok()
        });
        let by_kernel = logged && number < self.shown;
        if !by_kernel && urgency < Urgency::Detail {
            self.show(&format!("imgbase: {text}\r\n"));
        }
    }

    fn show(&self, text: &str) {
        if let Some(mut console) = self.console.as_ref() {
            // There is nobody to tell that the console does not take it.
            let _ = console.write_all(text.as_bytes());
        }
    }
}

/// A line, before the console is open too: the kernel has given us one as standard error.
fn line(urgency: Urgency, text: &str) {
    match VOICE.get() {
        Some(voice) => voice.line(urgency, text),
        None => eprintln!("imgbase: {text}"),
    }
}

/// What is said.
pub(super) mod say {
    use super::{Urgency, VOICE, Voice, line};

    /// Opens the console and the log. Until then standard error serves.
    pub(in crate::host::first) fn open() {
        VOICE.get_or_init(Voice::open);
    }

    /// Why it does not go on.
    pub(in crate::host::first) fn failure(text: &str) {
        line(Urgency::Failure, text);
    }

    /// What somebody should look at later.
    pub(in crate::host::first) fn warning(text: &str) {
        line(Urgency::Warning, text);
    }

    /// What it does.
    pub(in crate::host::first) fn progress(text: &str) {
        line(Urgency::Progress, text);
    }

    /// What it does, for the kernel's log alone.
    pub(in crate::host::first) fn detail(text: &str) {
        line(Urgency::Detail, text);
    }

    /// A question, for the console alone.
    pub(in crate::host::first) fn ask(text: &str) {
        match VOICE.get() {
            Some(voice) => voice.show(text),
            None => eprint!("{text}"),
        }
    }
}

/// The library's log.
struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let text = record.args().to_string();
        match record.level() {
            Level::Error | Level::Warn => say::warning(&text),
            Level::Info | Level::Debug | Level::Trace => say::detail(&text),
        }
    }

    fn flush(&self) {}
}

/// Sends the library's log where everything goes; each step of it where that is asked for.
pub(super) fn install(debug: bool) {
    let level = if debug { LevelFilter::Trace } else { LevelFilter::Warn };
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(level);
    }
}
