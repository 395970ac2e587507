//! GRUB's environment block, `grubenv`.
//!
//! Source: GRUB 2.06, `grub-core/lib/envblk.c` and `grub-core/commands/loadenv.c`. The file has 1024
//! bytes: a line that names it, comments, lines `NAME=VALUE` in which a backslash stands before a
//! backslash and before a line feed, and `#` up to its end. GRUB writes it in place, by the list of
//! its blocks, so its size never changes.

use super::super::files;
use super::super::folder::{BootFolder, BootPath, SECTOR};
use crate::error::{Error, ErrorKind, Result};
use crate::units::Bytes;

/// The file's size.
const SIZE: usize = 1024;

const SIGNATURE: &[u8] = b"# GRUB Environment Block\n";

/// The block, taken apart: lines as they stand, each with its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrubEnv {
    lines: Vec<Box<[u8]>>,
}

/// Why some bytes are no environment block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEnv {
    /// It has another size.
    #[error("it has {0} bytes, not 1024")]
    Size(usize),
    /// It begins otherwise.
    #[error("it does not begin with '# GRUB Environment Block'")]
    Signature,
    /// A line is no assignment.
    #[error("line {0} is no assignment")]
    Line(usize),
    /// Its last line does not end.
    #[error("its last line has no end")]
    End,
}

impl Default for GrubEnv {
    /// An empty block.
    fn default() -> Self {
        Self { lines: vec![SIGNATURE.into()] }
    }
}

impl GrubEnv {
    /// An empty block with a comment in it.
    pub(super) fn commented(comment: &str) -> Self {
        Self { lines: vec![SIGNATURE.into(), format!("{comment}\n").into_bytes().into()] }
    }

    /// Takes a file apart.
    ///
    /// # Errors
    /// [`BadEnv`] for what GRUB could not read, or could not write to.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadEnv> {
        if bytes.len() != SIZE {
            return Err(BadEnv::Size(bytes.len()));
        }
        if !bytes.starts_with(SIGNATURE) {
            return Err(BadEnv::Signature);
        }
        let end = bytes.iter().rposition(|byte| *byte != b'#').unwrap_or(0).saturating_add(1);
        let mut lines = Vec::new();
        let mut rest = bytes.get(..end).unwrap_or_default();
        while !rest.is_empty() {
            let (line, after) =
                rest.split_at_checked(line_end(rest).ok_or(BadEnv::End)?).ok_or(BadEnv::End)?;
            if !line.starts_with(b"#") && !line.contains(&b'=') {
                return Err(BadEnv::Line(lines.len().saturating_add(1)));
            }
            lines.push(line.into());
            rest = after;
        }
        Ok(Self { lines })
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.lines.concat();
        bytes.resize(SIZE, b'#');
        bytes
    }

    /// A variable's value. Of several the last counts, as GRUB sets one after the other.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = |line: &[u8]| value(line, name).map(unescaped);
        self.lines.iter().rev().find_map(|line| value(line))
    }

    /// Sets a variable, in its place or behind all others.
    ///
    /// # Errors
    /// [`NoSpace`](ErrorKind::NoSpace) where the block is full: it never grows.
    pub fn set(&mut self, name: &str, text: &str) -> Result<()> {
        let line: Box<[u8]> = format!("{name}={}\n", escaped(text)).into_bytes().into();
        let place = self.lines.iter().rposition(|line| value(line, name).is_some());
        let mut lines = self.lines.clone();
        match place.and_then(|place| lines.get_mut(place)) {
            Some(old) => *old = line,
            None => lines.push(line),
        }
        let len = |lines: &[Box<[u8]>]| lines.iter().map(|line| line.len()).sum::<usize>();
        let (need, have) = (len(&lines), SIZE);
        if need > have {
            let size = |len: usize| Bytes::new(u64::try_from(len).unwrap_or(u64::MAX));
            let why = format!("{need} bytes would be needed, and it has 1024");
            let kind = ErrorKind::NoSpace { need: size(need), have: size(have) };
            return Err(Error::new(kind, why).op(format!("set {name} in GRUB's environment")));
        }
        self.lines = lines;
        Ok(())
    }

    /// Removes a variable.
    pub fn unset(&mut self, name: &str) {
        self.lines.retain(|line| value(line, name).is_none());
    }
}

/// Where the first line ends, behind its line feed; a backslash takes the next byte with it.
fn line_end(text: &[u8]) -> Option<usize> {
    let mut bytes = text.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'\n' => return Some(at.saturating_add(1)),
            _ => {}
        }
    }
    None
}

fn value<'l>(line: &'l [u8], name: &str) -> Option<&'l [u8]> {
    line.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.strip_suffix(b"\n")
}

fn unescaped(value: &[u8]) -> String {
    let (mut text, mut rest) = (Vec::new(), value);
    while let Some((first, after)) = rest.split_first() {
        let (byte, next) = match (first, after.split_first()) {
            (b'\\', Some((byte, next))) => (byte, next),
            _ => (first, after),
        };
        text.push(*byte);
        rest = next;
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\\n")
}

/// Reads the block; an empty one where there is no file.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) with what is wrong; what the folder gives.
pub(super) fn read(folder: &dyn BootFolder, path: &BootPath) -> Result<GrubEnv> {
    let Some(bytes) = folder.read(path, Bytes::mib(1))? else { return Ok(GrubEnv::default()) };
    GrubEnv::parse(&bytes).map_err(|bad| {
        let error = Error::new(ErrorKind::Corrupt, bad).op("read GRUB's environment");
        error.at(files::shown(folder, path))
    })
}

/// Writes the block in place, as GRUB does: its blocks stay where GRUB finds them, and without
/// reading a journal it sees what is written.
///
/// # Errors
/// What the folder gives; the block is then the old or the new one.
///
/// # Commit point
/// The write of the first sector; of a file that was not there, the rename that gives it its name.
pub(super) fn write(folder: &dyn BootFolder, path: &BootPath, new: &[u8]) -> Result<()> {
    let old = folder.read(path, Bytes::mib(1))?;
    let Some(old) = old.filter(|old| old.len() == new.len()) else {
        files::remove(folder, path)?;
        return files::create(folder, path, &mut &*new);
    };
    let sector = usize::try_from(SECTOR).unwrap_or(512);
    let sectors = old.chunks(sector).zip(new.chunks(sector)).enumerate();
    let changed: Vec<_> = sectors.filter(|(_, (old, new))| old != new).collect();
    // The later one first: what decides stands in the first.
    for (number, (_, bytes)) in changed.into_iter().rev() {
        let at = u64::try_from(number).unwrap_or(0).saturating_mul(SECTOR);
        folder.overwrite(path, Bytes::new(at), bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(lines: &str) -> Vec<u8> {
        let mut bytes = [SIGNATURE, lines.as_bytes()].concat();
        bytes.resize(SIZE, b'#');
        bytes
    }

    #[test]
    fn a_block_keeps_what_it_does_not_know() {
        let text = "# WARNING: Do not edit this file by tools other than grub-editenv!!!\n\
                    saved_entry=a\\\\b\nkernelopts=root=/dev/x\nmenu=1\\\n2\n";
        let mut env = GrubEnv::parse(&block(text)).expect("well-formed");
        assert_eq!(env.bytes(), block(text));
        assert_eq!(env.get("saved_entry").as_deref(), Some("a\\b"));
        assert_eq!(env.get("kernelopts").as_deref(), Some("root=/dev/x"));
        assert_eq!(env.get("menu").as_deref(), Some("1\n2"));
        assert_eq!(env.get("saved"), None);
        env.set("saved_entry", "c").expect("room");
        env.set("boot_counter", "3").expect("room");
        env.unset("menu");
        let changed = text.replace("a\\\\b", "c").replace("menu=1\\\n2\n", "boot_counter=3\n");
        assert_eq!(env.bytes(), block(&changed));
        assert_eq!(env.bytes().len(), 1024);
    }

    #[test]
    fn what_is_malformed_is_named() {
        assert_eq!(GrubEnv::parse(b""), Err(BadEnv::Size(0)));
        assert_eq!(GrubEnv::parse(&[b'#'; 1024]), Err(BadEnv::Signature));
        assert_eq!(GrubEnv::parse(&block("a=b\nnonsense\n")), Err(BadEnv::Line(3)));
        let mut open = block("");
        open.truncate(SIZE - 4);
        open.extend(b"##a=");
        assert_eq!(GrubEnv::parse(&open), Err(BadEnv::End));
        assert!(GrubEnv::parse(&block("")).is_ok());
    }

    #[test]
    fn a_full_block_is_refused_in_bytes() {
        let mut env = GrubEnv::default();
        let long = "x".repeat(SIZE - SIGNATURE.len() - "a=\n".len());
        env.set("a", &long).expect("it just fits");
        assert_eq!(GrubEnv::parse(&env.bytes()), Ok(env.clone()));
        let before = env.clone();
        let error = env.set("b", "1").expect_err("full");
        assert!(matches!(error.kind(), ErrorKind::NoSpace { need, have } if need > have));
        assert_eq!(env, before);
        env.set("a", "short").expect("shorter");
    }

    proptest! {
        #[test]
        fn what_is_set_is_read(
            all in proptest::collection::vec(("[a-z_]{1,8}", "[ -~\n]{0,20}"), 0..12),
        ) {
            let mut env = GrubEnv::default();
            for (name, value) in &all {
                env.set(name, value).expect("room");
            }
            let again = GrubEnv::parse(&env.bytes()).expect("well-formed");
            for (name, value) in &all {
                let last = all.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v);
                let read = again.get(name);
                prop_assert_eq!(read.as_ref(), last, "{} {}", name, value);
            }
        }

        #[test]
        fn what_is_read_prints_back(text in "([a-z]{0,5}=?[a-z#\\\\]{0,6}\n){0,6}") {
            let bytes = block(&text);
            if let Ok(env) = GrubEnv::parse(&bytes) {
                prop_assert_eq!(env.bytes(), bytes);
            }
        }
    }
}
