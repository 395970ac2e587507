//! `mount` and `umount`.

use std::path::Path;

use super::session::Session;
use super::{Imgbase, filesystem};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::ImageName;
use crate::machine::MountHow;
use crate::report::MountReport;

impl Imgbase<'_> {
    /// Activates an image and mounts it at a folder that exists. A layer is mounted with
    /// `discard`, so that what is deleted in it goes back to the pool; a base is mounted
    /// read-only whatever is asked.
    ///
    /// Done already, it changes nothing and says so.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for an unknown image or folder,
    /// [`Invalid`](ErrorKind::Invalid) for what is no folder,
    /// [`Busy`](ErrorKind::Busy) where something else is mounted there,
    /// [`Unsupported`](ErrorKind::Unsupported) for an image whose file system is not known.
    pub fn mount(&self, image: &ImageName, dir: &Path, read_only: bool) -> Result<MountReport> {
        let dir = std::fs::canonicalize(dir)
            .map_err(|source| Error::io(source).op("mount").at(dir.display()))?;
        let mut session = Session::for_devices(self)?;
        let lv = session.layout()?.image(image)?.clone();
        let read_only = read_only || !lv.is_writable();
        let report = |changed| MountReport {
            nvr: Some(image.clone()),
            dir: dir.display().to_string(),
            read_only,
            changed,
        };
        if session.mounted_at(&dir)?.is_some_and(|there| there == lv.name) {
            return Ok(report(false));
        }
        refuse_taken(&session, &dir)?;
        session.pool_on()?;
        session.activate(&[&lv.name])?;
        let device = session.open_volume(&lv.name)?;
        let file_system = filesystem::read(device.as_ref())?;
        drop(device);
        let data = match (read_only, file_system.fs_type()) {
            // A base has the UUID of its image, and so may others that are mounted.
            (true, "xfs") => "nouuid",
            (true, _) => "",
            (false, _) => filesystem::layer_options(&file_system),
        };
        let how = MountHow {
            fs_type: file_system.fs_type().to_owned(),
            read_only,
            data: data.to_owned(),
        };
        session.machine().mounts.mount(&session.node(&lv.name)?, &dir, &how)?;
        Ok(report(true))
    }

    /// Unmounts an image. A base is deactivated with it, a layer stays active.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where nothing of ours is mounted there,
    /// [`Busy`](ErrorKind::Busy) where it is in use.
    pub fn umount(&self, dir: &Path) -> Result<MountReport> {
        let dir = std::fs::canonicalize(dir)
            .map_err(|source| Error::io(source).op("unmount").at(dir.display()))?;
        let session = Session::for_devices(self)?;
        let Some(lv) = session.mounted_at(&dir)? else {
            let why = "nothing of ours is mounted there";
            return Err(Error::new(ErrorKind::NotFound, why).op("unmount").at(dir.display()));
        };
        let nvr = lv.as_str().parse::<ImageName>().ok();
        let read_only = session.vg().lv(&lv).is_some_and(|lv| !lv.is_writable());
        session.machine().mounts.unmount(&dir)?;
        if matches!(nvr, Some(ImageName::Base(_))) && session.in_use(&lv)?.is_none() {
            session.deactivate(&[&lv])?;
        }
        session.settle()?;
        Ok(MountReport { nvr, dir: dir.display().to_string(), read_only, changed: true })
    }
}

/// Refuses what is no folder, and one where something is mounted, which would be hidden.
fn refuse_taken(session: &Session<'_>, dir: &Path) -> Result<()> {
    let refusal = if !dir.is_dir() {
        Error::new(ErrorKind::Invalid, "it is no folder")
    } else if let Some(there) = session.mounted_at(dir)? {
        Error::new(ErrorKind::Busy, format!("{there} is mounted there; unmount it first"))
    } else if session.machine().mounts.list()?.iter().any(|mount| mount.dir == dir) {
        Error::new(ErrorKind::Busy, "something is mounted there; choose another folder")
    } else {
        return Ok(());
    };
    Err(refusal.op("mount").at(dir.display()).kept("nothing was changed"))
}
