//! The cases: Rust functions that read as scripts, and the table that names them.

mod beside_lvm2;
mod file_systems;
mod harness;
mod kit;
mod lvm2_alone;
mod main_job;
mod own_hands;
mod refusals;
mod taking_turns;
mod verbs;

use crate::case::Case;

/// The cases that every change must pass, in the order in which they are tried.
///
/// Those of `refusals` are not among them yet: they are run by name (`cargo vm refusals`).
#[must_use]
pub fn required() -> Vec<Case> {
    all().into_iter().filter(|case| !case.name.starts_with("refusals::")).collect()
}

/// Every case.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        harness::cases(),
        lvm2_alone::cases(),
        taking_turns::cases(),
        main_job::cases(),
        beside_lvm2::cases(),
        file_systems::cases(),
        own_hands::cases(),
        refusals::cases(),
        verbs::cases(),
    ]
    .concat()
}
