//! Operations on simulated disks and a simulated kernel, in one program: it is built once.

mod adopt;
mod booting;
mod diff;
mod export;
mod faults;
mod oci;
mod operations;
mod power_cut;
mod recover;
mod support;
mod volumes;
