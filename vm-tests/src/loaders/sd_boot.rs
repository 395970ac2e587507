//! What systemd-boot 252 boots from an EFI system partition, without booting it.
//!
//! A model, for states that are too many to boot each. Its rules are those of the loader: hidden
//! names and those with `auto-` do not count, nor do entries whose kernel is not there; those with
//! no tries left come last, then the others by sort key, machine, version and name; the first that
//! matches the default is chosen, or the first of all. Cases boot a sample and compare.

use std::cmp::Ordering;

use crate::error::{Fail, Result};
use crate::vm::{Vm, argument};

/// What is in the loader's folder.
#[derive(Debug, Clone, Default)]
pub struct Esp {
    /// The pattern of `default`, the last one.
    pub default: Option<String>,
    /// In the order of the loader's menu.
    pub entries: Vec<Entry>,
}

/// An entry whose kernel is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// The name of its file.
    pub name: String,
    /// Its lines as keys and values.
    pub keys: Vec<(String, String)>,
    /// The first of its files that is not there, which the loader finds out too late.
    pub lacks: Option<String>,
}

/// Prints each file, and what it names that is not there.
const READ: &str = r#"
cd "$boot" && cat loader/loader.conf 2>/dev/null
for file in loader/entries/*; do
    [ -f "$file" ] || continue
    echo
    echo "= ${file##*/}"
    cat "$file"
    echo
    sed -n 's/^\(linux\|initrd\|efi\)[ \t]*//p' "$file" | while read -r path; do
        [ -f "$boot/$path" ] || echo "lacks $path"
    done
done"#;

/// Reads what is under a mount point.
///
/// # Errors
/// Where there is no such folder.
pub fn read(vm: &mut Vm, boot: &str) -> Result<Esp> {
    Ok(parse(&vm.ok(&format!("boot={boot}\n{READ}"))?))
}

fn parse(said: &str) -> Esp {
    let mut parts = said.split("\n= ");
    let settings = keys(parts.next().unwrap_or_default());
    let default = settings.into_iter().rev().find(|(key, _)| key == "default");
    let mut entries: Vec<Entry> = parts.filter_map(entry).collect();
    entries.sort_by(order);
    Esp { default: default.map(|(_, pattern)| pattern), entries }
}

fn keys(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once([' ', '\t']));
    pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect()
}

fn entry(part: &str) -> Option<Entry> {
    let (name, text) = part.split_once('\n')?;
    let counts = name.to_lowercase().ends_with(".conf")
        && !name.starts_with('.')
        && !name.starts_with("auto-");
    let mut keys = keys(text);
    let lacks: Vec<String> =
        keys.iter().filter(|(key, _)| key == "lacks").map(|(_, path)| path.clone()).collect();
    keys.retain(|(key, _)| key != "lacks");
    let loads = keys.iter().rev().find(|(key, _)| key == "linux" || key == "efi");
    let has_kernel = loads.is_some_and(|(_, path)| !lacks.contains(path));
    let lacks = lacks.into_iter().next();
    (counts && has_kernel).then(|| Entry { name: name.to_owned(), keys, lacks })
}

impl Esp {
    /// What is booted where no variable says otherwise.
    #[must_use]
    pub fn chosen(&self) -> Option<&Entry> {
        let default = self.default.as_ref().and_then(|pattern| self.matching(pattern));
        default.or(self.entries.first())
    }

    /// The first that a pattern matches.
    #[must_use]
    pub fn matching(&self, pattern: &str) -> Option<&Entry> {
        let pattern = pattern.to_lowercase();
        self.entries.iter().find(|entry| matches(pattern.as_bytes(), entry.id().as_bytes()))
    }
}

impl Entry {
    /// What the loader calls it.
    #[must_use]
    pub fn id(&self) -> String {
        self.name.to_lowercase()
    }

    /// All values of a key, with a blank between them.
    #[must_use]
    pub fn all(&self, key: &str) -> String {
        let values = self.keys.iter().filter(|(name, _)| name == key);
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// The value of an argument of the kernel.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<String> {
        argument(&self.all("options"), name).map(str::to_owned)
    }

    fn last(&self, key: &str) -> Option<&str> {
        self.keys.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// How many tries are left, where they are counted.
    #[must_use]
    pub fn tries_left(&self) -> Option<u32> {
        let stem = self.name.get(..self.name.len().checked_sub(5)?)?;
        let counter = stem.rsplit_once('+')?.1;
        let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
        done.parse::<u32>().ok()?;
        left.parse().ok()
    }

    /// The entry as it is called once it was booted.
    #[must_use]
    pub fn once_booted(&self) -> String {
        let Some(left) = self.tries_left() else { return self.name.clone() };
        let (stem, counter) = self.name.rsplit_once('+').unwrap_or_default();
        let done = counter.trim_end_matches(".conf").split_once('-').map_or("0", |(_, done)| done);
        let done: u32 = done.parse().unwrap_or_default();
        format!("{stem}+{}-{}.conf", left.saturating_sub(1), done + 1)
    }
}

fn order(a: &Entry, b: &Entry) -> Ordering {
    let is_bad = |entry: &Entry| entry.tries_left() == Some(0);
    let keyed = |entry: &Entry| entry.last("sort-key").is_none();
    let version = |entry: &Entry| entry.last("version").unwrap_or_default().to_owned();
    let by_key = if keyed(a) || keyed(b) {
        Ordering::Equal
    } else {
        a.last("sort-key")
            .cmp(&b.last("sort-key"))
            .then_with(|| a.last("machine-id").cmp(&b.last("machine-id")))
            .then_with(|| compare_versions(&version(b), &version(a)))
    };
    is_bad(a)
        .cmp(&is_bad(b))
        .then_with(|| keyed(a).cmp(&keyed(b)))
        .then(by_key)
        .then_with(|| compare_versions(&b.id(), &a.id()))
}

/// `*` and `?` only.
fn matches(pattern: &[u8], id: &[u8]) -> bool {
    match (pattern, id) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=id.len()).any(|n| matches(rest, &id[n..])),
        ([b'?', pattern @ ..], [_, id @ ..]) => matches(pattern, id),
        ([a, pattern @ ..], [b, id @ ..]) => a == b && matches(pattern, id),
        _ => false,
    }
}

/// Versions as the UAPI group compares them: numbers and words in turn; `~` before everything, then
/// the end, then `-`, `^`, `.`, in this order.
fn compare_versions(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let part = |c: char| !(c.is_ascii_alphanumeric() || "~-^.".contains(c));
        (a, b) = (a.trim_start_matches(part), b.trim_start_matches(part));
        let rank = |text: &str| match text.chars().next() {
            Some('~') => 0,
            None => 1,
            Some('-') => 2,
            Some('^') => 3,
            Some('.') => 4,
            Some(c) if c.is_ascii_digit() => 6,
            Some(_) => 5,
        };
        let first = rank(a).cmp(&rank(b));
        if first.is_ne() || a.is_empty() {
            return first;
        }
        let is_digit = a.starts_with(|c: char| c.is_ascii_digit());
        let (x, y) = (run(&mut a, is_digit), run(&mut b, is_digit));
        let by_part = if is_digit {
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            x.cmp(y)
        };
        if by_part.is_ne() {
            return by_part;
        }
    }
}

/// Takes a separator, or all that is like the first, off the text.
fn run<'a>(text: &mut &'a str, digits: bool) -> &'a str {
    let like = |c: char| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
    let end = match text.chars().next() {
        Some(c) if c.is_ascii_alphanumeric() => text.find(|c| !like(c)).unwrap_or(text.len()),
        first => first.map_or(0, char::len_utf8),
    };
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

/// Where an entry that must be booted is not, or lacks something.
///
/// # Errors
/// Then.
pub fn must_choose(esp: &Esp, name: &str) -> Result<()> {
    match esp.chosen() {
        Some(entry) if entry.name == name && entry.lacks.is_none() => Ok(()),
        other => Err(Fail::new(format!("systemd-boot takes {other:?} and not {name}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu(text: &str) -> Vec<String> {
        parse(text).entries.into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn versions_are_ordered() {
        let sorted = ["~", "", "a", "1~1", "1", "1-1", "1^1", "1.1", "1a", "2", "10", "010.1"];
        for pair in sorted.windows(2) {
            assert_eq!(compare_versions(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }

    #[test]
    fn the_menu_is_in_order() {
        let text = "default x*\n\n= y+0-1.conf\nlinux /k\nsort-key a\n\n= x.conf\nlinux /k\nversion 1\
            \nsort-key b\n\n= x2.conf\nlinux /k\nversion 2\nsort-key b\n\n= auto-1.conf\nlinux /k\n\
            \n= none.conf\nlinux /n\nlacks /n\n\n= old.conf\nlinux /k\ninitrd /i\nlacks /i\n";
        assert_eq!(menu(text), ["x2.conf", "x.conf", "old.conf", "y+0-1.conf"]);
        let esp = parse(text);
        assert_eq!(esp.chosen().map(|entry| entry.name.as_str()), Some("x2.conf"));
        assert_eq!(esp.entries[2].lacks.as_deref(), Some("/i"));
        assert!(must_choose(&esp, "x2.conf").is_ok() && must_choose(&esp, "x.conf").is_err());
    }

    #[test]
    fn tries_are_counted() {
        let entry = |name: &str| Entry { name: name.into(), keys: Vec::new(), lacks: None };
        assert_eq!(entry("a+3-0.conf").tries_left(), Some(3));
        assert_eq!(entry("a+3-0.conf").once_booted(), "a+2-1.conf");
        assert_eq!(entry("a+03.conf").once_booted(), "a+2-1.conf");
        assert_eq!(entry("a+0-3.conf").once_booted(), "a+0-4.conf");
        assert_eq!(entry("a+1-0.b.conf").tries_left(), None);
    }
}
