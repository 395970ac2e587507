//! Everything unsafe that imgbase does, behind safe functions.
//!
//! The root crate forbids `unsafe`; whoever audits it needs to read this
//! crate alone.
