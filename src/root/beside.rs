//! A tree whose `/boot` is a file system of its own, as installers like to make it: kernels are
//! there, and their modules in the tree.

use std::io::Read;

use super::kernels::{self, BOOT, MODULES};
use super::{Access, CONFIG_MOST, FSTAB, RootFiles, fstab};
use crate::error::Result;
use crate::units::Bytes;

/// True for a tree that holds no kernel in `/boot`, and wants something to be mounted there.
///
/// # Errors
/// As [`RootFiles`].
pub fn wants_boot(root: &dyn RootFiles) -> Result<bool> {
    let Some(table) = root.read(FSTAB, CONFIG_MOST)? else { return Ok(false) };
    let is_kernel = |name: &String| kernels::version_of(name).is_some();
    Ok(fstab::has_target(&table, BOOT) && !root.list(BOOT)?.iter().any(is_kernel))
}

/// A tree with another as its `/boot`, in which kernels without modules in the first do not show.
pub struct WithBoot<'r> {
    root: &'r dyn RootFiles,
    boot: &'r dyn RootFiles,
}

impl<'r> WithBoot<'r> {
    /// Puts them together.
    pub fn new(root: &'r dyn RootFiles, boot: &'r dyn RootFiles) -> Self {
        Self { root, boot }
    }

    /// Which of them has that path, and as what.
    fn at<'p>(&self, path: &'p str) -> (&'r dyn RootFiles, &'p str) {
        match path.strip_prefix(BOOT) {
            Some("") => (self.boot, "/"),
            Some(rest) if rest.starts_with('/') => (self.boot, rest),
            _ => (self.root, path),
        }
    }

    fn has_modules(&self, version: &str) -> Result<bool> {
        for folder in MODULES {
            if !self.root.list(&format!("{folder}/{version}"))?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl RootFiles for WithBoot<'_> {
    fn read(&self, path: &str, most: Bytes) -> Result<Option<Vec<u8>>> {
        let (root, path) = self.at(path);
        root.read(path, most)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let (root, inside) = self.at(folder);
        let mut names = root.list(inside)?;
        if folder != BOOT {
            return Ok(names);
        }
        let mut shown = Vec::with_capacity(names.len());
        for name in names.drain(..) {
            if kernels::version_of(&name).map_or(Ok(true), |version| self.has_modules(version))? {
                shown.push(name);
            }
        }
        Ok(shown)
    }

    fn open(&self, path: &str) -> Result<Option<(Box<dyn Read + '_>, Bytes)>> {
        let (root, path) = self.at(path);
        root.open(path)
    }

    fn access(&self, path: &str) -> Result<Option<Access>> {
        let (root, path) = self.at(path);
        root.access(path)
    }

    fn has(&self, path: &str) -> Result<bool> {
        let (root, path) = self.at(path);
        root.has(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::find_kernels;
    use crate::root::testing::Files;

    const TABLE: (&str, &str) = ("/etc/fstab", "x / ext4\nUUID=1 /boot ext4 defaults 1 2\n");

    #[test]
    fn a_boot_partition_is_wanted_where_the_table_says_so_and_nothing_hides_there() {
        for (files, wanted) in [
            (vec![TABLE], true),
            (vec![TABLE, ("/boot/grub/grub.cfg", "x")], true),
            (vec![TABLE, ("/usr/lib/modules/6.1/vmlinuz", "x")], true),
            (vec![TABLE, ("/boot/vmlinuz-6.1", "x")], false),
            (vec![("/etc/fstab", "x / ext4\n")], false),
            (vec![], false),
        ] {
            assert_eq!(wants_boot(&Files::of(&files)).expect("readable"), wanted, "{files:?}");
        }
    }

    #[test]
    fn kernels_are_those_that_the_tree_has_modules_for() {
        let root = Files::of(&[
            TABLE,
            ("/usr/lib/modules/6.2/modules.dep", "x"),
            ("/usr/lib/modules/6.2/vmlinuz", "x"),
            ("/boot/initrd.img-6.2", "hidden"),
        ]);
        let boot = Files::of(&[
            ("/vmlinuz-6.2", "a kernel"),
            ("/initramfs-6.2.img", "x"),
            ("/vmlinuz-6.1", "of another system"),
            ("/grub/grub.cfg", "x"),
        ]);
        let both = WithBoot::new(&root, &boot);
        let found = find_kernels(&both).expect("readable");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].kernel, "/boot/vmlinuz-6.2");
        assert_eq!(found[0].initrd.as_deref(), Some("/boot/initramfs-6.2.img"));
        let read = both.read(&found[0].kernel, CONFIG_MOST).expect("readable");
        assert_eq!(read.as_deref(), Some(&b"a kernel"[..]));
        let (file, size) = both.open("/etc/fstab").expect("readable").expect("there");
        drop(file);
        assert_eq!(size.get(), TABLE.1.len() as u64);
    }
}
