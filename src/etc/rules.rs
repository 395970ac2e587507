//! What is done where.

use super::accounts::IdMap;
use super::pattern::{Fit, Pattern};
use crate::root::FSTAB;
use crate::tree::TreePath;

/// What is carried over, and what is not left to the usual rules. What is named nowhere is the
/// image's.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Merged.
    pub merged: Vec<Pattern>,
    /// Ours as a whole where anything in it was changed here, the image's else.
    pub taken: Vec<Pattern>,
    /// What makes this host be itself (machine-id, host keys): ours, wherever we have it.
    pub identity: Vec<Pattern>,
    /// What makes a host be itself where it is to become another: nobody's, so that it is made at the
    /// first start.
    pub renewed: Vec<Pattern>,
    /// What is left as the image has it, with all that is in it.
    pub left: Vec<Pattern>,
    /// The same, where the layer has other file systems mounted at folders.
    pub mounts: Vec<TreePath>,
    /// The image's stands where both sides do not fit.
    pub image_stands: bool,
    /// What the image's ids become.
    pub ids: IdMap,
    /// What the line of the root in fstab names, whatever it names on either side: each layer has
    /// its own there. What is copied names it as before.
    pub root: Option<String>,
}

/// What is done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It is the image's.
    Left,
    /// The same, and something that was listed is there or in it.
    Mounted,
    /// It is the image's, but something in it may be listed.
    OnTheWay,
    /// It is merged.
    Merged,
    /// It is taken away, to be made anew.
    Renewed,
    /// It is taken as a whole, or not at all.
    Unit,
    /// It is in what is taken.
    Taken,
}

impl Rules {
    /// What is done with an entry, which may be a folder of ours.
    pub(super) fn treatment(&self, path: &TreePath, is_folder: bool) -> Treatment {
        let fit = |patterns: &[Pattern]| {
            let fits = patterns.iter().map(|pattern| pattern.fit(path));
            fits.max().unwrap_or(Fit::Elsewhere)
        };
        if fit(&self.left) >= Fit::Here {
            return Treatment::Left;
        }
        let (taken, merged) = (fit(&self.taken), fit(&self.merged));
        if is_folder && self.mounts.contains(path) {
            let listed = [taken, merged].iter().any(|fit| matches!(fit, Fit::Above | Fit::Here));
            return if listed { Treatment::Mounted } else { Treatment::Left };
        }
        match (taken, merged) {
            (Fit::Inside, _) => Treatment::Taken,
            (Fit::Here, _) => Treatment::Unit,
            (_, Fit::Here | Fit::Inside) if fit(&self.renewed) >= Fit::Here => Treatment::Renewed,
            (_, Fit::Here | Fit::Inside) => Treatment::Merged,
            (Fit::Above, _) | (_, Fit::Above) => Treatment::OnTheWay,
            _ => Treatment::Left,
        }
    }

    pub(super) fn is_identity(&self, path: &TreePath) -> bool {
        self.identity.iter().any(|pattern| pattern.fit(path) >= Fit::Here)
    }

    /// What the root's line names in all that is to be compared there.
    pub(super) fn root_in(&self, path: &TreePath) -> Option<&str> {
        self.root.as_deref().filter(|_| path.bytes() == FSTAB.as_bytes())
    }
}
