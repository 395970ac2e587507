//! What thin pools and thin volumes say of themselves.
//!
//! The lines are those of the kernel's `pool_status` and `thin_status`
//! (`Documentation/admin-guide/device-mapper/thin-provisioning.rst`).

use crate::error::{Error, ErrorKind, Result};
use crate::lvm2::model::Discards;
use crate::units::{Bytes, Sectors};

/// Bytes in a block of a pool's metadata: always 4096.
pub const METADATA_BLOCK: Bytes = Bytes::new(4096);

/// A thin pool's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolStatus {
    /// It works, perhaps not for writing.
    Running(PoolState),
    /// `Fail`: its metadata cannot be used; all I/O fails.
    Fail,
    /// `Error`: the kernel could not find out.
    Error,
}

/// What a pool that works says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// `transaction_id`.
    pub transaction_id: u64,
    /// Metadata blocks in use, each of [`METADATA_BLOCK`] bytes.
    pub metadata_used: u64,
    /// Metadata blocks there are.
    pub metadata_total: u64,
    /// Chunks in use.
    pub data_used: u64,
    /// Chunks there are.
    pub data_total: u64,
    /// The metadata snapshot's root, where one is held.
    pub held_root: Option<u64>,
    /// What may be done with it.
    pub mode: PoolMode,
    /// What becomes of discards.
    pub discards: Discards,
    /// True where writes fail when the pool is full, false where they wait.
    pub error_if_no_space: bool,
    /// True where the metadata must be checked offline before it is written again.
    pub needs_check: bool,
    /// Free metadata blocks below which an event is raised; not told by old kernels.
    pub metadata_low_water: Option<u64>,
}

/// What may be done with a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// `rw`.
    ReadWrite,
    /// `ro`: it was loaded so, or its metadata is full or in doubt.
    ReadOnly,
    /// `out_of_data_space`: no new chunk can be had.
    OutOfDataSpace,
}

impl PoolState {
    /// Metadata in use.
    pub fn metadata_used_bytes(&self) -> Bytes {
        Bytes::new(self.metadata_used.saturating_mul(METADATA_BLOCK.get()))
    }

    /// Metadata there is.
    pub fn metadata_bytes(&self) -> Bytes {
        Bytes::new(self.metadata_total.saturating_mul(METADATA_BLOCK.get()))
    }

    /// Metadata that is free.
    pub fn metadata_free(&self) -> Bytes {
        self.metadata_bytes().saturating_sub(self.metadata_used_bytes())
    }

    /// True for a pool that takes no change because its metadata is full. Of what is free the
    /// kernel does not show the tenth that it keeps back (drivers/md/dm-thin-metadata.c,
    /// `__set_metadata_reserve`), so that it is not lost: it needs more metadata, or less in it.
    pub fn is_out_of_metadata(&self) -> bool {
        let full = self.metadata_used >= self.metadata_total;
        self.mode == PoolMode::ReadOnly && !self.needs_check && full
    }

    /// Data in use, for chunks of that size.
    pub fn data_used_bytes(&self, chunk: Sectors) -> Bytes {
        Bytes::new(chunk.bytes().get().saturating_mul(self.data_used))
    }

    /// Data there is, for chunks of that size.
    pub fn data_bytes(&self, chunk: Sectors) -> Bytes {
        Bytes::new(chunk.bytes().get().saturating_mul(self.data_total))
    }

    /// Data that is free, for chunks of that size.
    pub fn data_free(&self, chunk: Sectors) -> Bytes {
        self.data_bytes(chunk).saturating_sub(self.data_used_bytes(chunk))
    }
}

/// The error for a status line that does not follow the kernel's form.
fn unreadable(target: &str, params: &str) -> Error {
    let shown: String = params.chars().take(120).collect();
    let why = format!("the kernel's status of {target} is not understood: '{shown}'");
    Error::new(ErrorKind::Unsupported, why).op("read a status")
}

fn used_of(word: Option<&str>) -> Option<(u64, u64)> {
    let (used, total) = word?.split_once('/')?;
    Some((used.parse().ok()?, total.parse().ok()?))
}

fn dash_or(word: &str) -> Option<Option<u64>> {
    if word == "-" { Some(None) } else { word.parse().ok().map(Some) }
}

impl PoolStatus {
    /// Reads the line of a `thin-pool` target.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where it does not follow the kernel's form.
    pub fn parse(params: &str) -> Result<Self> {
        match params.trim() {
            "Fail" => Ok(Self::Fail),
            "Error" => Ok(Self::Error),
            line => {
                let state = Self::state(line).ok_or_else(|| unreadable("thin-pool", params))?;
                Ok(Self::Running(state))
            }
        }
    }

    fn state(line: &str) -> Option<PoolState> {
        let mut words = line.split_ascii_whitespace();
        let transaction_id = words.next()?.parse().ok()?;
        let (metadata_used, metadata_total) = used_of(words.next())?;
        let (data_used, data_total) = used_of(words.next())?;
        let mut state = PoolState {
            transaction_id,
            metadata_used,
            metadata_total,
            data_used,
            data_total,
            held_root: dash_or(words.next()?)?,
            mode: mode(words.next()?)?,
            discards: discards(words.next()?)?,
            error_if_no_space: false,
            needs_check: false,
            metadata_low_water: None,
        };
        // Older kernels end their line after any of these.
        for word in words {
            match word {
                "error_if_no_space" => state.error_if_no_space = true,
                "needs_check" => state.needs_check = true,
                "queue_if_no_space" | "-" => {}
                number => state.metadata_low_water = Some(number.parse().ok()?),
            }
        }
        Some(state)
    }

    /// What a pool that works says.
    ///
    /// # Errors
    /// [`Unhealthy`](ErrorKind::Unhealthy) where it has failed.
    pub fn running(self) -> Result<PoolState> {
        let why = match self {
            Self::Running(state) => return Ok(state),
            Self::Fail => "the thin pool has failed: its metadata must be checked and repaired",
            Self::Error => "the kernel cannot tell the thin pool's state",
        };
        Err(Error::new(ErrorKind::Unhealthy, why))
    }
}

fn mode(word: &str) -> Option<PoolMode> {
    match word {
        "rw" => Some(PoolMode::ReadWrite),
        "ro" => Some(PoolMode::ReadOnly),
        "out_of_data_space" => Some(PoolMode::OutOfDataSpace),
        _ => None,
    }
}

fn discards(word: &str) -> Option<Discards> {
    match word {
        "ignore_discard" => Some(Discards::Ignore),
        "no_discard_passdown" => Some(Discards::NoPassdown),
        "discard_passdown" => Some(Discards::Passdown),
        _ => None,
    }
}

/// A thin volume's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinStatus {
    /// It works.
    Running {
        /// How much of it has chunks in the pool.
        mapped: Sectors,
        /// Its last mapped sector.
        highest: Option<u64>,
    },
    /// `Fail`: its pool has failed.
    Fail,
    /// `Error` or `-`: the kernel cannot tell.
    Error,
}

impl ThinStatus {
    /// Reads the line of a `thin` target.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where it does not follow the kernel's form.
    pub fn parse(params: &str) -> Result<Self> {
        let mut words = params.split_ascii_whitespace();
        let status = match (words.next(), words.next()) {
            (Some("Fail"), None) => Some(Self::Fail),
            (Some("Error" | "-"), None) => Some(Self::Error),
            (Some(mapped), Some(highest)) => mapped.parse().ok().and_then(|mapped| {
                let highest = dash_or(highest)?;
                Some(Self::Running { mapped: Sectors::new(mapped), highest })
            }),
            _ => None,
        };
        status.ok_or_else(|| unreadable("thin", params))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(line: &str) -> PoolState {
        PoolStatus::parse(line).expect("a status").running().expect("running")
    }

    #[test]
    fn a_healthy_pool_is_read_in_full() {
        let read = state("1 112/1024 7/1600 - rw discard_passdown queue_if_no_space - 256 ");
        let wanted = PoolState {
            transaction_id: 1,
            metadata_used: 112,
            metadata_total: 1024,
            data_used: 7,
            data_total: 1600,
            held_root: None,
            mode: PoolMode::ReadWrite,
            discards: Discards::Passdown,
            error_if_no_space: false,
            needs_check: false,
            metadata_low_water: Some(256),
        };
        assert_eq!(read, wanted);
        assert_eq!(read.data_free(Sectors::new(128)), Bytes::kib(64 * 1593));
        assert_eq!(read.metadata_free(), Bytes::kib(4 * 912));
    }

    #[test]
    fn every_form_is_known() {
        assert_eq!(PoolStatus::parse("Fail").expect("known"), PoolStatus::Fail);
        assert_eq!(PoolStatus::parse("Error").expect("known"), PoolStatus::Error);
        let full = state("9 1/2 3/3 - out_of_data_space no_discard_passdown error_if_no_space - 1");
        assert_eq!(full.mode, PoolMode::OutOfDataSpace);
        assert!(full.error_if_no_space && !full.needs_check);
        let check = state("9 1/2 3/4 77 ro ignore_discard queue_if_no_space needs_check 512 ");
        assert!(check.needs_check && check.held_root == Some(77));
        assert_eq!((check.mode, check.discards), (PoolMode::ReadOnly, Discards::Ignore));
        let old = state("0 1/2 3/4 - rw discard_passdown");
        assert_eq!(old.metadata_low_water, None);
        for bad in ["", "x", "1 2 3/4 - rw", "1 1/2 3/4 - maybe discard_passdown", "1 1/2 3/4 -"] {
            assert!(PoolStatus::parse(bad).is_err(), "{bad}");
        }
        let failed = PoolStatus::Fail.running().expect_err("failed");
        assert_eq!(failed.kind(), ErrorKind::Unhealthy);
    }

    #[test]
    fn thin_volumes_are_read() {
        let none = ThinStatus::Running { mapped: Sectors::ZERO, highest: None };
        assert_eq!(ThinStatus::parse("0 -").expect("known"), none);
        let some = ThinStatus::Running { mapped: Sectors::new(128), highest: Some(2047) };
        assert_eq!(ThinStatus::parse("128 2047 ").expect("known"), some);
        assert_eq!(ThinStatus::parse("Fail").expect("known"), ThinStatus::Fail);
        assert_eq!(ThinStatus::parse("-").expect("known"), ThinStatus::Error);
        assert!(ThinStatus::parse("1").is_err());
    }
}
