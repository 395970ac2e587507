//! The cases: Rust functions that read as scripts, and the table that names them.

mod lvm2_alone;

use crate::case::Case;

/// Every case, in the order in which they are tried.
#[must_use]
pub fn all() -> Vec<Case> {
    [lvm2_alone::cases()].concat()
}
