//! Boot entries, judged by models of the loaders.

mod crash;
mod faults;
mod grub;
mod life;
mod real_grub;
mod script;
mod systemd;
mod world;
