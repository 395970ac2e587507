//! When the text before a lost one may be put in force again.
//!
//! A power cut in a command of lvm2's loses a text that never did anything. A text that was in
//! force and was damaged later looks just the same; to go back from that would undo what was
//! done since, and free what holds data. So whatever tells of a text that was in force is asked.

use super::session::Session;
use crate::dm::Active;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::is_unfinished;
use crate::lvm2::Vg;
use crate::units::Sectors;

impl Session<'_> {
    /// Puts the text before a lost one in force again, where one is lost; says of which copies.
    ///
    /// # Errors
    /// [`Diverged`](ErrorKind::Diverged) where the lost text has been in force, or may have; and as
    /// [`NativeStore::put_back`](crate::lvm2::store::NativeStore::put_back). Nothing is written then.
    pub(super) fn put_back(&mut self) -> Result<Vec<String>> {
        if let Some(why) = self.why_not_put_back()? {
            let why = format!("its newest text is lost, and {why}");
            let error = Error::new(ErrorKind::Diverged, why).at(&self.vg().name);
            return Err(error.kept(
                "nothing was changed; restore the newest text that there is, of lvm2's backup or \
                 archive (vgcfgrestore --force)",
            ));
        }
        let (vg, put_back) = self.disks.put_back()?;
        self.vg = vg;
        Ok(put_back)
    }

    /// What speaks against it, where the newest text is lost.
    pub(super) fn why_not_put_back(&self) -> Result<Option<String>> {
        if !self.disks.is_lost() {
            return Ok(None);
        }
        let vg = self.vg();
        if let Some(seqno) = self.backed_up() {
            let why = format!(
                "lvm2's backup has seqno {seqno} where the one before it has {}: it was in force",
                vg.seqno
            );
            return Ok(Some(why));
        }
        // A verb of ours makes them and finishes them in the next text.
        if let Some(lv) = vg.lvs.iter().find(|lv| is_unfinished(lv)) {
            let why =
                format!("in the one before it {} is unfinished: it may not be so now", lv.name);
            return Ok(Some(why));
        }
        let kernel = self.machine().kernel;
        for device in Active::observe(kernel, vg)?.devices().filter(|device| device.live) {
            let size = size_in(vg, &device.uuid);
            if size.is_none_or(|size| kernel.table(&device.name).is_ok_and(|it| it.len() > size)) {
                let why =
                    format!("the one before it does not know {} as the kernel has it", device.name);
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// The seqno of lvm2's backup, where that is of this group and newer than its text.
    fn backed_up(&self) -> Option<u64> {
        let backup = self.machine().lvm2.backup(&self.vg().name)?;
        let backup = Vg::parse(&backup).ok()?;
        let newer = backup.id == self.vg().id && backup.seqno > self.vg().seqno;
        newer.then_some(backup.seqno)
    }
}

/// How large the volume behind a device of the group is, by the text.
fn size_in(vg: &Vg, uuid: &str) -> Option<Sectors> {
    let lv = uuid.strip_prefix("LVM-")?.strip_prefix(vg.id.undashed())?.get(..32)?;
    let lv = vg.lvs.iter().find(|other| other.id.undashed() == lv)?;
    Some(lv.extents().sectors(vg.extent_size))
}
