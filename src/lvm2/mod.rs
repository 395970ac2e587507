//! LVM2's metadata: labels, metadata areas, the text, and changes to it.

pub mod alloc;
pub mod commit;
pub mod crc;
pub mod create;
pub mod edit;
pub mod label;
mod le;
pub mod mda;
pub mod model;
pub mod ring;
pub mod scan;
pub mod store;
pub mod text;
pub mod validate;

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
pub(crate) mod testing;

pub use edit::{NewVg, VgEdit};
pub use model::Vg;
