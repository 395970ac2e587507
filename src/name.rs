//! Names are parsed once and cannot be wrong afterwards.
//!
//! [`VgName`] and [`LvName`] follow LVM2's rules, [`Tag`] its alphabet,
//! [`LvmId`] is the 32-character identifier that LVM2 gives to volume groups,
//! physical and logical volumes, and [`DmName`] is the one way to make a
//! device-mapper name. What a base or layer is called stands in
//! [`crate::layout`].

pub(crate) mod bytes;

use std::fmt;
use std::str::FromStr;

use bytes::ByteSet;
use serde::Serialize;

/// Longest volume group or logical volume name, in bytes (lvm2: `NAME_LEN` - 1).
const NAME_MAX: usize = 127;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{shown}' is no {what}: {why}")]
pub struct BadName {
    shown: String,
    what: &'static str,
    why: &'static str,
}

impl BadName {
    /// Says that `text` is no `what` because of `why`. Long texts are cut for the message.
    pub(crate) fn new(text: &str, what: &'static str, why: &'static str) -> Self {
        let mut shown: String = text.chars().take(60).collect();
        if shown.len() < text.len() {
            shown.push_str("...");
        }
        Self { shown, what, why }
    }
}

impl From<BadName> for crate::Error {
    fn from(bad: BadName) -> Self {
        Self::new(crate::ErrorKind::Invalid, bad)
    }
}

const CHARS: &str = "allowed are letters, digits and . _ + -";

/// What lvm2 requires of any name it puts into its text and into /dev.
fn check_lvm_name(text: &str, what: &'static str) -> Result<(), BadName> {
    let bad = |why| Err(BadName::new(text, what, why));
    if text.is_empty() {
        return bad("it is empty");
    }
    if text.len() > NAME_MAX {
        return bad("it is longer than 127 characters");
    }
    if text.starts_with('-') {
        return bad("it starts with '-'");
    }
    if text == "." || text == ".." {
        return bad("it is a folder's own name");
    }
    if !text.bytes().all(|byte| LVM_BYTES.has(byte)) {
        return bad(CHARS);
    }
    Ok(())
}

static LVM_BYTES: ByteSet = ByteSet::alphanumeric_and(b"._+-");
static TAG_BYTES: ByteSet = ByteSet::alphanumeric_and(b"._+/=!:&#-");
static ID_BYTES: ByteSet = ByteSet::alphanumeric_and(b"!#");

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = BadName;

            fn try_from(text: &str) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }
    };
}
pub(crate) use text_type;

/// A volume group's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct VgName(Box<str>);
text_type!(VgName);

impl FromStr for VgName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        check_lvm_name(text, "name of a volume group")?;
        Ok(Self(text.into()))
    }
}

/// A logical volume's name, internal ones (`pool_tdata`) included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct LvName(Box<str>);
text_type!(LvName);

/// Name parts that lvm2 keeps for its internal volumes.
const RESERVED_PARTS: [&str; 16] = [
    "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_wcorig", "_mimage", "_mlog", "_rimage",
    "_rmeta", "_tdata", "_tmeta", "_vdata", "_imeta", "_iorig", "_pmspare",
];

impl LvName {
    /// The name with `suffix` appended, for lvm2's internal volumes.
    ///
    /// # Errors
    /// Where the result is too long.
    pub fn internal(&self, suffix: &str) -> Result<Self, BadName> {
        format!("{}{suffix}", self.0).parse()
    }

    /// Fails where a user may not choose this name: lvm2 keeps some for itself, and a name of
    /// the form `pv0` would be looked up among the physical volumes.
    ///
    /// # Errors
    /// [`BadName`] with the rule that it breaks.
    pub fn check_choosable(&self) -> Result<(), BadName> {
        let bad = |why| Err(BadName::new(&self.0, "name for a new volume", why));
        let text = &*self.0;
        if text.starts_with("pvmove") || text.starts_with("snapshot") {
            return bad("lvm2 reserves names that start with pvmove or snapshot");
        }
        // All of them have one.
        let may_be = text.contains('_');
        let is_reserved = || RESERVED_PARTS.iter().any(|part| text.contains(part));
        if may_be && (text.contains("_vorigin") || is_reserved()) {
            return bad("lvm2 reserves names with such an ending for its internal volumes");
        }
        let digits = text.strip_prefix("pv").unwrap_or_default();
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            return bad("lvm2's text calls physical volumes so");
        }
        Ok(())
    }
}

impl FromStr for LvName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        check_lvm_name(text, "name of a volume")?;
        Ok(Self(text.into()))
    }
}

/// A tag on a volume group, physical or logical volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Tag(Box<str>);
text_type!(Tag);

impl FromStr for Tag {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |why| Err(BadName::new(text, "tag", why));
        if text.is_empty() || text.len() > 1024 {
            return bad("a tag has 1 to 1024 characters");
        }
        if !text.bytes().all(|byte| TAG_BYTES.has(byte)) {
            return bad("allowed are letters, digits and . _ + / = ! : & # -");
        }
        Ok(Self(text.into()))
    }
}

/// LVM2's identifier of a volume group, physical or logical volume: 32 characters, written with
/// dashes as 6-4-4-4-4-4-6 in the text and without in labels and device-mapper UUIDs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LvmId([u8; 32]);

/// Lengths of the dashed groups.
const GROUPS: [usize; 7] = [6, 4, 4, 4, 4, 4, 6];

impl LvmId {
    /// From its 32 characters without dashes.
    ///
    /// # Errors
    /// Where a byte is outside `0-9a-zA-Z!#`.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, BadName> {
        if bytes.iter().all(|byte| ID_BYTES.has(*byte)) {
            return Ok(Self(bytes));
        }
        let shown = String::from_utf8_lossy(&bytes);
        Err(BadName::new(&shown, "LVM2 identifier", "allowed are letters, digits, ! and #"))
    }

    /// A new one from the system's generator of random bytes.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn random() -> std::io::Result<Self> {
        const ALPHABET: &[u8; 62] =
            b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mut id = [0u8; 32];
        let mut filled = 0;
        while filled < id.len() {
            let mut random = [0u8; 64];
            getrandom::fill(&mut random).map_err(std::io::Error::from)?;
            // 248 = 4 * 62: above it the remainder would favour the first letters.
            let fair = random.iter().filter(|b| **b < 248);
            for (place, byte) in id.iter_mut().skip(filled).zip(fair) {
                *place = ALPHABET.get(usize::from(byte % 62)).copied().unwrap_or(b'0');
                filled += 1;
            }
        }
        Ok(Self(id))
    }

    /// The 32 characters.
    pub fn undashed(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked to be ASCII when made")
    }

    /// The 32 characters as bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The 32 characters of the form that is in every text, where they are what they may be.
fn undashed(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0u8; 32];
    let (mut at, mut rest) = (0, text.as_bytes());
    for len in GROUPS {
        let (group, after) = rest.split_at_checked(len)?;
        bytes.get_mut(at..at + len)?.copy_from_slice(group);
        at += len;
        rest = if at < bytes.len() { after.strip_prefix(b"-")? } else { after };
    }
    (rest.is_empty() && bytes.iter().all(|byte| ID_BYTES.has(*byte))).then_some(bytes)
}

impl FromStr for LvmId {
    type Err = BadName;

    /// Takes both forms, with dashes and without.
    fn from_str(text: &str) -> Result<Self, BadName> {
        if let Some(bytes) = undashed(text) {
            return Ok(Self(bytes));
        }
        let mut bytes = [0u8; 32];
        let mut letters = text.bytes().filter(|b| *b != b'-');
        for place in &mut bytes {
            let Some(byte) = letters.next() else {
                return Err(BadName::new(text, "LVM2 identifier", "it is too short"));
            };
            *place = byte;
        }
        if letters.next().is_some() {
            return Err(BadName::new(text, "LVM2 identifier", "it is too long"));
        }
        Self::from_bytes(bytes)
    }
}

impl fmt::Display for LvmId {
    /// With dashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.undashed();
        for (index, len) in GROUPS.into_iter().enumerate() {
            let (group, after) = rest.split_at(len);
            rest = after;
            write!(f, "{}{group}", if index == 0 { "" } else { "-" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for LvmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LvmId({self})")
    }
}

impl Serialize for LvmId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The name of a device-mapper device: at most 127 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DmName(Box<str>);
text_type!(DmName);

impl DmName {
    /// The name that lvm2 gives to a volume: `VG-LV` or `VG-LV-LAYER`, each dash inside a name
    /// doubled.
    ///
    /// # Errors
    /// Where it is longer than device-mapper takes.
    pub fn of_lv(vg: &VgName, lv: &LvName, layer: Option<&str>) -> Result<Self, BadName> {
        let mut text = vg.0.replace('-', "--");
        text.push('-');
        text.push_str(&lv.0.replace('-', "--"));
        if let Some(layer) = layer {
            text.push('-');
            text.push_str(layer);
        }
        text.parse()
    }
}

impl DmName {
    /// Fails where [`of_lv`](Self::of_lv) would, without making the name.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn check_lv(vg: &VgName, lv: &LvName, layer: Option<&str>) -> Result<(), BadName> {
        let doubled = |name: &str| {
            let dashes = name.bytes().filter(|byte| *byte == b'-').count();
            name.len().saturating_add(dashes)
        };
        let names = doubled(&vg.0).saturating_add(doubled(&lv.0)).saturating_add(1);
        let len = layer.map_or(names, |layer| names.saturating_add(1).saturating_add(layer.len()));
        if len <= NAME_MAX { Ok(()) } else { Self::of_lv(vg, lv, layer).map(drop) }
    }

    /// The volume whose device has this name; `None` for a name of another form, such as that of
    /// a device inside a volume.
    pub fn volume(&self) -> Option<(VgName, LvName)> {
        // A dash in a name is written twice; a single one stands between the two.
        let undoubled = self.0.replace("--", "\0");
        let (vg, lv) = undoubled.split_once('-').filter(|(_, lv)| !lv.contains('-'))?;
        let name = |text: &str| text.replace('\0', "-");
        Some((name(vg).parse().ok()?, name(lv).parse().ok()?))
    }

    /// True where `name` is that of a device of this group.
    pub fn is_of(name: &str, vg: &VgName) -> bool {
        let rest = name.strip_prefix(&vg.0.replace('-', "--"));
        let lv = rest.and_then(|rest| rest.strip_prefix('-'));
        lv.is_some_and(|lv| !lv.starts_with('-'))
    }
}

impl FromStr for DmName {
    type Err = BadName;

    /// Any name that the kernel itself may report.
    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = |why| Err(BadName::new(text, "device-mapper name", why));
        if text.is_empty() || text.len() > NAME_MAX {
            return bad("it has 1 to 127 bytes, dashes of the volume names doubled");
        }
        if text.contains('/') || text.contains('\0') {
            return bad("it holds a slash or a NUL");
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_lvm2() {
        for good in ["HostVG", "a.b_c+d-e", "0", "Base-1-0+1"] {
            assert!(good.parse::<VgName>().is_ok(), "{good}");
        }
        let long = "x".repeat(128);
        for bad in ["", ".", "..", "-x", "a b", "../x", "a/b", "é", long.as_str()] {
            assert!(bad.parse::<LvName>().is_err(), "{bad}");
        }
        for taken in ["pvmove0", "snapshot1", "x_tdata", "lvol0_pmspare", "pv0"] {
            let name: LvName = taken.parse().expect("a name");
            assert!(name.check_choosable().is_err(), "{taken}");
        }
        let free: LvName = "pvx".parse().expect("a name");
        assert!(free.check_choosable().is_ok());
    }

    #[test]
    fn identifiers_print_in_both_forms() {
        let id: LvmId = "XyVtmO-GXSw-0RqY-mNCo-J8zo-iXnL-RmdN6a".parse().expect("an id");
        assert_eq!(id.undashed(), "XyVtmOGXSw0RqYmNCoJ8zoiXnLRmdN6a");
        assert_eq!(id.to_string(), "XyVtmO-GXSw-0RqY-mNCo-J8zo-iXnL-RmdN6a");
        assert_eq!(id.undashed().parse(), Ok(id));
        assert!("XyVtmO".parse::<LvmId>().is_err());
        assert_ne!(LvmId::random().expect("random"), LvmId::random().expect("random"));
    }

    #[test]
    fn device_names_double_dashes() {
        let (vg, lv) = ("Host-VG".parse().expect("vg"), "pool-0".parse().expect("lv"));
        let name = DmName::of_lv(&vg, &lv, Some("tpool")).expect("short");
        assert_eq!(name, "Host--VG-pool--0-tpool");
        let lv: LvName = "-".repeat(60).replacen('-', "x", 1).parse().expect("lv");
        let vg: VgName = "x-".repeat(10).parse().expect("vg");
        assert!(DmName::of_lv(&vg, &lv, None).is_err());
        for (vg, lv) in [(1, 125), (1, 126), (2, 124), (3, 124), (1, 121), (1, 120)] {
            let vg: VgName = "v".repeat(vg).parse().expect("vg");
            for name in ["x".repeat(lv), format!("{}-", "x".repeat(lv - 1))] {
                let lv: LvName = name.parse().expect("lv");
                for layer in [None, Some("tpool")] {
                    let made = DmName::of_lv(&vg, &lv, layer).map(drop);
                    assert_eq!(DmName::check_lv(&vg, &lv, layer), made, "{vg} {lv} {layer:?}");
                }
            }
        }
    }
}
