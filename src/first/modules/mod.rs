//! Which of the kernel's modules are needed, and in which order: what depmod(8) wrote beside them,
//! and the list that the first process loads them by.

mod alias;
mod list;
mod tables;

pub use alias::matches;
pub use list::ModuleList;
pub use tables::{Place, Tables};

/// A module's name as the kernel spells it, from a path or from what somebody wrote: without its
/// folder and its endings, with `_` for `-`.
pub fn name_of(text: &str) -> String {
    let file = text.rsplit('/').next().unwrap_or(text);
    let name = file.split_once(".ko").map_or(file, |(name, _)| name);
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_folder_no_ending_and_no_dash() {
        for text in ["kernel/drivers/md/dm-mod.ko.xz", "dm-mod.ko", "dm-mod", "dm_mod", "/x/dm_mod"]
        {
            assert_eq!(name_of(text), "dm_mod");
        }
        assert_eq!(name_of(""), "");
    }
}
