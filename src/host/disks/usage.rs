//! Who uses a device.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{number_of, sysfs};
use crate::error::{Error, Result};
use crate::host::mounts::RealMounts;
use crate::machine::{InUse, Mounts};

/// Why it is in use, or `None`; a plain file that a loop device is attached to counts as the
/// loop device.
pub(super) fn of(path: &Path) -> Result<Option<InUse>> {
    let Some(number) = number_of(path)? else {
        let real = fs::canonicalize(path).map_err(|error| Error::io(error).at(path.display()))?;
        return match sysfs::loop_of(&real)? {
            Some(device) => of(&device),
            None => Ok(None),
        };
    };
    let mounts = RealMounts.list()?;
    if let Some(mount) = mounts.into_iter().find(|mount| mount.number == number) {
        return Ok(Some(InUse::Mounted(mount.dir)));
    }
    if is_swap(path) {
        return Ok(Some(InUse::Swap));
    }
    if let Some(holder) = sysfs::on_top(number).into_iter().next() {
        return Ok(Some(InUse::Held(holder)));
    }
    is_open(path)
}

fn is_swap(path: &Path) -> bool {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let number = number_of(path).ok().flatten();
    swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).any(|device| {
        let device = Path::new(device);
        device == path || (number.is_some() && number_of(device).ok().flatten() == number)
    })
}

/// On a block device O_EXCL alone means: nobody else has it exclusively.
fn is_open(path: &Path) -> Result<Option<InUse>> {
    match OpenOptions::new().read(true).custom_flags(libc::O_EXCL).open(path) {
        Ok(_) => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(Some(InUse::Open)),
        Err(error) => Err(Error::io(error).op("open").at(path.display())),
    }
}
