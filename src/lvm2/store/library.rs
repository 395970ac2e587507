//! Texts through lvm2's own library, and the disks looked at by ourselves all the same: which
//! disks the group is on, whether its copies agree, and what a commit came to.

use std::path::PathBuf;
use std::sync::Arc;

use super::{MetadataStore, NativeStore};
use crate::error::{Error, ErrorKind, Result};
use crate::lvm2::create::PvPlan;
use crate::lvm2::edit::NewVg;
use crate::lvm2::model::Vg;
use crate::lvm2::scan::{self, Group};
use crate::lvm2::text::{Body, Scalar, Style};
use crate::name::VgName;

/// lvm2's own library, as another way to the texts of volume groups. Its caller holds the group's
/// lock. The library sees those devices alone that it is told of.
pub trait Lvm2Library: Send + Sync {
    /// The group's text in force, as lvm2 backs it up.
    ///
    /// # Errors
    /// [`Tool`](crate::ErrorKind::Tool), with what lvm2 says.
    fn read(&self, vg: &VgName, on: &[PathBuf]) -> Result<String>;

    /// Puts a text in force, on the physical volumes that it lists, at the sequence number after
    /// the one that it has.
    ///
    /// # Errors
    /// [`Tool`](crate::ErrorKind::Tool), with what lvm2 says; which text is in force then only the
    /// disks can tell.
    fn commit(&self, vg: &VgName, on: &[PathBuf], text: &str) -> Result<()>;
}

/// Reads and commits through lvm2's library.
pub struct LibraryStore<'l> {
    disks: Arc<NativeStore>,
    library: &'l dyn Lvm2Library,
}

impl<'l> LibraryStore<'l> {
    /// The store of the group that those disks hold.
    pub fn new(disks: Arc<NativeStore>, library: &'l dyn Lvm2Library) -> Self {
        Self { disks, library }
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.disks.group().members.into_iter().map(|member| member.path).collect()
    }
}

impl MetadataStore for LibraryStore<'_> {
    /// What the library says must have the sequence number that the disks have.
    ///
    /// # Errors
    /// As for the native store; [`Tool`](ErrorKind::Tool) where the library fails;
    /// [`Diverged`](ErrorKind::Diverged) where it reads another text.
    fn read(&self) -> Result<Arc<Vg>> {
        let ours = self.disks.read()?;
        if self.disks.is_lost() {
            // lvm2 finds no group there.
            return Ok(ours);
        }
        let theirs = Vg::parse(&self.library.read(&ours.name, &self.paths())?)?;
        if (theirs.id, theirs.seqno) == (ours.id, ours.seqno) {
            return Ok(Arc::new(theirs));
        }
        let why = format!(
            "lvm2's library reads the group {} at seqno {}, the disks hold {} at seqno {}",
            theirs.id, theirs.seqno, ours.id, ours.seqno
        );
        Err(Error::new(ErrorKind::Diverged, why).at(&ours.name).kept("nothing was changed"))
    }

    /// The library has no step between announcing a text and putting it in force: `between` runs
    /// before it is asked for anything.
    ///
    /// # Errors
    /// As for the native store; [`Tool`](ErrorKind::Tool) where the library fails and the old text
    /// is in force.
    fn commit(&self, new: NewVg, between: &mut dyn FnMut(&Vg) -> Result<()>) -> Result<Arc<Vg>> {
        let (old, seqno) = (self.disks.check_next(&new)?, new.vg().seqno);
        between(new.vg())?;
        let asked = self.library.commit(&old.name, &self.paths(), &text_before(new.vg())?);
        if let Err(error) = &asked {
            log::debug!("{error}");
        }
        // Whatever it says, the disks tell what is in force.
        let now = self.disks.read().map_err(|error| unknown(&error, &old))?;
        match asked {
            Err(error) if now.seqno == old.seqno => Err(error),
            Err(error) if now.seqno == seqno => {
                log::warn!("{error}; the change is in force all the same");
                Ok(now)
            }
            Ok(()) if now.seqno == seqno => Ok(now),
            _ => {
                let why = format!("seqno {} is in force, and not {seqno}", now.seqno);
                Err(unknown(&Error::new(ErrorKind::Diverged, why), &old))
            }
        }
    }
}

fn unknown(error: &Error, old: &Vg) -> Error {
    let why = format!("after a commit by lvm2's library: {error}");
    Error::new(ErrorKind::NeedsRecovery, why).at(&old.name).kept("look with 'imgbase check'")
}

/// The text as the library takes it: it raises the sequence number by itself.
fn text_before(vg: &Vg) -> Result<String> {
    let mut document = vg.document().clone();
    let seqno = Body::Scalar(Scalar::number(vg.seqno.saturating_sub(1)));
    let section = document.vg_mut();
    let section = section.ok_or_else(|| Error::new(ErrorKind::Invalid, "there is no group"))?;
    section.set("seqno", seqno, &[]);
    Ok(document.print(Style::Backup))
}

/// Commits a group's first text on physical volumes that were just made, and finds it there.
pub(in crate::lvm2) fn first_commit(
    library: &dyn Lvm2Library,
    plans: &[PvPlan],
    new: &NewVg,
) -> Result<Group> {
    let (vg, paths): (_, Vec<PathBuf>) =
        (new.vg(), plans.iter().map(|it| it.path.clone()).collect());
    let asked = library.commit(&vg.name, &paths, &text_before(vg)?);
    let device = |plan: &PvPlan| (plan.path.clone(), Arc::clone(&plan.dev));
    let devices: Vec<_> = plans.iter().map(device).collect();
    let found = scan::scan(&devices).into_group(&vg.name);
    let is_it = |group: &Group| (group.vg.id, group.vg.seqno) == (vg.id, vg.seqno);
    match (asked, found) {
        (asked, Ok(group)) if is_it(&group) => {
            if let Err(error) = asked {
                log::warn!("{error}; the group is made all the same");
            }
            Ok(group)
        }
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(group)) => {
            let why =
                format!("lvm2's library has made {} at seqno {}", group.vg.id, group.vg.seqno);
            Err(Error::new(ErrorKind::Diverged, why).at(&vg.name))
        }
    }
}

#[cfg(test)]
mod tests;
