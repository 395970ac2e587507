//! `imgbase layer`: adds, finds, resets and removes layers.

use imgbase::Result;
use imgbase::layout::{ImageName, LayerName};

use super::invalid;
use crate::cli::answer::Answer;
use crate::cli::args::LayerArgs;
use crate::cli::session::Session;

/// Runs it.
pub(super) fn run(args: &LayerArgs, session: &Session<'_>) -> Result<Answer> {
    if let Some(value) = &args.add {
        let on = on(value.as_ref(), args.on.as_ref())?;
        if let Some(count) = args.count {
            return session.change(|imgbase, watch| {
                imgbase.add_layers(on, count, watch).map(Answer::LayersAdded)
            });
        }
        return session
            .change(|imgbase, watch| imgbase.add_layer(on, watch).map(Answer::LayerAdded));
    }
    if let Some(layer) = &args.reset {
        return session
            .change(|imgbase, watch| imgbase.reset_layer(layer, watch).map(Answer::LayerReset));
    }
    if let Some(layer) = &args.remove {
        return session
            .change(|imgbase, watch| imgbase.remove_layer(layer, watch).map(Answer::Removed));
    }
    if let Some(image) = &args.volume_path {
        let path = session.read(|imgbase, _| imgbase.volume_path(image))?;
        return Ok(Answer::VolumePath(image.clone(), path.display().to_string()));
    }
    match args.current {
        true => name(session.read(|imgbase, _| imgbase.current_layer())?),
        false => name(session.read(|imgbase, _| imgbase.latest_layer())?),
    }
}

fn name(layer: LayerName) -> Result<Answer> {
    Ok(Answer::Name(ImageName::Layer(layer)))
}

/// The one name that may follow `--add`.
fn on<'a>(
    value: Option<&'a ImageName>,
    word: Option<&'a ImageName>,
) -> Result<Option<&'a ImageName>> {
    match (value, word) {
        (Some(one), Some(other)) => Err(invalid(format!("'{one}' and '{other}' are two names"))),
        (one, other) => Ok(one.or(other)),
    }
}
