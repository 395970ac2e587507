//! The system that is meant: its volume, its file system, its name.

use std::path::{Path, PathBuf};

use super::super::add_base::{NVR, refuse_taken};
use super::super::session::Session;
use super::super::{Imgbase, Watch, filesystem, find};
use super::{Adopt, AdoptSource};
use crate::dm::{DevNo, volume_of};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{BaseName, is_ours};
use crate::lvm2::Vg;
use crate::lvm2::model::Thin;
use crate::lvm2::scan::Scan;
use crate::machine::MountEntry;
use crate::name::{DmName, LvName, VgName};
use crate::root::{OsRelease, RootFiles};
use crate::units::Bytes;

/// The volume of a system.
pub(super) struct Found {
    pub(super) vg: VgName,
    pub(super) lv: LvName,
    /// Where it is mounted.
    pub(super) dir: Option<PathBuf>,
}

impl Imgbase<'_> {
    /// Finds the volume. Told are other groups with our tag.
    pub(super) fn find_system(&self, source: &AdoptSource, watch: &mut dyn Watch) -> Result<Found> {
        let scan = find::scan_all(self.machine.disks)?;
        let found = match source {
            AdoptSource::Volume(vg, lv) => self.find_volume(&scan, vg, lv)?,
            AdoptSource::Place(path) => self.find_place(&scan, path)?,
        };
        if let Some(wanted) = self.vg.as_ref().filter(|wanted| **wanted != found.vg) {
            let why = format!("it is in the volume group {}, not in {wanted}", found.vg);
            return Err(refused(Error::new(ErrorKind::Invalid, why).at(&found.lv)));
        }
        let others = scan.groups.iter().map(|group| &group.vg);
        for other in others.filter(|vg| is_ours(vg) && vg.name != found.vg) {
            let name = &other.name;
            watch.warn(&format!("{name} has our tag too: from now on choose one with --vg"));
        }
        Ok(found)
    }

    fn find_volume(&self, scan: &Scan, vg: &VgName, lv: &LvName) -> Result<Found> {
        let group = scan.group(vg).map_err(refused)?;
        if group.vg.lv(lv).is_none() {
            let why = format!("{vg} has no such volume");
            return Err(refused(Error::new(ErrorKind::NotFound, why).at(lv)));
        }
        let name = DmName::of_lv(vg, lv, None)?;
        let device = self.machine.kernel.info(&name)?;
        let dir = match device {
            Some(device) => self.mounted(&|mount| mount.number == device.number)?,
            None => None,
        };
        Ok(Found { vg: vg.clone(), lv: lv.clone(), dir: dir.map(|mount| mount.dir) })
    }

    fn find_place(&self, scan: &Scan, path: &Path) -> Result<Found> {
        let at = self.mounted(&|mount| mount.dir == path)?;
        let number = match &at {
            Some(mount) => Some(mount.number),
            None => self.machine.disks.number(path).map_err(refused)?,
        };
        let number = number.ok_or_else(|| {
            let why = "it is neither a mount point nor a block device";
            refused(Error::new(ErrorKind::Invalid, why).at(path.display()))
        })?;
        let (vg, lv) = self.volume_numbered(scan, number)?.ok_or_else(|| copy_it(path))?;
        let dir = match at {
            Some(mount) => Some(mount.dir),
            None => self.mounted(&|mount| mount.number == number)?.map(|mount| mount.dir),
        };
        Ok(Found { vg, lv, dir })
    }

    /// The volume whose device has that number.
    fn volume_numbered(&self, scan: &Scan, number: DevNo) -> Result<Option<(VgName, LvName)>> {
        let Some(device) = self.machine.kernel.numbered(number)? else { return Ok(None) };
        let mut groups = scan.groups.iter().map(|group| &group.vg);
        Ok(groups.find_map(|vg| Some((vg.name.clone(), volume_of(vg, &device)?.clone()))))
    }

    /// The last mount that is such a one: what is seen.
    fn mounted(&self, is: &dyn Fn(&MountEntry) -> bool) -> Result<Option<MountEntry>> {
        Ok(self.machine.mounts.list()?.into_iter().rev().find(|mount| is(mount)))
    }
}

/// Looks at the system before anything is changed: what its base will be called.
pub(super) fn look(session: &Session<'_>, found: &Found, request: &Adopt) -> Result<BaseName> {
    look_at(session, found, request).map_err(refused)
}

fn look_at(session: &Session<'_>, found: &Found, request: &Adopt) -> Result<BaseName> {
    let device = session.open_volume(&found.lv)?;
    let file_system = filesystem::read(device.as_ref())?;
    file_system.check_for_layers()?;
    filesystem::require_tools(session.machine(), &file_system)?;
    let nvr = match &request.nvr {
        Some(nvr) => nvr.clone(),
        None => session.name_of_system(found)?,
    };
    refuse_taken(session.vg(), &nvr)?;
    Ok(nvr)
}

impl Session<'_> {
    /// The name that a system gives itself.
    fn name_of_system(&self, found: &Found) -> Result<BaseName> {
        let mut name = None;
        let with = &mut |root: &dyn RootFiles| {
            name = said_name(root)?;
            Ok(())
        };
        match &found.dir {
            Some(dir) => self.machine().mounts.with_folder(dir, with)?,
            None => self.with_files(&found.lv, with)?,
        }
        let name = name.ok_or_else(|| {
            let why = format!(
                "the system says neither in {NVR} nor in /etc/os-release what it is: give its \
                 name, as NAME-VERSION-RELEASE"
            );
            Error::new(ErrorKind::Invalid, why).at(&found.lv)
        })?;
        name.parse().map_err(|bad| Error::from(bad).at(&found.lv))
    }
}

/// What a build of imgbased's wrote, else the distribution and its version; it is the first of its
/// name.
fn said_name(root: &dyn RootFiles) -> Result<Option<String>> {
    if let Some(said) = root.read(NVR, Bytes::kib(4))? {
        return Ok(Some(String::from_utf8_lossy(&said).trim().to_owned()));
    }
    let OsRelease { id, version_id, .. } = OsRelease::read(root)?;
    Ok(id.zip(version_id).map(|(id, version)| format!("{id}-{version}-0")))
}

/// The pool of the system's volume.
pub(super) fn pool_of<'v>(vg: &'v Vg, found: &Found) -> Result<&'v LvName> {
    let at = || format!("{}/{}", found.vg, found.lv);
    match vg.lv(&found.lv).map(|lv| lv.thin()) {
        None => {
            let why = "it is gone meanwhile";
            Err(refused(Error::new(ErrorKind::NotFound, why).at(at())))
        }
        Some(None) => Err(copy_it(Path::new("/dev").join(at()).as_path())),
        Some(Some(Thin { merge: Some(into), .. })) => {
            let why = format!("it waits to be merged into {into}");
            Err(refused(Error::new(ErrorKind::Unsupported, why).at(at())))
        }
        Some(Some(thin)) => Ok(&thin.pool),
    }
}

/// An error before anything was changed.
pub(super) fn refused(error: Error) -> Error {
    error.op("adopt the system").kept("nothing was changed")
}

fn copy_it(path: &Path) -> Error {
    let shown = path.display().to_string();
    let why = format!(
        "it is no thin volume, of which a snapshot could be taken; its files can be copied to blank \
         devices: 'imgbase layout --init NVR --from {shown} DEVICE...'"
    );
    refused(Error::new(ErrorKind::Unsupported, why).at(shown))
}
