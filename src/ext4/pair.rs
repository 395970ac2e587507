//! Two ext4 of which most blocks are the same ones: what differs is found from the blocks that may
//! differ, and not by a walk over all there is.
//!
//! 1. Inode tables within changed blocks: the inodes that are not told the same on both sides.
//! 2. Folders that name them. A folder that has got or lost a name differs itself, since the kernel
//!    counts its changes in it (`i_version`); for a file that was changed where it was the folder
//!    is looked for, first near it, until it has as many names as links.
//! 3. The folders above those, up to the root, on either side.
//!
//! A walk over both trees then need not go into a folder that is in none of these steps, and has
//! the same inode on both sides: below it nothing differs. What it goes into it compares as any
//! walk does. Content is read where blocks of a file are not the same ones.
//!
//! This rests on what the kernel writes, and on an order in which both were left. Where a check has
//! come between, or where they are not of one make, they are [`Apart`].

mod content;
mod inodes;
mod names;
mod view;

pub use view::View;

use std::collections::BTreeSet;
use std::ops::Range;

use self::inodes::Differing;
use super::features::incompat;
use super::inode::Ino;
use super::plain::Entered;
use super::superblock::State;
use super::tree::Tree;
use super::used::Extent;
use crate::error::Result;
use crate::units::Bytes;

/// The first or the second of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    A,
    B,
}

impl Side {
    const BOTH: [Self; 2] = [Self::A, Self::B];

    fn of<T>(self, [a, b]: &[T; 2]) -> &T {
        match self {
            Self::A => a,
            Self::B => b,
        }
    }

    fn copied<T: Copy>(self, [a, b]: [T; 2]) -> T {
        match self {
            Self::A => a,
            Self::B => b,
        }
    }

    fn of_mut<T>(self, [a, b]: &mut [T; 2]) -> &mut T {
        match self {
            Self::A => a,
            Self::B => b,
        }
    }
}

/// Why two file systems cannot be compared by their blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Apart {
    /// A mount would change one of them, or it has seen errors.
    #[error("one of them was not left in order")]
    NotClean,
    /// A feature unknown here, or names and content that only the kernel has keys for.
    #[error("one of them has a feature that is beyond this")]
    Feature,
    /// Blocks or inodes are not where the other one has them.
    #[error("they are not laid out alike")]
    Layout,
    /// They are not of one make.
    #[error("they were made at different times")]
    Made,
    /// e2fsck has been over one of them, which leaves folders that do not tell of their changes.
    #[error("one of them was checked since")]
    Checked,
}

/// Two file systems, and where they differ.
pub struct Pair<'t> {
    sides: [&'t Tree<'t>; 2],
    changed: Changed,
    /// Inodes that are not told the same, and the folders above them.
    differing: BTreeSet<Ino>,
    /// Folders that were gone into: each has one name.
    entered: [Entered; 2],
}

impl<'t> Pair<'t> {
    /// Finds what differs. `changed` is where the two devices may have different bytes; everywhere
    /// else they have the same. Neither may be written to as long as this lives.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt), [`Unsupported`](crate::ErrorKind::Unsupported),
    /// [`Io`](crate::ErrorKind::Io); inside, why they must be walked through instead.
    pub fn new(
        a: &'t Tree<'t>,
        b: &'t Tree<'t>,
        changed: impl IntoIterator<Item = Extent>,
    ) -> Result<Result<Self, Apart>> {
        let (sides, changed) = ([a, b], Changed::of(changed));
        if let Err(apart) = check(sides) {
            return Ok(Err(apart));
        }
        let Some(mut found) = Differing::find(sides, &changed)? else {
            return Ok(Err(Apart::Layout));
        };
        let folders = names::folders(sides, &mut found)?;
        let differing = names::with_all_above(sides, found, folders)?;
        log::debug!("{} inodes to look at", differing.len());
        Ok(Ok(Self { sides, changed, differing, entered: Default::default() }))
    }

    /// The roots of both, to be walked through once.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn roots(&self) -> Result<(View<'_>, View<'_>)> {
        Ok((View::root(self, Side::A)?, View::root(self, Side::B)?))
    }
}

fn check([a, b]: [&Tree<'_>; 2]) -> Result<(), Apart> {
    /// `ENCRYPT`.
    const ENCRYPT: u32 = 0x1_0000;
    let (a, b) = (a.superblock(), b.superblock());
    let is_beyond = |features: super::features::Features| {
        !features.known()
            || features.incompat & ENCRYPT != 0
            || features.incompat(incompat::RECOVER)
    };
    if [a, b].iter().any(|sb| sb.state() != State::Clean) {
        Err(Apart::NotClean)
    } else if [a, b].iter().any(|sb| is_beyond(sb.features())) {
        Err(Apart::Feature)
    } else if !a.geometry().is_laid_out_as(b.geometry()) {
        Err(Apart::Layout)
    } else if a.mkfs_time() != b.mkfs_time() {
        Err(Apart::Made)
    } else if a.last_check() != b.last_check() {
        Err(Apart::Checked)
    } else {
        Ok(())
    }
}

/// Ranges of bytes, in order, none touching the next.
struct Changed(Vec<Range<u64>>);

impl Changed {
    fn of(extents: impl IntoIterator<Item = Extent>) -> Self {
        let plain = |extent: Extent| extent.start.get()..extent.end.get();
        let mut all: Vec<Range<u64>> = extents.into_iter().map(plain).collect();
        all.retain(|range| range.start < range.end);
        all.sort_unstable_by_key(|range| range.start);
        all.dedup_by(|next, last| {
            let joins = next.start <= last.end;
            if joins {
                last.end = last.end.max(next.end);
            }
            joins
        });
        Self(all)
    }

    /// The parts of a range that are changed.
    fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let from = self.0.partition_point(|changed| changed.end <= range.start);
        let touching = self.0.get(from..).unwrap_or_default().iter();
        touching
            .take_while({
                let end = range.end;
                move |changed| changed.start < end
            })
            .map(move |changed| changed.start.max(range.start)..changed.end.min(range.end))
    }
}

/// Fills a buffer from a tree's device.
fn read(tree: &Tree<'_>, buf: &mut [u8], at: u64) -> Result<()> {
    use crate::error::IoContext;
    let dev = tree.blocks.dev;
    dev.read_at(buf, Bytes::new(at)).context(super::blocks::OP, dev.name())
}
