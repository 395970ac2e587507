//! A part of an image as it comes; what breaks off goes on where it was.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Repository;
use crate::error::{Error, ErrorKind, Result};

/// So often one after the other nothing may come.
const FAILURES_MOST: u32 = 4;
/// The first pause; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 300 });

pub(super) struct Download {
    repository: Arc<Repository>,
    url: String,
    accept: &'static str,
    /// What has come by now.
    at: u64,
    body: Option<Box<dyn Read + Send>>,
    /// What the registry says that it is.
    pub(super) media_type: String,
    failures: u32,
}

impl Download {
    pub(super) fn begin(
        repository: Arc<Repository>,
        url: String,
        accept: &'static str,
    ) -> Result<Self> {
        let media_type = String::new();
        let mut download =
            Self { repository, url, accept, at: 0, body: None, media_type, failures: 0 };
        loop {
            match download.go_on() {
                Ok(()) => return Ok(download),
                Err(error) if error.kind() == ErrorKind::Io => {
                    download.failures = download.failures.saturating_add(1);
                    download.pause(error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for the rest.
    fn go_on(&mut self) -> Result<()> {
        let response = self.repository.get(&self.url, self.accept, self.at)?;
        // Without the part that was asked for, all of it comes.
        let comes_from = match (response.status, response.header("content-range")) {
            (206, Some(range)) => start_of(&range),
            _ => Some(0),
        };
        self.media_type = response.media_type();
        let mut body = response.body;
        let skip = comes_from.and_then(|from| self.at.checked_sub(from)).ok_or_else(|| {
            Error::new(ErrorKind::Io, "the registry has sent another part than was asked for")
        })?;
        let skipped = io::copy(&mut Read::take(&mut body, skip), &mut io::sink());
        if skipped.map_err(Error::io)? < skip {
            return Err(Error::new(ErrorKind::Io, "the registry has sent less than before"));
        }
        self.body = Some(body);
        Ok(())
    }

    /// Waits before another try, unless there were enough.
    fn pause<E: std::fmt::Display>(&self, error: E) -> std::result::Result<(), E> {
        if self.failures >= FAILURES_MOST {
            return Err(error);
        }
        log::info!("{}: {error}; it goes on at byte {}", self.url, self.at);
        thread::sleep(PAUSE.saturating_mul(1 << self.failures.min(6)));
        Ok(())
    }

    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.body.is_none() {
            // Of another kind than damage, which it is not.
            self.go_on().map_err(|error| io::Error::other(error.to_string()))?;
        }
        let Some(body) = &mut self.body else { return Ok(0) };
        body.read(buf).map_err(|error| io::Error::other(format!("the download broke off: {error}")))
    }
}

/// The first byte that `bytes FIRST-LAST/ALL` tells.
fn start_of(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

impl Read for Download {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.try_read(buf) {
                Ok(read) => {
                    self.at = self.at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
                    self.failures = 0;
                    return Ok(read);
                }
                Err(error) => {
                    self.body = None;
                    self.failures = self.failures.saturating_add(1);
                    self.pause(error)?;
                }
            }
        }
    }
}
