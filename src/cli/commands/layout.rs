//! `imgbase layout`: shows, measures or makes the layout.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use imgbase::Result;
use imgbase::layout::{BaseName, LayerName};
use imgbase::name::VgName;
use imgbase::ops::{ImageRequest, Init};
use imgbase::report::LayoutReport;

use super::image::{self, Sorted};
use super::{invalid, unsupported};
use crate::cli::answer::Answer;
use crate::cli::args::{LayoutArgs, Word};
use crate::cli::session::Session;

/// The group's name where none is given.
const DEFAULT_VG: &str = "HostVG";

/// Runs it.
pub(super) fn run(args: &LayoutArgs, session: &Session<'_>) -> Result<Answer> {
    if args.changes() {
        return change(args, session);
    }
    if args.free_space {
        let report = session.read(|imgbase, _| imgbase.free_space())?;
        return Ok(Answer::FreeSpace(report, args.units));
    }
    let report = session.read(|imgbase, _| imgbase.layout())?;
    warn_of_orphans(&report, session);
    Ok(match (args.bases, args.layers) {
        (true, _) => Answer::Bases(bases(&report)),
        (_, true) => Answer::Layers(layers(&report)),
        _ => Answer::Layout(report),
    })
}

fn change(args: &LayoutArgs, session: &Session<'_>) -> Result<Answer> {
    if let Some(by) = args.grow {
        return session.change(|imgbase, watch| imgbase.grow_pool(by, watch).map(Answer::Grown));
    }
    let vg = session.settings().vg.clone();
    let request = request(args, vg, std::io::stdin().is_terminal())?;
    session.change(|imgbase, watch| imgbase.init(&request, watch).map(Answer::Init))
}

fn warn_of_orphans(report: &LayoutReport, session: &Session<'_>) {
    for orphan in &report.orphans {
        session.console().warning(&format!("{} fits nowhere: {}", orphan.name, orphan.why));
    }
}

fn bases(report: &LayoutReport) -> Vec<BaseName> {
    report.bases.iter().map(|base| base.nvr.clone()).collect()
}

/// The layers of all bases in order of creation.
fn layers(report: &LayoutReport) -> Vec<LayerName> {
    let mut layers: Vec<_> = report.bases.iter().flat_map(|base| &base.layers).collect();
    layers.sort_unstable_by_key(|layer| layer.device_id);
    layers.into_iter().map(|layer| layer.nvr.clone()).collect()
}

/// What `--init` asks for.
fn request(args: &LayoutArgs, vg: Option<VgName>, stdin_is_terminal: bool) -> Result<Init> {
    let sorted = Sorted::of(&words(args));
    let name = sorted.base_name()?;
    if sorted.places.is_empty() {
        return Err(unsupported("adopting an installed system is not in this version")
            .at("layout --init without a device"));
    }
    let devices = devices(&sorted.places)?;
    Ok(Init {
        devices,
        vg: vg.map_or_else(|| DEFAULT_VG.parse(), Ok)?,
        size: args.size,
        config_size: args.config_size,
        metadata_size: args.metadata_size,
        mda_size: args.mda_size,
        force: args.force,
        base: first_base(name, args, stdin_is_terminal)?,
    })
}

/// All words that may be a name or a device, the values of `--init` and `--init-nvr` first.
fn words(args: &LayoutArgs) -> Vec<Word> {
    let named = args.init_nvr.clone().map(Word::Name);
    let value = args.init.clone().flatten();
    value.into_iter().chain(named).chain(args.words.iter().cloned()).collect()
}

fn devices(places: &[OsString]) -> Result<Vec<PathBuf>> {
    match places.iter().find(|place| *place == "-" || image::is_url(place)) {
        Some(place) => Err(invalid(format!("'{}' is no device", place.display()))),
        None => Ok(places.iter().map(PathBuf::from).collect()),
    }
}

fn first_base(
    name: Option<BaseName>,
    args: &LayoutArgs,
    stdin_is_terminal: bool,
) -> Result<Option<(BaseName, ImageRequest)>> {
    match (name, &args.from) {
        (Some(name), Some(from)) => {
            let source = image::source(from, stdin_is_terminal)?;
            Ok(Some((name, image::request(source, &args.of)?)))
        }
        (Some(name), None) => {
            Err(invalid(format!("the base {name} needs an image: give --from IMAGE")))
        }
        (None, Some(_)) => Err(image::no_name()),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser;
    use imgbase::ErrorKind;
    use imgbase::ops::ImageSource;
    use imgbase::units::Bytes;

    fn init(line: &str) -> Result<Init> {
        let words = ["imgbase", "layout"].into_iter().chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).expect("clap takes it");
        match cli.command {
            Some(Command::Layout(args)) => request(&args, cli.global.vg, true),
            other => panic!("{other:?}"),
        }
    }

    fn kind(line: &str) -> ErrorKind {
        init(line).expect_err(line).kind()
    }

    #[test]
    fn devices_and_the_name_may_stand_anywhere() {
        for line in [
            "--init a-1-0 --from ./i /dev/x /dev/y",
            "--init --from ./i a-1-0 /dev/x /dev/y",
            "--init /dev/x --from ./i a-1-0 /dev/y",
            "/dev/x /dev/y a-1-0 --from ./i --init",
            "--init-nvr a-1-0 --from ./i /dev/x /dev/y",
            "/dev/x --init /dev/y a-1-0 --from=./i",
        ] {
            let request = init(line).expect(line);
            let mut devices = request.devices.clone();
            devices.sort_unstable();
            assert_eq!(devices, [PathBuf::from("/dev/x"), PathBuf::from("/dev/y")], "{line}");
            let (name, image) = request.base.expect(line);
            assert_eq!((name.as_str(), image), ("a-1-0", ImageSource::Path("./i".into()).into()));
        }
    }

    #[test]
    fn sizes_have_their_defaults() {
        let plain = init("--init /dev/x").expect("a request");
        assert_eq!((plain.vg.as_str(), plain.size, plain.force), ("HostVG", None, false));
        assert_eq!((plain.config_size, plain.base), (Bytes::mib(64), None));
        let all = init(
            "--init --vg V --size 1G --config-size 0 --metadata-size 64M --mda-size 64k --force ./f",
        )
        .expect("a request");
        assert_eq!((all.vg.as_str(), all.size, all.force), ("V", Some(Bytes::gib(1)), true));
        assert_eq!((all.config_size, all.mda_size), (Bytes::ZERO, Some(Bytes::kib(64))));
        assert_eq!(all.metadata_size, Some(Bytes::mib(64)));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert_eq!(kind("--init a-1-0 /dev/x"), ErrorKind::Invalid);
        assert_eq!(kind("--init --from ./i /dev/x"), ErrorKind::Invalid);
        assert_eq!(kind("--init a-1-0 b-1-0 --from ./i /dev/x"), ErrorKind::Invalid);
        assert_eq!(kind("--init sdb"), ErrorKind::Invalid);
        assert_eq!(kind("--init -"), ErrorKind::Invalid);
        assert_eq!(kind("--init http://h/x"), ErrorKind::Invalid);
        assert_eq!(kind("--init a-1-0 --from - /dev/x"), ErrorKind::Invalid);
        assert_eq!(kind("--init a-1-0 --from http://h/x /dev/x"), ErrorKind::Unsupported);
        assert_eq!(kind("--init"), ErrorKind::Unsupported);
        assert_eq!(kind("--init a-1-0"), ErrorKind::Unsupported);
        assert_eq!(kind("--init-nvr a-1-0 --from /"), ErrorKind::Unsupported);
    }
}
