//! A request's buffer, written and read by offset: no struct is laid over
//! foreign bytes, so nothing here is unsafe.

use std::io;

use super::flag;

const HEADER: usize = 312;

const VERSION: usize = 0;
const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const OPEN_COUNT: usize = 24;
const FLAGS: usize = 28;
const EVENT: usize = 32;
const DEV: usize = 40;
const NAME: usize = 48;
const NAME_LEN: usize = 128;
const UUID: usize = 176;
const UUID_LEN: usize = 129;

/// A command's number in the ioctl.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Version = 0,
    List = 2,
    Create = 3,
    Remove = 4,
    Rename = 5,
    Suspend = 6,
    Status = 7,
    Deps = 11,
    Message = 14,
    ArmPoll = 16,
}

impl Command {
    /// `_IOWR(0xfd, number, struct dm_ioctl)`: 0xC138FD00 + number on most architectures.
    pub(crate) fn number(self) -> libc::Ioctl {
        nix::request_code_readwrite!(0xfd, self as u8, HEADER)
    }
}

/// What the kernel says of a device in the header of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The kernel's version of the interface.
    pub version: [u32; 3],
    /// How many hold the device open.
    pub open_count: u32,
    /// The device's event counter.
    pub event: u32,
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    flags: u32,
}

impl Answer {
    /// True where the device is suspended.
    pub fn is_suspended(&self) -> bool {
        self.flags & flag::SUSPEND != 0
    }

    /// True where it may not be written.
    pub fn is_read_only(&self) -> bool {
        self.flags & flag::READONLY != 0
    }

    /// True where it has a live table.
    pub fn is_live(&self) -> bool {
        self.flags & flag::ACTIVE_PRESENT != 0
    }

    /// True where a table waits for a resume.
    pub fn has_inactive(&self) -> bool {
        self.flags & flag::INACTIVE_PRESENT != 0
    }

    /// True where udev was told: else the caller takes its unit of the cookie back.
    pub fn raised_event(&self) -> bool {
        self.flags & flag::UEVENT_GENERATED != 0
    }

    pub(super) fn is_cut(&self) -> bool {
        self.flags & flag::BUFFER_FULL != 0
    }
}

/// A request, and after the ioctl its answer. Invariant: `data_size` is the buffer's length.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// For the device of that name; empty for commands that need none.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let mut request = Self { bytes: vec![0; HEADER] };
        request.put_u32(VERSION, 4);
        request.put_u32(DATA_START, HEADER as u32);
        request.put_text(NAME, NAME_LEN, name)?;
        request.fix_size()?;
        Ok(request)
    }

    pub(crate) fn set_uuid(&mut self, uuid: &str) -> io::Result<()> {
        self.put_text(UUID, UUID_LEN, uuid)
    }

    pub(crate) fn add_flags(&mut self, flags: u32) {
        self.put_u32(FLAGS, self.u32_at(FLAGS) | flags);
    }

    pub(crate) fn set_event(&mut self, event: u32) {
        self.put_u32(EVENT, event);
    }

    /// A device's number, in the kernel's huge encoding (`huge_encode_dev`). For a device that is
    /// made the kernel takes the minor number alone.
    pub(crate) fn set_number(&mut self, major: u32, minor: u32) {
        let dev = u64::from(minor & 0xff)
            | (u64::from(major & 0xfff) << 8)
            | (u64::from(minor & !0xff) << 12);
        self.put(DEV, &dev.to_ne_bytes());
    }

    pub(crate) fn append_number(&mut self, number: u64) {
        self.bytes.extend(number.to_ne_bytes());
    }

    pub(crate) fn append_text(&mut self, text: &str) -> io::Result<()> {
        if text.contains('\0') {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
        self.fix_size()
    }

    /// Makes room for an answer of `room` bytes behind the header, where there is no more than that yet.
    pub(crate) fn reserve(&mut self, room: usize) {
        // Zeros from the allocator: to lengthen what is there would copy, and fill byte by byte.
        let mut bytes = vec![0; HEADER.saturating_add(room)];
        if let (Some(to), Some(from)) = (bytes.get_mut(..HEADER), self.bytes.get(..HEADER)) {
            to.copy_from_slice(from);
        }
        self.bytes = bytes;
        // Cannot fail: callers stay far below 4 GiB.
        let _ = self.fix_size();
    }

    /// Takes over another request of the same length without allocating. A request is used once:
    /// the kernel fills in name, UUID and number, and refuses one that holds more than one.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        if self.bytes.len() == other.bytes.len() {
            self.bytes.copy_from_slice(&other.bytes);
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// What the kernel put behind the header.
    pub(super) fn payload(&self) -> &[u8] {
        let start = self.u32_at(DATA_START) as usize;
        let end = (self.u32_at(DATA_SIZE) as usize).min(self.bytes.len());
        self.bytes.get(start..end).unwrap_or_default()
    }

    pub(crate) fn answer(&self) -> Answer {
        let dev = self.u64_at(DEV);
        Answer {
            version: [0, 4, 8].map(|at| self.u32_at(VERSION + at)),
            open_count: self.u32_at(OPEN_COUNT),
            event: self.u32_at(EVENT),
            major: major(dev),
            minor: minor(dev),
            flags: self.u32_at(FLAGS),
        }
    }

    /// The device's name, which the kernel has filled in.
    pub(super) fn name(&self) -> io::Result<&str> {
        self.text(NAME, NAME_LEN)
    }

    /// Its UUID, likewise.
    pub(super) fn uuid(&self) -> io::Result<&str> {
        self.text(UUID, UUID_LEN)
    }

    fn text(&self, at: usize, room: usize) -> io::Result<&str> {
        let field = self.bytes.get(at..at + room).unwrap_or_default();
        let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(text).map_err(io::Error::other)
    }

    fn fix_size(&mut self) -> io::Result<()> {
        let size = u32::try_from(self.bytes.len());
        let size = size.map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
        self.put_u32(DATA_SIZE, size);
        Ok(())
    }

    /// A text that ends with a NUL inside a field of `room` bytes.
    fn put_text(&mut self, at: usize, room: usize, text: &str) -> io::Result<()> {
        if text.len() >= room || text.contains('\0') {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        self.put(at, text.as_bytes());
        Ok(())
    }

    fn put_u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_ne_bytes());
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        // The header is always there and every field lies inside it.
        if let Some(place) = self.bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }

    fn u32_at(&self, at: usize) -> u32 {
        let bytes = self.bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    }

    fn u64_at(&self, at: usize) -> u64 {
        let bytes = self.bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_ne_bytes)
    }
}

/// The major number in the kernel's huge encoding.
pub(super) fn major(dev: u64) -> u32 {
    ((dev >> 8) & 0xfff) as u32
}

/// The minor number in the kernel's huge encoding.
pub(super) fn minor(dev: u64) -> u32 {
    ((dev & 0xff) | ((dev >> 12) & 0xfff00)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_the_kernel_looks() {
        let mut request = Request::new("vg-lv").expect("short");
        request.set_uuid("LVM-x").expect("short");
        request.set_event(0x60_1234);
        request.append_text("new").expect("no NUL");
        let bytes = request.bytes_mut();
        assert_eq!(bytes.len(), 316);
        assert_eq!(bytes[12..16], 316u32.to_ne_bytes());
        assert_eq!(bytes[16..20], 312u32.to_ne_bytes());
        assert_eq!(bytes[32..36], 0x60_1234u32.to_ne_bytes());
        assert_eq!(&bytes[48..54], b"vg-lv\0");
        assert_eq!(&bytes[176..182], b"LVM-x\0");
        assert_eq!(&bytes[312..], b"new\0");
    }

    #[test]
    fn long_texts_and_nuls_are_refused() {
        assert!(Request::new(&"x".repeat(127)).is_ok());
        assert!(Request::new(&"x".repeat(128)).is_err());
        assert!(Request::new("a\0b").is_err());
        let mut request = Request::new("a").expect("short");
        assert!(request.set_uuid(&"u".repeat(128)).is_ok());
        assert!(request.set_uuid(&"u".repeat(129)).is_err());
        assert!(request.append_text("a\0").is_err());
    }

    #[test]
    fn device_numbers_take_the_huge_encoding() {
        let mut request = Request::new("a").expect("short");
        request.set_number(0xfd, 0x12345);
        assert_eq!(request.answer().minor, 0x12345);
        assert_eq!(request.answer().major, 0xfd);
        assert_eq!((major(0xfd03), minor(0xfd03)), (253, 3));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn commands_have_their_numbers() {
        assert_eq!(Command::Version.number(), 0xC138_FD00);
        assert_eq!(Command::Message.number(), 0xC138_FD0E);
    }
}
