//! The layout as a tree.

use std::io::{Result, Write};

use imgbase::report::{BaseReport, LayerReport, LayoutReport, PoolReport, VolumeReport};
use imgbase::units::Bytes;

use super::printable;
use super::text::Look;

/// What stands before a layer.
const BRANCH: &str = " +- ";

/// Prints each base with its layers under it, then what fits nowhere.
pub(super) fn print(out: &mut dyn Write, report: &LayoutReport, look: Look) -> Result<()> {
    if look.verbose {
        head(out, report)?;
    }
    let width = width(report);
    for base in &report.bases {
        writeln!(out, "{}", base_line(base, width, look).trim_end())?;
        for layer in &base.layers {
            writeln!(out, "{}", layer_line(layer, width, look).trim_end())?;
        }
    }
    volumes(out, &report.volumes)?;
    for orphan in &report.orphans {
        writeln!(out, "{}  orphan: {}", orphan.name, printable(&orphan.why))?;
    }
    for pending in &report.pending {
        writeln!(out, "{pending}  unfinished")?;
    }
    Ok(())
}

/// Prints volumes that layers share.
pub(super) fn volumes(out: &mut dyn Write, volumes: &[VolumeReport]) -> Result<()> {
    let width = volumes.iter().map(|volume| volume.path.as_str().len()).max().unwrap_or(0);
    for volume in volumes {
        let VolumeReport { path, name, size_bytes, active, mounted, .. } = volume;
        let state = match mounted {
            Some(dir) => format!(", mounted at {}", printable(dir)),
            None if *active => ", active".to_owned(),
            None => String::new(),
        };
        let size = Bytes::new(*size_bytes).to_string();
        writeln!(out, "{:width$}  {size:>10}  volume {name}{state}", path.as_str())?;
    }
    Ok(())
}

/// Columns that the longest name takes, branch included.
fn width(report: &LayoutReport) -> usize {
    let layer = |layer: &LayerReport| BRANCH.len() + layer.nvr.to_string().len();
    let base = |base: &BaseReport| {
        base.layers.iter().map(layer).chain([base.nvr.as_str().len()]).max().unwrap_or(0)
    };
    report.bases.iter().map(base).max().unwrap_or(0)
}

fn base_line(base: &BaseReport, width: usize, look: Look) -> String {
    let mut marks = vec![if base.read_only { "read-only" } else { "writable" }.to_owned()];
    if base.active {
        marks.push("active".to_owned());
    }
    if look.verbose {
        marks.push(format!("device {}", base.device_id));
        marks.extend(base.digest.map(|digest| digest.to_string()));
    }
    let size = Bytes::new(base.size_bytes).to_string();
    format!("{:width$}  {size:>10}  {}", base.nvr.as_str(), marks.join(", "))
}

fn layer_line(layer: &LayerReport, width: usize, look: Look) -> String {
    let mut marks = Vec::new();
    let mut mark = |is, word: &str| {
        if is {
            marks.push(word.to_owned());
        }
    };
    mark(layer.active, "active");
    mark(layer.current, "current");
    mark(layer.default, "default");
    mark(look.verbose && layer.bootable, "bootable");
    mark(look.verbose, &format!("device {}", layer.device_id));
    let size = Bytes::new(layer.size_bytes).to_string();
    let line = format!("{BRANCH}{}", layer.nvr);
    let line = format!("{line:width$}  {size:>10}  {}", marks.join(", "));
    if look.colour && layer.current { format!("\x1b[1m{line}\x1b[0m") } else { line }
}

fn head(out: &mut dyn Write, report: &LayoutReport) -> Result<()> {
    let PoolReport { name, chunk_bytes, transaction_id, .. } = &report.pool;
    let pool = &report.pool;
    writeln!(out, "group {}, seqno {}", report.vg, report.vg_seqno)?;
    writeln!(
        out,
        "pool {name}, {}, chunks of {}, transaction {transaction_id}",
        if pool.active { "active" } else { "not active" },
        Bytes::new(*chunk_bytes),
    )?;
    writeln!(out, "data {}", used(pool.data_used_bytes, pool.data_bytes))?;
    writeln!(out, "metadata {}", used(pool.metadata_used_bytes, pool.metadata_bytes))
}

fn used(used: Option<u64>, of: u64) -> String {
    match used {
        Some(used) => format!("{}, {} used", Bytes::new(of), Bytes::new(used)),
        None => Bytes::new(of).to_string(),
    }
}
