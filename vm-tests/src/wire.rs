//! What host and guest say to each other: messages of byte fields over a virtio serial port.
//!
//! A message is a 32-bit little-endian count of fields, then each field as its 32-bit length and
//! its bytes. The first field names the message.

use std::io::{self, Read, Write};
use std::time::Duration;

/// A field is never larger than this: a wrong length must not take all memory.
const MAX_FIELD: u32 = 256 << 20;
const MAX_FIELDS: u32 = 4096;

/// The name of the virtio serial port, the same on both sides.
pub const PORT: &str = "imgbase.harness";

/// Writes one message and flushes it.
///
/// # Errors
/// Those of the channel.
pub fn send(to: &mut impl Write, fields: &[&[u8]]) -> io::Result<()> {
    let mut message = Vec::new();
    message.extend(length(fields.len())?);
    for field in fields {
        message.extend(length(field.len())?);
        message.extend(*field);
    }
    to.write_all(&message)?;
    to.flush()
}

fn length(of: usize) -> io::Result<[u8; 4]> {
    let n = u32::try_from(of).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(n.to_le_bytes())
}

/// Reads one message.
///
/// # Errors
/// Those of the channel, and `InvalidData` for a length that nobody sends.
pub fn receive(from: &mut impl Read) -> io::Result<Vec<Vec<u8>>> {
    let count = number(from, MAX_FIELDS)?;
    (0..count).map(|_| field(from)).collect()
}

fn number(from: &mut impl Read, limit: u32) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    let n = u32::from_le_bytes(bytes);
    if n > limit { Err(io::ErrorKind::InvalidData.into()) } else { Ok(n) }
}

fn field(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let n = number(from, MAX_FIELD)?;
    let mut bytes = vec![0; n as usize];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What a guest says first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// What kind of guest it is.
    pub flavour: String,
    /// The kernel's command line.
    pub cmdline: String,
    /// Since the kernel's start.
    pub uptime: Duration,
}

impl Hello {
    /// The message that tells it.
    ///
    /// # Errors
    /// Those of the channel.
    pub fn send(&self, to: &mut impl Write) -> io::Result<()> {
        let uptime = self.uptime.as_millis().to_string();
        send(to, &[b"hello", self.flavour.as_bytes(), self.cmdline.as_bytes(), uptime.as_bytes()])
    }

    /// Reads the message.
    #[must_use]
    pub fn parse(fields: &[Vec<u8>]) -> Option<Self> {
        let [hello, flavour, cmdline, uptime] = fields else { return None };
        let uptime = Duration::from_millis(text(uptime).parse().ok()?);
        let found = Self { flavour: text(flavour), cmdline: text(cmdline), uptime };
        (hello == b"hello").then_some(found)
    }
}

/// A command to run in the guest.
#[derive(Debug, Clone)]
pub struct Run {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// What it reads on standard input.
    pub stdin: Vec<u8>,
    /// When it is killed, with all of its process group.
    pub limit: Duration,
}

impl Run {
    /// `sh -c script`, with nothing on standard input.
    #[must_use]
    pub fn shell(script: &str, limit: Duration) -> Self {
        let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
        Self { argv, stdin: Vec::new(), limit }
    }

    /// The message that asks for it.
    ///
    /// # Errors
    /// Those of the channel.
    pub fn send(&self, to: &mut impl Write) -> io::Result<()> {
        let limit = self.limit.as_millis().to_string();
        let mut fields: Vec<&[u8]> = vec![b"run", limit.as_bytes(), &self.stdin];
        fields.extend(self.argv.iter().map(String::as_bytes));
        send(to, &fields)
    }

    /// Reads the fields after the message's name.
    #[must_use]
    pub fn parse(fields: &[Vec<u8>]) -> Option<Self> {
        let [limit, stdin, argv @ ..] = fields else { return None };
        let limit = Duration::from_millis(text(limit).parse().ok()?);
        let argv = argv.iter().map(|a| text(a)).collect();
        Some(Self { argv, stdin: stdin.clone(), limit })
    }
}

/// How a command ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Its exit status, or 128 and the signal, as a shell says it.
    pub status: i32,
    /// From its start to its end.
    pub wall: Duration,
    /// The most memory that it or a child of it held, in KiB.
    pub max_rss_kib: u64,
    /// Whether the time limit ended it.
    pub timed_out: bool,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Done {
    /// The message that tells it.
    ///
    /// # Errors
    /// Those of the channel.
    pub fn send(&self, to: &mut impl Write) -> io::Result<()> {
        let figures = self.figures();
        send(to, &[b"done", figures.as_bytes(), self.stdout.as_bytes(), self.stderr.as_bytes()])
    }

    /// Status, microseconds, KiB and whether it ran out of time, in one line.
    #[must_use]
    pub fn figures(&self) -> String {
        let (micros, late) = (self.wall.as_micros(), u8::from(self.timed_out));
        format!("{} {micros} {} {late}", self.status, self.max_rss_kib)
    }

    /// Reads [`Done::figures`].
    #[must_use]
    pub fn parse_figures(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let status = words.next()?.parse().ok()?;
        let wall = Duration::from_micros(words.next()?.parse().ok()?);
        let max_rss_kib = words.next()?.parse().ok()?;
        let timed_out = words.next()? == "1";
        Some(Self { status, wall, max_rss_kib, timed_out, ..Self::default() })
    }

    /// Reads the fields after the message's name.
    #[must_use]
    pub fn parse(fields: &[Vec<u8>]) -> Option<Self> {
        let [figures, stdout, stderr] = fields else { return None };
        let done = Self::parse_figures(&text(figures))?;
        Some(Self { stdout: text(stdout), stderr: text(stderr), ..done })
    }
}

/// Bytes as text, whatever they are.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_survives_the_channel() {
        let run = Run { stdin: vec![1, 2], ..Run::shell("true", Duration::from_secs(3)) };
        let mut bytes = Vec::new();
        run.send(&mut bytes).expect("a vector takes all");
        let fields = receive(&mut bytes.as_slice()).expect("just written");
        let back = Run::parse(&fields[1..]).expect("well formed");
        assert_eq!((back.argv, back.stdin, back.limit), (run.argv, run.stdin, run.limit));
    }

    #[test]
    fn a_hello_survives_the_channel() {
        let uptime = Duration::from_millis(1234);
        let hello = Hello { flavour: "plain".into(), cmdline: "a=1 b".into(), uptime };
        let mut bytes = Vec::new();
        hello.send(&mut bytes).expect("a vector takes all");
        let fields = receive(&mut bytes.as_slice()).expect("just written");
        assert_eq!(Hello::parse(&fields), Some(hello));
    }

    #[test]
    fn an_end_survives_the_channel() {
        let done = Done {
            status: 3,
            wall: Duration::from_micros(17),
            max_rss_kib: 9,
            timed_out: true,
            stdout: "out".into(),
            stderr: "err".into(),
        };
        let mut bytes = Vec::new();
        done.send(&mut bytes).expect("a vector takes all");
        let fields = receive(&mut bytes.as_slice()).expect("just written");
        assert_eq!(Done::parse(&fields[1..]), Some(done));
    }

    #[test]
    fn a_wild_length_is_refused() {
        let bytes = [1, 0, 0, 0, 255, 255, 255, 255];
        assert!(receive(&mut bytes.as_slice()).is_err());
    }
}
