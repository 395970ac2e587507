//! Standard output.

use std::cell::{Cell, RefCell};
use std::io::{BufWriter, IsTerminal, Write};

use clap::builder::StyledStr;
use imgbase::{Error, ErrorKind, Result};

use super::changes::Changes;
use super::{Format, colours, json, text};
use crate::cli::answer::Answer;

/// Where answers go.
pub(crate) struct Data {
    format: Format,
    command: &'static str,
    colour: bool,
    out: RefCell<BufWriter<std::io::Stdout>>,
    gone: Cell<bool>,
}

impl Data {
    /// Standard output, for the answer of this command.
    pub(crate) fn stdout(format: Format, command: &'static str) -> Self {
        let out = std::io::stdout();
        let colour = format == Format::Text && colours(out.is_terminal());
        let out = RefCell::new(BufWriter::new(out));
        Self { format, command, colour, out, gone: Cell::new(false) }
    }

    /// Prints an answer.
    pub(crate) fn answer(&self, answer: &Answer, verbose: bool) -> Result<()> {
        let look = text::Look { colour: self.colour, verbose };
        self.write(|out| match self.format {
            Format::Text => text::print(out, answer, look),
            Format::Json => json::print(out, self.command, answer),
        })
    }

    /// Prints the help.
    pub(crate) fn help(&self, help: &StyledStr) -> Result<()> {
        self.write(|out| match self.colour {
            true => write!(out, "{}", help.ansi()),
            false => write!(out, "{help}"),
        })
    }

    /// Begins a list of changes, printed one by one.
    pub(crate) fn changes(&self) -> Changes<'_> {
        Changes::new(self, self.format)
    }

    /// Hands everything over.
    pub(crate) fn flush(&self) -> Result<()> {
        self.write(|out| out.flush())
    }

    /// True where whoever read standard output has stopped reading.
    pub(crate) fn reader_is_gone(&self) -> bool {
        self.gone.get()
    }

    /// Writes something.
    pub(super) fn write(
        &self,
        print: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<()> {
        let result = print(&mut *self.out.borrow_mut());
        result.map_err(|source| {
            self.gone.set(source.kind() == std::io::ErrorKind::BrokenPipe);
            let error = Error::io(source).with_kind(ErrorKind::Io);
            error.op("print the answer").at("standard output")
        })
    }
}
