//! The exit code, decided here and nowhere else.

use std::process::ExitCode;

use imgbase::{Error, ErrorKind, Result};

/// The code for a bad command line.
pub(crate) const USAGE: u8 = ErrorKind::Invalid.exit_code();

/// How a command that did not fail came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It did what was asked.
    Done,
    /// It did, and what it found is not well.
    Unhealthy,
}

/// The exit code of a result.
pub(crate) fn code(result: &Result<Verdict>) -> ExitCode {
    match result {
        Ok(Verdict::Done) => ExitCode::SUCCESS,
        Ok(Verdict::Unhealthy) => ExitCode::from(ErrorKind::Unhealthy.exit_code()),
        Err(error) => of_error(error),
    }
}

/// The exit code of a failure.
pub(crate) fn of_error(error: &Error) -> ExitCode {
    ExitCode::from(error.kind().exit_code())
}
