//! `imgbase w`: which layer this host runs from.

use imgbase::Result;

use crate::cli::answer::Answer;
use crate::cli::session::Session;

/// Runs it.
pub(super) fn run(session: &Session<'_>) -> Result<Answer> {
    session.read(|imgbase, _| imgbase.current_layer()).map(Answer::Here)
}
