//! Why something of the harness went wrong, as a sentence for people.

use std::fmt;
use std::io;

/// A sentence that says what failed and with what.
#[derive(Debug, Clone)]
pub struct Fail(String);

/// What everything here returns.
pub type Result<T, E = Fail> = std::result::Result<T, E>;

impl Fail {
    /// A failure that reads as `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fail {}

impl From<io::Error> for Fail {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Says what was being done when an error came.
pub trait Doing<T> {
    /// Prefixes the error with `what`.
    ///
    /// # Errors
    /// The same as before, as a [`Fail`].
    fn doing(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Fail(format!("{what}: {error}")))
    }
}
