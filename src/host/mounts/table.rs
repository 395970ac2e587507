//! /proc/self/mountinfo (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::machine::MountEntry;
use crate::root::unescaped;

/// All lines that can be read; others are left out.
pub(super) fn parse(text: &[u8]) -> Vec<MountEntry> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// Of each mount, in order, which folder of its file system it shows, and where.
pub(in crate::host) fn roots(text: &[u8]) -> Vec<(PathBuf, PathBuf)> {
    let path = |field: &[u8]| PathBuf::from(OsString::from_vec(unescaped(field)));
    let line = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ').skip(3);
        Some((path(fields.next()?), path(fields.next()?)))
    };
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = std::str::from_utf8(fields.nth(2)?).ok()?.parse().ok()?;
    let dir = OsString::from_vec(unescaped(fields.nth(1)?)).into();
    let of_mount = fields.next()?;
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let fs_type = String::from_utf8_lossy(fields.next()?).into_owned();
    let of_file_system = fields.nth(1).unwrap_or_default();
    let options = [of_mount, of_file_system].into_iter().flat_map(|options| {
        options.split(|byte| *byte == b',').map(|option| String::from_utf8_lossy(option).into())
    });
    Some(MountEntry { number, dir, fs_type, options: options.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn lines_are_read_with_their_escapes() {
        let text =
            b"36 35 98:5 /a /mnt\\040x\\134y rw,noatime master:1 shared:2 - ext3 /dev/r rw\n\
                     broken line\n\
                     37 36 0:20 / /run rw - tmpfs tmpfs rw,size=1k\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        let first = &mounts[0];
        assert_eq!((first.number.major, first.number.minor), (98, 5));
        assert_eq!(first.dir, Path::new("/mnt x\\y"));
        assert_eq!(first.fs_type, "ext3");
        assert_eq!(first.options, ["rw", "noatime", "rw"]);
        assert_eq!(mounts[1].options, ["rw", "rw", "size=1k"]);
        let roots = roots(text);
        assert_eq!(roots[0], (PathBuf::from("/a"), PathBuf::from("/mnt x\\y")));
    }
}
