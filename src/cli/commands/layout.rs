//! `imgbase layout`: shows, measures or makes the layout.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use imgbase::Result;
use imgbase::error::IoContext;
use imgbase::layout::{BaseName, LayerName};
use imgbase::name::VgName;
use imgbase::ops::{Adopt, AdoptSource, ImageRequest, Init};
use imgbase::report::LayoutReport;
use imgbase::units::Bytes;

use super::image::{self, Sorted};
use super::invalid;
use crate::cli::answer::Answer;
use crate::cli::args::{LayoutArgs, Word};
use crate::cli::session::Session;

/// The group's name where none is given.
const DEFAULT_VG: &str = "HostVG";

/// Where the running system is.
const ROOT: &str = "/";

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
    if adopts(args) {
        let request = adoption(args)?;
        if request.source == AdoptSource::Place(ROOT.into()) {
            confirm(session)?;
        }
        return session
            .change(|imgbase, watch| imgbase.adopt(&request, watch).map(Answer::Adopted));
    }
    let vg = session.settings().vg.clone();
    let request = request(args, vg, std::io::stdin().is_terminal())?;
    session.change(|imgbase, watch| imgbase.init(&request, watch).map(Answer::Init))
}

/// True where `--init` is about an installed system.
fn adopts(args: &LayoutArgs) -> bool {
    Sorted::of(&words(args)).places.is_empty()
}

/// What `--init` without a device asks for.
fn adoption(args: &LayoutArgs) -> Result<Adopt> {
    let nvr = Sorted::of(&words(args)).base_name()?;
    refuse_for_devices(args)?;
    let source = match &args.from {
        Some(word) => adopt_source(word)?,
        None => AdoptSource::Place(ROOT.into()),
    };
    Ok(Adopt { nvr, source })
}

/// Refuses what says how a layout on devices is to be.
fn refuse_for_devices(args: &LayoutArgs) -> Result<()> {
    let given = [
        ("--size", args.size.is_some()),
        ("--config-size", args.config_size.is_some()),
        ("--metadata-size", args.metadata_size.is_some()),
        ("--mda-size", args.mda_size.is_some()),
        ("--force", args.force),
        ("--partition", args.of.partition.is_some()),
        ("--digest", args.of.digest.is_some()),
        ("--signature", args.of.signature.is_some()),
        ("--image-ref", args.of.image_ref.is_some()),
    ];
    match given.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(invalid(format!(
            "{option} is for a layout on devices, and none is given: without one an installed \
             system is adopted as it is"
        ))),
        None => Ok(()),
    }
}

/// A path, or `VG/LV`: what begins with neither a slash nor a dot.
fn adopt_source(word: &OsStr) -> Result<AdoptSource> {
    let volume = word.to_str().filter(|text| !text.starts_with(['/', '.']) && !image::is_url(word));
    if let Some((vg, lv)) = volume.and_then(|text| text.split_once('/')) {
        return Ok(AdoptSource::Volume(vg.parse()?, lv.parse()?));
    }
    if !word.as_bytes().contains(&b'/') && word != "." && word != ".." || image::is_url(word) {
        return Err(invalid(format!(
            "'{}' is no system that could be adopted: give a mount point, VG/LV or a device",
            word.display()
        )));
    }
    // What is mounted is known by its path without links and dots.
    let path = PathBuf::from(word);
    Ok(AdoptSource::Place(match word.as_bytes().starts_with(b"/dev/") {
        true => path,
        false => std::fs::canonicalize(&path).unwrap_or(path),
    }))
}

/// Asks before the running system is adopted.
fn confirm(session: &Session<'_>) -> Result<()> {
    let settings = session.settings();
    if settings.yes || settings.dry_run {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(invalid(
            "the running system is adopted only where you say so: give --yes, or answer on a \
             terminal",
        ));
    }
    let question = "The volume of / is suspended for a moment; a layer of it boots next, without \
                    what is changed here from now on. Adopt the running system? [y/N] ";
    session.console().ask(question);
    match answer(session)?.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(invalid("you did not say yes")),
    }
}

/// A line from the terminal; signals are looked for while it is waited for.
fn answer(session: &Session<'_>) -> Result<String> {
    let (asking, is_read) = (thread::current(), Arc::new(AtomicBool::new(false)));
    let read = Arc::clone(&is_read);
    let answers = thread::spawn(move || {
        let mut line = String::new();
        let answer = std::io::stdin().read_line(&mut line).map(|_| line);
        read.store(true, Ordering::Release);
        asking.unpark();
        answer
    });
    while !is_read.load(Ordering::Acquire) {
        thread::park_timeout(Duration::from_millis(100));
        session.check_interrupted()?;
    }
    let line = answers.join().unwrap_or_else(|_| Ok(String::new()));
    line.context("read the answer", "standard input")
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
    let devices = devices(&sorted.places)?;
    Ok(Init {
        devices,
        vg: vg.map_or_else(|| DEFAULT_VG.parse(), Ok)?,
        size: args.size,
        config_size: args.config_size.unwrap_or(Bytes::mib(64)),
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
    }

    fn adopted(line: &str) -> Result<(Option<String>, AdoptSource)> {
        let words = ["imgbase", "layout"].into_iter().chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).expect("clap takes it");
        let Some(Command::Layout(args)) = cli.command else { panic!("{line}") };
        assert!(adopts(&args), "{line}");
        let Adopt { nvr, source } = adoption(&args)?;
        Ok((nvr.map(|nvr| nvr.to_string()), source))
    }

    #[test]
    fn without_a_device_a_system_is_adopted() {
        let place = |path: &str| AdoptSource::Place(path.into());
        let volume =
            AdoptSource::Volume("vg".parse().expect("a name"), "root".parse().expect("one"));
        let named = Some("a-1-0".to_owned());
        for (line, wanted) in [
            ("--init", (None, place("/"))),
            ("--init a-1-0", (named.clone(), place("/"))),
            ("--init-nvr a-1-0 --from /", (named.clone(), place("/"))),
            ("--init a-1-0 --from vg/root", (named, volume)),
            ("--init --from /dev/vg/root", (None, place("/dev/vg/root"))),
            ("--init --from /proc/../proc/", (None, place("/proc"))),
            ("--init --from ./nothing/there", (None, place("./nothing/there"))),
        ] {
            assert_eq!(adopted(line).expect(line), wanted, "{line}");
        }
        for line in [
            "--init --from vg",
            "--init --from -",
            "--init --from http://h/x",
            "--init --from a/b/c",
            "--init --size 1G",
            "--init --config-size 0",
            "--init --force a-1-0",
            "--init --signature ./x.minisig",
            "--init --image-ref 12",
            "--init a-1-0 b-1-0",
        ] {
            assert_eq!(adopted(line).expect_err(line).kind(), ErrorKind::Invalid, "{line}");
        }
    }
}
