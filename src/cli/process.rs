//! What the kernel says of this process.

use imgbase::{Error, ErrorKind, Result};

/// Bit of CAP_SYS_ADMIN in a capability mask (capability.h).
const CAP_SYS_ADMIN: u32 = 21;

/// A mask in `/proc/self/status`, `None` where it cannot be read: `CapEff`.
fn mask(key: &str) -> Option<u64> {
    find_mask(&std::fs::read_to_string("/proc/self/status").ok()?, key)
}

fn find_mask(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    u64::from_str_radix(value.trim(), 16).ok()
}

/// Fails where this process may not work on disks and device-mapper.
///
/// # Errors
/// [`ErrorKind::Denied`].
pub(crate) fn require_privilege() -> Result<()> {
    let admin = || mask("CapEff").is_some_and(|mask| mask >> CAP_SYS_ADMIN & 1 == 1);
    if nix::unistd::geteuid().is_root() || admin() {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Denied, "you are not root: run it as root");
    Err(error.op("work on disks").kept("nothing was changed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_hexadecimal() {
        let status = "Name:\tx\nSigIgn:\t0000000000001002\nCapEff:\t000001ffffffffff\n";
        assert_eq!(find_mask(status, "SigIgn"), Some(0x1002));
        assert_eq!(find_mask(status, "Sig"), None);
        assert_eq!(find_mask(status, "CapInh"), None);
        assert_eq!(find_mask("CapEff:\tx\n", "CapEff"), None);
    }
}
