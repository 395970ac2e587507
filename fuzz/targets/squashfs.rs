//! A squashfs: whatever it says, reading all of it comes to an end, within little memory.

#![no_main]

use std::io;

use imgbase::squashfs::Squashfs;
use imgbase::tree::{Content, Making, Measure, Meta, NewTree, Of, TreePath, Xattrs, copy, weigh};
use imgbase_fuzz::{Disk, bounded_beside};
use libfuzzer_sys::fuzz_target;

/// Blocks that are kept, the window of what is packed, and a folder's names.
const KEPT: usize = 64 << 20;
/// So many entries are met, and so much of a file is read.
const ENTRIES: u64 = 2000;
const CONTENT: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    bounded_beside(KEPT, input, || {
        let Ok(Some(squashfs)) = Squashfs::open(Disk::new(input.to_vec(), 1 << 20)) else { return };
        let mut enough = |by_now: Measure| by_now.entries > ENTRIES;
        if let Ok(root) = squashfs.root() {
            let _ = weigh(&root, Of::Image, &mut enough);
        }
        if let Ok(root) = squashfs.root() {
            let _ = copy(&root, Of::Image, &mut Nowhere, &mut enough);
        }
    });
});

/// A tree that keeps nothing.
struct Nowhere;

impl NewTree for Nowhere {
    fn put(
        &mut self,
        path: &TreePath,
        meta: &Meta,
        _: &Xattrs,
        making: Making<'_>,
    ) -> io::Result<()> {
        assert!(path.bytes().starts_with(b"/") || path.bytes().is_empty(), "{path}");
        assert!(meta.mode <= 0o7777, "{meta:?}");
        match making {
            Making::File(content) => read(content),
            Making::Link(target) => {
                assert!(!target.is_empty() && !target.contains(&0), "{path}");
                Ok(())
            }
            Making::Other => Ok(()),
        }
    }

    fn link(&mut self, _: &TreePath, _: &TreePath) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: &TreePath, _: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read(content: &mut dyn Content) -> io::Result<()> {
    io::copy(&mut io::Read::take(content, CONTENT), &mut io::sink()).map(drop)
}
