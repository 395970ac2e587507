//! What was asked of the simulated kernel, and calls that are made to fail.

use std::io;

use super::super::kernel::DevNo;
use std::fmt;

use crate::dm::kernel::{Create, Suspend, Visibility};
use crate::dm::table::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::name::DmName;

/// A call of [`Kernel`](crate::dm::Kernel). Prints as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Devices by UUID prefix.
    List(String),
    /// One device by UUID.
    Find(String),
    /// One device by number.
    Numbered(DevNo),
    /// One device.
    Info(DmName),
    /// A new device.
    Create(Create),
    /// A table, and whether it is read-only.
    Load(DmName, Table, bool),
    /// A loaded table dropped.
    Clear(DmName),
    /// A resume.
    Resume(DmName, Visibility),
    /// A suspend.
    Suspend(DmName, Suspend),
    /// A removal.
    Remove(DmName, Visibility),
    /// Old and new name.
    Rename(DmName, DmName),
    /// A message.
    Message(DmName, String),
    /// A status.
    Status(DmName),
    /// The live table.
    Table(DmName),
    /// A wait for udev.
    Settle,
    /// An open.
    Open(DmName),
}

impl Call {
    /// True where it changes a device.
    pub fn changes(&self) -> bool {
        !matches!(
            self,
            Self::List(_)
                | Self::Find(_)
                | Self::Numbered(_)
                | Self::Info(_)
                | Self::Status(_)
                | Self::Table(_)
                | Self::Settle
                | Self::Open(_)
        )
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = |read_only: bool| if read_only { " read-only" } else { "" };
        match self {
            Self::List(prefix) => write!(f, "list {prefix}"),
            Self::Find(uuid) => write!(f, "find {uuid}"),
            Self::Numbered(number) => write!(f, "find {number}"),
            Self::Info(name) => write!(f, "info {name}"),
            Self::Create(new) => {
                write!(f, "create {} uuid {}{}", new.name, new.uuid, mode(new.read_only))
            }
            Self::Load(name, table, read_only) => {
                write!(f, "load {name}{}: {table}", mode(*read_only))
            }
            Self::Clear(name) => write!(f, "clear {name}"),
            Self::Resume(name, _) => write!(f, "resume {name}"),
            Self::Suspend(name, Suspend::Freeze) => write!(f, "suspend {name}"),
            Self::Suspend(name, Suspend::Quick) => write!(f, "suspend {name} without flush"),
            Self::Remove(name, _) => write!(f, "remove {name}"),
            Self::Rename(name, new) => write!(f, "rename {name} to {new}"),
            Self::Message(name, message) => write!(f, "message {name}: {message}"),
            Self::Status(name) => write!(f, "status {name}"),
            Self::Table(name) => write!(f, "table {name}"),
            Self::Settle => f.write_str("settle"),
            Self::Open(name) => write!(f, "open {name}"),
        }
    }
}

/// Calls so far, and the one that is to fail.
#[derive(Default)]
pub(super) struct Log {
    pub(super) calls: Vec<Call>,
    pub(super) fault: Option<Fault>,
    /// Reads, writes, syncs and discards of volumes that are still good, and how the next one fails.
    pub(super) io_fault: Option<(usize, io::ErrorKind)>,
}

/// A call that is to fail.
pub(super) struct Fault {
    /// Good calls before it.
    left: usize,
    kind: ErrorKind,
    forever: bool,
}

impl Log {
    pub(super) fn fail_at(&mut self, nth: usize, kind: ErrorKind, forever: bool) {
        self.fault = Some(Fault { left: nth, kind, forever });
    }

    /// Counts an access to a volume; an error where it is to fail, once.
    pub(super) fn touch(&mut self) -> io::Result<()> {
        let Some((left, kind)) = &mut self.io_fault else { return Ok(()) };
        let (kind, more) = (*kind, left.checked_sub(1));
        self.io_fault = more.map(|left| (left, kind));
        if more.is_some() { Ok(()) } else { Err(io::Error::new(kind, "made to fail")) }
    }

    /// Writes a call down; an error where it is to fail.
    pub(super) fn note(&mut self, call: Call) -> Result<()> {
        let line = call.to_string();
        self.calls.push(call);
        let Some(fault) = &mut self.fault else { return Ok(()) };
        if let Some(left) = fault.left.checked_sub(1) {
            fault.left = left;
            return Ok(());
        }
        let kind = fault.kind;
        if !fault.forever {
            self.fault = None;
        }
        Err(Error::new(kind, "made to fail").op(line))
    }
}
