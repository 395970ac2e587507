//! `base --add`: a read-only base from a file system image.
//!
//! The volume is made first, tagged pending, under the lock; the image is
//! copied with the lock released, while the open device shows others that a
//! process is at it; the commit that drops the tag makes the base.

use super::session::{Pending, Session};
use super::thin::{NewThin, Role};
use super::{AddBase, Imgbase, Watch, filesystem};
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Plan, Source};
use crate::layout::{BaseName, ImageName, Layout};
use crate::report::BaseAdded;
use crate::units::Bytes;

impl Imgbase<'_> {
    /// Adds a base from an ext4 or XFS file system image.
    ///
    /// Only what the image uses is written. Room is reckoned before the first write.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for an image that is no file system, is cut short or is
    /// larger than the size asked for; [`Exists`](ErrorKind::Exists) for a name that is taken;
    /// [`NoSpace`](ErrorKind::NoSpace) where the pool is too small. Everything is as before then;
    /// after the volume was made (an error of reading or writing, a stream that ends early) all
    /// but the sequence number and the pool's transaction id.
    ///
    /// # Commit point
    /// The metadata commit that drops the tag `imgbased:pending` from the base.
    pub fn add_base(&self, request: &AddBase, watch: &mut dyn Watch) -> Result<BaseAdded> {
        watch.step("look at the image");
        let mut source = Source::open(self.machine.disks, &request.image)?;
        let plan = source.plan()?;
        let size = volume_size(plan.fs_size(), request.size)?;
        filesystem::require_tools(&self.machine, plan.fs())?;
        let mut session = Session::change(self, "base --add")?;
        refuse_taken(&session.layout()?, &request.nvr)?;
        session.pool_on()?;
        session.check_room(plan.mapped_bytes(session.chunk()?))?;
        let thin = NewThin {
            name: request.nvr.lv_name(),
            role: Role::Base,
            origin: None,
            size: Some(size),
        };
        watch.step("make the volume");
        session.begin_thin(&thin)?;
        let pending = session.into_pending(thin.name.clone())?;
        match fill(&pending, &mut source, &plan, size, watch) {
            Ok(written) => finish(pending, request, &plan, written, watch),
            Err(error) => Err(pending.undo(error)),
        }
    }
}

/// The volume's size: the file system's, or what was asked for if that is not smaller.
fn volume_size(fs_size: Bytes, asked: Option<Bytes>) -> Result<Bytes> {
    match asked {
        Some(size) if size < fs_size => {
            let why = format!(
                "the image's file system has {} ({} bytes), --size gives {} ({} bytes)",
                fs_size,
                fs_size.get(),
                size,
                size.get()
            );
            Err(Error::new(ErrorKind::Invalid, why).op("make the base").kept("nothing was changed"))
        }
        Some(size) => Ok(size),
        None => Ok(fs_size),
    }
}

fn refuse_taken(layout: &Layout<'_>, name: &BaseName) -> Result<()> {
    let image = ImageName::Base(name.clone());
    if layout.vg.lv(&name.lv_name()).is_none() {
        return Ok(());
    }
    let why = format!("{} has a volume of that name already", layout.vg.name);
    Err(Error::new(ErrorKind::Exists, why).at(image).op("add the base").kept("nothing was changed"))
}

/// Copies the image and makes the file system fit for layers. Returns the bytes written.
fn fill(
    pending: &Pending<'_>,
    source: &mut Source,
    plan: &Plan,
    size: Bytes,
    watch: &mut dyn Watch,
) -> Result<Bytes> {
    watch.step("copy the image");
    let device = pending.device();
    let written = source.copy_to(plan, device, pending.chunk(), watch)?;
    watch.step("make the file system ready for layers");
    filesystem::seal(pending.machine(), &pending.node(), device, plan, size)?;
    device.sync().map_err(|source| Error::io(source).op("sync").at(device.name()))?;
    Ok(written)
}

fn finish(
    pending: Pending<'_>,
    request: &AddBase,
    plan: &Plan,
    written: Bytes,
    watch: &mut dyn Watch,
) -> Result<BaseAdded> {
    let lv = request.nvr.lv_name();
    let mut session = pending.relock()?;
    if let Err(error) = session.finish_thin(&lv, Role::Base) {
        return Err(session.undo_thin(&lv, error));
    }
    watch.committed(&format!("{} exists (seqno {})", request.nvr, session.vg().seqno));
    session.deactivate(&[&lv])?;
    session.settle()?;
    let size = session.size_of(&lv);
    Ok(BaseAdded {
        nvr: request.nvr.clone(),
        size_bytes: size.get(),
        fs_type: plan.fs().name().to_owned(),
        written_bytes: written.get(),
        vg_seqno: session.vg().seqno,
    })
}
