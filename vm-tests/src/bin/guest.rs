//! The guest's half of the harness, as one static binary: first process, runner, tree walker.

fn main() -> std::process::ExitCode {
    imgbase_vm_tests::guest::main()
}
