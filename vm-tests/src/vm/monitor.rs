//! QEMU's monitor: it tells why a machine has ended, and takes what is plugged in.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use crate::error::{Doing, Result};

/// The connection: QEMU tells events to whoever has said this.
#[derive(Debug)]
pub(super) struct Monitor(BufReader<UnixStream>);

impl Monitor {
    pub(super) fn new(mut stream: UnixStream) -> Result<Self> {
        stream.write_all(b"{\"execute\":\"qmp_capabilities\"}\n").doing("QEMU's monitor")?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Plugs in a device; `arguments` is a list of JSON fields.
    pub(super) fn plug(&mut self, arguments: &str) -> Result<()> {
        let line = format!("{{\"execute\":\"device_add\",\"arguments\":{{{arguments}}}}}\n");
        self.0.get_mut().write_all(line.as_bytes()).doing("QEMU's monitor")
    }

    /// Whether the guest asked for a reset, after the end of QEMU: then all events are there.
    pub(super) fn was_reset(&mut self) -> bool {
        self.0.by_ref().lines().map_while(std::result::Result::ok).any(|line| is_reset(&line))
    }
}

/// A kernel that panics resets the machine, too, and so does a triple fault.
fn is_reset(event: &str) -> bool {
    event.contains("\"SHUTDOWN\"") && event.contains("\"guest-reset\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_told_from_the_end() {
        let event = |reason| {
            format!(
                "{{\"event\": \"SHUTDOWN\", \"data\": {{\"guest\": true, \"reason\": \"{reason}\"}}}}"
            )
        };
        assert!(is_reset(&event("guest-reset")));
        assert!(!is_reset(&event("guest-shutdown")));
    }
}
