//! Standard error: log, progress, warnings and errors, for people or as JSON
//! lines. What cannot be written there is dropped.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::builder::StyledStr;
use imgbase::Error;
use imgbase::ops::Progress;
use log::Level;

use super::json::{self, Event};
use super::{Format, bar, colours, printable};
use crate::cli::progress::Pace;
use crate::cli::settings::Loudness;

/// The way to people.
pub(crate) struct Console {
    format: Format,
    loudness: Loudness,
    is_terminal: bool,
    colour: bool,
    /// True while an unfinished line stands on the terminal.
    bar: Mutex<bool>,
}

impl Console {
    /// Standard error.
    pub(crate) fn new(format: Format, loudness: Loudness) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let colour = colours(is_terminal);
        Self { format, loudness, is_terminal, colour, bar: Mutex::new(false) }
    }

    /// A step begins.
    pub(crate) fn step(&self, step: &str) {
        match self.format {
            Format::Json => self.event(&Event::Step { step }),
            Format::Text if self.loudness >= Loudness::Verbose => self.line(step),
            Format::Text => self.bar(step),
        }
    }

    /// The commit point has been passed.
    pub(crate) fn committed(&self, what: &str) {
        match self.format {
            Format::Json => self.event(&Event::Committed { what }),
            Format::Text if self.loudness >= Loudness::Verbose => self.line(what),
            Format::Text => {}
        }
    }

    /// A step goes on.
    pub(crate) fn progress(&self, step: &str, progress: Progress, pace: Pace) {
        match self.format {
            Format::Json => self.event(&Event::progress(step, progress, pace)),
            Format::Text => self.bar(&bar::line(step, progress, pace)),
        }
    }

    /// Nothing goes on any more.
    pub(crate) fn end_progress(&self) {
        self.clear(&mut self.lock());
    }

    /// Something that the user should know.
    pub(crate) fn warning(&self, message: &str) {
        match self.format {
            Format::Json => self.event(&Event::Warning { message }),
            Format::Text => self.line(&format!("{} {message}", self.paint("33", "warning:"))),
        }
    }

    /// Something for people only.
    pub(crate) fn note(&self, message: &str) {
        if self.format == Format::Text {
            self.line(message);
        }
    }

    /// A question, however quiet it is to be; the answer comes on the same line.
    pub(crate) fn ask(&self, question: &str) {
        self.clear(&mut self.lock());
        let mut out = std::io::stderr();
        let _ = out.write_all(question.as_bytes()).and_then(|()| out.flush());
    }

    /// A line of the log.
    pub(crate) fn log(&self, level: Level, target: &str, message: &str) {
        match self.format {
            Format::Json => self.event(&Event::log(level, target, message)),
            Format::Text if level == Level::Info => self.line(message),
            Format::Text => self.line(&format!("debug: {message}")),
        }
    }

    /// The failure that ends the command; printed however quiet it is to be.
    pub(crate) fn error(&self, command: Option<&str>, error: &Error) {
        match self.format {
            Format::Json => self.print(&json::error(command, error)),
            Format::Text => {
                let name = self.paint("31", "imgbase:");
                self.print(&format!("{name} {error}"));
            }
        }
    }

    /// The help, for somebody who did not ask for it.
    pub(crate) fn help(&self, help: &StyledStr) {
        let text = if self.colour { help.ansi().to_string() } else { help.to_string() };
        self.print(text.trim_end());
    }

    fn event(&self, event: &Event<'_>) {
        if self.loudness > Loudness::Quiet {
            self.print(&event.line());
        }
    }

    fn line(&self, message: &str) {
        if self.loudness > Loudness::Quiet {
            self.print(&format!("imgbase: {}", self.safe(message)));
        }
    }

    /// Our own colours pass, a disk's control characters do not.
    fn safe(&self, message: &str) -> String {
        match message.split_once(RESET) {
            Some((painted, rest)) if self.colour => format!("{painted}{RESET}{}", printable(rest)),
            _ => printable(message),
        }
    }

    /// A line that the next one replaces; only on a terminal, and not between lines of a log.
    fn bar(&self, text: &str) {
        if self.is_terminal && self.loudness < Loudness::Debug && self.loudness > Loudness::Quiet {
            let mut bar = self.lock();
            self.clear(&mut bar);
            *bar = true;
            let _ = write!(std::io::stderr(), "{}", bar::cut(&printable(text)));
        }
    }

    fn print(&self, line: &str) {
        let mut bar = self.lock();
        self.clear(&mut bar);
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    fn clear(&self, bar: &mut bool) {
        if std::mem::take(bar) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}{RESET}") } else { text.to_owned() }
    }
}

/// Ends a colour.
const RESET: &str = "\x1b[0m";
