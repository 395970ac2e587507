//! Another text in a file's own blocks, on a file system that is mounted nowhere.
//!
//! Neither a block nor an inode is allocated or freed for it: what is written is the file's own blocks
//! and its inode. There is no journal in it, so that a power cut may leave the file torn: it is for a
//! file system that nobody has until all of it is durable.

use super::features::ro_compat;
use super::inode::{Inode, flag};
use super::tree::Tree;
use crate::error::{IoContext, Result};
use crate::tree::{Kind, Time};
use crate::units::Bytes;

const OP: &str = "write into the file system";

/// Flags of files that are not to be changed so, or not at all.
const APART: u32 = flag::IMMUTABLE | flag::APPEND | flag::ENCRYPT | flag::VERITY | flag::EA_INODE;

/// Puts `bytes` into the file at a path in place of what it held, with `now` as its time; false,
/// and nothing is written, where its blocks are too few or too many for that, or it is a file of a
/// sort that only the kernel can write. Not synced.
///
/// # Errors
/// As [`Tree::read_file`]; [`Io`](crate::ErrorKind::Io): the file may be torn then.
pub fn rewrite(tree: &Tree<'_>, path: &str, bytes: &[u8], now: Time) -> Result<bool> {
    let Some(inode) = tree.find(path)?.filter(|inode| inode.kind() == Kind::File) else {
        return Ok(false);
    };
    let Some(blocks) = own_blocks(tree, &inode, bytes.len())? else { return Ok(false) };
    let (dev, geometry) = (tree.blocks.dev, &tree.blocks.geometry);
    for (block, piece) in blocks.into_iter().zip(bytes.chunks(tree.blocks.size())) {
        let mut whole = vec![0; tree.blocks.size()];
        if let Some(place) = whole.get_mut(..piece.len()) {
            place.copy_from_slice(piece);
        }
        dev.write_at(&whole, geometry.byte_of(block)).context(OP, dev.name())?;
    }
    let raw = inode.rewritten(tree.superblock(), as_u64(bytes.len()), now);
    dev.write_at(&raw, tree.place_of(inode.ino())?).context(OP, dev.name())?;
    Ok(true)
}

/// The blocks of a file, all of which were written, where as many are needed for `len` bytes.
fn own_blocks(tree: &Tree<'_>, inode: &Inode, len: usize) -> Result<Option<Vec<u64>>> {
    let size = tree.blocks.geometry.block_size().get();
    let count = inode.size().get().div_ceil(size);
    let alone =
        !inode.has(APART) && !tree.superblock().features().ro_compat(ro_compat::SHARED_BLOCKS);
    if !alone || count == 0 || count != as_u64(len).div_ceil(size) {
        return Ok(None);
    }
    let content = tree.content(inode)?;
    let Some(runs) = content.runs() else { return Ok(None) };
    let each = runs.iter().flat_map(|run| run.start..run.start.saturating_add(run.len));
    // A hole would need a block; there are no more than fit into what was asked for.
    let blocks: Vec<u64> = each.take(len).collect();
    Ok((as_u64(blocks.len()) == count).then_some(blocks))
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl Tree<'_> {
    /// Where an inode lies.
    fn place_of(&self, ino: super::Ino) -> Result<Bytes> {
        let (group, byte) = self.blocks.geometry.inode_place(ino.get());
        let table = self.blocks.geometry.byte_of(self.table(group)?.start);
        Ok(table.saturating_add(Bytes::new(byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::Dev;
    use crate::ext4::testing::{Sample, assert_fsck};
    use crate::ext4::{FsUuid, seal_for_layers, set_uuid};

    const NOW: Time = (5_000_000_000, 123_456_789);

    fn sample(args: &str) -> Sample {
        Sample::of(args, "8M", |root| {
            std::fs::create_dir(root.join("etc"))?;
            std::fs::write(root.join("etc/fstab"), "/dev/sda1 / ext4 defaults 0 1\n".repeat(90))?;
            std::fs::write(root.join("etc/empty"), "")?;
            std::os::unix::fs::symlink("fstab", root.join("etc/link"))?;
            let sparse = std::fs::File::create(root.join("etc/sparse"))?;
            sparse.set_len(20_000)
        })
    }

    #[test]
    fn what_is_written_is_what_debugfs_reads_and_e2fsck_likes() {
        let all = [
            "-t ext4 -b 1024 -I 256 -O metadata_csum,64bit,extent,ext_attr",
            "-t ext4 -b 4096 -I 256 -O metadata_csum,metadata_csum_seed",
            "-t ext4 -b 4096 -I 128 -O metadata_csum",
            "-t ext4 -b 4096 -I 256 -O ^metadata_csum,uninit_bg",
            "-t ext2 -b 1024 -I 128",
        ];
        for args in all {
            let sample = sample(args);
            let dev = sample.dev();
            // As many blocks as before, of any size.
            let new = "/dev/mapper/HostVG-Debian--12--1+1 / ext4 0 1\n".repeat(58);
            // As a layer gets it.
            seal_for_layers(&dev).expect("it can be sealed");
            set_uuid(&dev, FsUuid::new([7; 16])).expect("it is set");
            let tree = Tree::open(&dev).expect("clean");
            assert!(rewrite(&tree, "/etc/link", new.as_bytes(), NOW).expect("written"), "{args}");
            let shown = sample.debugfs("cat /etc/fstab");
            assert!(shown.contains(&new) && !shown.contains("sda1"), "{args}: {shown}");
            assert_fsck(&sample.path);
            let tree = Tree::open(&dev).expect("clean");
            let inode = tree.find("/etc/fstab").expect("read").expect("there");
            let (meta, wide) = (inode.meta(), !args.contains("-I 128"));
            let now = if wide { NOW } else { (i64::from(NOW.0 as u32 as i32), 0) };
            assert_eq!((meta.mtime, meta.ctime), (now, now), "{args}");
            assert_eq!(
                tree.read_file("/etc/fstab", Bytes::mib(1)).expect("read"),
                Some(new.into())
            );
        }
    }

    #[test]
    fn what_only_the_kernel_can_write_is_left_alone() {
        let sample = sample("-t ext4 -b 1024 -I 256 -O metadata_csum,inline_data");
        sample.debugfs("set_inode_field etc/sparse flags 0x80010");
        let dev = sample.dev();
        let bytes = |dev: &dyn Dev| {
            let mut all = vec![0; 8 << 20];
            dev.read_at(&mut all, Bytes::ZERO).expect("read");
            all
        };
        let before = bytes(&dev);
        let tree = Tree::open(&dev).expect("clean");
        for (path, len) in [
            ("etc/fstab", 1024),
            ("etc/fstab", 3073),
            ("etc/fstab", 0),
            ("etc/empty", 5),
            ("etc/sparse", 20_000),
            ("etc/none", 5),
            ("etc", 1024),
        ] {
            let done = rewrite(&tree, path, &vec![b'x'; len], NOW).expect("looked at");
            assert!(!done, "{path} {len}");
        }
        assert!(bytes(&dev) == before, "something was written");
    }
}
