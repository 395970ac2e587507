//! What the rest asks of the kernel's device-mapper, as a trait: the real one
//! is ioctls, the simulated one is for tests and dry runs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dev::Dev;
use crate::dm::table::Table;
use crate::dm::thin_metadata::{ChangedChunks, ThinDetails};
use crate::error::{Error, ErrorKind, Result};
use crate::name::{DmName, LvName, VgName};

/// A block device's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevNo {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl std::fmt::Display for DevNo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl std::str::FromStr for DevNo {
    type Err = std::num::ParseIntError;

    /// Reads `254:3`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (major, minor) = text.split_once(':').unwrap_or((text, ""));
        Ok(Self { major: major.parse()?, minor: minor.parse()? })
    }
}

/// A device-mapper device as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmInfo {
    /// Its name.
    pub name: DmName,
    /// Its UUID; empty where it has none. lvm2 knows its devices by this.
    pub uuid: Box<str>,
    /// Its number.
    pub number: DevNo,
    /// How many hold it open.
    pub open_count: u32,
    /// True between suspend and resume.
    pub suspended: bool,
    /// True where it may not be written.
    pub read_only: bool,
    /// True where it has a live table.
    pub live: bool,
    /// True where a table is loaded and waits for a resume.
    pub inactive: bool,
    /// Counts the device's events.
    pub event: u32,
}

/// How to make a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// Its name.
    pub name: DmName,
    /// Its UUID, at most 128 bytes.
    pub uuid: String,
    /// True for a device that may not be written.
    pub read_only: bool,
    /// The minor number it must have, where the text fixes one.
    pub minor: Option<u32>,
}

/// What the world outside the kernel sees of a device: which nodes and links it gets, and what
/// udev's rules do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visibility {
    /// The high half of the udev cookie: lvm2 uses 0x60 for volumes that people see and 0x6e
    /// for internal ones (libdevmapper.h, `DM_UDEV_*`).
    pub udev_flags: u16,
    /// The volume behind it, where it gets a link `/dev/VG/LV`.
    pub link: Option<(VgName, LvName)>,
}

/// How to suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspend {
    /// Flush what is in flight and freeze the file system: for the origin of a snapshot.
    Freeze,
    /// Neither flush nor freeze (`DM_NOFLUSH`, `DM_SKIP_LOCKFS`): for a change of tables.
    Quick,
}

/// A target's status line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// The target's name: `thin-pool`.
    pub target: Box<str>,
    /// What it says of itself.
    pub params: String,
}

/// The kernel's device-mapper.
///
/// All errors are of the kinds [`Busy`](crate::ErrorKind::Busy) (EBUSY),
/// [`Exists`](crate::ErrorKind::Exists) (EEXIST, and a name or UUID in use),
/// [`NotFound`](crate::ErrorKind::NotFound) (ENXIO, and ENODATA of a thin device id),
/// [`NoSpace`](crate::ErrorKind::NoSpace), [`Denied`](crate::ErrorKind::Denied),
/// [`Unsupported`](crate::ErrorKind::Unsupported) (no device-mapper, no such target; a message to a
/// pool that takes no changes) or
/// [`Io`](crate::ErrorKind::Io), and name the device.
pub trait Kernel: Send + Sync {
    /// All devices there are (`DM_LIST_DEVICES`, with UUIDs), or those whose UUID starts with
    /// `uuid_prefix`.
    ///
    /// # Errors
    /// See the trait.
    fn list(&self, uuid_prefix: &str) -> Result<Vec<DmInfo>>;

    /// One device, or `None` where there is none of that name.
    ///
    /// # Errors
    /// See the trait.
    fn info(&self, name: &DmName) -> Result<Option<DmInfo>>;

    /// The device of that UUID, or `None`: for a few devices of a group cheaper than
    /// [`list`](Kernel::list), which asks after each there is.
    ///
    /// # Errors
    /// See the trait.
    fn find(&self, uuid: &str) -> Result<Option<DmInfo>>;

    /// The device of that number, or `None` where it is of another driver.
    ///
    /// # Errors
    /// See the trait.
    fn numbered(&self, number: DevNo) -> Result<Option<DmInfo>>;

    /// Makes a device without a table; it cannot be opened before its first resume.
    ///
    /// # Errors
    /// See the trait.
    fn create(&self, device: &Create) -> Result<DevNo>;

    /// Loads a table; it takes effect at the next resume.
    ///
    /// # Errors
    /// See the trait. The table is not loaded then, what was loaded before is.
    fn load(&self, name: &DmName, table: &Table, read_only: bool) -> Result<()>;

    /// Drops a table that was loaded and not resumed.
    ///
    /// # Errors
    /// See the trait.
    fn clear(&self, name: &DmName) -> Result<()>;

    /// Makes the loaded table live and lets I/O pass. Nodes and links appear, at the latest
    /// when [`settle`](Kernel::settle) returns.
    ///
    /// # Errors
    /// See the trait.
    fn resume(&self, name: &DmName, seen: &Visibility) -> Result<()>;

    /// Holds I/O back.
    ///
    /// # Errors
    /// See the trait. The device is not suspended then.
    fn suspend(&self, name: &DmName, how: Suspend) -> Result<()>;

    /// Removes a device; nodes and links go with it, at the latest when
    /// [`settle`](Kernel::settle) returns. A device that is briefly held (udev's probes) is
    /// tried again for a bounded time.
    ///
    /// # Errors
    /// See the trait.
    fn remove(&self, name: &DmName, seen: &Visibility) -> Result<()>;

    /// Gives a device another name; its UUID stays.
    ///
    /// # Errors
    /// See the trait.
    fn rename(&self, name: &DmName, new: &DmName, seen: &Visibility) -> Result<()>;

    /// Sends a message to the target at sector 0.
    ///
    /// # Errors
    /// See the trait.
    fn message(&self, name: &DmName, message: &str) -> Result<()>;

    /// The status of each target (`DM_NOFLUSH`: asking changes nothing).
    ///
    /// # Errors
    /// See the trait.
    fn status(&self, name: &DmName) -> Result<Vec<TargetStatus>>;

    /// The live table.
    ///
    /// # Errors
    /// See the trait; [`Unsupported`](crate::ErrorKind::Unsupported) where a target is not one
    /// that this program drives.
    fn table(&self, name: &DmName) -> Result<Table>;

    /// [`find`](Kernel::find) and [`table`](Kernel::table) of the same moment, by one question
    /// where that can be; a device without a live table has an empty one.
    ///
    /// # Errors
    /// As those two.
    fn find_with_table(&self, uuid: &str) -> Result<Option<(DmInfo, Table)>> {
        let Some(info) = self.find(uuid)? else { return Ok(None) };
        let table = if info.live { self.table(&info.name)? } else { Table::default() };
        Ok(Some((info, table)))
    }

    /// All thin devices of an active pool by id, out of the device that holds its metadata.
    ///
    /// # Errors
    /// As [`thin_metadata::thin_devices`](crate::dm::thin_metadata::thin_devices);
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where it cannot be known.
    fn thin_devices(
        &self,
        pool: &DmName,
        _metadata: &DmName,
    ) -> Result<BTreeMap<u32, ThinDetails>> {
        let why = "its thin devices cannot be listed";
        Err(Error::new(ErrorKind::Unsupported, why).at(pool))
    }

    /// Where two thin devices of an active pool may differ, out of the device that holds the
    /// pool's metadata. Nobody may write to the two meanwhile: see [`open_alone`](Self::open_alone).
    ///
    /// # Errors
    /// As [`thin_metadata::changed_chunks`](crate::dm::thin_metadata::changed_chunks);
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where it cannot be known.
    fn changed_chunks(
        &self,
        pool: &DmName,
        _metadata: &DmName,
        _devices: (u32, u32),
    ) -> Result<ChangedChunks> {
        let why = "its mappings cannot be compared";
        Err(Error::new(ErrorKind::Unsupported, why).at(pool))
    }

    /// Waits for an event of any device, no longer than so, and not much longer once it is
    /// `cancelled`.
    ///
    /// # Errors
    /// See the trait.
    fn wait(&self, at_most: Duration, cancelled: &dyn Fn() -> bool) -> Result<()>;

    /// How many threads may be in calls at the same time with a gain: in a table's load, a resume and a
    /// removal the kernel waits rather than works.
    fn calls_at_once(&self) -> usize {
        1
    }

    /// Waits, for a bounded time, until udev has dealt with every resume, remove and rename so
    /// far. Never call it while a device is suspended: udev may be waiting for that device.
    ///
    /// # Errors
    /// [`Busy`](crate::ErrorKind::Busy) where udev does not finish in time.
    fn settle(&self) -> Result<()>;

    /// Opens the device to read it while nobody has it mounted or can mount it, after
    /// [`settle`](Kernel::settle)ing. What was written to it before is as if synced, which for a
    /// thin device goes for the pool's metadata too. `None` where somebody has it.
    ///
    /// # Errors
    /// See the trait.
    fn open_alone(&self, _name: &DmName) -> Result<Option<Box<dyn Dev>>> {
        Ok(None)
    }

    /// Opens the device for reading and writing (for reading alone where it is read-only),
    /// after [`settle`](Kernel::settle)ing.
    ///
    /// # Errors
    /// See the trait.
    fn open(&self, name: &DmName) -> Result<Box<dyn Dev>>;

    /// True for a device that was activated in a dry run alone: nobody knows what it holds.
    fn is_on_paper(&self, _name: &DmName) -> bool {
        false
    }
}
