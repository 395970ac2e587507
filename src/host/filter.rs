//! lvm2's device filter (lvm.conf(5), `devices/filter`): patterns that accept
//! or reject paths, the first that matches decides.

use std::path::Path;

use regex_lite::Regex;

/// A list of patterns. The empty one accepts everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter(Vec<Pattern>);

#[derive(Clone, Debug)]
struct Pattern {
    accepts: bool,
    regex: Regex,
}

impl Filter {
    /// From lvm2's lists, in order: `a|^/dev/sd|`, `r/loop/`. All lists must accept a device; one
    /// that cannot be read is left out with a warning.
    pub(super) fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Self {
        let parsed = patterns.into_iter().filter_map(|text| {
            let pattern = Pattern::parse(text);
            if pattern.is_none() {
                log::warn!("lvm.conf: '{text}' is no filter pattern; it is left out");
            }
            pattern
        });
        Self(parsed.collect())
    }

    /// True where no pattern rejects the device.
    pub(super) fn accepts(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        let first = self.0.iter().find(|pattern| pattern.regex.is_match(&path));
        first.is_none_or(|pattern| pattern.accepts)
    }
}

impl Pattern {
    /// `a`, a delimiter, a regular expression, the delimiter again.
    fn parse(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let accepts = match chars.next()? {
            'a' => true,
            'r' => false,
            _ => return None,
        };
        let delimiter = match chars.next()? {
            '(' => ')',
            '[' => ']',
            '{' => '}',
            other => other,
        };
        let regex = Regex::new(chars.as_str().strip_suffix(delimiter)?).ok()?;
        Some(Self { accepts, regex })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_matches_decides() {
        let filter = Filter::new(["a|^/dev/sd|", "r/loop[0-3]/", "r(^/dev/vd)", "x|odd|"]);
        for (path, accepted) in
            [("/dev/sda", true), ("/dev/loop2", false), ("/dev/loop7", true), ("/dev/vda1", false)]
        {
            assert_eq!(filter.accepts(Path::new(path)), accepted, "{path}");
        }
        assert!(Filter::default().accepts(Path::new("/dev/loop0")));
        assert!(!Filter::new(["a|^/dev/sda$|", "r|.*|"]).accepts(Path::new("/dev/sdb")));
    }
}
