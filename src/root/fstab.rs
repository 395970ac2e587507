//! `/etc/fstab` (fstab(5)): the source of the root's line, and every other byte as it is.

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
    let (mut rest, mut changed) = (table, false);
    while !rest.is_empty() {
        let newline = rest.iter().position(|byte| *byte == b'\n');
        let end = newline.map_or(rest.len(), |at| at.saturating_add(1));
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = after;
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
    let mut points: Vec<TreePath> =
        table.split(|byte| *byte == b'\n').filter_map(target).filter_map(|at| path(&at)).collect();
    for unit in root.list(UNITS)? {
        points.extend(unit.strip_suffix(".mount").and_then(|name| path(&of_unit(name))));
    }
    Ok(points)
}

/// Where a line mounts something.
fn target(line: &[u8]) -> Option<Vec<u8>> {
    let mut fields = fields(line);
    let (source, target) = (fields.next()?, fields.next()?);
    if line.get(source)?.starts_with(b"#") {
        return None;
    }
    let target = std::str::from_utf8(line.get(target)?).ok()?;
    // What stands for blanks, and for itself.
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\134", "\\")];
    let target = plain.iter().fold(target.to_owned(), |text, (code, is)| text.replace(code, is));
    Some(target.into_bytes())
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
    let Ok(text) = std::str::from_utf8(target) else { return false };
    let plain = text.replace("\\057", "/");
    !plain.is_empty() && plain.bytes().all(|byte| byte == b'/')
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
