//! Curves as SVG, by scales of powers of ten: how a verb's time grows with the number of layers.

use std::fmt::{self, Write};
use std::fs;
use std::path::Path;

use super::figures::Figures;
use super::rows::SIZES;
use crate::error::{Doing, Result};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
/// What is left of the picture beside the curves, for words.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 128.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 48.0;

/// Both for light and for dark surroundings; each line has its mark, so that colour alone says nothing.
const STYLE: &str = "<style>
text { font: 13px system-ui, sans-serif; fill: #52514e }
.title { font-weight: 600; fill: #0b0b0b }
.surface { fill: #fcfcfb }
.grid { stroke: #e1e0d9 }
.line { fill: none; stroke-width: 2 }
.ours { stroke: #2a78d6 } .theirs { stroke: #c2500f }
.mark.ours { fill: #2a78d6 } .mark.theirs { fill: #fcfcfb }
@media (prefers-color-scheme: dark) {
text { fill: #c3c2b7 }
.title { fill: #ffffff }
.surface { fill: #1a1a19 }
.grid { stroke: #383835 }
.ours { stroke: #5598e7 } .theirs { stroke: #eb8a52 }
.mark.ours { fill: #5598e7 } .mark.theirs { fill: #1a1a19 }
}
</style>
";

/// A picture's file, its title, and for each line its class, its label and the name of its figures.
type Picture = (&'static str, &'static str, [(&'static str, &'static str, &'static str); 2]);

const PICTURES: [Picture; 2] = [
    (
        "layout.svg",
        "layout: milliseconds by the number of layers",
        [("theirs", "lvs", "scale.lvs"), ("ours", "imgbase layout", "scale.layout")],
    ),
    (
        "layer-add.svg",
        "a new layer: milliseconds by the number of layers",
        [("theirs", "lvcreate -s", "scale.lvcreate"), ("ours", "imgbase layer", "scale.add")],
    ),
];

/// A line: its class, its label, its points.
struct Line {
    class: &'static str,
    label: &'static str,
    points: Vec<(f64, f64)>,
}

/// Writes all pictures whose figures are there.
pub(super) fn write(folder: &Path, figures: &Figures) -> Result<()> {
    fs::create_dir_all(folder).doing(folder.display())?;
    for (file, title, lines) in PICTURES {
        let lines = lines.map(|(class, label, name)| {
            let point =
                |size: usize| Some((size as f64, figures.median(&format!("{name}.{size}"))?));
            Line { class, label, points: SIZES.into_iter().filter_map(point).collect() }
        });
        if lines.iter().all(|line| line.points.len() > 1) {
            let path = folder.join(file);
            fs::write(&path, draw(title, &lines)).doing(path.display())?;
        }
    }
    Ok(())
}

fn draw(title: &str, lines: &[Line]) -> String {
    let mut out = String::new();
    picture(&mut out, title, lines).expect("a string takes everything");
    out
}

fn picture(out: &mut String, title: &str, lines: &[Line]) -> fmt::Result {
    let all = || lines.iter().flat_map(|line| &line.points);
    let across = Scale::around(all().map(|(x, _)| *x), (LEFT, WIDTH - RIGHT), false);
    let up = Scale::around(all().map(|(_, y)| *y), (HEIGHT - BOTTOM, TOP), true);
    let size = format!("width=\"{WIDTH}\" height=\"{HEIGHT}\"");
    let space = format!("xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\"");
    writeln!(out, "<svg {space} {size} role=\"img\">")?;
    writeln!(out, "<title>{title}</title>\n{STYLE}<rect class=\"surface\" {size}/>")?;
    writeln!(out, "<text class=\"title\" x=\"{LEFT}\" y=\"24\">{title}</text>")?;
    up.decades().try_for_each(|value| level(out, value, up.at(value)))?;
    let below = HEIGHT - BOTTOM + 20.0;
    for size in SIZES {
        let x = across.at(size as f64);
        writeln!(out, "<text x=\"{x:.1}\" y=\"{below}\" text-anchor=\"middle\">{size}</text>")?;
    }
    let (middle, last) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8.0);
    writeln!(out, "<text x=\"{middle}\" y=\"{last}\" text-anchor=\"middle\">layers</text>")?;
    lines.iter().try_for_each(|drawn| line(out, drawn, &across, &up))?;
    writeln!(out, "</svg>")
}

/// A horizontal line and its value.
fn level(out: &mut String, value: f64, y: f64) -> fmt::Result {
    let (end, before, below) = (WIDTH - RIGHT, LEFT - 8.0, y + 4.0);
    writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{end}\"/>")?;
    writeln!(out, "<text x=\"{before}\" y=\"{below:.1}\" text-anchor=\"end\">{value} ms</text>")
}

fn line(out: &mut String, line: &Line, across: &Scale, up: &Scale) -> fmt::Result {
    let Line { class, label, points } = line;
    let place = |(x, y): &(f64, f64)| (across.at(*x), up.at(*y));
    let way = points.iter().map(|point| format!("{:.1},{:.1}", place(point).0, place(point).1));
    let way = way.collect::<Vec<_>>().join(" ");
    writeln!(out, "<polyline class=\"line {class}\" points=\"{way}\"/>")?;
    for point in points {
        let (x, y) = place(point);
        write!(out, "<circle class=\"line mark {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\">")?;
        writeln!(out, "<title>{label}, {} layers: {:.1} ms</title></circle>", point.0, point.1)?;
    }
    let (x, y) = points.last().map(place).unwrap_or_default();
    writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{label}</text>", x + 12.0, y + 4.0)
}

/// Values by their logarithm, from one end of an axis to the other.
struct Scale {
    from: f64,
    to: f64,
    pixels: (f64, f64),
}

impl Scale {
    /// Around all values; by whole powers of ten where it `rounds`.
    fn around(values: impl Iterator<Item = f64>, pixels: (f64, f64), rounds: bool) -> Self {
        let logs: Vec<f64> = values.map(f64::log10).collect();
        let least = logs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (from, to) = if rounds { (least.floor(), most.ceil()) } else { (least, most) };
        Self { from, to, pixels }
    }

    fn at(&self, value: f64) -> f64 {
        let (start, end) = self.pixels;
        start + (value.log10() - self.from) / (self.to - self.from) * (end - start)
    }

    fn decades(&self) -> impl Iterator<Item = f64> + use<> {
        (self.from as i32..=self.to as i32).map(|power| 10_f64.powi(power))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decade_has_the_same_height_everywhere() {
        let scale = Scale::around([3.0, 400.0].into_iter(), (300.0, 0.0), true);
        assert_eq!(scale.decades().collect::<Vec<_>>(), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!([1.0, 10.0, 1000.0].map(|value| scale.at(value)), [300.0, 200.0, 0.0]);
    }

    #[test]
    fn each_line_has_its_label() {
        let line = |label, y| Line { class: "ours", label, points: vec![(10.0, y), (2000.0, y)] };
        let picture = draw("a title", &[line("one", 2.0), line("other", 70.0)]);
        assert!(picture.starts_with("<svg") && picture.ends_with("</svg>\n"), "{picture}");
        for words in [">a title<", ">one<", ">other<", ">100 ms<", ">2000<", "70.0 ms<"] {
            assert!(picture.contains(words), "{words}: {picture}");
        }
    }
}
