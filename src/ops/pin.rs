//! `base --pin` and `--unpin`: bases that are never collected.

use super::Imgbase;
use super::session::Session;
use crate::error::Result;
use crate::layout::{BaseName, ImageName, tag};

impl Imgbase<'_> {
    /// Pins a base or takes the pin away. Returns whether anything changed.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) where there is no such base.
    ///
    /// # Commit point
    /// Its one commit.
    pub fn pin_base(&self, base: &BaseName, pinned: bool) -> Result<bool> {
        let mut session =
            Session::change(self, if pinned { "base --pin" } else { "base --unpin" })?;
        let lv = session.layout()?.image(&ImageName::Base(base.clone()))?.clone();
        if lv.has_tag(tag::PIN) == pinned {
            return Ok(false);
        }
        let (mut edit, pin) = (session.vg().edit(), tag::PIN.try_into()?);
        if pinned {
            edit.add_tag(&lv.name, &pin)?
        } else {
            edit.remove_tag(&lv.name, &pin)?
        }
        session.commit(edit)?;
        Ok(true)
    }
}
