//! What depmod(8) writes beside a kernel's modules, read as text (modules.dep(5)).

use std::collections::{BTreeMap, BTreeSet};

use super::{alias, name_of};
use crate::error::{Error, ErrorKind, Result};
use crate::order::Gather;

/// Where a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'t> {
    /// In the kernel itself.
    BuiltIn,
    /// In this file, below the folder of that kernel's modules.
    File(&'t str),
}

/// The modules of a kernel.
#[derive(Clone, Debug, Default)]
pub struct Tables<'t> {
    /// By name: the file, and the names of those that it depends on.
    files: BTreeMap<String, (&'t str, Vec<String>)>,
    built_in: BTreeSet<String>,
    /// Patterns, and the names of the modules that each stands for.
    aliases: Vec<(&'t str, &'t str)>,
    /// By name: what must be loaded before it, names or aliases.
    before: BTreeMap<String, Vec<&'t str>>,
}

impl<'t> Tables<'t> {
    /// Of `modules.dep`; the other tables are added where they are there.
    pub fn new(dep: &'t str) -> Self {
        let mut files = BTreeMap::new();
        for (file, needs) in dep.lines().filter_map(|line| line.split_once(':')) {
            let needs = needs.split_whitespace().map(name_of).collect();
            files.insert(name_of(file), (file, needs));
        }
        Self { files, ..Self::default() }
    }

    /// The same with `modules.builtin`: a path for each module that is in the kernel.
    #[must_use]
    pub fn with_built_in(mut self, text: &str) -> Self {
        self.built_in.extend(text.lines().map(name_of).filter(|name| !name.is_empty()));
        self
    }

    /// The same with `modules.alias`: lines of `alias PATTERN NAME`.
    #[must_use]
    pub fn with_aliases(mut self, text: &'t str) -> Self {
        self.aliases.extend(text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            words.next().filter(|word| *word == "alias")?;
            Some((words.next()?, words.next()?))
        }));
        self
    }

    /// The same with `modules.softdep`: lines of `softdep NAME pre: NAME... post: NAME...`.
    #[must_use]
    pub fn with_softdeps(mut self, text: &'t str) -> Self {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some("softdep"), Some(name)) = (words.next(), words.next()) else { continue };
            let before = words.skip_while(|word| *word != "pre:").skip(1);
            let before = before.take_while(|word| !word.ends_with(':'));
            self.before.entry(name_of(name)).or_default().extend(before);
        }
        self
    }

    /// Where the module of that name is; `None` where this kernel has none.
    pub fn find(&self, name: &str) -> Option<Place<'t>> {
        let name = name_of(name);
        match self.files.get(&name) {
            Some((file, _)) => Some(Place::File(file)),
            None => self.built_in.contains(&name).then_some(Place::BuiltIn),
        }
    }

    /// The names of the modules that an alias stands for: `pci:v00001AF4d...`, `fs-xfs`.
    pub fn of_alias(&self, alias: &str) -> BTreeSet<&'t str> {
        let found = self.aliases.iter().filter(|(pattern, _)| alias::matches(pattern, alias));
        found.map(|(_, name)| *name).gather()
    }

    /// The files of the modules of those names, each behind what it needs and once; what is in
    /// the kernel needs none. Those in `have` are left out.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a module that this kernel does not have, or one that
    /// it depends on.
    pub fn in_order<'n>(
        &self,
        wanted: impl IntoIterator<Item = &'n str>,
        have: &[&str],
    ) -> Result<Vec<&'t str>> {
        let mut order = Order { tables: self, seen: BTreeSet::new(), files: Vec::new() };
        order.seen.extend(have.iter().map(|file| name_of(file)));
        for name in wanted {
            order.add(&name_of(name))?;
        }
        Ok(order.files)
    }

    /// Files that [are in order](Self::in_order) in rows, of which none needs another.
    pub fn rows(&self, files: &[&'t str]) -> Vec<Vec<&'t str>> {
        let mut rows: Vec<Vec<&'t str>> = Vec::new();
        for file in files {
            let needs = self.needs(&name_of(file));
            let is_needed = |other: &&str| needs.contains(&name_of(other));
            let (below, apart): (Vec<_>, Vec<_>) =
                rows.into_iter().partition(|row| row.iter().any(is_needed));
            let mut row = below.concat();
            row.push(file);
            rows = apart;
            rows.push(row);
        }
        rows
    }

    /// The names of what must be there before a module.
    fn needs(&self, name: &str) -> BTreeSet<String> {
        let hard = self.files.get(name).into_iter().flat_map(|(_, needs)| needs.iter().cloned());
        let soft = self.before.get(name).into_iter().flatten();
        let soft = soft.flat_map(|before| {
            let of_alias = self.of_alias(before).into_iter().map(name_of);
            of_alias.chain([name_of(before)])
        });
        hard.chain(soft).gather()
    }
}

struct Order<'a, 't> {
    tables: &'a Tables<'t>,
    /// Those that are dealt with, or being so.
    seen: BTreeSet<String>,
    files: Vec<&'t str>,
}

impl Order<'_, '_> {
    fn add(&mut self, name: &str) -> Result<()> {
        if !self.seen.insert(name.to_owned()) {
            return Ok(());
        }
        let tables = self.tables;
        let Some((file, needs)) = tables.files.get(name) else {
            if tables.built_in.contains(name) {
                return Ok(());
            }
            let why = "this kernel has no such module, neither as a file nor built in";
            return Err(Error::new(ErrorKind::NotFound, why).op("find the module").at(name));
        };
        for before in tables.before.get(name).into_iter().flatten() {
            self.add_if_there(before)?;
        }
        needs.iter().try_for_each(|need| self.add(need))?;
        self.files.push(file);
        Ok(())
    }

    /// Of what a module would like to have before it, a name or an alias, whatever there is.
    fn add_if_there(&mut self, what: &str) -> Result<()> {
        let name = name_of(what);
        if self.tables.files.contains_key(&name) {
            return self.add(&name);
        }
        self.tables.of_alias(what).into_iter().try_for_each(|name| self.add(&name_of(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/md/dm-mod.ko:\n\
        kernel/md/dm-bufio.ko.xz: kernel/md/dm-mod.ko\n\
        kernel/md/dm-persistent-data.ko: kernel/md/dm-bufio.ko.xz kernel/md/dm-mod.ko kernel/lib/libcrc32c.ko\n\
        kernel/md/dm-thin-pool.ko: kernel/md/dm-persistent-data.ko kernel/md/dm-bufio.ko.xz kernel/md/dm-mod.ko kernel/lib/libcrc32c.ko\n\
        kernel/lib/libcrc32c.ko:\n\
        kernel/crypto/crc32c-intel.ko:\n\
        kernel/fs/a.ko: kernel/fs/b.ko\n\
        kernel/fs/b.ko: kernel/fs/a.ko\n\
        kernel/fs/c.ko: kernel/fs/lost.ko\n\
        no line\n";

    fn tables() -> Tables<'static> {
        Tables::new(DEP)
            .with_built_in("kernel/fs/ext4/ext4.ko\nkernel/crypto/crc32c_generic.ko\n\n")
            .with_aliases(
                "# text\nalias crc32c crc32c_generic\nalias crc32c crc32c_intel\nalias fs-xfs xfs\n\
                 alias pci:v*d*bc01sc08i02* nvme\nalias half\nother a b\n",
            )
            .with_softdeps(
                "# text\nsoftdep libcrc32c pre: crc32c nothing post: dm-mod\nsoftdep x post: y\n\
                 softdep\n",
            )
    }

    #[test]
    fn each_module_comes_behind_what_it_needs_and_once() {
        let order = tables().in_order(["dm_thin_pool", "dm-mod", "ext4"], &[]).expect("all there");
        let names: Vec<String> = order.iter().map(|file| name_of(file)).collect();
        let wanted = [
            "dm_mod",
            "dm_bufio",
            "crc32c_intel",
            "libcrc32c",
            "dm_persistent_data",
            "dm_thin_pool",
        ];
        let mut sorted = names.clone();
        sorted.sort_unstable();
        let mut all = wanted.map(str::to_owned);
        all.sort_unstable();
        assert_eq!(sorted, all);
        let place = |name: &str| names.iter().position(|other| other == name);
        for (before, after) in [
            ("dm_mod", "dm_bufio"),
            ("crc32c_intel", "libcrc32c"),
            ("libcrc32c", "dm_persistent_data"),
            ("dm_bufio", "dm_persistent_data"),
            ("dm_persistent_data", "dm_thin_pool"),
        ] {
            assert!(place(before) < place(after), "{names:?}");
        }
    }

    #[test]
    fn what_is_there_already_is_left_out() {
        let have = tables().in_order(["dm_bufio"], &[]).expect("all there");
        let rest = tables().in_order(["dm_bufio", "libcrc32c"], &have).expect("all there");
        assert_eq!(rest, ["kernel/crypto/crc32c-intel.ko", "kernel/lib/libcrc32c.ko"]);
    }

    #[test]
    fn what_has_nothing_to_do_with_each_other_is_parted() {
        let tables = tables();
        let order = tables.in_order(["a", "libcrc32c", "dm_bufio"], &[]).expect("all there");
        let rows = tables.rows(&order);
        let names: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|file| name_of(file)).collect()).collect();
        let row = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            names,
            [row(&["b", "a"]), row(&["crc32c_intel", "libcrc32c"]), row(&["dm_mod", "dm_bufio"])]
        );
        // One that needs two rows makes one of them, in order.
        let order = tables.in_order(["libcrc32c", "dm_thin_pool"], &[]).expect("all there");
        let rows = tables.rows(&order);
        assert_eq!((rows.len(), rows.concat()), (1, order));
    }

    #[test]
    fn a_module_that_is_missing_is_named() {
        for name in ["lost", "c"] {
            let error = tables().in_order([name], &[]).expect_err("not there");
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains("lost"), "{error}");
        }
    }

    #[test]
    fn a_circle_ends() {
        let order = tables().in_order(["a"], &[]).expect("all there");
        assert_eq!(order, ["kernel/fs/b.ko", "kernel/fs/a.ko"]);
    }

    #[test]
    fn modules_are_found_by_name_and_by_alias() {
        let tables = tables();
        assert_eq!(tables.find("dm-bufio"), Some(Place::File("kernel/md/dm-bufio.ko.xz")));
        assert_eq!(tables.find("ext4"), Some(Place::BuiltIn));
        assert_eq!(tables.find("xfs"), None);
        let of = |alias| tables.of_alias(alias).into_iter().collect::<Vec<_>>();
        assert_eq!(of("crc32c"), ["crc32c_generic", "crc32c_intel"]);
        assert_eq!(of("pci:v00001B36d00000010bc01sc08i02"), ["nvme"]);
        assert!(of("fs-ext4").is_empty());
    }
}
