//! `imgbase update`.

use std::io::{IsTerminal, stdin};

use imgbase::Result;
use imgbase::etc::OnConflict;
use imgbase::ops::Update;
use imgbase::report::CarryPlan;

use super::image;
use crate::cli::answer::Answer;
use crate::cli::args::{Stands, UpdateArgs};
use crate::cli::session::Session;

/// Runs it.
pub(super) fn run(args: &UpdateArgs, session: &Session<'_>) -> Result<Answer> {
    let source = image::source(&args.image, stdin().is_terminal())?;
    let image = image::request(source, &args.of)?;
    let on_conflict = match args.on_conflict {
        Stands::Keep => OnConflict::Keep,
        Stands::Image => OnConflict::Image,
        Stands::Fail => OnConflict::Fail,
    };
    // Read from the real volumes: a simulated kernel has none to look into.
    let planned = match session.settings().dry_run {
        true => {
            Some(session.read(|imgbase, watch| imgbase.plan_update(&image, on_conflict, watch))?)
        }
        false => None,
    };
    let answer = session.change(|imgbase, watch| {
        let nvr = image::name(imgbase, args.nvr.as_ref(), &image, watch)?;
        let request = Update {
            nvr,
            image: image.clone(),
            size: args.size,
            share: !args.no_share,
            keep: args.keep,
            on_conflict,
            force: args.force,
        };
        imgbase.update(&request, watch).map(Answer::Updated)
    })?;
    Ok(match planned {
        Some(planned) => with_plan(answer, planned, session),
        None => answer,
    })
}

/// A plan with what would be carried over.
fn with_plan(mut answer: Answer, planned: CarryPlan, session: &Session<'_>) -> Answer {
    if let Some(why) = &planned.why {
        let what = format!("what would be carried over of {} is not known yet", planned.from);
        session.console().warning(&format!("{what}: of the image {why}"));
    }
    if let Answer::Plan(plan) = &mut answer
        && let Answer::Updated(report) = plan.result.as_mut()
    {
        report.carried = planned.carried;
    }
    answer
}
