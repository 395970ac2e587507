//! The table for people.

use std::fmt::{self, Write};

use super::figures::Figures;
use super::rows::sections;
use super::targets::{Verdict, verdicts};

/// All of it.
pub(super) fn render(figures: &Figures) -> String {
    let mut out = String::new();
    write_all(&mut out, figures).expect("a string takes everything");
    out
}

fn write_all(out: &mut String, figures: &Figures) -> fmt::Result {
    writeln!(
        out,
        "{:<40} {:>10} {:>10} {:>4} {:>12} {:>8}",
        "", "median ms", "min ms", "n", "wrote", "mapped"
    )?;
    for section in sections().filter(|section| section.is_measured(figures)) {
        writeln!(out, "{}", section.title)?;
        section.rows.iter().try_for_each(|(label, name)| row(out, figures, label, name))?;
    }
    let initramfs =
        figures.initramfs.iter().map(|(name, bytes)| (name, *bytes as f64 / 1_048_576.0));
    sizes(out, "initramfs, modules included", initramfs)?;
    sizes(
        out,
        "peak memory",
        figures.memory.iter().map(|(name, kib)| (name, *kib as f64 / 1024.0)),
    )?;
    writeln!(out, "\n{:<40} {:>10} {:>10} {:>8}", "", "is", "of minima", "must be")?;
    verdicts(figures).iter().try_for_each(|verdict| judgement(out, verdict))
}

/// In MiB.
fn sizes<'a>(
    out: &mut String,
    title: &str,
    sizes: impl Iterator<Item = (&'a String, f64)>,
) -> fmt::Result {
    let mut sizes = sizes.peekable();
    if sizes.peek().is_some() {
        writeln!(out, "{title}")?;
    }
    sizes.into_iter().try_for_each(|(name, mib)| writeln!(out, "  {name:<38} {mib:>6.1} MiB"))
}

fn row(out: &mut String, figures: &Figures, label: &str, name: &str) -> fmt::Result {
    let number = |value: Option<f64>| value.map_or("-".into(), |ms| format!("{ms:.1}"));
    let (median, least) = (number(figures.median(name)), number(figures.least(name)));
    let n = figures.samples.get(name).map_or(0, Vec::len);
    let wrote = figures.written(name).map_or(String::new(), |kib| format!("{kib:.0} KiB"));
    write!(out, "  {label:<38} {median:>10} {least:>10} {n:>4} {wrote:>12}")?;
    match figures.most_mapped(name) {
        Some(percent) => writeln!(out, " {percent:>6.2} %"),
        None => writeln!(out),
    }
}

fn judgement(out: &mut String, verdict: &Verdict) -> fmt::Result {
    let minima = verdict.of_minima.map_or("".into(), |value| format!("{value:.2}"));
    let said = if verdict.reached { "reached" } else { "not reached" };
    let (value, goal) = (verdict.value, verdict.goal.to_string());
    writeln!(out, "{:<40} {value:>10.2} {minima:>10} {goal:>8}  {said}", verdict.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_left_out() {
        let mut figures = Figures::default();
        figures.take("sample start.debian 9000\nsample start.imgbase 1000\n").expect("figures");
        figures.initramfs.insert("imgbase".into(), 2 << 20);
        let table = render(&figures);
        let has = |words: &str| table.contains(words);
        assert!(has("from the kernel") && has("  imgbase's initramfs") && has("9.0"), "{table}");
        assert!(has("initramfs, modules included") && has("2.0 MiB"), "{table}");
        assert!(has("start by Debian's initramfs / by ours          9.00"), "{table}");
        assert!(!has("layer --add") && !has("peak memory\n") && !has("size of"), "{table}");
    }
}
