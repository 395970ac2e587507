//! `layout`: the library's call, the whole process, and `lvs`.

use super::contest::{handle, host};
use super::{process, sample};
use crate::error::{Doing, Result};

/// So many rounds.
pub(super) fn run(rounds: u32) -> Result<()> {
    let host = host()?;
    let imgbase = handle(&host)?;
    for _ in 0..rounds {
        sample("layout.library", || imgbase.layout().doing("layout"))?;
        sample("layout.process", || process(&["imgbase", "layout"]))?;
        sample("layout.lvs", || process(&["lvs"]))?;
    }
    Ok(())
}
