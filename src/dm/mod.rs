//! Device-mapper, without touching it: names and tables as lvm2 makes them,
//! status lines, the order of activation and the thin pool's transaction
//! protocol. The kernel itself stands behind [`Kernel`].

mod kernel;
pub mod status;
pub mod table;

pub use kernel::{Create, DevNo, DmInfo, Kernel, Suspend, TargetStatus, Visibility};
pub use table::Table;
