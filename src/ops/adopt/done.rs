//! What is there already.

use super::super::session::Session;
use super::find::{Found, refused};
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{BaseName, ImageName, Layout, is_ours, tag};
use crate::lvm2::Vg;
use crate::name::LvName;
use crate::report::Adopted;

/// What is there where the group is set up already: by an adoption of this system, or as what it
/// runs from.
pub(super) fn done_already(
    session: &Session<'_>,
    found: &Found,
    nvr: Option<&BaseName>,
) -> Result<Option<Adopted>> {
    let vg = session.vg();
    let layout = match Layout::of(vg) {
        Ok(layout) if is_ours(vg) && !layout.bases.is_empty() => layout,
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(refused(error)),
        _ => return Ok(None),
    };
    let taken = |why| Err(refused(Error::new(ErrorKind::Exists, why).at(&vg.name)));
    let Some(base) = base_of(&layout, &found.lv) else {
        let there = &layout.bases.first().expect("it has some").base.name;
        return taken(format!("it is set up already, with the base {there}"));
    };
    if nvr.is_some_and(|nvr| *nvr != base) {
        return taken(format!("{} was adopted already, as {base}", found.lv));
    }
    let layers = layout.base(&base).map(|base| base.layers.as_slice()).unwrap_or_default();
    let layer = layers.first().map(|layer| layer.name.clone());
    let state = session.boot_state()?;
    let bootable = layer.as_ref().zip(state).is_some_and(|(layer, state)| state.is_bootable(layer));
    Ok(Some(Adopted {
        vg: vg.name.clone(),
        pool: layout.pool.name.clone(),
        source: found.lv.clone(),
        base,
        layer,
        fs_uuid: None,
        bootable,
        changed: false,
        vg_seqno: vg.seqno,
    }))
}

/// The base that a volume is, is a layer of, or was adopted as.
fn base_of(layout: &Layout<'_>, lv: &LvName) -> Option<BaseName> {
    if let Ok(image) = lv.as_str().parse::<ImageName>()
        && layout.image(&image).is_ok()
    {
        return Some(image.base().clone());
    }
    layout.vg.lv(lv).filter(|lv| lv.has_tag(tag::INIT))?;
    let mut bases = layout.bases.iter().map(|base| &base.base);
    let adopted = bases.find(|base| base.thin.origin.as_ref() == Some(lv));
    Some(adopted.unwrap_or(&layout.bases.first()?.base).name.clone())
}

/// Refuses a group whose pool is another one: it can have one.
pub(super) fn refuse_other_pool(vg: &Vg, pool: &LvName) -> Result<()> {
    let mut pools = vg.lvs.iter().filter(|lv| lv.thin_pool().is_some() && lv.has_tag(tag::POOL));
    let Some(other) = pools.find(|lv| lv.name != *pool) else { return Ok(()) };
    let why = format!("its pool for images is {}, and the system is in {pool}", other.name);
    Err(refused(Error::new(ErrorKind::Unsupported, why).at(&vg.name)))
}
