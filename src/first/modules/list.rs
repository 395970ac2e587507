//! The list of modules that lies beside the first process: a line for each, the file's name in the
//! same folder, in the order in which to load them. Those behind the word `spare` are loaded only
//! where the disks do not come without them.

use std::fmt;

use super::name_of;

/// A module that is to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModule {
    /// Its file: `dm-mod.ko`.
    pub file: String,
    /// Whether it is only for disks that do not come without it.
    pub spare: bool,
}

impl ListedModule {
    /// Its name, as the kernel spells it.
    pub fn name(&self) -> String {
        name_of(&self.file)
    }
}

/// Modules in the order in which to load them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleList(pub Vec<ListedModule>);

/// What stands before a module that is loaded only where need be.
const SPARE: &str = "spare";

impl ModuleList {
    /// Reads a list. Lines that begin with `#` are comment; one that names a file in another
    /// folder, or nothing, is left out.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let modules = lines.filter_map(|line| {
            let mut words = line.split_whitespace();
            let first = words.next()?;
            let (file, spare) = if first == SPARE { (words.next()?, true) } else { (first, false) };
            let plain = !file.contains('/') && file != "." && file != "..";
            plain.then(|| ListedModule { file: file.to_owned(), spare })
        });
        Self(modules.collect())
    }
}

impl fmt::Display for ModuleList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Loaded in this order; those that are spare only where no disk comes without."
        )?;
        self.0.iter().try_for_each(|module| match module.spare {
            true => writeln!(f, "{SPARE} {}", module.file),
            false => writeln!(f, "{}", module.file),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let module = |file: &str, spare| ListedModule { file: file.to_owned(), spare };
        let list = ModuleList(vec![module("dm-mod.ko", false), module("ahci.ko", true)]);
        assert_eq!(ModuleList::parse(&list.to_string()), list);
        assert_eq!(list.0[0].name(), "dm_mod");
    }

    #[test]
    fn what_is_no_file_of_the_folder_is_left_out() {
        let text = "\n  a.ko \n../b.ko\n..\n#c.ko\nspare\nspare d.ko e.ko\n";
        let list = ModuleList::parse(text);
        let files: Vec<_> = list.0.iter().map(|module| module.file.as_str()).collect();
        assert_eq!(files, ["a.ko", "d.ko"]);
    }
}
