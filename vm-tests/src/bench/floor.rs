//! The bare loop: what making a layer costs the kernel and the disks, with nothing around it.
//!
//! The same two commits (on scratch disks), messages, ioctls, node, link and superblock write,
//! in the same order and with the same syncs, but no lock, no look at the disks, no parsing and
//! no check. The pool is the real one; it is put back after each round, transaction id included.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::Path;

use devicemapper::{DM, DevId, DmFlags, DmName, DmOptions};
use imgbase::dev::AlignedBuf;
use imgbase::ops::Imgbase;
use imgbase_sys::dm::{Control, Creation};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::contest::{POOL_DEVICE, base};
use super::disks::{Scratch, direct};
use super::sample;
use crate::error::{Doing, Fail, Result};

const NAME: &str = "HostVG-bare";
const UUID: &str = "LVM-bareloopbareloopbareloopbareloopbareloopbareloopbareloopbareloop";
const NODE: &str = "/dev/mapper/HostVG-bare";
const LINK: &str = "/dev/HostVG/bare";

/// A device id that no metadata text gives away: they count from 1.
const ID: u32 = 16_000_000;

const SUPERBLOCK: u64 = 1024;
/// Where the UUID is in an ext4's superblock.
const FS_UUID: std::ops::Range<usize> = 104..120;

/// Everything that is found out before the clock starts.
pub(super) struct Floor {
    control: Control,
    dm: DM,
    scratch: Scratch,
    origin: u32,
    sectors: u64,
}

impl Floor {
    /// Learns what the layout is like.
    pub(super) fn find(imgbase: &Imgbase<'_>) -> Result<Self> {
        let name = base()?;
        let layout = imgbase.layout().doing("layout")?;
        let found = layout.bases.iter().find(|base| base.nvr == name);
        let base = found.ok_or_else(|| Fail::new(format!("no base {name}")))?;
        let file = fs::File::options().read(true).write(true).open("/dev/mapper/control");
        Ok(Self {
            control: Control::new(file.doing("/dev/mapper/control")?),
            dm: DM::new().doing("device-mapper")?,
            scratch: Scratch::find()?,
            origin: base.device_id,
            sectors: base.size_bytes / 512,
        })
    }

    /// One round.
    pub(super) fn measure(&mut self) -> Result<()> {
        let id = self.transaction_id()?;
        sample("layer.bare", || self.add(id))?;
        self.take_back(id)
    }

    fn add(&mut self, id: u64) -> Result<()> {
        self.transaction_id()?;
        sample("bare.commit", || self.scratch.commit())?;
        sample("bare.messages", || self.send(id))?;
        self.transaction_id()?;
        sample("bare.device", || self.activate())?;
        sample("bare.superblock", change_superblock)?;
        sample("bare.commit", || self.scratch.commit())
    }

    fn send(&self, id: u64) -> Result<()> {
        self.message(&format!("create_snap {ID} {}", self.origin))?;
        self.message(&format!("set_transaction_id {id} {}", id + 1))
    }

    fn message(&self, text: &str) -> Result<()> {
        self.control.message(POOL_DEVICE, text).doing(text).map(drop)
    }

    /// The first word of the pool's status; without the flag the pool would commit first.
    fn transaction_id(&self) -> Result<u64> {
        let name = DmName::new(POOL_DEVICE).doing(POOL_DEVICE)?;
        let options = DmOptions::default().set_flags(DmFlags::DM_NOFLUSH);
        let status = self.dm.table_status(&DevId::Name(name), options);
        let (_, lines) = status.doing(POOL_DEVICE)?;
        let first = lines.first().and_then(|line| line.3.split(' ').next()).unwrap_or_default();
        first.parse().doing(POOL_DEVICE)
    }

    fn activate(&self) -> Result<()> {
        let pool = self.control.status(POOL_DEVICE).doing(POOL_DEVICE)?;
        let creation = Creation { name: NAME, uuid: UUID, read_only: false, minor: None };
        let made = self.control.create(creation).doing(NAME)?;
        let params = format!("{}:{} {ID}", pool.major, pool.minor);
        let table = [(0, self.sectors, "thin".to_owned(), params)];
        let name = DmName::new(NAME).doing(NAME)?;
        self.dm.table_load(&DevId::Name(name), &table, DmOptions::default()).doing(NAME)?;
        self.control.resume(NAME, 0).doing(NAME)?;
        let number = makedev(made.major, made.minor);
        mknodat(CWD, NODE, FileType::BlockDevice, Mode::RUSR | Mode::WUSR, number).doing(NODE)?;
        chown(NODE, Some(0), Some(6)).doing(NODE)?;
        fs::set_permissions(NODE, fs::Permissions::from_mode(0o660)).doing(NODE)?;
        symlink(NODE, LINK).doing(LINK)
    }

    fn take_back(&self, id: u64) -> Result<()> {
        fs::remove_file(LINK).doing(LINK)?;
        fs::remove_file(NODE).doing(NODE)?;
        self.control.remove(NAME, 0).doing(NAME)?;
        self.message(&format!("delete {ID}"))?;
        self.message(&format!("set_transaction_id {} {id}", id + 1))
    }
}

fn change_superblock() -> Result<()> {
    let device = direct(Path::new(LINK), true)?;
    let mut block = AlignedBuf::zeroed(1024);
    device.read_exact_at(&mut block, SUPERBLOCK).doing(LINK)?;
    for byte in block.get_mut(FS_UUID).into_iter().flatten() {
        *byte = !*byte;
    }
    device.write_all_at(&block, SUPERBLOCK).doing(LINK)?;
    device.sync_data().doing(LINK)
}
