//! Real firmware and a real boot loader, with entries written by hand: what the harness can do, and
//! that its model of systemd-boot says what the loader does. What imgbase writes is tried by the cases
//! called `entries`.

mod by_hand;
mod systemd_boot;
mod systems;
mod unified;

use crate::case::Case;

pub(super) use by_hand::is_layer;

pub(super) fn cases() -> Vec<Case> {
    [systemd_boot::cases(), systems::cases(), unified::cases()].concat()
}
