//! Cold caches: everyone reads from the disks, and nobody pays for what ran before.

use std::fs;

use crate::error::{Doing, Result};

/// Bytes of memory that stay free for the kernel.
const KEPT_FREE: usize = 64 << 20;

/// Drops what the page cache holds, so that everyone reads the image from the disk.
pub(super) fn forget_files() -> Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").doing("drop_caches")?;
    overwrite_free_memory()
}

/// Writes to all memory that is free.
///
/// An emulator drops its translation of a program when the memory that held the program is
/// written to. Whoever came first after many processes would pay for that: 15 to 20 s here, spent
/// in QEMU's `page_collection_lock` and `tcg_flush_jmp_cache`.
fn overwrite_free_memory() -> Result<()> {
    let said = fs::read_to_string("/proc/meminfo").doing("/proc/meminfo")?;
    let free = said.lines().find_map(|line| line.strip_prefix("MemFree:")?.strip_suffix(" kB"));
    let kib: usize = free.unwrap_or_default().trim().parse().doing("MemFree")?;
    let bytes = (kib * 1024).saturating_sub(KEPT_FREE);
    std::hint::black_box(vec![1_u8; bytes]);
    Ok(())
}
