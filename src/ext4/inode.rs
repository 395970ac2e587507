//! Inodes: 128 bytes, or more with their further fields and attributes.

use super::checksum::crc32c;
use super::detail::Detail;
use super::features::{incompat, ro_compat};
use super::fields::Fields;
use super::superblock::Superblock;
use crate::tree::{Kind, Meta, Time};
use crate::units::Bytes;

/// `EXT4_GOOD_OLD_INODE_SIZE`.
const OLD: usize = 128;
const I_CHECKSUM_LO: usize = 0x7C;
const I_CHECKSUM_HI: usize = 0x82;
/// Where `i_block` lies, and how long it is.
const I_BLOCK: usize = 0x28;
pub(super) const I_BLOCK_LEN: usize = 60;

/// `i_flags`.
pub(super) mod flag {
    pub(in crate::ext4) const IMMUTABLE: u32 = 0x10;
    pub(in crate::ext4) const APPEND: u32 = 0x20;
    pub(in crate::ext4) const ENCRYPT: u32 = 0x800;
    pub(in crate::ext4) const INDEX: u32 = 0x1000;
    pub(in crate::ext4) const EXTENTS: u32 = 0x8_0000;
    pub(in crate::ext4) const VERITY: u32 = 0x10_0000;
    pub(in crate::ext4) const EA_INODE: u32 = 0x20_0000;
    pub(in crate::ext4) const INLINE_DATA: u32 = 0x1000_0000;
    pub(in crate::ext4) const CASEFOLD: u32 = 0x4000_0000;
}

/// An inode's number, from 1 on; whether the file system has it shows when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(u32);

impl Ino {
    /// The root folder's.
    pub const ROOT: Self = Self(2);

    pub(super) const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// An inode in use whose checksum holds, where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    ino: Ino,
    kind: Kind,
    size: u64,
    /// What the checksums of what belongs to it start from.
    seed: u32,
    raw: Box<[u8]>,
}

impl Inode {
    /// Checks an inode's bytes, `s_inode_size` of them.
    pub(super) fn parse(sb: &Superblock, ino: Ino, raw: &[u8]) -> Result<Self, Detail> {
        let fields = Fields(raw);
        let seed = crc32c(sb.seed(), &ino.0.to_le_bytes());
        let seed = crc32c(seed, &fields.array::<4>(0x64));
        if sb.features().ro_compat(ro_compat::METADATA_CSUM) && !checksum_holds(raw, seed) {
            return Err(Detail::Inode(ino.0, "has a wrong checksum"));
        }
        if !is_in_use(raw) {
            return Err(Detail::Inode(ino.0, "is named by a folder and not in use"));
        }
        let extra = stored_extra(raw);
        if !extra.is_multiple_of(4) || OLD.saturating_add(extra) > raw.len() {
            return Err(Detail::Inode(ino.0, "has more further fields than room for them"));
        }
        let kind = kind_of(fields.le16(0)).ok_or(Detail::Inode(ino.0, "is of no known type"))?;
        let size = size_of(sb, kind, fields);
        if size > u64::MAX >> 1 {
            return Err(Detail::Inode(ino.0, "has an impossible size"));
        }
        Ok(Self { ino, kind, size, seed, raw: raw.into() })
    }

    fn fields(&self) -> Fields<'_> {
        Fields(&self.raw)
    }

    /// Its number.
    pub fn ino(&self) -> Ino {
        self.ino
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// `i_size`: the length of a file, of a link's target, of a folder's blocks.
    pub fn size(&self) -> Bytes {
        Bytes::new(self.size)
    }

    /// `i_links_count`: how many names it has, but for a folder.
    pub fn links(&self) -> u16 {
        self.fields().le16(0x1A)
    }

    /// What `lstat` would say of it, in a file system whose number is zero.
    pub fn meta(&self) -> Meta {
        let fields = self.fields();
        let id = |low, high| u32::from(fields.le16(low)) | (u32::from(fields.le16(high)) << 16);
        Meta {
            kind: self.kind,
            mode: u32::from(fields.le16(0)) & 0o7777,
            uid: id(0x02, 0x78),
            gid: id(0x18, 0x7A),
            size: self.size(),
            held: self.size(),
            rdev: if self.kind.is_device() { self.rdev() } else { (0, 0) },
            ino: self.ino.0.into(),
            fs: 0,
            mtime: self.time(0x10, 0x88),
            links: self.links().into(),
            ctime: self.time(0x0C, 0x84),
        }
    }

    /// Seconds as a signed number of 32 bits, to which two bits of the further field add 2^32 each;
    /// the field's other bits are nanoseconds.
    fn time(&self, at: usize, extra_at: usize) -> Time {
        let seconds = i64::from(self.fields().le32(at).cast_signed());
        if extra_at.saturating_add(4) > self.known_end() {
            return (seconds, 0);
        }
        let extra = self.fields().le32(extra_at);
        (seconds.saturating_add(i64::from(extra & 3) << 32), extra >> 2)
    }

    /// Where the fields end that this inode has. One that says to have no further ones has room
    /// for those that the kernel knows: it takes them for zeros.
    fn known_end(&self) -> usize {
        match (stored_extra(&self.raw), self.raw.len()) {
            (_, OLD) => OLD,
            (0, _) => OLD.saturating_add(32),
            (extra, _) => OLD.saturating_add(extra),
        }
    }

    /// Major and minor number, in the old form of 16 bits or the new one of 32.
    fn rdev(&self) -> (u32, u32) {
        let (old, new) = (self.fields().le32(I_BLOCK), self.fields().le32(0x2C));
        if old != 0 {
            ((old >> 8) & 0xFF, old & 0xFF)
        } else {
            ((new & 0xF_FF00) >> 8, (new & 0xFF) | ((new >> 12) & 0xF_FF00))
        }
    }

    pub(super) fn has(&self, flag: u32) -> bool {
        self.fields().le32(0x20) & flag != 0
    }

    pub(super) fn seed(&self) -> u32 {
        self.seed
    }

    /// `i_block`: the root of its map, or what it holds itself.
    pub(super) fn i_block(&self) -> [u8; I_BLOCK_LEN] {
        self.fields().array(I_BLOCK)
    }

    /// `i_file_acl`: the block of its further attributes; zero for none.
    pub(super) fn attribute_block(&self, sb: &Superblock) -> u64 {
        let wide = sb.features().incompat(incompat::BIT64);
        let high = if wide { self.fields().le16(0x76) } else { 0 };
        u64::from(self.fields().le32(0x68)) | (u64::from(high) << 32)
    }

    /// The room for attributes behind its fields.
    pub(super) fn attribute_room(&self) -> &[u8] {
        match stored_extra(&self.raw) {
            0 => &[],
            extra => self.raw.get(OLD.saturating_add(extra)..).unwrap_or_default(),
        }
    }

    /// All that changes when a folder gets or loses a name: its map, and the kernel's count of its
    /// changes (`i_version`, whose upper half not every inode has).
    pub(super) fn names_told(&self) -> ([u8; I_BLOCK_LEN], u32, [u8; 4], u32) {
        let wide = if self.known_end() >= 0x9C { self.fields().array(0x98) } else { [0; 4] };
        (self.i_block(), self.fields().le32(0x24), wide, self.fields().le32(0x20))
    }

    /// Its bytes with another size, and a change of its content at that time.
    pub(super) fn rewritten(&self, sb: &Superblock, size: u64, now: Time) -> Box<[u8]> {
        let mut raw = self.raw.clone();
        let (low, high) = halves(size);
        put(&mut raw, 0x04, &low.to_le_bytes());
        put(&mut raw, 0x6C, &high.to_le_bytes());
        let (seconds, epoch) = halves(now.0.cast_unsigned().wrapping_add(1 << 31));
        let seconds = seconds.wrapping_sub(1 << 31);
        let extra = (epoch & 3) | (now.1 << 2);
        for (at, extra_at) in [(0x10, 0x88_usize), (0x0C, 0x84)] {
            put(&mut raw, at, &seconds.to_le_bytes());
            if extra_at.saturating_add(4) <= self.known_end() {
                put(&mut raw, extra_at, &extra.to_le_bytes());
            }
        }
        let version = self.fields().le32(0x24).wrapping_add(1);
        put(&mut raw, 0x24, &version.to_le_bytes());
        if sb.features().ro_compat(ro_compat::METADATA_CSUM) {
            let [a, b, c, d] = checksum(&raw, self.seed).0.to_le_bytes();
            put(&mut raw, I_CHECKSUM_LO, &[a, b]);
            if stored_extra(&raw) >= 4 {
                put(&mut raw, I_CHECKSUM_HI, &[c, d]);
            }
        }
        raw
    }

    pub(super) fn wrong(&self, why: &'static str) -> Detail {
        Detail::Inode(self.ino.0, why)
    }
}

/// Whether an inode with these bytes has a name or is one of the file system's own.
pub(super) fn is_in_use(raw: &[u8]) -> bool {
    Fields(raw).le16(0x1A) != 0 && Fields(raw).le16(0) != 0
}

/// Whether an inode with these bytes is a folder.
pub(super) fn is_folder(raw: &[u8]) -> bool {
    kind_of(Fields(raw).le16(0)) == Some(Kind::Folder)
}

/// `i_extra_isize`: how many bytes of further fields there are.
fn stored_extra(raw: &[u8]) -> usize {
    if raw.len() == OLD { 0 } else { Fields(raw).le16(0x80).into() }
}

/// The checksum of an inode, and which of its bits are stored: it covers the inode with zeros in
/// its place, and an inode without the further field for it has but the lower half.
fn checksum(raw: &[u8], seed: u32) -> (u32, u32) {
    let mut copy = raw.to_vec();
    put(&mut copy, I_CHECKSUM_LO, &[0; 2]);
    if stored_extra(raw) < 4 {
        return (crc32c(seed, &copy), 0xFFFF);
    }
    put(&mut copy, I_CHECKSUM_HI, &[0; 2]);
    (crc32c(seed, &copy), u32::MAX)
}

fn checksum_holds(raw: &[u8], seed: u32) -> bool {
    let (fields, (sum, mask)) = (Fields(raw), checksum(raw, seed));
    let high = if stored_extra(raw) >= 4 { fields.le16(I_CHECKSUM_HI) } else { 0 };
    let stored = u32::from(fields.le16(I_CHECKSUM_LO)) | (u32::from(high) << 16);
    sum & mask == stored
}

/// The lower and the upper half of a number.
fn halves(number: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// Writes a field that lies inside the inode: nothing else is asked for here.
fn put(raw: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = raw.get_mut(at..at.saturating_add(field.len())) {
        place.copy_from_slice(field);
    }
}

/// `S_IFMT` of a mode.
pub(super) fn kind_of(i_mode: u16) -> Option<Kind> {
    Some(match i_mode >> 12 {
        0x1 => Kind::Pipe,
        0x2 => Kind::CharDevice,
        0x4 => Kind::Folder,
        0x6 => Kind::BlockDevice,
        0x8 => Kind::File,
        0xA => Kind::Link,
        0xC => Kind::Socket,
        _ => return None,
    })
}

fn size_of(sb: &Superblock, kind: Kind, fields: Fields<'_>) -> u64 {
    let wide = kind == Kind::File || sb.features().incompat(incompat::LARGEDIR);
    let high = if wide { fields.le32(0x6C) } else { 0 };
    (u64::from(high) << 32) | u64::from(fields.le32(0x04))
}
