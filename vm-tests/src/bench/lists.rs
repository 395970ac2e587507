//! What changes nothing: `layout`, by the library's call and the whole process, against `lvs`; and `recover`
//! where nothing is to be recovered.

use imgbase::ops::Unwatched;

use super::contest::{handle, host};
use super::{ROW, in_a_row, process, sample};
use crate::error::{Doing, Result};

/// So many rounds.
pub(super) fn run(rounds: u32) -> Result<()> {
    let host = host()?;
    let imgbase = handle(&host)?;
    for _ in 0..rounds.div_ceil(ROW) {
        in_a_row(|| sample("layout.library", || imgbase.layout().doing("layout")).map(drop))?;
        in_a_row(|| sample("layout.process", || process(&["imgbase", "layout"])))?;
        in_a_row(|| sample("layout.lvs", || process(&["lvs"])))?;
        let recover = || imgbase.recover(&mut Unwatched).doing("recover").map(drop);
        in_a_row(|| sample("recover.library", recover))?;
        in_a_row(|| sample("recover.process", || process(&["imgbase", "recover"])))?;
    }
    Ok(())
}
