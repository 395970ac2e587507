//! The harness (placeholder while it is being built).

fn main() {}
