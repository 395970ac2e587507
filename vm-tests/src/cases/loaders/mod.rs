//! Real firmware and real boot loaders, with entries written by hand: what the harness can do, and
//! that the loaders do what is relied upon.

mod by_hand;
mod counting;
mod cuts;
mod grub;
mod systemd_boot;
mod systems;
mod unified;

use crate::case::Case;

pub(super) use by_hand::is_layer;

pub(super) fn cases() -> Vec<Case> {
    [counting::cases(), systemd_boot::cases(), systems::cases(), unified::cases(), cuts::cases()]
        .concat()
}
