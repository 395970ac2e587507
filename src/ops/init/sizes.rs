//! How a new group is divided: pure arithmetic.

use crate::error::{Error, ErrorKind, Result};
use crate::units::{Bytes, Extents, Sectors};

/// lvm2's default extent: 4 MiB.
pub(super) const EXTENT: Sectors = Sectors::new(8192);

/// lvm2's smallest chunk, and the default of its policy "generic": 64 KiB.
pub(super) const CHUNK: Sectors = Sectors::new(128);

/// The least metadata a pool gets by default.
const METADATA_MIN: Bytes = Bytes::mib(64);

/// What a pool gets by default in a group of [`LARGE`].
const METADATA_LARGE: Bytes = Bytes::gib(1);

/// From this size on a group counts as large.
const LARGE: Bytes = Bytes::gib(100);

/// The largest metadata volume that the kernel uses (lvm2: `DEFAULT_THIN_POOL_MAX_METADATA_SIZE`).
pub(super) const METADATA_MAX: Bytes = Bytes::kib(16_646_400);

/// What was asked for; `None` is the default.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) data: Option<Bytes>,
    pub(super) metadata: Option<Bytes>,
    pub(super) config: Bytes,
}

/// How many extents each part gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) data: Extents,
    pub(super) metadata: Extents,
    pub(super) config: Extents,
}

/// Divides `total` extents.
///
/// By default the data gets what the metadata, its spare and the Config volume leave, less 5 % of
/// the group and one more metadata volume to grow from.
pub(super) fn divide(total: Extents, wish: Wish) -> Result<Sizes> {
    let metadata = metadata_size(total, wish)?;
    let config = wish.config.sectors_up().extents_up(EXTENT);
    // The metadata and lvm2's spare for its repair.
    let fixed = metadata.saturating_add(metadata).saturating_add(config);
    let data = match wish.data {
        Some(data) if data.is_zero() => {
            return Err(
                Error::new(ErrorKind::Invalid, "the pool's data cannot be 0 bytes").at("--size")
            );
        }
        Some(data) => data.sectors_up().extents_up(EXTENT),
        None => {
            let reserve = Extents::new(total.get().div_ceil(20)).saturating_add(metadata);
            total.saturating_sub(fixed).saturating_sub(reserve)
        }
    };
    let least = if data.is_zero() { Extents::new(1) } else { data };
    let need = fixed.saturating_add(least);
    if data.is_zero() || need > total {
        return Err(too_small(need, total));
    }
    Ok(Sizes { data, metadata, config })
}

/// The metadata that a pool gets by default in a group of that size.
pub(super) fn metadata_rule(group: Bytes) -> Bytes {
    if group >= LARGE { METADATA_LARGE } else { METADATA_MIN }
}

fn metadata_size(total: Extents, wish: Wish) -> Result<Extents> {
    let size = wish.metadata.unwrap_or_else(|| metadata_rule(total.bytes(EXTENT)));
    if size < Bytes::mib(2) || size > METADATA_MAX {
        let why = format!("the pool's metadata takes 2 MiB to {METADATA_MAX}, not {size}");
        return Err(Error::new(ErrorKind::Invalid, why).at("--metadata-size"));
    }
    Ok(size.sectors_up().extents_up(EXTENT))
}

fn too_small(need: Extents, total: Extents) -> Error {
    let (need, have) = (need.bytes(EXTENT), total.bytes(EXTENT));
    let why = format!(
        "the devices have room for {have} ({} bytes) and the layout needs at least {need} ({} \
         bytes): data, twice the metadata and the Config volume; give larger devices, or less \
         with --size, --metadata-size, --config-size",
        have.get(),
        need.get()
    );
    Error::new(ErrorKind::NoSpace { need, have }, why).kept("nothing was changed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wish() -> Wish {
        Wish { data: None, metadata: None, config: Bytes::mib(64) }
    }

    #[test]
    fn leaves_five_percent_and_one_metadata_volume() {
        // 10 GiB: 2560 extents; metadata 16, spare 16, config 16, reserve 128 + 16.
        let sizes = divide(Extents::new(2560), wish()).expect("fits");
        assert_eq!(sizes.metadata, Extents::new(16));
        assert_eq!(sizes.data, Extents::new(2560 - 48 - 144));
        let large = divide(Extents::new(25600), wish()).expect("fits");
        assert_eq!(large.metadata.bytes(EXTENT), Bytes::gib(1));
    }

    #[test]
    fn too_little_is_refused_in_bytes() {
        let error = divide(Extents::new(40), wish()).expect_err("too small");
        let ErrorKind::NoSpace { need, have } = error.kind() else { panic!("{error}") };
        assert_eq!(have, Bytes::mib(160));
        assert!(need > have);
        let asked = Wish { data: Some(Bytes::gib(20)), ..wish() };
        assert!(divide(Extents::new(2560), asked).is_err());
    }

    proptest! {
        #[test]
        fn never_more_than_there_is(total in 0u64..1 << 40, config in 0u64..1 << 40) {
            let wish = Wish { config: Bytes::new(config), ..wish() };
            if let Ok(sizes) = divide(Extents::new(total), wish) {
                let used = sizes.data.get() + 2 * sizes.metadata.get() + sizes.config.get();
                prop_assert!(used <= total && sizes.data.get() > 0);
            }
        }
    }
}
