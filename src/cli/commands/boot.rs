//! `imgbase boot` and `imgbase rollback`: what boots.

use imgbase::layout::ImageName;
use imgbase::ops::OwnInitrd;
use imgbase::{Error, ErrorKind, Result};

use crate::cli::answer::Answer;
use crate::cli::args::{BootArgs, RollbackArgs};
use crate::cli::session::Session;

/// Runs `boot`.
pub(super) fn boot(args: &BootArgs, session: &Session<'_>) -> Result<Answer> {
    if args.list {
        return session.read(|imgbase, _| imgbase.boot_entries()).map(Answer::Boot);
    }
    if args.get_default {
        let layer = session.read(|imgbase, _| imgbase.default_layer())?;
        return Ok(Answer::Name(ImageName::Layer(layer)));
    }
    if args.on_trial {
        return on_trial(session);
    }
    if let Some(layer) = &args.of {
        if args.add.is_empty() && args.remove.is_empty() {
            return session.read(|imgbase, _| imgbase.kernel_arguments(layer)).map(Answer::Args);
        }
        return session.change(|imgbase, _| {
            imgbase.edit_kernel_arguments(layer, &args.add, &args.remove).map(Answer::Args)
        });
    }
    session.change(|imgbase, watch| {
        if let Some(layer) = &args.set_default {
            let choice = imgbase.set_default_layer(layer, args.tries)?;
            if args.tries.is_some() && choice.changed && choice.tries.is_none() {
                let why = "there is no other layer that could be started instead";
                watch.warn(&format!("{layer} is on no trial: {why}"));
            }
            return Ok(Answer::BootChoice(choice));
        }
        if let Some(layer) = &args.setup {
            let own = if args.own_initrd { OwnInitrd::Always } else { OwnInitrd::WhereNone };
            return imgbase.set_up_boot(layer.as_ref(), own, watch).map(Answer::BootSetUp);
        }
        if args.bless {
            let blessed = imgbase.bless()?;
            if let Some(late) = blessed.late.as_ref().filter(|late| !late.edits.is_empty()) {
                let from = &late.from;
                let when = format!("changed in {from} after {} was made of it", blessed.nvr);
                let way = format!("look at them with 'imgbase mount {from} DIR'");
                watch.warn(&format!("{when}, and not carried over: {late}; {way}"));
            }
            return Ok(Answer::Blessed(blessed));
        }
        imgbase.boot_once(args.once.as_ref())?;
        Ok(Answer::Once(args.once.clone()))
    })
}

/// An answer for units: the exit status tells.
fn on_trial(session: &Session<'_>) -> Result<Answer> {
    if session.read(|imgbase, _| imgbase.is_on_trial())? {
        return Ok(Answer::OnTrial);
    }
    Err(Error::new(ErrorKind::NotFound, "the running layer is on no trial"))
}

/// Runs `rollback`.
pub(super) fn rollback(args: &RollbackArgs, session: &Session<'_>) -> Result<Answer> {
    session.change(|imgbase, _| imgbase.roll_back(args.to.as_ref()).map(Answer::BootChoice))
}
