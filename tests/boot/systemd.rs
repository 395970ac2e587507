//! What systemd-boot does with a boot folder: the judge. Written after systemd's own source
//! (src/boot/efi/boot.c of 252, src/boot/boot.c of 257), apart from the library's.

use std::cmp::Ordering;

use imgbase::boot::sim::SimBoot;
use imgbase::boot::vars::Variable;

use crate::world::Booted;

/// A loader of some version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemdBoot {
    /// 252: an id has the counter in it. 257: it has not. 260: an entry may be preferred.
    pub(crate) version: u32,
    /// False where the partition cannot be written.
    pub(crate) counts: bool,
    /// The folder of the EFI partition, where it is one of its own.
    pub(crate) esp: &'static str,
}

pub(crate) const V252: SystemdBoot = SystemdBoot { version: 252, counts: true, esp: "" };
pub(crate) const V257: SystemdBoot = SystemdBoot { version: 257, counts: true, esp: "" };
pub(crate) const V260: SystemdBoot = SystemdBoot { version: 260, counts: true, esp: "" };

struct Entry {
    file: String,
    id: String,
    keys: Vec<(String, String)>,
    tries: Option<(u32, u32)>,
    stem: String,
}

impl Entry {
    fn key(&self, key: &str) -> Option<&str> {
        self.keys.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    fn all(&self, key: &str) -> Vec<&str> {
        self.keys.iter().filter(|(k, _)| k == key).map(|(_, value)| value.as_str()).collect()
    }
}

fn keys(text: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(text);
    let mut keys = Vec::new();
    for line in text.split(['\n', '\r']) {
        let line = line.trim_matches([' ', '\t']);
        if line.starts_with('#') {
            continue;
        }
        let Some(at) = line.find([' ', '\t']) else { continue };
        let mut value = line[at..].trim_start_matches([' ', '\t']);
        if value.len() > 1 && value.starts_with('"') && value.ends_with('"') {
            value = &value[1..value.len() - 1];
        }
        keys.push((line[..at].to_owned(), value.to_owned()));
    }
    keys
}

/// `(stem, left, done)` where a file's name has a counter.
fn tries(file: &str) -> Option<(String, u32, u32)> {
    let (stem, rest) = file.rsplit_once('+')?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let left = rest[..end].parse().ok()?;
    let rest = &rest[end..];
    let (done, rest) = match rest.strip_prefix('-') {
        None => (0, rest),
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            (rest[..end].parse().ok()?, &rest[end..])
        }
    };
    rest.eq_ignore_ascii_case(".conf").then(|| (stem.to_owned(), left, done))
}

fn compare(a: &Entry, b: &Entry) -> Ordering {
    let bad = |e: &Entry| matches!(e.tries, Some((0, _)));
    let mut order = bad(a).cmp(&bad(b));
    order = order.then(a.key("sort-key").is_none().cmp(&b.key("sort-key").is_none()));
    if a.key("sort-key").is_some() && b.key("sort-key").is_some() {
        order = order.then(a.key("sort-key").cmp(&b.key("sort-key")));
        order = order.then(a.key("machine-id").cmp(&b.key("machine-id")));
        let version = |e: &Entry| e.key("version").unwrap_or("").to_owned();
        order = order.then(strverscmp(&version(b), &version(a)));
    }
    order = order.then(strverscmp(&b.id, &a.id));
    let (Some((left, done)), Some((l, d))) = (a.tries, b.tries) else { return order };
    order.then(l.cmp(&left)).then(done.cmp(&d))
}

/// `strverscmp_improved`, character by character.
fn strverscmp(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let at = |text: &[char], i: usize| text.get(i).copied().unwrap_or('\0');
    let known = |c: char| c == '\0' || c.is_ascii_alphanumeric() || "~-^.".contains(c);
    let (mut i, mut k) = (0, 0);
    loop {
        while !known(at(&a, i)) {
            i += 1;
        }
        while !known(at(&b, k)) {
            k += 1;
        }
        for mark in ['~', '\0', '-', '^', '.'] {
            let (x, y) = (at(&a, i), at(&b, k));
            if mark == '\0' {
                if x == '\0' || y == '\0' {
                    return (x != '\0').cmp(&(y != '\0'));
                }
                continue;
            }
            if x == mark || y == mark {
                if x != y {
                    return (x != mark).cmp(&(y != mark));
                }
                i += 1;
                k += 1;
            }
        }
        let digits = at(&a, i).is_ascii_digit() || at(&b, k).is_ascii_digit();
        let is = |c: char| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
        let (from, start) = (i, k);
        while is(at(&a, i)) {
            i += 1;
        }
        while is(at(&b, k)) {
            k += 1;
        }
        let (x, y): (String, String) = (a[from..i].iter().collect(), b[start..k].iter().collect());
        let order = if digits {
            let (n, m) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            (!x.is_empty()).cmp(&!y.is_empty()).then(n.len().cmp(&m.len())).then(n.cmp(m))
        } else {
            let least = x.len().min(y.len());
            x[..least].cmp(&y[..least]).then(x.len().cmp(&y.len()))
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// `efi_fnmatch`, for patterns with `*` and `?` alone.
fn fnmatch(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            fnmatch(&pattern[1..], text) || (!text.is_empty() && fnmatch(pattern, &text[1..]))
        }
        (Some(b'?'), Some(_)) => fnmatch(&pattern[1..], &text[1..]),
        (Some(p), Some(t)) if p == t => fnmatch(&pattern[1..], &text[1..]),
        _ => false,
    }
}

impl SystemdBoot {
    fn folders(self) -> Vec<String> {
        let boot = String::new();
        if self.esp.is_empty() { vec![boot] } else { vec![format!("{}/", self.esp), boot] }
    }

    fn entries(self, sim: &SimBoot) -> Vec<Entry> {
        let files = sim.files();
        let mut entries = Vec::new();
        for folder in self.folders() {
            let place = format!("{folder}loader/entries/");
            for (path, text) in files.range(place.clone()..) {
                let Some(file) = path.strip_prefix(&place) else { break };
                let skip = file.contains('/') || file.starts_with('.') || file.starts_with("auto-");
                if skip || !file.to_ascii_lowercase().ends_with(".conf") {
                    continue;
                }
                let keys = keys(text);
                let (stem, tries) = match tries(file) {
                    Some((stem, left, done)) => (stem, Some((left, done))),
                    None => (file.to_owned(), None),
                };
                let whole = self.version < 254 || tries.is_none();
                let id = if whole { file.to_owned() } else { format!("{stem}.conf") };
                let entry =
                    Entry { file: path.clone(), id: id.to_ascii_lowercase(), keys, tries, stem };
                let kernel = entry.key("linux").map(|linux| inside(&folder, linux));
                if kernel.is_some_and(|kernel| files.contains_key(&kernel)) {
                    entries.push(entry);
                }
            }
        }
        entries.sort_by(compare);
        entries
    }

    /// Starts the machine: what an entry is, where there is one that can be started. Counters move,
    /// and what was to boot once is forgotten.
    pub(crate) fn boot(self, sim: &SimBoot) -> Option<Booted> {
        let entries = self.entries(sim);
        let conf = format!("{}loader/loader.conf", self.folders()[0]);
        let conf = keys(&sim.file(&conf).unwrap_or_default());
        let set = |key: &str| conf.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.clone());
        let once = sim.variable(Variable::OneShot);
        sim.drop_variable(Variable::OneShot);
        let find = |pattern: Option<String>, good: bool| {
            let pattern = pattern?.to_ascii_lowercase();
            let meets = |e: &&Entry| fnmatch(pattern.as_bytes(), e.id.as_bytes());
            let found = entries.iter().find(meets)?;
            (!good || !matches!(found.tries, Some((0, _)))).then_some(found)
        };
        let preferred = || {
            let set = if self.version >= 260 {
                [sim.variable(Variable::Preferred), set("preferred")]
            } else {
                [None, None]
            };
            set.into_iter().find_map(|pattern| find(pattern, true))
        };
        let entry = find(once, false)
            .or_else(preferred)
            .or_else(|| find(sim.variable(Variable::Default), false))
            .or_else(|| find(set("default"), false))
            .or(entries.first())?;
        self.count(sim, entry);
        start(sim, entry)
    }

    fn count(self, sim: &SimBoot, entry: &Entry) {
        sim.drop_variable(Variable::CountPath);
        let (Some((left, done)), true) = (entry.tries, self.counts) else { return };
        let (folder, _) = entry.file.rsplit_once('/').expect("it is in a folder");
        let name = format!("{}+{}-{}.conf", entry.stem, left.saturating_sub(1), done + 1);
        let text = sim.file(&entry.file).expect("it was there");
        sim.take(&entry.file);
        sim.put(&format!("{folder}/{name}"), text);
        sim.put_variable(Variable::CountPath, &format!("\\loader\\entries\\{name}"));
    }
}

/// A path that an entry gives, as one in the simulated folder.
fn inside(folder: &str, path: &str) -> String {
    format!("{folder}{}", path.replace('\\', "/").trim_start_matches('/'))
}

fn start(sim: &SimBoot, entry: &Entry) -> Option<Booted> {
    let (folder, _) = entry.file.rsplit_once("loader/entries/").expect("it is in that folder");
    let linux = sim.file(&inside(folder, entry.key("linux")?))?;
    let initrds = entry.all("initrd").into_iter().map(|path| sim.file(&inside(folder, path)));
    let initrds = initrds.collect::<Option<Vec<_>>>()?;
    Some(Booted { args: entry.all("options").join(" "), linux, initrds })
}

#[test]
fn the_judge_knows_the_rules() {
    assert!(fnmatch(b"a*", b"abc") && !fnmatch(b"a*d", b"abc"));
    assert_eq!(tries("x+3-0.conf"), Some(("x".into(), 3, 0)));
    assert_eq!(tries("x+3.conf"), Some(("x".into(), 3, 0)));
    assert_eq!(tries("x+y.conf"), None);
    assert_eq!(strverscmp("123~rc1-1", "123"), Ordering::Less);
    assert_eq!(strverscmp("123-1", "123^post1"), Ordering::Less);
    assert_eq!(strverscmp("6.10", "6.9"), Ordering::Greater);
}
