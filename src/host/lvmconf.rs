//! What lvm2's configuration on this host says, as far as it concerns us. lvm2 itself need not
//! be there: every setting has lvm2's default.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::dev::bytes::read_full;
use crate::lvm2::text::{Document, Item};

/// So much of a file is in memory at once, in bytes.
const PIECE: usize = 8 << 10;

/// lvm2's settings, by their names in lvm.conf(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LvmConf {
    /// The folder of the configuration: `/etc/lvm`, or `LVM_SYSTEM_DIR`.
    pub(super) system_dir: PathBuf,
    /// `global/locking_dir`.
    pub(super) locking_dir: PathBuf,
    /// `global/metadata_read_only`.
    pub(super) metadata_read_only: bool,
    /// This host's system id, by `global/system_id_source`.
    pub(super) system_id: Option<String>,
    /// `local/extra_system_ids`.
    pub(super) extra_system_ids: Vec<String>,
    /// `devices/filter`, as it is written.
    pub(super) filter: Vec<String>,
    /// `devices/global_filter`, as it is written.
    pub(super) global_filter: Vec<String>,
    /// `devices/use_devicesfile`, where it is set; distributions differ in the default.
    pub(super) use_devicesfile: Option<bool>,
    /// `devices/devicesfile`, a name in the folder `devices`.
    pub(super) devicesfile: String,
    /// `backup/backup`.
    pub(super) backup: bool,
    /// `backup/archive`.
    pub(super) archive: bool,
    /// `backup/backup_dir`.
    pub(super) backup_dir: PathBuf,
    /// `backup/archive_dir`.
    pub(super) archive_dir: PathBuf,
    /// `backup/retain_min`, in files.
    pub(super) retain_min: usize,
    /// `backup/retain_days`.
    pub(super) retain_days: u64,
    /// `activation/thin_pool_autoextend_threshold`, in percent.
    pub(super) autoextend_threshold: u8,
    /// `activation/volume_list`, where it is set.
    pub(super) volume_list: Option<Vec<String>>,
}

impl LvmConf {
    /// Reads the configuration in `LVM_SYSTEM_DIR` or `/etc/lvm`. A file that is broken or
    /// cannot be read counts as empty, with a warning.
    pub(super) fn read() -> Self {
        let dir = std::env::var_os("LVM_SYSTEM_DIR").filter(|dir| !dir.is_empty());
        Self::read_in(&dir.map_or_else(|| PathBuf::from("/etc/lvm"), PathBuf::from))
    }

    /// The same for the configuration in this folder.
    pub(super) fn read_in(dir: &Path) -> Self {
        // lvmlocal.conf comes first: its settings win.
        Settings(vec![file(&dir.join("lvmlocal.conf")), file(&dir.join("lvm.conf"))]).conf(dir)
    }

    /// What the first process of the machine must know of it, as text for a file of its own; empty
    /// where lvm2's defaults say the same.
    pub(super) fn for_start(&self) -> String {
        let list = |key: &str, values: &[String]| match values {
            [] => String::new(),
            values => {
                let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
                format!("{key} = [ {} ]\n", values.join(", "))
            }
        };
        let mut text = String::new();
        if let Some(id) = &self.system_id {
            text.push_str("global/system_id_source = \"lvmlocal\"\n");
            text.push_str(&format!("local/system_id = {}\n", quoted(id)));
        }
        text.push_str(&list("local/extra_system_ids", &self.extra_system_ids));
        text.push_str(&list("devices/filter", &self.filter));
        text.push_str(&list("devices/global_filter", &self.global_filter));
        let threshold = self.autoextend_threshold;
        if threshold != 100 {
            text.push_str(&format!("activation/thin_pool_autoextend_threshold = {threshold}\n"));
        }
        text
    }

    /// The devices file, where it is in use: it is there, and not switched off.
    pub(super) fn devices_file(&self) -> Option<PathBuf> {
        let path = self.system_dir.join("devices").join(&self.devicesfile);
        // Where nothing is set, a file that someone made tells that lvm2 here uses it. A line
        // too many does no harm where it does not.
        (self.use_devicesfile.unwrap_or(true) && path.is_file()).then_some(path)
    }
}

/// A string as lvm2 writes it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn file(path: &Path) -> Document {
    let read = File::open(path).and_then(|file| without_comments(file, PIECE)).and_then(|text| {
        // Where it fails, the whole text gives the line's number.
        let parsed = Document::parse(&text)
            .or_else(|_| Document::parse(&fs::read_to_string(path).unwrap_or(text)));
        parsed.map_err(io::Error::other)
    });
    read.unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            log::warn!("{}: {error}; lvm2's defaults are used", path.display());
        }
        Document::default()
    })
}

/// A text without its lines of comment, which lvm2's own file consists of. It is never in memory as a whole:
/// it is larger than all else that a short command reads. So much of it is looked at together, or a whole line.
fn without_comments(mut text: impl Read, together: usize) -> io::Result<String> {
    let (mut kept, mut held, mut piece) = (Vec::new(), 0, vec![0; together.max(1)]);
    loop {
        let room = piece.get_mut(held..).unwrap_or_default();
        let got = read_full(&mut text, room).map_err(|(error, _)| error)?;
        if let Some(last) = piece.get(..held + got).filter(|last| last.len() < piece.len()) {
            keep_settings(last, &mut kept);
            return String::from_utf8(kept).map_err(io::Error::other);
        }
        let lines = piece.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        keep_settings(piece.get(..lines).unwrap_or_default(), &mut kept);
        piece.copy_within(lines.., 0);
        held = piece.len() - lines;
        if lines == 0 {
            piece.resize(2 * held, 0);
        }
    }
}

/// Adds the lines that are no comments and not empty.
fn keep_settings(lines: &[u8], kept: &mut Vec<u8>) {
    let mut start = 0;
    while let Some(rest) = lines.get(start..).filter(|rest| !rest.is_empty()) {
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first = line.iter().find(|byte| !byte.is_ascii_whitespace());
        if first.is_some_and(|byte| *byte != b'#') {
            kept.extend_from_slice(line);
            kept.push(b'\n');
        }
        start = next_line(lines, start + line.len());
    }
}

/// Where behind this place a line begins, or the text ends. Lines that are at a glance empty or a
/// comment are passed over: the file has 100 KiB of them and is read at each start of the command.
fn next_line(text: &[u8], from: usize) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let (words, rest) = text.get(from..).unwrap_or_default().as_chunks();
    let mut at = from;
    for word in words {
        // The highest bit of a byte is set where it is a line feed, and seldom elsewhere.
        let other = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'\n'));
        let mut found = other.wrapping_sub(ONES) & (ONES << 7);
        while found != 0 {
            let end = at + found.trailing_zeros() as usize / 8;
            match text.get(end..) {
                Some([b'\n', b'#' | b'\n', ..] | [b'\n', b'\t', b'#', ..]) => {}
                Some([b'\n', ..]) => return end + 1,
                _ => {}
            }
            found &= found - 1;
        }
        at += 8;
    }
    let end = rest.iter().position(|byte| *byte == b'\n');
    end.map_or(text.len(), |end| at + end + 1)
}

/// The files, the one that wins first.
struct Settings(Vec<Document>);

impl Settings {
    fn find(&self, path: &str) -> Option<&Item> {
        self.0.iter().find_map(|file| file.find(path))
    }

    fn text(&self, path: &str) -> Option<String> {
        let text = self.find(path)?.scalar()?.as_str()?.into_owned();
        Some(text).filter(|text| !text.is_empty())
    }

    fn number(&self, path: &str, default: u64) -> u64 {
        let number = self.find(path).and_then(|item| item.scalar()?.as_int());
        number.and_then(|number| u64::try_from(number).ok()).unwrap_or(default)
    }

    fn flag(&self, path: &str) -> Option<bool> {
        let scalar = self.find(path)?.scalar()?;
        match (scalar.as_int(), scalar.as_str().as_deref()) {
            (Some(number), _) => Some(number != 0),
            (None, Some("y" | "yes" | "on" | "true")) => Some(true),
            (None, Some("n" | "no" | "off" | "false")) => Some(false),
            _ => None,
        }
    }

    fn list(&self, path: &str) -> Vec<String> {
        let Some(item) = self.find(path) else { return Vec::new() };
        let one = item.scalar().map(std::slice::from_ref);
        let all = item.array().map(|array| array.scalars());
        let scalars = one.or(all).unwrap_or_default();
        scalars.iter().filter_map(|scalar| scalar.as_str()).map(|text| text.into_owned()).collect()
    }

    fn folder(&self, path: &str, default: PathBuf) -> PathBuf {
        self.text(path).map_or(default, PathBuf::from)
    }

    fn conf(&self, dir: &Path) -> LvmConf {
        let threshold = self.number("activation/thin_pool_autoextend_threshold", 100);
        let retain_min = self.number("backup/retain_min", 10);
        LvmConf {
            system_dir: dir.to_owned(),
            locking_dir: self.folder("global/locking_dir", "/run/lock/lvm".into()),
            metadata_read_only: self.flag("global/metadata_read_only").unwrap_or(false),
            system_id: self.system_id(),
            extra_system_ids: self.list("local/extra_system_ids"),
            filter: self.list("devices/filter"),
            global_filter: self.list("devices/global_filter"),
            use_devicesfile: self.flag("devices/use_devicesfile"),
            devicesfile: self.devicesfile(),
            backup: self.flag("backup/backup").unwrap_or(true),
            archive: self.flag("backup/archive").unwrap_or(true),
            backup_dir: self.folder("backup/backup_dir", dir.join("backup")),
            archive_dir: self.folder("backup/archive_dir", dir.join("archive")),
            retain_min: usize::try_from(retain_min).unwrap_or(usize::MAX),
            retain_days: self.number("backup/retain_days", 30),
            autoextend_threshold: u8::try_from(threshold.min(100)).unwrap_or(100),
            volume_list: self
                .find("activation/volume_list")
                .map(|_| self.list("activation/volume_list")),
        }
    }

    /// A name without a folder, as lvm2 demands.
    fn devicesfile(&self) -> String {
        let name = self.text("devices/devicesfile").filter(|name| !name.contains('/'));
        name.unwrap_or_else(|| "system.devices".to_owned())
    }

    fn system_id(&self) -> Option<String> {
        let source = self.text("global/system_id_source")?;
        let found = match source.as_str() {
            "none" => return None,
            "lvmlocal" => self.text("local/system_id"),
            "uname" => first_line(Path::new("/proc/sys/kernel/hostname")),
            "machineid" => first_line(Path::new("/etc/machine-id")),
            "file" => self.text("global/system_id_file").and_then(|path| first_line(path.as_ref())),
            _ => None,
        };
        let id = found.map(|text| cleaned(&text)).filter(|id| !id.is_empty());
        if id.is_none() {
            log::warn!("lvm2's system_id_source \"{source}\" gives this host no system id");
        }
        id
    }
}

/// The first line that is no comment.
fn first_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned)
}

/// As lvmsystemid(7) has it: letters, digits and `_.-+`, the first a letter or digit, at most 128.
/// A host named localhost has none.
fn cleaned(text: &str) -> String {
    let known = |letter: &char| letter.is_ascii_alphanumeric() || "_.-+".contains(*letter);
    let text = text.trim_start_matches(|letter: char| !letter.is_ascii_alphanumeric());
    let id: String = text.chars().filter(known).take(128).collect();
    if id.starts_with("localhost") { String::new() } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(main: &str, local: &str) -> LvmConf {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("lvm.conf"), main).expect("written");
        fs::write(dir.path().join("lvmlocal.conf"), local).expect("written");
        LvmConf::read_in(dir.path())
    }

    #[test]
    fn without_files_lvm2s_defaults_hold() {
        let conf = LvmConf::read_in(Path::new("/nowhere"));
        assert_eq!(conf.locking_dir, Path::new("/run/lock/lvm"));
        assert_eq!(conf.archive_dir, Path::new("/nowhere/archive"));
        assert_eq!((conf.retain_min, conf.retain_days), (10, 30));
        assert_eq!((conf.autoextend_threshold, conf.system_id), (100, None));
        assert!(
            conf.backup && conf.archive && !conf.metadata_read_only && conf.volume_list.is_none()
        );
    }

    #[test]
    fn settings_are_read_and_the_local_file_wins() {
        let main = "# text\nglobal {\n\tlocking_dir = \"/locks\" # why\n\
                    system_id_source = \"lvmlocal\"\n metadata_read_only = 1\n}\n\
                    devices { filter = [ \"a|^/dev/sd|\", \"r|.*|\" ]\n use_devicesfile = 0 }\n\
                    activation { thin_pool_autoextend_threshold = 70\n volume_list = [ \"vg\" ] }\n\
                    backup/archive = 0\n";
        let local = "local { system_id = \"one\"\n extra_system_ids = [ \"two\", \"three\" ] }\n\
                     backup { retain_min = 3 }\n";
        let conf = conf(main, local);
        assert_eq!(conf.locking_dir, Path::new("/locks"));
        assert_eq!(conf.system_id.as_deref(), Some("one"));
        assert_eq!(conf.extra_system_ids, ["two", "three"]);
        assert_eq!(conf.filter, ["a|^/dev/sd|", "r|.*|"]);
        assert_eq!((conf.use_devicesfile, conf.retain_min), (Some(false), 3));
        assert_eq!(conf.autoextend_threshold, 70);
        assert!(conf.metadata_read_only && conf.backup && !conf.archive);
        assert_eq!(conf.volume_list, Some(vec!["vg".to_owned()]));
    }

    #[test]
    fn a_broken_file_gives_the_defaults_and_the_other_still_counts() {
        let conf = conf("global { locking_dir = ", "backup { retain_days = 1 }\n");
        assert_eq!(conf.locking_dir, Path::new("/run/lock/lvm"));
        assert_eq!(conf.retain_days, 1);
    }

    fn without(text: &str, together: usize) -> String {
        without_comments(text.as_bytes(), together).expect("memory")
    }

    #[test]
    fn comments_go_and_settings_stay() {
        let text = "a = 1 # why\n\t# b = [\nc = [\n # one\n \"#x\",\n \"y\" ]\n";
        let read = Document::parse(&without(text, 7)).expect("it parses");
        let plain = Document::parse(text).expect("it parses");
        for key in ["a", "b", "c"] {
            assert_eq!(
                read.find(key).map(|item| format!("{:?}", item.array())),
                plain.find(key).map(|item| format!("{:?}", item.array())),
            );
        }
        let filter = conf("devices { filter = [\n # one\n \"a|#|\",\n \"r|.*|\" ] }", "").filter;
        assert_eq!(filter, ["a|#|", "r|.*|"]);
    }

    proptest::proptest! {
        #[test]
        fn lines_are_kept_or_left_whole(text in "[#a \t\n\u{b}\u{8a}é]{0,90}", together in 0usize..40) {
            let kept = |line: &&str| line.bytes().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| byte != b'#');
            let lines: String = text.split('\n').filter(kept).map(|line| format!("{line}\n")).collect();
            proptest::prop_assert_eq!(without(&text, together), lines);
        }
    }

    #[test]
    fn what_the_first_process_gets_says_the_same() {
        let main = "devices { filter = [ \"a|^/dev/sd|\", \"r|\\\"x\\\\d|\" ]\n global_filter = \"r|loop|\" }\n\
                    activation { thin_pool_autoextend_threshold = 70 }\n\
                    global { system_id_source = \"lvmlocal\" }\n";
        let local = "local { system_id = \"one\"\n extra_system_ids = [ \"two\" ] }\n";
        let (whole, nothing) = (conf(main, local), conf("", ""));
        let part = conf(&whole.for_start(), "");
        assert_eq!(part.filter.len(), 2);
        assert_eq!((&part.filter, &part.global_filter), (&whole.filter, &whole.global_filter));
        assert_eq!((&part.system_id, part.autoextend_threshold), (&whole.system_id, 70));
        assert_eq!(part.extra_system_ids, whole.extra_system_ids);
        assert_eq!(nothing.for_start(), "");
    }

    #[test]
    fn a_system_id_is_cleaned() {
        assert_eq!(cleaned("_my host!"), "myhost");
        assert_eq!(cleaned("localhost.localdomain"), "");
    }
}
