//! The line that shows progress on a terminal.

use imgbase::ops::Progress;
use imgbase::units::Bytes;

use crate::cli::progress::Pace;

/// Characters in the bar.
const WIDTH: u64 = 20;

/// `copy the image  45% [#########-----------] 210 MiB/s, 0:07 left, 1.2 GiB of 2.6 GiB`; what
/// matters least comes last, where a narrow terminal cuts it.
pub(super) fn line(step: &str, progress: Progress, pace: Pace) -> String {
    let mut line = format!("{step} ");
    if let Some(share) = progress.total.and_then(|total| share(progress.done, total, 100)) {
        let filled = share.saturating_mul(WIDTH).checked_div(100).unwrap_or(0);
        line.push_str(&format!("{share:3}% [{}] ", marks(filled)));
    }
    if let Some(rate) = pace.bytes_per_second {
        line.push_str(&format!("{}/s, ", Bytes::new(rate)));
    }
    if let Some(left) = pace.seconds_left {
        line.push_str(&format!("{} left, ", clock(left)));
    }
    line.push_str(&progress.done.to_string());
    if let Some(total) = progress.total {
        line.push_str(&format!(" of {total}"));
    }
    line
}

/// The line cut to what a terminal of 80 columns (or `COLUMNS`) shows without wrapping.
pub(super) fn cut(line: &str) -> String {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let columns: usize = columns.filter(|columns| *columns > 1).unwrap_or(80);
    line.chars().take(columns.saturating_sub(1)).collect()
}

/// How many of `of` parts are done; `None` of nothing.
fn share(done: Bytes, total: Bytes, of: u64) -> Option<u64> {
    let parts = u128::from(done.get()).saturating_mul(u128::from(of));
    let parts = parts.checked_div(u128::from(total.get()))?;
    u64::try_from(parts).ok().map(|parts| parts.min(of))
}

fn marks(filled: u64) -> String {
    (0..WIDTH).map(|place| if place < filled { '#' } else { '-' }).collect()
}

/// `0:07`, `1:02:03`.
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_share_rate_and_time() {
        let progress = Progress {
            done: Bytes::mib(512),
            total: Some(Bytes::gib(1)),
            written: Bytes::mib(100),
        };
        let pace = Pace { bytes_per_second: Some(64 << 20), seconds_left: Some(8) };
        let bar = "[##########----------]";
        let expected = format!("copy  50% {bar} 64 MiB/s, 0:08 left, 512 MiB of 1 GiB");
        assert_eq!(line("copy", progress, pace), expected);
    }

    #[test]
    fn a_stream_has_no_share() {
        let progress = Progress { done: Bytes::mib(5), total: None, written: Bytes::ZERO };
        assert_eq!(line("copy", progress, Pace::default()), "copy 5 MiB");
        let nothing = Progress { total: Some(Bytes::ZERO), ..progress };
        assert_eq!(line("copy", nothing, Pace::default()), "copy 5 MiB of 0 bytes");
    }

    #[test]
    fn hours_are_shown_once_there_are_any() {
        assert_eq!((clock(59), clock(61)), ("0:59".to_owned(), "1:01".to_owned()));
        assert_eq!(clock(3723), "1:02:03");
    }
}
