//! Lines of volumes in the fstab of layers.

use super::VolumeNames;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{LayerName, VolumePath};
use crate::name::LvName;
use crate::ops::session::Session;
use crate::root::{CONFIG_MOST, FSTAB, fstab_lines, with_volume, without_volume};

/// Where what a layer has at a path lies.
pub(super) struct Place {
    /// The volume: the layer's own, or one of data that it mounts above the path.
    pub(super) lv: LvName,
    /// The path on that volume.
    pub(super) path: String,
}

impl Session<'_> {
    /// An active layer's fstab; nothing where it has none, or nobody here can read its file system.
    pub(super) fn fstab(&self, lv: &LvName) -> Result<Vec<u8>> {
        let mut table = None;
        let read = self.files_of(lv, &mut |root| {
            table = root.read(FSTAB, CONFIG_MOST)?;
            Ok(())
        });
        match read {
            Err(error) if error.kind() == ErrorKind::Unsupported => log::info!("{lv}: {error}"),
            read => read?,
        }
        Ok(table.unwrap_or_default())
    }

    /// Fails where an active layer mounts something else at the path; true where it mounts the volume.
    pub(super) fn mounts(
        &self,
        lv: &LvName,
        path: &VolumePath,
        VolumeNames(names): &VolumeNames,
    ) -> Result<bool> {
        let lines = fstab_lines(&self.fstab(lv)?);
        let Some(line) = lines.into_iter().find(|line| line.target == path.as_str()) else {
            return Ok(false);
        };
        if names.contains(&line.source) {
            return Ok(true);
        }
        let why = format!("its fstab mounts {} at {path}", line.source);
        Err(Error::new(ErrorKind::Exists, why).at(lv))
    }

    /// Where an active layer has what is at a path.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where that is no volume of ours.
    pub(super) fn place(&self, lv: &LvName, path: &VolumePath) -> Result<Place> {
        let lines = fstab_lines(&self.fstab(lv)?).into_iter();
        let is_above =
            |target: &str| target != "/" && target != path.as_str() && path.is_in(target);
        let above = lines.filter(|line| is_above(&line.target));
        let Some(line) = above.max_by_key(|line| line.target.len()) else {
            return Ok(Place { lv: lv.clone(), path: path.as_str().to_owned() });
        };
        let layout = self.layout()?;
        for volume in &layout.volumes {
            let VolumeNames(names) = VolumeNames::of(&layout.vg.name, &volume.lv.name)?;
            if names.contains(&line.source) {
                let inside = path.as_str().get(line.target.len()..).unwrap_or_default();
                return Ok(Place { lv: volume.lv.name.clone(), path: inside.to_owned() });
            }
        }
        let why =
            format!("{path} is on {}, which its fstab mounts at {}", line.source, line.target);
        Err(Error::new(ErrorKind::Unsupported, why).at(lv))
    }

    /// Puts a line into the fstab of an active layer, and a folder under its mount; false where the
    /// line is there.
    pub(super) fn attach(
        &self,
        layer: &LayerName,
        path: &VolumePath,
        names: &VolumeNames,
    ) -> Result<bool> {
        let lv = layer.lv_name();
        if self.mounts(&lv, path, names)? {
            return Ok(false);
        }
        let place = self.place(&lv, path)?;
        if place.lv == lv {
            self.put_line(&lv, path, names, Some(&place.path))?;
        } else {
            self.awake_folder(&place)?;
            self.put_line(&lv, path, names, None)?;
        }
        Ok(true)
    }

    /// Makes the folder on a volume of data, if it is not there.
    fn awake_folder(&self, place: &Place) -> Result<()> {
        self.activate(&[&place.lv])?;
        self.settle()?;
        let (node, fs_type) = self.mountable(&place.lv)?;
        let mounts = self.machine().mounts;
        if mounts.weigh_folder((&node, fs_type, &place.path), &mut |_| false)?.is_some() {
            return Ok(());
        }
        mounts.with_root(&node, fs_type, true, &mut |root| root.make_folder(&place.path)).map_err(
            |error| match error.kind() {
                ErrorKind::Busy => {
                    let why = format!("it is in use and has no folder {}: make it", place.path);
                    Error::new(ErrorKind::Busy, why).at(&place.lv)
                }
                _ => error,
            },
        )
    }

    fn put_line(
        &self,
        lv: &LvName,
        path: &VolumePath,
        VolumeNames([source, _]): &VolumeNames,
        folder: Option<&str>,
    ) -> Result<()> {
        self.change_layer(lv, &mut |root| {
            if let Some(folder) = folder {
                root.make_folder(folder)?;
            }
            let table = root.read(FSTAB, CONFIG_MOST)?;
            let new =
                with_volume(table.as_deref().unwrap_or_default(), source, path.as_str(), "ext4");
            match table {
                Some(_) => root.rewrite(FSTAB, &new),
                None => root.make_folder("/etc").and_then(|()| root.make(FSTAB, &new)),
            }
        })
    }

    /// Takes the line out; false where there is none.
    pub(super) fn detach(
        &self,
        layer: &LayerName,
        path: &VolumePath,
        VolumeNames(names): &VolumeNames,
    ) -> Result<bool> {
        let lv = layer.lv_name();
        let table = self.fstab(&lv)?;
        let Some(new) = without_volume(&table, names, path.as_str()) else { return Ok(false) };
        self.change_layer(&lv, &mut |root| root.rewrite(FSTAB, &new))?;
        Ok(true)
    }

    /// Changes the tree of an active layer that nobody uses.
    fn change_layer(
        &self,
        lv: &LvName,
        change: &mut dyn FnMut(&dyn crate::root::RootChange) -> Result<()>,
    ) -> Result<()> {
        let (node, fs_type) = self.mountable(lv)?;
        self.machine().mounts.with_root(&node, fs_type, true, change)
    }
}
