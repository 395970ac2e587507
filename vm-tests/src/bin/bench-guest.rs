//! The benchmark's half in the guest; see [`imgbase_vm_tests::bench`].

use std::process::ExitCode;

fn main() -> ExitCode {
    imgbase_vm_tests::bench::main()
}
