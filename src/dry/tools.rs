//! Programs in a dry run: looked for, not run.

use std::ffi::OsStr;
use std::path::Path;

use super::Notes;
use crate::dm::Kernel;
use crate::dm::sim::SimKernel;
use crate::error::Result;
use crate::etc::Labelling;
use crate::machine::{HookRun, Tool, ToolOutput, Tools};
use crate::name::DmName;
use crate::units::Bytes;

/// Where an XFS keeps its UUID (xfs_format.h, `sb_uuid`).
const XFS_UUID: Bytes = Bytes::new(32);

pub(super) struct DryTools<'m> {
    real: &'m dyn Tools,
    sim: SimKernel,
    notes: Notes,
}

impl<'m> DryTools<'m> {
    pub(super) fn new(real: &'m dyn Tools, sim: SimKernel, notes: Notes) -> Self {
        Self { real, sim, notes }
    }

    /// What xfs_admin would leave, where its caller reads it back: `-U UUID NODE`.
    fn set_xfs_uuid(&self, words: &[&str]) -> Option<()> {
        let ["-U", uuid, node] = words else { return None };
        let name: DmName = node.strip_prefix("/dev/mapper/")?.parse().ok()?;
        let uuid = u128::from_str_radix(&uuid.replace('-', ""), 16).ok()?;
        self.sim.open(&name).ok()?.write_at(&uuid.to_be_bytes(), XFS_UUID).ok()
    }
}

impl Tools for DryTools<'_> {
    fn require(&self, tool: Tool) -> Result<()> {
        self.real.require(tool)
    }

    fn run(&self, tool: Tool, args: &[&OsStr]) -> Result<ToolOutput> {
        let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        self.notes.add(format!("run {} {}", tool.name(), words.join(" ")));
        if tool == Tool::XfsAdmin {
            self.set_xfs_uuid(&words);
        }
        Ok(ToolOutput { code: Some(0), ..ToolOutput::default() })
    }

    fn run_hooks(&self, run: &HookRun<'_>, _cancelled: &dyn Fn() -> bool) -> Result<()> {
        for hook in run.hooks {
            let (folder, limit) = (hook.place.folder(), run.limit.as_secs());
            let line = format!("run the hook {folder}/{} {}", hook.name, run.event);
            self.notes.add(format!("{line}, {limit} seconds at most"));
        }
        Ok(())
    }

    fn label(
        &self,
        labelling: &Labelling,
        _tree: (&Path, &str),
        _cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<String>> {
        let (program, count) = (labelling.program, labelling.paths.len());
        self.notes.add(format!("run {program} for {count} entries"));
        Ok(None)
    }
}
