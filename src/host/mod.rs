//! The real machine, behind the traits of [`crate::machine`] and
//! [`crate::dm::Kernel`].

// mod archive;
mod disks;
mod filter;
// mod hints;
mod kernel;
// mod locks;
// mod lvm2_host;
// mod lvmconf;
mod mounts;
// mod tools;

use std::time::Duration;

use self::disks::{RealDisks, number_of};
use self::filter::Filter;
use self::kernel::RealKernel;
// use self::lvm2_host::RealLvm2;
use self::mounts::RealMounts;
// use self::tools::RealTools;
use crate::error::Result;
use crate::machine::Machine;

pub use self::disks::FileDev;

/// How the machine is to be used.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// How long one of lvm2's locks is waited for.
    pub lock_timeout: Duration,
}

impl Default for HostConfig {
    /// 20 seconds for a lock.
    fn default() -> Self {
        Self { lock_timeout: Duration::from_secs(20) }
    }
}

/// This machine.
pub struct Host {
    disks: RealDisks,
    kernel: RealKernel,
    mounts: RealMounts,
    tools: RealTools,
    lvm2: RealLvm2,
}

impl Host {
    /// Reads lvm2's configuration, where there is one. Device-mapper is opened when it is first
    /// needed.
    ///
    /// # Errors
    /// None so far: what is missing shows where it is needed.
    pub fn new(config: HostConfig) -> Result<Self> {
        let lvm2 = RealLvm2::new(config.lock_timeout);
        let filter = Filter::new(lvm2.filter_patterns());
        Ok(Self {
            disks: RealDisks::new(filter),
            kernel: RealKernel::new(),
            mounts: RealMounts,
            tools: RealTools,
            lvm2,
        })
    }

    /// The machine, for [`Imgbase::new`](crate::ops::Imgbase::new).
    pub fn machine(&self) -> Machine<'_> {
        Machine {
            disks: &self.disks,
            kernel: &self.kernel,
            mounts: &self.mounts,
            tools: &self.tools,
            lvm2: &self.lvm2,
        }
    }
}
