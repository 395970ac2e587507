//! `imgbase gc`: old bases go.

use imgbase::Result;

use crate::cli::answer::Answer;
use crate::cli::args::GcArgs;
use crate::cli::session::Session;

/// Runs it.
pub(super) fn run(args: &GcArgs, session: &Session<'_>) -> Result<Answer> {
    session.change(|imgbase, watch| {
        imgbase.collect(args.keep, args.force, watch).map(Answer::Collected)
    })
}
