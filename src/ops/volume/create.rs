//! `volume --create`: a new volume with what a layer has at a path, mounted there by that layer.
//!
//! Order: the volume, tagged pending; a file system on it; the copy, with the group unlocked, as for
//! a base; the text without the tag, which is the commit point; the line in the layer's fstab. The
//! layer's own files stay where they are, below the mount.

use super::lines::Place;
use super::{VolumeNames, unchanged};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::layout::{LayerName, Layout, VolumePath};
use crate::machine::Tool;
use crate::ops::content::needed;
use crate::ops::session::Session;
use crate::ops::thin::{NewThin, Role};
use crate::ops::transact::Pending;
use crate::ops::{Imgbase, Progress, Watch, after_commit, filesystem};
use crate::report::VolumeAdded;
use crate::tree::Measure;
use crate::units::Bytes;

/// No file system with a journal is smaller.
const LEAST: Bytes = Bytes::mib(16);

/// What [`Imgbase::add_volume`] makes.
#[derive(Clone, Debug)]
pub struct AddVolume {
    /// Where it is mounted.
    pub path: VolumePath,
    /// Its virtual size.
    pub size: Bytes,
    /// The layer that mounts it; `None`: the latest.
    pub layer: Option<LayerName>,
}

/// What layers share on most hosts, and how large imgbased makes it.
const USUAL: [(&str, Bytes); 7] = [
    ("/home", Bytes::gib(1)),
    ("/tmp", Bytes::gib(1)),
    ("/var", Bytes::gib(5)),
    ("/var/crash", Bytes::gib(10)),
    ("/var/log", Bytes::gib(8)),
    ("/var/log/audit", Bytes::gib(2)),
    ("/var/tmp", Bytes::gib(10)),
];

impl AddVolume {
    /// The size that is usual for a path; `None` where none is.
    pub fn usual_size(path: &VolumePath) -> Option<Bytes> {
        USUAL.iter().find(|(usual, _)| *usual == path.as_str()).map(|(_, size)| *size)
    }
}

/// What was found out before anything is made.
struct Survey {
    layer: LayerName,
    place: Place,
    fs_type: &'static str,
    /// What is there; `None` where there is no such folder.
    measure: Option<Measure>,
}

impl Imgbase<'_> {
    /// Makes an ext4 on a volume of its own, copies into it what a layer has at a path, and lets that
    /// layer mount it there. The layer is one that nobody uses, and its own files stay: they show
    /// again once it mounts it no more. A layer made of it mounts it too, and so does one that is
    /// made by an update; another is told to by [`attach_volume`](Self::attach_volume).
    ///
    /// # Errors
    /// [`Exists`](ErrorKind::Exists) where there is such a volume, or the layer mounts something
    /// there; [`Busy`](ErrorKind::Busy) where the layer is in use; [`Invalid`](ErrorKind::Invalid)
    /// for a size that is too small, [`NoSpace`](ErrorKind::NoSpace) where the pool is. Nothing is
    /// changed then; after the volume was made, all but the sequence number and the pool's
    /// transaction id is as before.
    ///
    /// # Commit point
    /// The metadata commit that drops the tag `imgbased:pending`. What fails after it is told: the
    /// volume is there, but the layer does not mount it.
    pub fn add_volume(&self, request: &AddVolume, watch: &mut dyn Watch) -> Result<VolumeAdded> {
        self.machine.tools.require(Tool::Mke2fs).map_err(unchanged)?;
        if request.size < LEAST {
            let why = format!("a volume has at least {LEAST}");
            return Err(unchanged(Error::new(ErrorKind::Invalid, why).at(&request.path)));
        }
        let mut session = Session::change(self, "volume --create")?;
        refuse_taken(&session.layout()?, &request.path)?;
        let layer = session.layer_at_rest(request.layer.as_ref()).map_err(unchanged)?;
        let active = session.active()?;
        let mut asleep = vec![layer.lv_name()];
        session.pool_on()?;
        let found = session.activate(&[&layer.lv_name()]).and_then(|()| session.settle());
        let found = found.and_then(|()| session.survey(request, layer, watch)).map_err(unchanged);
        let made = found.and_then(|survey| {
            asleep.push(survey.place.lv.clone());
            session.make_volume(request, &survey, watch)
        });
        // It may have been made anew, and what it knew of devices is old.
        let rested = self.rest(asleep.iter().filter(|lv| !active.contains(lv)));
        let added = made?;
        after_commit(watch, rested);
        Ok(added)
    }
}

impl<'m> Session<'m> {
    /// Looks at what is to be copied; the group is not locked meanwhile.
    fn survey(
        &mut self,
        request: &AddVolume,
        layer: LayerName,
        watch: &mut dyn Watch,
    ) -> Result<Survey> {
        let (lv, names) =
            (layer.lv_name(), VolumeNames::of(&self.vg().name, request.path.lv_name())?);
        // A line of one that was removed by force serves again.
        self.mounts(&lv, &request.path, &names)?;
        let place = self.place(&lv, &request.path)?;
        self.activate(&[&place.lv])?;
        self.settle()?;
        let (node, fs_type) = self.mountable(&place.lv)?;
        watch.step("look at the files");
        self.unlock();
        let from = (node.as_path(), fs_type, place.path.as_str());
        let measure = self.machine().mounts.weigh_folder(from, &mut |_| watch.cancelled());
        self.relock()?;
        Ok(Survey { layer, place, fs_type, measure: measure? })
    }

    fn make_volume(
        mut self,
        request: &AddVolume,
        survey: &Survey,
        watch: &mut dyn Watch,
    ) -> Result<VolumeAdded> {
        // The lock was not held all the time.
        refuse_taken(&self.layout()?, &request.path)?;
        self.layer_at_rest(Some(&survey.layer)).map_err(unchanged)?;
        let measure = survey.measure.unwrap_or_default();
        let files = measure.data.saturating_add(Bytes::new(measure.entries.saturating_mul(512)));
        // The file system's own tables and its journal take their part.
        if files > request.size.saturating_sub(Bytes::new(request.size.get() / 8)) {
            let why = format!("{files} of files do not fit into the {} asked for", request.size);
            return Err(unchanged(Error::new(ErrorKind::Invalid, why).at(&request.path)));
        }
        let need = needed(&measure).min(request.size);
        let pool = self.pool_on()?;
        self.check_room(&pool, need)?;
        let lv = request.path.lv_name().clone();
        let thin = NewThin {
            name: lv.clone(),
            role: Role::Data,
            origin: None,
            size: Some(request.size),
            digest: None,
            at: Some(request.path.clone()),
            from: None,
        };
        watch.step("make the volume");
        self.begin_thin(&thin, &pool)?;
        let pending = self.into_pending(lv.clone())?;
        let copied = match fill(&pending, survey, watch) {
            Ok(copied) => copied,
            Err(error) => return Err(pending.undo(error)),
        };
        let mut session = pending.relock()?;
        if let Err(error) = session.finish_filled(&[(&lv, Role::Data)]) {
            return Err(session.undo_thin(&lv, error));
        }
        watch.committed(&format!("{lv} exists (seqno {})", session.vg().seqno));
        let attached = session.attach_new(request, survey, watch);
        Ok(VolumeAdded {
            path: request.path.clone(),
            size_bytes: session.size_of(&lv).get(),
            name: lv,
            layer: survey.layer.clone(),
            copied: copied.entries,
            attached,
            vg_seqno: session.vg().seqno,
        })
    }

    fn attach_new(&self, request: &AddVolume, survey: &Survey, watch: &mut dyn Watch) -> bool {
        let (path, layer) = (&request.path, &survey.layer);
        let names = VolumeNames::of(&self.vg().name, path.lv_name());
        let attached = names.and_then(|names| {
            self.refuse_used_layer(layer)?;
            self.attach(layer, path, &names)
        });
        let attached = attached.and_then(|_| self.settle());
        if let Err(error) = &attached {
            let way = format!("try again with 'imgbase volume --attach {path} --layer {layer}'");
            watch.warn(&format!(
                "{path} has its volume, but {layer} does not mount it: {error}; {way}"
            ));
        }
        attached.is_ok()
    }
}

/// Makes the file system, and copies what is there.
fn fill(pending: &Pending<'_>, survey: &Survey, watch: &mut dyn Watch) -> Result<Measure> {
    const LAZY: &str = "lazy_itable_init=1,lazy_journal_init=1";
    let (machine, node) = (pending.machine(), pending.node()?);
    watch.step("make the file system");
    filesystem::mke2fs(machine, &["-E", LAZY], &node)
        .map_err(|error| error.op("make the file system"))?;
    let mut copied = Measure::default();
    if let Some(measure) = survey.measure {
        watch.step("copy the files");
        let from = pending.node_of(&survey.place.lv)?;
        let from = (from.as_path(), survey.fs_type, survey.place.path.as_str());
        copied = machine.mounts.copy_folder(from, (&node, "ext4"), &mut |by_now: Measure| {
            let (done, total) = (by_now.data, Some(measure.data.max(by_now.data)));
            watch.progress(Progress { done, total, written: done });
            watch.cancelled()
        })?;
    }
    let device = pending.device();
    device.sync().context("sync", device.name())?;
    Ok(copied)
}

fn refuse_taken(layout: &Layout<'_>, path: &VolumePath) -> Result<()> {
    let refused = |why: String| unchanged(Error::new(ErrorKind::Exists, why).at(path));
    if layout.volume(path).is_ok() {
        let why = "it has a volume: 'imgbase volume --attach' lets another layer mount that";
        return Err(refused(why.to_owned()));
    }
    let name = path.lv_name();
    match layout.vg.lv(name) {
        Some(_) => Err(refused(format!("{} has a volume {name} already", layout.vg.name))),
        None => Ok(()),
    }
}
