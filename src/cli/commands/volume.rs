//! `imgbase volume`: data that layers share.

use imgbase::Result;
use imgbase::ops::AddVolume;

use super::invalid;
use crate::cli::answer::Answer;
use crate::cli::args::VolumeArgs;
use crate::cli::session::Session;

/// Runs it.
pub(super) fn run(args: &VolumeArgs, session: &Session<'_>) -> Result<Answer> {
    if let Some(words) = &args.create {
        let request = request(args, words)?;
        return session
            .change(|imgbase, watch| imgbase.add_volume(&request, watch).map(Answer::VolumeAdded));
    }
    let layer = args.layer.as_ref();
    if let Some(path) = &args.attach {
        return session
            .change(|imgbase, _| imgbase.attach_volume(path, layer).map(Answer::VolumeMount));
    }
    if let Some(path) = &args.detach {
        return session
            .change(|imgbase, _| imgbase.detach_volume(path, layer).map(Answer::VolumeMount));
    }
    if let Some(path) = &args.remove {
        return session.change(|imgbase, watch| {
            imgbase.remove_volume(path, args.force, watch).map(Answer::VolumeRemoved)
        });
    }
    session.read(|imgbase, _| imgbase.volumes()).map(Answer::Volumes)
}

/// What `--create` asks for.
fn request(args: &VolumeArgs, words: &[String]) -> Result<AddVolume> {
    let [path, size @ ..] = words else { return Err(invalid("--create takes a path")) };
    let path = path.parse()?;
    let size = match size {
        [size, ..] => size.parse().map_err(|bad| invalid(format!("--create: {bad}")))?,
        [] => AddVolume::usual_size(&path).ok_or_else(|| {
            invalid(format!("--create: no size is usual for {path}: give one (--create {path} 8G)"))
        })?,
    };
    Ok(AddVolume { path, size, layer: args.layer.clone() })
}
