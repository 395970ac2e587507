//! Device-mapper of this machine, by ioctl.
//!
//! Tables and status go through the devicemapper crate; what carries a udev
//! cookie goes through [`imgbase_sys::dm`], because the crate waits for udev
//! at each call and here one cookie serves a whole batch.

mod control;
mod errno;
mod frozen;
mod hurry;
mod nodes;
mod udev;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::sleep;
use std::time::Duration;

use devicemapper::{DevId, DmFlags, DmName as CrateName, DmOptions, DmUuid};
use imgbase_sys::dm::{Creation, Found, Uuid};

use self::control::Ways;
use self::errno::{Refusal, failure, io_error};
use self::frozen::Frozen;
use self::hurry::{Hurry, Hurrying};
use self::nodes::{Nodes, Task, is_node};
use self::udev::{Batch, Udev};
use super::disks::FileDev;
use crate::dev::Dev;
use crate::dm::table::{Line, Table, Target};
use crate::dm::thin_metadata::{self, ChangedChunks, ThinDetails};
use crate::dm::{Create, DevNo, DmInfo, Kernel, Suspend, TargetStatus, Visibility};
use crate::error::{Error, ErrorKind, Result};
use crate::name::DmName;
use crate::units::Sectors;

/// A device that is open only because udev's rules look at it is tried again so often.
const REMOVE_TRIES: u32 = 25;
/// And after this pause (lvm2: `activation/retry_deactivation`).
const REMOVE_PAUSE: Duration = Duration::from_millis(200);

/// So many calls of the kernel at the same time: it waits in each, so that processors do not count.
const CALLS_AT_ONCE: usize = 16;

/// So long a wait listens before it looks whether it is cancelled.
const LISTEN: Duration = Duration::from_secs(1);

/// Device-mapper of this machine. Opened when it is first used.
pub(super) struct RealKernel {
    ways: OnceLock<Ways>,
    state: Mutex<State>,
    /// Held while a call goes on without the state whose event is in the batch: nobody takes the
    /// batch away meanwhile. Locked before the state.
    under_way: RwLock<()>,
    hurry: Arc<Hurry>,
    udev: Udev,
    nodes: Nodes,
}

struct State {
    batch: Batch,
    frozen: Frozen,
}

impl Default for RealKernel {
    fn default() -> Self {
        Self::new()
    }
}

impl RealKernel {
    /// Opens nothing yet.
    pub(super) fn new() -> Self {
        Self::with(Udev::find())
    }

    /// For a machine on which no udev has started yet.
    pub(super) fn before_udev() -> Self {
        Self::with(Udev::ToCome)
    }

    fn with(udev: Udev) -> Self {
        let state = State { batch: Batch::new(udev), frozen: Frozen::default() };
        let nodes = Nodes::new("/dev");
        let nodes = if udev == Udev::ToCome { nodes.like_udev() } else { nodes };
        Self {
            ways: OnceLock::new(),
            state: Mutex::new(state),
            under_way: RwLock::new(()),
            hurry: Arc::new(Hurry::new()),
            udev,
            nodes,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open control device.
    fn ways(&self) -> Result<&Ways> {
        if let Some(ways) = self.ways.get() {
            return Ok(ways);
        }
        let opened = control::open()?;
        self.hurry.mend();
        Ok(self.ways.get_or_init(|| opened))
    }

    /// The node of an active device, and whether that may only be read.
    fn node(&self, name: &DmName) -> Result<(PathBuf, bool)> {
        self.settle()?;
        let path = self.nodes.path(name);
        let info = self.info(name)?;
        let gone = || Error::new(ErrorKind::NotFound, "the device is not active").at(name);
        let DmInfo { number, read_only, .. } = info.ok_or_else(gone)?;
        if !is_node(&path, number) {
            let task = Task::Add { name: name.clone(), number, link: None };
            self.nodes.perform(&task).map_err(|error| node_error(error, &task))?;
        }
        Ok((path, read_only))
    }

    /// Logs it, now or when nothing is frozen any more.
    fn note(&self, line: impl FnOnce() -> String) {
        self.state().frozen.note(line);
    }

    /// Lets the kernel's waits be short until what is returned is dropped. While something is
    /// frozen they are already, since before that.
    fn hurry(&self) -> Hurrying {
        let is_frozen = self.state().frozen.is_any();
        if is_frozen { Hurrying::NONE } else { self.hurry.begin() }
    }

    /// Tries to remove a device. The kernel waits long in that, and others need not.
    fn remove_once(&self, name: &str, flags: u16) -> Result<std::io::Result<()>> {
        let ways = self.ways()?;
        let _hurrying = self.hurry();
        let _under_way = self.under_way.read().unwrap_or_else(PoisonError::into_inner);
        let event = self.state().batch.event(flags)?;
        let result = ways.raw.remove(name, event);
        self.state().batch.done(result.as_ref().ok());
        if let (Ok(answer), Udev::ToCome) = (&result, self.udev) {
            udev::forget(DevNo { major: answer.major, minor: answer.minor });
        }
        Ok(result.map(drop))
    }

    /// Does something with the open control device that changes what belongs to a batch. Others
    /// wait for it; what may take long is done without.
    fn locked<T>(&self, act: impl FnOnce(&mut Open<'_>) -> Result<T>) -> Result<T> {
        let ways = self.ways()?;
        let mut state = self.state();
        let State { batch, frozen } = &mut *state;
        act(&mut Open { ways, batch, frozen, nodes: &self.nodes, udev: self.udev })
    }
}

/// The control device, open, and what belongs to the batch.
struct Open<'k> {
    ways: &'k Ways,
    batch: &'k mut Batch,
    frozen: &'k mut Frozen,
    nodes: &'k Nodes,
    udev: Udev,
}

impl Open<'_> {
    /// Makes nodes and links where udev does not; later, while a device is frozen.
    fn nodes(&mut self, task: Task) -> Result<()> {
        if self.udev == Udev::Runs {
            return Ok(());
        }
        match self.frozen.later(task) {
            None => Ok(()),
            Some(task) => self.nodes.perform(&task).map_err(|error| node_error(error, &task)),
        }
    }

    /// Leaves a udev that is still to come what it will not know else. The device itself does
    /// without.
    fn remember(&self, number: DevNo, flags: u16) {
        if self.udev == Udev::ToCome
            && let Err(error) = udev::remember(number, flags)
        {
            log::warn!("udev will not know the device {number}: {error}");
        }
    }
}

impl Ways {
    fn info(&self, name: &str) -> Result<Option<DmInfo>> {
        found("status", name, self.raw.named(name))
    }

    /// A target of the table that this kernel does not have, not even as a module: asking for it
    /// has loaded what there is.
    fn missing_target(&self, table: &Table) -> Option<String> {
        let known = self.dm.list_versions().ok()?;
        let mut kinds = table.lines.iter().map(|line| line.target.kind());
        let missing = kinds.find(|kind| !known.iter().any(|(name, ..)| name == kind))?;
        Some(missing.to_owned())
    }
}

/// What the kernel says of a device; `None` where it knows none such.
fn found(op: &'static str, what: &str, answer: std::io::Result<Found>) -> Result<Option<DmInfo>> {
    let Found { name, uuid, answer } = match answer {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(None),
        other => other.map_err(|error| failure(op, what, error))?,
    };
    Ok(Some(DmInfo {
        name: name.parse()?,
        uuid: uuid.into(),
        number: DevNo { major: answer.major, minor: answer.minor },
        open_count: answer.open_count,
        suspended: answer.is_suspended(),
        read_only: answer.is_read_only(),
        live: answer.is_live(),
        inactive: answer.has_inactive(),
        event: answer.event,
    }))
}

fn node_error(error: std::io::Error, task: &Task) -> Error {
    Error::io(error).op("make or remove device nodes in /dev").at(task.name())
}

/// An error of the devicemapper crate.
fn failed(op: &'static str, name: &str, error: devicemapper::DmError) -> Error {
    failure(op, name, io_error(error))
}

/// Calls `act` with the crate's form of the name.
fn named<T>(
    op: &'static str,
    name: &DmName,
    act: impl FnOnce(&DevId<'_>) -> devicemapper::DmResult<T>,
) -> Result<T> {
    let crate_name = CrateName::new(name.as_str());
    crate_name
        .and_then(|crate_name| act(&DevId::Name(crate_name)))
        .map_err(|error| failed(op, name.as_str(), error))
}

impl Kernel for RealKernel {
    fn list(&self, uuid_prefix: &str) -> Result<Vec<DmInfo>> {
        let ways = self.ways()?;
        let mut devices = Vec::new();
        let listed = ways.raw.list(uuid_prefix);
        for device in listed.map_err(|error| failure("list", "/dev/mapper", error))? {
            if matches!(&device.uuid, Uuid::Is(uuid) if !uuid.starts_with(uuid_prefix)) {
                continue;
            }
            // One that is gone by now was not there.
            let info = ways.info(&device.name)?;
            devices.extend(info.filter(|info| info.uuid.starts_with(uuid_prefix)));
        }
        Ok(devices)
    }

    fn info(&self, name: &DmName) -> Result<Option<DmInfo>> {
        self.ways()?.info(name.as_str())
    }

    fn find(&self, uuid: &str) -> Result<Option<DmInfo>> {
        found("find", uuid, self.ways()?.raw.with_uuid(uuid))
    }

    fn numbered(&self, number: DevNo) -> Result<Option<DmInfo>> {
        let DevNo { major, minor } = number;
        found("find", &number.to_string(), self.ways()?.raw.numbered(major, minor))
    }

    fn create(&self, device: &Create) -> Result<DevNo> {
        self.locked(|open| {
            open.frozen.note(|| format!("dm create {device:?}"));
            let name = device.name.as_str();
            let creation = Creation {
                name,
                uuid: &device.uuid,
                read_only: device.read_only,
                minor: device.minor,
            };
            let answer =
                open.ways.raw.create(creation).map_err(|error| failure("create", name, error))?;
            Ok(DevNo { major: answer.major, minor: answer.minor })
        })
    }

    fn load(&self, name: &DmName, table: &Table, read_only: bool) -> Result<()> {
        let ways = self.ways()?;
        self.note(|| format!("dm load {name}{}: {table}", mark(read_only)));
        let lines: Vec<_> = table.lines.iter().map(crate_line).collect();
        let flags = if read_only { DmFlags::DM_READONLY } else { DmFlags::empty() };
        let options = DmOptions::default().set_flags(flags);
        let _hurrying = self.hurry();
        let loaded = named("load", name, |id| ways.dm.table_load(id, &lines, options));
        loaded.map(drop).map_err(|error| match ways.missing_target(table) {
            Some(target) => {
                let error = Error::new(ErrorKind::Unsupported, Refusal::NoTarget(target));
                error.op("load the table of the device").at(name)
            }
            None => error,
        })
    }

    fn clear(&self, name: &DmName) -> Result<()> {
        self.locked(|open| {
            open.frozen.note(|| format!("dm clear {name}"));
            named("clear", name, |id| open.ways.dm.table_clear(id)).map(drop)
        })
    }

    fn resume(&self, name: &DmName, seen: &Visibility) -> Result<()> {
        let _hurrying = self.hurry();
        self.locked(|open| {
            open.frozen.note(|| format!("dm resume {name}"));
            let event = open.batch.event(seen.udev_flags)?;
            let result = open.ways.raw.resume(name.as_str(), event);
            open.batch.done(result.as_ref().ok());
            let answer = result.map_err(|error| failure("resume", name.as_str(), error))?;
            let thawed = open.frozen.thaw(name);
            let number = DevNo { major: answer.major, minor: answer.minor };
            let link = seen.link.clone();
            open.nodes(Task::Add { name: name.clone(), number, link })?;
            open.remember(number, seen.udev_flags);
            for task in open.frozen.due() {
                open.nodes(task)?;
            }
            thawed
        })
    }

    fn suspend(&self, name: &DmName, how: Suspend) -> Result<()> {
        let hurrying = self.hurry();
        self.locked(|open| {
            open.frozen.note(|| format!("dm suspend {name} ({how:?})"));
            // Either way this program may lie on it.
            open.batch.prepare()?;
            open.frozen.prepare(&open.ways.raw, name, hurrying)?;
            let result = open.ways.raw.suspend(name.as_str(), how == Suspend::Quick);
            if result.is_err() {
                let _ = open.frozen.thaw(name);
            }
            result.map(drop).map_err(|error| failure("suspend", name.as_str(), error))
        })
    }

    fn remove(&self, name: &DmName, seen: &Visibility) -> Result<()> {
        self.note(|| format!("dm remove {name}"));
        let tries = if self.udev == Udev::Runs { REMOVE_TRIES } else { 1 };
        for left in (0..tries).rev() {
            match self.remove_once(name.as_str(), seen.udev_flags)? {
                Ok(()) => break,
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && left > 0 => {
                    sleep(REMOVE_PAUSE);
                }
                Err(error) => return Err(failure("remove", name.as_str(), error)),
            }
        }
        let task = Task::Remove { name: name.clone(), link: seen.link.clone() };
        self.locked(|open| open.nodes(task))
    }

    fn rename(&self, name: &DmName, new: &DmName, seen: &Visibility) -> Result<()> {
        self.locked(|open| {
            open.frozen.note(|| format!("dm rename {name} {new}"));
            let event = open.batch.event(seen.udev_flags)?;
            let result = open.ways.raw.rename(name.as_str(), new.as_str(), event);
            open.batch.done(result.as_ref().ok());
            result.map_err(|error| failure("rename", name.as_str(), error))?;
            let link = seen.link.clone();
            open.nodes(Task::Rename { old: name.clone(), new: new.clone(), link })
        })
    }

    fn message(&self, name: &DmName, message: &str) -> Result<()> {
        let ways = self.ways()?;
        self.note(|| format!("dm message {name} 0 {message}"));
        let sent = ways.raw.message(name.as_str(), message);
        sent.map(drop).map_err(|error| failure("message", name.as_str(), error))
    }

    fn status(&self, name: &DmName) -> Result<Vec<TargetStatus>> {
        let ways = self.ways()?;
        let options = DmOptions::default().set_flags(DmFlags::DM_NOFLUSH);
        let answer = named("status", name, |id| ways.dm.table_status(id, options))?;
        let lines = answer.1.into_iter();
        Ok(lines.map(|(_, _, target, params)| status(target, params)).collect())
    }

    fn table(&self, name: &DmName) -> Result<Table> {
        let ways = self.ways()?;
        let flags = DmFlags::DM_NOFLUSH | DmFlags::DM_STATUS_TABLE;
        let options = DmOptions::default().set_flags(flags);
        let answer = named("table", name, |id| ways.dm.table_status(id, options))?;
        Ok(table_of(answer.1))
    }

    fn find_with_table(&self, uuid: &str) -> Result<Option<(DmInfo, Table)>> {
        let ways = self.ways()?;
        let flags = DmFlags::DM_NOFLUSH | DmFlags::DM_STATUS_TABLE;
        let options = DmOptions::default().set_flags(flags);
        let id = DmUuid::new(uuid).map_err(|error| failed("find", uuid, error))?;
        let (info, lines) = match ways.dm.table_status(&DevId::Uuid(id), options) {
            Ok(answer) => answer,
            Err(error) => {
                let error = io_error(error);
                let none = error.raw_os_error() == Some(libc::ENXIO);
                return if none { Ok(None) } else { Err(failure("find", uuid, error)) };
            }
        };
        let nameless = || Error::new(ErrorKind::Io, "the kernel gives it no name").at(uuid);
        let (flags, number) = (info.flags(), info.device());
        let live = flags.contains(DmFlags::DM_ACTIVE_PRESENT);
        let info = DmInfo {
            name: info.name().ok_or_else(nameless)?.to_string().parse()?,
            uuid: uuid.into(),
            number: DevNo { major: number.major, minor: number.minor },
            open_count: u32::try_from(info.open_count()).unwrap_or(0),
            suspended: flags.contains(DmFlags::DM_SUSPEND),
            read_only: flags.contains(DmFlags::DM_READONLY),
            live,
            inactive: flags.contains(DmFlags::DM_INACTIVE_PRESENT),
            event: info.event_nr(),
        };
        Ok(Some((info, if live { table_of(lines) } else { Table::default() })))
    }

    fn thin_devices(
        &self,
        _pool: &DmName,
        metadata: &DmName,
    ) -> Result<BTreeMap<u32, ThinDetails>> {
        let (path, _) = self.node(metadata)?;
        thin_metadata::thin_devices(&FileDev::open(&path)?)
    }

    fn changed_chunks(
        &self,
        _pool: &DmName,
        metadata: &DmName,
        (a, b): (u32, u32),
    ) -> Result<ChangedChunks> {
        let (path, _) = self.node(metadata)?;
        thin_metadata::changed_chunks(&FileDev::open(&path)?, a, b)
    }

    fn wait(&self, at_most: Duration, cancelled: &dyn Fn() -> bool) -> Result<()> {
        let ways = self.ways()?;
        let mut left = at_most;
        while !left.is_zero() && !cancelled() {
            let slice = left.min(LISTEN);
            left = left.saturating_sub(slice);
            match ways.raw.wait_for_event(slice) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(error).op("wait for device-mapper's events")),
            }
        }
        Ok(())
    }

    fn calls_at_once(&self) -> usize {
        CALLS_AT_ONCE
    }

    fn settle(&self) -> Result<()> {
        let _under_way = self.under_way.write().unwrap_or_else(PoisonError::into_inner);
        self.state().batch.settle()
    }

    fn open_alone(&self, name: &DmName) -> Result<Option<Box<dyn Dev>>> {
        let (path, _) = self.node(name)?;
        match FileDev::open_alone(&path) {
            Ok(dev) => Ok(Some(Box::new(dev))),
            Err(error) if error.kind() == ErrorKind::Busy => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open(&self, name: &DmName) -> Result<Box<dyn Dev>> {
        let (path, read_only) = self.node(name)?;
        Ok(Box::new(FileDev::open_to_write(&path, read_only)?))
    }
}

/// A table as the crate gives it.
fn table_of(lines: Vec<(u64, u64, String, String)>) -> Table {
    let lines = lines.into_iter().map(|(start, len, kind, params)| Line {
        start: Sectors::new(start),
        len: Sectors::new(len),
        target: Target::parse(&kind, &params),
    });
    Table { lines: lines.collect() }
}

fn mark(read_only: bool) -> &'static str {
    if read_only { " (read-only)" } else { "" }
}

fn crate_line(line: &Line) -> (u64, u64, String, String) {
    let target = &line.target;
    (line.start.get(), line.len.get(), target.kind().to_owned(), target.params())
}

fn status(target: String, params: String) -> TargetStatus {
    TargetStatus { target: target.into(), params }
}
