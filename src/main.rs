//! The `imgbase` command.
#![forbid(unsafe_code)]

fn main() {}
