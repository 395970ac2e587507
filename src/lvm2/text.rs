//! The text (being written).

/// A text as a tree.
#[derive(Clone, Debug, Default)]
pub struct Document {}
