//! The answer to `DM_LIST_DEVICES`: `struct dm_name_list`, entry after entry.
//!
//! An entry is `dev` (8 bytes), `next` (4: offset of the next entry from this
//! one, 0 for the last), `name` with a NUL; then, at the next multiple of 8,
//! `event_nr` (4) and flags (4), which say whether a UUID with a NUL follows.

use std::io;

use super::request::{major, minor};

const HAS_UUID: u32 = 1;
const NO_UUID: u32 = 2;

/// What a list says of a device's UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uuid {
    /// The kernel is too old to say; ask for the device alone.
    Unknown,
    /// It has none.
    None,
    /// This one.
    Is(String),
}

/// A device of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Its UUID.
    pub uuid: Uuid,
}

/// Reads the payload; an empty one, and one that starts with device 0, holds no device.
pub(super) fn parse(mut payload: &[u8]) -> io::Result<Vec<Listed>> {
    let mut devices = Vec::new();
    loop {
        let Some((listed, next)) = entry(payload) else {
            let empty = payload.len() < 8 || payload.iter().take(8).all(|byte| *byte == 0);
            let whole = empty && devices.is_empty();
            return if whole { Ok(devices) } else { Err(io::ErrorKind::InvalidData.into()) };
        };
        devices.push(listed);
        if next == 0 {
            return Ok(devices);
        }
        payload = payload.get(next..).unwrap_or_default();
    }
}

/// One entry and the offset of the next.
fn entry(bytes: &[u8]) -> Option<(Listed, usize)> {
    let dev = u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?);
    let next = u32_at(bytes, 8)? as usize;
    let name = text(bytes.get(12..)?)?;
    if dev == 0 || name.is_empty() {
        return None;
    }
    let event = (12 + name.len() + 1).next_multiple_of(8);
    // Kernels before 4.37 of the interface end an entry with its name.
    let own = if next == 0 { bytes } else { bytes.get(..next)? };
    let uuid = match u32_at(own, event + 4) {
        Some(flags) if flags & HAS_UUID != 0 => Uuid::Is(text(own.get(event + 8..)?)?.to_owned()),
        Some(flags) if flags & NO_UUID != 0 => Uuid::None,
        _ => Uuid::Unknown,
    };
    Some((Listed { name: name.to_owned(), major: major(dev), minor: minor(dev), uuid }, next))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn text(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(bytes.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry as the kernel writes it.
    fn written(dev: u64, name: &str, uuid: Option<&str>, last: bool) -> Vec<u8> {
        let mut bytes = [dev.to_ne_bytes().as_slice(), &[0; 4], name.as_bytes(), &[0]].concat();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend(if uuid.is_some() { HAS_UUID } else { NO_UUID }.to_ne_bytes());
        if let Some(uuid) = uuid {
            bytes.extend(uuid.as_bytes());
            bytes.push(0);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        if !last {
            let next = u32::try_from(bytes.len()).expect("short").to_ne_bytes();
            bytes[8..12].copy_from_slice(&next);
        }
        bytes
    }

    #[test]
    fn reads_entries_with_and_without_uuid() {
        let bytes =
            [written(0xfd00, "vg-lv", Some("LVM-abc"), false), written(0xfd01, "bare", None, true)]
                .concat();
        let devices = parse(&bytes).expect("well formed");
        assert_eq!(devices.len(), 2);
        assert_eq!(devices[0].name, "vg-lv");
        assert_eq!((devices[0].major, devices[0].minor), (253, 0));
        assert_eq!(devices[0].uuid, Uuid::Is("LVM-abc".to_owned()));
        assert_eq!(devices[1].uuid, Uuid::None);
    }

    #[test]
    fn no_device_is_no_error_and_a_torn_list_is_one() {
        assert_eq!(parse(&[]).expect("none"), []);
        assert_eq!(parse(&[0; 16]).expect("none"), []);
        let mut bytes = written(0xfd00, "a", Some("LVM-abc"), false);
        bytes.truncate(30);
        assert!(parse(&bytes).is_err());
    }

    #[test]
    fn old_kernels_leave_the_uuid_open() {
        let mut bytes = [0xfd00u64.to_ne_bytes().as_slice(), &[0; 4], b"a\0"].concat();
        bytes.resize(16, 0);
        assert_eq!(parse(&bytes).expect("well formed")[0].uuid, Uuid::Unknown);
    }
}
