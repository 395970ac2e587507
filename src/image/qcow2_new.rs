//! A new qcow2 (QEMU's docs/interop/qcow2.rst), version 3, whose tables stand before its data.
//!
//! Header, table of reference counts, blocks of these, table of the first level, those of the second,
//! then the data, in clusters of 64 KiB. Each cluster is there once, so that all counts are 1.

use std::io;

use crate::dev::Outlet;
use crate::units::Bytes;

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of eight bytes in a cluster.
const ENTRIES: u64 = CLUSTER / 8;
/// Counts of two bytes in a cluster.
const COUNTS: u64 = CLUSTER / 2;
/// In an entry: what it names is referred to once.
const ONCE: u64 = 1 << 63;
const HEADER: u32 = 104;

/// Which clusters of a disk are stored, and where.
pub(super) struct Layout {
    size: u64,
    /// A bit for each cluster.
    bits: Vec<u64>,
}

/// How many clusters each part has, in this order.
struct Parts {
    count_tables: u64,
    count_blocks: u64,
    firsts: u64,
    seconds: u64,
}

impl Layout {
    /// A cluster's size.
    pub(super) const CLUSTER: usize = 1 << CLUSTER_BITS;

    /// Of a disk of that size, with no cluster yet.
    pub(super) fn of(size: Bytes) -> Self {
        let words = usize::try_from(size.get().div_ceil(CLUSTER).div_ceil(64)).unwrap_or(0);
        Self { size: size.get(), bits: vec![0; words] }
    }

    /// The number of the cluster with that byte.
    pub(super) const fn number_of(byte: Bytes) -> u64 {
        byte.get() / CLUSTER
    }

    /// The cluster of that number is stored.
    pub(super) fn use_cluster(&mut self, number: u64) {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.bits.get_mut(word));
        word.into_iter().for_each(|word| *word |= 1 << (number % 64));
    }

    /// True where it is.
    pub(super) fn is_used(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.bits.get(word));
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// How many are.
    pub(super) fn used(&self) -> u64 {
        self.bits.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Those that one table of the second level names.
    fn of_table(&self, table: u64) -> std::ops::Range<u64> {
        let first = table.saturating_mul(ENTRIES);
        first..first.saturating_add(ENTRIES)
    }

    /// Tables of the second level that there may be.
    fn tables(&self) -> u64 {
        self.size.div_ceil(CLUSTER).div_ceil(ENTRIES)
    }

    fn has_table(&self, table: u64) -> bool {
        self.of_table(table).any(|cluster| self.is_used(cluster))
    }

    fn parts(&self) -> Parts {
        let firsts = self.tables().div_ceil(ENTRIES).max(1);
        let seconds = (0..self.tables()).filter(|table| self.has_table(*table)).count();
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        let mut parts = Parts { count_tables: 1, count_blocks: 1, firsts, seconds };
        // Blocks of counts are counted too.
        loop {
            let blocks = parts.data().saturating_add(self.used()).div_ceil(COUNTS);
            let tables = blocks.div_ceil(ENTRIES);
            if (blocks, tables) == (parts.count_blocks, parts.count_tables) {
                return parts;
            }
            (parts.count_blocks, parts.count_tables) = (blocks, tables);
        }
    }

    /// Puts out all that stands before the data.
    ///
    /// # Errors
    /// Those of the outlet.
    pub(super) fn put_tables(&self, out: &mut dyn Outlet) -> io::Result<()> {
        let parts = self.parts();
        clusters(out, self.header(&parts).into_iter())?;
        let blocks = (0..parts.count_blocks).map(|block| place(parts.first_block() + block));
        clusters(out, blocks.flat_map(u64::to_be_bytes))?;
        let all = parts.data().saturating_add(self.used());
        clusters(out, (0..all).flat_map(|_| 1u16.to_be_bytes()))?;
        let mut next = parts.first_second();
        let firsts = (0..self.tables())
            .map(|table| if self.has_table(table) { ONCE | place(take(&mut next)) } else { 0 });
        clusters(out, firsts.flat_map(u64::to_be_bytes))?;
        // A disk without a cluster has no table, but room for one.
        let mut next = parts.data();
        for table in (0..self.tables()).filter(|table| self.has_table(*table)) {
            let entries = self.of_table(table).map(|cluster| {
                if self.is_used(cluster) { ONCE | place(take(&mut next)) } else { 0 }
            });
            clusters(out, entries.flat_map(u64::to_be_bytes))?;
        }
        Ok(())
    }

    fn header(&self, parts: &Parts) -> Vec<u8> {
        let mut header = b"QFI\xfb".to_vec();
        let put32 = |value: u32, header: &mut Vec<u8>| header.extend(value.to_be_bytes());
        let put64 = |value: u64, header: &mut Vec<u8>| header.extend(value.to_be_bytes());
        let short = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        put32(3, &mut header);
        // No file behind it.
        put64(0, &mut header);
        put32(0, &mut header);
        put32(CLUSTER_BITS, &mut header);
        put64(self.size, &mut header);
        // Not encrypted.
        put32(0, &mut header);
        put32(short(self.tables()), &mut header);
        put64(place(parts.first_first()), &mut header);
        put64(place(1), &mut header);
        put32(short(parts.count_tables), &mut header);
        // No snapshots, no features.
        put32(0, &mut header);
        (0..4).for_each(|_| put64(0, &mut header));
        // Counts of 2^4 bits.
        put32(4, &mut header);
        put32(HEADER, &mut header);
        header
    }
}

impl Parts {
    fn first_block(&self) -> u64 {
        1 + self.count_tables
    }

    fn first_first(&self) -> u64 {
        self.first_block().saturating_add(self.count_blocks)
    }

    fn first_second(&self) -> u64 {
        self.first_first().saturating_add(self.firsts)
    }

    /// The first cluster of data.
    fn data(&self) -> u64 {
        self.first_second().saturating_add(self.seconds)
    }
}

fn place(cluster: u64) -> u64 {
    cluster.saturating_mul(CLUSTER)
}

fn take(next: &mut u64) -> u64 {
    let this = *next;
    *next = next.saturating_add(1);
    this
}

/// Puts out bytes, and zeros up to the end of a cluster; at least one.
fn clusters(out: &mut dyn Outlet, bytes: impl Iterator<Item = u8>) -> io::Result<()> {
    let mut cluster = Vec::with_capacity(Layout::CLUSTER);
    let mut put = 0u64;
    for byte in bytes {
        cluster.push(byte);
        if cluster.len() == Layout::CLUSTER {
            out.put(&cluster)?;
            cluster.clear();
            put = put.saturating_add(1);
        }
    }
    if !cluster.is_empty() || put == 0 {
        cluster.resize(Layout::CLUSTER, 0);
        out.put(&cluster)?;
    }
    Ok(())
}
