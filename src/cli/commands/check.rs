//! `imgbase check`: the health of the layout.

use imgbase::Result;
use imgbase::report::Health;

use super::print;
use crate::cli::answer::Answer;
use crate::cli::exit::Verdict;
use crate::cli::render::Data;
use crate::cli::session::Session;

/// Runs it.
pub(super) fn run(session: &Session<'_>, data: &Data) -> Result<Verdict> {
    let report = session.read(|imgbase, watch| imgbase.check(watch))?;
    let verdict = verdict(report.health);
    print(&Answer::Health(report), session, data)?;
    Ok(verdict)
}

fn verdict(health: Health) -> Verdict {
    match health {
        Health::Ok | Health::Warning => Verdict::Done,
        Health::Failed => Verdict::Unhealthy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_alone_are_well() {
        assert_eq!(verdict(Health::Warning), Verdict::Done);
        assert_eq!(verdict(Health::Failed), Verdict::Unhealthy);
    }
}
