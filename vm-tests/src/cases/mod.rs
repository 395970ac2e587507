//! The cases: Rust functions that read as scripts, and the table that names them.

mod adoption;
mod beside_lvm2;
mod differences;
mod entries;
mod exports;
mod file_systems;
mod first;
mod full;
mod growing;
mod harness;
mod kit;
mod layers;
mod liblvm;
mod loaders;
mod lvm2_alone;
mod main_job;
mod own_hands;
mod power;
mod reading;
mod recovery;
mod refusals;
mod sharing;
mod side_by_side;
mod sources;
mod taking_turns;
mod trees;
mod updates;
mod verbs;
mod volumes;

use crate::case::Case;

/// Every case, in the order in which they are tried: every change must pass them.
#[must_use]
pub fn all() -> Vec<Case> {
    // The longest first, so that no machine has to wait for another at the end.
    [
        recovery::cases(),
        taking_turns::cases(),
        power::cases(),
        loaders::cases(),
        entries::cases(),
        full::cases(),
        first::cases(),
        side_by_side::cases(),
        trees::cases(),
        sources::cases(),
        differences::cases(),
        sharing::cases(),
        updates::cases(),
        exports::cases(),
        volumes::cases(),
        layers::cases(),
        main_job::cases(),
        liblvm::cases(),
        adoption::cases(),
        beside_lvm2::cases(),
        file_systems::cases(),
        reading::cases(),
        own_hands::cases(),
        growing::cases(),
        harness::cases(),
        lvm2_alone::cases(),
        refusals::cases(),
        verbs::cases(),
    ]
    .concat()
}
