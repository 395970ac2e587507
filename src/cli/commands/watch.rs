//! `imgbase watch`: grows the pool before it is full.

use std::time::Duration;

use imgbase::Result;
use imgbase::ops::WatchPolicy;

use crate::cli::answer::Answer;
use crate::cli::args::WatchArgs;
use crate::cli::session::Session;

/// Runs it. A dry run looks once: it would else see the same for ever.
pub(super) fn run(args: &WatchArgs, session: &Session<'_>) -> Result<Answer> {
    let policy = WatchPolicy {
        threshold: args.threshold,
        step: args.step,
        pause: Duration::from_secs(args.interval.into()),
        once: args.once || session.settings().dry_run,
    };
    session.change(|imgbase, watch| imgbase.watch_pool(&policy, watch).map(|()| Answer::Watched))
}
