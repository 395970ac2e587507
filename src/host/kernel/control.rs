//! `/dev/mapper/control`: opened at first use, made where nobody has made it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use devicemapper::DM;
use imgbase_sys::dm::Control;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::error::{Error, ErrorKind, Result};

const PATH: &str = "/dev/mapper/control";
/// Its device number: misc devices are major 10, device-mapper's minor is fixed
/// (`linux/miscdevice.h`, `MAPPER_CTRL_MINOR`).
const NUMBER: (u64, u64) = (10, 236);

/// Both ways into device-mapper.
pub(super) struct Ways {
    /// What the devicemapper crate does well.
    pub(super) dm: DM,
    /// The rest.
    pub(super) raw: Control,
}

/// Opens the control device, making its node where it is missing: opening it loads the module
/// where the kernel has one.
pub(super) fn open() -> Result<Ways> {
    let file = match open_node() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_node().and_then(|()| open_node()).inspect_err(|_| remove_node())
        }
        other => other,
    };
    let file = file.map_err(refusal)?;
    let raw = Control::new(file);
    let version = raw.version().map_err(refusal)?;
    log::debug!("device-mapper: ioctl interface {}.{}.{}", version[0], version[1], version[2]);
    let dm = DM::new().map_err(|error| refusal(super::errno::io_error(error)))?;
    Ok(Ways { dm, raw })
}

fn open_node() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(PATH)
}

fn make_node() -> io::Result<()> {
    let folder = Path::new(PATH).parent().unwrap_or(Path::new("/dev/mapper"));
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    mknod(PATH, SFlag::S_IFCHR, Mode::S_IRUSR | Mode::S_IWUSR, makedev(NUMBER.0, NUMBER.1))?;
    Ok(())
}

/// Where there is no device-mapper, the node that was made for it goes again, and its folder if
/// that is empty: nothing is worse than it was where either stays.
fn remove_node() {
    let _ = fs::remove_file(PATH);
    let _ = Path::new(PATH).parent().map(fs::remove_dir);
}

/// Why there is no way in.
fn refusal(error: io::Error) -> Error {
    let error = match error.raw_os_error() {
        Some(libc::ENXIO | libc::ENODEV | libc::ENOENT | libc::ENOTTY) => Error::new(
            ErrorKind::Unsupported,
            "this kernel has no device-mapper: load its module dm_mod",
        ),
        Some(libc::EACCES | libc::EPERM) => {
            Error::new(ErrorKind::Denied, "device-mapper may be used by root alone")
        }
        _ => Error::io(error),
    };
    error.op("open device-mapper").at(PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_and_a_missing_privilege_are_told_apart() {
        let none = refusal(io::Error::from_raw_os_error(libc::ENODEV));
        assert_eq!(none.kind(), ErrorKind::Unsupported);
        assert!(none.to_string().contains("dm_mod"), "{none}");
        let denied = refusal(io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(denied.kind(), ErrorKind::Denied);
    }
}
