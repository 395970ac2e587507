//! `imgbase update`.

use std::io::{IsTerminal, stdin};

use imgbase::Result;
use imgbase::ops::Update;

use super::image;
use crate::cli::answer::Answer;
use crate::cli::args::UpdateArgs;
use crate::cli::session::Session;

/// Runs it.
pub(super) fn run(args: &UpdateArgs, session: &Session<'_>) -> Result<Answer> {
    let source = image::source(&args.image, stdin().is_terminal())?;
    let image = image::request(source, &args.of)?;
    session.change(|imgbase, watch| {
        let nvr = image::name(imgbase, args.nvr.as_ref(), &image)?;
        let request = Update {
            nvr,
            image: image.clone(),
            size: args.size,
            share: !args.no_share,
            keep: args.keep,
        };
        imgbase.update(&request, watch).map(Answer::Updated)
    })
}
