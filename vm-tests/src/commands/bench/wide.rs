//! More disks, more disks of others, more bases: machines of their own, as a layout keeps its disks.

use super::figures::Figures;
use super::{PV, SCRATCH, guest, prepare};
use crate::error::Result;
use crate::vm::{Spec, Vm};

/// So many physical volumes.
pub(super) const DISKS: [usize; 3] = [1, 4, 16];

/// So many rounds on each machine; the smallest also meets what else there may be more of.
pub(super) fn measure(
    start: &dyn Fn(&Spec) -> Result<Vm>,
    rounds: u32,
    figures: &mut Figures,
) -> Result<()> {
    for disks in DISKS {
        eprintln!("bench: {disks} physical volumes");
        let sizes = [vec![PV; disks], vec![SCRATCH]].concat();
        let mut vm = start(&Spec::plain(&sizes).with_two_processors())?;
        prepare(&mut vm, disks)?;
        let groups = if disks == 1 { &["disks", "more"][..] } else { &["disks"] };
        for group in groups {
            guest(&mut vm, group, rounds, figures)?;
        }
    }
    Ok(())
}
