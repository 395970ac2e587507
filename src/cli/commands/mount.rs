//! `imgbase mount`, `umount`, `activate` and `deactivate`.

use imgbase::Result;

use crate::cli::answer::Answer;
use crate::cli::args::{ImagesArgs, MountArgs, UmountArgs};
use crate::cli::session::Session;

/// Runs `mount`.
pub(super) fn mount(args: &MountArgs, session: &Session<'_>) -> Result<Answer> {
    session.change(|imgbase, _| {
        imgbase.mount(&args.image, &args.dir, args.read_only).map(Answer::Mounted)
    })
}

/// Runs `umount`.
pub(super) fn umount(args: &UmountArgs, session: &Session<'_>) -> Result<Answer> {
    session.change(|imgbase, _| imgbase.umount(&args.dir).map(Answer::Unmounted))
}

/// Runs `activate`.
pub(super) fn activate(args: &ImagesArgs, session: &Session<'_>) -> Result<Answer> {
    session.change(|imgbase, _| imgbase.activate(&args.images).map(Answer::Activated))
}

/// Runs `deactivate`.
pub(super) fn deactivate(args: &ImagesArgs, session: &Session<'_>) -> Result<Answer> {
    session.change(|imgbase, _| imgbase.deactivate(&args.images).map(Answer::Deactivated))
}
