//! Device-mapper, without touching it: names and tables as lvm2 makes them,
//! status lines, the order of activation and the thin pool's transaction
//! protocol. The kernel itself stands behind [`Kernel`].

mod activate;
mod active;
mod deactivate;
mod kernel;
pub mod names;
pub mod pool;
pub mod sim;
pub mod status;
pub mod table;
#[cfg(test)]
mod testing;
pub mod thin_metadata;
pub(crate) mod together;
pub mod tree;

pub use activate::{Activated, Sure};
pub use active::{Active, ActivePool, pool_state, remove_unborn, volume_of, wake};
pub use deactivate::deactivate;
pub use kernel::{Create, DevNo, DmInfo, Kernel, Suspend, TargetStatus, Visibility};
pub use names::{DeviceKey, Role};
pub use table::Table;
pub use tree::{PvNumbers, Stack};
