//! `imgbase initrd`: the initramfs that starts a layer.

use std::path::Path;

use imgbase::host::initrd::Initrd;
use imgbase::report::InitrdReport;
use imgbase::{ErrorKind, Result};

use super::invalid;
use crate::cli::answer::{Answer, Commit, Plan};
use crate::cli::args::InitrdArgs;
use crate::cli::session::Session;

/// Runs it.
pub(super) fn run(args: &InitrdArgs, session: &Session<'_>) -> Result<Answer> {
    let initrd = wanted(args, session)?;
    session.check_interrupted()?;
    let (path, is_folder) = match (&args.output, &args.folder) {
        (Some(file), _) => (file, false),
        (None, Some(folder)) => (folder, true),
        (None, None) => return Err(invalid("--output or --folder is missing")),
    };
    if session.settings().dry_run {
        let report = initrd.write(&mut std::io::sink())?;
        return Ok(Answer::Plan(plan(path, is_folder, report)));
    }
    let written = if is_folder { initrd.write_folder(path) } else { initrd.write_file(path) };
    Ok(Answer::Initrd(written?))
}

fn wanted(args: &InitrdArgs, session: &Session<'_>) -> Result<Initrd> {
    let mut initrd = Initrd::of(args.root.clone())?;
    initrd.kernel.clone_from(&args.kernel);
    initrd.modules.clone_from(&args.modules);
    if let Some(program) = &args.program {
        initrd.program.clone_from(program);
    }
    initrd.disks = session.read(|imgbase, watch| match imgbase.disks() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            watch.warn(&format!("{error}; the drivers of all usual disks are loaded"));
            Ok(Vec::new())
        }
        disks => disks,
    })?;
    Ok(initrd)
}

/// What a dry run shows.
fn plan(path: &Path, is_folder: bool, report: InitrdReport) -> Plan {
    let output = path.display();
    let mut steps = parts(&report);
    let after_steps = if is_folder {
        steps.insert(0, format!("put all of it into {output}, the program last"));
        steps.len()
    } else {
        steps.push(format!("write and sync {} bytes beside {output}", report.size_bytes));
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).display();
        steps.push(format!("rename them to {output}, and sync {folder}"));
        steps.len().saturating_sub(1)
    };
    let what = format!("{output} starts the layers of {}", report.kernel);
    let commits = vec![Commit { what, after_steps }];
    let needed_bytes = report.size_bytes;
    Plan { steps, commits, needed_bytes, result: Box::new(Answer::Initrd(report)) }
}

fn parts(report: &InitrdReport) -> Vec<String> {
    let modules = report.modules.iter().map(|name| format!("put in the module {name}"));
    let spare =
        report.spare_modules.iter().map(|name| format!("put in the module {name}, in case"));
    modules.chain(spare).chain(["put in this program".to_owned()]).collect()
}
