//! Stand-in: the real machine.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::machine::Machine;

/// How the machine is to be used.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// How long a lock of lvm2's is waited for.
    pub lock_timeout: Duration,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self { lock_timeout: Duration::from_secs(20) }
    }
}

enum Never {}

/// The real machine.
pub struct Host(Never);

impl Host {
    /// Looks at the machine.
    ///
    /// # Errors
    /// Always, so far.
    pub fn new(_config: HostConfig) -> Result<Self> {
        Err(Error::new(ErrorKind::Unsupported, "the real machine is not built yet"))
    }

    /// It.
    pub fn machine(&self) -> Machine<'_> {
        match self.0 {}
    }
}
