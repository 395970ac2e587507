//! The archive that the kernel unpacks into its first file system: cpio in the form `newc`
//! (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
//!
//! An entry is a header of 110 bytes, `070701` and 13 numbers of 8 hexadecimal digits, then the
//! name with a NUL, then the content; name and content are each padded to a multiple of 4. What is
//! not said in an entry is zero: equal entries give equal bytes.

use std::io::{self, Write};

const MAGIC: &str = "070701";
/// The name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

// stat(2).
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHAR_DEVICE: u32 = 0o020_000;

/// An archive that is being written.
pub struct Archive<W> {
    out: W,
    written: u64,
    next: u32,
}

/// What the header of an entry says beyond its name.
#[derive(Clone, Copy, Default)]
struct Header {
    mode: u32,
    links: u32,
    size: u32,
    device: (u32, u32),
}

impl<W: Write> Archive<W> {
    /// An empty one.
    pub fn new(out: W) -> Self {
        Self { out, written: 0, next: 1 }
    }

    /// A folder, which must come before what is in it.
    ///
    /// # Errors
    /// Those of the writer, as for all entries.
    pub fn folder(&mut self, name: &str, permissions: u32) -> io::Result<()> {
        let mode = FOLDER | permissions;
        self.entry(name, Header { mode, links: 2, ..Header::default() })
    }

    /// A file with that content.
    ///
    /// # Errors
    /// `InvalidInput` for one of 4 GiB and more, which the form does not hold.
    pub fn file(&mut self, name: &str, permissions: u32, content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mode = FILE | permissions;
        self.entry(name, Header { mode, links: 1, size, ..Header::default() })?;
        self.put(content)?;
        self.pad()
    }

    /// A character device.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn char_device(
        &mut self,
        name: &str,
        permissions: u32,
        device: (u32, u32),
    ) -> io::Result<()> {
        let mode = CHAR_DEVICE | permissions;
        self.entry(name, Header { mode, links: 1, device, ..Header::default() })
    }

    /// Ends it and gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.next = 0;
        self.entry(TRAILER, Header { links: 1, ..Header::default() })?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, header: Header) -> io::Result<()> {
        let Header { mode, links, size, device: (major, minor) } = header;
        let name_len = name.len().checked_add(1).and_then(|len| u32::try_from(len).ok());
        let name_len = name_len.ok_or(io::ErrorKind::InvalidInput)?;
        let (owner, group, time, checksum) = (0, 0, 0, 0);
        let (on_major, on_minor) = (0, 0);
        let numbers = [
            self.next, mode, owner, group, links, time, size, on_major, on_minor, major, minor,
            name_len, checksum,
        ];
        self.next = self.next.saturating_add(1);
        let digits: String = numbers.iter().map(|number| format!("{number:08x}")).collect();
        self.put(format!("{MAGIC}{digits}{name}\0").as_bytes())?;
        self.pad()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = u64::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.written = self.written.saturating_add(len);
        self.out.write_all(bytes)
    }

    fn pad(&mut self) -> io::Result<()> {
        while !self.written.is_multiple_of(4) {
            self.put(b"\0")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn sample() -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        archive.folder("dev", 0o755).expect("memory takes it");
        archive.char_device("dev/console", 0o600, (5, 1)).expect("memory takes it");
        archive.file("init", 0o755, b"hello").expect("memory takes it");
        archive.file("empty", 0o644, b"").expect("memory takes it");
        archive.finish().expect("memory takes it")
    }

    #[test]
    fn an_entry_is_a_header_a_name_and_a_content() {
        let bytes = sample();
        let first = "07070100000001000041ed000000000000000000000002\
            0000000000000000000000000000000000000000000000000000000400000000dev\0";
        assert_eq!(bytes.get(..114), Some(first.as_bytes()));
        // The header of 110 bytes and a name of 4 are padded.
        assert_eq!(bytes.get(114..116), Some(&b"\0\0"[..]));
        assert_eq!(bytes.get(116..122), Some(MAGIC.as_bytes()));
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(bytes, sample());
    }

    /// bsdtar or cpio, where one is installed, reads what was written.
    #[test]
    fn others_read_it() {
        let list = |program: &str, args: &[&str]| -> Option<String> {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), sample()).expect("written");
            let stdin = std::fs::File::open(file.path()).expect("there");
            let output = Command::new(program)
                .args(args)
                .stdin(Stdio::from(stdin))
                .stderr(Stdio::null())
                .output();
            output.ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        for (program, args) in [("cpio", &["-t"][..]), ("bsdtar", &["-tf", "-"])] {
            if let Some(listed) = list(program, args) {
                let names: Vec<&str> =
                    listed.lines().map(|line| line.trim_end_matches('/')).collect();
                assert_eq!(names, ["dev", "dev/console", "init", "empty"], "{program}");
            }
        }
    }
}
