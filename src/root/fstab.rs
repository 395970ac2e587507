//! `/etc/fstab` (fstab(5)): the source of the root's line, lines of volumes, and every other byte as
//! it is.

use std::ops::Range;

use super::{CONFIG_MOST, FSTAB, RootChange, RootFiles};
use crate::error::Result;
use crate::tree::TreePath;

/// Where hosts have units of their own.
const UNITS: &str = "/etc/systemd/system";

/// Writes `source` into the line of `/` in the tree's own table, where that has such a line and says
/// otherwise.
///
/// # Errors
/// Those of [`RootFiles::read`] and [`RootChange::rewrite`].
pub fn name_root(root: &dyn RootChange, source: &str) -> Result<()> {
    let table = root.read(FSTAB, CONFIG_MOST)?;
    table
        .and_then(|table| with_root(&table, source))
        .map_or(Ok(()), |new| root.rewrite(FSTAB, &new))
}

/// The table with `source` in the line of `/`; `None` where nothing is to be changed: it has no
/// such line, or the source is that already.
pub fn with_root(table: &[u8], source: &str) -> Option<Vec<u8>> {
    let mut new = Vec::with_capacity(table.len().saturating_add(source.len()));
    let mut changed = false;
    for line in lines(table) {
        let Some(place) = source_of_root(line) else {
            new.extend_from_slice(line);
            continue;
        };
        changed |= line.get(place.clone()) != Some(source.as_bytes());
        new.extend_from_slice(line.get(..place.start).unwrap_or_default());
        new.extend_from_slice(source.as_bytes());
        new.extend_from_slice(line.get(place.end..).unwrap_or_default());
    }
    changed.then_some(new)
}

/// Where a tree has other file systems mounted: the targets in its table, and the units that the host
/// was given for more (systemd.mount(5)).
///
/// # Errors
/// Those of [`RootFiles::read`] and [`RootFiles::list`].
pub fn mount_points(root: &dyn RootFiles) -> Result<Vec<TreePath>> {
    let table = root.read(FSTAB, CONFIG_MOST)?.unwrap_or_default();
    let lines = fstab_lines(&table);
    let mut points: Vec<TreePath> =
        lines.iter().filter_map(|line| path(line.target.as_bytes())).collect();
    for unit in root.list(UNITS)? {
        points.extend(unit.strip_suffix(".mount").and_then(|name| path(&of_unit(name))));
    }
    Ok(points)
}

/// What a unit's name stands for.
fn of_unit(name: &str) -> Vec<u8> {
    let mut path = vec![b'/'];
    let mut rest = name;
    while let Some(at) = rest.find(['-', '\\']) {
        let (before, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        path.extend_from_slice(before.as_bytes());
        let code = after.strip_prefix("\\x").and_then(|code| code.split_at_checked(2));
        let byte = code.and_then(|(digits, _)| u8::from_str_radix(digits, 16).ok());
        rest = match (byte, code) {
            (Some(byte), Some((_, after))) => {
                path.push(byte);
                after
            }
            _ => {
                path.push(b'/');
                after.get(1..).unwrap_or_default()
            }
        };
    }
    path.extend_from_slice(rest.as_bytes());
    path
}

/// A path that is below the root.
fn path(text: &[u8]) -> Option<TreePath> {
    let names = text.strip_prefix(b"/")?.split(|byte| *byte == b'/');
    let names: Vec<&[u8]> = names.filter(|name| !name.is_empty()).collect();
    let is_plain = !names.iter().any(|name| matches!(*name, b"." | b".."));
    (is_plain && !names.is_empty()).then(|| TreePath::of(names.into_iter()))
}

/// A line that mounts something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FstabLine {
    /// What is mounted, as it stands there.
    pub source: String,
    /// Where: without escapes and without a slash at the end.
    pub target: String,
}

/// The lines of a table that mount something somewhere, in order; what is no UTF-8 is left out.
pub fn fstab_lines(table: &[u8]) -> Vec<FstabLine> {
    lines(table).filter_map(mount_of).collect()
}

/// The table with a volume at a path. The line stands in front of those of what is mounted below it,
/// which would be hidden else.
pub fn with_volume(table: &[u8], source: &str, path: &str, fs_type: &str) -> Vec<u8> {
    let line = format!("{source} {path} {fs_type} defaults,discard 0 2\n").into_bytes();
    let below = format!("{path}/");
    let is_below =
        |line: &&[u8]| mount_of(line).is_some_and(|mount| mount.target.starts_with(&below));
    let mut new = Vec::with_capacity(table.len().saturating_add(line.len()).saturating_add(1));
    let mut line = Some(line);
    for old in lines(table) {
        if is_below(&old) {
            new.extend(line.take().unwrap_or_default());
        }
        new.extend_from_slice(old);
    }
    if let Some(line) = line {
        if new.last().is_some_and(|last| *last != b'\n') {
            new.push(b'\n');
        }
        new.extend(line);
    }
    new
}

/// The table without the lines that mount one of these sources at a path; `None` where there is none.
pub fn without_volume(table: &[u8], sources: &[String], path: &str) -> Option<Vec<u8>> {
    let is_it = |line: &&[u8]| {
        mount_of(line).is_some_and(|mount| mount.target == path && sources.contains(&mount.source))
    };
    let left: Vec<&[u8]> = lines(table).filter(|line| !is_it(line)).collect();
    let new = left.concat();
    (new.len() < table.len()).then_some(new)
}

/// The lines, each with its newline.
fn lines(table: &[u8]) -> impl Iterator<Item = &[u8]> {
    table.split_inclusive(|byte| *byte == b'\n')
}

fn mount_of(line: &[u8]) -> Option<FstabLine> {
    let mut fields = fields(line);
    let mut word = || line.get(fields.next()?);
    let (source, target, _) = (word()?, word()?, word()?);
    if source.starts_with(b"#") {
        return None;
    }
    let target = unescaped(target);
    let target = std::str::from_utf8(&target).ok()?;
    let plain = target.trim_end_matches('/');
    let target = if plain.is_empty() && target.starts_with('/') { "/" } else { plain };
    Some(FstabLine {
        source: std::str::from_utf8(source).ok()?.to_owned(),
        target: target.to_owned(),
    })
}

/// A field with its octal escapes (`\040`) as what they stand for: the kernel's tables have them too.
pub(crate) fn unescaped(field: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::with_capacity(field.len()), field);
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == b'\\').and_then(|it| u8::from_str_radix(it, 8).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    plain
}

/// True where a line says that something is to be mounted at that folder.
pub(super) fn has_target(table: &[u8], folder: &str) -> bool {
    fstab_lines(table).iter().any(|line| line.target == folder)
}

/// Where the source stands in a line, if that is the root's: it has a type too, and is no swap.
fn source_of_root(line: &[u8]) -> Option<Range<usize>> {
    let mut fields = fields(line);
    let (source, target, fs_type) = (fields.next()?, fields.next()?, fields.next()?);
    let text = |field: &Range<usize>| line.get(field.clone()).unwrap_or_default();
    let is_root = is_slash(text(&target)) && text(&fs_type) != b"swap";
    (is_root && !text(&source).starts_with(b"#")).then_some(source)
}

/// The places of the words of a line.
fn fields(line: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let rest = line.get(at..)?;
        let start = at.checked_add(rest.iter().position(|byte| !blank(byte))?)?;
        let word = line.get(start..)?;
        let len = word.iter().position(blank).unwrap_or(word.len());
        at = start.checked_add(len)?;
        Some(start..at)
    })
}

/// True for `/`, also where it is written as an octal escape, or more than once.
fn is_slash(target: &[u8]) -> bool {
    let plain = unescaped(target);
    !plain.is_empty() && plain.iter().all(|byte| *byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::testing::Files;
    use proptest::prelude::*;

    const NEW: &str = "/dev/mapper/HostVG-Base--1--0+1";

    fn changed(table: &str) -> Option<String> {
        with_root(table.as_bytes(), NEW).map(|new| String::from_utf8(new).expect("text"))
    }

    #[test]
    fn the_roots_source_alone_is_changed() {
        let table = "# a comment\t\nUUID=1234-abcd \t / ext4  errors=remount-ro 0\t1 # odd\n\
            /dev/sda2 none swap sw 0 0\n\n  LABEL=x\t/home\\040dir ext4 defaults,discard 0 2";
        let wanted = table.replace("UUID=1234-abcd", NEW);
        assert_eq!(changed(table).as_deref(), Some(wanted.as_str()));
        assert_eq!(changed(&wanted), None, "it is so already");
    }

    #[test]
    fn volumes_stand_in_front_of_what_is_below_them() {
        let table =
            "# none\nUUID=1 / ext4 defaults 0 1\n/dev/x /var/log ext4 d 0 2\ntmpfs /tmp tmpfs";
        let var = with_volume(table.as_bytes(), "/dev/mapper/V-var", "/var", "ext4");
        let line = "/dev/mapper/V-var /var ext4 defaults,discard 0 2\n";
        let wanted = table.replace("/dev/x", &format!("{line}/dev/x"));
        assert_eq!(String::from_utf8(var.clone()).expect("text"), wanted);
        let home = with_volume(&var, "H", "/home", "ext4");
        let wanted = format!("{wanted}\nH /home ext4 defaults,discard 0 2\n");
        assert_eq!(String::from_utf8(home.clone()).expect("text"), wanted);
        let targets: Vec<String> = fstab_lines(&home).into_iter().map(|line| line.target).collect();
        assert_eq!(targets, ["/", "/var", "/var/log", "/tmp", "/home"]);
        let sources = ["/dev/mapper/V-var".to_owned(), "/dev/V/var".to_owned()];
        let without = without_volume(&home, &sources, "/var").expect("it was there");
        assert_eq!(String::from_utf8(without).expect("text"), wanted.replace(line, ""));
        assert_eq!(without_volume(&home, &sources, "/home"), None, "another's");
        assert_eq!(with_volume(b"", "H", "/home", "xfs"), b"H /home xfs defaults,discard 0 2\n");
    }

    #[test]
    fn targets_are_read_as_they_are_meant() {
        let target = |line: &str| fstab_lines(line.as_bytes()).pop().map(|line| line.target);
        for (line, wanted) in [
            ("a /a\\040b/ ext4", Some("/a b")),
            ("a // ext4", Some("/")),
            ("a /x\\9 ext4", Some("/x\\9")),
            ("a none swap", Some("none")),
            ("#a /a ext4", None),
            ("a /a", None),
        ] {
            assert_eq!(target(line).as_deref(), wanted, "{line}");
        }
    }

    #[test]
    fn other_spellings_of_the_root() {
        for line in
            ["x / ext4\n", "\tx\t/\text4 ro", "\"x y\" z\nx \\057 ext4", "x // xfs d 0 0\r\n"]
        {
            assert!(changed(line).is_some_and(|new| new.contains(NEW)), "{line:?}");
        }
    }

    #[test]
    fn lines_that_are_not_the_roots() {
        for table in [
            "",
            "\n\n",
            "#x / ext4\n",
            "# x / ext4\n",
            "x /",
            "x none swap\n",
            "/ x ext4\n",
            "x /boot ext4\n",
            "x / swap\n",
            "x \\05 ext4\n",
        ] {
            assert_eq!(changed(table), None, "{table:?}");
        }
    }

    #[test]
    fn other_file_systems_are_found() {
        let table = "x / ext4\n# x /no ext4\nx none swap\nx /var/log/ ext4\n\
            x /a\\040b auto\nx /a/../b auto\nx\n";
        let root = Files::of(&[
            ("/etc/fstab", table),
            ("/etc/systemd/system/srv-my\\x2ddata.mount", ""),
            ("/etc/systemd/system/-.mount", ""),
            ("/etc/systemd/system/odd\\x2.mount", ""),
            ("/etc/systemd/system/x.service", ""),
        ]);
        let found = mount_points(&root).expect("readable");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["/var/log", "/a b", "/odd/x2", "/srv/my-data"]);
    }

    #[test]
    fn what_is_mounted_where() {
        let table = b"#x /boot ext4\n\tUUID=1 \t/boot vfat defaults\nx /home ext4\n";
        assert!(has_target(table, "/boot") && has_target(table, "/home"));
        assert!(!has_target(table, "/") && !has_target(b"#x /boot ext4\n/boot\n", "/boot"));
    }

    proptest! {
        #[test]
        fn nothing_else_is_touched(table in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(new) = with_root(&table, NEW) {
                let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count();
                prop_assert_eq!(lines(&table), lines(&new));
                prop_assert!(with_root(&new, NEW).is_none());
                prop_assert!(with_root(&new, "x").is_some());
            }
        }

        #[test]
        fn a_volume_comes_and_goes(table in "[ -~\n]{0,60}") {
            let there = with_volume(table.as_bytes(), "S", "/p", "ext4");
            let mut back = without_volume(&there, &["S".to_owned()], "/p").expect("it is there");
            if !table.is_empty() && !table.ends_with('\n') && back.ends_with(b"\n") {
                back.pop();
            }
            prop_assert_eq!(back, table.into_bytes());
        }

        #[test]
        fn going_there_and_back_gives_the_same(
            before in "[ -~\n]{0,40}", after in "[ -~\n]{0,40}", gap in "[ \t]{1,3}",
        ) {
            let table = format!("{before}\nUUID=1{gap}/{gap}ext4\n{after}");
            // Only where it is the one line of the root.
            let others = |text: &str| with_root(text.as_bytes(), NEW).is_none();
            prop_assume!(others(&before) && others(&after));
            let there = with_root(table.as_bytes(), NEW).expect("it has a root");
            prop_assert_eq!(with_root(&there, "UUID=1"), Some(table.into_bytes()));
        }
    }
}
