//! What our names and tags mean: bases, layers, data volumes, their pool.
//!
//! This is the only reader of the tags that oVirt's imgbased puts on volumes
//! (`imgbased:vg`, `:pool`, `:init`, `:base`, `:layer`, `:volume`) and of the
//! ones that are ours (`imgbased:pending`, `:removing`, `:pin`, `:at:`,
//! `:digest:`, `:from:`), so both tools see the same layout.

mod name;
mod version;
mod volume;

use std::cmp::Ordering;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::lvm2::Vg;
use crate::lvm2::model::{Lv, Thin, ThinPool};
use crate::name::LvName;
use crate::order;
pub use name::{BaseName, ImageName, LayerName};
pub use version::compare as compare_versions;
pub use volume::{DataVolume, VolumePath};

/// Tags as they stand in the text.
pub mod tag {
    /// On the volume group.
    pub const VG: &str = "imgbased:vg";
    /// On the thin pool.
    pub const POOL: &str = "imgbased:pool";
    /// On the volume that an adopted system was installed on.
    pub const INIT: &str = "imgbased:init";
    /// On a base.
    pub const BASE: &str = "imgbased:base";
    /// On a layer (and, in imgbased, on an adopted system's base).
    pub const LAYER: &str = "imgbased:layer";
    /// On a data volume that all layers share.
    pub const VOLUME: &str = "imgbased:volume";
    /// What the tag of a data volume begins with that says where it is mounted: a path follows.
    pub const AT: &str = "imgbased:at:";
    /// On a volume that is not finished: a crash undoes it.
    pub const PENDING: &str = "imgbased:pending";
    /// On a volume that is going away: a crash finishes that.
    pub const REMOVING: &str = "imgbased:removing";
    /// On a base that is never collected.
    pub const PIN: &str = "imgbased:pin";
    /// What the tag of a base begins with that says what its image was: a digest follows.
    pub const DIGEST: &str = "imgbased:digest:";
    /// What the tag of a layer begins with that says whose state it took over: the name of a layer's
    /// volume follows.
    pub const FROM: &str = "imgbased:from:";
}

/// The name of the volume that has the host's lists of what is carried over, and its file system's
/// label.
pub const CONFIG: &str = "Config";

/// That volume, where the group has one.
pub fn config_volume(vg: &Vg) -> Option<&Lv> {
    vg.lvs.iter().find(|lv| lv.name.as_str() == CONFIG).map(AsRef::as_ref)
}

/// What the image of a base was, where that was said when it was made.
pub fn digest(base: &Lv) -> Option<Digest> {
    base.tags.iter().find_map(|tag| tag.as_str().strip_prefix(tag::DIGEST)?.parse().ok())
}

/// The volume whose state a layer took over when it was made, where that is still there.
pub fn taken_over<'v>(vg: &'v Vg, layer: &Lv) -> Option<&'v Lv> {
    let from = layer.tags.iter().find_map(|tag| tag.as_str().strip_prefix(tag::FROM))?;
    vg.lv(&from.parse().ok()?)
}

/// A base or a layer with its volume.
#[derive(Clone, Copy, Debug)]
pub struct Volume<'v, N> {
    /// What its name says.
    pub name: N,
    /// The volume.
    pub lv: &'v Lv,
    /// Its thin segment.
    pub thin: &'v Thin,
}

impl Volume<'_, BaseName> {
    /// By version; of equal versions the one made first comes first.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let by_version = self.name.compare(&other.name);
        by_version.then(self.thin.device_id.cmp(&other.thin.device_id))
    }
}

/// A base and the layers on it.
#[derive(Clone, Debug)]
pub struct Base<'v> {
    /// The base.
    pub base: Volume<'v, BaseName>,
    /// Its layers, in order of creation.
    pub layers: Vec<Volume<'v, LayerName>>,
}

/// A volume with a tag of ours that fits nowhere, and why.
#[derive(Clone, Debug)]
pub struct Orphan<'v> {
    /// The volume.
    pub lv: &'v Lv,
    /// What is wrong with it.
    pub why: String,
}

/// Everything of ours in a volume group.
#[derive(Clone, Debug)]
pub struct Layout<'v> {
    /// The group.
    pub vg: &'v Vg,
    /// The pool's volume.
    pub pool: &'v Lv,
    /// The pool's segment.
    pub pool_segment: &'v ThinPool,
    /// Bases in order of creation (thin device id).
    pub bases: Vec<Base<'v>>,
    /// Volumes that layers share, by their paths.
    pub volumes: Vec<DataVolume<'v>>,
    /// Layers without their base, and volumes whose names say nothing.
    pub orphans: Vec<Orphan<'v>>,
    /// Volumes that are unfinished or going away, the newest first.
    pub pending: Vec<&'v Lv>,
}

/// True for a group that is ours.
pub fn is_ours(vg: &Vg) -> bool {
    vg.has_tag(tag::VG)
}

fn is_tagged(lv: &Lv) -> bool {
    lv.has_tag(tag::BASE) || lv.has_tag(tag::LAYER)
}

/// True for a volume that is unfinished or going away.
pub(crate) fn is_unfinished(lv: &Lv) -> bool {
    lv.has_tag(tag::PENDING) || lv.has_tag(tag::REMOVING)
}

/// The pool: the one with our tag.
pub(crate) fn find_pool(vg: &Vg) -> Result<(&Lv, &ThinPool)> {
    let mut pools = vg.lvs.iter().filter_map(|lv| {
        let pool = lv.thin_pool()?;
        lv.has_tag(tag::POOL).then_some((lv.as_ref(), pool))
    });
    let no = |kind, why: &'static str| Error::new(kind, why).at(&vg.name).op("find our thin pool");
    let Some(found) = pools.next() else {
        return Err(no(ErrorKind::NotFound, "no thin pool has the tag imgbased:pool"));
    };
    if pools.next().is_some() {
        return Err(no(ErrorKind::Unsupported, "several thin pools have the tag imgbased:pool"));
    }
    Ok(found)
}

impl<'v> Layout<'v> {
    /// Reads the layout out of a group.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where the group has no pool of ours,
    /// [`Unsupported`](ErrorKind::Unsupported) where it has several. A volume whose name cannot
    /// be read is an [`Orphan`], never an error.
    pub fn of(vg: &'v Vg) -> Result<Self> {
        let (pool, pool_segment) = find_pool(vg)?;
        let mut layout = Self {
            vg,
            pool,
            pool_segment,
            bases: Vec::new(),
            volumes: Vec::new(),
            orphans: Vec::new(),
            pending: Vec::new(),
        };
        layout.sort_volumes();
        Ok(layout)
    }

    fn sort_volumes(&mut self) {
        let mut layers = Vec::new();
        for lv in &self.vg.lvs {
            if is_unfinished(lv) {
                self.pending.push(lv);
            } else if is_tagged(lv) {
                self.sort_volume(lv, &mut layers);
            } else if lv.has_tag(tag::VOLUME) {
                self.sort_data(lv);
            }
        }
        order::sort_by_key(&mut self.volumes, |volume| volume.path.clone());
        let made = |lv: &Lv| lv.thin().map(|thin| thin.device_id);
        order::sort_by_key(&mut self.pending, |lv| std::cmp::Reverse(made(lv)));
        order::sort_by_key(&mut self.bases, |base| base.base.thin.device_id);
        order::sort_by_key(&mut layers, |layer: &Volume<'_, LayerName>| layer.thin.device_id);
        for layer in layers {
            self.place_layer(layer);
        }
    }

    fn sort_volume(&mut self, lv: &'v Lv, layers: &mut Vec<Volume<'v, LayerName>>) {
        let Some(thin) = lv.thin().filter(|thin| thin.pool == self.pool.name) else {
            let why = "it is no thin volume of our pool".to_owned();
            return self.orphans.push(Orphan { lv, why });
        };
        // Mostly it is of the same base as the one before.
        let text = lv.name.as_str();
        let before = layers.last().and_then(|layer| LayerName::of_base(layer.name.base(), text));
        match before.map_or_else(|| text.parse(), |layer| Ok(ImageName::Layer(layer))) {
            Ok(ImageName::Base(name)) => {
                let base = Volume { name, lv, thin };
                self.bases.push(Base { base, layers: Vec::new() });
            }
            Ok(ImageName::Layer(name)) => layers.push(Volume { name, lv, thin }),
            Err(bad) => self.orphans.push(Orphan { lv, why: bad.to_string() }),
        }
    }

    fn sort_data(&mut self, lv: &'v Lv) {
        let Some(thin) = lv.thin().filter(|thin| thin.pool == self.pool.name) else {
            let why = "it is no thin volume of our pool".to_owned();
            return self.orphans.push(Orphan { lv, why });
        };
        match VolumePath::of(lv) {
            Ok(path) => self.volumes.push(DataVolume { path, lv, thin }),
            Err(bad) => self.orphans.push(Orphan { lv, why: bad.to_string() }),
        }
    }

    fn place_layer(&mut self, layer: Volume<'v, LayerName>) {
        match self.bases.iter_mut().find(|base| base.base.name == *layer.name.base()) {
            Some(base) => base.layers.push(layer),
            None => {
                let why = format!("its base {} is not there", layer.name.base());
                self.orphans.push(Orphan { lv: layer.lv, why });
            }
        }
    }

    /// The base of that name with its layers.
    pub fn base(&self, name: &BaseName) -> Option<&Base<'v>> {
        self.bases.iter().find(|base| base.base.name == *name)
    }

    /// The layer of that name.
    pub fn layer(&self, name: &LayerName) -> Option<&Volume<'v, LayerName>> {
        self.layers().find(|layer| layer.name == *name)
    }

    /// The volume that layers share at that path.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), naming it.
    pub fn volume(&self, path: &VolumePath) -> Result<&DataVolume<'v>> {
        let found = self.volumes.iter().find(|volume| volume.path.as_str() == path.as_str());
        found.ok_or_else(|| {
            let why = format!("{} has no volume for it", self.vg.name);
            Error::new(ErrorKind::NotFound, why).at(path)
        })
    }

    /// The latest layer: the one made last on the latest base that has any.
    pub fn latest_layer(&self) -> Option<&Volume<'v, LayerName>> {
        let with_layers = self.bases.iter().filter(|base| !base.layers.is_empty());
        let newest = with_layers.max_by(|a, b| a.base.name.compare(&b.base.name))?;
        newest.layers.iter().max_by_key(|layer| layer.name.index())
    }

    /// The volume behind a base's or a layer's name.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), naming it.
    pub fn image(&self, name: &ImageName) -> Result<&'v Lv> {
        let lv = match name {
            ImageName::Base(base) => self.base(base).map(|base| base.base.lv),
            ImageName::Layer(layer) => self.layer(layer).map(|layer| layer.lv),
        };
        lv.ok_or_else(|| {
            let why = format!("there is no such {} in {}", name.kind(), self.vg.name);
            Error::new(ErrorKind::NotFound, why).at(name)
        })
    }

    /// All layers that have their base.
    pub fn layers(&self) -> impl Iterator<Item = &Volume<'v, LayerName>> {
        self.bases.iter().flat_map(|base| &base.layers)
    }

    /// The base with the highest version; of equal versions the one made last.
    pub fn latest_base(&self) -> Option<&Base<'v>> {
        self.bases.iter().max_by(|a, b| a.base.compare(&b.base))
    }

    /// The name for the next layer on a base: one above the highest index there is, finished or
    /// not, so an index is never used again while a higher one exists.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) past the largest index.
    pub fn next_layer(&self, base: &BaseName) -> Result<LayerName> {
        let mut next = self.next_layers(base);
        let none = || Error::new(ErrorKind::Unsupported, "no layer index is left").at(base);
        next.next().ok_or_else(none)
    }

    /// The names of the layers that come next, as long as there are any.
    pub fn next_layers(&self, base: &BaseName) -> impl Iterator<Item = LayerName> {
        let names = self.vg.lvs.iter().map(|lv| lv.name.as_str());
        let layers = names.filter_map(|name| LayerName::of_base(base, name));
        let highest = layers.map(|layer| layer.index()).max();
        let first = highest.unwrap_or(0).checked_add(1);
        let indices = first.into_iter().flat_map(|first| first..=u32::MAX);
        let base = base.clone();
        indices.map_while(move |index| LayerName::new(base.clone(), index).ok())
    }

    /// Those of the volumes that layers share.
    pub fn volume_names(&self) -> impl Iterator<Item = &'v LvName> + '_ {
        self.volumes.iter().map(|volume| &volume.lv.name)
    }

    /// The names of all finished layers, in order of creation on each base.
    pub fn layer_names(&self) -> Vec<ImageName> {
        self.layers().map(|layer| ImageName::Layer(layer.name.clone())).collect()
    }

    /// The names of all finished bases and layers, each base before its layers.
    pub fn image_names(&self) -> Vec<ImageName> {
        let mut names = Vec::new();
        for base in &self.bases {
            names.push(ImageName::Base(base.base.name.clone()));
            names.extend(base.layers.iter().map(|layer| ImageName::Layer(layer.name.clone())));
        }
        names
    }
}
