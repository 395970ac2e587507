//! `imgbase completions`: a shell's completions.

use clap::CommandFactory;
use imgbase::{Error, ErrorKind, Result};

use crate::cli::answer::{Answer, Document};
use crate::cli::args::{Cli, CompletionsArgs};

/// Runs it.
pub(super) fn run(args: &CompletionsArgs) -> Result<Answer> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "imgbase", &mut text);
    let text = String::from_utf8(text).map_err(|source| Error::new(ErrorKind::Io, source))?;
    Ok(Answer::Document(Document { format: args.shell.to_string(), text }))
}
