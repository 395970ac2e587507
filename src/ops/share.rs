//! What a new base has in common with an older one: it begins as a snapshot of that, and only the
//! chunks that differ are written.
//!
//! Nothing depends on the older base afterwards: chunks are counted by the pool, and what was not the
//! same was compared byte by byte.

use super::content::Content;
use super::session::Session;
use crate::dm::ActivePool;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Target;
use crate::layout::{BaseName, Layout};
use crate::units::{Bytes, Extents};

/// How a base will be filled.
pub(super) struct Plan {
    /// The base that it begins as a snapshot of.
    pub(super) with: Option<BaseName>,
    /// Its volume's size.
    pub(super) size: Bytes,
    /// What the pool has left.
    pub(super) free: Bytes,
    /// True where it fits only if enough of it is there already.
    pub(super) tight: bool,
}

impl Plan {
    /// Reckons with the pool. Where the whole content would not fit but may have much in common with
    /// an older base, a comparison will have to tell.
    pub(super) fn make(
        session: &Session<'_>,
        pool: &ActivePool,
        content: &Content<'_>,
        (nvr, size, share): (&BaseName, Bytes, bool),
    ) -> Result<Self> {
        let (chunk, extents) = (session.pool_segment()?.chunk_size, session.extents_for(size)?);
        let shared = share && content.is_copied() && Target::can_be_over(chunk.bytes());
        let with = shared.then(|| relative(&session.layout().ok()?, nvr, extents)).flatten();
        let free = pool.state.data_free(chunk);
        let tight = match session.check_room(pool, content.space_need(chunk.bytes())?) {
            Ok(()) => false,
            Err(error) if with.is_none() || !content.can_be_read_again() => return Err(error),
            Err(_) => {
                session.check_room(pool, Bytes::ZERO)?;
                true
            }
        };
        Ok(Self { with, size, free, tight })
    }

    /// Fails where so much is more than the pool has, after a comparison.
    pub(super) fn check_fits(&self, need: Bytes) -> Result<()> {
        if need <= self.free {
            return Ok(());
        }
        let have = self.free;
        let why = format!(
            "the pool's data has {have} ({} bytes) free of the {need} ({} bytes) needed for what no \
             older base has",
            have.get(),
            need.get()
        );
        Err(Error::new(ErrorKind::NoSpace { need, have }, why))
    }
}

/// The newest base of the same name that is no larger.
fn relative(layout: &Layout<'_>, nvr: &BaseName, size: Extents) -> Option<BaseName> {
    let of_name = layout.bases.iter().map(|base| &base.base);
    let fits = of_name.filter(|base| base.name.name() == nvr.name() && base.lv.extents() <= size);
    let newest = fits.max_by(|a, b| a.compare(b));
    newest.map(|base| base.name.clone())
}
