//! Two volumes compared by the chunks that the pool has different for them, and by the structures
//! of the file systems on them.

use std::fmt::Display;

use crate::dev::Dev;
use crate::diff::{Change, Diff, Trust};
use crate::error::{Error, ErrorKind, Result};
use crate::ext4::{Pair, Tree};
use crate::name::{DmName, LvName};
use crate::ops::session::Session;

/// Compares two active volumes of one base; false, with nothing told, where they have to be walked
/// through: they are mounted, or not ext4, or were not left in order.
pub(super) fn compare(
    session: &Session<'_>,
    lvs: (&LvName, &LvName),
    each: &mut dyn FnMut(&Change) -> Result<()>,
) -> Result<bool> {
    let Some([a, b]) = told(alone(session, lvs)) else { return Ok(false) };
    let trees = [a.as_ref(), b.as_ref()].map(Tree::open);
    let [Some(a), Some(b)] = trees.map(told) else { return Ok(false) };
    let Some(pair) = told(pair(session, lvs, [&a, &b])) else { return Ok(false) };
    let Some((a, b)) = told(pair.roots()) else { return Ok(false) };
    for change in Diff::new(a, b, Trust::SameInode) {
        each(&change?)?;
    }
    Ok(true)
}

/// Both devices, which nobody has, and which nobody can mount as long as they are open.
fn alone(session: &Session<'_>, (a, b): (&LvName, &LvName)) -> Result<[Box<dyn Dev>; 2]> {
    let open = |lv: &LvName| {
        let name = DmName::of_lv(&session.vg().name, lv, None)?;
        let dev = session.machine().kernel.open_alone(&name)?;
        dev.ok_or_else(|| Error::new(ErrorKind::Busy, "it is in use").at(lv))
    };
    Ok([open(a)?, open(b)?])
}

fn pair<'t>(
    session: &Session<'_>,
    (a, b): (&LvName, &LvName),
    [tree_a, tree_b]: [&'t Tree<'t>; 2],
) -> Result<Pair<'t>> {
    let (vg, pool) = (session.vg(), session.pool()?);
    let id = |lv: &LvName| {
        let thin = vg.lv(lv).and_then(|lv| lv.thin()).filter(|thin| thin.pool == pool);
        thin.map(|thin| thin.device_id).ok_or_else(|| not_so("it is not in the pool").at(lv))
    };
    let metadata = DmName::of_lv(&vg.name, &session.pool_segment()?.metadata, None)?;
    let device = DmName::of_lv(&vg.name, &pool, Some("tpool"))?;
    let chunks = session.machine().kernel.changed_chunks(&device, &metadata, (id(a)?, id(b)?))?;
    log::debug!("{a} and {b} may differ in {} ranges of chunks", chunks.ranges.len());
    Pair::new(tree_a, tree_b, chunks.bytes())?.map_err(not_so)
}

fn not_so(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Unsupported, why)
}

/// Says why it cannot be done so.
fn told<T>(result: Result<T>) -> Option<T> {
    let say = |why: &dyn Display| log::info!("not by blocks: {why}");
    result.inspect_err(|why| say(why)).ok()
}
