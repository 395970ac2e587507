//! `check`: what can be said of the health of it all.

use super::session::Session;
use super::{Imgbase, Watch};
use crate::boot::state::Verdict;
use crate::boot::{BootState, Leftover};
use crate::dm::status::{PoolMode, PoolState};
use crate::error::ErrorKind;
use crate::error::Result;
use crate::layout::{LayerName, Layout};
use crate::report::{CheckReport, Health, HealthReport};

/// From this share of the pool on, in percent, a check warns.
const NEARLY_FULL: u64 = 80;

impl Imgbase<'_> {
    /// Checks the metadata's copies, the pool, the volumes.
    ///
    /// # Errors
    /// Only where nothing could be looked at; what is wrong with what was is in the report.
    pub fn check(&self, _watch: &mut dyn Watch) -> Result<HealthReport> {
        let session = Session::read_everywhere(self)?;
        let layout = session.layout()?;
        let mut checks = vec![metadata(&session), writable(&session)];
        checks.extend(pool(&session, &layout)?);
        checks.push(pending(&layout));
        checks.push(orphans(&layout));
        checks.push(bases(&layout));
        checks.extend(boot(&session, &layout));
        if session.has_taken_over().unwrap_or(true) {
            // That locks the group to activate volumes.
            drop(session);
            checks.extend(self.carried());
        }
        let health = checks.iter().map(|check| check.health).max().unwrap_or(Health::Ok);
        Ok(HealthReport { health, checks })
    }

    /// Was anything changed where the running layer took over its state, since then?
    fn carried(&self) -> Option<CheckReport> {
        let report = |health, detail| Some(report("late edits", health, detail));
        match self.late_edits() {
            Ok(None) => None,
            Ok(Some(late)) if late.edits.is_empty() => {
                report(Health::Ok, format!("none in {}, whose state was taken over", late.from))
            }
            Ok(Some(late)) => {
                let (from, count) = (&late.from, late.edits.len());
                let what = format!("{count} in {from} after its state was taken over, not here");
                report(Health::Warning, format!("{what}: {late}"))
            }
            Err(error) => report(Health::Warning, format!("not known: {error}")),
        }
    }
}

fn report(name: &str, health: Health, detail: impl Into<String>) -> CheckReport {
    CheckReport { name: name.to_owned(), health, detail: detail.into() }
}

/// Are all copies of the metadata there, and the same?
fn metadata(session: &Session<'_>) -> CheckReport {
    let group = session.disks.group();
    if group.problems.is_empty() {
        let copies = group.writable_copies().count();
        let detail = format!("seqno {}, {copies} copies, all the same", session.vg().seqno);
        return report("metadata", Health::Ok, detail);
    }
    let problems: Vec<String> = group.problems.iter().map(ToString::to_string).collect();
    report("metadata", Health::Failed, problems.join("; "))
}

/// May we change the group?
fn writable(session: &Session<'_>) -> CheckReport {
    let lvm2 = session.machine().lvm2.check_writable();
    match lvm2.and_then(|()| session.check_writable()) {
        Ok(()) => report("group", Health::Ok, "it can be changed"),
        Err(error) => report("group", Health::Failed, error.to_string()),
    }
}

/// How full the pool is, and in what mode the kernel has it.
fn pool(session: &Session<'_>, layout: &Layout<'_>) -> Result<Vec<CheckReport>> {
    let name = layout.pool.name.as_str();
    let status = match session.pool_state() {
        Ok(Some(state)) => state,
        Ok(None) => return Ok(vec![report(name, Health::Ok, "not active")]),
        Err(error) if error.kind() == ErrorKind::Io => return Err(error),
        Err(error) => return Ok(vec![report(name, Health::Failed, error.to_string())]),
    };
    let text = layout.pool_segment.transaction_id;
    let steady = if status.transaction_id == text && layout.pool_segment.messages.is_empty() {
        report("transaction", Health::Ok, format!("pool and metadata are at {text}"))
    } else {
        let detail = format!("the pool is at {}, the metadata at {text}", status.transaction_id);
        report("transaction", Health::Failed, detail)
    };
    let mut checks = vec![steady, share("pool data", status.data_used, status.data_total)];
    checks.push(share("pool metadata", status.metadata_used, status.metadata_total));
    checks.push(mode(name, &status));
    checks.push(watched(session));
    Ok(checks)
}

/// Does anybody grow the pool when it fills up?
fn watched(session: &Session<'_>) -> CheckReport {
    let lvm2 = session.machine().lvm2;
    let setting = match lvm2.autoextend_threshold() {
        100 => "is set never to".to_owned(),
        percent => match lvm2.dmeventd() {
            Some(pid) => format!(
                "would from {percent} % on, where its dmeventd (process {pid}) was told to watch it \
                 ('lvs -o seg_monitor')"
            ),
            None => format!("would from {percent} % on, but its dmeventd does not run"),
        },
    };
    if let Some(who) = lvm2.watcher(&session.vg().name) {
        let detail = format!("{who} grows the pool when it fills up; lvm2 {setting}");
        return report("watch", Health::Ok, detail);
    }
    let detail = format!(
        "nobody that we know of grows the pool when it fills up; lvm2 {setting}; run 'imgbase watch'"
    );
    report("watch", Health::Warning, detail)
}

fn share(name: &str, used: u64, total: u64) -> CheckReport {
    let percent = used.saturating_mul(100).checked_div(total).unwrap_or(100);
    let health = match percent {
        100.. => Health::Failed,
        NEARLY_FULL.. => Health::Warning,
        _ => Health::Ok,
    };
    report(name, health, format!("{percent} % in use"))
}

/// The mode in which the kernel has the pool, and what it does with a write for which there is no room.
fn mode(name: &str, state: &PoolState) -> CheckReport {
    let policy = if state.error_if_no_space { "fails writes" } else { "holds writes back" };
    let mode = match state.mode {
        PoolMode::ReadWrite => "read-write",
        PoolMode::ReadOnly => "read-only",
        PoolMode::OutOfDataSpace => "out of space for data",
    };
    let detail = format!("{mode}; when full it {policy}");
    let failure = match state.mode {
        _ if state.needs_check => "its metadata needs a check (thin_check)",
        PoolMode::ReadWrite => return report(name, Health::Ok, detail),
        PoolMode::OutOfDataSpace => "grow it with 'imgbase layout --grow', or remove layers",
        PoolMode::ReadOnly if state.is_out_of_metadata() => {
            "its metadata is full: writes to new places fail; grow it with 'imgbase layout --grow', \
             or remove layers"
        }
        PoolMode::ReadOnly => "nothing new can be written to any volume",
    };
    report(name, Health::Failed, format!("{detail}; {failure}"))
}

fn pending(layout: &Layout<'_>) -> CheckReport {
    if layout.pending.is_empty() {
        return report("pending", Health::Ok, "nothing is unfinished");
    }
    let names: Vec<&str> = layout.pending.iter().map(|lv| lv.name.as_str()).collect();
    report("pending", Health::Warning, format!("unfinished: {}", names.join(", ")))
}

fn orphans(layout: &Layout<'_>) -> CheckReport {
    if layout.orphans.is_empty() {
        return report("names", Health::Ok, "each layer has its base");
    }
    let each = layout.orphans.iter().map(|orphan| format!("{}: {}", orphan.lv.name, orphan.why));
    report("names", Health::Warning, each.collect::<Vec<_>>().join("; "))
}

fn bases(layout: &Layout<'_>) -> CheckReport {
    let open = layout.bases.iter().filter(|base| base.base.lv.is_writable());
    let names: Vec<&str> = open.map(|base| base.base.lv.name.as_str()).collect();
    if names.is_empty() {
        return report("bases", Health::Ok, "all are read-only");
    }
    report("bases", Health::Warning, format!("writable: {}", names.join(", ")))
}

/// Can what boots be started, and each layer? How did the last trial go?
fn boot(session: &Session<'_>, layout: &Layout<'_>) -> Vec<CheckReport> {
    let found = session.boot_alone().and_then(|boot| {
        let Some((boot, _alone)) = boot else { return Ok(None) };
        Ok(Some((boot.state()?, boot.leftovers(&session.layer_names()?)?)))
    });
    let (state, left) = match found {
        Ok(None) => return Vec::new(),
        Ok(Some(found)) => found,
        Err(error) => return vec![report("boot", Health::Failed, error.to_string())],
    };
    let running = session.running().ok().flatten();
    let mut checks = vec![entries(&state, layout), loader(&state, &left)];
    if let Some((health, text)) = verdict(&state, running.as_ref()) {
        checks.push(report("trial", health, text));
    }
    checks
}

fn entries(state: &BootState, layout: &Layout<'_>) -> CheckReport {
    let layers = layout.layers().map(|layer| &layer.name);
    let without: Vec<String> =
        layers.filter(|layer| !state.is_bootable(layer)).map(ToString::to_string).collect();
    if without.is_empty() {
        return report("entries", Health::Ok, "each layer can be started");
    }
    let detail = format!("no entry that can be started: {}", without.join(", "));
    report("entries", Health::Warning, detail)
}

fn loader(state: &BootState, left: &[Leftover]) -> CheckReport {
    let mut health = Health::Ok;
    let mut told: Vec<String> = Vec::new();
    for problem in &state.problems {
        let sort = if problem.is_failure() { Health::Failed } else { Health::Warning };
        health = health.max(sort);
        told.push(problem.to_string());
    }
    for left in left {
        health = health.max(Health::Warning);
        told.push(left.to_string());
    }
    if state.default_layer().is_none() {
        health = health.max(Health::Warning);
        told.push("what boots next is no layer of ours".to_owned());
    }
    let kind = state.kind.word();
    match state.default_layer().filter(|_| told.is_empty()) {
        Some(layer) => report("boot", health, format!("{kind} starts {layer} next")),
        None => report("boot", health, format!("{kind}: {}", told.join("; "))),
    }
}

/// How the last trial went.
pub(super) fn verdict(state: &BootState, running: Option<&LayerName>) -> Option<(Health, String)> {
    match state.verdict(running) {
        Verdict::Nothing => None,
        Verdict::OnTrial { layer, left } => {
            let text = format!("{layer} is on trial, with {left} tries left, until it is blessed");
            Some((Health::Ok, text))
        }
        Verdict::Failed { layer, done } => {
            let text =
                format!("{layer} was tried {done} times and never blessed: another layer boots");
            Some((Health::Warning, text))
        }
        Verdict::NotCounted { layer } => {
            let text = format!(
                "{layer} is on trial, and the loader does not count: is its folder read-only to it?"
            );
            Some((Health::Warning, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::status::PoolStatus;

    #[test]
    fn a_pool_says_its_mode_and_what_it_does_when_full() {
        for (words, health, told) in [
            (
                "rw discard_passdown queue_if_no_space -",
                Health::Ok,
                "read-write; when full it holds",
            ),
            (
                "rw discard_passdown error_if_no_space -",
                Health::Ok,
                "read-write; when full it fails",
            ),
            (
                "out_of_data_space discard_passdown queue_if_no_space -",
                Health::Failed,
                "out of space for data; when full it holds writes back; grow it",
            ),
            (
                "ro discard_passdown error_if_no_space -",
                Health::Failed,
                "read-only; when full it fails writes; nothing new",
            ),
            (
                "ro discard_passdown error_if_no_space needs_check",
                Health::Failed,
                "read-only; when full it fails writes; its metadata needs a check (thin_check)",
            ),
        ] {
            let line = format!("4 20/1024 100/1000 - {words} 1024");
            let state = PoolStatus::parse(&line).and_then(PoolStatus::running).expect("a status");
            let report = mode("pool", &state);
            assert_eq!(report.health, health, "{line}");
            assert!(report.detail.starts_with(told), "{line}: {}", report.detail);
        }
    }
}
