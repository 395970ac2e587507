//! One file a command: arguments into a request to the library, its result
//! into an answer.

mod base;
mod boot;
mod check;
mod completions;
mod diff;
mod export;
mod gc;
mod image;
mod initrd;
mod layer;
mod layout;
mod man;
mod mount;
mod recover;
mod update;
mod volume;
mod w;
mod watch;

use imgbase::{Error, ErrorKind, Result};

use super::answer::Answer;
use super::args::Command;
use super::exit::Verdict;
use super::render::{Data, text};
use super::session::Session;
use super::settings::Loudness;

/// Runs a command and prints its answer.
///
/// # Errors
/// The command's own, and [`ErrorKind::Io`] where the answer cannot be printed.
pub(crate) fn run(command: &Command, session: &Session<'_>, data: &Data) -> Result<Verdict> {
    let answer = match command {
        Command::Layout(args) => layout::run(args, session)?,
        Command::Base(args) => base::run(args, session)?,
        Command::Layer(args) => layer::run(args, session)?,
        Command::Boot(args) => boot::boot(args, session)?,
        Command::Rollback(args) => boot::rollback(args, session)?,
        Command::Update(args) => update::run(args, session)?,
        Command::Mount(args) => mount::mount(args, session)?,
        Command::Umount(args) => mount::umount(args, session)?,
        Command::Activate(args) => mount::activate(args, session)?,
        Command::Deactivate(args) => mount::deactivate(args, session)?,
        Command::Diff(args) => return diff::run(args, session, data),
        Command::Export(args) => export::run(args, session)?,
        Command::Volume(args) => volume::run(args, session)?,
        Command::Check(_) => return check::run(session, data),
        Command::Recover(args) => recover::run(args, session)?,
        Command::Gc(args) => gc::run(args, session)?,
        Command::Watch(args) => watch::run(args, session)?,
        Command::Initrd(args) => initrd::run(args, session)?,
        Command::W => w::run(session)?,
        Command::Completions(args) => completions::run(args)?,
        Command::Man(_) => man::run()?,
    };
    print(&answer, session, data)?;
    Ok(Verdict::Done)
}

fn print(answer: &Answer, session: &Session<'_>, data: &Data) -> Result<()> {
    data.answer(answer, session.settings().loudness >= Loudness::Verbose)?;
    if let Some(note) = text::note(answer) {
        data.flush()?;
        session.console().note(&note);
    }
    Ok(())
}

/// A bad request, found by the words together.
fn invalid(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, why.into()).kept("nothing was changed")
}

/// A request that a later version may take.
fn unsupported(why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, why).kept("nothing was changed")
}
