//! `imgbase diff`: lists the files that differ between two images.

use imgbase::Result;
use imgbase::ops::DiffWay;

use crate::cli::args::DiffArgs;
use crate::cli::exit::Verdict;
use crate::cli::render::Data;
use crate::cli::session::Session;

/// Runs it, printing each change as it is found.
pub(super) fn run(args: &DiffArgs, session: &Session<'_>, data: &Data) -> Result<Verdict> {
    let mut changes = data.changes();
    let way = match args {
        DiffArgs { walk: true, .. } => DiffWay::Walk,
        DiffArgs { blocks: true, .. } => DiffWay::Blocks,
        _ => DiffWay::Auto,
    };
    let result = session.read(|imgbase, _| {
        imgbase.diff(args.a.as_ref(), args.b.as_ref(), way, &mut |change| {
            session.check_interrupted()?;
            changes.each(change)
        })
    });
    let ended = changes.end(result.is_ok());
    result.and(ended).map(|()| Verdict::Done)
}
