//! What the owner of a host wants an update to carry over: read from the Config volume and from the
//! old layer, before anything is made.

use std::path::{Path, PathBuf};

use super::session::Session;
use super::{Imgbase, filesystem};
use crate::error::{ErrorKind, Result};
use crate::etc::Wishes;
use crate::layout::{self, LayerName};
use crate::name::{DmName, LvName};
use crate::root::RootFiles;
use crate::tree::TreePath;

/// The sort of a file system that only a mount would find out.
const UNKNOWN: &str = "auto";

impl Imgbase<'_> {
    /// Reads it, and leaves the devices as they were.
    pub(super) fn wishes(&self, from: &LayerName) -> Result<Wishes> {
        let session = Session::for_devices(self)?;
        let config = session.config_volume().cloned();
        let volumes: Vec<LvName> = config.iter().cloned().chain([from.lv_name()]).collect();
        session.look_into(&volumes, |session| session.wishes_of(config.as_ref(), from))
    }

    /// Lets the Config volume rest, where hooks of it were run and it was not active before.
    pub(super) fn rest_config(&self, wishes: &Wishes, awake: &[LvName]) -> Result<()> {
        if !wishes.has_hooks_on_config() {
            return Ok(());
        }
        let session = Session::for_devices(self)?;
        let config = session.hooks_volume(wishes).filter(|config| !awake.contains(config));
        config.map_or(Ok(()), |config| session.deactivate(&[config]))?;
        session.settle()
    }
}

impl Session<'_> {
    /// The volume with the host's lists and hooks, where there is one.
    pub(super) fn config_volume(&self) -> Option<&LvName> {
        layout::config_volume(self.vg()).map(|lv| &lv.name)
    }

    /// The same, where hooks of it are run.
    pub(super) fn hooks_volume(&self, wishes: &Wishes) -> Option<&LvName> {
        self.config_volume().filter(|_| wishes.has_hooks_on_config())
    }

    /// The node of an active volume, and the sort of its file system.
    pub(super) fn mountable(&self, lv: &LvName) -> Result<(PathBuf, &'static str)> {
        let node = self.node(lv)?;
        match filesystem::read(self.open_volume(lv)?.as_ref()) {
            Err(_) if self.is_on_paper(lv)? => Ok((node, UNKNOWN)),
            file_system => Ok((node, file_system?.fs_type())),
        }
    }

    /// True for a volume of which a dry run does not know what it holds.
    pub(super) fn is_on_paper(&self, lv: &LvName) -> Result<bool> {
        let name = DmName::of_lv(&self.vg().name, lv, None)?;
        Ok(self.machine().kernel.is_on_paper(&name))
    }

    fn wishes_of(&self, config: Option<&LvName>, from: &LayerName) -> Result<Wishes> {
        let mut wishes = self.read_wishes(config, &from.lv_name())?;
        if self.running()?.as_ref() == Some(from) {
            wishes.mounts.extend(self.mounted_folders()?);
        }
        Ok(wishes)
    }

    /// Where this host has other file systems mounted.
    pub(super) fn mounted_folders(&self) -> Result<Vec<TreePath>> {
        let mounts = self.machine().mounts.list()?;
        let dirs = mounts.iter().filter(|mount| mount.dir != Path::new("/"));
        Ok(dirs.filter_map(|mount| TreePath::from_text(mount.dir.to_str()?)).collect())
    }

    /// What the Config volume lists and the volume of a layer; where that is mounted, it cannot say.
    pub(super) fn read_wishes(&self, config: Option<&LvName>, from: &LvName) -> Result<Wishes> {
        let mut wishes = Wishes::default();
        if let Some(config) = config {
            let read = self.files_of(config, &mut |volume| wishes.read_volume(volume));
            match read {
                // Whatever it holds, it is no list.
                Err(error) if error.kind() == ErrorKind::Unsupported => log::warn!("{error}"),
                read => read.map_err(|error| error.at(format_args!("the volume {config}")))?,
            }
        }
        self.files_of(from, &mut |layer| wishes.read_layer(layer))?;
        Ok(wishes)
    }

    /// Looks into an active volume; in a dry run into one that is really there.
    pub(super) fn files_of(
        &self,
        lv: &LvName,
        with: &mut dyn FnMut(&dyn RootFiles) -> Result<()>,
    ) -> Result<()> {
        if self.is_on_paper(lv)? {
            log::warn!("{lv} is not active: what it holds is not known in a dry run");
            return Ok(());
        }
        self.with_files(lv, with)
    }
}
