//! `layout --init`: a volume group, a thin pool and a Config volume on blank
//! devices.
//!
//! Everything before the first commit is invisible to LVM: labels of a group
//! that no text describes, zeros where the pool's metadata will be, a file
//! system where the Config volume will be. One commit then makes it all.

mod devices;
mod sizes;

use std::path::PathBuf;
use std::sync::Arc;

use self::devices::Blank;
use self::sizes::{CHUNK, EXTENT, Sizes, Wish, divide};
use super::{AddBase, Imgbase, Init, Watch, find, session};
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{ImageName, tag};
use crate::lvm2::create::{self, Geometry};
use crate::lvm2::{NewVg, Store};
use crate::machine::{LockMode, NewPv, Tool};
use crate::name::LvName;
use crate::report::InitReport;
use crate::units::Extents;

impl Imgbase<'_> {
    /// Makes the layout on blank devices, and a base with its first layer where one is asked for.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) for a device in use, [`Exists`](ErrorKind::Exists) for one that
    /// is not blank or a group of that name, [`NoSpace`](ErrorKind::NoSpace) for too small ones,
    /// [`Tool`](ErrorKind::Tool) where mke2fs is missing and Config wants it. Nothing was written
    /// then.
    ///
    /// # Commit point
    /// The first commit of the group's metadata. Before it fails, the labels are wiped again.
    pub fn init(&self, request: &Init, watch: &mut dyn Watch) -> Result<InitReport> {
        let machine = &self.machine;
        machine.lvm2.check_writable()?;
        if !request.config_size.is_zero() {
            machine.tools.require(Tool::Mke2fs)?;
        }
        let _global = machine.lvm2.lock_global(LockMode::Exclusive)?;
        let _lock = machine.lvm2.lock_vg(&request.vg, LockMode::Exclusive)?;
        self.refuse_taken(request)?;
        let blanks = devices::inspect(machine, request)?;
        let mut making = Making::plan(request, blanks)?;
        watch.step("write the labels");
        if let Err(error) = making.make(self, watch) {
            making.wipe();
            return Err(error.kept("the devices' labels were wiped again"));
        }
        watch.committed(&format!("{} exists (seqno 1)", request.vg));
        drop((_lock, _global));
        self.fill(request, making.report(request), watch)
    }
}
