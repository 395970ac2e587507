//! `export`: a base or a layer into a file.
//!
//! Nothing of it is durable in the group. A layer that is in use is exported from a snapshot that is
//! tagged pending for as long as that takes: a crash leaves what the next change, or `recover`, takes
//! away.

use super::session::Session;
use super::thin::{NewThin, Role};
use super::{Imgbase, Progress, Watch, after_commit, filesystem};
use crate::archive;
use crate::dev::{Dev, Outlet};
use crate::diff::Mounted;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::image::{self, FileSystem, Needs};
use crate::layout::ImageName;
use crate::machine::{FileTarget, Machine, NewFile};
use crate::name::{DmName, LvName};
use crate::pack::{Packer, Packing};
use crate::report::Exported;
use crate::tree::{self, Measure, Of};
use crate::units::Bytes;

/// What an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// The volume's bytes; what is not used is a hole.
    Raw,
    /// A disk image of QEMU's, version 3, without what is not used.
    Qcow2,
    /// An archive of the files.
    Tar,
}

impl ExportFormat {
    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Tar => "tar",
        }
    }
}

/// What [`Imgbase::export`] makes.
#[derive(Clone, Debug)]
pub struct Export {
    /// The base or layer.
    pub image: ImageName,
    /// Where it goes.
    pub to: FileTarget,
    /// As what.
    pub format: ExportFormat,
    /// How it is packed; `None`: not at all.
    pub packing: Option<Packing>,
    /// Replaces a file that is there.
    pub force: bool,
}

impl Imgbase<'_> {
    /// Writes a base or a layer to a file, which `base --add` takes again. It is read as it is on
    /// its volume; a layer that is mounted, or was not unmounted, from a snapshot of this moment, for
    /// which its file system is frozen for an instant.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for an unknown image; [`Exists`](ErrorKind::Exists) for a
    /// file that is there; [`Unsupported`](ErrorKind::Unsupported) for a packing that is only read,
    /// a packed qcow2, and where files are wanted of a file system that is not known;
    /// [`Interrupted`](ErrorKind::Interrupted), [`NoSpace`](ErrorKind::NoSpace),
    /// [`Io`](ErrorKind::Io). There is no file then, or the one that was there.
    ///
    /// # Commit point
    /// The rename that gives the file its name.
    pub fn export(&self, request: &Export, watch: &mut dyn Watch) -> Result<Exported> {
        let why = match (request.format, request.packing) {
            (_, Some(Packing::Xz)) => Some("xz is only read: pack it by gzip or zstd"),
            // Nor would 'base --add' take it: its tables lie anywhere in it.
            (ExportFormat::Qcow2, Some(_)) => {
                Some("a qcow2 is not packed as a whole: pack a raw or a tar, or leave it as it is")
            }
            _ => None,
        };
        if let Some(why) = why {
            return Err(unchanged(Error::new(ErrorKind::Unsupported, why)));
        }
        let mut job = Job {
            request,
            file: self.machine.disks.make_file(&request.to, request.force)?,
            written: 0,
        };
        let (size, taken) = match self.export_volume(&mut job, watch)? {
            Some(size) => (size, Ok(())),
            None => self.export_snapshot(&mut job, watch)?,
        };
        let Job { file, written, .. } = job;
        file.finish()?;
        watch.committed(&format!("{} holds {}", request.to, request.image));
        after_commit(watch, taken);
        Ok(Exported {
            nvr: request.image.clone(),
            output: match &request.to {
                FileTarget::Path(path) => Some(path.display().to_string()),
                FileTarget::Stdout => None,
            },
            format: request.format.word().to_owned(),
            packing: request.packing.map(|packing| packing.word().to_owned()),
            size_bytes: size.get(),
            written_bytes: written,
        })
    }

    /// From the volume itself, which keeps others from mounting it; `None` where it may change
    /// meanwhile. It is as active afterwards as it was before.
    fn export_volume(&self, job: &mut Job<'_>, watch: &mut dyn Watch) -> Result<Option<Bytes>> {
        let mut session = Session::for_devices(self)?;
        let lv = session.layout()?.image(&job.request.image)?;
        let (lv, changes) = (lv.name.clone(), lv.is_writable());
        let asleep = !session.active()?.contains(&lv);
        if changes && session.in_use(&lv)?.is_some() {
            return Ok(None);
        }
        let opened = session.pool_on().and_then(|_| session.activate(&[&lv]));
        let opened = opened.and_then(|()| session.settle());
        let done = opened.and_then(|()| {
            session.unlock();
            let dev =
                if changes { open_alone(&session, &lv)? } else { Some(session.open_volume(&lv)?) };
            let Some(dev) = dev.filter(|dev| !changes || is_at_rest(dev.as_ref())) else {
                return Ok(None);
            };
            let size = dev.size();
            job.write(session.machine(), (dev, &session.node(&lv)?), watch)?;
            Ok(Some(size))
        });
        session.unlock();
        session.lock_devices()?;
        let closed = if asleep { session.deactivate(&[&lv]) } else { Ok(()) };
        let closed = closed.and_then(|()| session.settle());
        let done = done?;
        closed.map(|()| done)
    }

    /// From a snapshot, which goes when that is done; also says whether it has gone.
    fn export_snapshot(
        &self,
        job: &mut Job<'_>,
        watch: &mut dyn Watch,
    ) -> Result<(Bytes, Result<()>)> {
        watch.step("make a snapshot of it");
        let mut session = Session::change(self, "export")?;
        let origin = session.layout()?.image(&job.request.image)?.name.clone();
        let pool = session.pool_on()?;
        session.check_room(&pool, Bytes::ZERO)?;
        let name = free_name(&session)?;
        let thin = NewThin::snapshot(name.clone(), Role::Layer, origin);
        session.begin_thin(&thin, &pool)?;
        let pending = session.into_pending(name)?;
        let size = pending.device().size();
        let node = pending.node().and_then(|node| Ok((pending.reopen()?, node)));
        match node.and_then(|(dev, node)| job.write(pending.machine(), (dev, &node), watch)) {
            Ok(()) => Ok((size, pending.discard())),
            Err(error) => Err(pending.undo(error)),
        }
    }
}

/// An export under way.
struct Job<'r> {
    request: &'r Export,
    file: Box<dyn NewFile>,
    /// Bytes that went into the file, holes left out.
    written: u64,
}

impl Job<'_> {
    /// Writes what is on an active volume, but does not finish the file.
    fn write(
        &mut self,
        machine: &Machine<'_>,
        (dev, node): (Box<dyn Dev>, &std::path::Path),
        watch: &mut dyn Watch,
    ) -> Result<()> {
        if !self.file.is_kept() {
            return Ok(());
        }
        let mut out = Counted { file: self.file.as_mut(), written: 0 };
        let format = self.request.format;
        let done = match self.request.packing {
            None => write_as(format, machine, (dev, node), &mut out, watch),
            Some(packing) => match Packer::new(packing, &mut out) {
                Some(mut packer) => write_as(format, machine, (dev, node), &mut packer, watch)
                    .and_then(|()| packer.finish().context("pack", &self.request.to)),
                None => Err(Error::new(ErrorKind::Unsupported, "it cannot be packed so")),
            },
        };
        self.written = out.written;
        done.map_err(|error| error.at(&self.request.to).op("export it"))
    }
}

fn write_as(
    format: ExportFormat,
    machine: &Machine<'_>,
    (dev, node): (Box<dyn Dev>, &std::path::Path),
    out: &mut dyn Outlet,
    watch: &mut dyn Watch,
) -> Result<()> {
    if format == ExportFormat::Tar {
        let fs_type = filesystem::read(dev.as_ref())?.fs_type();
        // Nobody mounts what another has open alone.
        drop(dev);
        return archive_files(machine, (node, fs_type), out, watch);
    }
    let export = image::Export::of(dev.as_ref());
    let once = export.bytes_to_read()?;
    let total = if format == ExportFormat::Qcow2 { once.saturating_add(once) } else { once };
    watch.step("write the volume");
    let (mut done, mut before) = (Bytes::ZERO, Bytes::ZERO);
    let mut tell = |read: Bytes| {
        // Of a second reading.
        if read < before {
            done = done.saturating_add(before);
        }
        before = read;
        let done = done.saturating_add(read);
        watch.progress(Progress { done, total: Some(total), written: Bytes::ZERO });
        watch.cancelled()
    };
    match format {
        ExportFormat::Qcow2 => export.qcow2(out, &mut tell),
        ExportFormat::Raw | ExportFormat::Tar => export.raw(out, &mut tell),
    }
}

fn archive_files(
    machine: &Machine<'_>,
    (node, fs_type): (&std::path::Path, &str),
    out: &mut dyn Outlet,
    watch: &mut dyn Watch,
) -> Result<()> {
    machine.mounts.look_into(node, fs_type, &mut |root| {
        watch.step("write the files");
        let root = Mounted::open(root).context("open the tree", node.display())?;
        let mut tell = |by_now: Measure| {
            let (done, written) = (by_now.data, Bytes::ZERO);
            watch.progress(Progress { done, total: None, written });
            watch.cancelled()
        };
        tree::copy(&root, Of::Part, &mut archive::Packing::new(&mut *out), &mut tell).map(drop)
    })
}

/// Counts what goes out.
struct Counted<'f> {
    file: &'f mut dyn NewFile,
    written: u64,
}

impl Outlet for Counted<'_> {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.written = self.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.file.put(bytes)
    }

    fn skip(&mut self, zeros: u64) -> std::io::Result<()> {
        self.file.skip(zeros)
    }
}

/// The volume, as long as nobody else has it.
fn open_alone(session: &Session<'_>, lv: &LvName) -> Result<Option<Box<dyn Dev>>> {
    let name = DmName::of_lv(&session.vg().name, lv, None)?;
    session.machine().kernel.open_alone(&name)
}

/// True where a mount for reading would change nothing; what is no file system is at rest.
fn is_at_rest(dev: &dyn Dev) -> bool {
    let needs = FileSystem::read(dev).and_then(|file_system| file_system.needs(dev));
    !matches!(needs, Ok(Needs::Replay | Needs::Check))
}

/// A name that no volume has.
fn free_name(session: &Session<'_>) -> Result<LvName> {
    let names = (1..=u16::MAX).map(|number| format!("export_{number}"));
    let mut free = names.filter_map(|name| name.parse::<LvName>().ok());
    let found = free.find(|name| session.vg().lv(name).is_none());
    found.ok_or_else(|| Error::new(ErrorKind::Exists, "no name is left for a snapshot"))
}

fn unchanged(error: Error) -> Error {
    error.op("export it").kept("nothing was changed")
}
