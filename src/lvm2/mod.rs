//! LVM2's metadata: labels, metadata areas, the text, and changes to it.

pub mod model;
pub mod text;

pub use model::Vg;
