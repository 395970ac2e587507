//! Boot entries, judged by models of the loaders.

mod crash;
mod grub;
mod life;
mod script;
mod systemd;
mod world;
