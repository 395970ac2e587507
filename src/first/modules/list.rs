//! The list of modules that lies beside the first process: a line for each, the file's name in the
//! same folder, behind those that it needs. An empty line parts modules that have nothing to do with
//! each other, so that they can be loaded side by side. Those behind the word `spare` are loaded
//! last, and only where the disks do not come without them.

use std::fmt;

/// Modules in the order in which to load them, as files: `dm-mod.ko`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleList {
    /// Those that are loaded in any case, in rows of which none needs another.
    pub rows: Vec<Vec<String>>,
    /// Those that are loaded where the disks do not come without them.
    pub spare: Vec<String>,
}

/// What stands before a module that is loaded only where need be.
const SPARE: &str = "spare";

impl ModuleList {
    /// Reads a list. Lines that begin with `#` are comment; one that names a file in another
    /// folder, or nothing, is left out.
    pub fn parse(text: &str) -> Self {
        let mut list = Self::default();
        let mut row = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (None, _) => list.end_row(&mut row),
                (Some(SPARE), Some(file)) => list.spare.extend(plain(file)),
                (Some(SPARE), None) => {}
                (Some(file), _) => row.extend(plain(file)),
            }
        }
        list.end_row(&mut row);
        list
    }

    fn end_row(&mut self, row: &mut Vec<String>) {
        if !row.is_empty() {
            self.rows.push(std::mem::take(row));
        }
    }

    /// All files in the order in which they can be loaded one after the other.
    pub fn files(&self) -> impl Iterator<Item = &String> {
        self.rows.iter().flatten().chain(&self.spare)
    }
}

/// A file's name that leads into no other folder.
fn plain(file: &str) -> Option<String> {
    let plain = !file.contains('/') && file != "." && file != "..";
    plain.then(|| file.to_owned())
}

impl fmt::Display for ModuleList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# In the order of loading; empty lines part what can be loaded side by side."
        )?;
        for row in &self.rows {
            row.iter().try_for_each(|file| writeln!(f, "{file}"))?;
            writeln!(f)?;
        }
        self.spare.iter().try_for_each(|file| writeln!(f, "{SPARE} {file}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[&str]) -> Vec<String> {
        files.iter().map(|file| (*file).to_owned()).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let rows = vec![names(&["virtio.ko", "virtio_blk.ko"]), names(&["dm-mod.ko"])];
        let list = ModuleList { rows, spare: names(&["ahci.ko"]) };
        assert_eq!(ModuleList::parse(&list.to_string()), list);
        let files: Vec<&String> = list.files().collect();
        assert_eq!(files, ["virtio.ko", "virtio_blk.ko", "dm-mod.ko", "ahci.ko"]);
        assert_eq!(ModuleList::parse(""), ModuleList::default());
    }

    #[test]
    fn what_is_no_file_of_the_folder_is_left_out() {
        let text = "\n  a.ko \n../b.ko\n#c.ko\nb.ko\n\n\n..\n\nspare\nspare d.ko e.ko\nspare x/y\n";
        let list = ModuleList::parse(text);
        assert_eq!(list.rows, [names(&["a.ko", "b.ko"])]);
        assert_eq!(list.spare, ["d.ko"]);
    }
}
