//! What the figures should be.

use super::figures::Figures;

/// Where a value should lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Goal {
    fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::Below(bound) => value < bound,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound}"),
            Self::AtMost(bound) => write!(f, "<= {bound}"),
            Self::Below(bound) => write!(f, "< {bound}"),
        }
    }
}

/// A target and what came of it.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) name: &'static str,
    /// Of medians, where it is a ratio of times.
    pub(super) value: f64,
    /// The same of minima, which other work on the machine disturbs least.
    pub(super) of_minima: Option<f64>,
    pub(super) goal: Goal,
    pub(super) reached: bool,
}

const RATIOS: &[(&str, &str, &str, Goal)] = &[
    ("lvcreate / library layer --add", "layer.lvcreate", "layer.library", Goal::AtLeast(14.0)),
    ("library layer --add / bare loop", "layer.library", "layer.bare", Goal::AtMost(1.15)),
    ("lvs / library layout", "layout.lvs", "layout.library", Goal::AtLeast(60.0)),
    ("lvcreate / process layer --add", "layer.lvcreate", "layer.process", Goal::AtLeast(7.0)),
    ("lvs / process layout", "layout.lvs", "layout.process", Goal::AtLeast(7.0)),
    ("library base --add / bare loop", "base.library", "base.bare", Goal::AtMost(1.15)),
    ("the same, a larger image", "base.large.library", "base.large.bare", Goal::AtMost(1.15)),
    ("qemu-img / library base --add", "base.qemu-img", "base.library", Goal::AtLeast(1.2)),
    ("qemu-img / process base --add", "base.qemu-img", "base.process", Goal::AtLeast(1.2)),
    ("unsquashfs / base --add", "source.squashfs.rival", "source.squashfs", Goal::AtLeast(1.0)),
    ("tar -x / base --add", "source.tar.rival", "source.tar", Goal::AtLeast(1.0)),
    ("tar -I zstd -x / base --add", "source.tar.zst.rival", "source.tar.zst", Goal::AtLeast(1.0)),
    ("diff -rq / library diff", "diff.diff-rq", "diff.library", Goal::AtLeast(20.0)),
    ("100 layers in one call / singly", "many.batch", "many.singly", Goal::AtMost(0.4)),
    ("vgchange -ay / activate, 250", "many.vgchange-ay", "many.activate", Goal::AtLeast(6.0)),
    ("vgchange -an / deactivate, 250", "many.vgchange-an", "many.deactivate", Goal::AtLeast(6.0)),
    ("lvcreate / layer --add, 10 layers", "scale.lvcreate.10", "scale.add.10", Goal::AtLeast(14.0)),
    (
        "lvcreate / layer --add, 500 layers",
        "scale.lvcreate.500",
        "scale.add.500",
        Goal::AtLeast(20.0),
    ),
    ("layout, 2000 layers / 100", "scale.layout.2000", "scale.layout.100", Goal::AtMost(8.0)),
    ("the same, new handles", "scale.layout-new.2000", "scale.layout-new.100", Goal::AtMost(8.0)),
    ("start by Debian's initramfs / by ours", "start.debian", "start.imgbase", Goal::AtLeast(5.0)),
];

/// All of them; what was not measured is left out.
pub(super) fn verdicts(figures: &Figures) -> Vec<Verdict> {
    let ratios = RATIOS.iter().filter_map(|(name, over, under, goal)| {
        let value = figures.median(over)? / figures.median(under)?;
        let of_minima = Some(figures.least(over)? / figures.least(under)?);
        Some(verdict(name, value, of_minima, *goal))
    });
    ratios.chain(others(figures).into_iter().flatten()).collect()
}

/// A process of ours beside what no process can go below: the bare loop, and starting and ending.
fn process(figures: &Figures, of: impl Fn(&Figures, &str) -> Option<f64>) -> Option<f64> {
    let least = of(figures, "layer.bare")? + of(figures, "trivial.process")?;
    Some(of(figures, "layer.process")? / least)
}

fn others(figures: &Figures) -> [Option<Verdict>; 8] {
    let both = figures.most_mapped("base.process").zip(figures.most_mapped("base.qemu-img"));
    let mapped = both.map(|(ours, theirs)| ours / theirs);
    let written = figures.written("update.same").zip(figures.written("update.first"));
    let binary = figures.binary as f64 / 1e6;
    let initramfs = figures.initramfs.get("debian").zip(figures.initramfs.get("imgbase"));
    [
        process(figures, Figures::median).map(|value| {
            let name = "process layer --add / loop and start";
            verdict(name, value, process(figures, Figures::least), Goal::AtMost(1.25))
        }),
        initramfs.map(|(theirs, ours)| {
            let value = *theirs as f64 / *ours as f64;
            verdict("size of Debian's initramfs / of ours", value, None, Goal::AtLeast(5.0))
        }),
        mapped.map(|value| {
            verdict("mapped by base --add / by qemu-img", value, None, Goal::AtMost(1.0))
        }),
        written.map(|(again, first)| {
            let name = "written by update to the same / at first";
            verdict(name, again / first, None, Goal::Below(0.05))
        }),
        figures
            .median("rollback.library")
            .map(|value| verdict("library rollback, ms", value, None, Goal::Below(20.0))),
        Some(verdict("static binary, MB", binary, None, Goal::Below(3.0))),
        figures
            .most_memory(|name| !is_import(name))
            .map(|value| verdict("peak memory of imgbase, MiB", value, None, Goal::Below(32.0))),
        figures
            .most_memory(is_import)
            .map(|value| verdict("peak memory of imports, MiB", value, None, Goal::Below(48.0))),
    ]
}

fn is_import(name: &str) -> bool {
    name.starts_with("imgbase base --add")
}

fn verdict(name: &'static str, value: f64, of_minima: Option<f64>, goal: Goal) -> Verdict {
    Verdict { name, value, of_minima, goal, reached: goal.is_reached(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_medians_and_bounds_count() {
        let mut figures = Figures { binary: 3_000_000, ..Figures::default() };
        let lines = "sample layer.lvcreate 600000\nsample layer.library 50000\n\
            mapped base.process 30\nmapped base.qemu-img 31\n";
        figures.take(lines).expect("all are figures");
        let found = verdicts(&figures);
        let reached: Vec<_> = found.iter().map(|v| (v.value, v.reached)).collect();
        assert_eq!(reached, [(12.0, false), (30.0 / 31.0, true), (3.0, false)]);
        assert_eq!(found.first().map(|v| v.goal.to_string()).as_deref(), Some(">= 14"));
    }
}
