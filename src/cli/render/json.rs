//! Answers, events and errors as JSON. Keys are only ever added; sizes are
//! integers whose key ends in `_bytes`.

use std::io::Write;

use imgbase::layout::{BaseName, ImageName, LayerName};
use imgbase::ops::Progress;
use imgbase::report::{LayerAdded, VolumeReport};
use imgbase::{Error, ErrorKind};
use log::Level;
use serde::{Serialize, Serializer};

use crate::cli::answer::{Answer, Commit, Plan};
use crate::cli::progress::Pace;

/// The schema's name and version.
const SCHEMA: &str = "imgbase/1";

#[derive(Serialize)]
struct Envelope<'a, T: Serialize> {
    schema: &'static str,
    command: &'a str,
    #[serde(flatten)]
    body: T,
}

/// Prints an answer.
pub(super) fn print(out: &mut dyn Write, command: &str, answer: &Answer) -> std::io::Result<()> {
    let object = Envelope { schema: SCHEMA, command, body: Body(answer) };
    writeln!(out, "{}", compact(&object))
}

/// One line of JSON.
pub(super) fn compact(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("string keys and plain values always serialise")
}

/// The beginning of an object whose list is printed piece by piece.
pub(super) fn open_list(command: &str, key: &str) -> String {
    format!("{{\"schema\":\"{SCHEMA}\",\"command\":\"{command}\",\"{key}\":[")
}

/// The fields of an answer.
struct Body<'a>(&'a Answer);

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Answer::Layout(report) => report.serialize(to),
            Answer::Bases(bases) => Bases { bases }.serialize(to),
            Answer::Layers(layers) => Layers { layers }.serialize(to),
            Answer::FreeSpace(report, _) => report.serialize(to),
            Answer::Init(report) => report.serialize(to),
            Answer::Adopted(report) => report.serialize(to),
            Answer::BaseAdded(report) => report.serialize(to),
            Answer::LayerAdded(report) | Answer::LayerReset(report) => report.serialize(to),
            Answer::LayersAdded(added) => LayersAdded { added }.serialize(to),
            Answer::Updated(report) => report.serialize(to),
            Answer::Name(nvr) => Name { nvr, path: None }.serialize(to),
            Answer::Here(nvr) => Here { nvr }.serialize(to),
            Answer::VolumePath(nvr, path) => Name { nvr, path: Some(path) }.serialize(to),
            Answer::Pin(report) => report.serialize(to),
            Answer::Removed(report) => report.serialize(to),
            Answer::Activated(report) | Answer::Deactivated(report) => report.serialize(to),
            Answer::Mounted(report) | Answer::Unmounted(report) => report.serialize(to),
            Answer::Boot(report) => report.serialize(to),
            Answer::BootChoice(report) => report.serialize(to),
            Answer::Once(nvr) => Once { nvr: nvr.as_ref() }.serialize(to),
            Answer::BootSetUp(report) => report.serialize(to),
            Answer::Blessed(report) => report.serialize(to),
            Answer::OnTrial => OnTrial { on_trial: true }.serialize(to),
            Answer::Args(report) => report.serialize(to),
            Answer::Health(report) => report.serialize(to),
            Answer::Grown(report) => report.serialize(to),
            Answer::Volumes(volumes) => Volumes { volumes }.serialize(to),
            Answer::VolumeAdded(report) => report.serialize(to),
            Answer::VolumeMount(report) => report.serialize(to),
            Answer::VolumeRemoved(report) => report.serialize(to),
            Answer::Exported(report) => report.serialize(to),
            Answer::Initrd(report) => report.serialize(to),
            Answer::Watched => Nothing {}.serialize(to),
            Answer::Collected(report) => report.serialize(to),
            Answer::Recovered(report) => report.serialize(to),
            Answer::Document(document) => document.serialize(to),
            Answer::Plan(plan) => Planned::of(plan).serialize(to),
        }
    }
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Once<'a> {
    nvr: Option<&'a LayerName>,
}

#[derive(Serialize)]
struct OnTrial {
    on_trial: bool,
}

#[derive(Serialize)]
struct Bases<'a> {
    bases: &'a [BaseName],
}

#[derive(Serialize)]
struct Layers<'a> {
    layers: &'a [LayerName],
}

#[derive(Serialize)]
struct LayersAdded<'a> {
    added: &'a [LayerAdded],
}

#[derive(Serialize)]
struct Volumes<'a> {
    volumes: &'a [VolumeReport],
}

#[derive(Serialize)]
struct Name<'a> {
    nvr: &'a ImageName,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

#[derive(Serialize)]
struct Here<'a> {
    nvr: &'a LayerName,
}

#[derive(Serialize)]
struct Planned<'a> {
    dry_run: bool,
    steps: &'a [String],
    commit_points: &'a [Commit],
    needed_bytes: u64,
    result: Body<'a>,
}

impl<'a> Planned<'a> {
    fn of(plan: &'a Plan) -> Self {
        Self {
            dry_run: true,
            steps: &plan.steps,
            commit_points: &plan.commits,
            needed_bytes: plan.needed_bytes,
            result: Body(&plan.result),
        }
    }
}

/// Something that happens on the way, as a line on standard error.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Event<'a> {
    /// A step begins.
    Step { step: &'a str },
    /// The commit point has been passed.
    Committed { what: &'a str },
    /// A step goes on.
    Progress {
        step: &'a str,
        done_bytes: u64,
        total_bytes: Option<u64>,
        written_bytes: u64,
        bytes_per_second: Option<u64>,
        seconds_left: Option<u64>,
    },
    /// Something that the user should know.
    Warning { message: &'a str },
    /// A line of the log.
    Log { level: &'static str, target: &'a str, message: &'a str },
}

impl<'a> Event<'a> {
    pub(super) fn progress(step: &'a str, progress: Progress, pace: Pace) -> Self {
        Self::Progress {
            step,
            done_bytes: progress.done.get(),
            total_bytes: progress.total.map(|total| total.get()),
            written_bytes: progress.written.get(),
            bytes_per_second: pace.bytes_per_second,
            seconds_left: pace.seconds_left,
        }
    }

    pub(super) fn log(level: Level, target: &'a str, message: &'a str) -> Self {
        let level = match level {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        Self::Log { level, target, message }
    }

    pub(super) fn line(&self) -> String {
        #[derive(Serialize)]
        struct Line<'e, 'a> {
            schema: &'static str,
            #[serde(flatten)]
            event: &'e Event<'a>,
        }
        compact(&Line { schema: SCHEMA, event: self })
    }
}

#[derive(Serialize)]
struct Failure<'a> {
    kind: &'static str,
    message: String,
    operation: Option<&'a str>,
    object: Option<&'a str>,
    unchanged: Option<&'a str>,
    need_bytes: Option<u64>,
    have_bytes: Option<u64>,
    exit_code: u8,
}

/// The failure of a command; `None` where the command line names none.
pub(super) fn error(command: Option<&str>, error: &Error) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        schema: &'static str,
        command: Option<&'a str>,
        error: Failure<'a>,
    }
    compact(&Line { schema: SCHEMA, command, error: failure(error) })
}

fn failure(error: &Error) -> Failure<'_> {
    let space = match error.kind() {
        ErrorKind::NoSpace { need, have } => Some((need.get(), have.get())),
        _ => None,
    };
    Failure {
        kind: error.kind().word(),
        message: error.to_string(),
        operation: error.operation(),
        object: error.object(),
        unchanged: error.unchanged(),
        need_bytes: space.map(|(need, _)| need),
        have_bytes: space.map(|(_, have)| have),
        exit_code: error.kind().exit_code(),
    }
}
