use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::dev::MemDev;
use crate::dm::thin_metadata::testing::Sample;

/// Where the superblock has the root of the mappings.
const MAPPINGS: usize = 320;

/// A device's mappings: a chunk's number in the pool and a time, by its number in the device.
type Map = BTreeMap<u64, (u64, u64)>;

/// Trees of mappings, in which a node that has the content of another one is that one.
struct Trees {
    sample: Sample,
    known: HashMap<(bool, Vec<(u64, u64)>), u64>,
    /// Most entries in a node.
    width: usize,
}

impl Trees {
    fn new(width: usize) -> Self {
        Self { sample: Sample::new(1), known: HashMap::new(), width }
    }

    fn node(&mut self, is_leaf: bool, pairs: &[(u64, u64)]) -> u64 {
        if let Some(block) = self.known.get(&(is_leaf, pairs.to_vec())) {
            return *block;
        }
        let number = self.sample.blocks.len();
        self.sample.blocks.push([0; 4096]);
        let entries: Vec<_> = pairs.iter().map(|(key, value)| (*key, vec![*value])).collect();
        self.sample.node(number, if is_leaf { 2 } else { 1 }, 8, &entries);
        let block = u64::try_from(number).expect("small");
        self.known.insert((is_leaf, pairs.to_vec()), block);
        block
    }

    /// The tree of these mappings, split where keys say so, so that it is much the same for maps
    /// that are.
    fn tree(&mut self, map: &Map) -> u64 {
        let mut level: Vec<(u64, u64)> =
            map.iter().map(|(key, (block, time))| (*key, (block << 24) | time)).collect();
        let mut is_leaf = true;
        loop {
            let mut above = Vec::new();
            for part in self.parts(&level) {
                let first = part.first().map_or(0, |(key, _)| *key);
                above.push((first, self.node(is_leaf, &part)));
            }
            match above.as_slice() {
                [] => return self.node(true, &[]),
                [(_, root)] => return *root,
                _ => (level, is_leaf) = (above, false),
            }
        }
    }

    fn parts(&self, pairs: &[(u64, u64)]) -> Vec<Vec<(u64, u64)>> {
        let mut parts: Vec<Vec<(u64, u64)>> = Vec::new();
        for pair in pairs {
            match parts.last_mut() {
                Some(last) if last.len() < self.width && (last.len() < 2 || pair.0 % 5 != 0) => {
                    last.push(*pair);
                }
                _ => parts.push(vec![*pair]),
            }
        }
        parts
    }

    /// Pool metadata with two devices that have these maps.
    fn of(width: usize, a: &Map, b: &Map) -> MemDev {
        let mut trees = Self::new(width);
        let (a, b) = (trees.tree(a), trees.tree(b));
        let top = trees.node(true, &[(1, a), (7, b)]);
        trees.sample.root(MAPPINGS, top);
        trees.sample.dev()
    }
}

fn chunks(ranges: &[Range<u64>]) -> Vec<u64> {
    ranges.iter().flat_map(Clone::clone).collect()
}

fn differing(a: &Map, b: &Map) -> Vec<u64> {
    let place = |map: &Map, key: &u64| map.get(key).map(|(block, _)| *block);
    let mut keys: Vec<u64> = a.keys().chain(b.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| place(a, key) != place(b, key));
    keys
}

/// Counts what is read.
struct Counted(MemDev, AtomicUsize);

impl Dev for Counted {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn size(&self) -> Bytes {
        self.0.size()
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read_at(buf, at)
    }

    fn write_at(&self, data: &[u8], at: Bytes) -> io::Result<()> {
        self.0.write_at(data, at)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, at: Bytes, len: Bytes) -> io::Result<()> {
        self.0.discard(at, len)
    }
}

#[test]
fn it_costs_what_differs_and_not_what_there_is() {
    let a: Map = (0..100_000).map(|chunk| (chunk, (chunk + 50, 1))).collect();
    let mut b = a.clone();
    b.insert(40_000, (900_000, 2));
    b.remove(&70_001);
    let dev = Counted(Trees::of(250, &a, &b), AtomicUsize::new(0));
    let found = changed_chunks(&dev, 1, 7).expect("readable");
    assert_eq!((found.chunk, chunks(&found.ranges)), (Bytes::kib(64), vec![40_000, 70_001]));
    let reads = dev.1.load(Ordering::Relaxed);
    assert!(reads < 150, "{reads} of {} blocks", dev.size().get() / 4096);
}

#[test]
fn a_time_alone_is_no_difference() {
    let a: Map = (0..10).map(|chunk| (chunk, (chunk, 1))).collect();
    let b: Map = (0..10).map(|chunk| (chunk, (chunk, 2))).collect();
    let found = changed_chunks(&Trees::of(4, &a, &b), 1, 7).expect("readable");
    assert_eq!(found.ranges, []);
}

#[test]
fn an_unknown_device_is_told_and_so_is_damage() {
    let map: Map = (0..100).map(|chunk| (chunk, (chunk, 1))).collect();
    let error = changed_chunks(&Trees::of(8, &map, &Map::new()), 1, 6).expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let mut trees = Trees::new(8);
    // A node that leads to itself, keys that fall, leaves at two depths.
    let (good, low) = (trees.tree(&map), trees.node(true, &[(3, 1 << 24)]));
    let circle = u64::try_from(trees.sample.blocks.len()).expect("small");
    assert_eq!(trees.node(false, &[(0, circle)]), circle);
    let falls = trees.node(false, &[(0, trees.known[&(true, vec![(3, 1 << 24)])]), (2, low)]);
    let inner = trees.node(false, &[(9, low)]);
    let depths = trees.node(false, &[(0, low), (9, inner)]);
    for (bad, why) in [(circle, "too deep"), (falls, "twice"), (depths, "of one depth")] {
        let top = trees.node(true, &[(1, good), (7, bad)]);
        trees.sample.root(MAPPINGS, top);
        let error = changed_chunks(&trees.sample.dev(), 1, 7).expect_err("it is damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// A few chunks, near each other and far away.
fn map() -> impl Strategy<Value = Map> {
    let chunk = prop_oneof![3 => 0u64..200, 1 => 0..u64::MAX];
    proptest::collection::btree_map(chunk, (0u64..1 << 40, 0u64..4), 0..150)
}

proptest! {
    #[test]
    fn what_is_found_is_what_differs(
        a in map(),
        changes in proptest::collection::vec((0usize..200, any::<Option<u32>>()), 0..8),
        other in map(),
        width in 2usize..9,
        apart: bool,
    ) {
        let mut b = if apart { other } else { a.clone() };
        for (index, new) in changes {
            let key = a.keys().nth(index).copied().unwrap_or(index as u64 * 3);
            match new {
                Some(block) => drop(b.insert(key, (block.into(), 5))),
                None => drop(b.remove(&key)),
            }
        }
        let dev = Trees::of(width, &a, &b);
        let found = changed_chunks(&dev, 1, 7).expect("readable");
        prop_assert_eq!(chunks(&found.ranges), differing(&a, &b));
        prop_assert!(found.ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        let back = changed_chunks(&dev, 7, 1).expect("readable");
        prop_assert_eq!(back.ranges, found.ranges);
    }
}
