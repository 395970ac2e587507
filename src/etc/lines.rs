//! Texts merged by lines.

/// More than this is not merged: 4 MiB.
pub(super) const MOST: u64 = 4 << 20;

/// Both changes of a text, where they do not touch each other. `None` where they do, or where it is
/// no text.
pub(super) fn merge(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    if [base, ours, theirs].iter().any(|text| text.contains(&0)) {
        return None;
    }
    diffy::merge_bytes(base, ours, theirs).ok()
}
