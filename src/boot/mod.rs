//! Boot entries: which layer the machine starts next, and what it starts when that one fails.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

pub mod args;
pub mod entry;
mod files;
pub mod folder;
pub mod grub;
mod handle;
pub mod lines;
pub mod loader;
pub mod name;
pub mod own;
mod sdboot;
mod shelf;
pub mod sim;
pub mod state;
pub mod store;
pub mod uuid;
pub mod vars;

pub use handle::{Boot, Chosen, Files, Leftover, NewEntry};
pub use loader::{Place, Tries, detect};
pub use state::{BootState, LoaderKind};
