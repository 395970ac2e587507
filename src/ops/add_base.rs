//! `base --add`: a read-only base from a file system image.
//!
//! The volume is made first, tagged pending, under the lock; the image is
//! copied with the lock released, while the open device shows others that a
//! process is at it; the commit that drops the tag makes the base.

use super::content::{Content, Opened, unchanged};
use super::session::Session;
use super::share::Plan;
use super::thin::{NewThin, Role};
use super::transact::Pending;
use super::{AddBase, ImageRequest, ImageSource, Imgbase, Init, Watch, after_commit};
use crate::dev::Dev;
use crate::error::{Error, ErrorKind, Result};
use crate::ext4::Tree;
use crate::layout::{BaseName, ImageName};
use crate::lvm2::Vg;
use crate::report::BaseAdded;
use crate::tree::{Part, TreePath};
use crate::units::Bytes;
use crate::xfs;

impl Imgbase<'_> {
    /// Adds a base from an ext4 or XFS file system image.
    ///
    /// Only what the image uses is written, and of that, where another base has its name, only the
    /// chunks that differ. Room is reckoned before the first write.
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
        let mut opened = Opened::open(&self.machine, &request.image, watch)?;
        self.add_base_from(&mut opened.content(&self.machine)?, request, watch)
    }

    /// The name that an image gives itself in `/usr/share/imgbase/build/meta/nvr`, where builds of
    /// imgbased's write it.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) where it says none, or cannot be looked into before it is
    /// copied: a stream, a packed file system, an image in a registry. As [`add_base`](Self::add_base)
    /// for what cannot be opened.
    pub fn name_of_image(&self, request: &ImageRequest, watch: &mut dyn Watch) -> Result<BaseName> {
        let ImageSource::Path(path) = &request.source else {
            return Err(nameless("neither a stream nor a registry is looked into"));
        };
        let wanted = |path: &TreePath| path.bytes() == NVR.as_bytes();
        let mut part = Part::new(&wanted);
        let mut opened = Opened::open(&self.machine, request, watch)?;
        let in_ext4 = match &mut opened {
            Opened::File(file) => self.read_name(file.dev.as_ref(), &mut part, watch)?,
            other => {
                other.read_part(&mut part, watch)?.map_err(|why| nameless(&why))?;
                None
            }
        };
        let said = in_ext4.as_deref().or(part.file(NVR));
        let said = said.ok_or_else(|| nameless(&format!("it has no {NVR}")).at(path.display()))?;
        let name = String::from_utf8_lossy(said.get(..NAME_MOST).unwrap_or(said));
        name.trim().parse().map_err(|bad| unchanged(Error::from(bad)).at(path.display()))
    }

    /// What an ext4 says, or an XFS, which goes to the part: it is mounted.
    fn read_name(
        &self,
        dev: &dyn Dev,
        part: &mut Part<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Option<Vec<u8>>> {
        if xfs::Superblock::read(dev).is_err() {
            let said = Tree::open(dev).and_then(|tree| tree.read_file(NVR, Bytes::kib(4)));
            return said.map_err(|error| unchanged(error).at(dev.name()));
        }
        let held = self.machine.mounts.hold_image(dev, "xfs");
        let held = held.map_err(|error| nameless(&error.to_string()))?;
        held.pick_from(part, &mut |_| watch.cancelled()).map_err(unchanged)?;
        Ok(None)
    }

    /// Adds a base from an image that is open already.
    pub(super) fn add_base_from(
        &self,
        content: &mut Content<'_>,
        request: &AddBase,
        watch: &mut dyn Watch,
    ) -> Result<BaseAdded> {
        self.fill_base(content, request, watch)?.finish(watch)
    }

    /// Copies an image that is open already into a base that is not finished.
    pub(super) fn fill_base<'m>(
        &'m self,
        content: &mut Content<'_>,
        request: &AddBase,
        watch: &mut dyn Watch,
    ) -> Result<FilledBase<'m>> {
        let size = content.volume_size(request.size)?;
        let mut session = Session::change(self, "base --add")?;
        refuse_taken(session.vg(), &request.nvr)?;
        let pool = session.pool_on()?;
        let plan = Plan::make(&session, &pool, content, (&request.nvr, size, request.share))?;
        let thin = NewThin {
            name: request.nvr.lv_name(),
            role: Role::Base,
            origin: plan.with.as_ref().map(BaseName::lv_name),
            size: Some(size),
            digest: request.image.digest,
            at: None,
            from: None,
        };
        watch.step("make the volume");
        session.begin_thin(&thin, &pool)?;
        let pending = session.into_pending(thin.name)?;
        let (nvr, fs_type) = (request.nvr.clone(), content.fs_type());
        match content.fill(&pending, &plan, watch) {
            Ok(written) => {
                Ok(FilledBase { pending, nvr, fs_type, written, shares_with: plan.with })
            }
            Err(error) => Err(pending.undo(error)),
        }
    }
}

/// A base that has all that it is to have, and still its tag `imgbased:pending`. Its device is open:
/// that is how others see that it is no leftover.
pub(super) struct FilledBase<'m> {
    pending: Pending<'m>,
    pub(super) nvr: BaseName,
    fs_type: &'static str,
    pub(super) written: Bytes,
    pub(super) shares_with: Option<BaseName>,
}

impl FilledBase<'_> {
    /// Makes it a base.
    fn finish(self, watch: &mut dyn Watch) -> Result<BaseAdded> {
        let (nvr, lv) = (self.nvr.clone(), self.nvr.lv_name());
        let mut session = self.pending.relock()?;
        if let Err(error) = session.finish_filled(&[(&lv, Role::Base)]) {
            return Err(session.undo_thin(&lv, error));
        }
        watch.committed(&format!("{nvr} exists (seqno {})", session.vg().seqno));
        let tidied = session.deactivate(&[&lv]).and_then(|()| session.settle());
        after_commit(watch, tidied);
        Ok(BaseAdded {
            nvr,
            size_bytes: session.size_of(&lv).get(),
            fs_type: self.fs_type.to_owned(),
            written_bytes: self.written.get(),
            shares_with: self.shares_with,
            vg_seqno: session.vg().seqno,
        })
    }

    /// Takes it away again, as nothing came of it.
    pub(super) fn undo(self, error: Error) -> Error {
        self.pending.undo(error)
    }
}

/// Where an image says what it is called.
pub(super) const NVR: &str = "/usr/share/imgbase/build/meta/nvr";

/// No name is as long.
const NAME_MOST: usize = 4096;

fn nameless(why: &str) -> Error {
    let why = format!("the image does not say its name: {why}; give one, as NAME-VERSION-RELEASE");
    unchanged(Error::new(ErrorKind::Invalid, why))
}

/// Refuses an image that will not fit into the pool that a layout asks for.
pub(super) fn check_fits_layout(content: &Content<'_>, request: &Init) -> Result<()> {
    let sized = content.volume_size(None);
    sized.map_err(|error| error.kept("nothing was changed; from a file it can be made"))?;
    let Some(have) = request.size else { return Ok(()) };
    let need = content.space_need(super::init::chunk())?;
    if need <= have {
        return Ok(());
    }
    let why = format!(
        "it needs {need} ({} bytes) of the pool, and --size gives it {have} ({} bytes)",
        need.get(),
        have.get()
    );
    Err(unchanged(Error::new(ErrorKind::NoSpace { need, have }, why).at(content.name())))
}

pub(super) fn refuse_taken(vg: &Vg, name: &BaseName) -> Result<()> {
    if vg.lv(&name.lv_name()).is_none() {
        return Ok(());
    }
    let why = format!("{} has a volume of that name already", vg.name);
    Err(unchanged(Error::new(ErrorKind::Exists, why).at(ImageName::Base(name.clone()))))
}
