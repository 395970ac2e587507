//! Bytes that real lvm2 wrote, for tests.

use std::io::Read;

/// The first MiB of physical volumes.
pub(crate) const HEADS: [&str; 5] = [
    "head-pv0mda.bin.gz",
    "head-pv2mda.bin.gz",
    "head-pvcreate.bin.gz",
    "head-thin.bin.gz",
    "head-vgcreate.bin.gz",
];

/// A file of `tests/data/lvm2`, unpacked.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/lvm2/{name}", env!("CARGO_MANIFEST_DIR"));
    let packed = std::fs::File::open(&path).expect(&path);
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).expect("a gzip file");
    bytes
}
