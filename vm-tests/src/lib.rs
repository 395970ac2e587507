//! imgbase on real kernels: the QEMU harness, its cases, the demonstration and the benchmark.
//!
//! - [`setup`] makes what is needed once: packages, kernel, guest root, sample images, binaries.
//! - [`vm`] is a virtual machine; [`guest`] is its first process; they speak [`wire`].
//! - [`loaders`] puts boot loaders on a disk, which firmware then starts.
//! - [`case`] and [`runner`] run [`cases`]; [`judges`] is what lvm2 and its friends think.
//! - [`commands`] are `cargo demo`, `cargo verify`, `cargo vm`, `cargo bench-vm`; what the last
//!   one measures in the guest is in `bench`, with the feature `guest` only.

#[cfg(feature = "guest")]
pub mod bench;
pub mod case;
pub mod cases;
pub mod commands;
pub mod error;
pub mod guest;
pub mod judges;
pub mod loaders;
pub mod runner;
pub mod setup;
pub mod vm;
pub mod wire;
