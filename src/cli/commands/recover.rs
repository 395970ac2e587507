//! `imgbase recover`: what a crash left.

use imgbase::Result;

use crate::cli::answer::Answer;
use crate::cli::args::RecoverArgs;
use crate::cli::session::Session;

/// Runs it.
pub(super) fn run(args: &RecoverArgs, session: &Session<'_>) -> Result<Answer> {
    if args.list {
        return session.read(|imgbase, _| imgbase.leftovers()).map(Answer::Recovered);
    }
    session.change(|imgbase, watch| imgbase.recover(watch).map(Answer::Recovered))
}
