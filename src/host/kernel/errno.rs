//! What device-mapper's errno mean, and where the devicemapper crate hides them.

use std::io;

use devicemapper::{DmError, errors};

use crate::error::{Error, ErrorKind};
use crate::units::Bytes;

/// Why device-mapper refused, where the errno's own words would mislead.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("device-mapper has no device of that name")]
    NoDevice,
    #[error("a device of that name, UUID or number exists already")]
    Taken,
    #[error("the thin pool has no device of that id")]
    NoThin,
    #[error("the thin pool has a device of that id already")]
    ThinTaken,
    #[error("the thin pool takes no changes: its metadata is full or in doubt")]
    PoolClosed,
    #[error("this kernel has no target '{0}' (module dm-{0})")]
    NoTarget(String),
}

/// Puts an errno of `op` on the device `name` into our words.
pub(super) fn failure(op: &'static str, name: &str, source: io::Error) -> Error {
    let kind = match source.raw_os_error() {
        Some(libc::EBUSY) => ErrorKind::Busy,
        Some(libc::EEXIST) => ErrorKind::Exists,
        Some(libc::ENXIO | libc::ENODATA | libc::ENOENT) => ErrorKind::NotFound,
        Some(libc::ENOSPC) => ErrorKind::NoSpace { need: Bytes::ZERO, have: Bytes::ZERO },
        Some(libc::EACCES | libc::EPERM) => ErrorKind::Denied,
        _ => ErrorKind::Io,
    };
    let error = match (op, source.raw_os_error()) {
        ("create", Some(libc::EBUSY)) => Error::new(ErrorKind::Exists, Refusal::Taken),
        ("rename", Some(libc::EBUSY | libc::EEXIST)) => {
            Error::new(ErrorKind::Exists, Refusal::Taken)
        }
        ("message", Some(libc::ENODATA)) => Error::new(kind, Refusal::NoThin),
        ("message", Some(libc::EOPNOTSUPP)) => {
            Error::new(ErrorKind::Unsupported, Refusal::PoolClosed)
        }
        ("message", Some(libc::EEXIST)) => Error::new(kind, Refusal::ThinTaken),
        (_, Some(libc::ENXIO)) => Error::new(kind, Refusal::NoDevice),
        _ => Error::new(kind, source),
    };
    error.op(op_words(op)).at(name)
}

/// What a user reads for an ioctl.
fn op_words(op: &'static str) -> &'static str {
    match op {
        "create" => "create the device",
        "load" => "load the table of the device",
        "clear" => "drop the loaded table of the device",
        "resume" => "resume the device",
        "suspend" => "suspend the device",
        "remove" => "remove the device",
        "rename" => "rename the device",
        "message" => "send a message to the device",
        "status" => "read the status of the device",
        "table" => "read the table of the device",
        "list" => "list the devices",
        other => other,
    }
}

/// The errno in an error of the devicemapper crate; another error where it holds none.
pub(super) fn io_error(error: DmError) -> io::Error {
    match error {
        DmError::Core(errors::Error::Ioctl(_, _, _, errno)) => {
            io::Error::from_raw_os_error(*errno as i32)
        }
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(op: &'static str, errno: i32) -> ErrorKind {
        failure(op, "vg-lv", io::Error::from_raw_os_error(errno)).kind()
    }

    #[test]
    fn errno_become_kinds_by_what_was_asked() {
        assert_eq!(kind("remove", libc::EBUSY), ErrorKind::Busy);
        assert_eq!(kind("create", libc::EBUSY), ErrorKind::Exists);
        assert_eq!(kind("rename", libc::EBUSY), ErrorKind::Exists);
        assert_eq!(kind("message", libc::EEXIST), ErrorKind::Exists);
        assert_eq!(kind("message", libc::ENODATA), ErrorKind::NotFound);
        assert_eq!(kind("message", libc::EOPNOTSUPP), ErrorKind::Unsupported);
        assert_eq!(kind("resume", libc::ENXIO), ErrorKind::NotFound);
        assert_eq!(kind("list", libc::EACCES), ErrorKind::Denied);
        assert_eq!(kind("load", libc::EINVAL), ErrorKind::Io);
        let line = failure("remove", "vg-lv", io::Error::from_raw_os_error(libc::EBUSY));
        assert!(line.to_string().starts_with("cannot remove the device: vg-lv: "), "{line}");
    }

    #[test]
    fn the_crate_gives_its_errno_back() {
        let errno = Box::new(nix::errno::Errno::EBUSY);
        let error = DmError::Core(errors::Error::Ioctl(4, None, None, errno));
        assert_eq!(io_error(error).raw_os_error(), Some(libc::EBUSY));
        let other = DmError::Core(errors::Error::GeneralIo("odd".to_owned()));
        assert_eq!(io_error(other).raw_os_error(), None);
    }
}
