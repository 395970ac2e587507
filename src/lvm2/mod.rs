//! LVM2's metadata: labels, metadata areas, the text, and changes to it.

pub mod commit;
pub mod crc;
pub mod create;
pub mod label;
mod le;
pub mod mda;
pub mod model;
pub mod ring;
pub mod scan;
mod standin;
pub mod store;
pub mod text;

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
pub(crate) mod testing;

pub use model::Vg;
pub use standin::NewVg;
