//! Stand-in: a change between two images.

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is in the second image only.
    Added,
    /// It is in the first image only.
    Removed,
    /// It is in both and differs.
    Changed,
}

/// A path that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened to it.
    pub kind: ChangeKind,
    /// The path from the image's root, as bytes.
    pub path: Vec<u8>,
    /// What differs: `content, mode`.
    pub what: String,
}
