//! Answers as lines of text.

use std::fmt::Display;
use std::io::{Result, Write};

use imgbase::etc::Carried;
use imgbase::layout::LayerName;
use imgbase::report::{
    Adopted, Collected, FreeSpaceReport, Health, HealthReport, InitReport, Outcome, RecoveryReport,
    Updated,
};
use imgbase::units::Bytes;

use super::{boot, printable, tree};
use crate::cli::answer::{Answer, Commit, Plan};
use crate::cli::args::Unit;

/// How text is to look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    /// With colours.
    pub(super) colour: bool,
    /// With more of it.
    pub(super) verbose: bool,
}

/// Prints an answer.
pub(super) fn print(out: &mut dyn Write, answer: &Answer, look: Look) -> Result<()> {
    match answer {
        Answer::Layout(report) => tree::print(out, report, look),
        Answer::Bases(bases) => lines(out, bases),
        Answer::Layers(layers) => lines(out, layers),
        Answer::FreeSpace(report, unit) => free_space(out, report, *unit, look),
        Answer::Init(report) => init(out, report),
        Answer::Adopted(report) => adopted(out, report),
        Answer::Grown(report) => writeln!(out, "{}", report.pool),
        Answer::BaseAdded(report) => writeln!(out, "{}", report.nvr),
        Answer::LayerAdded(report) | Answer::LayerReset(report) => {
            writeln!(out, "{}", report.nvr)
        }
        Answer::LayersAdded(reports) => {
            reports.iter().try_for_each(|report| writeln!(out, "{}", report.nvr))
        }
        Answer::Updated(report) => writeln!(out, "{}", report.layer),
        Answer::Name(nvr) => writeln!(out, "{nvr}"),
        Answer::Here(nvr) => writeln!(out, "You are on {nvr}"),
        Answer::VolumePath(_, path) => writeln!(out, "{}", printable(path)),
        Answer::Removed(report) => lines(out, &report.removed),
        Answer::Collected(report) => lines(out, &report.removed),
        Answer::Activated(report) | Answer::Deactivated(report) => lines(out, &report.changed),
        Answer::Initrd(report) => lines(out, report.output.as_slice()),
        Answer::Volumes(volumes) => tree::volumes(out, volumes),
        Answer::VolumeAdded(report) => writeln!(out, "{}", report.name),
        Answer::VolumeMount(_) => Ok(()),
        Answer::VolumeRemoved(report) => writeln!(out, "{}", report.name),
        // Standard output may have the export itself.
        Answer::Exported(report) => lines(out, report.output.as_slice()),
        Answer::Pin(_) | Answer::Mounted(_) | Answer::Unmounted(_) | Answer::Watched => Ok(()),
        Answer::Boot(report) => boot::list(out, report, look),
        Answer::BootChoice(report) => writeln!(out, "{}", report.nvr),
        Answer::Once(layer) => lines(out, layer.as_slice()),
        Answer::BootSetUp(report) => lines(out, &report.changed),
        Answer::Blessed(report) => writeln!(out, "{}", report.nvr),
        Answer::Args(report) => writeln!(out, "{}", printable(&report.args)),
        Answer::OnTrial => Ok(()),
        Answer::Health(report) => health(out, report, look),
        Answer::Recovered(report) => recovered(out, report),
        Answer::Document(document) => out.write_all(document.text.as_bytes()),
        Answer::Plan(plan) => planned(out, plan),
    }
}

fn updated(report: &Updated) -> String {
    let (from, default) = (&report.from, Carried::default());
    let carried = report.carried.as_ref().unwrap_or(&default);
    let mut text = format!("{} changes of {from} carried over", carried.taken + carried.removed);
    if !carried.merged.is_empty() {
        let merged: Vec<String> = carried.merged.iter().map(ToString::to_string).collect();
        text.push_str(&format!(", merged: {}", merged.join(", ")));
    }
    if carried.labelled > 0 {
        text.push_str("; what came along has the labels of the image's policy");
    }
    if carried.relabels {
        text.push_str("; its files are labelled anew at the first start");
    }
    if let Some(other) = &report.shares_with {
        let written = Bytes::new(report.written_bytes);
        text.push_str(&format!("; {written} written, the rest is shared with {other}"));
    }
    if report.default {
        text.push_str("; it boots next");
    }
    if let (Some(tries), Some(fallback)) = (report.tries, &report.fallback) {
        text.push_str(&format!(", {tries} times at most until it is found good, then {fallback}"));
    }
    text
}

fn collected(report: &Collected) -> Option<String> {
    if report.kept.is_empty() {
        return report.removed.is_empty().then(|| "there is nothing to remove".to_owned());
    }
    let kept: Vec<String> =
        report.kept.iter().map(|kept| format!("{} stays: {}", kept.nvr, kept.why)).collect();
    Some(kept.join("\n"))
}

/// What an answer has to say to people, apart from its data.
pub(crate) fn note(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Layout(report) if report.bases.is_empty() => {
            Some(format!("{} holds no base yet: see 'imgbase base --help'", report.vg))
        }
        Answer::Init(report) => Some(made(report)),
        Answer::Adopted(report) => Some(adopted_note(report)),
        Answer::Grown(report) => {
            let (data, metadata) =
                (Bytes::new(report.data_bytes), Bytes::new(report.metadata_bytes));
            Some(format!("{} has {data} of data now, {metadata} of metadata", report.pool))
        }
        Answer::Initrd(report) => {
            let modules = report.modules.len().saturating_add(report.spare_modules.len());
            let size = Bytes::new(report.size_bytes);
            Some(format!("{size} for {}, with {modules} modules", report.kernel))
        }
        Answer::VolumeAdded(report) if report.attached => Some(format!(
            "{} mounts it at {}, with {} files and folders that it had there",
            report.layer, report.path, report.copied
        )),
        Answer::VolumeMount(report) => {
            let what = if report.attached { "the volume" } else { "no volume" };
            let already = if report.changed { "" } else { ", as before" };
            Some(format!("{} mounts {what} at {}{already}", report.layer, report.path))
        }
        Answer::Exported(report) => {
            let (size, written) = (Bytes::new(report.size_bytes), Bytes::new(report.written_bytes));
            Some(format!("{} of {size}, {written} written", report.nvr))
        }
        Answer::Recovered(report) if report.found.is_empty() => {
            Some("nothing is left to recover".to_owned())
        }
        Answer::BaseAdded(report) => {
            let other = report.shares_with.as_ref()?;
            let written = Bytes::new(report.written_bytes);
            Some(format!("{written} written, the rest is shared with {other}"))
        }
        Answer::Collected(report) => collected(report),
        Answer::Boot(report) => boot::list_note(report),
        Answer::Updated(report) => Some(updated(report)),
        Answer::LayerReset(report) if report.bootable => {
            Some(format!("'imgbase rollback --to {}' lets it boot", report.nvr))
        }
        Answer::BootChoice(choice) => boot::choice_note(choice),
        Answer::BootSetUp(report) => boot::set_up_note(report),
        Answer::Blessed(report) if !report.changed => {
            Some(format!("{} was found good already", report.nvr))
        }
        Answer::Pin(pin) if !pin.changed => {
            let state = if pin.pinned { "pinned" } else { "not pinned" };
            Some(format!("{} was {state} already", pin.nvr))
        }
        Answer::Mounted(report) if !report.changed => {
            Some(format!("it was mounted at {} already", report.dir))
        }
        Answer::Unmounted(report) if !report.changed => {
            Some(format!("nothing was mounted at {}", report.dir))
        }
        Answer::Activated(report) if report.changed.is_empty() => {
            Some("all was active already".to_owned())
        }
        Answer::Deactivated(report) if report.changed.is_empty() => {
            Some("nothing was active".to_owned())
        }
        _ => None,
    }
}

fn lines<T: Display>(out: &mut dyn Write, items: &[T]) -> Result<()> {
    items.iter().try_for_each(|item| writeln!(out, "{item}"))
}

fn free_space(out: &mut dyn Write, report: &FreeSpaceReport, unit: Unit, look: Look) -> Result<()> {
    let data = in_unit(report.data_free_bytes, unit);
    if !look.verbose {
        return writeln!(out, "{data}");
    }
    writeln!(out, "data {data}")?;
    writeln!(out, "metadata {}", in_unit(report.metadata_free_bytes, unit))
}

/// `1536.25m`, rounded down; bytes without a point.
pub(super) fn in_unit(bytes: u64, unit: Unit) -> String {
    if unit == Unit::B {
        return format!("{bytes}b");
    }
    let hundredths = u128::from(bytes) * 100 / u128::from(unit.bytes());
    format!("{}.{:02}{}", hundredths / 100, hundredths % 100, unit.letter())
}

/// The names of what was made.
fn init(out: &mut dyn Write, report: &InitReport) -> Result<()> {
    writeln!(out, "{}", report.vg)?;
    if let Some(base) = &report.base {
        writeln!(out, "{base}")?;
    }
    if let Some(layer) = &report.layer {
        writeln!(out, "{layer}")?;
    }
    Ok(())
}

fn adopted(out: &mut dyn Write, report: &Adopted) -> Result<()> {
    writeln!(out, "{}", report.base)?;
    lines(out, report.layer.as_slice())
}

fn adopted_note(report: &Adopted) -> String {
    let Adopted { vg, source, base, .. } = report;
    if !report.changed {
        return format!("{vg}/{source} was set up already, as {base}");
    }
    let next = match report.bootable {
        true => "; see 'imgbase boot --list' for what boots next",
        false => "",
    };
    format!("adopted {vg}/{source}: what is changed in it from now on is not in the layer{next}")
}

fn made(report: &InitReport) -> String {
    let (data, metadata) = (Bytes::new(report.data_bytes), Bytes::new(report.metadata_bytes));
    let devices = report.devices.join(", ");
    let config = match report.config_bytes {
        Some(bytes) => format!(", Config of {}", Bytes::new(bytes)),
        None => String::new(),
    };
    let InitReport { vg, pool, .. } = report;
    format!("made {vg} on {devices}: {pool} of {data}, metadata of {metadata}{config}")
}

fn health(out: &mut dyn Write, report: &HealthReport, look: Look) -> Result<()> {
    for check in &report.checks {
        let (word, code) = match check.health {
            Health::Ok => ("ok     ", "32"),
            Health::Warning => ("warning", "33"),
            Health::Failed => ("failed ", "31"),
        };
        let word = if look.colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
        let (name, detail) = (printable(&check.name), printable(&check.detail));
        match detail.is_empty() {
            true => writeln!(out, "{word} {name}")?,
            false => writeln!(out, "{word} {name}: {detail}")?,
        }
    }
    Ok(())
}

fn recovered(out: &mut dyn Write, report: &RecoveryReport) -> Result<()> {
    for left in &report.found {
        let word = match left.outcome {
            Outcome::Pending => "pending   ",
            Outcome::Done => "done      ",
            Outcome::LeftAlone => "left alone",
            Outcome::ForYou => "for you   ",
        };
        writeln!(out, "{word} {}: {}", printable(&left.object), printable(&left.detail))?;
    }
    Ok(())
}

fn planned(out: &mut dyn Write, plan: &Plan) -> Result<()> {
    for (index, step) in plan.steps.iter().enumerate() {
        commits_after(out, &plan.commits, |after| after == index)?;
        writeln!(out, "would {}", printable(step))?;
    }
    commits_after(out, &plan.commits, |after| after >= plan.steps.len())?;
    if let Answer::Updated(Updated { from, carried: Some(carried), .. }) = plan.result.as_ref() {
        carries(out, from, carried)?;
    }
    let needed = plan.needed_bytes;
    match needed >= 1024 {
        true => writeln!(out, "needs {needed} bytes ({})", Bytes::new(needed)),
        false => writeln!(out, "needs {needed} bytes"),
    }
}

/// What an update would make of the state of a layer.
fn carries(out: &mut dyn Write, from: &LayerName, carried: &Carried) -> Result<()> {
    let count = carried.taken + carried.removed;
    writeln!(out, "would take over {count} changes of {from}")?;
    for path in &carried.merged {
        writeln!(out, "would merge {path}")?;
    }
    for conflict in &carried.conflicts {
        writeln!(out, "in conflict: {conflict}")?;
    }
    for skipped in &carried.skipped {
        writeln!(out, "left behind: {skipped}")?;
    }
    Ok(())
}

fn commits_after(
    out: &mut dyn Write,
    commits: &[Commit],
    here: impl Fn(usize) -> bool,
) -> Result<()> {
    let commits = commits.iter().filter(|commit| here(commit.after_steps));
    for commit in commits {
        writeln!(out, "commit point: {}", printable(&commit.what))?;
    }
    Ok(())
}
