//! What lvm2 remembers of the devices of this host, and must be told when physical volumes come
//! or go: its hints, and its devices file where one is in use.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::archive;
use crate::error::{IoContext, Result};
use crate::lvm2::crc::crc;
use crate::machine::NewPv;

/// Removes the hints, which lvm2 takes as none and makes anew. To be done under the exclusive
/// lock of the set of volume groups.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io), [`Denied`](crate::ErrorKind::Denied).
pub(super) fn invalidate(dir: &Path) -> Result<()> {
    let path = dir.join("hints");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context("remove lvm2's hints", path.display())
        }
        _ => Ok(()),
    }
}

/// Adds lines for these volumes to the devices file. To be done under the exclusive lock of that
/// file (`D_` and its name).
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io), [`Denied`](crate::ErrorKind::Denied).
pub(super) fn list(file: &Path, new: &[NewPv]) -> Result<()> {
    let old = fs::read_to_string(file).context("read lvm2's devices file", file.display())?;
    let lines: Vec<_> = new.iter().filter_map(line).collect();
    let text = with_lines(&old, &lines);
    if text == old {
        return Ok(());
    }
    archive::write(file, &text)?;
    // lvm2 does not see a volume that its line is missing for.
    let folder = file.parent().unwrap_or(Path::new("/"));
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.context("sync the folder of lvm2's devices file", folder.display())
}

/// The line of a volume, by what of the device stays the same over a reboot, else by its name.
fn line(pv: &NewPv) -> Option<String> {
    let path = fs::canonicalize(&pv.path).unwrap_or_else(|_| pv.path.clone());
    let name = path.to_str().filter(|name| !name.contains(char::is_whitespace))?;
    let own = sys_folder(&path);
    let part = own.as_deref().and_then(|dir| word(&dir.join("partition")));
    // A partition has the identity of its disk.
    let disk =
        if part.is_some() { own.and_then(|dir| Some(dir.parent()?.to_owned())) } else { own };
    let (kind, id) = disk.and_then(|disk| identity(&disk)).unwrap_or(("devname", name.to_owned()));
    let part = part.map(|part| format!(" PART={part}")).unwrap_or_default();
    let pvid = pv.id.undashed();
    Some(format!("IDTYPE={kind} IDNAME={id} DEVNAME={name} PVID={pvid}{part}"))
}

/// `/sys/devices/.../block/sda/sda1` for `/dev/sda1`.
fn sys_folder(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?;
    fs::canonicalize(Path::new("/sys/class/block").join(name)).ok()
}

/// The sort and the text of a disk's identity, as lvmdevices(8) names them.
fn identity(disk: &Path) -> Option<(&'static str, String)> {
    let first = [
        ("loop_file", "loop/backing_file"),
        ("md_uuid", "md/uuid"),
        ("sys_wwid", "wwid"),
        ("sys_wwid", "device/wwid"),
        ("sys_serial", "serial"),
        ("sys_serial", "device/serial"),
    ];
    first.into_iter().find_map(|(kind, file)| Some((kind, word(&disk.join(file))?)))
}

/// The text of a file in sysfs, blanks within it as underscores as lvm2 writes them.
fn word(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    let printable = text.chars().all(|letter| letter.is_ascii_graphic() || letter == ' ');
    (!text.is_empty() && printable).then(|| {
        let words: Vec<_> = text.split_whitespace().collect();
        words.join("_")
    })
}

/// The value of `KEY=` in a line.
fn value<'t>(line: &'t str, key: &str) -> Option<&'t str> {
    line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// The file with these lines, its counter raised and its checksum made anew. A line of the same
/// device is replaced: its old volume is gone.
fn with_lines(old: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return old.to_owned();
    }
    let replaced = |line: &str| {
        let name = value(line, "DEVNAME");
        name.is_some() && lines.iter().any(|new| value(new, "DEVNAME") == name)
    };
    let is_hash = |line: &str| line.starts_with("# HASH=");
    let (head, body): (Vec<&str>, Vec<&str>) =
        old.lines().filter(|line| !is_hash(line)).partition(|line| line.starts_with('#'));
    let kept = body.into_iter().filter(|line| !replaced(line)).map(counted);
    let body: Vec<_> = kept.chain(lines.iter().cloned()).map(|line| line + "\n").collect();
    let body = body.concat();
    let head: Vec<_> = head.into_iter().map(|line| format!("{line}\n")).collect();
    format!("{}# HASH={}\n{body}", head.concat(), crc(body.as_bytes()))
}

/// `VERSION=1.1.8` for `VERSION=1.1.7`; any other line as it is.
fn counted(line: &str) -> String {
    let raised = line.strip_prefix("VERSION=").and_then(|version| {
        let (fixed, counter) = version.rsplit_once('.')?;
        let counter: u32 = counter.trim().parse().ok()?;
        Some(format!("VERSION={fixed}.{}", counter.wrapping_add(1)))
    });
    raised.unwrap_or_else(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_go_and_may_be_gone() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("hints"), "x").expect("written");
        invalidate(dir.path()).expect("removed");
        invalidate(dir.path()).expect("there are none");
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0);
    }

    #[test]
    fn a_line_is_added_the_counter_raised_and_the_checksum_fits() {
        let old = "# LVM uses devices listed in this file.\n# HASH=5\nHOSTNAME=one\n\
                   VERSION=1.1.7\nIDTYPE=devname IDNAME=/dev/a DEVNAME=/dev/a PVID=x\n\
                   IDTYPE=devname IDNAME=/dev/b DEVNAME=/dev/b PVID=y\n";
        let new = "IDTYPE=devname IDNAME=/dev/b DEVNAME=/dev/b PVID=z".to_owned();
        let body = format!(
            "HOSTNAME=one\nVERSION=1.1.8\nIDTYPE=devname IDNAME=/dev/a DEVNAME=/dev/a PVID=x\n\
             {new}\n"
        );
        let head = "# LVM uses devices listed in this file.\n";
        let hash = crc(body.as_bytes());
        assert_eq!(with_lines(old, &[new]), format!("{head}# HASH={hash}\n{body}"));
        assert_eq!(with_lines(old, &[]), old);
    }

    #[test]
    fn a_device_without_an_identity_goes_by_its_name() {
        let id = crate::name::LvmId::random().expect("random");
        let pv = NewPv { path: "/nowhere/disk".into(), id };
        let line = line(&pv).expect("a line");
        assert!(
            line.starts_with("IDTYPE=devname IDNAME=/nowhere/disk DEVNAME=/nowhere/disk PVID=")
        );
    }
}
