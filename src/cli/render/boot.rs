//! What boots, as text.

use std::io::{Result, Write};

use imgbase::report::{BootChoice, BootReport, BootSetUp, EntryReport};

use super::printable;
use super::text::Look;

/// One entry a line: `*` boots next, `1` boots once, `>` runs.
pub(super) fn list(out: &mut dyn Write, report: &BootReport, look: Look) -> Result<()> {
    for entry in &report.entries {
        writeln!(out, "{} {}{}", marks(entry), name(entry), remarks(entry))?;
        if look.verbose {
            writeln!(out, "     {}: {}", printable(&entry.file), printable(&entry.args))?;
        }
    }
    Ok(())
}

fn marks(entry: &EntryReport) -> String {
    let mark = |is: bool, mark: char| if is { mark } else { ' ' };
    [mark(entry.default, '*'), mark(entry.once, '1'), mark(entry.current, '>')].iter().collect()
}

fn name(entry: &EntryReport) -> String {
    match (&entry.nvr, &entry.kernel) {
        (Some(layer), Some(kernel)) => format!("{layer} ({})", printable(kernel)),
        _ => format!("{} (not ours)", printable(&entry.title)),
    }
}

fn remarks(entry: &EntryReport) -> String {
    let mut remarks = Vec::new();
    if !entry.bootable {
        remarks.push("cannot be started".to_owned());
    }
    if entry.nvr.is_some() && !entry.blessed {
        remarks.push("not blessed yet".to_owned());
    }
    match entry.tries_left {
        Some(0) => remarks.push("all tries used up".to_owned()),
        Some(left) => remarks.push(format!("{left} tries left")),
        None => {}
    }
    if remarks.is_empty() { String::new() } else { format!("  {}", remarks.join(", ")) }
}

/// What people should know of the list.
pub(super) fn list_note(report: &BootReport) -> Option<String> {
    let mut notes: Vec<String> = report.problems.iter().map(|it| printable(it)).collect();
    notes.extend(report.verdict.clone());
    if report.entries.is_empty() {
        notes.push(format!("{} has no entry in {}", report.loader, printable(&report.folder)));
    }
    (!notes.is_empty()).then(|| notes.join("\n"))
}

/// What boots from now on.
pub(super) fn choice_note(choice: &BootChoice) -> Option<String> {
    if !choice.changed {
        return Some(format!("{} was the default already", choice.nvr));
    }
    let tries = choice.tries?;
    let fallback = choice.fallback.as_ref()?;
    Some(format!("it is tried {tries} times, then {fallback} boots again, unless it is blessed"))
}

/// What was set up.
pub(super) fn set_up_note(report: &BootSetUp) -> Option<String> {
    if report.changed.is_empty() && report.cleaned.is_empty() {
        return Some("all entries were right".to_owned());
    }
    let gone = report.cleaned.iter().map(|gone| format!("removed {}", printable(gone)));
    let gone: Vec<String> = gone.collect();
    (!gone.is_empty()).then(|| gone.join("\n"))
}
