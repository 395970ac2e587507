//! How two file trees differ, told entry by entry while they are walked.

mod change;
#[cfg(feature = "host")]
mod mounted;
mod same;
mod walk;

#[cfg(test)]
mod pairs;
#[cfg(test)]
mod tests;

pub use change::{Change, ChangeKind, Difference, Differences};
#[cfg(feature = "host")]
pub use mounted::{Mounted, diff};
pub(crate) use same::Comparer;
pub use same::Trust;
pub use walk::Diff;
