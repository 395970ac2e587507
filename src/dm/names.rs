//! What lvm2 calls a device, and what the world sees of it.
//!
//! lvm2 finds its devices by UUID: `LVM-`, the group's identifier, the volume's, and for
//! internal devices a suffix. A device with another UUID is not there for lvm2, and its name is
//! then in the way.

use std::ops::BitOr;

use super::kernel::{Create, Visibility};
use crate::error::Result;
use crate::lvm2::model::{Lv, Vg};
use crate::name::{DmName, LvmId};

/// Bits of [`Visibility::udev_flags`] (libdevmapper.h, `DM_UDEV_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdevFlags(u16);

impl UdevFlags {
    /// `DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG`: no `/dev/VG/LV`.
    pub const NO_SUBSYSTEM_RULES: Self = Self(0x0002);
    /// `DM_UDEV_DISABLE_DISK_RULES_FLAG`: no `/dev/disk` links.
    pub const NO_DISK_RULES: Self = Self(0x0004);
    /// `DM_UDEV_DISABLE_OTHER_RULES_FLAG`: nobody else's rules.
    pub const NO_OTHER_RULES: Self = Self(0x0008);
    /// `DM_UDEV_DISABLE_LIBRARY_FALLBACK`: udev alone makes the nodes.
    pub const NO_LIBRARY_FALLBACK: Self = Self(0x0020);
    /// `DM_UDEV_PRIMARY_SOURCE_FLAG`: this event is the one to act on.
    pub const PRIMARY_SOURCE: Self = Self(0x0040);

    /// For a volume that people see: 0x60.
    pub const VISIBLE: Self = Self(Self::NO_LIBRARY_FALLBACK.0 | Self::PRIMARY_SOURCE.0);
    /// For a device that nobody but lvm2 cares for: 0x6e.
    pub const INTERNAL: Self = Self(
        Self::VISIBLE.0
            | Self::NO_SUBSYSTEM_RULES.0
            | Self::NO_DISK_RULES.0
            | Self::NO_OTHER_RULES.0,
    );

    /// The bits.
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl BitOr for UdevFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a device is to the volume that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A pool's metadata; the volume is the hidden `POOL_tmeta`.
    PoolMetadata,
    /// A pool's data; the volume is the hidden `POOL_tdata`.
    PoolData,
    /// A pool in use, under the name `VG-POOL-tpool`.
    Pool,
    /// A pool that has never had a volume (transaction id 0), under the name `VG-POOL`.
    NewPool,
    /// The read-only device that stands for a pool in use where people look for the pool.
    PoolWrapper,
    /// The volume itself.
    Volume,
}

impl Role {
    /// The suffix of the UUID.
    const fn suffix(self) -> &'static str {
        match self {
            Self::PoolMetadata => "-tmeta",
            Self::PoolData => "-tdata",
            Self::Pool | Self::NewPool => "-tpool",
            Self::PoolWrapper => "-pool",
            Self::Volume => "",
        }
    }

    fn flags(self, lv: &Lv) -> UdevFlags {
        match self {
            Self::Volume if lv.is_visible() => UdevFlags::VISIBLE,
            Self::NewPool => {
                UdevFlags::VISIBLE | UdevFlags::NO_DISK_RULES | UdevFlags::NO_OTHER_RULES
            }
            _ => UdevFlags::INTERNAL,
        }
    }

    /// Whether `/dev/VG/LV` leads to it.
    fn is_linked(self, lv: &Lv) -> bool {
        matches!(self, Self::Volume | Self::NewPool) && lv.is_visible()
    }
}

/// The identifier, without dashes, of the volume whose device has this UUID.
pub(super) fn lv_id(uuid: &str) -> Option<&str> {
    // `LVM-`, and 32 characters of the group's.
    uuid.strip_prefix("LVM-")?.get(32..64)
}

/// How lvm2 knows a device, and what the world sees of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKey {
    /// Its name.
    pub name: DmName,
    /// Its UUID.
    pub uuid: String,
    /// What udev makes of it.
    pub seen: Visibility,
}

impl DeviceKey {
    /// The device that `lv` of `vg` has in that role.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) where the name is longer than device-mapper takes.
    pub fn of(vg: &Vg, lv: &Lv, role: Role) -> Result<Self> {
        let layer = (role == Role::Pool).then_some("tpool");
        let link = role.is_linked(lv).then(|| (vg.name.clone(), lv.name.clone()));
        Ok(Self {
            name: DmName::of_lv(&vg.name, &lv.name, layer)?,
            uuid: uuid_of(vg, lv, role),
            seen: Visibility { udev_flags: role.flags(lv).bits(), link },
        })
    }

    /// What to ask of the kernel to make it.
    pub fn create(&self, read_only: bool, minor: Option<u32>) -> Create {
        Create { name: self.name.clone(), uuid: self.uuid.clone(), read_only, minor }
    }
}

/// The UUID of the device that `lv` of `vg` has in that role.
pub fn uuid_of(vg: &Vg, lv: &Lv, role: Role) -> String {
    format!("{}{}{}", uuid_prefix(&vg.id), lv.id.undashed(), role.suffix())
}

/// How the UUIDs of all devices of a group begin.
pub fn uuid_prefix(vg: &LvmId) -> String {
    format!("LVM-{}", vg.undashed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::testing;

    fn key(lv: &str, role: Role) -> DeviceKey {
        let vg = testing::golden(3);
        let lv = vg.lv(&testing::lv_name(lv)).expect("a volume");
        DeviceKey::of(&vg, lv, role).expect("short")
    }

    #[test]
    fn keys_are_those_of_lvm2() {
        let golden = include_str!("../../tests/data/lvm2/06-snap2create.dm");
        for (lv, role) in [
            ("pool-0_tmeta", Role::PoolMetadata),
            ("pool-0_tdata", Role::PoolData),
            ("pool-0", Role::Pool),
            ("pool-0", Role::PoolWrapper),
            ("base", Role::Volume),
            ("layer1", Role::Volume),
        ] {
            let key = key(lv, role);
            let line = format!("\n{} {} 254 ", key.name, key.uuid);
            assert!(golden.contains(&line), "{line}");
        }
        let fresh = key("pool-0", Role::NewPool);
        let golden = include_str!("../../tests/data/lvm2/02-poolcreate.dm");
        assert!(golden.contains(&format!("\n{} {} 254 ", fresh.name, fresh.uuid)));
    }

    #[test]
    fn udev_is_told_what_lvm2_tells_it() {
        let flags = |lv, role| key(lv, role).seen.udev_flags;
        assert_eq!(flags("base", Role::Volume), 0x60);
        assert_eq!(flags("pool-0", Role::NewPool), 0x6c);
        for role in [Role::Pool, Role::PoolWrapper] {
            assert_eq!(flags("pool-0", role), 0x6e);
        }
        assert_eq!(flags("pool-0_tmeta", Role::PoolMetadata), 0x6e);
        let linked = key("base", Role::Volume).seen.link.expect("a link");
        assert_eq!((linked.0.as_str(), linked.1.as_str()), ("Host-VG", "base"));
        assert!(key("pool-0", Role::PoolWrapper).seen.link.is_none());
        assert!(key("pool-0", Role::NewPool).seen.link.is_some());
    }
}
