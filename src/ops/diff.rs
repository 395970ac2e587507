//! `diff`: which files two images have different.

mod by_blocks;

use std::path::Path;

use super::session::Session;
use super::{Imgbase, filesystem};
use crate::diff::{self, Change, Trust};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{ImageName, Layout};
use crate::name::LvName;

/// How two images are compared. The list is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiffWay {
    /// By the blocks that they have different, where that can be: two ext4 of one base that nobody
    /// has mounted. It costs what differs. Otherwise by a walk.
    #[default]
    Auto,
    /// By blocks, or not at all: the error says what is in the way.
    Blocks,
    /// By a walk through both trees, mounted. It costs what there is.
    Walk,
}

impl Imgbase<'_> {
    /// Compares two images file by file; without names the current layer with its base, with
    /// one name that image with its base.
    ///
    /// Images that are not active are activated for the call, and not mounted or mounted where no
    /// other process sees them.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for an unknown image;
    /// [`Invalid`](crate::ErrorKind::Invalid) for a base without a second name; of
    /// [`DiffWay::Blocks`] [`Busy`](crate::ErrorKind::Busy) and
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where it cannot be so;
    /// [`Corrupt`](crate::ErrorKind::Corrupt), [`Io`](crate::ErrorKind::Io); what `each` gives.
    pub fn diff(
        &self,
        a: Option<&ImageName>,
        b: Option<&ImageName>,
        way: DiffWay,
        each: &mut dyn FnMut(&Change) -> Result<()>,
    ) -> Result<()> {
        let session = Session::for_devices(self)?;
        let (a, b) = choose(&session, a, b)?;
        let of_one_base = a.base() == b.base();
        if a == b {
            return Ok(());
        }
        let (a, b) = (a.lv_name(), b.lv_name());
        session.look_into(&[a.clone(), b.clone()], |session| {
            if way != DiffWay::Walk {
                match by_blocks::compare(session, (&a, &b), of_one_base, each) {
                    Ok(compared) => return compared,
                    Err(why) if way == DiffWay::Blocks => return Err(why),
                    Err(why) => say(&why),
                }
            }
            // Only what comes from one base is known by its inode, times and size: file systems
            // that were made apart may have the same by chance, or by a reproducible build.
            let trust = if of_one_base { Trust::SameInode } else { Trust::Nothing };
            walk(session, (&a, &b), trust, each)
        })
    }
}

/// Why it is a walk: what may well be is not worth a warning.
fn say(why: &Error) {
    let is_usual = matches!(why.kind(), ErrorKind::Busy | ErrorKind::Unsupported);
    let level = if is_usual { log::Level::Info } else { log::Level::Warn };
    log::log!(level, "walking through both, not by blocks: {why}");
}

/// Older first: a layer is compared with what it came from.
fn choose(
    session: &Session<'_>,
    a: Option<&ImageName>,
    b: Option<&ImageName>,
) -> Result<(ImageName, ImageName)> {
    let layout = session.layout()?;
    let (a, b) = match (a, b) {
        (Some(a), Some(b)) => (a.clone(), b.clone()),
        (Some(image), None) | (None, Some(image)) => with_base(image)?,
        (None, None) => with_base(&current(session, &layout)?)?,
    };
    layout.image(&a)?;
    layout.image(&b)?;
    Ok((a, b))
}

fn with_base(image: &ImageName) -> Result<(ImageName, ImageName)> {
    match image {
        ImageName::Layer(layer) => Ok((ImageName::Base(layer.base().clone()), image.clone())),
        ImageName::Base(_) => {
            let why = "a base is compared with what? Give a second name";
            Err(Error::new(ErrorKind::Invalid, why).at(image).op("compare"))
        }
    }
}

fn current(session: &Session<'_>, layout: &Layout<'_>) -> Result<ImageName> {
    let current = session.current()?;
    let found = layout.layers().find(|layer| Some(&layer.lv.name) == current.as_ref());
    found.map(|layer| ImageName::Layer(layer.name.clone())).ok_or_else(|| {
        let why = "this host does not run from a layer: name the images to compare";
        Error::new(ErrorKind::NotFound, why).at("/").op("compare")
    })
}

fn walk(
    session: &Session<'_>,
    (a, b): (&LvName, &LvName),
    trust: Trust,
    each: &mut dyn FnMut(&Change) -> Result<()>,
) -> Result<()> {
    look_into(session, a, &mut |root_a| {
        look_into(session, b, &mut |root_b| {
            for change in diff::diff(root_a, root_b, trust)? {
                each(&change?)?;
            }
            Ok(())
        })
    })
}

fn look_into(
    session: &Session<'_>,
    lv: &LvName,
    look: &mut dyn FnMut(&Path) -> Result<()>,
) -> Result<()> {
    let device = session.open_volume(lv)?;
    let file_system = filesystem::read(device.as_ref())?;
    drop(device);
    session.machine().mounts.look_into(&session.node(lv)?, file_system.fs_type(), look)
}
