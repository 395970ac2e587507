//! Growing a mounted file system by the kernel itself.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Grows the mounted ext4 at `root` to `blocks` of its own blocks (`EXT4_IOC_RESIZE_FS`,
/// fs/ext4/ext4.h).
///
/// # Errors
/// As the kernel gives them: `EINVAL` past the device's end, `EOPNOTSUPP` where the file system
/// has no room reserved to grow, `EPERM`.
pub fn ext4(root: &Path, blocks: u64) -> io::Result<()> {
    let root = File::open(root)?;
    // SAFETY: the descriptor is open and the argument points to a live u64, which is only read.
    unsafe { request::ext4_resize_fs(root.as_raw_fd(), &blocks) }?;
    Ok(())
}

/// Grows the mounted XFS at `root` to `blocks` of its own blocks (`XFS_IOC_FSGROWFSDATA`,
/// fs/xfs/libxfs/xfs_fs.h). The share that inodes may take stays.
///
/// # Errors
/// As the kernel gives them: `EINVAL` past the device's end, `EPERM`.
pub fn xfs(root: &Path, blocks: u64) -> io::Result<()> {
    let root = File::open(root)?;
    let mut geometry = XfsGeometry::default();
    // SAFETY: the descriptor is open and the argument points to a live structure of the size
    // that the request's number states; the kernel fills it.
    unsafe { request::xfs_fsgeometry_v1(root.as_raw_fd(), &mut geometry) }?;
    let growth = XfsGrowth { newblocks: blocks, imaxpct: geometry.head[7], pad: 0 };
    // SAFETY: as above; the structure is only read.
    unsafe { request::xfs_fsgrowfsdata(root.as_raw_fd(), &growth) }?;
    Ok(())
}

/// `struct xfs_fsop_geom_v1`: eight 32-bit fields, `imaxpct` the last of them, and what follows.
#[repr(C)]
#[derive(Default)]
pub(crate) struct XfsGeometry {
    head: [u32; 8],
    sizes: [u64; 4],
    uuid: [u8; 16],
    tail: [u32; 8],
}

/// `struct xfs_growfs_data`.
#[repr(C)]
pub(crate) struct XfsGrowth {
    newblocks: u64,
    imaxpct: u32,
    pad: u32,
}

mod request {
    //! The requests themselves, as nix writes them.

    nix::ioctl_write_ptr!(ext4_resize_fs, b'f', 16, u64);
    nix::ioctl_read!(xfs_fsgeometry_v1, b'X', 100, super::XfsGeometry);
    nix::ioctl_write_ptr!(xfs_fsgrowfsdata, b'X', 110, super::XfsGrowth);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<XfsGeometry>(), 112);
        assert_eq!(size_of::<XfsGrowth>(), 16);
    }

    #[test]
    fn other_file_systems_do_not_know_the_requests() {
        let proc = Path::new("/proc");
        assert_eq!(ext4(proc, 1).expect_err("no ext4").raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(xfs(proc, 1).expect_err("no XFS").raw_os_error(), Some(libc::ENOTTY));
    }
}
