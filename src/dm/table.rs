//! Tables as values.

/// A table (being written).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Lines.
    pub targets: Vec<String>,
}
