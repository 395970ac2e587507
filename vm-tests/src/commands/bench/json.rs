//! The same for programs.

use super::figures::Figures;
use super::targets::verdicts;

/// One object; the names in it need no escapes.
pub(super) fn render(figures: &Figures) -> String {
    let samples = object(&figures.samples, |values| format!("{values:?}"));
    let mapped = object(&figures.mapped, |values| format!("{values:?}"));
    let wrote = object(&figures.wrote, |values| format!("{values:?}"));
    let initramfs = object(&figures.initramfs, u64::to_string);
    let memory = object(figures.memory.iter().map(|(name, kib)| (name, kib)), u64::to_string);
    let verdicts: Vec<String> = verdicts(figures)
        .iter()
        .map(|v| {
            let (name, value, goal, reached) = (v.name, v.value, v.goal, v.reached);
            format!(
                r#"{{"name": "{name}", "value": {value:.3}, "goal": "{goal}", "reached": {reached}}}"#
            )
        })
        .collect();
    format!(
        "{{\n\"microseconds\": {samples},\n\"mapped_percent\": {mapped},\n\"wrote_bytes\": {wrote},\n\
         \"peak_memory_kib\": {memory},\n\"initramfs_bytes\": {initramfs},\n\"binary_bytes\": {},\n\"targets\": [\n  {}\n]\n}}\n",
        figures.binary,
        verdicts.join(",\n  ")
    )
}

fn object<'a, V: 'a>(
    entries: impl IntoIterator<Item = (&'a String, &'a V)>,
    value: impl Fn(&V) -> String,
) -> String {
    let fields = entries.into_iter().map(|(name, found)| format!("\"{name}\": {}", value(found)));
    format!("{{\n  {}\n}}", fields.collect::<Vec<_>>().join(",\n  "))
}
