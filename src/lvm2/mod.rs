//! LVM2's metadata: labels, metadata areas, the text, and changes to it.

pub mod alloc;
pub mod edit;
pub mod model;
pub mod text;
pub mod validate;

pub use edit::{NewVg, VgEdit};
pub use model::Vg;
