//! `imgbase export`: a base or layer into a file.

use std::io::IsTerminal;
use std::path::PathBuf;

use imgbase::Result;
use imgbase::machine::FileTarget;
use imgbase::ops::Export;

use super::invalid;
use crate::cli::answer::Answer;
use crate::cli::args::ExportArgs;
use crate::cli::render::Format;
use crate::cli::session::Session;

/// Runs it.
pub(super) fn run(args: &ExportArgs, session: &Session<'_>) -> Result<Answer> {
    let is_json = session.settings().format == Format::Json && !session.settings().dry_run;
    let to = target(args, is_json, std::io::stdout().is_terminal())?;
    let (format, packing) = args.form();
    let (image, force) = (args.image.clone(), args.force);
    let request = Export { image, to, format, packing, force };
    session.change(|imgbase, watch| imgbase.export(&request, watch).map(Answer::Exported))
}

fn target(args: &ExportArgs, is_json: bool, is_terminal: bool) -> Result<FileTarget> {
    if args.file.is_empty() {
        return Err(invalid("the file's name is empty"));
    }
    if args.file != "-" {
        return Ok(FileTarget::Path(PathBuf::from(&args.file)));
    }
    if is_json {
        return Err(invalid("with --json standard output has the answer: name a file"));
    }
    if is_terminal {
        return Err(invalid("standard output is a terminal: name a file, or redirect it"));
    }
    Ok(FileTarget::Stdout)
}
