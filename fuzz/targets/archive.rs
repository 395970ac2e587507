//! A tar archive, made a tree of which nothing is kept.

#![no_main]

use std::io::{self, Read};

use imgbase::archive;
use imgbase::tree::{Making, Meta, NewTree, TreePath, Xattrs};
use imgbase::units::Bytes;
use imgbase_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 512;

fuzz_target!(|input: &[u8]| {
    let mut bytes = input.to_vec();
    bytes.chunks_exact_mut(BLOCK).for_each(mend);
    bounded(input, || {
        let measured = archive::measure(bytes.as_slice(), &mut |_| false);
        let mut paths = Paths::default();
        let unpacked = archive::unpack(bytes.as_slice(), &mut paths, Bytes::mib(1), &mut |_| false);
        if let (Ok(measured), Ok(unpacked)) = (&measured, &unpacked) {
            assert_eq!(measured, unpacked);
        }
        assert_eq!(paths.finished, unpacked.is_ok());
        // As a layer, and as one on top of itself.
        let mut stack = archive::Stack::new(&mut paths, Bytes::mib(1));
        let mut add = || stack.add(bytes.as_slice(), &mut |_| false);
        let _ = add().and_then(|()| add());
    });
});

/// Makes the checksum of a header hold: else hardly an input would get past it.
fn mend(block: &mut [u8]) {
    if block.get(257..262) != Some(b"ustar") {
        return;
    }
    let counted = |at: usize| !(148..156).contains(&at);
    let byte = |(at, byte): (usize, &u8)| if counted(at) { u32::from(*byte) } else { 32 };
    let sum: u32 = block.iter().enumerate().map(byte).sum();
    if let Some(field) = block.get_mut(148..156) {
        field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

#[derive(Default)]
struct Paths {
    finished: bool,
}

/// A path must stay where it is.
fn check(path: &TreePath) {
    let mut names = path.bytes().split(|byte| *byte == b'/');
    assert!(path.bytes().starts_with(b"/") && names.all(|name| name != b".." && name != b"."));
    assert!(!path.bytes().contains(&0));
}

impl NewTree for Paths {
    fn put(
        &mut self,
        path: &TreePath,
        meta: &Meta,
        _xattrs: &Xattrs,
        making: Making<'_>,
    ) -> io::Result<()> {
        check(path);
        // Holes may be as large as they like: they are not read to their end here.
        if let Making::File(content) = making {
            let read = io::copy(&mut Read::take(&mut *content, 1 << 20), &mut io::sink())?;
            assert_eq!(read, meta.size.get().min(1 << 20));
        }
        Ok(())
    }

    fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()> {
        check(path);
        check(first);
        Ok(())
    }

    fn remove(&mut self, path: &TreePath, _keep: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
        check(path);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.finished = true;
        Ok(())
    }
}
