//! `layout --init` without a device: an installed system becomes a base and its first layer.
//!
//! Order: the group and its pool are tagged as ours; the base, a snapshot of the system's volume that
//! is taken while that is suspended, and its layer, both pending; the text without the tags
//! `imgbased:pending` and with `imgbased:init` on the volume, which is the commit point. The
//! system's volume is never written to, and runs until the machine starts from the layer.
//!
//! A crash leaves pending volumes, which `recover` finds as the group is tagged before they are
//! made, or the tags alone, which harm nothing: the same call goes on from there.

mod done;
mod find;

use std::path::PathBuf;

use self::done::{done_already, refuse_other_pool};
use self::find::{Found, look, pool_of};
use super::add_layer::System;
use super::session::Session;
use super::thin::{NewThin, Role};
use super::transact::Pending;
use super::{Imgbase, Watch, after_commit, filesystem};
use crate::dm::{ActivePool, pool};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{BaseName, is_ours, tag};
use crate::lvm2::model::Lv;
use crate::name::{LvName, VgName};
use crate::report::{Adopted, LayerAdded};
use crate::units::{Bytes, Sectors};

/// Where an installed system is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdoptSource {
    /// A mount point, as `/`, or a block device.
    Place(PathBuf),
    /// A volume of that group.
    Volume(VgName, LvName),
}

/// What [`Imgbase::adopt`] adopts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopt {
    /// The base's name; `None`: the one that the system gives itself.
    pub nvr: Option<BaseName>,
    /// The system.
    pub source: AdoptSource,
}

impl Imgbase<'_> {
    /// Makes a base and its first layer of a system that is installed on a thin volume, whoever made
    /// that: snapshots, which copy nothing. A volume that is in use is suspended for as long as the
    /// first of them takes; it stays as it is, tagged `imgbased:init`.
    ///
    /// Where that was done before, or the system is a layer, nothing is changed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is no such system;
    /// [`Unsupported`](ErrorKind::Unsupported) where it is on no thin volume or its file system is
    /// neither ext4 nor XFS; [`Exists`](ErrorKind::Exists) for a name that is taken, and where its
    /// group holds another's layers; [`Invalid`](ErrorKind::Invalid) where it does not say its name;
    /// [`NoSpace`](ErrorKind::NoSpace). Everything is as before then, but for the sequence number.
    ///
    /// # Commit point
    /// The one metadata commit that drops the tag `imgbased:pending` from base and layer.
    pub fn adopt(&self, request: &Adopt, watch: &mut dyn Watch) -> Result<Adopted> {
        let found = self.find_system(&request.source, watch)?;
        let imgbase = self.clone().in_vg(found.vg.clone());
        let session = Session::change(&imgbase, "layout --init")?;
        let pool = pool_of(session.vg(), &found)?.clone();
        if let Some(done) = done_already(&session, &found, request.nvr.as_ref())? {
            return Ok(done);
        }
        refuse_other_pool(session.vg(), &pool)?;
        let asleep = (!session.active()?.contains(&found.lv)).then_some(&found.lv);
        let made = imgbase.adopt_volume(session, request, (&found, &pool), watch);
        let base = made.as_ref().ok().map(|(base, _)| base.lv_name());
        let rested = imgbase.rest(base.iter().chain(asleep));
        let (base, layer) = match made {
            Ok(made) => made,
            Err(error) => {
                if let Err(second) = rested {
                    log::warn!("{second}");
                }
                return Err(error);
            }
        };
        after_commit(watch, rested);
        Ok(Adopted {
            vg: found.vg,
            pool,
            source: found.lv,
            base,
            layer: Some(layer.nvr),
            fs_uuid: layer.fs_uuid,
            bootable: layer.bootable,
            changed: true,
            vg_seqno: layer.vg_seqno,
        })
    }

    fn adopt_volume(
        &self,
        mut session: Session<'_>,
        request: &Adopt,
        (found, pool): (&Found, &LvName),
        watch: &mut dyn Watch,
    ) -> Result<(BaseName, LayerAdded)> {
        let active = session.open_pool_of(pool)?;
        check_room(&session, &active)?;
        session.activate(&[&found.lv])?;
        session.settle()?;
        let nvr = look(&session, found, request)?;
        let tags = session.tag_as_ours(pool)?;
        let made = self.take_snapshots(session, found, &nvr, watch);
        match made {
            Ok(layer) => Ok((nvr, layer)),
            Err(error) if tags.are_new() && error.kind() != ErrorKind::NeedsRecovery => {
                Err(self.untag((pool, tags), error))
            }
            Err(error) => Err(error),
        }
    }

    fn take_snapshots(
        &self,
        mut session: Session<'_>,
        found: &Found,
        nvr: &BaseName,
        watch: &mut dyn Watch,
    ) -> Result<LayerAdded> {
        let active = session.pool_on()?;
        watch.step(&format!("take a snapshot of {}/{}", found.vg, found.lv));
        let thin = NewThin::snapshot(nvr.lv_name(), Role::Base, found.lv.clone());
        session.begin_thin(&thin, &active)?;
        let pending = session.into_pending(thin.name)?;
        watch.step("make its file system ready for layers");
        // The base's device is open until the layer is there: that is how others see that it is no
        // leftover.
        let made = seal(&pending, watch).and_then(|()| {
            let (vg, lv, dir) = (found.vg.clone(), found.lv.clone(), found.dir.clone());
            self.add_layer_of(nvr, System { vg, lv, dir }, watch)
        });
        made.map_err(|error| pending.undo(error))
    }

    /// Takes our tags off the group and its pool, where nothing came of it.
    fn untag(&self, (pool, tags): (&LvName, Tags), error: Error) -> Error {
        let undone = Session::change(self, "layout --init").and_then(|mut session| {
            let mut edit = session.vg().edit();
            if tags.group {
                edit.remove_vg_tag(&tag::VG.try_into()?)?;
            }
            if tags.pool {
                edit.remove_tag(pool, &tag::POOL.try_into()?)?;
            }
            session.commit(edit)?;
            Ok(session.vg().seqno)
        });
        error.kept(match undone {
            Ok(seqno) => {
                format!("undone: everything is as before but for the sequence number ({seqno})")
            }
            Err(second) => {
                log::warn!("{second}");
                "no volume was made; the tags of the group stay, which harm nothing".to_owned()
            }
        })
    }
}

/// Which of our tags were not there before.
#[derive(Clone, Copy)]
struct Tags {
    group: bool,
    pool: bool,
}

impl Tags {
    fn are_new(self) -> bool {
        self.group || self.pool
    }
}

impl Session<'_> {
    /// Tags group and pool as ours, where they are not that yet.
    fn tag_as_ours(&mut self, pool: &LvName) -> Result<Tags> {
        let is_tagged = |lv: &Lv| lv.has_tag(tag::POOL);
        let tags =
            Tags { group: !is_ours(self.vg()), pool: !self.vg().lv(pool).is_some_and(is_tagged) };
        if tags.are_new() {
            let mut edit = self.vg().edit();
            edit.add_vg_tag(&tag::VG.try_into()?)?;
            edit.add_tag(pool, &tag::POOL.try_into()?)?;
            self.commit(edit)?;
        }
        Ok(tags)
    }
}

/// Fails unless the pool has room for the metadata of a snapshot. Our own ways to more are none
/// yet.
fn check_room(session: &Session<'_>, active: &ActivePool) -> Result<()> {
    let (vg, lv) = (&session.vg().name, &active.lv);
    let chunk = session.vg().thin_pool(lv).map_or(Sectors::ZERO, |pool| pool.chunk_size);
    pool::check_room(&active.state, chunk, Bytes::ZERO, 100).map_err(|error| {
        let way = "nothing was changed; make the pool larger (lvextend)";
        error.at(format!("{vg}/{lv}")).kept(way)
    })
}

/// Replays what a snapshot of a file system in use needs.
fn seal(pending: &Pending<'_>, watch: &mut dyn Watch) -> Result<()> {
    let node = &pending.node()?;
    let seal = filesystem::Seal { node, needs: None, grow_to: None };
    seal.apply(pending.machine(), pending.device(), watch)
}
