//! Two volumes compared by the chunks that the pool has different for them, and by the structures
//! of the file systems on them.

use crate::dev::Dev;
use crate::diff::{Change, Diff, Trust};
use crate::error::{Error, ErrorKind, Result};
use crate::ext4::{Pair, Tree};
use crate::name::{DmName, LvName};
use crate::ops::filesystem::unknown;
use crate::ops::session::Session;

const OP: &str = "compare by blocks";

/// Compares two active volumes; gives what came of that.
///
/// # Errors
/// Nothing was told then: [`Busy`](ErrorKind::Busy) where one of them is mounted or open;
/// [`Unsupported`](ErrorKind::Unsupported) for what is not of one base, no ext4, or was not left in order;
/// [`Corrupt`](ErrorKind::Corrupt), also of the pool's metadata; [`Io`](ErrorKind::Io).
pub(super) fn compare(
    session: &Session<'_>,
    (a, b): (&LvName, &LvName),
    of_one_base: bool,
    each: &mut dyn FnMut(&Change) -> Result<()>,
) -> Result<Result<()>> {
    if !of_one_base {
        return Err(not_so("it is not of the same base").at(b));
    }
    let [dev_a, dev_b] = alone(session, (a, b))?;
    let open = |dev| Tree::open(dev).map_err(unknown);
    let (tree_a, tree_b) = (open(dev_a.as_ref())?, open(dev_b.as_ref())?);
    let pair = pair(session, (a, b), [&tree_a, &tree_b]);
    let pair = pair.map_err(|error| error.op(OP).at(format_args!("{a} and {b}")))?;
    let (a, b) = pair.roots()?;
    Ok(Diff::new(a, b, Trust::SameInode).try_for_each(|change| each(&change?)))
}

/// Both devices, which nobody has, and which nobody can mount as long as they are open.
fn alone(session: &Session<'_>, (a, b): (&LvName, &LvName)) -> Result<[Box<dyn Dev>; 2]> {
    let open = |lv: &LvName| {
        let name = DmName::of_lv(&session.vg().name, lv, None)?;
        let dev = session.machine().kernel.open_alone(&name)?;
        dev.ok_or_else(|| Error::new(ErrorKind::Busy, "it is mounted or open").at(lv).op(OP))
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
    Error::new(ErrorKind::Unsupported, why).op(OP)
}
