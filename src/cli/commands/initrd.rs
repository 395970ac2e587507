//! `imgbase initrd`: the initramfs that starts a layer.

use std::path::Path;

use imgbase::host::initrd::Initrd;
use imgbase::report::InitrdReport;
use imgbase::{ErrorKind, Result};

use crate::cli::answer::{Answer, Commit, InitrdWritten, Plan};
use crate::cli::args::InitrdArgs;
use crate::cli::session::Session;

/// Runs it.
pub(super) fn run(args: &InitrdArgs, session: &Session<'_>) -> Result<Answer> {
    let mut initrd = Initrd::of(args.root.clone())?;
    initrd.kernel = args.kernel.clone();
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
    session.check_interrupted()?;
    let output = args.output.display().to_string();
    if !session.settings().dry_run {
        let report = initrd.write_file(&args.output)?;
        return Ok(Answer::Initrd(InitrdWritten { output, report }));
    }
    let report = initrd.write(&mut std::io::sink())?;
    Ok(Answer::Plan(plan(&args.output, output, report)))
}

/// What a dry run shows.
fn plan(path: &Path, output: String, report: InitrdReport) -> Plan {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).display().to_string();
    let modules = report.modules.iter().map(|name| format!("put in the module {name}"));
    let spare =
        report.spare_modules.iter().map(|name| format!("put in the module {name}, in case"));
    let mut steps = vec!["put in this program as /init".to_owned()];
    steps.extend(modules.chain(spare));
    steps.push(format!("write and sync {} bytes beside {output}", report.size_bytes));
    let after_steps = steps.len();
    steps.push(format!("rename them to {output}, and sync {folder}"));
    let what = format!("{output} is the initramfs of {}", report.kernel);
    let commits = vec![Commit { what, after_steps }];
    let needed_bytes = report.size_bytes;
    let result = Box::new(Answer::Initrd(InitrdWritten { output, report }));
    Plan { steps, commits, needed_bytes, result }
}
