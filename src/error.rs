//! One error type for the whole library: what was tried, on what, why it
//! failed, and what was left as it was.
//!
//! Modules keep their details private: each has an enum of its own that lands
//! in [`Error::source`](std::error::Error::source). What a caller acts on is
//! [`Error::kind`].

use std::borrow::Cow;
use std::fmt;

use crate::units::Bytes;

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What sort of failure it is: decides what a caller can do, and the command's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's argument is wrong.
    Invalid,
    /// The object that was named does not exist.
    NotFound,
    /// It exists already.
    Exists,
    /// It is in use: mounted, open, or locked by another process.
    Busy,
    /// The caller may not do it.
    Denied,
    /// Not enough room. Predicted before the first write wherever it can be.
    NoSpace {
        /// How much is needed.
        need: Bytes,
        /// How much there is.
        have: Bytes,
    },
    /// A limit of this program, or a volume group that it must not touch.
    Unsupported,
    /// A checksum, a magic or an invariant on disk does not hold.
    Corrupt,
    /// Kernel and metadata disagree in a way that nobody may mend by guessing.
    Diverged,
    /// An earlier operation was cut short and could not be finished or undone here.
    NeedsRecovery,
    /// A health check failed.
    Unhealthy,
    /// A program that was run (mke2fs, tune2fs, xfs_admin) failed or is missing.
    Tool,
    /// Reading or writing failed.
    Io,
    /// The user stopped it (SIGINT), and the stop was clean.
    Interrupted,
}

impl ErrorKind {
    /// A stable word for it, used in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::Exists => "exists",
            Self::Busy => "busy",
            Self::Denied => "denied",
            Self::NoSpace { .. } => "no-space",
            Self::Unsupported => "unsupported",
            Self::Corrupt => "corrupt",
            Self::Diverged => "diverged",
            Self::NeedsRecovery => "needs-recovery",
            Self::Unhealthy => "unhealthy",
            Self::Tool => "tool",
            Self::Io => "io",
            Self::Interrupted => "interrupted",
        }
    }

    /// The command's exit code for it.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Invalid => 2,
            Self::NotFound | Self::Exists | Self::Busy | Self::Denied => 3,
            Self::NoSpace { .. } => 4,
            Self::Unsupported => 5,
            Self::Corrupt | Self::Diverged => 6,
            Self::NeedsRecovery => 7,
            Self::Unhealthy => 8,
            Self::Tool | Self::Io => 1,
            Self::Interrupted => 130,
        }
    }
}

/// A failure. Prints as one line: `WHAT: AT: WHY; KEPT`.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    op: Option<Cow<'static, str>>,
    at: Option<String>,
    source: Source,
    kept: Option<Cow<'static, str>>,
}

impl Error {
    /// An error of `kind` for the reason `source`: a module's private detail, an [`std::io::Error`],
    /// or a plain sentence.
    pub fn new(kind: ErrorKind, source: impl Into<Source>) -> Self {
        Self(Box::new(Inner { kind, op: None, at: None, source: source.into(), kept: None }))
    }

    /// An I/O failure. A full device becomes [`ErrorKind::NoSpace`], a refusal
    /// [`ErrorKind::Denied`], a busy device [`ErrorKind::Busy`].
    pub fn io(source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::StorageFull => {
                ErrorKind::NoSpace { need: Bytes::ZERO, have: Bytes::ZERO }
            }
            std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::ResourceBusy => ErrorKind::Busy,
            _ => ErrorKind::Io,
        };
        Self::new(kind, source)
    }

    /// Names what was being done: `read the label`. The innermost name is kept.
    #[must_use]
    pub fn op(mut self, op: impl Into<Cow<'static, str>>) -> Self {
        self.0.op.get_or_insert(op.into());
        self
    }

    /// Names the object: a device, a volume, a file. The innermost name is kept.
    #[must_use]
    pub fn at(mut self, at: impl fmt::Display) -> Self {
        if self.0.at.is_none() {
            self.0.at = Some(at.to_string());
        }
        self
    }

    /// Names the device and the byte on it.
    #[must_use]
    pub fn at_byte(self, device: impl fmt::Display, offset: Bytes) -> Self {
        self.at(format_args!("{device}, byte {}", offset.get()))
    }

    /// Says what was left as it was: `nothing was changed`, `metadata still at seqno 41`.
    /// The outermost word is kept: whoever called last knows most.
    #[must_use]
    pub fn kept(mut self, kept: impl Into<Cow<'static, str>>) -> Self {
        self.0.kept = Some(kept.into());
        self
    }

    /// The same error as another kind, for callers that know better.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done, if it was named.
    pub fn operation(&self) -> Option<&str> {
        self.0.op.as_deref()
    }

    /// The object, if it was named.
    pub fn object(&self) -> Option<&str> {
        self.0.at.as_deref()
    }

    /// What was left as it was, if it was said.
    pub fn unchanged(&self) -> Option<&str> {
        self.0.kept.as_deref()
    }

    /// Why, without the object and the operation.
    pub fn reason(&self) -> String {
        let mut text = self.0.source.to_string();
        let mut next = self.0.source.source();
        while let Some(source) = next {
            let more = source.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            next = source.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        if let Some(op) = &self.0.op {
            line.push_str("cannot ");
            line.push_str(op);
            line.push_str(": ");
        }
        if let Some(at) = &self.0.at {
            line.push_str(at);
            line.push_str(": ");
        }
        line.push_str(&self.reason());
        if let Some(kept) = &self.0.kept {
            line.push_str("; ");
            line.push_str(kept);
        }
        // One line, whatever a disk or a child process put into it.
        for c in line.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.source.as_ref())
    }
}

/// Turns a plain `io::Result` into ours, naming what was done and where.
pub trait IoContext<T> {
    /// See [`Error::op`] and [`Error::at`].
    fn context(self, op: &'static str, at: impl fmt::Display) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn context(self, op: &'static str, at: impl fmt::Display) -> Result<T> {
        self.map_err(|source| Error::io(source).op(op).at(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_one_line_with_the_inner_place_and_the_outer_word() {
        let error = Error::new(ErrorKind::Corrupt, "bad\nmagic")
            .at_byte("/dev/sda", Bytes::new(512))
            .op("read the label")
            .at("the volume group")
            .kept("nothing was changed");
        let line = "cannot read the label: /dev/sda, byte 512: bad\\nmagic; nothing was changed";
        assert_eq!(error.to_string(), line);
        assert_eq!(error.kind().exit_code(), 6);
    }

    #[test]
    fn io_errors_become_what_they_mean() {
        let full = Error::io(std::io::Error::from_raw_os_error(28));
        assert_eq!(full.kind().exit_code(), 4);
        assert_eq!(Error::io(std::io::Error::from_raw_os_error(16)).kind(), ErrorKind::Busy);
        assert_eq!(Error::io(std::io::Error::from_raw_os_error(5)).kind(), ErrorKind::Io);
    }
}
