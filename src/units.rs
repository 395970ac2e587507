//! Sizes and positions, each unit a type of its own.
//!
//! LVM2 counts in sectors of 512 bytes and in extents whose size the volume
//! group chooses; the thin target counts in sectors; people and files count in
//! bytes. Mixing them up destroys data, so nothing here converts by itself:
//! every conversion has a name, takes the geometry it needs and says how it
//! rounds.

use std::fmt;

use serde::Serialize;

/// Bytes in a sector: always 512, whatever the disk's own block size.
pub const SECTOR: u64 = 512;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0);

            /// The value as given.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The plain number, for printing and for the kernel.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// True for nothing.
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }

            /// The sum, or `None` where it does not fit 64 bits.
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// The difference, or `None` below zero.
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// The product with a count, or `None` where it does not fit 64 bits.
            pub const fn checked_mul(self, count: u64) -> Option<Self> {
                match self.0.checked_mul(count) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// The sum, stopping at the largest value.
            pub const fn saturating_add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }

            /// The difference, stopping at zero.
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }
    };
}

unit! {
    /// A size or position in bytes.
    Bytes
}
unit! {
    /// A size or position in sectors of 512 bytes.
    Sectors
}
unit! {
    /// A count or position in extents of a volume group.
    Extents
}

impl Bytes {
    /// `count` KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 10))
    }

    /// `count` MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// `count` GiB.
    pub const fn gib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 30))
    }

    /// Whole sectors, the rest cut off.
    pub const fn sectors_down(self) -> Sectors {
        Sectors(self.0 / SECTOR)
    }

    /// Whole sectors, a started one counted.
    pub const fn sectors_up(self) -> Sectors {
        Sectors(self.0.div_ceil(SECTOR))
    }

    /// The next multiple of `step` (or this, if it is one); `None` past 64 bits or for a zero step.
    pub const fn round_up(self, step: Self) -> Option<Self> {
        match self.0.checked_next_multiple_of(step.0) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The multiple of `step` at or below this; zero for a zero step.
    pub const fn round_down(self, step: Self) -> Self {
        match self.0.checked_rem(step.0) {
            Some(rest) => Self(self.0 - rest),
            None => Self(0),
        }
    }
}

impl Sectors {
    /// In bytes; saturates at 2^64 - 1, which no disk reaches.
    pub const fn bytes(self) -> Bytes {
        Bytes(self.0.saturating_mul(SECTOR))
    }

    /// Whole extents of `extent` sectors, the rest cut off; zero for a zero extent.
    pub const fn extents_down(self, extent: Sectors) -> Extents {
        match self.0.checked_div(extent.0) {
            Some(count) => Extents(count),
            None => Extents(0),
        }
    }

    /// Whole extents of `extent` sectors, a started one counted; zero for a zero extent.
    pub const fn extents_up(self, extent: Sectors) -> Extents {
        if extent.0 == 0 { Extents(0) } else { Extents(self.0.div_ceil(extent.0)) }
    }
}

impl Extents {
    /// In sectors, for extents of `extent` sectors; saturates.
    pub const fn sectors(self, extent: Sectors) -> Sectors {
        Sectors(self.0.saturating_mul(extent.0))
    }

    /// In bytes, for extents of `extent` sectors; saturates.
    pub const fn bytes(self, extent: Sectors) -> Bytes {
        self.sectors(extent).bytes()
    }
}

impl fmt::Display for Bytes {
    /// For people: `12.5 GiB`, exact below 1 KiB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u32); 5] =
            [("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        for (unit, shift) in UNITS {
            let (whole, rest) = (self.0 >> shift, self.0 & ((1u64 << shift) - 1));
            if whole == 0 {
                continue;
            }
            let tenth = (u128::from(rest) * 10) >> shift;
            return if tenth == 0 {
                write!(f, "{whole} {unit}")
            } else {
                write!(f, "{whole}.{tenth} {unit}")
            };
        }
        write!(f, "{} bytes", self.0)
    }
}

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no size: give a whole number and a unit, as 512M, 20G or 1048576b")]
pub struct BadSize(String);

impl std::str::FromStr for Bytes {
    type Err = BadSize;

    /// Reads `20G`, `512MiB`, `64k`, `1048576b`, `1048576`: units are powers of 1024, case is free,
    /// a number alone is bytes.
    fn from_str(text: &str) -> Result<Self, BadSize> {
        let bad = || BadSize(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let shift = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kib" => 10,
            "m" | "mib" => 20,
            "g" | "gib" => 30,
            "t" | "tib" => 40,
            "p" | "pib" => 50,
            _ => return Err(bad()),
        };
        number.checked_mul(1 << shift).map(Self).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_printed() {
        assert_eq!("20G".parse(), Ok(Bytes::gib(20)));
        assert_eq!("64KiB".parse(), Ok(Bytes::kib(64)));
        assert_eq!("512".parse(), Ok(Bytes::new(512)));
        assert_eq!("7b".parse(), Ok(Bytes::new(7)));
        for bad in ["", "G", "-1", "1.5G", "1X", "99999999999P", " 1G"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
        assert_eq!(Bytes::new(1536).to_string(), "1.5 KiB");
        assert_eq!(Bytes::gib(4).to_string(), "4 GiB");
        assert_eq!(Bytes::new(12).to_string(), "12 bytes");
    }

    #[test]
    fn rounding_says_its_way() {
        let extent = Sectors::new(8192);
        assert_eq!(Sectors::new(8193).extents_down(extent), Extents::new(1));
        assert_eq!(Sectors::new(8193).extents_up(extent), Extents::new(2));
        assert_eq!(Bytes::new(513).sectors_down(), Sectors::new(1));
        assert_eq!(Bytes::new(513).sectors_up(), Sectors::new(2));
        assert_eq!(Bytes::new(5).round_up(Bytes::new(4)), Some(Bytes::new(8)));
        assert_eq!(Bytes::new(5).round_down(Bytes::ZERO), Bytes::ZERO);
    }
}
